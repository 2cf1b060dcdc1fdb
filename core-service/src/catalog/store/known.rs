//! What an import is checked against. [`load_known`] reads it before the write transaction, so that nothing
//! waits for the check of a large file; in that transaction, [`still_holds`] says whether it is still so.

use super::{push_in, read_store};
use crate::catalog::upload::{Known, KnownStore, Placed};
use crate::db::{Conn, DbError};
use crate::deals;
use crate::limits;
use sqlx::{QueryBuilder, Row as _};
use std::collections::{BTreeMap, BTreeSet};
use tiffin_api::id::{ItemId, StoreId};

/// What the ledger holds of the stores with the given `ref`s.
pub async fn load_known(conn: &mut Conn, refs: &BTreeSet<&str>) -> Result<Known, DbError> {
    let mut known = Known::new();
    for refs in in_lists(refs) {
        let mut stores = load_stores(conn, &refs).await?;
        if stores.is_empty() {
            continue;
        }
        let ids: Vec<_> = stores.keys().copied().collect();
        load_categories(conn, &mut stores).await?;
        load_items(conn, &mut stores).await?;
        for deal in deals::store::of_stores(conn, &ids).await? {
            let store = store_of(&mut stores, deal.store_id.raw())?;
            store.deals.insert(deal.row.r#ref.clone(), deal);
        }
        known.extend(stores.into_values().map(|store| (store.stored.row.r#ref.clone(), store)));
    }
    Ok(known)
}

/// Whether the ledger still holds of the stores with the given `ref`s what [`load_known`] read.
pub async fn still_holds(
    conn: &mut Conn,
    refs: &BTreeSet<&str>,
    known: &Known,
) -> Result<bool, DbError> {
    // A store's version grows with its sections and items; deals have versions of their own.
    let mut versions: BTreeMap<i64, i64> = BTreeMap::new();
    for store in known.values() {
        versions.insert(store.stored.id.raw(), store.stored.version);
        versions.extend(store.deals.values().map(|deal| (deal.id.raw(), deal.version)));
    }
    for refs in in_lists(refs) {
        let mut query = QueryBuilder::new("SELECT id, version FROM stores WHERE ");
        push_in(&mut query, "ref", refs.iter().copied());
        query.push(" UNION ALL SELECT d.id, d.version FROM deals d JOIN stores s ");
        push_in(&mut query, "ON s.id = d.store_id WHERE s.ref", refs.iter().copied());
        for row in query.build().fetch_all(&mut *conn).await? {
            let (id, version): (i64, i64) = (row.try_get("id")?, row.try_get("version")?);
            if versions.remove(&id) != Some(version) {
                return Ok(false);
            }
        }
    }
    Ok(versions.is_empty())
}

/// Values in portions that one statement takes.
fn in_lists<'a>(values: &BTreeSet<&'a str>) -> Vec<Vec<&'a str>> {
    let values: Vec<_> = values.iter().copied().collect();
    values.chunks(limits::STATEMENT_ROWS).map(<[&str]>::to_vec).collect()
}

async fn load_stores(
    conn: &mut Conn,
    refs: &[&str],
) -> Result<BTreeMap<StoreId, KnownStore>, DbError> {
    let mut query = QueryBuilder::new("SELECT id, version, definition FROM stores WHERE ");
    push_in(&mut query, "ref", refs.iter().copied());
    let rows = query.build().fetch_all(conn).await?;
    let read = |row| read_store(row).map(|stored| (stored.id, KnownStore::empty(stored)));
    rows.iter().map(read).collect()
}

fn store_of(
    stores: &mut BTreeMap<StoreId, KnownStore>,
    id: i64,
) -> Result<&mut KnownStore, DbError> {
    let store = stores.get_mut(&StoreId::from_raw(id));
    store.ok_or_else(|| DbError::inconsistent(format!("store {id} was not asked for")))
}

async fn load_categories(
    conn: &mut Conn,
    stores: &mut BTreeMap<StoreId, KnownStore>,
) -> Result<(), DbError> {
    let mut query =
        QueryBuilder::new("SELECT store_id, ref, position, definition FROM categories WHERE ");
    push_in(&mut query, "store_id", stores.keys().map(|id| id.raw()));
    for row in query.build().fetch_all(conn).await? {
        let definition = serde_json::from_str(row.try_get("definition")?)?;
        let placed = Placed { position: row.try_get("position")?, row: definition };
        let store = store_of(stores, row.try_get("store_id")?)?;
        store.categories.insert(row.try_get("ref")?, placed);
    }
    Ok(())
}

async fn load_items(
    conn: &mut Conn,
    stores: &mut BTreeMap<StoreId, KnownStore>,
) -> Result<(), DbError> {
    let mut query =
        QueryBuilder::new("SELECT id, store_id, ref, position, definition FROM items WHERE ");
    push_in(&mut query, "store_id", stores.keys().map(|id| id.raw()));
    for row in query.build().fetch_all(conn).await? {
        let definition = serde_json::from_str(row.try_get("definition")?)?;
        let placed = Placed { position: row.try_get("position")?, row: definition };
        let store = store_of(stores, row.try_get("store_id")?)?;
        store.items.insert(row.try_get("ref")?, (ItemId::from_raw(row.try_get("id")?), placed));
    }
    Ok(())
}
