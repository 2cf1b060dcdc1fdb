//! What an entry is good for at a moment.

use super::entry::Entry;
use crate::limits::CLOCK_STEP_MAX_MS;
use std::sync::Arc;

/// What to do about a key.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Decision {
    /// Answer from the entry.
    Fresh,
    /// Answer from the entry, and ask the core in the background.
    StaleRevalidate,
    /// Ask the core.
    Revalidate {
        /// Whether the entry may stand in if the core fails.
        usable_if_error: bool,
    },
    /// Ask the core; there is nothing here.
    Miss,
}

/// What to do about a key whose entry is `entry`.
pub fn decide(entry: Option<&Entry>, now_ms: i64) -> Decision {
    let Some(Entry { lifetime, .. }) = entry else { return Decision::Miss };
    // The clock was set back: how old the entry is cannot be told, so that the core must be.
    if lifetime.stored_at_ms > now_ms.saturating_add(CLOCK_STEP_MAX_MS) {
        return Decision::Revalidate { usable_if_error: true };
    }
    if now_ms < lifetime.fresh_until_ms {
        Decision::Fresh
    } else if now_ms < lifetime.stale_while_revalidate_until_ms {
        Decision::StaleRevalidate
    } else {
        Decision::Revalidate { usable_if_error: now_ms < lifetime.stale_if_error_until_ms }
    }
}

/// Whether memory alone may answer. Once an entry is stale another instance may have asked since, and
/// what it shows must not be followed by something older from here.
pub fn memory_suffices(entry: Option<&Entry>, now_ms: i64) -> bool {
    decide(entry, now_ms) == Decision::Fresh
}

/// The later of two entries about one thing: a document in one language, and the fact that the thing
/// does not exist in any. What the core said last is true, however stale.
pub fn later(one: Option<Arc<Entry>>, other: Option<Arc<Entry>>) -> Option<Arc<Entry>> {
    match (one, other) {
        (Some(one), Some(other)) => {
            let newer = one.lifetime.stored_at_ms >= other.lifetime.stored_at_ms;
            Some(if newer { one } else { other })
        }
        (one, other) => one.or(other),
    }
}

#[cfg(test)]
mod tests {
    use super::super::{Content, Lifetime};
    use super::*;

    fn entry(stored_at_ms: i64, fresh_until_ms: i64) -> Arc<Entry> {
        Arc::new(Entry {
            content: Content::Absent,
            stamp: None,
            lifetime: Lifetime {
                stored_at_ms,
                fresh_until_ms,
                stale_while_revalidate_until_ms: fresh_until_ms + 60_000,
                stale_if_error_until_ms: fresh_until_ms + 86_400_000,
            },
        })
    }

    #[test]
    fn an_entry_grows_stale_step_by_step() {
        let entry = entry(1_000_000, 1_005_000);
        for (now_ms, expected) in [
            (1_000_000, Decision::Fresh),
            (1_004_999, Decision::Fresh),
            (1_005_000, Decision::StaleRevalidate),
            (1_064_999, Decision::StaleRevalidate),
            (1_065_000, Decision::Revalidate { usable_if_error: true }),
            (87_404_999, Decision::Revalidate { usable_if_error: true }),
            (87_405_000, Decision::Revalidate { usable_if_error: false }),
            (i64::MAX, Decision::Revalidate { usable_if_error: false }),
            // The clock was set back, by a little and by a lot.
            (990_000, Decision::Fresh),
            (900_000, Decision::Revalidate { usable_if_error: true }),
            (i64::MIN, Decision::Revalidate { usable_if_error: true }),
        ] {
            assert_eq!(decide(Some(&entry), now_ms), expected, "at {now_ms}");
        }
        assert_eq!(decide(None, 0), Decision::Miss);
    }

    #[test]
    fn only_a_fresh_entry_is_taken_without_a_look_at_what_others_know() {
        let entry = entry(1_000_000, 1_005_000);
        for (now_ms, expected) in [(1_004_999, true), (1_005_000, false), (1_065_000, false)] {
            assert_eq!(memory_suffices(Some(&entry), now_ms), expected, "at {now_ms}");
        }
        assert!(!memory_suffices(None, 0));
    }

    #[test]
    fn what_the_core_said_last_wins() {
        // Something was found missing, then created: its stale document beats the fresh absence.
        let (absence, document) = (entry(100, 30_100), entry(200, 5_200));
        for (one, other, expected) in [
            (Some(&absence), Some(&document), Some(&document)),
            (Some(&document), Some(&absence), Some(&document)),
            (None, Some(&absence), Some(&absence)),
            (Some(&absence), None, Some(&absence)),
            (None, None, None),
        ] {
            assert_eq!(later(one.cloned(), other.cloned()), expected.cloned());
        }
    }
}
