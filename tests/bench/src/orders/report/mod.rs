//! The report: medians and ratios of what was measured, as JSON, as a Markdown table and as a plot.
//!
//! [`facts`] says on what it was measured, [`markdown`] and [`svg`] how it is shown.

pub mod facts;
pub mod markdown;
pub mod svg;

pub use facts::Facts;
pub use markdown::summary;

use crate::limits;
use crate::orders::measure::Measurement;
use crate::orders::{Calibration, Findings, SoldOutQueries};
use crate::report::{groups, median, ratio, round};
use serde::Serialize;
use std::collections::BTreeMap;
use std::path::Path;

/// All that is written.
#[derive(Debug, Serialize)]
pub struct Report {
    /// On what it was measured.
    pub facts: Facts,
    /// The figures that the targets are about.
    pub ratios: Ratios,
    /// Whether each target is met; absent where it was not measured.
    pub targets_met: BTreeMap<&'static str, bool>,
    /// Medians over the rounds.
    pub medians: Vec<Median>,
    /// What the database was asked while a sold-out item was asked for.
    pub sold_out_queries: Option<SoldOutQueries>,
    /// Ways of running the row-lock baseline that were tried.
    pub calibration: Vec<Calibration>,
    /// Orders of the past in the small and in the large table.
    pub table_orders: Option<[u64; 2]>,
    /// What should not have happened.
    pub faults: Vec<String>,
    /// Every measurement.
    pub measurements: Vec<Measurement>,
}

/// The figures that the targets are about; `None` where they were not measured.
#[derive(Debug, Clone, Default, PartialEq, Serialize)]
pub struct Ratios {
    /// Orders a second on one hot item at 256 clients: the core's, by the row-lock baseline's.
    pub hot_vs_row_lock: Option<f64>,
    /// The same, by the async-ack baseline's.
    pub hot_vs_async_ack: Option<f64>,
    /// The core's orders a second with 10^6 orders in the table, by those with 10^3.
    pub large_table_vs_small: Option<f64>,
    /// The core's refusals of a sold-out item a second, by its accepted orders a second on a hot one.
    pub sold_out_vs_accepted: Option<f64>,
    /// Orders a second of two replicas, by those of one.
    pub two_replicas_vs_one: Option<f64>,
    /// The core's 99th percentile at 70 % of its peak throughput on one hot item, ms.
    pub p99_ms_at_70pct: Option<f64>,
    /// Statements that the database was asked for each refusal of a sold-out item, beyond those of idling.
    pub queries_per_refusal: Option<f64>,
}

/// The medians of one scenario, system and load over its rounds.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Median {
    /// The scenario's name.
    pub scenario: &'static str,
    /// The system's name.
    pub system: &'static str,
    /// Clients of a closed loop; none for an open one.
    pub clients: Option<usize>,
    /// Rounds.
    pub rounds: usize,
    /// Orders accepted a second.
    pub accepted_per_s: f64,
    /// Orders refused a second.
    pub sold_out_per_s: f64,
    /// The median latency, ms.
    pub p50_ms: f64,
    /// 99 of 100 answers came within, ms.
    pub p99_ms: f64,
    /// 999 of 1,000 answers came within, ms.
    pub p999_ms: f64,
    /// Processor time for each answer, µs, by who used it.
    pub cpu_us_per_answer: BTreeMap<&'static str, f64>,
}

/// Each target: its ratio, whether it is met, and what it asks for.
pub const TARGETS: [(&str, &str); 7] = [
    ("hot_vs_row_lock", "at least 10"),
    ("hot_vs_async_ack", "at least 0.9"),
    ("large_table_vs_small", "at least 0.9"),
    ("sold_out_vs_accepted", "at least 10"),
    ("two_replicas_vs_one", "at least 1"),
    ("p99_ms_at_70pct", "at most 50 ms"),
    ("queries_per_refusal", "0"),
];

/// Statements that jobs happen to make a few more of in one interval than in another, for each refusal:
/// less than one in a thousand refusals cannot be a statement of the refusals'.
const QUERIES_PER_REFUSAL_NOISE: f64 = 0.001;
/// Two equal systems differ by this much from round to round.
const REPLICAS_NOISE: f64 = 0.05;

impl Ratios {
    /// The figure of a target.
    pub fn get(&self, target: &str) -> Option<f64> {
        match target {
            "hot_vs_row_lock" => self.hot_vs_row_lock,
            "hot_vs_async_ack" => self.hot_vs_async_ack,
            "large_table_vs_small" => self.large_table_vs_small,
            "sold_out_vs_accepted" => self.sold_out_vs_accepted,
            "two_replicas_vs_one" => self.two_replicas_vs_one,
            "p99_ms_at_70pct" => self.p99_ms_at_70pct,
            "queries_per_refusal" => self.queries_per_refusal,
            _ => None,
        }
    }

