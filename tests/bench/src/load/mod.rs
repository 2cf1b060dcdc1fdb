//! The load generator: what it sends ([`Requests`]), what it reads ([`response`]), what it counts
//! ([`tally`]), and the two ways of asking: [`closed`] (as fast as answers come) and [`open`] (at a rate).
//! [`scenarios`] says which of a benchmark's loads are wanted.
//!
//! It shares the machine with what it measures, so it is built to be cheap: one thread, keep-alive
//! connections, no allocation per request beyond a buffer that is reused. A request is one write and one read: bytes
//! that were prepared before, on a raw socket of an edge-triggered poll that all connections share, so that a whole
//! answer is found without asking whether there is more; what is parsed is the status and the length. Nearly all of its
//! time is the kernel's, which moves the bytes. Whether it was the limit all the same is measured, not believed: reports
//! show how busy it was.

pub mod closed;
pub mod connection;
pub mod open;
pub mod response;
pub mod scenarios;
pub mod tally;

use crate::limits;
use response::{Answer, Outcome};
use std::time::{Duration, Instant};
use tokio::task::coop::unconstrained;
use tokio::time::timeout_at;

/// What a load asks, and what it takes for an answer.
pub trait Requests {
    /// Writes the next request into `buffer`, over what it held.
    fn write_next(&self, buffer: &mut Vec<u8>);

    /// What an answer counts as.
    fn judge(&self, answer: Answer<'_>) -> Outcome;
}

/// How long a measurement lasts.
#[derive(Debug, Clone, Copy)]
pub struct Window {
    /// Load before anything is counted.
    pub warm_up: Duration,
    /// The time in which answers are counted.
    pub measure: Duration,
}

impl Window {
    /// So many milliseconds of each.
    pub const fn of_ms(warm_up_ms: u64, measure_ms: u64) -> Self {
        Self {
            warm_up: Duration::from_millis(warm_up_ms),
            measure: Duration::from_millis(measure_ms),
        }
    }

    /// Both together.
    pub fn total(&self) -> Duration {
        self.warm_up + self.measure
    }
}

/// Runs all clients until they are done; those still waiting so long after `end` are given up.
async fn until_answered<T>(clients: impl Future<Output = T>, end: Instant) {
    let patience = (end + limits::ANSWER_WITHIN).into();
    // Hundreds of connections in one task: the budget of one is no measure for it. Who is given up
    // here stays counted as begun and never answered.
    _ = timeout_at(patience, unconstrained(clients)).await;
}
