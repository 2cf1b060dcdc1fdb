//! What the person at the terminal sees, on stderr: what was found so far, and how long the rest may take.

use std::time::{Duration, Instant};

/// What stands between two measurements, s: a guess for the first minutes.
pub const BETWEEN_S: f64 = 0.4;

/// How far the run has come.
pub struct Progress {
    started: Instant,
    planned_s: f64,
    done_s: f64,
    budget: Option<Duration>,
}

impl Progress {
    /// At the start of a run that may take `planned_s`, and has to end its measurements within `budget`, if it
    /// has one.
    pub fn new(planned_s: f64, budget: Option<Duration>) -> Self {
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

    /// Says that something of so many planned seconds is over.
    pub fn prepared(&mut self, planned_s: f64) {
        self.done_s += planned_s;
    }

    fn left_s(&self) -> f64 {
        // The plan's seconds, at the pace so far.
        let pace = if self.done_s > 0.0 { self.elapsed().as_secs_f64() / self.done_s } else { 1.0 };
        ((self.planned_s - self.done_s) * pace).max(0.0)
    }

    /// Whether a run with a budget has time for another round of `took`, with what has to come after it.
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
    fn a_budget_bounds_another_round_and_none_does_not() {
        let quick = Progress::new(10.0, Some(Duration::from_secs(60)));
        assert!(quick.has_time_for(Duration::from_secs(30), Duration::from_secs(20)));
        assert!(!quick.has_time_for(Duration::from_secs(30), Duration::from_secs(40)));
        let whole = Progress::new(10.0, None);
        assert!(whole.has_time_for(Duration::from_secs(100_000), Duration::ZERO));
    }
}
