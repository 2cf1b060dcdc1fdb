//! Snowflake ids: 41 bits of milliseconds since 2026-01-01 UTC, 10 bits of node, 12 bits of sequence.
//!
//! Invariants: a generator never repeats an id, even if the clock stands still or steps back: it then goes on
//! from the last millisecond it used. Two generators never meet: each mints only on a node that it leased, and
//! only below the instant that it had reserved there ([`lease`]).
//!
//! An id's instant follows its core's clock: an id minted for work that [`IdGenerator::check`] let in carries no instant
//! from before that check, unless the clock was set back; and never one from before the last renewal of the lease. So
//! the rows of all nodes say which instants are past for every core, whatever their clocks ([`store::minting`]).
//!
//! Minting itself does not fail, so that it may happen in the middle of a batch. Whoever is about to mint asks
//! [`IdGenerator::check`] first: if it says yes, at least [`NODE_SPARE_MS`](crate::limits::NODE_SPARE_MS) × 4,096 ids are left
//! (41 million), whatever the clock, the database and other cores do. A batch, an import or a job needs a
//! thousandth of that.

pub mod lease;
pub mod store;
#[cfg(test)]
mod tests;

use crate::clock::Clock;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use tokio::sync::Notify;

/// 2026-01-01T00:00:00Z, ms since the Unix epoch.
pub const EPOCH_MS: i64 = 1_767_225_600_000;
/// The highest node.
pub const MAX_NODE: i64 = (1 << NODE_BITS) - 1;

const NODE_BITS: u32 = 10;
const SEQUENCE_BITS: u32 = 12;
const MAX_SEQUENCE: i64 = (1 << SEQUENCE_BITS) - 1;
/// The latest instant that an id can carry, ms since [`EPOCH_MS`].
const MAX_ELAPSED_MS: i64 = (1 << 41) - 1;

/// Below every id that carries `instant_ms` (ms since the Unix epoch) or a later instant, and above all others.
pub const fn lowest_at(instant_ms: i64) -> i64 {
    (instant_ms - EPOCH_MS) << (NODE_BITS + SEQUENCE_BITS)
}

/// The instant that an id carries, ms since the Unix epoch.
pub const fn instant_ms(id: i64) -> i64 {
    (id >> (NODE_BITS + SEQUENCE_BITS)) + EPOCH_MS
}

/// No new ids now: the lease of the node could not be renewed in time, because the database cannot be reached,
/// or the clock jumped ahead of what was reserved. It goes away with the next renewal.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("no new ids until the lease of the node is renewed in the database")]
pub struct NoLease;

/// Mints ids for one node. Clones share everything.
#[derive(Clone)]
pub struct IdGenerator {
    shared: Arc<Shared>,
}

struct Shared {
    clock: Arc<dyn Clock>,
    minted: Mutex<Minted>,
    /// Rung when [`IdGenerator::check`] says no: a renewal may help at once.
    wanted: Notify,
}

/// Instants are ms since [`EPOCH_MS`].
#[derive(Debug, Clone, Copy)]
struct Minted {
    node: i64,
    /// The instant and sequence of the last id.
    elapsed_ms: i64,
    sequence: i64,
    /// No id may carry this instant or a later one.
    until_ms: i64,
    /// The part before `until_ms` that is left to those whom `check` has let through, ms.
    spare_ms: i64,
}

impl IdGenerator {
    /// A generator for `node`, which must lie in `0..=MAX_NODE` and be used by nobody else: for tests and
    /// simulation. A core takes [`lease::NodeLease::ids`].
    pub fn new(clock: Arc<dyn Clock>, node: i64) -> Self {
        assert!((0..=MAX_NODE).contains(&node), "node {node} is not in 0..={MAX_NODE}");
        let until_ms = MAX_ELAPSED_MS + 1;
        let minted = Minted { node, elapsed_ms: 0, sequence: -1, until_ms, spare_ms: 0 };
        Self {
            shared: Arc::new(Shared { clock, minted: Mutex::new(minted), wanted: Notify::new() }),
        }
    }

    /// Whether ids may be minted: as many as one unit of work takes, however long it lasts. See the module.
    pub fn check(&self) -> Result<(), NoLease> {
        let minted = self.minted();
        if self.now_ms().max(minted.elapsed_ms) < minted.until_ms - minted.spare_ms {
            return Ok(());
        }
        self.shared.wanted.notify_one();
        Err(NoLease)
    }

    /// A new id; each is greater than those before it.
    ///
    /// Ends the process if all that was reserved is used up. Whoever asks [`Self::check`] first never sees
    /// that; whoever does not has found a defect, and the ids that would follow may be another core's.
    pub fn next(&self) -> i64 {
        self.try_next().unwrap_or_else(|error| {
            tracing::error!(%error, "ids were minted without asking whether they may be");
            std::process::abort()
        })
    }

    /// A new id, unless all that was reserved is used up.
    pub fn try_next(&self) -> Result<i64, NoLease> {
        let now_ms = self.now_ms();
        self.minted().next(now_ms)
    }

    /// The clock, ms since [`EPOCH_MS`]. A clock before that stands at its beginning.
    fn now_ms(&self) -> i64 {
        self.shared.clock.now_ms().saturating_sub(EPOCH_MS).max(1)
    }

    fn minted(&self) -> MutexGuard<'_, Minted> {
        self.shared.minted.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl std::fmt::Debug for IdGenerator {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.debug_tuple("IdGenerator").field(&*self.minted()).finish()
    }
}

impl Minted {
    fn next(&mut self, now_ms: i64) -> Result<i64, NoLease> {
        // By the clock only up to the spare part, so that a clock that jumps ahead does not use it up.
        let clock_ms = now_ms.min(self.until_ms - self.spare_ms - 1);
        let (elapsed_ms, sequence) = if clock_ms > self.elapsed_ms {
            (clock_ms, 0)
        } else if self.sequence < MAX_SEQUENCE {
            (self.elapsed_ms, self.sequence + 1)
        } else {
            // The millisecond is used up, or the clock stepped back: borrow the next one.
            (self.elapsed_ms + 1, 0)
        };
        if elapsed_ms >= self.until_ms {
            return Err(NoLease);
        }
        (self.elapsed_ms, self.sequence) = (elapsed_ms, sequence);
        Ok((elapsed_ms << (NODE_BITS + SEQUENCE_BITS)) | (self.node << SEQUENCE_BITS) | sequence)
    }
}
