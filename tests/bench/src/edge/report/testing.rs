//! Measurements for the tests of the report.

use super::super::Findings;
use super::super::correctness::{Correctness, Purges};
use super::super::measure::Measurement;
use super::super::news::News;
use super::super::server::{EDGE_NODE, NGINX, WASMTIME_SERVE};
use super::super::start::Starts;
use super::{CACHE, COMPUTE, Facts, Report};
use std::collections::BTreeMap;

/// A measurement of throughput.
pub fn measurement(
    track: &'static str,
    system: &'static str,
    round: u32,
    answers_per_s: f64,
) -> Measurement {
    Measurement {
        track,
        system,
        round,
        clients: Some(64),
        answers_per_s,
        p50_ms: 1.0,
        p99_ms: 3.0,
        server_cpu_us: Some(1e6 / answers_per_s),
        server_busy: Some(1.0),
        ..Measurement::default()
    }
}

/// A report without Varnish and workerd, in which nginx was not busy all the time.
pub fn report() -> Report {
    let mut measurements = Vec::new();
    for (round, factor) in [(1, 0.5), (2, 1.0), (3, 4.0)] {
        for (track, system, rate) in [
            (CACHE, EDGE_NODE, 30_000.0),
            (CACHE, NGINX, 40_000.0),
            (COMPUTE, EDGE_NODE, 9_000.0),
            (COMPUTE, WASMTIME_SERVE, 10_000.0),
        ] {
            let mut found = measurement(track, system, round, rate * factor);
            if system == NGINX {
                (found.server_busy, found.server_cpu_us) = (Some(0.5), Some(12.5 / factor));
                found.others_busy = Some(0.45);
            }
            measurements.push(found);
            let mut latency = measurement(track, system, round, 6_000.0);
            (latency.clients, latency.offered_per_s) = (None, Some(6_000.0));
            latency.p99_ms = factor;
            measurements.push(latency);
        }
    }
    let correctness = Correctness {
        system: EDGE_NODE,
        fetches_per_cold_key: 1,
        fetches_per_expiry: 1,
        outage_answers: 500,
        outage_errors: BTreeMap::new(),
    };
    let starts = Starts { median_ms: 40.0, resident_mib: Some(100.0), ..Starts::default() };
    let findings = Findings {
        measurements,
        correctness: vec![correctness],
        purges: Some(Purges { visible_p99_ms: 1.5, ..Purges::default() }),
        news: Some(News { visible_p99_ms: 2.5, ..News::default() }),
        starts: Some(starts),
        faults: Vec::new(),
    };
    let missing = BTreeMap::from([
        ("varnish", "varnishd is not installed"),
        ("workerd", "workerd is not installed"),
    ]);
    Report::new(Facts::default(), findings, &missing)
}
