//! Measurements for the tests of the report.

use super::{Facts, Report};
use crate::orders::figures::Figures;
use crate::orders::measure::Measurement;
use crate::orders::{Findings, SoldOutQueries};
use std::collections::BTreeMap;

/// A measurement at 256 clients.
pub fn measurement(
    scenario: &'static str,
    system: &'static str,
    round: u32,
    accepted_per_s: f64,
) -> Measurement {
    let figures = Figures { accepted_per_s, p50_ms: 2.0, p99_ms: 9.0, ..Figures::default() };
    Measurement {
        scenario,
        system,
        round,
        clients: Some(256),
        offered_per_s: None,
        figures,
        ledger_orders: 0,
        ledger_units: 0,
        caught_up_ms: 0.0,
        cpu_us_per_answer: BTreeMap::from([("server", 100.0)]),
    }
}

/// A report with every ratio in it.
pub fn report() -> Report {
    let mut measurements = Vec::new();
    for (round, factor) in [(1, 0.5), (2, 1.0), (3, 4.0)] {
        for (scenario, system, rate) in [
            ("hot", "core", 5_000.0),
            ("hot", "row-lock", 400.0),
            ("hot", "async-ack", 5_400.0),
            ("wide", "core", 4_000.0),
            ("one-replica", "core", 5_000.0),
            ("two-replicas", "core", 5_100.0),
            ("small-table", "core", 5_000.0),
            ("large-table", "core", 4_600.0),
        ] {
            measurements.push(measurement(scenario, system, round, rate * factor));
        }
        let mut few = measurement("hot", "core", round, 100.0);
        few.clients = Some(1);
        measurements.push(few);
        let mut sold_out = measurement("sold-out", "core", round, 0.0);
        sold_out.figures.sold_out_per_s = 20_000.0 * factor;
        measurements.push(sold_out);
        let mut latency = measurement("latency", "core", round, 3_500.0);
        (latency.clients, latency.offered_per_s) = (None, Some(3_500.0));
        latency.figures.p99_ms = 20.0 * factor;
        measurements.push(latency);
    }
    let sold_out_queries =
        Some(SoldOutQueries { refusals: 100_000, statements: 30, statements_idle: 28 });
    let findings = Findings { measurements, sold_out_queries, ..Findings::default() };
    Report::new(Facts::default(), findings)
}
