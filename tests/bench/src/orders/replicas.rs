//! Two replicas of the core on one database and one hot item, the clients spread over both, against one.

use super::Findings;
use super::measure::{Load, Running, Task, measure};
use super::plan::Plan;
use super::world::World;
use crate::limits;
use crate::progress::Progress;

/// Runs it and stops the core.
pub async fn run(
    world: &mut World,
    mut core: Running,
    plan: &Plan,
    progress: &mut Progress,
    findings: &mut Findings,
) -> anyhow::Result<()> {
    progress.step("two replicas beside one");
    for round in 1..=plan.rounds {
        for scenario in ["one-replica", "two-replicas"] {
            if scenario == "two-replicas" {
                let replica = world.start_replica(&core).await?;
                core.processes.push(replica);
            }
            let items = std::slice::from_ref(&core.market.hot);
            let load = Load::Clients(limits::RATIO_CLIENTS);
            let task = Task { scenario, round, items, load, window: plan.window };
            measure(world, &core, task, progress, findings).await?;
        }
        if let Some(replica) = core.processes.pop() {
            replica.stop().await?;
        }
    }
    core.stop().await
}
