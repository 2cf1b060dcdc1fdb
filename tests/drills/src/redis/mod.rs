//! `tiffin-drills redis`: FLUSHALL and wrong counters in Redis, in the middle of a sale.
//!
//! Each round sells one item to the last unit while [`spoil`] changes what Redis counts, twice. The ledger alone
//! grants, so nothing is oversold, whatever Redis says; and the gate heals without help: every unit is sold
//! within [`limits::HEAL_WITHIN`], buyers hear "sold out" again afterwards, and the counter says what the ledger
//! says. [`sale`] is the crowd of buyers.

pub mod sale;
pub mod spoil;

use crate::ledger;
use crate::limits;
use crate::store::Item;
use crate::violations::Violations;
use crate::world::{Setup, World};
use anyhow::{Context as _, Result};
use clap::Args;
use core_service::fast::{GateTag, keys};
use redis::AsyncCommands as _;
use redis::aio::MultiplexedConnection;
use sale::Sale;
use spoil::Spoil;
use std::path::PathBuf;
use std::process::ExitCode;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};
use tiffin_fixtures::catalogue;
use tiffin_fixtures::random::Random;

/// What `tiffin-drills redis` takes.
#[derive(Debug, Args)]
pub struct RedisArgs {
    /// The core's program, built for release
    #[arg(long)]
    core: PathBuf,
    /// Units of the item of each round
    #[arg(long, default_value_t = limits::SALE_UNITS, value_parser = clap::value_parser!(i64).range(30..=1_000_000))]
    units: i64,
    /// Buyers at once
    #[arg(long, default_value_t = limits::SALE_CLIENTS)]
    clients: usize,
    /// Decides who buys
    #[arg(long, default_value_t = 1)]
    seed: u64,
    /// Do not fail for want of the core's own audit
    #[arg(long)]
    without_audit: bool,
    /// Where data and logs go
    #[arg(long, default_value = "target/drills/redis")]
    folder: PathBuf,
}

/// The rule of the stock.
const OVERSOLD: &str =
    "as many units are sold or reserved as orders were accepted, and never more than there are";
/// The rule of a gate that refuses too much.
const ALL_SELL: &str = "the gate heals: every unit sells in time";
/// The rule of a gate that refuses too little.
const SOLD_OUT: &str = "once all is sold, buyers are refused";
/// The rule of the counter.
const COUNTER: &str = "the counter comes to say what the ledger says";
/// The rule of a gate that is used at all.
const COUNTS: &str = "the gate counts the item in Redis before it is spoilt";

/// Runs every round; fails if a rule was broken.
pub async fn run(args: RedisArgs) -> Result<ExitCode> {
    let mut rows = catalogue::store("sale");
    rows.extend(Spoil::ALL.map(|spoil| catalogue::item("sale", spoil.name(), 700, args.units)));
    let world = World::start(&Setup {
        core: &args.core,
        folder: &args.folder,
        rows,
        diners: limits::SALE_DINERS,
        pay_within_s: limits::SALE_PAY_WITHIN_S,
        held_units: limits::SALE_HELD_UNITS,
    })
    .await?;
    let world = Arc::new(world);
    let client = redis::Client::open(world.services.redis_url())?;
    let mut conn = client.get_multiplexed_async_connection().await?;
    println!("redis drill, {} units each, {} clients", args.units, args.clients);
    let mut found = Violations::default();
    for (spoil, n) in Spoil::ALL.into_iter().zip(0..) {
        let item = world.items.iter().find(|item| item.name == spoil.name());
        let item = item.context("an item of the catalogue is missing")?.clone();
        let random = Random::seeded(args.seed).branch(n);
        found.merge(round(&world, &mut conn, spoil, item, &args, random).await?);
    }
    found.merge(ledger::check(&world.ledger().await?, &world.initial(), limits::SALE_HELD_UNITS));
    let (audit, told) = world.audit(args.without_audit).await?;
    found.merge(audit);
    println!("  the core's own audit: {told}");
    let world = Arc::try_unwrap(world).ok().context("a buyer is still at it")?;
    world.stop().await?;
    if found.is_empty() {
        println!("  every rule holds");
        return Ok(ExitCode::SUCCESS);
    }
    println!("  BROKEN RULES:\n{found}");
    Ok(ExitCode::FAILURE)
}