    fn is_met(&self, target: &str) -> Option<bool> {
        let figure = self.get(target)?;
        Some(match target {
            "hot_vs_row_lock" | "sold_out_vs_accepted" => figure >= 10.0,
            "hot_vs_async_ack" | "large_table_vs_small" => figure >= 0.9,
            "two_replicas_vs_one" => figure >= 1.0 - REPLICAS_NOISE,
            "p99_ms_at_70pct" => figure <= 50.0,
            _ => figure <= QUERIES_PER_REFUSAL_NOISE,
        })
    }
}

impl Report {
    /// Works out the medians and ratios.
    pub fn new(facts: Facts, findings: Findings) -> Self {
        let Findings { measurements, sold_out_queries, calibration, table_orders, faults } =
            findings;
        let medians = medians(&measurements);
        let ratios = ratios(&medians, sold_out_queries.as_ref());
        let met = |(target, _): (&'static str, _)| Some((target, ratios.is_met(target)?));
        let targets_met = TARGETS.into_iter().filter_map(met).collect();
        Self {
            facts,
            ratios,
            targets_met,
            medians,
            sold_out_queries,
            calibration,
            table_orders,
            faults,
            measurements,
        }
    }
}

/// Writes `orders.json`, `orders.md` and `orders.svg` into a folder.
pub fn write(report: &Report, folder: &Path) -> anyhow::Result<()> {
    let (markdown, svg) = (markdown::render(report), svg::render(&report.medians));
    crate::report::write(folder, "orders", report, &markdown, &svg)
}

/// Medians over rounds, in the order in which the measurements were made.
fn medians(measurements: &[Measurement]) -> Vec<Median> {
    let groups = groups(measurements, |m| {
        // A calibration's rounds are different ways of running it.
        let way = m.scenario.starts_with("calibration").then_some(m.round);
        (m.scenario, m.system, m.clients, way)
    });
    let middle = |group: &[&Measurement], of: fn(&Measurement) -> f64| {
        round(median(group.iter().map(|m| of(m))).unwrap_or(0.0), 3)
    };
    groups
        .iter()
        .filter(|group| !["model-order", "selling-out"].contains(&group[0].scenario))
        .map(|group| Median {
            scenario: group[0].scenario,
            system: group[0].system,
            clients: group[0].clients,
            rounds: group.len(),
            accepted_per_s: middle(group, |m| m.figures.accepted_per_s),
            sold_out_per_s: middle(group, |m| m.figures.sold_out_per_s),
            p50_ms: middle(group, |m| m.figures.p50_ms),
            p99_ms: middle(group, |m| m.figures.p99_ms),
            p999_ms: middle(group, |m| m.figures.p999_ms),
            cpu_us_per_answer: median_cpu(group),
        })
        .collect()
}

fn median_cpu(group: &[&Measurement]) -> BTreeMap<&'static str, f64> {
    let names = group[0].cpu_us_per_answer.keys();
    names
        .filter_map(|who| {
            let values = group.iter().filter_map(|m| m.cpu_us_per_answer.get(who).copied());
            Some((*who, round(median(values)?, 1)))
        })
        .collect()
}

fn ratios(medians: &[Median], sold_out: Option<&SoldOutQueries>) -> Ratios {
    let find = |scenario: &str, system: &str| {
        medians.iter().find(|m| {
            let clients = m.clients.is_none_or(|clients| clients == limits::RATIO_CLIENTS);
            m.scenario == scenario && m.system == system && clients
        })
    };
    let accepted = |scenario, system| find(scenario, system).map(|m| m.accepted_per_s);
    let hot = accepted("hot", "core");
    Ratios {
        hot_vs_row_lock: ratio(hot, accepted("hot", "row-lock")),
        hot_vs_async_ack: ratio(hot, accepted("hot", "async-ack")),
        large_table_vs_small: ratio(
            accepted("large-table", "core"),
            accepted("small-table", "core"),
        ),
        sold_out_vs_accepted: ratio(
            find("sold-out", "core").map(|m| m.sold_out_per_s),
            hot.or_else(|| accepted("one-replica", "core")),
        ),
        two_replicas_vs_one: ratio(
            accepted("two-replicas", "core"),
            accepted("one-replica", "core"),
        ),
        p99_ms_at_70pct: find("latency", "core").map(|m| m.p99_ms),
        queries_per_refusal: sold_out.and_then(|found| {
            let beyond = found.statements.saturating_sub(found.statements_idle);
            ratio(Some(beyond as f64), Some(found.refusals as f64))
        }),
    }
}

#[cfg(test)]
pub mod testing;
#[cfg(test)]
mod tests;
