//! Snowflake ids: 41 bits of milliseconds since 2026-01-01 UTC, 10 bits of node, 12 bits of sequence.
//!
//! Invariant: a generator never repeats an id, even if the clock stands still or steps back: it then goes on
//! from the last millisecond it used, and after a restart from the highest id in the ledger. Two generators
//! never meet as long as their nodes differ.

use crate::clock::Clock;
use std::sync::{Arc, Mutex, PoisonError};

/// 2026-01-01T00:00:00Z, ms since the Unix epoch.
pub const EPOCH_MS: i64 = 1_767_225_600_000;
/// The highest node.
pub const MAX_NODE: i64 = (1 << NODE_BITS) - 1;

const NODE_BITS: u32 = 10;
const SEQUENCE_BITS: u32 = 12;
const MAX_SEQUENCE: i64 = (1 << SEQUENCE_BITS) - 1;

/// Mints ids for one node.
pub struct IdGenerator {
    clock: Arc<dyn Clock>,
    node: i64,
    last: Mutex<Last>,
}

#[derive(Clone, Copy)]
struct Last {
    elapsed_ms: i64,
    sequence: i64,
}

impl IdGenerator {
    /// A generator for `node`, which must lie in `0..=MAX_NODE` and be used by no other process.
    pub fn new(clock: Arc<dyn Clock>, node: i64) -> Self {
        assert!((0..=MAX_NODE).contains(&node), "node {node} is not in 0..={MAX_NODE}");
        Self { clock, node, last: Mutex::new(Last { elapsed_ms: 0, sequence: -1 }) }
    }

    /// A generator whose ids are all greater than `id`, whatever the clock says: for a start on a ledger
    /// that holds ids already.
    pub fn above(clock: Arc<dyn Clock>, node: i64, id: i64) -> Self {
        let elapsed_ms = id >> (NODE_BITS + SEQUENCE_BITS);
        let last = Mutex::new(Last { elapsed_ms, sequence: MAX_SEQUENCE });
        Self { last, ..Self::new(clock, node) }
    }

    /// A new id; each is greater than those before it.
    pub fn next(&self) -> i64 {
        let now_ms = self.clock.now_ms().saturating_sub(EPOCH_MS).max(1);
        let mut last = self.last.lock().unwrap_or_else(PoisonError::into_inner);
        *last = if now_ms > last.elapsed_ms {
            Last { elapsed_ms: now_ms, sequence: 0 }
        } else if last.sequence < MAX_SEQUENCE {
            Last { sequence: last.sequence + 1, ..*last }
        } else {
            // The millisecond is used up, or the clock stepped back: borrow the next one.
            Last { elapsed_ms: last.elapsed_ms + 1, sequence: 0 }
        };
        (last.elapsed_ms << (NODE_BITS + SEQUENCE_BITS))
            | (self.node << SEQUENCE_BITS)
            | last.sequence
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::clock::ManualClock;

    #[test]
    fn ids_grow_while_the_clock_stands_still_or_steps_back() {
        let clock = Arc::new(ManualClock::at(EPOCH_MS + 1_000));
        let ids = IdGenerator::new(clock.clone(), 7);
        let mut previous = 0;
        for round in 0..20_000 {
            if round == 10_000 {
                clock.advance(-500);
            }
            let id = ids.next();
            assert!(id > previous, "round {round}");
            assert_eq!((id >> SEQUENCE_BITS) & MAX_NODE, 7);
            previous = id;
        }
    }

    #[test]
    fn ids_go_on_after_a_restart_with_a_clock_that_stepped_back() {
        let clock = Arc::new(ManualClock::at(EPOCH_MS + 1_000));
        let highest = IdGenerator::new(clock.clone(), MAX_NODE).next();
        for step_ms in [0, -500, 500] {
            clock.advance(step_ms);
            assert!(IdGenerator::above(clock.clone(), 0, highest).next() > highest, "{step_ms} ms");
        }
    }
}
