//! Latency at 70 % of the peak throughput on one hot item, in an open loop; each system at its own peak.

use super::Findings;
use super::measure::{Load, Running, Task, measure};
use super::plan::Plan;
use super::world::World;
use crate::limits;
use crate::progress::Progress;
use crate::report::median;

/// Runs it; the sweep before it has found the peaks.
pub async fn run(
    world: &World,
    systems: &[Running; 3],
    plan: &Plan,
    progress: &mut Progress,
    findings: &mut Findings,
) -> anyhow::Result<()> {
    progress.step("latency at 70 % of the peak");
    let (rounds, systems) =
        if plan.quick { (1, &systems[..1]) } else { (plan.rounds, &systems[..]) };
    for round in 1..=rounds {
        for running in systems {
            let rate = peak(findings, running.system.name(), plan) * limits::LATENCY_LOAD;
            if rate <= 0.0 {
                findings.faults.push(format!("{}: no order was taken", running.system.name()));
                continue;
            }
            let task = Task {
                scenario: "latency",
                round,
                items: std::slice::from_ref(&running.market.hot),
                load: Load::PerSecond(rate),
                window: plan.latency_window,
            };
            measure(world, running, task, progress, findings).await?;
        }
    }
    Ok(())
}

/// The highest of the medians over client counts, orders a second.
fn peak(findings: &Findings, system: &str, plan: &Plan) -> f64 {
    let at = |clients: &usize| {
        let rates = findings
            .measurements
            .iter()
            .filter(|m| m.scenario == "hot" && m.system == system && m.clients == Some(*clients))
            .map(|m| m.figures.accepted_per_s);
        median(rates).unwrap_or(0.0)
    };
    plan.clients.iter().map(at).fold(0.0, f64::max)
}
