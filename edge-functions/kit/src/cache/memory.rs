//! The first level: entries in the memory of one instance, bounded by number and bytes; the least
//! recently used go first.

use super::entry::Entry;
use std::collections::BTreeMap;
use std::sync::Arc;

/// What an entry costs beside its key and body, bytes; an estimate.
const OVERHEAD_BYTES: usize = 256;

/// Entries by key.
///
/// Invariant: `by_use` holds exactly the keys of `entries`, each under its `used` tick; `bytes` is the
/// sum of their costs.
#[derive(Debug)]
pub struct Memory {
    entries: BTreeMap<String, Slot>,
    by_use: BTreeMap<u64, String>,
    tick: u64,
    bytes: usize,
    max_entries: usize,
    max_bytes: usize,
}

#[derive(Debug)]
struct Slot {
    entry: Arc<Entry>,
    used: u64,
}

fn cost_bytes(key: &str, entry: &Entry) -> usize {
    OVERHEAD_BYTES + 2 * key.len() + entry.body_bytes()
}

impl Memory {
    /// Memory for so many entries and bytes.
    pub const fn new(max_entries: usize, max_bytes: usize) -> Self {
        Self {
            entries: BTreeMap::new(),
            by_use: BTreeMap::new(),
            tick: 0,
            bytes: 0,
            max_entries,
            max_bytes,
        }
    }

    /// The entry of a key, which thereby counts as used.
    pub fn get(&mut self, key: &str) -> Option<Arc<Entry>> {
        let slot = self.entries.get_mut(key)?;
        self.tick += 1;
        if let Some(owned) = self.by_use.remove(&slot.used) {
            self.by_use.insert(self.tick, owned);
        }
        slot.used = self.tick;
        Some(Arc::clone(&slot.entry))
    }

    /// Keeps an entry, and drops others until the bounds hold. One that is over the bounds by itself is
    /// not kept.
    pub fn put(&mut self, key: &str, entry: Arc<Entry>) {
        self.remove(key);
        let cost = cost_bytes(key, &entry);
        if cost > self.max_bytes {
            return;
        }
        self.tick += 1;
        self.bytes += cost;
        self.by_use.insert(self.tick, key.to_owned());
        self.entries.insert(key.to_owned(), Slot { entry, used: self.tick });
        while self.entries.len() > self.max_entries || self.bytes > self.max_bytes {
            let Some(oldest) = self.by_use.first_key_value().map(|(_, key)| key.clone()) else {
                break;
            };
            self.remove(&oldest);
        }
    }

    /// Keeps an entry that was found elsewhere, unless a later one is here.
    pub fn learn(&mut self, key: &str, entry: &Arc<Entry>) {
        let here = self.entries.get(key).map(|slot| slot.entry.lifetime.stored_at_ms);
        if here.is_none_or(|stored_at_ms| stored_at_ms < entry.lifetime.stored_at_ms) {
            self.put(key, Arc::clone(entry));
        }
    }

    /// Forgets a key.
    pub fn remove(&mut self, key: &str) {
        if let Some(slot) = self.entries.remove(key) {
            self.by_use.remove(&slot.used);
            self.bytes -= cost_bytes(key, &slot.entry);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::{Content, Document, Lifetime};
    use super::*;
    use bytes::Bytes;

    fn entry(body_bytes: usize) -> Arc<Entry> {
        Arc::new(Entry {
            stamp: None,
            content: Content::Document(Document {
                etag: String::new(),
                content_type: String::new(),
                content_language: None,
                body: Bytes::from(vec![b'x'; body_bytes]),
            }),
            lifetime: Lifetime {
                stored_at_ms: 0,
                fresh_until_ms: 0,
                stale_while_revalidate_until_ms: 0,
                stale_if_error_until_ms: 0,
            },
        })
    }

    fn keys(memory: &Memory) -> Vec<&str> {
        assert_eq!(memory.by_use.len(), memory.entries.len());
        let sum: usize = memory.entries.iter().map(|(k, s)| cost_bytes(k, &s.entry)).sum();
        assert_eq!(memory.bytes, sum);
        memory.entries.keys().map(String::as_str).collect()
    }

    #[test]
    fn the_least_recently_used_goes_first() {
        let mut memory = Memory::new(2, 1 << 20);
        memory.put("a", entry(1));
        memory.put("b", entry(1));
        assert!(memory.get("a").is_some());
        memory.put("c", entry(1));
        assert_eq!(keys(&memory), ["a", "c"]);
        assert!(memory.get("b").is_none());
    }

    #[test]
    fn bytes_are_bounded_too() {
        let mut memory = Memory::new(100, 3_000);
        memory.put("a", entry(1_000));
        memory.put("b", entry(1_000));
        assert_eq!(keys(&memory), ["a", "b"]);
        memory.put("c", entry(1_000));
        assert_eq!(keys(&memory), ["b", "c"]);
        memory.put("d", entry(5_000));
        assert_eq!(keys(&memory), ["b", "c"], "too great by itself: nothing else suffers");
    }

    #[test]
    fn what_is_found_elsewhere_replaces_only_what_is_older() {
        let stored_at = |stored_at_ms| {
            let mut entry = Arc::unwrap_or_clone(entry(1));
            entry.lifetime.stored_at_ms = stored_at_ms;
            Arc::new(entry)
        };
        let mut memory = Memory::new(2, 1 << 20);
        for (learned_ms, expected_ms) in [(5, 5), (4, 5), (6, 6)] {
            memory.learn("a", &stored_at(learned_ms));
            let here = memory.get("a").map(|entry| entry.lifetime.stored_at_ms);
            assert_eq!(here, Some(expected_ms));
        }
    }

    #[test]
    fn a_key_that_is_put_again_is_replaced() {
        let mut memory = Memory::new(2, 1 << 20);
        memory.put("a", entry(1));
        memory.put("a", entry(7));
        assert_eq!(keys(&memory), ["a"]);
        assert_eq!(memory.get("a").map(|entry| entry.body_bytes()), Some(7));
        memory.remove("a");
        memory.remove("a");
        assert!(keys(&memory).is_empty());
    }
}
