//! How much is measured.

use crate::limits;
use crate::load::Window;
use crate::load::scenarios::wanted;
use crate::progress::BETWEEN_S;
use std::time::Duration;

/// What starting, importing and checking take beside the measurements, s: a guess for the first minutes.
pub const PREPARATION_S: f64 = 12.0;
/// What filling the large table takes, s: likewise.
pub const FILLING_S: f64 = 45.0;

/// The scenarios and their extent.
#[derive(Debug, Clone)]
pub struct Plan {
    /// Whether this is a quick run.
    pub quick: bool,
    /// Client counts of the sweep.
    pub clients: &'static [usize],
    /// Rounds of each comparison.
    pub rounds: u32,
    /// One measurement of throughput.
    pub window: Window,
    /// One measurement of latency.
    pub latency_window: Window,
    /// Whether the sweep over client counts is made.
    pub sweep: bool,
    /// Whether latency is measured.
    pub latency: bool,
    /// Whether refusals are measured.
    pub sold_out: bool,
    /// Whether two replicas are compared with one.
    pub replicas: bool,
    /// Whether a large table is compared with a small one.
    pub growth: bool,
}

const SCENARIOS: [&str; 5] = ["sweep", "latency", "sold-out", "replicas", "growth"];
impl Plan {
    /// A whole or a quick run of all scenarios, or of those named.
    pub fn new(quick: bool, only: &[String]) -> anyhow::Result<Self> {
        let wanted = wanted(only, &SCENARIOS)?;
        Ok(Self {
            quick,
            clients: if quick { limits::CLIENTS_QUICK } else { limits::CLIENTS },
            rounds: if quick { 2 } else { 3 },
            window: if quick { Window::of_ms(400, 1_200) } else { Window::of_ms(1_000, 4_000) },
            latency_window: if quick {
                Window::of_ms(1_000, 4_000)
            } else {
                Window::of_ms(2_000, 15_000)
            },
            sweep: wanted("sweep"),
            latency: wanted("latency"),
            sold_out: wanted("sold-out"),
            replicas: wanted("replicas"),
            growth: wanted("growth"),
        })
    }

    /// How long the run may take, s.
    pub fn expected_s(&self) -> f64 {
        let throughput_s = self.window.total().as_secs_f64() + BETWEEN_S;
        let latency_s = self.latency_window.total().as_secs_f64() + BETWEEN_S;
        let rounds = f64::from(self.rounds);
        let mut expected_s = PREPARATION_S;
        if self.sweep || self.latency {
            let calibration = if self.quick { 0 } else { 2 * limits::POOLS.len() };
            expected_s +=
                (rounds * self.clients.len() as f64 * 6.0 + calibration as f64) * throughput_s;
        }
        if self.latency {
            expected_s += latency_s * if self.quick { 1.0 } else { rounds * 3.0 };
        }
        if self.sold_out {
            expected_s += rounds * 3.0 * throughput_s;
        }
        if self.replicas {
            expected_s += rounds * 2.0 * throughput_s;
        }
        if self.growth {
            expected_s += FILLING_S + rounds * 2.0 * throughput_s;
        }
        expected_s
    }

    /// What bounds a quick run.
    pub fn budget(&self) -> Option<Duration> {
        self.quick.then_some(limits::QUICK_BUDGET)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ratios_are_formed_at_a_client_count_that_is_measured() {
        for quick in [false, true] {
            let plan = Plan::new(quick, &[]).unwrap();
            assert!(plan.clients.contains(&limits::RATIO_CLIENTS));
            assert!(plan.sweep && plan.growth);
        }
    }

    #[test]
    fn a_quick_plan_fits_into_its_budget_and_a_whole_one_has_none() {
        let quick = Plan::new(true, &[]).unwrap();
        assert!(quick.expected_s() < limits::QUICK_BUDGET.as_secs_f64(), "{}", quick.expected_s());
        assert_eq!(Plan::new(false, &[]).unwrap().budget(), None);
    }

    #[test]
    fn only_what_is_named_is_measured() {
        let plan = Plan::new(true, &["growth".to_owned()]).unwrap();
        assert!(plan.growth && !plan.sweep);
    }
}
