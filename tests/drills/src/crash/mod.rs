//! `tiffin-drills crash`: kill -9 of the core, of Redis, of MariaDB, at random moments of a load.
//!
//! [`buyer`] is the load, [`journal`] its memory, [`schedule`] says what is killed when and [`killer`] does it.
//! After each kill the ledger's rules are checked in a snapshot, in the middle of the load. At the end all is
//! brought up, what is unpaid expires, [`checks`] holds every answer against the ledger, and [`replay`] sends
//! every key again: the same status, the same bytes, and nothing changed.
//!
//! The seed decides the kills. It does not decide the interleaving: two runs of one seed kill the same parts
//! after the same pauses and find other requests under way.

pub mod buyer;
pub mod checks;
pub mod journal;
pub mod killer;
pub mod replay;
pub mod report;
pub mod schedule;

use crate::ledger::{self, Ledger};
use crate::violations::Violations;
use crate::world::{Setup, World, wait_until_ready};
use crate::{limits, store};
use anyhow::{Context as _, Result, bail};
use buyer::Load;
use clap::Args;
use journal::{Entry, Pages};
use serde_json::Value;
use std::path::PathBuf;
use std::process::ExitCode;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};
use tiffin_fixtures::catalogue;
use tiffin_fixtures::random::Random;

/// What `tiffin-drills crash` takes.
#[derive(Debug, Args)]
pub struct CrashArgs {
    /// The core's program, built for release
    #[arg(long)]
    core: PathBuf,
    /// At least so many orders are placed [default: 20000, quick: 2000]
    #[arg(long)]
    orders: Option<usize>,
    /// Clients at once
    #[arg(long, default_value_t = 64, value_parser = clap::value_parser!(u16).range(1..=512))]
    clients: u16,
    /// Decides the kills, though not the interleaving
    #[arg(long, default_value_t = 1)]
    seed: u64,
    /// Kills; each of the three is killed in a third of them [default: 24, quick: 6]
    #[arg(long)]
    kills: Option<usize>,
    /// A short run: fewer orders and kills, less than a minute
    #[arg(long)]
    quick: bool,
    /// Do not fail for want of the core's own audit
    #[arg(long)]
    without_audit: bool,
    /// Where data and logs go
    #[arg(long, default_value = "target/drills/crash")]
    folder: PathBuf,
}

impl CrashArgs {
    fn orders(&self) -> usize {
        self.orders.unwrap_or(if self.quick { limits::ORDERS_QUICK } else { limits::ORDERS })
    }

    fn kills(&self) -> usize {
        self.kills.unwrap_or(if self.quick { limits::KILLS_QUICK } else { limits::KILLS })
    }
}

/// Runs the drill; fails if a rule was broken.
pub async fn run(args: CrashArgs) -> Result<ExitCode> {
    let began = Instant::now();
    let schedule = schedule::draw(args.seed, args.kills());
    step(began, "starting MariaDB, Redis and the core");
    let world = World::start(&Setup {
        core: &args.core,
        folder: &args.folder,
        rows: rows(),
        diners: limits::DINERS,
        pay_within_s: limits::PAY_WITHIN_S,
        held_units: limits::HELD_UNITS,
    })
    .await?;
    let load = Arc::new(Load::new(world));
    let (seed, kills) = (args.seed, schedule.len());
    let counts = schedule::Counts::of(&schedule);
    step(began, &format!("{} clients; {kills} kills of seed {seed}: {counts}", args.clients));
    let snapshots = press(&load, &args, schedule, began).await?;
    let mut pages = load.journal.close();
    let mut found = std::mem::take(&mut pages.violations);

    step(began, "the load is over; waiting until all is settled");
    let core = Arc::clone(&load.world.core);
    tokio::task::spawn_blocking(move || wait_until_ready(&core)).await??;
    found.merge(settle(&load, args.quick).await?);
    found.merge(check_at_rest(&load, &pages, &args, began).await?);
    let (audit, audit_told) = load.world.audit(args.without_audit).await?;
    found.merge(audit);
    found.merge(check_kills(&load, &pages));

    print_summary(&load, &pages, &args, snapshots, &audit_told, began);
    let load = Arc::try_unwrap(load).ok().context("a client is still at it")?;
    load.world.stop().await?;
    if found.is_empty() {
        println!("  every rule holds");
        return Ok(ExitCode::SUCCESS);
    }
    println!("  BROKEN RULES:\n{found}");
    Ok(ExitCode::FAILURE)
}

