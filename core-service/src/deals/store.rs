//! Deals in the ledger.

use super::state::{StoredDeal, Window};
use crate::catalog::store::push_in;
use crate::db::code::{from_text, to_text};
use crate::db::{Conn, DbError, Row, expect_one};
use crate::limits;
use serde::Deserialize;
use sqlx::{QueryBuilder, Row as _};
use std::collections::{BTreeMap, BTreeSet};
use tiffin_api::id::{DealId, ItemId, StoreId};
use tiffin_api::money::Currency;
use tiffin_api::text::Lang;

/// A query for whole deals, to be followed by its condition.
const SELECT_DEALS: &str =
    "SELECT id, store_id, item_id, definition, start_ms, end_ms, status, version FROM deals WHERE ";

/// A deal, with what a diner is told from its store.
#[derive(Debug)]
pub struct Offer {
    /// The deal.
    pub deal: StoredDeal,
    /// The currency of its price.
    pub currency: Currency,
    /// The store's own language.
    pub lang: Lang,
}

/// As much of a store's definition as its deals need.
#[derive(Clone, Copy, Deserialize)]
struct StorePart {
    currency: Currency,
    lang: Lang,
}

fn read_deal(row: &Row) -> Result<StoredDeal, DbError> {
    Ok(StoredDeal {
        id: DealId::from_raw(row.try_get("id")?),
        store_id: StoreId::from_raw(row.try_get("store_id")?),
        item_id: ItemId::from_raw(row.try_get("item_id")?),
        row: serde_json::from_str(row.try_get("definition")?)?,
        window: Window { start_ms: row.try_get("start_ms")?, end_ms: row.try_get("end_ms")? },
        status: from_text(row.try_get("status")?)?,
        version: row.try_get("version")?,
    })
}

/// Reads each store once, however many deals it has. Deals never outlive their store.
async fn with_stores(conn: &mut Conn, deals: Vec<StoredDeal>) -> Result<Vec<Offer>, DbError> {
    let ids: BTreeSet<i64> = deals.iter().map(|deal| deal.store_id.raw()).collect();
    if ids.is_empty() {
        return Ok(Vec::new());
    }
    let mut query = QueryBuilder::new("SELECT id, definition FROM stores WHERE ");
    push_in(&mut query, "id", ids);
    let mut stores: BTreeMap<i64, StorePart> = BTreeMap::new();
    for row in query.build().fetch_all(conn).await? {
        stores.insert(row.try_get("id")?, serde_json::from_str(row.try_get("definition")?)?);
    }
    let offer = |deal: StoredDeal| {
        let StorePart { currency, lang } = *stores
            .get(&deal.store_id.raw())
            .ok_or_else(|| DbError::inconsistent(format!("deal {} has no store", deal.id)))?;
        Ok(Offer { deal, currency, lang })
    };
    deals.into_iter().map(offer).collect()
}

/// A deal.
pub async fn find(conn: &mut Conn, id: DealId) -> Result<Option<Offer>, DbError> {
    let mut query = QueryBuilder::new(SELECT_DEALS);
    query.push("id = ").push_bind(id.raw());
    let row = query.build().fetch_optional(&mut *conn).await?;
    let deal = row.as_ref().map(read_deal).transpose()?;
    Ok(with_stores(conn, deal.into_iter().collect()).await?.pop())
}

/// The deals that end after `after_ms`, by start; at most [`limits::DEALS_LISTED`].
pub async fn list(conn: &mut Conn, after_ms: i64) -> Result<Vec<Offer>, DbError> {
    let mut query = QueryBuilder::new(SELECT_DEALS);
    query.push("end_ms > ").push_bind(after_ms);
    query.push(" ORDER BY start_ms, id LIMIT ").push_bind(i64::from(limits::DEALS_LISTED));
    let rows = query.build().fetch_all(&mut *conn).await?;
    let deals = rows.iter().map(read_deal).collect::<Result<_, _>>()?;
    with_stores(conn, deals).await
}

/// Every deal of some stores: at least one, at most [`limits::STATEMENT_ROWS`].
pub async fn of_stores(conn: &mut Conn, ids: &[StoreId]) -> Result<Vec<StoredDeal>, DbError> {
    let mut query = QueryBuilder::new(SELECT_DEALS);
    push_in(&mut query, "store_id", ids.iter().map(|id| id.raw()));
    let rows = query.build().fetch_all(conn).await?;
    rows.iter().map(read_deal).collect()
}

/// Writes a new deal.
pub async fn insert(conn: &mut Conn, deal: &StoredDeal) -> Result<(), DbError> {
    sqlx::query(
        "INSERT INTO deals \
         (id, store_id, ref, item_id, definition, start_ms, end_ms, status, version) \
         VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?)",
    )
    .bind(deal.id.raw())
    .bind(deal.store_id.raw())
    .bind(&deal.row.r#ref)
    .bind(deal.item_id.raw())
    .bind(serde_json::to_string(&deal.row)?)
    .bind(deal.window.start_ms)
    .bind(deal.window.end_ms)
    .bind(to_text(deal.status))
    .bind(deal.version)
    .execute(conn)
    .await?;
    Ok(())
}

/// Writes a deal that was at `before_version`.
pub async fn update(
    conn: &mut Conn,
    deal: &StoredDeal,
    before_version: i64,
) -> Result<(), DbError> {
    let done = sqlx::query(
        "UPDATE deals SET item_id = ?, definition = ?, start_ms = ?, end_ms = ?, status = ?, \
         version = ? WHERE id = ? AND version = ?",
    )
    .bind(deal.item_id.raw())
    .bind(serde_json::to_string(&deal.row)?)
    .bind(deal.window.start_ms)
    .bind(deal.window.end_ms)
    .bind(to_text(deal.status))
    .bind(deal.version)
    .bind(deal.id.raw())
    .bind(before_version)
    .execute(conn)
    .await?;
    expect_one(&done, || format!("deal {} changed while it was locked", deal.id))
}
