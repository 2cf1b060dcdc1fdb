//! The load generator: what it sends ([`request`]), what it reads ([`response`]), what it counts
//! ([`tally`]), and the two ways of asking: [`closed`] (as fast as answers come) and [`open`] (at a rate).
//!
//! It shares the machine with what it measures, so it is built to be cheap: one thread, keep-alive
//! connections, tokens signed beforehand, no allocation per request beyond a buffer that is reused.

pub mod closed;
pub mod connection;
pub mod greet;
pub mod open;
pub mod request;
pub mod response;
pub mod tally;

use crate::limits;
use std::time::{Duration, Instant};
use tokio::task::coop::unconstrained;
use tokio::time::timeout_at;

/// How long a measurement lasts.
#[derive(Debug, Clone, Copy)]
pub struct Window {
    /// Load before anything is counted.
    pub warm_up: Duration,
    /// The time in which answers are counted.
    pub measure: Duration,
}

impl Window {
    /// Both together.
    pub fn total(&self) -> Duration {
        self.warm_up + self.measure
    }
}

/// Runs the clients until all are done; those still waiting so long after `end` are given up.
async fn until_answered(clients: impl Iterator<Item: Future<Output = ()>>, end: Instant) {
    let patience = (end + limits::ANSWER_WITHIN).into();
    // Hundreds of connections in one task: the budget of one is no measure for it. Who is given up
    // here stays counted as begun and never answered.
    _ = timeout_at(patience, unconstrained(futures::future::join_all(clients))).await;
}
