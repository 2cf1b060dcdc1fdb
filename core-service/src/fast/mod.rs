//! The fast store: what sheds load and speeds reads, never the truth.
//!
//! It holds the admission gate's counters, rate limits, leases, cached values and a channel for news. Two
//! implementations, [`redis::Redis`] for several cores and [`memory::Memory`] for one, pass the same tests.
//! The core uses either through [`guarded::Guarded`], which leaves a store alone that is slow or gone.
//!
//! Invariants: nothing here grants anything. A lost, empty or lying fast store costs speed; whoever is let
//! through by the gate is still decided upon by the ledger, and whoever cannot be judged is let through.
//! A call that failed may or may not have had its effect. Every move that touches several keys is one
//! atomic script whose keys share a hash tag, so that Redis Cluster keeps them on one node.
//!
//! Start with [`FastStore`].

pub mod breaker;
pub mod cache;
pub mod guarded;
pub mod keys;
pub mod memory;
pub mod pubsub;
pub mod redis;

#[cfg(test)]
mod tests;

use bytes::Bytes;
use futures::future::BoxFuture;
use std::collections::BTreeMap;
use std::time::Duration;

pub use keys::GateTag;
pub use pubsub::{Heard, Subscription};

/// Why the fast store did not answer.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum FastError {
    /// It did not answer in time; the call may have had its effect, or may have it yet.
    #[error("the fast store did not answer within {} ms", crate::limits::FAST_TIMEOUT.as_millis())]
    Timeout,
    /// It cannot be reached, or takes no work now; or it is being left alone after failures.
    #[error("the fast store is unavailable: {0}")]
    Unavailable(String),
    /// It answered something that this program does not understand: a defect, or a key that somebody
    /// else wrote.
    #[error("the fast store answered out of protocol: {0}")]
    Protocol(String),
    /// Its address cannot be used.
    #[error("not an address of a Redis server: {0}; it looks like redis://host:6379/0")]
    Address(String),
}

/// A user who holds nothing at any gate: the user of units that come back from paid orders.
pub const NOBODY: i64 = 0;

/// What a call answers.
pub type Reply<'a, T> = BoxFuture<'a, Result<T, FastError>>;

/// A request for admission through the gate.
#[derive(Debug, Clone, Copy)]
pub struct Admission<'a> {
    /// The gate: everything below is known to it alone.
    pub tag: GateTag,
    /// Who asks.
    pub user: i64,
    /// Names the request: the scope of its idempotency key. A request is admitted once.
    pub request: &'a str,
    /// Items and units of each. What is named twice is added up; units below 1 count as none.
    pub wants: &'a [(i64, i64)],
    /// The most units that the user may hold at this gate, these included. `i64::MAX` for no cap.
    pub held_cap_units: i64,
}

/// The units of each item, each item once, in the order of their ids.
fn totals(items: &[(i64, i64)]) -> Vec<(i64, i64)> {
    let mut totals = BTreeMap::<i64, i64>::new();
    for (item, units) in items.iter().filter(|(_, units)| *units > 0) {
        let total = totals.entry(*item).or_default();
        *total = total.saturating_add(*units);
    }
    totals.into_iter().collect()
}

/// The units of all items together.
fn sum(totals: &[(i64, i64)]) -> i64 {
    totals.iter().fold(0, |sum, (_, units)| sum.saturating_add(*units))
}

/// What the gate says to an [`Admission`]. Everything is checked before anything is taken.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Admit {
    /// Taken: the units left the counters and count as held by the user.
    Admitted,
    /// This request was admitted before; nothing was taken again.
    Repeat,
    /// Fewer units are left than wanted of `item`, the first such by id.
    SoldOut {
        /// The item.
        item: i64,
    },
    /// The user would hold more than the cap.
    OverCap,
    /// A counter is missing or unreadable, or the gate is out of reach: go on without it. Whoever knows
    /// the ledger's figures may [`FastStore::load`] them for the next one.
    Unknown,
}

/// A token is this many parts, so that n tokens a minute are n parts a millisecond.
const TOKEN_PARTS: i64 = 60_000;

/// A token bucket's size and speed. Counted in integers, so that every implementation agrees to the token.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Rate {
    /// Tokens that a full bucket holds: the burst.
    pub capacity: u32,
    /// Tokens that come back in a minute.
    pub refill_per_min: u32,
}

impl Rate {
    /// `capacity` at once, `tokens` every second in the long run.
    pub const fn per_second(capacity: u32, tokens: u32) -> Self {
        Self { capacity, refill_per_min: tokens.saturating_mul(60) }
    }

    /// `capacity` at once, `tokens` every minute in the long run.
    pub const fn per_minute(capacity: u32, tokens: u32) -> Self {
        Self { capacity, refill_per_min: tokens }
    }

    /// A full bucket, in parts of a token.
    fn capacity_parts(self) -> i64 {
        i64::from(self.capacity) * TOKEN_PARTS
    }

