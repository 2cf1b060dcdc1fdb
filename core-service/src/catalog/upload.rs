//! A file of rows, read and checked as a whole. Pure.
//!
//! [`read`] takes the lines one by one: what does not parse, breaks a rule of its own, or stands twice.
//! [`Upload::unresolved`] then checks what rows say about each other and about what the ledger already
//! holds. A row that is bad still counts as declared, so that one mistake is not reported once more by
//! every row that refers to it.

use super::faults::Faults;
use super::state;
use super::view::StoredStore;
use crate::deals;
use crate::deals::state::StoredDeal;
use crate::limits;
use serde::Deserialize;
use std::collections::{BTreeMap, BTreeSet};
use tiffin_api::id::ItemId;
use tiffin_api::import::{CategoryRow, DealRow, DealWindow, ItemRow, Row, StoreRow};
use tiffin_api::members;

/// UTF-8's byte order mark, which some editors put in front.
const BYTE_ORDER_MARK: &[u8] = b"\xEF\xBB\xBF";

/// What names a record: the store's `ref`, its kind, and its own `ref`.
type Key = (String, Kind, String);

#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Deserialize)]
#[serde(rename_all = "lowercase")]
enum Kind {
    Store,
    Category,
    Item,
    Deal,
}

/// As much of a line as says which record it is about.
#[derive(Deserialize)]
struct Head {
    kind: Kind,
    #[serde(default)]
    store: Option<String>,
    r#ref: String,
}

