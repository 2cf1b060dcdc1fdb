//! Purging by tag in constant time: nothing is searched for, a number is written.
//!
//! Every purge takes the next number of one sequence and writes it into the slot of its tag. An
//! entry remembers the sequence as it was when its *fetch started*, and is current as long as no slot
//! of its tags holds a later number. A purge during a fill therefore wins, however late the fill
//! ends; a fetch that starts after a purge was called for sees what the purge was about.
//!
//! Slots are shared by hash, so that the tables have a fixed size whatever tags there are: a
//! collision purges too much, never too little. What an unsafe request changed is purged by its URI,
//! in a table of its own, so that writes do not wear out the tags.

use std::hash::{BuildHasher as _, RandomState};
use std::sync::atomic::{AtomicU64, Ordering};

use crate::limits;

/// How thoroughly something is purged.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Purge {
    /// It must be validated before it is used again, and stands in only if that fails.
    Soft,
    /// It is gone, also for errors.
    Hard,
}

/// What purges have left of an entry.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum View {
    /// All of it.
    Current,
    /// It was purged softly.
    Suspect,
    /// It was purged hard.
    Gone,
}

/// What an entry is purged by, and since when it holds.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Marks {
    /// The slots of its tags.
    pub(super) tags: Box<[u32]>,
    /// The slot of its URI.
    pub(super) uri: u32,
    /// The sequence when its fetch started.
    pub(super) since: u64,
}

/// The versions of some tags, for caches below this one: what they fetched while the sequence stood at `since` is
/// current if no purge has a later number.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Generation {
    /// Which sequence it is: another process begins another.
    pub(crate) epoch: u64,
    /// Where the sequence stands.
    pub(crate) now: u64,
    /// The last hard purge of any of the tags, or of everything.
    pub(crate) hard: u64,
    /// The same of soft ones.
    pub(crate) soft: u64,
}

type Table = Box<[AtomicU64]>;

/// The sequence, and the last purge of each slot.
pub(super) struct Tags {
    hasher: RandomState,
    sequence: AtomicU64,
    hard: Table,
    soft: Table,
    uris: Table,
    all_hard: AtomicU64,
    all_soft: AtomicU64,
    /// The last purge that was none of a URI.
    latest: AtomicU64,
}

impl Tags {
    /// Nothing was purged yet.
    pub(super) fn new() -> Self {
        let table = || (0..limits::TAG_SLOTS).map(|_| AtomicU64::new(0)).collect();
        Self {
            hasher: RandomState::new(),
            sequence: AtomicU64::new(0),
            hard: table(),
            soft: table(),
            uris: table(),
            all_hard: AtomicU64::new(0),
            all_soft: AtomicU64::new(0),
            latest: AtomicU64::new(0),
        }
    }

    /// The slot of a tag or a URI.
    pub(super) fn slot(&self, text: &str) -> u32 {
        let slot = self.hasher.hash_one(text) % limits::TAG_SLOTS as u64;
        u32::try_from(slot).expect("there are fewer slots than that")
    }

    /// Where the sequence stands: taken before a fetch starts.
    pub(super) fn now(&self) -> u64 {
        self.sequence.load(Ordering::SeqCst)
    }

    /// Purges everything with a tag. In effect when it returns.
    pub(super) fn purge(&self, tag: &str, kind: Purge) {
        let table = match kind {
            Purge::Soft => &self.soft,
            Purge::Hard => &self.hard,
        };
        let number = self.write(&table[self.slot(tag) as usize]);
        self.latest.fetch_max(number, Ordering::SeqCst);
    }

    /// Purges everything.
    pub(super) fn purge_all(&self, kind: Purge) {
        let number = self.write(match kind {
            Purge::Soft => &self.all_soft,
            Purge::Hard => &self.all_hard,
        });
        self.latest.fetch_max(number, Ordering::SeqCst);
    }

    /// Purges one URI, hard.
    pub(super) fn purge_uri(&self, uri: &str) {
        let _ = self.write(&self.uris[self.slot(uri) as usize]);
    }

    /// The number of the last purge by tag or of everything. What was asked for before it may be what it was about.
    pub(super) fn latest(&self) -> u64 {
        self.latest.load(Ordering::SeqCst)
    }

    /// The versions of tags, between spaces.
    pub(super) fn generation(&self, tags: &str) -> Generation {
        // Read first: a purge in between makes something look old that is not, never the other way round.
        let now = self.now();
        let [mut hard, mut soft] =
            [&self.all_hard, &self.all_soft].map(|last| last.load(Ordering::SeqCst));
        for slot in tags.split_ascii_whitespace().map(|tag| self.slot(tag) as usize) {
            hard = hard.max(self.hard[slot].load(Ordering::SeqCst));
            soft = soft.max(self.soft[slot].load(Ordering::SeqCst));
        }
        Generation { epoch: self.hasher.hash_one("epoch"), now, hard, soft }
    }

