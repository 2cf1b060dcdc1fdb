//! A table of a million orders against one of a thousand: the same core, server and load, two databases.

use super::Findings;
use super::measure::{Load, Running, Task, measure};
use super::plan::{self, Plan};
use super::store;
use super::world::World;
use crate::limits;
use crate::load::Window;
use crate::progress::Progress;
use core_service::clock::{Clock as _, SystemClock};
use std::time::Duration;

/// Runs it.
pub async fn run(
    world: &mut World,
    plan: &Plan,
    progress: &mut Progress,
    findings: &mut Findings,
) -> anyhow::Result<()> {
    let afterwards = (plan.window.total() + Duration::from_secs(1)) * (plan.rounds * 2);
    let mut start =
        async |name: &str, orders| start(world, name, orders, afterwards, progress, findings).await;
    let (small, in_small) = start("growth-small", limits::SMALL_TABLE_ORDERS).await?;
    let (large, in_large) = start("growth-large", limits::LARGE_TABLE_ORDERS).await?;
    findings.table_orders = Some([in_small, in_large]);
    if in_large < limits::LARGE_TABLE_ORDERS {
        progress.step(&format!("no time to fill the large table beyond {in_large} orders"));
    }
    for running in [&small, &large] {
        store::settle(&world.pool, &running.market.place.database).await?;
    }
    progress.prepared(plan::FILLING_S);
    progress.step("a large table beside a small one");
    for round in 1..=plan.rounds {
        let pair = [("small-table", &small), ("large-table", &large)];
        let turned = [pair[1], pair[0]];
        for (scenario, running) in if round % 2 == 1 { pair } else { turned } {
            let task = task(scenario, round, running, limits::RATIO_CLIENTS, plan.window);
            measure(world, running, task, progress, findings).await?;
        }
    }
    small.stop().await?;
    large.stop().await
}

/// Starts a core on a ledger with so many orders of the past, or as many as a quick run has time for;
/// returns how many. `afterwards` is how long the measurements take.
async fn start(
    world: &mut World,
    name: &str,
    orders: u64,
    afterwards: Duration,
    progress: &mut Progress,
    findings: &mut Findings,
) -> anyhow::Result<(Running, u64)> {
    progress.step(&format!("filling a table with {orders} orders"));
    let running = world.start_core(name).await?;
    // One real order is the model for all others.
    let moment = Window::of_ms(0, 1);
    let task = task("model-order", 1, &running, 1, moment);
    measure(world, &running, task, progress, findings).await?;
    let now_ms = SystemClock.now_ms();
    let database = &running.market.place.database;
    let mut chunk_began = progress.elapsed();
    let go_on = |done| {
        let took = progress.elapsed() - chunk_began;
        chunk_began = progress.elapsed();
        if done > 0 {
            progress.step(&format!("{done} of {orders} orders"));
        }
        progress.has_time_for(took, afterwards)
    };
    let filled = store::fill(&world.pool, database, orders, now_ms, go_on).await?;
    running.look_again(world).await?;
    Ok((running, filled))
}

fn task<'a>(
    scenario: &'static str,
    round: u32,
    running: &'a Running,
    clients: usize,
    window: Window,
) -> Task<'a> {
    let items = std::slice::from_ref(&running.market.hot);
    Task { scenario, round, items, load: Load::Clients(clients), window }
}
