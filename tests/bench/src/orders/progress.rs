//! What the person at the terminal sees, on stderr: what was found so far, and how long the rest may take.

use super::plan::Plan;
use crate::limits;
use std::time::{Duration, Instant};

/// What starting, importing and checking take beside the measurements, s: a guess for the first minutes.
const PREPARATION_S: f64 = 12.0;
/// What filling the large table takes, s: likewise.
const FILLING_S: f64 = 45.0;
/// What stands between two measurements, s: likewise.
const BETWEEN_S: f64 = 0.4;

/// How far the run has come.
pub struct Progress {
    started: Instant,
    planned_s: f64,
    done_s: f64,
    budget: Option<Duration>,
}

impl Progress {
    /// At the start of a run.
    pub fn new(plan: &Plan) -> Self {
        let throughput_s = plan.window.total().as_secs_f64() + BETWEEN_S;
        let latency_s = plan.latency_window.total().as_secs_f64() + BETWEEN_S;
        let rounds = f64::from(plan.rounds);
        let mut planned_s = PREPARATION_S;
        if plan.sweep || plan.latency {
            let calibration = if plan.quick { 0 } else { 2 * limits::POOLS.len() };
            planned_s +=
                (rounds * plan.clients.len() as f64 * 6.0 + calibration as f64) * throughput_s;
        }
        if plan.latency {
            planned_s += latency_s * if plan.quick { 1.0 } else { rounds * 3.0 };
        }
        if plan.sold_out {
            planned_s += rounds * 3.0 * throughput_s;
        }
        if plan.replicas {
            planned_s += rounds * 2.0 * throughput_s;
        }
        if plan.growth {
            planned_s += FILLING_S + rounds * 2.0 * throughput_s;
        }
        let budget = plan.quick.then_some(limits::QUICK_BUDGET);
        Self { started: Instant::now(), planned_s, done_s: 0.0, budget }
    }

    /// How long the run has taken.
    pub fn elapsed(&self) -> Duration {
        self.started.elapsed()
    }

    /// A headline.
    pub fn step(&self, name: &str) {
        eprintln!("==> {name} ({} so far)", minutes(self.elapsed().as_secs_f64()));
    }

    /// What a measurement of `took` found.
    pub fn found(&mut self, took: Duration, what: &str) {
        self.done_s += took.as_secs_f64() + BETWEEN_S;
        eprintln!("    {what} [about {} left]", minutes(self.left_s()));
    }

    /// Says that something of about so many planned seconds is over.
    pub fn prepared(&mut self, filling: bool) {
        self.done_s += if filling { FILLING_S } else { PREPARATION_S };
    }

    fn left_s(&self) -> f64 {
        // The plan's seconds, at the pace so far.
        let pace = if self.done_s > 0.0 { self.elapsed().as_secs_f64() / self.done_s } else { 1.0 };
        ((self.planned_s - self.done_s) * pace).max(0.0)
    }

    /// Whether a quick run has time for another round of `took`, with what has to come after it.
    pub fn has_time_for(&self, took: Duration, afterwards: Duration) -> bool {
        self.budget.is_none_or(|budget| self.elapsed() + took + afterwards < budget)
    }
}

/// Seconds as people read them.
fn minutes(seconds: f64) -> String {
    if seconds < 60.0 {
        format!("{seconds:.0} s")
    } else {
        format!("{:.0} min {:02.0} s", (seconds / 60.0).floor(), seconds % 60.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations_read_well() {
        assert_eq!(minutes(4.4), "4 s");
        assert_eq!(minutes(125.0), "2 min 05 s");
    }

    #[test]
    fn a_quick_plan_fits_into_its_budget_and_a_whole_one_has_none() {
        let quick = Progress::new(&Plan::new(true, &[]).unwrap());
        assert!(quick.planned_s < limits::QUICK_BUDGET.as_secs_f64(), "{} s", quick.planned_s);
        assert!(!quick.has_time_for(limits::QUICK_BUDGET, Duration::ZERO));
        let whole = Progress::new(&Plan::new(false, &[]).unwrap());
        assert!(whole.has_time_for(Duration::from_secs(100_000), Duration::ZERO));
    }
}
