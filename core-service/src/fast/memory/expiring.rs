//! A bounded map whose entries end at an instant.
//!
//! Invariant: never more than `most` entries. When a new one does not fit, the one that would end first goes.

use std::collections::{BTreeMap, HashMap};
use std::hash::Hash;

/// The map. Times are ms, of one clock.
#[derive(Debug)]
pub(super) struct Expiring<K, V> {
    entries: HashMap<K, Entry<V>>,
    /// The keys by their end; the number tells apart what ends together.
    ends: BTreeMap<(i64, u64), K>,
    number: u64,
    most: usize,
}

#[derive(Debug)]
struct Entry<V> {
    value: V,
    end: (i64, u64),
}

impl<K: Clone + Eq + Hash, V> Expiring<K, V> {
    pub(super) fn new(most: usize) -> Self {
        Self { entries: HashMap::new(), ends: BTreeMap::new(), number: 0, most }
    }

    /// The value, if it has not ended.
    pub(super) fn get(&self, key: &K, now_ms: i64) -> Option<&V> {
        self.entries.get(key).filter(|entry| entry.end.0 > now_ms).map(|entry| &entry.value)
    }

    /// Sets the value until `end_ms`.
    pub(super) fn set(&mut self, key: K, value: V, end_ms: i64, now_ms: i64) {
        self.remove(&key, now_ms);
        while let Some(first) = self.ends.first_entry()
            && (first.key().0 <= now_ms || self.entries.len() >= self.most)
        {
            self.entries.remove(&first.remove());
        }
        self.number += 1;
        let end = (end_ms, self.number);
        self.ends.insert(end, key.clone());
        self.entries.insert(key, Entry { value, end });
    }

    /// Takes the value out, if it has not ended.
    pub(super) fn remove(&mut self, key: &K, now_ms: i64) -> Option<V> {
        let entry = self.entries.remove(key)?;
        self.ends.remove(&entry.end);
        (entry.end.0 > now_ms).then_some(entry.value)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_has_ended_is_gone_and_what_does_not_fit_pushes_out_the_first_to_end() {
        let mut map = Expiring::new(2);
        map.set("a", 1, 10, 0);
        map.set("b", 2, 20, 0);
        assert_eq!((map.get(&"a", 9), map.get(&"a", 10)), (Some(&1), None));
        map.set("c", 3, 30, 0);
        assert_eq!(
            (map.get(&"a", 0), map.get(&"b", 0), map.get(&"c", 0)),
            (None, Some(&2), Some(&3))
        );
        // Set anew, "b" ends last.
        map.set("b", 4, 40, 0);
        map.set("d", 5, 35, 0);
        assert_eq!(
            (map.get(&"b", 0), map.get(&"c", 0), map.get(&"d", 0)),
            (Some(&4), None, Some(&5))
        );
        assert_eq!(map.remove(&"b", 0), Some(4));
        assert_eq!(map.remove(&"b", 0), None);
        assert_eq!((map.entries.len(), map.ends.len()), (1, 1));
    }
}
