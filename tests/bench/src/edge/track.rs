//! A comparison: the same requests to several servers in turn, first as fast as each can, then all at one rate.

use super::Findings;
use super::measure::{Gets, Load, Task, faults, line, measure};
use super::plan::Plan;
use super::server::{EDGE_NODE_LOGGED, NGINX_LOGGED, Server};
use crate::limits;
use crate::load::scenarios::in_turn;
use crate::progress::Progress;
use crate::report::median;
use std::collections::BTreeMap;
use std::time::Instant;

/// Runs it.
pub async fn run(
    track: &'static str,
    servers: &[Server],
    gets: &Gets,
    plan: &Plan,
    progress: &mut Progress,
    findings: &mut Findings,
) -> anyhow::Result<()> {
    let clients = best_clients(track, servers, gets, plan, progress).await?;
    progress.step(&format!("{track}: throughput"));
    for round in 1..=plan.rounds {
        for server in in_turn(servers, round) {
            let load = Load::Clients(clients[server.name]);
            let task = Task { track, round, gets, load, window: plan.window };
            one(server, task, progress, findings).await?;
        }
    }
    let load = Load::PerSecond(common_rate(track, servers, findings).max(1.0));
    progress.step(&format!("{track}: latency, all at the same rate"));
    for round in 1..=plan.rounds {
        for server in in_turn(servers, round).filter(|server| !is_logged(server.name)) {
            let task = Task { track, round, gets, load, window: plan.latency_window };
            one(server, task, progress, findings).await?;
        }
    }
    Ok(())
}

/// How many clients get the most out of each server, by its name: each is measured at its best, and none is left idle by
/// too few. These tries count for nothing else.
async fn best_clients(
    track: &'static str,
    servers: &[Server],
    gets: &Gets,
    plan: &Plan,
    progress: &mut Progress,
) -> anyhow::Result<BTreeMap<&'static str, usize>> {
    progress.step(&format!("{track}: how many clients suit each"));
    let mut best: BTreeMap<&'static str, (usize, f64)> = BTreeMap::new();
    for clients in limits::EDGE_CLIENTS {
        for server in servers {
            let started = Instant::now();
            let load = Load::Clients(*clients);
            let task = Task { track, round: 0, gets, load, window: plan.trial_window };
            let found = measure(server, task).await?;
            progress.found(started.elapsed(), &line(&found));
            let best = best.entry(server.name).or_insert((*clients, 0.0));
            if found.answers_per_s > best.1 {
                *best = (*clients, found.answers_per_s);
            }
        }
    }
    Ok(best.into_iter().map(|(name, (clients, _))| (name, clients)).collect())
}

async fn one(
    server: &Server,
    task: Task<'_>,
    progress: &mut Progress,
    findings: &mut Findings,
) -> anyhow::Result<()> {
    let started = Instant::now();
    let found = measure(server, task).await?;
    progress.found(started.elapsed(), &line(&found));
    findings.faults.extend(faults(&found));
    findings.measurements.push(found);
    Ok(())
}

/// What every server can keep up with, requests a second.
fn common_rate(track: &str, servers: &[Server], findings: &Findings) -> f64 {
    let peaks = servers.iter().filter(|server| !is_logged(server.name)).map(|server| {
        let of_server = findings.measurements.iter().filter(|found| {
            found.track == track && found.system == server.name && found.offered_per_s.is_none()
        });
        median(of_server.map(|found| found.answers_per_s)).unwrap_or(0.0)
    });
    peaks.fold(f64::INFINITY, f64::min) * limits::EDGE_LATENCY_LOAD
}

/// Those with an access log are there to show what it costs.
fn is_logged(name: &str) -> bool {
    [EDGE_NODE_LOGGED, NGINX_LOGGED].contains(&name)
}
