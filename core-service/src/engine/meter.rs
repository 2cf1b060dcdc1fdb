//! What the engine counts of its work.

use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::histogram::{Histogram, exponential_buckets};
use prometheus_client::registry::Registry;
use std::time::Duration;

/// The engine's counters; clones count together.
#[derive(Debug, Clone)]
pub struct Meter {
    commands: Counter,
    batch_commands: Histogram,
    batch_seconds: Histogram,
    retries: Counter,
    failures: Counter,
}

impl Default for Meter {
    fn default() -> Self {
        Self {
            commands: Counter::default(),
            // 1 to 512, the most that a batch takes.
            batch_commands: Histogram::new(exponential_buckets(1.0, 2.0, 10)),
            // 0.5 ms to 4 s, as long as a batch is tried.
            batch_seconds: Histogram::new(exponential_buckets(0.000_5, 2.0, 14)),
            retries: Counter::default(),
            failures: Counter::default(),
        }
    }
}

impl Meter {
    /// Lets a registry show them.
    pub fn register(&self, registry: &mut Registry) {
        let help = "Commands whose batch was committed, whether they had an effect or were refused";
        registry.register("engine_commands", help, self.commands.clone());
        let help = "Commands in a committed batch; its count is the batches";
        registry.register("engine_batch_commands", help, self.batch_commands.clone());
        let help = "Time from the begin of a batch to its commit, with its retries";
        registry.register("engine_batch_seconds", help, self.batch_seconds.clone());
        let help = "Batches that were tried again, after a conflict or without the database";
        registry.register("engine_retries", help, self.retries.clone());
        let help = "Batches that failed for good, or for longer than anybody waits";
        registry.register("engine_failures", help, self.failures.clone());
    }

    /// Commands whose batch was committed, since the start.
    pub fn commands(&self) -> u64 {
        self.commands.get()
    }

    #[allow(clippy::cast_precision_loss, reason = "a batch has a few hundred commands")]
    pub(super) fn committed(&self, commands: usize, elapsed: Duration) {
        self.commands.inc_by(commands as u64);
        self.batch_commands.observe(commands as f64);
        self.batch_seconds.observe(elapsed.as_secs_f64());
    }

    pub(super) fn retried(&self) {
        self.retries.inc();
    }

    pub(super) fn failed(&self) {
        self.failures.inc();
    }
}
