//! One measurement: load on a running system, and the proof in its ledger that every answer was true.

use super::Findings;
use super::figures::Figures;
use super::request::{Orders, body};
use super::store::{self, Item, Ledger};
use super::world::{Market, System, World};
use crate::limits;
use crate::load::open::{Pace, Rate};
use crate::load::{Window, closed, open};
use crate::process::Process;
use crate::progress::Progress;
use crate::report::round;
use crate::usage;
use serde::Serialize;
use std::cell::Cell;
use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::time::{Duration, Instant};
use tokio::time::sleep;

/// A system that runs.
pub struct Running {
    /// Which one.
    pub system: System,
    /// On which database.
    pub market: Market,
    /// Its processes; the first is always there.
    pub processes: Vec<Process>,
    /// What its ledger said after the last measurement.
    ledger: Cell<Ledger>,
}

impl Running {
    /// A system that has just been started.
    pub async fn new(
        world: &World,
        system: System,
        market: Market,
        processes: Vec<Process>,
    ) -> anyhow::Result<Self> {
        for process in &processes {
            world.greet(process.address).await?;
        }
        let ledger = Cell::new(store::ledger(&world.pool, &market.place.database).await?);
        Ok(Self { system, market, processes, ledger })
    }

    /// Looks at the ledger anew, after it was changed by other means than a measurement.
    pub async fn look_again(&self, world: &World) -> anyhow::Result<()> {
        self.ledger.set(store::ledger(&world.pool, &self.market.place.database).await?);
        Ok(())
    }

    /// Stops it.
    pub async fn stop(self) -> anyhow::Result<()> {
        for process in self.processes {
            process.stop().await?;
        }
        Ok(())
    }

    fn servers(&self) -> Vec<SocketAddr> {
        self.processes.iter().map(|process| process.address).collect()
    }

    fn cpu_s(&self) -> Option<f64> {
        self.processes.iter().map(|process| usage::cpu_s(process.pid())).sum()
    }
}

/// How the clients ask.
#[derive(Debug, Clone, Copy)]
pub enum Load {
    /// So many clients, each as fast as it is answered.
    Clients(usize),
    /// So many requests a second.
    PerSecond(f64),
}

/// What is measured.
pub struct Task<'a> {
    /// The scenario's name.
    pub scenario: &'static str,
    /// Which round of it.
    pub round: u32,
    /// What is ordered.
    pub items: &'a [Item],
    /// How.
    pub load: Load,
    /// For how long.
    pub window: Window,
}

/// What one measurement found.
#[derive(Debug, Clone, Serialize)]
pub struct Measurement {
    /// The scenario's name.
    pub scenario: &'static str,
    /// The system's name.
    pub system: &'static str,
    /// Which round, from 1.
    pub round: u32,
    /// Clients of a closed loop.
    pub clients: Option<usize>,
    /// Requests a second of an open loop.
    pub offered_per_s: Option<f64>,
    /// What the clients saw.
    #[serde(flatten)]
    pub figures: Figures,
    /// Orders that the ledger gained.
    pub ledger_orders: i64,
    /// Units that the ledger's stock lost.
    pub ledger_units: i64,
    /// How long after the last answer the ledger had all of it, ms; more than a moment only where answers
    /// leave before the commit.
    pub caught_up_ms: f64,
    /// Processor time for each answer, µs, by who used it, until the ledger had all of it.
    pub cpu_us_per_answer: BTreeMap<&'static str, f64>,
}

/// Measures and keeps what was found.
pub async fn measure(
    world: &World,
    running: &Running,
    task: Task<'_>,
    progress: &mut Progress,
    findings: &mut Findings,
) -> anyhow::Result<Figures> {
    let started = Instant::now();
    let measurement = once(world, running, &task).await?;
    findings.faults.extend(faults(&measurement, running.ledger.get().broken));
    progress.found(started.elapsed(), &line(&measurement));
    let figures = measurement.figures.clone();
    findings.measurements.push(measurement);
    Ok(figures)
}

async fn once(world: &World, running: &Running, task: &Task<'_>) -> anyhow::Result<Measurement> {
    let bodies = task.items.iter().map(|item| body(item.store_id, item.id)).collect();
    if world.buyers.renew(&world.keys) {
        for server in running.servers() {
            world.greet(server).await?;
        }
    }
    // The time tells the keys of this measurement from those of all others on the same ledger.
    let prefix =
        format!("{:x}", core_service::clock::Clock::now_ms(&core_service::clock::SystemClock));
    let requests = Orders::new(&world.buyers, bodies, prefix)?;
    let before = running.ledger.get();
    let cpu_before = cpu_s(world, running);
    let servers = running.servers();
    let figures: Figures = match task.load {
        Load::Clients(clients) => {
            closed::run(&servers, clients, &requests, task.window).await?.into()
        }
        Load::PerSecond(per_s) => {
            let rate = Rate { per_s, connections: limits::OPEN_CONNECTIONS, pace: Pace::Timer };
            open::run(&servers, rate, &requests, task.window).await?.into()
        }
    };
    let answered = Instant::now();
    let after = until_caught_up(world, running, before, &figures).await?;
    let caught_up_ms = answered.elapsed().as_secs_f64() * 1_000.0;
    running.ledger.set(after);
    let answers = (figures.accepted + figures.sold_out).max(1) as f64;
    let cpu_us_per_answer = cpu_s(world, running)
        .into_iter()
        .filter_map(|(who, after_s)| {
            let used_s = after_s - cpu_before.get(who)?;
            Some((who, round(used_s * 1_000_000.0 / answers, 1)))
        })
        .collect();
    let (clients, offered_per_s) = match task.load {
        Load::Clients(clients) => (Some(clients), None),
        Load::PerSecond(rate) => (None, Some(round(rate, 1))),
    };
    Ok(Measurement {
        scenario: task.scenario,
        system: running.system.name(),
        round: task.round,
        clients,
        offered_per_s,
        figures,
        ledger_orders: after.orders - before.orders,
        ledger_units: before.available - after.available,
        caught_up_ms: round(caught_up_ms, 1),
        cpu_us_per_answer,
    })
}