    fn write(&self, last: &AtomicU64) -> u64 {
        let number = self.sequence.fetch_add(1, Ordering::SeqCst) + 1;
        // Of two purges of one slot the later number stays, in whichever order they are written.
        last.fetch_max(number, Ordering::SeqCst);
        number
    }

    /// What is left of an entry with these marks.
    pub(super) fn view(&self, marks: &Marks) -> View {
        // Most of the time nothing at all was purged since.
        if self.now() == marks.since {
            return View::Current;
        }
        let later = |last: &AtomicU64| last.load(Ordering::SeqCst) > marks.since;
        let any = |table: &Table| marks.tags.iter().any(|slot| later(&table[*slot as usize]));
        if later(&self.all_hard) || later(&self.uris[marks.uri as usize]) || any(&self.hard) {
            View::Gone
        } else if later(&self.all_soft) || any(&self.soft) {
            View::Suspect
        } else {
            View::Current
        }
    }
}

#[cfg(test)]
mod tests {
    use super::{Generation, Marks, Purge, Tags, View};

    fn marks(tags: &Tags, names: &[&str]) -> Marks {
        let slots = names.iter().map(|name| tags.slot(name)).collect();
        Marks { tags: slots, uri: tags.slot("host/path"), since: tags.now() }
    }

    #[test]
    fn a_purge_reaches_what_carries_its_tag_and_was_fetched_before() {
        let tags = Tags::new();
        let (menu, other) = (marks(&tags, &["store:1", "menu:1"]), marks(&tags, &["store:2"]));
        let table: [(Purge, View); 2] = [(Purge::Soft, View::Suspect), (Purge::Hard, View::Gone)];
        for (kind, expected) in table {
            tags.purge("menu:1", kind);
            assert_eq!(tags.view(&menu), expected);
            assert_eq!(tags.view(&other), View::Current);
            assert_eq!(tags.view(&marks(&tags, &["menu:1"])), View::Current, "fetched since");
        }
        tags.purge("menu:1", Purge::Soft);
        assert_eq!(tags.view(&menu), View::Gone, "a soft purge does not bring back");
    }

    #[test]
    fn everything_can_be_purged_whatever_its_tags() {
        for (kind, expected) in [(Purge::Soft, View::Suspect), (Purge::Hard, View::Gone)] {
            let tags = Tags::new();
            let (tagged, untagged) = (marks(&tags, &["a"]), marks(&tags, &[]));
            tags.purge_all(kind);
            assert_eq!(tags.view(&tagged), expected);
            assert_eq!(tags.view(&untagged), expected);
            assert_eq!(tags.view(&marks(&tags, &["a"])), View::Current);
        }
    }

    #[test]
    fn a_uri_is_purged_without_touching_tags() {
        let tags = Tags::new();
        let entry = marks(&tags, &["a"]);
        tags.purge_uri("host/other");
        assert_eq!(tags.view(&entry), View::Current);
        tags.purge_uri("host/path");
        assert_eq!(tags.view(&entry), View::Gone);
    }

    #[test]
    fn a_generation_tells_caches_below_what_an_entry_is_told() {
        let tags = Tags::new();
        let since = tags.generation("store:1 menu:1").now;
        let seen = || {
            let Generation { hard, soft, .. } = tags.generation("store:1 menu:1");
            (hard > since, soft > since)
        };
        tags.purge("store:2", Purge::Hard);
        tags.purge_uri("host/path");
        assert_eq!(seen(), (false, false), "others were purged");
        tags.purge("menu:1", Purge::Soft);
        assert_eq!(seen(), (false, true));
        tags.purge("store:1", Purge::Hard);
        assert_eq!(seen(), (true, true));
        let again = tags.generation("store:1 menu:1");
        assert!(again.now >= again.hard && again.now >= again.soft, "a new fetch is current");
        tags.purge_all(Purge::Soft);
        assert!(tags.generation("").soft > again.now);
        assert_ne!(Tags::new().generation("").epoch, again.epoch);
        assert_eq!(tags.generation("").epoch, again.epoch);
    }

    #[test]
    fn what_is_purged_by_uri_is_no_news_for_whoever_waits_below() {
        let tags = Tags::new();
        tags.purge_uri("host/path");
        assert_eq!(tags.latest(), 0);
        tags.purge("a", Purge::Soft);
        let one = tags.latest();
        tags.purge_all(Purge::Hard);
        assert!(one > 0 && tags.latest() > one);
    }

    /// Purgers and fillers race: what was fetched before a purge returned is never current after it.
    #[test]
    fn no_order_of_threads_lets_an_old_entry_pass() {
        let tags = Tags::new();
        std::thread::scope(|scope| {
            for thread in 0..4 {
                let tags = &tags;
                scope.spawn(move || {
                    for _ in 0..20_000 {
                        let old = marks(tags, &["hot"]);
                        let kind = if thread % 2 == 0 { Purge::Hard } else { Purge::Soft };
                        tags.purge("hot", kind);
                        assert_ne!(tags.view(&old), View::Current);
                    }
                });
            }
        });
    }
}