fn rows() -> Vec<Value> {
    let mut rows = Vec::new();
    for store in 0..limits::STORES {
        let name = format!("store-{store}");
        rows.extend(catalogue::store(&name));
        for n in 0..limits::PLENTY_ITEMS {
            let price_minor = 300 + 100 * i64::try_from(n).expect("a few items");
            let units = limits::PLENTY_UNITS;
            rows.push(catalogue::item(&name, &format!("plenty-{n}"), price_minor, units));
        }
        rows.push(catalogue::item(&name, "scarce", 1_500, limits::SCARCE_UNITS));
    }
    rows
}

/// The load with the kills in it: until there are enough orders and every kill has happened. Returns how many
/// snapshots were checked in the middle of it.
async fn press(
    load: &Arc<Load>,
    args: &CrashArgs,
    schedule: Vec<schedule::Kill>,
    began: Instant,
) -> Result<usize> {
    let random = Random::seeded(args.seed);
    let clients: Vec<_> = (0..args.clients)
        .map(|n| {
            let (load, random) = (Arc::clone(load), random.branch(n.into()));
            tokio::spawn(async move { buyer::run(&load, random).await })
        })
        .collect();
    let inspector = tokio::spawn(inspect(Arc::clone(load)));
    let killer = {
        let (load, orders) = (Arc::clone(load), args.orders());
        let told = move |kill: &schedule::Kill| step(began, &format!("kill -9 {kill}"));
        tokio::task::spawn_blocking(move || killer::run(&load, &schedule, orders, told))
    };
    let outcome = wait_for_load(load, args, &killer, began).await;
    load.over.store(true, Ordering::Relaxed);
    killer.await??;
    outcome?;
    for client in clients {
        client.await?;
    }
    Ok(inspector.await?)
}

async fn wait_for_load(
    load: &Load,
    args: &CrashArgs,
    killer: &tokio::task::JoinHandle<Result<()>>,
    began: Instant,
) -> Result<()> {
    let deadline = Instant::now() + limits::LOAD_WITHIN;
    let mut told = Instant::now();
    loop {
        tokio::time::sleep(limits::POLL).await;
        let (orders, answers, kills) = {
            let pages = load.journal.pages();
            (pages.orders.len(), pages.entries.len(), pages.kills.len())
        };
        if killer.is_finished() && orders >= args.orders() {
            return Ok(());
        }
        if told.elapsed() > limits::PROGRESS_EVERY {
            told = Instant::now();
            let retries: u64 = load.world.http.retries().values().sum();
            step(
                began,
                &format!("{orders} orders, {answers} answers, {kills} kills, {retries} retries"),
            );
        }
        if Instant::now() > deadline {
            bail!(
                "{orders} orders in {:?} are too few; the core's last words:\n{}",
                limits::LOAD_WITHIN,
                load.world.core.last_words()
            );
        }
    }
}

/// Checks a snapshot after each kill, while the load goes on: what was acknowledged before it is in it, and
/// every rule of the ledger holds.
async fn inspect(load: Arc<Load>) -> usize {
    let initial = load.world.initial();
    let (mut seen, mut checked) = (0, 0);
    while !load.over.load(Ordering::Relaxed) {
        tokio::time::sleep(limits::POLL).await;
        let (kills, acknowledged) = {
            let pages = load.journal.pages();
            let recovered = pages.kills.iter().filter(|killed| killed.recovered.is_some()).count();
            if recovered == seen {
                continue;
            }
            (recovered, pages.orders.clone())
        };
        // Another kill may come in the middle: then the next snapshot will do.
        let Ok(ledger) = store::try_snapshot(&load.world.pool).await else { continue };
        seen = kills;
        checked += 1;
        let mut found = checks::check_present(&ledger, &acknowledged);
        found.merge(ledger::check(&ledger, &initial, limits::HELD_UNITS));
        load.journal.pages().violations.merge(found);
    }
    checked
}