fn cpu_s(world: &World, running: &Running) -> BTreeMap<&'static str, f64> {
    let [mariadb, redis] = world.services_cpu_s();
    let generator = usage::cpu_s(std::process::id());
    [("generator", generator), ("server", running.cpu_s()), ("mariadb", mariadb), ("redis", redis)]
        .into_iter()
        .filter_map(|(who, seconds)| Some((who, seconds?)))
        .collect()
}

/// The ledger, once it has every order that was accepted, or when waiting longer is no use.
async fn until_caught_up(
    world: &World,
    running: &Running,
    before: Ledger,
    figures: &Figures,
) -> anyhow::Result<Ledger> {
    let patience = match running.system {
        // Answered means committed: one look must do.
        System::Core | System::RowLock => Duration::ZERO,
        System::AsyncAck => limits::DRAIN_WITHIN,
    };
    let deadline = Instant::now() + patience;
    let accepted = i64::try_from(figures.accepted)?;
    loop {
        let now = store::ledger(&world.pool, &running.market.place.database).await?;
        if now.orders - before.orders >= accepted || Instant::now() >= deadline {
            return Ok(now);
        }
        sleep(limits::POLL).await;
    }
}

/// What the ledger does not confirm, in words.
fn faults(measurement: &Measurement, broken: i64) -> Vec<String> {
    let Measurement { scenario, system, figures, ledger_orders, ledger_units, .. } = measurement;
    let accepted = i64::try_from(figures.accepted).unwrap_or(i64::MAX);
    // A request that failed on its way may have been carried out all the same.
    let failed: u64 = figures.errors.values().sum();
    let most = accepted.saturating_add(i64::try_from(failed).unwrap_or(i64::MAX));
    let mut faults = Vec::new();
    if !(accepted..=most).contains(ledger_orders) {
        faults.push(format!(
            "{scenario}, {system}: {accepted} orders accepted, {ledger_orders} in the ledger"
        ));
    }
    if ledger_orders != ledger_units {
        faults.push(format!(
            "{scenario}, {system}: {ledger_orders} orders took {ledger_units} units"
        ));
    }
    if broken != 0 {
        faults.push(format!("{scenario}, {system}: {broken} items whose units do not add up"));
    }
    for (error, count) in &figures.errors {
        faults.push(format!("{scenario}, {system}: {count} answers were wrong: {error}"));
    }
    faults
}

fn line(measurement: &Measurement) -> String {
    let Measurement { scenario, system, figures, .. } = measurement;
    let load = match (measurement.clients, measurement.offered_per_s) {
        (Some(clients), _) => format!("{clients} clients"),
        (None, Some(rate)) => format!("{rate:.0}/s offered"),
        (None, None) => String::new(),
    };
    let errors: u64 = figures.errors.values().sum();
    let mut line = format!("{scenario}, {load}, {system}: {:.0} orders/s", figures.accepted_per_s);
    if figures.sold_out_per_s > 0.0 {
        line += &format!(", {:.0} refusals/s", figures.sold_out_per_s);
    }
    line += &format!(", p50 {:.1} ms, p99 {:.1} ms", figures.p50_ms, figures.p99_ms);
    if errors > 0 {
        line += &format!(", {errors} errors");
    }
    line
}

#[cfg(test)]
mod tests {
    use super::*;

    fn measurement(
        accepted: u64,
        ledger_orders: i64,
        ledger_units: i64,
        errors: u64,
    ) -> Measurement {
        let mut figures = Figures { accepted, ..Figures::default() };
        if errors > 0 {
            figures.errors.insert("status 500".to_owned(), errors);
        }
        Measurement {
            scenario: "hot",
            system: "core",
            round: 1,
            clients: Some(1),
            offered_per_s: None,
            figures,
            ledger_orders,
            ledger_units,
            caught_up_ms: 0.0,
            cpu_us_per_answer: BTreeMap::new(),
        }
    }

    #[test]
    fn a_lost_order_an_invented_one_and_a_lost_unit_are_found() {
        assert_eq!(faults(&measurement(10, 10, 10, 0), 0), [""; 0]);
        for (wrong, words) in [
            (measurement(10, 9, 9, 0), "10 orders accepted, 9 in the ledger"),
            (measurement(10, 11, 11, 0), "10 orders accepted, 11 in the ledger"),
            (measurement(10, 10, 9, 0), "10 orders took 9 units"),
        ] {
            let found = faults(&wrong, 0);
            assert!(found.len() == 1 && found[0].contains(words), "{found:?}");
        }
        assert!(faults(&measurement(10, 10, 10, 0), 3)[0].contains("3 items"));
    }

    #[test]
    fn an_answer_that_failed_may_have_been_carried_out_and_is_reported() {
        for in_ledger in 10..=12 {
            let found = faults(&measurement(10, in_ledger, in_ledger, 2), 0);
            assert_eq!(found, ["hot, core: 2 answers were wrong: status 500"]);
        }
        assert_eq!(faults(&measurement(10, 13, 13, 2), 0).len(), 2);
    }
}
