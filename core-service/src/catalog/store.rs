//! Stores and menus in the ledger: what is read. What an import is checked against is in
//! [`known`], what it writes in [`import`].

pub mod import;
pub mod known;

use super::view::{StoredItem, StoredMenu, StoredStore};
use crate::db::{Backend, Conn, DbError, Row, bulk};
use sqlx::{Connection as _, QueryBuilder, Row as _};
use std::collections::{BTreeMap, BTreeSet};
use tiffin_api::id::{ItemId, StoreId};
use tiffin_api::import::{ItemRow, StoreRow};

/// What pricing needs to know.
#[derive(Debug, Clone, PartialEq)]
pub struct PricingData {
    /// The store.
    pub store: StoreRow,
    /// Those of the items asked for that the store sells.
    pub items: BTreeMap<ItemId, ItemRow>,
}

fn read_store(row: &Row) -> Result<StoredStore, DbError> {
    Ok(StoredStore {
        id: StoreId::from_raw(row.try_get("id")?),
        version: row.try_get("version")?,
        row: serde_json::from_str(row.try_get("definition")?)?,
    })
}

/// A store.
pub async fn find_store(conn: &mut Conn, id: StoreId) -> Result<Option<StoredStore>, DbError> {
    let row = sqlx::query("SELECT id, version, definition FROM stores WHERE id = ?")
        .bind(id.raw())
        .fetch_optional(conn)
        .await?;
    row.as_ref().map(read_store).transpose()
}

/// Up to `limit` stores by id, those after a given one; and whether more follow.
pub async fn list_stores(
    conn: &mut Conn,
    after: Option<StoreId>,
    limit: u32,
) -> Result<(Vec<StoredStore>, bool), DbError> {
    let rows =
        sqlx::query("SELECT id, version, definition FROM stores WHERE id > ? ORDER BY id LIMIT ?")
            .bind(after.map_or(0, StoreId::raw))
            .bind(i64::from(limit) + 1)
            .fetch_all(conn)
            .await?;
    let mut stores = rows.iter().map(read_store).collect::<Result<Vec<_>, _>>()?;
    let more = stores.len() > limit as usize;
    stores.truncate(limit as usize);
    Ok((stores, more))
}

/// A store with its menu, all of it as of one commit.
pub async fn find_menu(conn: &mut Conn, id: StoreId) -> Result<Option<StoredMenu>, DbError> {
    let mut tx = conn.begin().await?;
    let Some(store) = find_store(&mut tx, id).await? else { return Ok(None) };
    let categories =
        sqlx::query("SELECT definition FROM categories WHERE store_id = ? ORDER BY position, ref")
            .bind(id.raw())
            .fetch_all(&mut *tx)
            .await?;
    let items = sqlx::query(
        "SELECT i.id, i.definition, s.available FROM items i JOIN stock s ON s.item_id = i.id \
         WHERE i.store_id = ? ORDER BY i.position, i.id",
    )
    .bind(id.raw())
    .fetch_all(&mut *tx)
    .await?;
    tx.rollback().await?;
    let categories = categories
        .iter()
        .map(|row| Ok(serde_json::from_str(row.try_get("definition")?)?))
        .collect::<Result<_, DbError>>()?;
    let items = items
        .iter()
        .map(|row| {
            Ok(StoredItem {
                id: ItemId::from_raw(row.try_get("id")?),
                row: serde_json::from_str(row.try_get("definition")?)?,
                available: row.try_get("available")?,
            })
        })
        .collect::<Result<_, DbError>>()?;
    Ok(Some(StoredMenu { store, categories, items }))
}

/// A store and those of the given items that it sells; `None` if there is no such store. It is one
/// statement, so all of it is as of one commit on a plain connection too. The caller bounds the items.
pub async fn load_for_pricing(
    conn: &mut Conn,
    store_id: StoreId,
    items: &[ItemId],
) -> Result<Option<PricingData>, DbError> {
    let mut query = QueryBuilder::new("SELECT NULL AS item_id, definition FROM stores WHERE id = ");
    query.push_bind(store_id.raw());
    query.push(" UNION ALL SELECT id, definition FROM items WHERE store_id = ");
    query.push_bind(store_id.raw());
    // An id that no item has: a list must not be empty.
    let ids: BTreeSet<i64> = items.iter().map(|id| id.raw()).chain([0]).collect();
    push_in(&mut query, " AND id", ids);
    let (mut store, mut items) = (None, BTreeMap::new());
    for row in query.build().fetch_all(conn).await? {
        let (item_id, definition): (Option<i64>, &str) =
            (row.try_get("item_id")?, row.try_get("definition")?);
        match item_id {
            None => store = Some(serde_json::from_str(definition)?),
            Some(id) => _ = items.insert(ItemId::from_raw(id), serde_json::from_str(definition)?),
        }
    }
    Ok(store.map(|store| PricingData { store, items }))
}

/// The versions of those of some stores that exist.
pub async fn versions(
    conn: &mut Conn,
    ids: &BTreeSet<StoreId>,
) -> Result<Vec<(StoreId, i64)>, DbError> {
    let ids = ids.iter().map(|id| id.raw());
    let rows = bulk::select_in(conn, "SELECT id, version FROM stores", "id", ids, "").await?;
    let read = |row: &Row| Ok((StoreId::from_raw(row.try_get("id")?), row.try_get("version")?));
    rows.iter().map(read).collect()
}

/// A store's version, the store, and everything that it sells, all as of one commit; `None` if there is no
/// such store.
pub async fn load_catalog(
    conn: &mut Conn,
    store_id: StoreId,
) -> Result<Option<(i64, StoreRow, BTreeMap<ItemId, ItemRow>)>, DbError> {
    let rows = sqlx::query(
        "SELECT NULL AS item_id, version, definition FROM stores WHERE id = ? \
         UNION ALL SELECT id, 0, definition FROM items WHERE store_id = ?",
    )
    .bind(store_id.raw())
    .bind(store_id.raw())
    .fetch_all(conn)
    .await?;
    let (mut store, mut items) = (None, BTreeMap::new());
    for row in rows {
        let (item_id, definition): (Option<i64>, &str) =
            (row.try_get("item_id")?, row.try_get("definition")?);
        match item_id {
            None => store = Some((row.try_get("version")?, serde_json::from_str(definition)?)),
            Some(id) => _ = items.insert(ItemId::from_raw(id), serde_json::from_str(definition)?),
        }
    }
    Ok(store.map(|(version, store)| (version, store, items)))
}

/// Adds `column IN (values)` to a query; there must be a value, and at most
/// [`crate::limits::STATEMENT_ROWS`] of them.
pub fn push_in<'t, T>(
    query: &mut QueryBuilder<Backend>,
    column: &str,
    values: impl IntoIterator<Item = T>,
) where
    T: 't + sqlx::Encode<'t, Backend> + sqlx::Type<Backend>,
{
    query.push(column).push(" IN (");
    let mut list = query.separated(", ");
    for value in values {
        list.push_bind(value);
    }
    query.push(")");
}

#[cfg(test)]
mod tests;
