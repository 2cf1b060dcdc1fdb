//! A table of a million orders against one of a thousand: the same core, server and load, two databases.

use super::Findings;
use super::measure::{Load, Running, Task, measure};
use super::plan::Plan;
use super::progress::Progress;
use super::store;
use super::world::World;
use crate::limits;
use crate::load::Window;
use core_service::clock::{Clock as _, SystemClock};
use std::time::Duration;

/// Runs it.
pub async fn run(
    world: &mut World,
    plan: &Plan,
    progress: &mut Progress,
    findings: &mut Findings,
) -> anyhow::Result<()> {
    let small =
        start(world, "growth-small", limits::SMALL_TABLE_ORDERS, progress, findings).await?;
    let large =
        start(world, "growth-large", limits::LARGE_TABLE_ORDERS, progress, findings).await?;
    progress.prepared(true);
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

/// Starts a core on a ledger with so many orders of the past.
async fn start(
    world: &mut World,
    name: &str,
    orders: u64,
    progress: &mut Progress,
    findings: &mut Findings,
) -> anyhow::Result<Running> {
    progress.step(&format!("filling a table with {orders} orders"));
    let running = world.start_core(name).await?;
    // One real order is the model for all others.
    let moment = Window { warm_up: Duration::ZERO, measure: Duration::from_millis(1) };
    let task = task("model-order", 1, &running, 1, moment);
    measure(world, &running, task, progress, findings).await?;
    let now_ms = SystemClock.now_ms();
    store::fill(&world.pool, &running.market.place.database, orders, now_ms, |done| {
        if done < orders {
            progress.step(&format!("{done} of {orders} orders"));
        }
    })
    .await?;
    running.look_again(world).await?;
    Ok(running)
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
