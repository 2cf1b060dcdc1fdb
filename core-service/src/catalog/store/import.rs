//! What an import writes. All of it runs on the caller's write transaction: what [`load_known`] read is
//! still so when [`apply`] writes.
//!
//! Rows that are already so are not written. Everything that changed leaves through the outbox: one row
//! for each store whose own row, sections or items changed, and one for each deal.

use super::find_store_by_ref;
use crate::catalog::upload::{Known, KnownStore, Placed, StoreBatch, share_places};
use crate::catalog::view::StoredStore;
use crate::db::outbox::{self, Topic};
use crate::db::{Conn, DbError};
use crate::deals;
use crate::deals::state::{StoredDeal, reload, schedule};
use crate::ids::IdGenerator;
use serde::Serialize;
use sqlx::Row as _;
use std::collections::{BTreeMap, BTreeSet};
use tiffin_api::deal::DealStatus;
use tiffin_api::id::{DealId, ItemId, StoreId};
use tiffin_api::import::{CategoryRow, DealRow, ImportCounts, ImportReport, ItemRow, StoreRow};

/// The version of what has just been made.
const FIRST_VERSION: i64 = 1;

/// What the feed says about an edited store.
#[derive(Serialize)]
struct StoreChanged {
    store_id: StoreId,
    version: i64,
}

/// What the feed says about an edited deal.
#[derive(Serialize)]
struct DealChanged {
    deal_id: DealId,
    store_id: StoreId,
    version: i64,
}