/// One item, sold to the last unit, spoilt after a third and after two thirds of it.
async fn round(
    world: &Arc<World>,
    conn: &mut MultiplexedConnection,
    spoil: Spoil,
    item: Item,
    args: &RedisArgs,
    random: Random,
) -> Result<Violations> {
    let mut found = Violations::default();
    let name = spoil.name();
    let sale = Arc::new(Sale::new(Arc::clone(world), item.clone()));
    let buyers: Vec<_> = (0..args.clients as u64)
        .map(|n| tokio::spawn(sale::buy(Arc::clone(&sale), random.branch(n))))
        .collect();
    let mut spoilt = Instant::now();
    for sold in [args.units / 3, args.units * 2 / 3] {
        sale.until_sold(sold, limits::HEAL_WITHIN).await;
        let counter = counter(conn, &item).await?;
        found.unless(counter.is_some(), COUNTS, || format!("{name}: the counter is missing"));
        spoil.apply(conn, &item, world).await?;
        spoilt = Instant::now();
    }
    let all_sold = sale.until_sold(args.units, limits::HEAL_WITHIN).await;
    let sold_after = spoilt.elapsed();
    let left = args.units - sale.net();
    found.unless(all_sold, ALL_SELL, || {
        format!("{name}: {left} units are left after {sold_after:?}")
    });
    let refused_before = sale.refused.load(Ordering::Relaxed);
    tokio::time::sleep(Duration::from_secs(1)).await;
    sale.over.store(true, Ordering::Relaxed);
    for buyer in buyers {
        buyer.await?;
    }
    let refused = sale.refused.load(Ordering::Relaxed);
    found.unless(refused > refused_before, SOLD_OUT, || format!("{name}: nobody was"));
    found.merge(sale.take_violations());

    let (healed, healing) = heal(world, conn, &item).await?;
    found.unless(healed, COUNTER, || format!("{name}: not within {:?}", limits::HEAL_WITHIN));
    let stock = world.ledger().await?.stock[&item.id];
    let taken = stock.reserved + stock.sold;
    found.unless(taken == sale.net() && taken <= args.units, OVERSOLD, || {
        format!("{name}: {} accepted and not returned, {stock:?}", sale.net())
    });
    println!(
        "  {name:<14} {} accepted, {} of them returned, {refused} refused; all sold {:.1} s after the second \
         spoiling; counter right {:.1} s after the sale",
        sale.accepted.load(Ordering::Relaxed),
        sale.returned.load(Ordering::Relaxed),
        sold_after.as_secs_f64(),
        healing.as_secs_f64(),
    );
    Ok(found)
}

/// Waits until the counter agrees with the ledger, or is missing, which says "ask the ledger".
async fn heal(
    world: &World,
    conn: &mut MultiplexedConnection,
    item: &Item,
) -> Result<(bool, Duration)> {
    let began = Instant::now();
    loop {
        let available = world.ledger().await?.stock[&item.id].available;
        let counted = counter(conn, item).await?;
        if counted.is_none_or(|counted| counted == available) {
            return Ok((true, began.elapsed()));
        }
        if began.elapsed() > limits::HEAL_WITHIN {
            return Ok((false, began.elapsed()));
        }
        tokio::time::sleep(limits::POLL).await;
    }
}

/// What Redis counts of an item, if it does: the text of an integer, or nothing readable.
async fn counter(conn: &mut MultiplexedConnection, item: &Item) -> Result<Option<i64>> {
    let key = keys::left(GateTag::Store(item.store), item.id);
    let kind: String = redis::cmd("TYPE").arg(&key).query_async(conn).await?;
    if kind != "string" {
        return Ok(None);
    }
    let text: Option<String> = conn.get(&key).await?;
    Ok(text.and_then(|text| text.parse().ok()))
}
