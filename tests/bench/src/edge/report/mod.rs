//! The edge's report: medians and ratios of what was measured, as JSON, as Markdown and as a plot.

pub mod markdown;
pub mod svg;

pub use markdown::summary;

use super::Findings;
use super::correctness::{Correctness, Purges};
use super::measure::Measurement;
use super::news::News;
use super::server::{EDGE_NODE, NGINX, VARNISH, WASMTIME_SERVE, WORKERD};
use super::start::Starts;
use crate::report::machine::Machine;
use crate::report::{groups, median, ratio, round};
use serde::Serialize;
use std::collections::BTreeMap;
use std::path::Path;

/// The comparison of caches.
pub const CACHE: &str = "cache";
/// The comparison of hosts of functions.
pub const COMPUTE: &str = "compute";

/// On what it was measured.
#[derive(Debug, Clone, Default, Serialize)]
pub struct Facts {
    /// Whether it was a quick run.
    pub quick: bool,
    /// How long the run took, s.
    pub took_s: u64,
    /// The machine.
    #[serde(flatten)]
    pub machine: Machine,
    /// Whether servers had one processor and clients another.
    pub pinned: bool,
    /// What the peers say of themselves.
    pub peers: BTreeMap<&'static str, String>,
}

/// All that is written.
#[derive(Debug, Serialize)]
pub struct Report {
    /// On what it was measured.
    pub facts: Facts,
    /// The figures that the run is for; null where something was not measured. A comparison's is that of its answers a
    /// second if both servers were busy all the time, and else that for each second of their processor; its note says so.
    pub ratios: Ratios,
    /// Answers a second, ours by theirs.
    pub ratios_by_rate: BTreeMap<&'static str, Option<f64>>,
    /// Answers for each second of the server's processor, ours by theirs: what counts where something else than the
    /// server was the limit.
    pub ratios_per_processor_second: BTreeMap<&'static str, Option<f64>>,
    /// Why a ratio is null, or which of the two it is.
    pub notes: BTreeMap<&'static str, String>,
    /// Medians over the rounds.
    pub medians: Vec<Median>,
    /// What each cache got right.
    pub correctness: Vec<Correctness>,
    /// What became of purges.
    pub purges: Option<Purges>,
    /// How soon the edge shows what the core commits.
    pub news: Option<News>,
    /// What starts took.
    pub starts: Option<Starts>,
    /// What should not have happened.
    pub faults: Vec<String>,
    /// Every measurement.
    pub measurements: Vec<Measurement>,
}

/// The figures that the run is for.
#[derive(Debug, Clone, Default, PartialEq, Serialize)]
pub struct Ratios {
    /// Hits of edge-node's cache, by nginx's.
    pub hit_vs_nginx: Option<f64>,
    /// The same, by Varnish's.
    pub hit_vs_varnish: Option<f64>,
    /// Menus rendered by a component in edge-node, by those in `wasmtime serve`.
    pub compute_vs_wasmtime_serve: Option<f64>,
    /// The same, by those of its twin in workerd.
    pub compute_vs_workerd: Option<f64>,
    /// From the core's acknowledgement of an edit to the first answer of the edge with it: the 99th percentile, ms. Where
    /// no core was given, from a change behind the cache over its purge.
    pub purge_visible_p99_ms: Option<f64>,
    /// From the program's start to its first answer, everything having been compiled before, ms.
    pub cold_start_ms: Option<f64>,
    /// Resident memory after that, MB.
    pub rss_mb: Option<f64>,
}

/// Which comparison a ratio is of, and with whom.
pub const COMPARISONS: [(&str, &str, &str); 4] = [
    ("hit_vs_nginx", CACHE, NGINX),
    ("hit_vs_varnish", CACHE, VARNISH),
    ("compute_vs_wasmtime_serve", COMPUTE, WASMTIME_SERVE),
    ("compute_vs_workerd", COMPUTE, WORKERD),
];

/// How a note begins where the ratio is that of answers a second.
const BY_RATE: &str = "by answers a second";
/// How it begins where the ratio is that of answers for each second of processor.
const BY_PROCESSOR: &str = "by processor time";

/// The medians of one comparison, server and kind of load over its rounds.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Median {
    /// The comparison.
    pub track: &'static str,
    /// The server.
    pub system: &'static str,
    /// Clients of a closed loop; none of an open one.
    pub clients: Option<usize>,
    /// Requests a second of an open loop; none of a closed one.
    pub offered_per_s: Option<f64>,
    /// Rounds.
    pub rounds: usize,
    /// Right answers a second.
    pub answers_per_s: f64,
    /// The fewest and the most of a round.
    pub answers_per_s_range: [f64; 2],
    /// The median latency, ms.
    pub p50_ms: f64,
    /// 99 of 100 answers came within, ms.
    pub p99_ms: f64,
    /// The least and the greatest of a round.
    pub p99_ms_range: [f64; 2],
    /// 999 of 1,000 answers came within, ms.
    pub p999_ms: f64,
    /// Processor time of the server for each answer, µs.
    pub server_cpu_us: Option<f64>,
    /// How much of one processor the server used, 0 to 1.
    pub server_busy: Option<f64>,
    /// How much of one processor the generator used, 0 to 1.
    pub generator_busy: Option<f64>,
    /// How much of the servers' processor all other programs used, 0 to 1.
    pub others_busy: Option<f64>,
}

