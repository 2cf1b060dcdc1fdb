//! Deals in the ledger.

use super::state::{StoredDeal, Window};
use crate::db::code::{from_text, to_text};
use crate::db::{Conn, DbError};
use crate::limits;
use serde::Deserialize;
use sqlx::Row as _;
use sqlx::sqlite::SqliteRow;
use tiffin_api::id::{DealId, ItemId, StoreId};
use tiffin_api::money::Currency;
use tiffin_api::text::Lang;

/// A query for whole deals beside their stores' definitions, with the given condition.
macro_rules! select_deals {
    ($condition:literal) => {
        sqlx::query(concat!(
            "SELECT d.id, d.store_id, d.item_id, d.definition, d.start_ms, d.end_ms, d.status, ",
            "d.version, s.definition AS store FROM deals d JOIN stores s ON s.id = d.store_id ",
            $condition
        ))
    };
}

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
#[derive(Deserialize)]
struct StorePart {
    currency: Currency,
    lang: Lang,
}

fn read_offer(row: &SqliteRow) -> Result<Offer, DbError> {
    let StorePart { currency, lang } = serde_json::from_str(row.try_get("store")?)?;
    let deal = StoredDeal {
        id: DealId::from_raw(row.try_get("id")?),
        store_id: StoreId::from_raw(row.try_get("store_id")?),
        item_id: ItemId::from_raw(row.try_get("item_id")?),
        row: serde_json::from_str(row.try_get("definition")?)?,
        window: Window { start_ms: row.try_get("start_ms")?, end_ms: row.try_get("end_ms")? },
        status: from_text(row.try_get("status")?)?,
        version: row.try_get("version")?,
    };
    Ok(Offer { deal, currency, lang })
}

/// A deal.
pub async fn find(conn: &mut Conn, id: DealId) -> Result<Option<Offer>, DbError> {
    let row = select_deals!("WHERE d.id = ?").bind(id.raw()).fetch_optional(conn).await?;
    row.as_ref().map(read_offer).transpose()
}

/// The deals that end after `after_ms`, by start; at most [`limits::DEALS_LISTED`].
pub async fn list(conn: &mut Conn, after_ms: i64) -> Result<Vec<Offer>, DbError> {
    let rows = select_deals!("WHERE d.end_ms > ? ORDER BY d.start_ms, d.id LIMIT ?")
        .bind(after_ms)
        .bind(i64::from(limits::DEALS_LISTED))
        .fetch_all(conn)
        .await?;
    rows.iter().map(read_offer).collect()
}

/// Every deal of a store.
pub async fn of_store(conn: &mut Conn, store_id: StoreId) -> Result<Vec<StoredDeal>, DbError> {
    let rows = select_deals!("WHERE d.store_id = ?").bind(store_id.raw()).fetch_all(conn).await?;
    rows.iter().map(|row| Ok(read_offer(row)?.deal)).collect()
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
    if done.rows_affected() != 1 {
        return Err(DbError::inconsistent(format!("deal {} changed while it was locked", deal.id)));
    }
    Ok(())
}
