//! Refusals: how fast the core says that nothing is left, and that it asks the database nothing for it.

use super::measure::{Load, Running, Task, measure};
use super::plan::Plan;
use super::store;
use super::world::World;
use super::{Findings, SoldOutQueries};
use crate::limits;
use crate::load::Window;
use crate::progress::Progress;
use std::time::{Duration, Instant};
use tokio::time::sleep;

/// Runs it: in each round another item sells out first, and then nothing but refusals is measured.
pub async fn run(
    world: &World,
    core: &Running,
    plan: &Plan,
    progress: &mut Progress,
    findings: &mut Findings,
) -> anyhow::Result<()> {
    progress.step("refusals of a sold-out item");
    let load = Load::Clients(limits::RATIO_CLIENTS);
    let mut conn = world.pool.acquire().await?;
    let mut queries = SoldOutQueries::default();
    for (round, item) in (1..=plan.rounds).zip(&core.market.scarce) {
        let items = std::slice::from_ref(item);
        let selling = Window { warm_up: Duration::ZERO, measure: plan.window.warm_up };
        let task = Task { scenario: "selling-out", round, items, load, window: selling };
        measure(world, core, task, progress, findings).await?;
        let left = selling_left(findings);
        if left != 0 {
            findings
                .faults
                .push(format!("selling-out: {left} units more or less were sold than there were"));
        }

        let before = store::questions(&mut conn).await?;
        let started = Instant::now();
        let window = Window { warm_up: Duration::ZERO, measure: plan.window.measure };
        let task = Task { scenario: "sold-out", round, items, load, window };
        let figures = measure(world, core, task, progress, findings).await?;
        let took = started.elapsed();
        let asked = store::questions(&mut conn).await? - before;
        // Our own look at the ledger is one statement more than idling makes.
        queries.statements += asked.saturating_sub(1);
        queries.refusals += figures.sold_out;

        let before = store::questions(&mut conn).await?;
        sleep(took).await;
        queries.statements_idle += store::questions(&mut conn).await? - before;
    }
    findings.sold_out_queries = Some(queries);
    Ok(())
}

/// Units of the last scarce item that are left after it should have sold out.
fn selling_left(findings: &Findings) -> i64 {
    let last = findings.measurements.last();
    last.map_or(0, |sold| limits::SCARCE_STOCK_UNITS - sold.ledger_units)
}
