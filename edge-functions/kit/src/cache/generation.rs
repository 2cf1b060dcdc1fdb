//! What the host has purged since an entry was fetched.
//!
//! edge-node numbers its purges, and answers in every key-value store, under a key that nobody can write, how far it
//! is and when it last purged some tags. An entry keeps how far the host was *before the core was asked*: a later purge
//! of its tags ends it, at whatever level it lies. Under Spin there is no such key, and entries live by their time
//! alone. A number of another epoch is another host's or another run's and compares with nothing: the core is asked.

use super::entry::{Entry, Lifetime};
use serde::{Deserialize, Serialize};
use std::sync::Arc;

/// How far the host is, and when it last purged some tags.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Generation {
    epoch: u64,
    now: u64,
    hard: u64,
    soft: u64,
}

/// How far the host was when something was fetched.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Stamp {
    epoch: u64,
    since: u64,
}

/// What purges have left of an entry.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum View {
    /// All of it.
    Current,
    /// The core must confirm it; it stands in if the core cannot.
    Suspect,
    /// The core must confirm it, and nothing stands in.
    Gone,
}

impl Generation {
    /// The key under which the host answers for tags (between spaces).
    pub fn key(tags: &str) -> String {
        format!("tiffin:generation:{tags}")
    }

    /// Reads the host's answer: epoch, now, the last hard and the last soft purge.
    pub fn parse(answer: &[u8]) -> Option<Self> {
        let mut numbers = std::str::from_utf8(answer).ok()?.split(' ').map(str::parse);
        let mut next = || numbers.next()?.ok();
        let generation = Self { epoch: next()?, now: next()?, hard: next()?, soft: next()? };
        numbers.next().is_none().then_some(generation)
    }

    /// The mark of what is fetched from now on.
    pub const fn stamp(&self) -> Stamp {
        Stamp { epoch: self.epoch, since: self.now }
    }

    fn view(&self, stamp: Option<Stamp>) -> View {
        match stamp {
            Some(Stamp { epoch, since }) if epoch == self.epoch => {
                if self.hard > since {
                    View::Gone
                } else if self.soft > since {
                    View::Suspect
                } else {
                    View::Current
                }
            }
            Some(_) | None => View::Suspect,
        }
    }
}

impl Entry {
    /// What is left of an entry after the host's purges: one that was purged has a shorter life, and everything else
    /// follows from that.
    pub fn after_purges(
        entry: Arc<Self>,
        generation: Option<&Generation>,
        now_ms: i64,
    ) -> Arc<Self> {
        let Some(view) = generation.map(|it| it.view(entry.stamp)) else { return entry };
        // Not later than it was stored, or it would seem to be older than its own end.
        let ended_ms = entry.lifetime.stored_at_ms.min(now_ms);
        let lifetime = Lifetime {
            fresh_until_ms: entry.lifetime.fresh_until_ms.min(ended_ms),
            stale_while_revalidate_until_ms: ended_ms,
            ..entry.lifetime
        };
        let lifetime = match view {
            View::Current => return entry,
            View::Suspect => lifetime,
            View::Gone => Lifetime { stale_if_error_until_ms: ended_ms, ..lifetime },
        };
        Arc::new(Self { lifetime, ..Arc::unwrap_or_clone(entry) })
    }
}

#[cfg(test)]
mod tests {
    use super::super::{Content, Decision, decide};
    use super::*;

    const NOW_MS: i64 = 1_000;

    fn generation(answer: &str) -> Generation {
        Generation::parse(answer.as_bytes()).unwrap()
    }

    fn entry(stamp: Option<Stamp>) -> Arc<Entry> {
        let lifetime = Lifetime {
            stored_at_ms: NOW_MS,
            fresh_until_ms: 6_000,
            stale_while_revalidate_until_ms: 60_000,
            stale_if_error_until_ms: 100_000,
        };
        Arc::new(Entry { content: Content::Absent, lifetime, stamp })
    }

    #[test]
    fn what_was_purged_since_its_fetch_began_is_asked_for_again() {
        let stamp = generation("7 10 3 4").stamp();
        let usable_if_error = true;
        for (answer, expected) in [
            ("7 10 10 10", Decision::Fresh),
            ("7 99 10 4", Decision::Fresh),
            ("7 11 3 11", Decision::Revalidate { usable_if_error }),
            ("7 11 11 4", Decision::Revalidate { usable_if_error: false }),
            ("7 12 11 12", Decision::Revalidate { usable_if_error: false }),
            // Another host, or this one after a restart.
            ("8 0 0 0", Decision::Revalidate { usable_if_error }),
            ("8 99 99 99", Decision::Revalidate { usable_if_error }),
        ] {
            // Also while the clock seems to stand, or was set back a little.
            for now_ms in [NOW_MS, NOW_MS - 500, NOW_MS + 10] {
                let left =
                    Entry::after_purges(entry(Some(stamp)), Some(&generation(answer)), now_ms);
                assert_eq!(decide(Some(&left), now_ms), expected, "{answer} at {now_ms}");
                assert_eq!(left.lifetime.stored_at_ms, NOW_MS, "the order of entries stays");
            }
        }
    }

    #[test]
    fn without_numbers_an_entry_lives_by_its_time() {
        let stamp = generation("7 10 3 4").stamp();
        for unchanged in [entry(None), entry(Some(stamp))] {
            let left = Entry::after_purges(Arc::clone(&unchanged), None, NOW_MS);
            assert_eq!(left, unchanged);
        }
        let unmarked = Entry::after_purges(entry(None), Some(&generation("7 0 0 0")), NOW_MS);
        let expected = Decision::Revalidate { usable_if_error: true };
        assert_eq!(decide(Some(&unmarked), NOW_MS), expected, "fetched before there were numbers");
    }

    #[test]
    fn only_four_numbers_are_an_answer() {
        for answer in ["", "1", "1 2 3", "1 2 3 4 5", "1 2 3 x", "1  2 3", "-1 2 3 4", "a"] {
            assert_eq!(Generation::parse(answer.as_bytes()), None, "{answer:?}");
        }
        assert_eq!(Generation::parse(b"\xff"), None);
        assert_eq!(Generation::key("store:7 menu:7"), "tiffin:generation:store:7 menu:7");
    }
}