impl Report {
    /// Works out the medians and ratios; `missing` are servers that are not here, and why.
    pub fn new(facts: Facts, findings: Findings, missing: &BTreeMap<&'static str, &str>) -> Self {
        let Findings { measurements, correctness, purges, news, starts, faults } = findings;
        let medians = medians(&measurements);
        let throughput = |track, system| {
            medians.iter().find(|median| {
                median.track == track && median.system == system && median.offered_per_s.is_none()
            })
        };
        let by_rate = |track, peer| {
            let rate = |system| throughput(track, system).map(|median| median.answers_per_s);
            ratio(rate(EDGE_NODE), rate(peer))
        };
        let by_processor = |track, peer| {
            let cost = |system| throughput(track, system).and_then(|median| median.server_cpu_us);
            ratio(cost(peer), cost(EDGE_NODE))
        };
        let mut notes = BTreeMap::new();
        let (mut ratios_by_rate, mut ratios_per_processor_second) =
            (BTreeMap::new(), BTreeMap::new());
        for (name, track, peer) in COMPARISONS {
            ratios_by_rate.insert(name, by_rate(track, peer));
            ratios_per_processor_second.insert(name, by_processor(track, peer));
            let unsaturated = measurements.iter().find(|m| {
                let of_these = m.track == track && [EDGE_NODE, peer].contains(&m.system);
                of_these && m.offered_per_s.is_none() && !m.is_saturated()
            });
            let note = if let Some(why) = missing.get(peer) {
                (*why).to_owned()
            } else if throughput(track, EDGE_NODE).is_none() {
                "not among the scenarios of this run".to_owned()
            } else if by_processor(track, peer).is_none() {
                format!("{BY_RATE}: processor time is not known here")
            } else if let Some(idle) = unsaturated {
                let (system, why) = (idle.system, idle.other_limit());
                format!("{BY_PROCESSOR}: {system} was not busy all the time, {why}")
            } else {
                format!("{BY_RATE}: both were busy all the time")
            };
            notes.insert(name, note);
        }
        let comparison = |name: &str| {
            let is_by_rate = notes.get(name).is_some_and(|note| note.starts_with(BY_RATE));
            let of = if is_by_rate { &ratios_by_rate } else { &ratios_per_processor_second };
            of.get(name).copied().flatten()
        };
        let ratios = Ratios {
            hit_vs_nginx: comparison("hit_vs_nginx"),
            hit_vs_varnish: comparison("hit_vs_varnish"),
            compute_vs_wasmtime_serve: comparison("compute_vs_wasmtime_serve"),
            compute_vs_workerd: comparison("compute_vs_workerd"),
            purge_visible_p99_ms: (news.as_ref().map(|news| news.visible_p99_ms))
                .or(purges.as_ref().map(|purges| purges.visible_p99_ms)),
            cold_start_ms: starts.as_ref().map(|starts| starts.median_ms),
            rss_mb: starts.as_ref().and_then(|starts| starts.resident_mib).map(megabytes),
        };
        for (name, figure) in [
            ("purge_visible_p99_ms", ratios.purge_visible_p99_ms),
            ("cold_start_ms", ratios.cold_start_ms),
            ("rss_mb", ratios.rss_mb),
        ] {
            if figure.is_none() {
                notes.insert(name, "not measured in this run".to_owned());
            }
        }
        if news.is_none() && purges.is_some() {
            let why = "of purges on the admin port: the core took no part".to_owned();
            notes.insert("purge_visible_p99_ms", why);
        }
        Self {
            facts,
            ratios,
            ratios_by_rate,
            ratios_per_processor_second,
            notes,
            medians,
            correctness,
            purges,
            news,
            starts,
            faults,
            measurements,
        }
    }
}

fn megabytes(mib: f64) -> f64 {
    round(mib * 1.048_576, 1)
}

/// Writes `edge.json`, `edge.md` and `edge.svg` into a folder.
pub fn write(report: &Report, folder: &Path) -> anyhow::Result<()> {
    let (markdown, svg) = (markdown::render(report), svg::render(&report.medians));
    crate::report::write(folder, "edge", report, &markdown, &svg)
}

/// Medians over rounds, in the order in which the measurements were made.
fn medians(measurements: &[Measurement]) -> Vec<Median> {
    let groups = groups(measurements, |m| (m.track, m.system, m.offered_per_s.is_some()));
    let medians = groups.iter().map(|group| {
        let middle = |of: fn(&Measurement) -> Option<f64>| {
            median(group.iter().filter_map(|m| of(m))).map(|value| round(value, 3))
        };
        let range = |of: fn(&Measurement) -> f64| {
            let values = || group.iter().map(|m| of(m));
            [values().fold(f64::INFINITY, f64::min), values().fold(0.0, f64::max)]
        };
        Median {
            track: group[0].track,
            system: group[0].system,
            clients: group[0].clients,
            offered_per_s: group[0].offered_per_s,
            rounds: group.len(),
            answers_per_s: middle(|m| Some(m.answers_per_s)).unwrap_or(0.0),
            answers_per_s_range: range(|m| m.answers_per_s),
            p50_ms: middle(|m| Some(m.p50_ms)).unwrap_or(0.0),
            p99_ms: middle(|m| Some(m.p99_ms)).unwrap_or(0.0),
            p99_ms_range: range(|m| m.p99_ms),
            p999_ms: middle(|m| Some(m.p999_ms)).unwrap_or(0.0),
            server_cpu_us: middle(|m| m.server_cpu_us),
            server_busy: middle(|m| m.server_busy),
            generator_busy: middle(|m| m.generator_busy),
            others_busy: middle(|m| m.others_busy),
        }
    });
    medians.collect()
}

#[cfg(test)]
pub mod testing;
#[cfg(test)]
mod tests;
