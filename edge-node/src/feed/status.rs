//! How the feed fares, for `/readyz` and `/metrics`.

use std::fmt;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::metrics::histogram::Histogram;
use prometheus_client::registry::Registry;

use crate::metrics::Metrics;

/// Upper bounds of the time that news takes from the core's transaction to this node.
const DELAY_BOUNDS_SECONDS: [f64; 9] = [0.01, 0.025, 0.05, 0.1, 0.25, 1.0, 5.0, 30.0, 300.0];

/// How far the node is with the feed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum State {
    /// It was given none.
    Off,
    /// There is no connection, or none that has greeted.
    Down {
        /// Since when.
        since: Instant,
        /// Why, if a connection was lost or refused.
        reason: Option<String>,
    },
    /// It reads what it has missed.
    CatchingUp,
    /// It has read all there is.
    Live,
}

/// What is counted of it.
#[derive(Default)]
pub(crate) struct FeedMetrics {
    live: Gauge,
    sequence: Gauge,
    behind: Gauge,
    pub(super) connections: Counter,
    pub(super) news: Counter,
    pub(super) resets: Counter,
    pub(super) missed: Counter,
    delay: Delay,
}

struct Delay(Histogram);

impl Default for Delay {
    fn default() -> Self {
        Self(Histogram::new(DELAY_BOUNDS_SECONDS))
    }
}

impl FeedMetrics {
    /// Adds the series to those of the node.
    pub(crate) fn register(&self, r: &mut Registry) {
        r.register("edge_feed_live", "1 if all of the feed was read", self.live.clone());
        r.register("edge_feed_sequence", "The last number applied", self.sequence.clone());
        r.register("edge_feed_behind", "Numbers known of and not applied", self.behind.clone());
        r.register("edge_feed_connections", "Connections made", self.connections.clone());
        r.register("edge_feed_news", "Pieces of news applied", self.news.clone());
        r.register("edge_feed_resets", "Resets by the core", self.resets.clone());
        r.register("edge_feed_missed", "Gaps and unreadable news", self.missed.clone());
        let help = "Time from the core's transaction to this node, by both clocks";
        r.register("edge_feed_delay_seconds", help, self.delay.0.clone());
    }

    pub(super) fn delayed(&self, delay: Duration) {
        self.delay.0.observe(delay.as_secs_f64());
    }
}

/// The state, and what is counted with it. The task that follows the feed writes it.
pub(crate) struct Status {
    state: Mutex<State>,
    pub(super) metrics: Arc<Metrics>,
}

impl Status {
    /// Without a feed, for now.
    pub(crate) fn new(metrics: Arc<Metrics>) -> Self {
        Self { state: Mutex::new(State::Off), metrics }
    }

    /// The state now.
    pub(crate) fn state(&self) -> State {
        self.lock().clone()
    }

    /// Whether there is a connection that has greeted.
    pub(super) fn is_up(&self) -> bool {
        matches!(*self.lock(), State::CatchingUp | State::Live)
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// There is no connection. Who was down already stays so since then.
    pub(super) fn down(&self, reason: Option<String>) {
        let mut state = self.lock();
        let since = match *state {
            State::Down { since, .. } => since,
            State::Off | State::CatchingUp | State::Live => Instant::now(),
        };
        *state = State::Down { since, reason };
        self.metrics.feed.live.set(0);
    }

    /// All up to `position` is applied; the core is at `head` at least.
    pub(super) fn applied(&self, position: i64, head: i64) {
        let behind = head.saturating_sub(position).max(0);
        let feed = &self.metrics.feed;
        feed.sequence.set(position);
        feed.behind.set(behind);
        feed.live.set(i64::from(behind == 0));
        let state = if behind == 0 { State::Live } else { State::CatchingUp };
        let before = std::mem::replace(&mut *self.lock(), state);
        if behind == 0 && before != State::Live {
            tracing::info!(sequence = position, "the feed is live");
        }
    }
}

impl fmt::Display for State {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Off | Self::Live => f.write_str("ready"),
            Self::CatchingUp => {
                f.write_str("degraded: reading what the feed has brought meanwhile")
            }
            Self::Down { since, reason } => {
                let s = since.elapsed().as_secs();
                write!(
                    f,
                    "degraded: feed down for {s} s; answers are kept for their own time only"
                )?;
                reason.iter().try_for_each(|reason| write!(f, " ({reason})"))
            }
        }
    }
}
