//! How much of the edge is measured.

use crate::limits;
use crate::load::Window;
use anyhow::bail;
use std::time::Duration;

/// What starting the servers takes, s: a guess for the first minutes.
pub const PREPARATION_S: f64 = 5.0;

/// The scenarios and their extent.
#[derive(Debug, Clone)]
pub struct Plan {
    /// Whether this is a quick run.
    pub quick: bool,
    /// Rounds of each comparison.
    pub rounds: u32,
    /// One measurement of throughput.
    pub window: Window,
    /// One measurement of latency.
    pub latency_window: Window,
    /// Whether caches are compared.
    pub cache: bool,
    /// Whether caches are put to the test: expiries, purges, an origin that is gone.
    pub correctness: bool,
    /// Whether hosts of functions are compared.
    pub compute: bool,
    /// Whether edits at the core are looked for at the edge.
    pub news: bool,
    /// Whether the node's start is timed.
    pub start: bool,
}

const SCENARIOS: [&str; 5] = ["cache", "correctness", "compute", "news", "start"];

const fn window(warm_up_ms: u64, measure_ms: u64) -> Window {
    Window {
        warm_up: Duration::from_millis(warm_up_ms),
        measure: Duration::from_millis(measure_ms),
    }
}

impl Plan {
    /// A whole or a quick run of all scenarios, or of those named.
    pub fn new(quick: bool, only: &[String]) -> anyhow::Result<Self> {
        if let Some(unknown) = only.iter().find(|name| !SCENARIOS.contains(&name.as_str())) {
            bail!("--only {unknown}: the scenarios are {}", SCENARIOS.join(", "));
        }
        let wanted = |name: &str| only.is_empty() || only.iter().any(|one| one == name);
        Ok(Self {
            quick,
            rounds: if quick { limits::EDGE_ROUNDS_QUICK } else { limits::EDGE_ROUNDS },
            window: if quick { window(300, 1_200) } else { window(1_000, 5_000) },
            latency_window: if quick { window(300, 1_700) } else { window(1_000, 10_000) },
            cache: wanted("cache"),
            correctness: wanted("correctness"),
            compute: wanted("compute"),
            news: wanted("news"),
            start: wanted("start"),
        })
    }

    /// Measurements of one comparison of so many systems, of which some are not measured for latency.
    fn track_s(&self, systems: u32, without_latency: u32) -> f64 {
        let closed = self.window.total() * self.rounds * systems;
        let open = self.latency_window.total() * self.rounds * (systems - without_latency);
        (closed + open).as_secs_f64()
    }

    /// How long the run may take if every peer is installed, s.
    pub fn expected_s(&self) -> f64 {
        let mut expected_s = PREPARATION_S;
        if self.cache {
            expected_s += self.track_s(5, 2);
        }
        if self.correctness {
            expected_s += if self.quick { 20.0 } else { 50.0 };
        }
        if self.compute {
            expected_s += self.track_s(3, 0);
        }
        if self.news {
            expected_s += if self.quick { 10.0 } else { 25.0 };
        }
        if self.start {
            expected_s += self.start_s();
        }
        expected_s
    }

    /// How long the starts may take, s: the first one compiles.
    pub fn start_s(&self) -> f64 {
        if self.quick { 15.0 } else { 20.0 }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_quick_run_fits_into_its_budget() {
        let quick = Plan::new(true, &[]).unwrap();
        assert!(quick.expected_s() < limits::QUICK_BUDGET.as_secs_f64(), "{}", quick.expected_s());
        assert!(quick.cache && quick.start);
    }

    #[test]
    fn a_misspelt_scenario_is_named() {
        let error = Plan::new(true, &["cahce".to_owned()]).unwrap_err().to_string();
        assert!(error.contains("cahce") && error.contains("correctness"), "{error}");
        let plan = Plan::new(true, &["start".to_owned()]).unwrap();
        assert!(plan.start && !plan.compute);
    }
}
