//! Stores and menus in the ledger: what is read. What an import is checked against is in
//! [`known`], what it writes in [`import`].

pub mod import;
pub mod known;

use super::view::{Shelf, StoredMenu, StoredStore};
use crate::db::{Backend, Conn, DbError, Row, bulk};
use serde::Serialize;
use serde_json::value::RawValue;
use sqlx::{QueryBuilder, Row as _};
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
    let Some(shelf) = find_shelf(&mut tx, id).await? else { return Ok(None) };
    let Some((_, rows)) = read_menu_rows(&mut tx, id).await? else { return Ok(None) };
    tx.rollback().await?;
    Ok(Some(StoredMenu::of(id, &shelf, serde_json::from_slice(&rows)?)))
}

/// A store's version and how much there is of what it sells, as of one commit: it is one statement, by keys.
pub async fn find_shelf(conn: &mut Conn, id: StoreId) -> Result<Option<Shelf>, DbError> {
    let rows = sqlx::query(
        "SELECT o.version, s.item_id, s.available FROM stores o \
         LEFT JOIN items i ON i.store_id = o.id LEFT JOIN stock s ON s.item_id = i.id WHERE o.id = ?",
    )
    .bind(id.raw())
    .fetch_all(conn)
    .await?;
    let Some(first) = rows.first() else { return Ok(None) };
    let (version, mut available) = (first.try_get("version")?, BTreeMap::new());
    for row in &rows {
        // A store without items has one row without an item.
        if let Some(item) = row.try_get::<Option<i64>, _>("item_id")? {
            available.insert(ItemId::from_raw(item), row.try_get("available")?);
        }
    }
    Ok(Some(Shelf { version, available }))
}

/// A store's version and what is said of the store and its menu in it, all as of one commit: JSON that reads as
/// [`super::view::MenuRows`], made of the ledger's own words, so that no other program's idea of a row comes between.
pub async fn find_menu_rows(
    conn: &mut Conn,
    id: StoreId,
) -> Result<Option<(i64, Vec<u8>)>, DbError> {
    let mut tx = conn.begin().await?;
    let found = read_menu_rows(&mut tx, id).await?;
    tx.rollback().await?;
    Ok(found)
}

/// The same within a transaction that reads one snapshot.
async fn read_menu_rows(conn: &mut Conn, id: StoreId) -> Result<Option<(i64, Vec<u8>)>, DbError> {
    #[derive(Serialize)]
    struct Words<'a> {
        store: &'a RawValue,
        categories: Vec<&'a RawValue>,
        items: Vec<(ItemId, &'a RawValue)>,
    }
    let store = sqlx::query("SELECT version, definition FROM stores WHERE id = ?")
        .bind(id.raw())
        .fetch_optional(&mut *conn)
        .await?;
    let Some(store) = store else { return Ok(None) };
    let categories =
        sqlx::query("SELECT definition FROM categories WHERE store_id = ? ORDER BY position, ref")
            .bind(id.raw())
            .fetch_all(&mut *conn)
            .await?;
    let items =
        sqlx::query("SELECT id, definition FROM items WHERE store_id = ? ORDER BY position, id")
            .bind(id.raw())
            .fetch_all(&mut *conn)
            .await?;
    let words = Words {
        store: definition(&store)?,
        categories: categories.iter().map(definition).collect::<Result<_, _>>()?,
        items: items
            .iter()
            .map(|row| Ok((ItemId::from_raw(row.try_get("id")?), definition(row)?)))
            .collect::<Result<_, DbError>>()?,
    };
    Ok(Some((store.try_get("version")?, serde_json::to_vec(&words)?)))
}

fn definition(row: &Row) -> Result<&RawValue, DbError> {
    Ok(serde_json::from_str(row.try_get("definition")?)?)
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
