//! One hot item and a thousand items, from one client to many, the baselines beside the core. The latency
//! scenario follows at once, on the same processes.

use super::baseline::LockOrder;
use super::measure::{Load, Task, measure};
use super::plan::Plan;
use super::world::World;
use super::{Calibration, Findings, latency};
use crate::limits;
use crate::load::Window;
use crate::load::scenarios::in_turn;
use crate::progress::Progress;
use std::time::Duration;

/// Runs it.
pub async fn run(
    world: &mut World,
    plan: &Plan,
    progress: &mut Progress,
    findings: &mut Findings,
) -> anyhow::Result<()> {
    progress.step("starting the core and the baselines");
    let (lock, pool) = match plan.quick {
        true => (LockOrder::Late, limits::POOL_QUICK),
        false => calibrate(world, plan.window, progress, findings).await?,
    };
    let core = world.start_core("core").await?;
    let row_lock = world.start_row_lock(lock, pool).await?;
    let async_ack = world.start_async_ack().await?;
    let systems = [core, row_lock, async_ack];
    let needed = plan.window.total() * u32::try_from(plan.clients.len() * systems.len() * 2)?;
    for round in 1..=plan.rounds {
        if round > 1 && !progress.has_time_for(needed, time_after(plan)) {
            progress.step("no time for another round");
            break;
        }
        progress.step(&format!("one hot item and {} items, round {round}", limits::WIDE_ITEMS));
        for clients in plan.clients {
            for scenario in ["hot", "wide"] {
                for running in in_turn(&systems, round) {
                    let items = match scenario {
                        "hot" => std::slice::from_ref(&running.market.hot),
                        _ => &running.market.wide,
                    };
                    let load = Load::Clients(*clients);
                    let task = Task { scenario, round, items, load, window: plan.window };
                    measure(world, running, task, progress, findings).await?;
                }
            }
        }
    }
    if plan.latency {
        latency::run(world, &systems, plan, progress, findings).await?;
    }
    for running in systems {
        running.stop().await?;
    }
    Ok(())
}

/// What a quick run needs for the scenarios that follow.
fn time_after(plan: &Plan) -> Duration {
    let one = plan.window.total() + Duration::from_secs(1);
    let growth = if plan.growth { Duration::from_secs(40) } else { Duration::ZERO };
    plan.latency_window.total() + one * (plan.rounds * 5) + growth
}

/// Tries the ways of running the row-lock baseline and returns the best on one hot item.
async fn calibrate(
    world: &mut World,
    window: Window,
    progress: &mut Progress,
    findings: &mut Findings,
) -> anyhow::Result<(LockOrder, u32)> {
    progress.step("looking for the best way to run the row-lock baseline");
    let window = Window { measure: window.measure / 2, ..window };
    let mut best = (0.0, LockOrder::Late, limits::POOL_QUICK);
    for lock in [LockOrder::Early, LockOrder::Late] {
        for pool in limits::POOLS {
            let running = world.start_row_lock(lock, *pool).await?;
            let items = std::slice::from_ref(&running.market.hot);
            let load = Load::Clients(limits::RATIO_CLIENTS);
            let scenario = match lock {
                LockOrder::Early => "calibration-early",
                LockOrder::Late => "calibration-late",
            };
            let task = Task { scenario, round: *pool, items, load, window };
            let found = measure(world, &running, task, progress, findings).await?.accepted_per_s;
            findings.calibration.push(Calibration {
                lock: scenario,
                pool: *pool,
                accepted_per_s: found,
            });
            if found > best.0 {
                best = (found, lock, *pool);
            }
            running.stop().await?;
        }
    }
    Ok((best.1, best.2))
}
