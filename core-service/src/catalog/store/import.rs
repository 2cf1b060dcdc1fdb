//! What an import writes, on the caller's write transaction: [`apply`], once [`super::known`] has said that
//! what the rows were checked against still holds.
//!
//! Rows that are already so are not written. Everything that changed leaves through the outbox: one piece of news
//! for each store whose own row, sections or items changed, and one for each deal.

use crate::catalog::upload::{Known, KnownStore, Placed, StoreBatch, share_places};
use crate::catalog::view::StoredStore;
use crate::db::outbox::{self, News, Topic};
use crate::db::{Conn, DbError, expect_one};
use crate::deals;
use crate::deals::state::{StoredDeal, reload, schedule};
use crate::ids::IdGenerator;
use crate::limits;
use serde::Serialize;
use sqlx::QueryBuilder;
use std::collections::BTreeMap;
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

/// Writes checked and resolved rows.
pub async fn apply(
    conn: &mut Conn,
    ids: &IdGenerator,
    batches: Vec<StoreBatch>,
    mut known: Known,
    now_ms: i64,
) -> Result<ImportReport, DbError> {
    let (mut report, mut news) = (ImportReport::default(), Vec::new());
    for batch in batches {
        let known = known.remove(&batch.store);
        let writer =
            StoreWriter { conn: &mut *conn, ids, now_ms, report: &mut report, news: &mut news };
        writer.write(batch, known).await?;
    }
    outbox::publish(conn, ids, &news, now_ms).await?;
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
    news: &'a mut Vec<News>,
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
        Ok(KnownStore::empty(StoredStore { id, version: FIRST_VERSION, row: row.clone() }))
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
            expect_one(&done, || format!("store {} changed while it was locked", stored.id))?;
        }
        let news = StoreChanged { store_id: stored.id, version };
        self.news.push(News::new(Topic::StoreChanged, stored.id.raw(), &news)?);
        Ok(())
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
        expect_one(&done, || format!("category of store {store_id} changed while it was locked"))?;
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
        let (mut changed, mut new) = (false, Vec::new());
        for (row, position) in rows.into_iter().zip(share_places(&had, highest + 1)) {
            let fate = match known.items.get(&row.r#ref) {
                None => {
                    let id = ItemId::from_raw(self.ids.next());
                    ids.insert(row.r#ref.clone(), id);
                    new.push((id, Placed { position, row }));
                    Fate::Created
                }
                Some((id, before)) => {
                    // The stock of an item that exists moves by orders alone.
                    let row = ItemRow { stock: before.row.stock, ..row };
                    self.update_item(*id, before, &Placed { position, row }).await?
                }
            };
            changed |= fate.count(&mut self.report.items);
        }
        for items in new.chunks(limits::STATEMENT_ROWS) {
            self.create_items(store_id, items).await?;
        }
        Ok((changed, ids))
    }

    async fn create_items(
        &mut self,
        store_id: StoreId,
        items: &[(ItemId, Placed<ItemRow>)],
    ) -> Result<(), DbError> {
        let definitions: Vec<_> = items
            .iter()
            .map(|(_, item)| serde_json::to_string(&item.row))
            .collect::<Result<_, _>>()?;
        let mut query = QueryBuilder::new(
            "INSERT INTO items (id, store_id, ref, category_ref, position, definition) ",
        );
        query.push_values(items.iter().zip(definitions), |mut values, ((id, item), definition)| {
            values.push_bind(id.raw()).push_bind(store_id.raw());
            values.push_bind(item.row.r#ref.as_str()).push_bind(item.row.category.as_str());
            values.push_bind(item.position).push_bind(definition);
        });
        query.build().execute(&mut *self.conn).await?;
        let mut query = QueryBuilder::new(
            "INSERT INTO stock (item_id, on_hand, available, reserved, version) ",
        );
        query.push_values(items, |mut values, (id, item)| {
            values.push_bind(id.raw()).push_bind(item.row.stock).push_bind(item.row.stock);
            values.push_bind(0_i64).push_bind(FIRST_VERSION);
        });
        query.build().execute(&mut *self.conn).await?;
        Ok(())
    }

    async fn update_item(
        &mut self,
        id: ItemId,
        before: &Placed<ItemRow>,
        item: &Placed<ItemRow>,
    ) -> Result<Fate, DbError> {
        if before == item {
            return Ok(Fate::Unchanged);
        }
        let done = sqlx::query(
            "UPDATE items SET category_ref = ?, position = ?, definition = ? WHERE id = ?",
        )
        .bind(&item.row.category)
        .bind(item.position)
        .bind(serde_json::to_string(&item.row)?)
        .bind(id.raw())
        .execute(&mut *self.conn)
        .await?;
        expect_one(&done, || format!("item {id} changed while it was locked"))?;
        Ok(Fate::Updated)
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
        self.news.push(News::new(Topic::DealChanged, deal.id.raw(), &news)?);
        Ok(())
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
