//! Rows of one kind that a batch works on, with an undo journal for the command in progress.
//!
//! Invariant: after [`Table::undo`] the table is as it was at the last [`Table::keep`], whatever the command
//! in between did to it, also if it panicked half way.

use std::collections::BTreeMap;

/// Rows by key. Keys are ordered, so that everything that is done to all rows is done in one order.
#[derive(Debug)]
pub struct Table<K, V> {
    rows: BTreeMap<K, Row<V>>,
    /// What the command in progress has overwritten, the oldest first; `None` where it made the row.
    journal: Vec<(K, Option<Row<V>>)>,
}

#[derive(Debug, Clone)]
struct Row<V> {
    value: V,
    origin: Origin,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Origin {
    /// As the database has it.
    Loaded,
    /// The database has it, with other values.
    Updated,
    /// The database does not have it.
    Inserted,
}

impl<K, V> Default for Table<K, V> {
    fn default() -> Self {
        Self { rows: BTreeMap::new(), journal: Vec::new() }
    }
}

impl<K: Ord + Clone, V: Clone> Table<K, V> {
    /// Takes in a row as the database has it.
    pub fn load(&mut self, key: K, value: V) {
        self.rows.insert(key, Row { value, origin: Origin::Loaded });
    }

    /// A row.
    pub fn get(&self, key: &K) -> Option<&V> {
        self.rows.get(key).map(|row| &row.value)
    }

    /// A row to be changed. It counts as changed even if it is not.
    pub fn get_mut(&mut self, key: &K) -> Option<&mut V> {
        let row = self.rows.get_mut(key)?;
        self.journal.push((key.clone(), Some(row.clone())));
        if row.origin == Origin::Loaded {
            row.origin = Origin::Updated;
        }
        Some(&mut row.value)
    }

    /// A new row. There must be none under this key.
    pub fn insert(&mut self, key: K, value: V) {
        // Before anything is changed: what was overwritten here could not be taken back.
        assert!(!self.rows.contains_key(&key), "a row is inserted once");
        self.journal.push((key.clone(), None));
        self.rows.insert(key, Row { value, origin: Origin::Inserted });
    }

    /// A row to be changed, made from `new` if there is none.
    pub fn entry(&mut self, key: &K, new: impl FnOnce() -> V) -> &mut V {
        if !self.rows.contains_key(key) {
            self.insert(key.clone(), new());
        }
        self.get_mut(key).expect("it is there or has just been made")
    }

    /// Every row, by key.
    pub fn values(&self) -> impl Iterator<Item = &V> {
        self.rows.values().map(|row| &row.value)
    }

    /// The keys of every row, in order.
    pub fn keys(&self) -> impl Iterator<Item = &K> {
        self.rows.keys()
    }

    /// The rows that the database does not have.
    pub fn inserted(&self) -> impl Iterator<Item = (&K, &V)> {
        self.of(Origin::Inserted)
    }

    /// The rows that the database has with other values.
    pub fn updated(&self) -> impl Iterator<Item = (&K, &V)> {
        self.of(Origin::Updated)
    }

    /// The rows that the database has not, or not so.
    pub fn changed(&self) -> impl Iterator<Item = (&K, &V)> {
        let changed = self.rows.iter().filter(|(_, row)| row.origin != Origin::Loaded);
        changed.map(|(key, row)| (key, &row.value))
    }

    fn of(&self, origin: Origin) -> impl Iterator<Item = (&K, &V)> {
        let rows = self.rows.iter().filter(move |(_, row)| row.origin == origin);
        rows.map(|(key, row)| (key, &row.value))
    }

    /// Makes what the command in progress did part of the batch.
    pub(super) fn keep(&mut self) {
        self.journal.clear();
    }

    /// Takes back what the command in progress did.
    pub(super) fn undo(&mut self) {
        for (key, before) in self.journal.drain(..).rev() {
            match before {
                Some(row) => _ = self.rows.insert(key, row),
                None => _ = self.rows.remove(&key),
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    type Rows = Vec<(i64, i64)>;

    fn changes(table: &Table<i64, i64>) -> (Rows, Rows) {
        let inserted = table.inserted().map(|(key, value)| (*key, *value)).collect();
        (inserted, table.updated().map(|(key, value)| (*key, *value)).collect())
    }

    #[test]
    fn an_insert_over_a_row_panics_and_leaves_it() {
        let mut table = Table::default();
        table.load(1, 10);
        let twice = std::panic::AssertUnwindSafe(|| table.insert(1, 11));
        assert!(std::panic::catch_unwind(twice).is_err());
        table.undo();
        assert_eq!(table.get(&1), Some(&10));
        assert_eq!(changes(&table), (vec![], vec![]));
    }

    #[test]
    fn undo_takes_back_what_was_not_kept() {
        let mut table = Table::default();
        table.load(1, 10);
        table.load(2, 20);
        *table.get_mut(&1).unwrap() += 1;
        table.insert(3, 30);
        table.keep();
        *table.get_mut(&1).unwrap() += 1;
        *table.get_mut(&1).unwrap() += 1;
        *table.get_mut(&2).unwrap() += 1;
        *table.entry(&3, || unreachable!()) += 1;
        *table.entry(&4, || 40) += 1;
        table.undo();
        assert_eq!(changes(&table), (vec![(3, 30)], vec![(1, 11)]));
        assert_eq!(table.get(&2), Some(&20));
        table.undo();
        assert_eq!(
            changes(&table),
            (vec![(3, 30)], vec![(1, 11)]),
            "there is nothing more to undo"
        );
    }
}
