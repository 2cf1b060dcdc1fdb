//! How much of the edge is measured.

use crate::limits;
use crate::load::Window;
use crate::load::scenarios::wanted;

/// What starting the servers takes, s: a guess for the first minutes.
pub const PREPARATION_S: f64 = 5.0;

/// The scenarios and their extent.
#[derive(Debug, Clone)]
pub struct Plan {
    /// Whether this is a quick run.
    pub quick: bool,
    /// Rounds of each comparison.
    pub rounds: u32,
    /// One try of how many clients suit a server.
    pub trial_window: Window,
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

impl Plan {
    /// A whole or a quick run of all scenarios, or of those named.
    pub fn new(quick: bool, only: &[String]) -> anyhow::Result<Self> {
        let wanted = wanted(only, &SCENARIOS)?;
        Ok(Self {
            quick,
            rounds: if quick { limits::EDGE_ROUNDS_QUICK } else { limits::EDGE_ROUNDS },
            trial_window: if quick { Window::of_ms(200, 600) } else { Window::of_ms(500, 2_000) },
            window: if quick { Window::of_ms(300, 1_200) } else { Window::of_ms(1_000, 5_000) },
            latency_window: if quick {
                Window::of_ms(300, 1_700)
            } else {
                Window::of_ms(1_000, 10_000)
            },
            cache: wanted("cache"),
            correctness: wanted("correctness"),
            compute: wanted("compute"),
            news: wanted("news"),
            start: wanted("start"),
        })
    }

    /// Measurements of one comparison of so many systems, of which some are not measured for latency.
    fn track_s(&self, systems: u32, without_latency: u32) -> f64 {
        let tries = u32::try_from(limits::EDGE_CLIENTS.len()).unwrap_or(u32::MAX);
        let trials = self.trial_window.total() * systems * tries;
        let closed = self.window.total() * self.rounds * systems;
        let open = self.latency_window.total() * self.rounds * (systems - without_latency);
        (trials + closed + open).as_secs_f64()
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
    fn only_what_is_named_is_measured() {
        let plan = Plan::new(true, &["start".to_owned()]).unwrap();
        assert!(plan.start && !plan.compute);
    }
}