/// Waits until nothing awaits payment, decision or refund. A quick run does not wait for refunds: one that
/// failed in a kill is tried again only after half a minute.
async fn settle(load: &Load, quick: bool) -> Result<Violations> {
    let deadline = Instant::now() + limits::QUIET_WITHIN;
    loop {
        let [unpaid, undecided, unsent] = load.world.ledger().await?.unsettled();
        if unpaid == 0 && undecided == 0 && (quick || unsent == 0) {
            return Ok(Violations::default());
        }
        if Instant::now() > deadline {
            let mut found = Violations::default();
            let left = format!(
                "{unpaid} orders unpaid, {undecided} payments undecided, {unsent} refunds unsent"
            );
            found.note(checks::SETTLES, format!("after {:?}: {left}", limits::QUIET_WITHIN));
            return Ok(found);
        }
        tokio::time::sleep(Duration::from_millis(500)).await;
    }
}

/// All answers against the ledger, then every key once more, then the ledger against itself.
async fn check_at_rest(
    load: &Load,
    pages: &Pages,
    args: &CrashArgs,
    began: Instant,
) -> Result<Violations> {
    let before = load.world.ledger().await?;
    let initial = load.world.initial();
    let mut found = ledger::check(&before, &initial, limits::HELD_UNITS);
    found.merge(checks::check_answers(&before, &pages.entries));
    if before.unsettled() == [0, 0, 0] {
        found.merge(ledger::check_provider(&before));
    }
    let is_recorded = |entry: &&Entry| before.scopes.contains(&entry.call.scope());
    let (recorded, refused): (Vec<_>, Vec<_>) = pages.entries.iter().partition(is_recorded);
    step(began, &format!("sending {} keys again", recorded.len()));
    let random = Random::seeded(args.seed).branch(u64::MAX);
    let clients = args.clients.into();
    found.merge(replay::recorded(load, &recorded, clients, &random).await);
    found.merge(untouched(&before, &load.world.ledger().await?));
    step(began, &format!("sending {} keys again that were refused at the door", refused.len()));
    found.merge(replay::refused(load, &refused, clients, &random).await);
    found.merge(ledger::check(&load.world.ledger().await?, &initial, limits::HELD_UNITS));
    Ok(found)
}

/// That retries left no trace. Refunds that were still on their way may have arrived meanwhile.
fn untouched(before: &Ledger, after: &Ledger) -> Violations {
    let mut after = after.clone();
    for (id, payment) in &mut after.payments {
        if let Some(was) = before.payments.get(id).filter(|was| was.has_refund && !was.refunded) {
            payment.refunded = was.refunded;
            payment.provider_keeps_minor = was.provider_keeps_minor;
        }
    }
    checks::check_untouched(before, &after)
}

/// What the kills themselves showed.
fn check_kills(load: &Load, pages: &Pages) -> Violations {
    let mut found = Violations::default();
    for killed in &pages.kills {
        found.unless(killed.recovered.is_some(), checks::RECOVERS, || killed.kill.to_string());
    }
    for end in load.world.core.ends().when_ready {
        found.note(checks::STAYS, end);
    }
    for defect in load.world.http.defects() {
        found.note(checks::DEFECT, defect);
    }
    found
}

fn print_summary(
    load: &Load,
    pages: &Pages,
    args: &CrashArgs,
    snapshots: usize,
    audit: &str,
    began: Instant,
) {
    println!("crash drill, seed {}, {} clients, {:.0?}", args.seed, args.clients, began.elapsed());
    println!("  {}", report::answers(&pages.entries));
    println!("  retries by reason: {:?}", load.world.http.retries());
    print!("{}{}", report::kills(pages), report::kill_lines(pages));
    println!("  snapshots checked in the middle of the load: {snapshots}");
    println!(
        "  starts of the core that found no database: {}",
        load.world.core.ends().starts_failed
    );
    println!("  the core's own audit: {audit}");
}

/// Tells what happens now.
fn step(began: Instant, what: &str) {
    eprintln!("==> {:6.1} s  {what}", began.elapsed().as_secs_f64());
}