    /// The refill, in parts of a token; a standstill counts as the slowest refill.
    fn parts_per_ms(self) -> i64 {
        i64::from(self.refill_per_min.max(1))
    }
}

/// How many events any window of time may hold.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Window {
    /// The most events.
    pub limit: u32,
    /// The window's length, ms: an event counts for so long from its instant on, and no longer.
    pub window_ms: i64,
}

/// Whether a limit lets an event pass.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Allowance {
    /// It passes and was counted.
    Allowed,
    /// It does not, and was not counted.
    Denied {
        /// After how long the same event would pass if no other came, ms, at least 1.
        retry_after_ms: i64,
    },
}

/// A store of what may be lost. See the module's invariants.
///
/// Gate counters are named by [`GateTag`] and item, users and items by their raw ids.
pub trait FastStore: Send + Sync {
    /// Whether it answers.
    fn ping(&self) -> Reply<'_, ()>;

    /// Asks the gate, and takes the units if it admits. The request is remembered for
    /// [`crate::limits::GATE_SEEN_MS`].
    fn admit<'a>(&'a self, admission: &'a Admission<'a>) -> Reply<'a, Admit>;

    /// Undoes an admission whose request had no effect on the ledger. Only if the gate remembers it as
    /// admitted, so it happens once; the request may then be admitted anew. Whether it was undone.
    fn give_back<'a>(&'a self, admission: &'a Admission<'a>) -> Reply<'a, bool>;

    /// Units of a closed order go back: counters that exist grow, the user's held units shrink, not
    /// below 0.
    fn release<'a>(&'a self, tag: GateTag, user: i64, items: &'a [(i64, i64)]) -> Reply<'a, ()>;

    /// Units of a paid order are no longer held; they stay taken.
    fn settle(&self, tag: GateTag, user: i64, units: i64) -> Reply<'_, ()>;

    /// Sets counters from the ledger: those that are missing, or all if `overwrite`.
    fn load<'a>(&'a self, tag: GateTag, left: &'a [(i64, i64)], overwrite: bool) -> Reply<'a, ()>;

    /// Removes counters: the gate then answers [`Admit::Unknown`] for these items.
    fn forget<'a>(&'a self, tag: GateTag, items: &'a [i64]) -> Reply<'a, ()>;

    /// The counters as they stand, in the order asked; `None` where one is missing or unreadable.
    fn counters<'a>(&'a self, tag: GateTag, items: &'a [i64]) -> Reply<'a, Vec<Option<i64>>>;

    /// The units that the gate believes the user to hold.
    fn held(&self, tag: GateTag, user: i64) -> Reply<'_, i64>;

    /// Corrects them from the ledger.
    fn set_held(&self, tag: GateTag, user: i64, units: i64) -> Reply<'_, ()>;

    /// Takes a token from the bucket named `key`. A clock that steps back adds none.
    fn take_token<'a>(&'a self, key: &'a str, rate: Rate, now_ms: i64) -> Reply<'a, Allowance>;

    /// Counts the event `unique_id` in the sliding window named `key`, exactly: a log of stamps, not
    /// fixed windows. An event that is still in the window is allowed again without counting twice.
    fn slide<'a>(
        &'a self,
        key: &'a str,
        window: Window,
        now_ms: i64,
        unique_id: &'a str,
    ) -> Reply<'a, Allowance>;

    /// Takes the lease `name` for `owner`, or renews it if `owner` has it. Whether `owner` has it now.
    /// A lease keeps work from being done twice; it must not be what makes doing it twice wrong.
    fn lease<'a>(&'a self, name: &'a str, owner: &'a str, ttl: Duration) -> Reply<'a, bool>;

    /// Ends the lease `name` if it is `owner`'s. Whether it was.
    fn release_lease<'a>(&'a self, name: &'a str, owner: &'a str) -> Reply<'a, bool>;

    /// A cached value. Use [`cache::ReadCache`], which knows when to renew it.
    fn cache_get<'a>(&'a self, key: &'a str) -> Reply<'a, Option<Bytes>>;

    /// Caches a value for at most `ttl`.
    fn cache_put<'a>(&'a self, key: &'a str, value: Bytes, ttl: Duration) -> Reply<'a, ()>;

    /// Drops a cached value.
    fn cache_drop<'a>(&'a self, key: &'a str) -> Reply<'a, ()>;

    /// Tells every subscriber of `channel` in every process, as far as they listen right now.
    fn publish<'a>(&'a self, channel: &'a str, message: Bytes) -> Reply<'a, ()>;

    /// Listens to `channel` until dropped, across lost connections. Messages may be missed, and a
    /// [`Heard::Gap`] says when; callers also look at the ledger from time to time. Must be called
    /// within a tokio runtime.
    fn subscribe(&self, channel: &str) -> Subscription;
}