/// What the ledger holds of the stores with the given `ref`s.
pub async fn load_known(conn: &mut Conn, refs: &BTreeSet<&str>) -> Result<Known, DbError> {
    let mut known = Known::new();
    for key in refs {
        let Some(stored) = find_store_by_ref(conn, key).await? else { continue };
        let deals = deals::store::of_store(conn, stored.id).await?;
        let store = KnownStore {
            categories: load_categories(conn, stored.id).await?,
            items: load_items(conn, stored.id).await?,
            deals: deals.into_iter().map(|deal| (deal.row.r#ref.clone(), deal)).collect(),
            stored,
        };
        known.insert((*key).to_owned(), store);
    }
    Ok(known)
}

async fn load_categories(
    conn: &mut Conn,
    store_id: StoreId,
) -> Result<BTreeMap<String, Placed<CategoryRow>>, DbError> {
    let rows = sqlx::query("SELECT ref, position, definition FROM categories WHERE store_id = ?")
        .bind(store_id.raw())
        .fetch_all(conn)
        .await?;
    let read = |row: &sqlx::sqlite::SqliteRow| {
        let definition = serde_json::from_str(row.try_get("definition")?)?;
        Ok((row.try_get("ref")?, Placed { position: row.try_get("position")?, row: definition }))
    };
    rows.iter().map(read).collect()
}

async fn load_items(
    conn: &mut Conn,
    store_id: StoreId,
) -> Result<BTreeMap<String, (ItemId, Placed<ItemRow>)>, DbError> {
    let rows = sqlx::query("SELECT id, ref, position, definition FROM items WHERE store_id = ?")
        .bind(store_id.raw())
        .fetch_all(conn)
        .await?;
    let read = |row: &sqlx::sqlite::SqliteRow| {
        let definition = serde_json::from_str(row.try_get("definition")?)?;
        let placed = Placed { position: row.try_get("position")?, row: definition };
        Ok((row.try_get("ref")?, (ItemId::from_raw(row.try_get("id")?), placed)))
    };
    rows.iter().map(read).collect()
}

/// Writes checked and resolved rows.
pub async fn apply(
    conn: &mut Conn,
    ids: &IdGenerator,
    batches: Vec<StoreBatch>,
    mut known: Known,
    now_ms: i64,
) -> Result<ImportReport, DbError> {
    let mut report = ImportReport::default();
    for batch in batches {
        let known = known.remove(&batch.store);
        let writer = StoreWriter { conn: &mut *conn, ids, now_ms, report: &mut report };
        writer.write(batch, known).await?;
    }
    Ok(report)
}

/// What becomes of a record.
enum Fate {
    Created,
    Updated,
    Unchanged,
}

impl Fate {
    /// Counts it and says whether something changed.
    fn count(&self, counts: &mut ImportCounts) -> bool {
        let (count, changed) = match self {
            Self::Created => (&mut counts.created, true),
            Self::Updated => (&mut counts.updated, true),
            Self::Unchanged => (&mut counts.unchanged, false),
        };
        *count += 1;
        changed
    }
}

/// Writes what a file says about one store.
struct StoreWriter<'a> {
    conn: &'a mut Conn,
    ids: &'a IdGenerator,
    now_ms: i64,
    report: &'a mut ImportReport,
}

impl StoreWriter<'_> {
    async fn write(mut self, batch: StoreBatch, known: Option<KnownStore>) -> Result<(), DbError> {
        let (stored, is_new, known) = match (known, &batch.row) {
            (Some(known), _) => (known.stored.clone(), false, known),
            (None, Some(row)) => {
                let known = self.create_store(row).await?;
                (known.stored.clone(), true, known)
            }
            (None, None) => {
                return Err(DbError::inconsistent(format!("no store {}", batch.store)));
            }
        };
        let mut changed = is_new;
        if let (Some(row), false) = (&batch.row, is_new) {
            let fate = if *row == stored.row { Fate::Unchanged } else { Fate::Updated };
            changed |= fate.count(&mut self.report.stores);
        }
        changed |= self.write_categories(stored.id, batch.categories, &known).await?;
        let (items_changed, item_ids) = self.write_items(stored.id, batch.items, &known).await?;
        changed |= items_changed;
        if changed {
            let row = batch.row.as_ref().unwrap_or(&stored.row);
            self.touch_store(&stored, row, is_new).await?;
        }
        for deal in batch.deals {
            self.write_deal(stored.id, deal, &known, &item_ids).await?;
        }
        Ok(())
    }

    async fn create_store(&mut self, row: &StoreRow) -> Result<KnownStore, DbError> {
        let id = StoreId::from_raw(self.ids.next());
        sqlx::query("INSERT INTO stores (id, ref, definition, version) VALUES (?, ?, ?, ?)")
            .bind(id.raw())
            .bind(&row.r#ref)
            .bind(serde_json::to_string(row)?)
            .bind(FIRST_VERSION)
            .execute(&mut *self.conn)
            .await?;
        Fate::Created.count(&mut self.report.stores);
        Ok(KnownStore {
            stored: StoredStore { id, version: FIRST_VERSION, row: row.clone() },
            categories: BTreeMap::new(),
            items: BTreeMap::new(),
            deals: BTreeMap::new(),
        })
    }

    /// Gives a store that was there before its new version and row, and tells the feed.
    async fn touch_store(
        &mut self,
        stored: &StoredStore,
        row: &StoreRow,
        is_new: bool,
    ) -> Result<(), DbError> {
        let version = if is_new { stored.version } else { stored.version + 1 };
        if !is_new {
            let done = sqlx::query(
                "UPDATE stores SET definition = ?, version = ? WHERE id = ? AND version = ?",
            )
            .bind(serde_json::to_string(row)?)
            .bind(version)
            .bind(stored.id.raw())
            .bind(stored.version)
            .execute(&mut *self.conn)
            .await?;
            expect_one(done.rows_affected(), "store", stored.id.raw())?;
        }
        let news = StoreChanged { store_id: stored.id, version };
        let (topic, subject) = (Topic::StoreChanged, stored.id.raw());
        outbox::publish(self.conn, self.ids, topic, subject, &news, self.now_ms).await
    }

    async fn write_categories(
        &mut self,
        store_id: StoreId,
        rows: Vec<CategoryRow>,
        known: &KnownStore,
    ) -> Result<bool, DbError> {
        let had: Vec<_> =
            rows.iter().map(|row| known.categories.get(&row.r#ref).map(|p| p.position)).collect();
        let highest = known.categories.values().map(|placed| placed.position).max().unwrap_or(0);
        let mut changed = false;
        for (row, position) in rows.into_iter().zip(share_places(&had, highest + 1)) {
            let before = known.categories.get(&row.r#ref);
            let after = Placed { position, row };
            let fate = self.write_category(store_id, before, &after).await?;
            changed |= fate.count(&mut self.report.categories);
        }
        Ok(changed)
    }

    async fn write_category(
        &mut self,
        store_id: StoreId,
        before: Option<&Placed<CategoryRow>>,
        after: &Placed<CategoryRow>,
    ) -> Result<Fate, DbError> {
        if before == Some(after) {
            return Ok(Fate::Unchanged);
        }
        let definition = serde_json::to_string(&after.row)?;
        if before.is_none() {
            sqlx::query(
                "INSERT INTO categories (store_id, ref, position, definition) VALUES (?, ?, ?, ?)",
            )
            .bind(store_id.raw())
            .bind(&after.row.r#ref)
            .bind(after.position)
            .bind(definition)
            .execute(&mut *self.conn)
            .await?;
            return Ok(Fate::Created);
        }
        let done = sqlx::query(
            "UPDATE categories SET position = ?, definition = ? WHERE store_id = ? AND ref = ?",
        )
        .bind(after.position)
        .bind(definition)
        .bind(store_id.raw())
        .bind(&after.row.r#ref)
        .execute(&mut *self.conn)
        .await?;
        expect_one(done.rows_affected(), "category of store", store_id.raw())?;
        Ok(Fate::Updated)
    }

    /// Writes items; returns whether something changed, and the ids of all items that the store now has.
    async fn write_items(
        &mut self,
        store_id: StoreId,
        rows: Vec<ItemRow>,
        known: &KnownStore,
    ) -> Result<(bool, BTreeMap<String, ItemId>), DbError> {
        let mut ids: BTreeMap<_, _> =
            known.items.iter().map(|(key, (id, _))| (key.clone(), *id)).collect();
        let had: Vec<_> =
            rows.iter().map(|row| known.items.get(&row.r#ref).map(|(_, p)| p.position)).collect();
        let highest = known.items.values().map(|(_, placed)| placed.position).max().unwrap_or(0);
        let mut changed = false;
        for (row, position) in rows.into_iter().zip(share_places(&had, highest + 1)) {
            let after = Placed { position, row };
            let fate = match known.items.get(&after.row.r#ref) {
                None => {
                    let id = self.create_item(store_id, &after).await?;
                    ids.insert(after.row.r#ref, id);
                    Fate::Created
                }
                Some((_, before)) if *before == after => Fate::Unchanged,
                Some((id, _)) => {
                    self.update_item(*id, &after).await?;
                    Fate::Updated
                }
            };
            changed |= fate.count(&mut self.report.items);
        }
        Ok((changed, ids))
    }

    async fn create_item(
        &mut self,
        store_id: StoreId,
        item: &Placed<ItemRow>,
    ) -> Result<ItemId, DbError> {
        let id = ItemId::from_raw(self.ids.next());
        sqlx::query(
            "INSERT INTO items (id, store_id, ref, category_ref, position, definition) \
             VALUES (?, ?, ?, ?, ?, ?)",
        )
        .bind(id.raw())
        .bind(store_id.raw())
        .bind(&item.row.r#ref)
        .bind(&item.row.category)
        .bind(item.position)
        .bind(serde_json::to_string(&item.row)?)
        .execute(&mut *self.conn)
        .await?;
        sqlx::query(
            "INSERT INTO stock (item_id, on_hand, available, reserved, version) \
             VALUES (?, ?, ?, 0, ?)",
        )
        .bind(id.raw())
        .bind(item.row.stock)
        .bind(item.row.stock)
        .bind(FIRST_VERSION)
        .execute(&mut *self.conn)
        .await?;
        Ok(id)
    }

    async fn update_item(&mut self, id: ItemId, item: &Placed<ItemRow>) -> Result<(), DbError> {
        let done = sqlx::query(
            "UPDATE items SET category_ref = ?, position = ?, definition = ? WHERE id = ?",
        )
        .bind(&item.row.category)
        .bind(item.position)
        .bind(serde_json::to_string(&item.row)?)
        .bind(id.raw())
        .execute(&mut *self.conn)
        .await?;
        expect_one(done.rows_affected(), "item", id.raw())
    }

    async fn write_deal(
        &mut self,
        store_id: StoreId,
        row: DealRow,
        known: &KnownStore,
        item_ids: &BTreeMap<String, ItemId>,
    ) -> Result<(), DbError> {
        let item_id = *item_ids.get(&row.item).ok_or_else(|| {
            DbError::inconsistent(format!("the deal {} has no item {}", row.r#ref, row.item))
        })?;
        let before = known.deals.get(&row.r#ref);
        let (deal, fate) = match before {
            Some(before) => {
                let after = reload(before, &row, item_id, self.now_ms);
                let fate = if after == *before { Fate::Unchanged } else { Fate::Updated };
                (after, fate)
            }
            None => (self.new_deal(store_id, row, item_id), Fate::Created),
        };
        if !fate.count(&mut self.report.deals) {
            return Ok(());
        }
        match before {
            Some(before) => deals::store::update(self.conn, &deal, before.version).await?,
            None => deals::store::insert(self.conn, &deal).await?,
        }
        let news = DealChanged { deal_id: deal.id, store_id, version: deal.version };
        let (topic, subject) = (Topic::DealChanged, deal.id.raw());
        outbox::publish(self.conn, self.ids, topic, subject, &news, self.now_ms).await
    }

    fn new_deal(&self, store_id: StoreId, row: DealRow, item_id: ItemId) -> StoredDeal {
        StoredDeal {
            id: DealId::from_raw(self.ids.next()),
            store_id,
            item_id,
            window: schedule(&row.window, self.now_ms),
            row,
            status: DealStatus::Scheduled,
            version: FIRST_VERSION,
        }
    }
}

fn expect_one(affected: u64, what: &str, id: i64) -> Result<(), DbError> {
    if affected == 1 {
        return Ok(());
    }
    Err(DbError::inconsistent(format!("{what} {id} changed while it was locked")))
}