impl Head {
    fn key(self) -> Key {
        match self.kind {
            Kind::Store => (self.r#ref, Kind::Store, String::new()),
            Kind::Category | Kind::Item | Kind::Deal => {
                (self.store.unwrap_or_default(), self.kind, self.r#ref)
            }
        }
    }
}

/// The rows of a file, with the lines they stand on.
#[derive(Debug, Default)]
pub struct Upload {
    rows: Vec<(u64, Row)>,
    declared: BTreeMap<Key, u64>,
}

/// What a file says about one store.
#[derive(Debug, Default)]
pub struct StoreBatch {
    /// The store's `ref`.
    pub store: String,
    /// The store itself, if the file has it.
    pub row: Option<StoreRow>,
    /// Sections, in the file's order.
    pub categories: Vec<CategoryRow>,
    /// Items, in the file's order.
    pub items: Vec<ItemRow>,
    /// Deals, in the file's order.
    pub deals: Vec<DealRow>,
}

/// A record's place in its list, and what the merchant said about it last.
#[derive(Debug, Clone, PartialEq)]
pub struct Placed<T> {
    /// Its place; records are shown by it.
    pub position: i64,
    /// The record.
    pub row: T,
}

/// What the ledger holds of one store.
#[derive(Debug)]
pub struct KnownStore {
    /// The store.
    pub stored: StoredStore,
    /// Its sections by `ref`.
    pub categories: BTreeMap<String, Placed<CategoryRow>>,
    /// Its items by `ref`.
    pub items: BTreeMap<String, (ItemId, Placed<ItemRow>)>,
    /// Its deals by `ref`.
    pub deals: BTreeMap<String, StoredDeal>,
}

impl KnownStore {
    /// A store without a menu.
    pub fn empty(stored: StoredStore) -> Self {
        let (categories, items, deals) = (BTreeMap::new(), BTreeMap::new(), BTreeMap::new());
        Self { stored, categories, items, deals }
    }
}

/// What the ledger holds of the stores that a file speaks of, by `ref`.
pub type Known = BTreeMap<String, KnownStore>;

/// Reads a file; the faults are those of single lines and of records that stand twice. A file that is too
/// large, or so full of faults that the search for more ends, gives no rows.
pub fn read(body: &[u8]) -> (Upload, Faults) {
    let body = body.strip_prefix(BYTE_ORDER_MARK).unwrap_or(body);
    let (mut upload, mut faults) = (Upload::default(), Faults::default());
    let lines = (1_u64..).zip(body.split(|byte| *byte == b'\n').map(<[u8]>::trim_ascii));
    let lines = lines.filter(|(_, line)| !line.is_empty());
    match lines.clone().take(limits::IMPORT_LINES + 1).count() {
        0 => faults.add(
            "",
            "the file is empty: send one JSON object a line, of the kind store, category, item or deal",
        ),
        1..=limits::IMPORT_LINES => {}
        _ => {
            let most = limits::IMPORT_LINES;
            faults.add("", format!("the file has more than {most} rows; split it by store"));
            return (upload, faults);
        }
    }
    for (number, line) in lines {
        let found = upload.take_line(number, line);
        if !found.is_empty() {
            faults.extend(found.on_line(number));
        }
        if faults.is_full() {
            return (Upload::default(), faults);
        }
    }
    let (stores, most) = (upload.store_refs().len(), limits::IMPORT_STORES);
    if stores > most {
        faults
            .add("", format!("the file speaks of {stores} stores; load at most {most} at a time"));
        return (Upload::default(), faults);
    }
    (upload, faults)
}

impl Upload {
    fn take_line(&mut self, number: u64, line: &[u8]) -> Faults {
        let mut faults = Faults::default();
        if !line.starts_with(b"{") {
            faults.add("", "a line is one JSON object with a kind: store, category, item or deal");
            return faults;
        }
        if let Ok(head) = serde_json::from_slice::<Head>(line) {
            let first = *self.declared.entry(head.key()).or_insert(number);
            let rule = format!("the same record stands on line {first} already");
            faults.require(first == number, "/ref", rule);
        }
        if let Ok(Some(pointer)) = members::doubled(line) {
            faults.add(pointer, "stands twice");
            return faults;
        }
        match serde_json::from_slice::<Row>(line) {
            Ok(row) => {
                faults.extend(check_row(&row));
                self.rows.push((number, row));
            }
            Err(error) => match window_fault(line) {
                Some(detail) => faults.add("/window", detail),
                None => faults.add("", describe(&error)),
            },
        }
        faults
    }

    /// The `ref`s of every store that the file speaks of.
    pub fn store_refs(&self) -> BTreeSet<&str> {
        self.rows.iter().map(|(_, row)| store_ref(row)).collect()
    }

    /// What rows refer to that is neither in the file nor in the ledger, and what does not go together.
    pub fn unresolved(&self, known: &Known) -> Faults {
        let in_file: BTreeMap<&str, &StoreRow> = self
            .rows
            .iter()
            .filter_map(|(_, row)| match row {
                Row::Store(store) => Some((store.r#ref.as_str(), store.as_ref())),
                Row::Category(_) | Row::Item(_) | Row::Deal(_) => None,
            })
            .collect();
        let resolver = Resolver { declared: &self.declared, in_file, known };
        let mut all = Faults::default();
        for (line, row) in &self.rows {
            let faults = resolver.check(row);
            if !faults.is_empty() {
                all.extend(faults.on_line(*line));
            }
            if all.is_full() {
                break;
            }
        }
        all
    }

    /// The rows by store, stores in the order in which the file first speaks of them.
    pub fn into_batches(self) -> Vec<StoreBatch> {
        let mut batches: Vec<StoreBatch> = Vec::new();
        let mut index_of: BTreeMap<String, usize> = BTreeMap::new();
        for (_, row) in self.rows {
            let store = store_ref(&row).to_owned();
            let index = *index_of.entry(store.clone()).or_insert_with(|| {
                batches.push(StoreBatch { store, ..StoreBatch::default() });
                batches.len() - 1
            });
            let batch = &mut batches[index];
            match row {
                Row::Store(store) => batch.row = Some(*store),
                Row::Category(category) => batch.categories.push(category),
                Row::Item(item) => batch.items.push(*item),
                Row::Deal(deal) => batch.deals.push(deal),
            }
        }
        batches
    }
}

fn store_ref(row: &Row) -> &str {
    match row {
        Row::Store(store) => &store.r#ref,
        Row::Category(category) => &category.store,
        Row::Item(item) => &item.store,
        Row::Deal(deal) => &deal.store,
    }
}

fn check_row(row: &Row) -> Faults {
    match row {
        Row::Store(store) => state::check_store(store),
        Row::Category(category) => state::check_category(category),
        Row::Item(item) => state::check_item(item),
        Row::Deal(deal) => deals::state::check(deal),
    }
}

/// Says what the JSON reader met. Its line is always 1 here, and its column means something only where
/// the text is not JSON at all.
fn describe(error: &serde_json::Error) -> String {
    let text = error.to_string();
    let place = format!(" at line {} column {}", error.line(), error.column());
    let what = text.strip_suffix(&place).unwrap_or(&text);
    if error.is_data() { what.to_owned() } else { format!("{what} at column {}", error.column()) }
}

/// What is wrong with the window of a deal that does not parse, if it is the window.
fn window_fault(line: &[u8]) -> Option<String> {
    #[derive(Deserialize)]
    struct WindowPart {
        kind: Kind,
        window: serde_json::Value,
    }
    let part: WindowPart = serde_json::from_slice(line).ok()?;
    let error = serde_json::from_value::<DealWindow>(part.window).err()?;
    (part.kind == Kind::Deal).then(|| {
        format!(
            "a window has the fields start_ms and end_ms, or start_after_s and duration_s, and no \
             others: {error}"
        )
    })
}

/// Looks up what rows refer to, in the file first.
struct Resolver<'a> {
    declared: &'a BTreeMap<Key, u64>,
    in_file: BTreeMap<&'a str, &'a StoreRow>,
    known: &'a Known,
}

impl Resolver<'_> {
    fn check(&self, row: &Row) -> Faults {
        let mut faults = Faults::default();
        match row {
            Row::Store(store) => self.check_store(store, &mut faults),
            Row::Category(category) => _ = self.require_store(&category.store, &mut faults),
            Row::Item(item) => self.check_item(item, &mut faults),
            Row::Deal(deal) => {
                let has = |known: &KnownStore| known.items.contains_key(&deal.item);
                if self.require_store(&deal.store, &mut faults)
                    && !self.exists(&deal.store, Kind::Item, &deal.item, has)
                {
                    let detail = format!("{} has no item {:?}", deal.store, deal.item);
                    faults.add("/item", detail);
                }
            }
        }
        faults
    }

    /// What an edit of a store must not break.
    fn check_store(&self, row: &StoreRow, faults: &mut Faults) {
        let Some(known) = self.known.get(&row.r#ref) else { return };
        faults.require(
            known.stored.row.currency == row.currency,
            "/currency",
            format!(
                "is {} since the store was made, and so are its prices",
                known.stored.row.currency
            ),
        );
        for (item, (_, placed)) in &known.items {
            let key = (row.r#ref.clone(), Kind::Item, item.clone());
            let class = &placed.row.tax_class;
            if !self.declared.contains_key(&key) && !row.tax.classes.contains_key(class) {
                let detail = format!("must keep {class:?}, the class of the item {item:?}");
                faults.add("/tax/classes", detail);
            }
        }
    }

    fn check_item(&self, item: &ItemRow, faults: &mut Faults) {
        if !self.require_store(&item.store, faults) {
            return;
        }
        let has = |known: &KnownStore| known.categories.contains_key(&item.category);
        if !self.exists(&item.store, Kind::Category, &item.category, has) {
            faults.add("/category", format!("{} has no category {:?}", item.store, item.category));
        }
        let in_file = self.in_file.get(item.store.as_str()).copied();
        let store = in_file.or_else(|| self.known.get(&item.store).map(|known| &known.stored.row));
        let class_known = store.is_none_or(|store| store.tax.classes.contains_key(&item.tax_class));
        faults.require(class_known, "/tax_class", "must be one of the store's tax classes");
    }

    fn require_store(&self, store: &str, faults: &mut Faults) -> bool {
        let key = (store.to_owned(), Kind::Store, String::new());
        let exists = self.declared.contains_key(&key) || self.known.contains_key(store);
        let detail = format!("there is no store {store:?}, neither in the file nor loaded before");
        faults.require(exists, "/store", detail);
        exists
    }

    fn exists(
        &self,
        store: &str,
        kind: Kind,
        key: &str,
        in_ledger: impl FnOnce(&KnownStore) -> bool,
    ) -> bool {
        self.declared.contains_key(&(store.to_owned(), kind, key.to_owned()))
            || self.known.get(store).is_some_and(in_ledger)
    }
}

/// Gives the records of a file their places among those of the ledger: records that exist share out the
/// places they had, new ones come last, and all of them stand in the file's order. So a whole menu that
/// is loaded again takes the file's order, and a single item that is edited stays where it was.
pub fn share_places(had: &[Option<i64>], first_free: i64) -> Vec<i64> {
    let mut places: Vec<i64> = had.iter().copied().flatten().collect();
    places.sort_unstable();
    let missing = had.len() - places.len();
    places.extend((first_free..).take(missing));
    places
}

#[cfg(test)]
mod tests;
