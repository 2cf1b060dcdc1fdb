//! What the gate reads from the ledger.

use crate::coupons;
use crate::db::{Db, DbError, bulk};
use crate::fast::GateTag;
use crate::{ids, limits};
use sqlx::Row as _;
use std::collections::BTreeSet;
use tiffin_api::id::{CouponTemplateId, UserId};

/// Units left of those of some items that belong to a gate.
pub async fn left(
    db: &Db,
    tag: GateTag,
    items: &BTreeSet<i64>,
) -> Result<Vec<(i64, i64)>, DbError> {
    match tag {
        GateTag::Store(store) => {
            let mut conn = db.read().await?;
            let ending = format!(" AND i.store_id = {store}");
            let select =
                "SELECT s.item_id, s.available FROM stock s JOIN items i ON i.id = s.item_id";
            let items = items.iter().copied();
            let rows = bulk::select_in(&mut conn, select, "s.item_id", items, &ending).await?;
            rows.iter()
                .map(|row| Ok((row.try_get("item_id")?, row.try_get("available")?)))
                .collect()
        }
        GateTag::Template(template) => claims_left(db, template).await,
    }
}

/// The claims left of a template, whose gate has one item: itself.
pub async fn claims_left(db: &Db, template: i64) -> Result<Vec<(i64, i64)>, DbError> {
    let id = CouponTemplateId::from_raw(template);
    let left = coupons::store::left(&mut *db.read().await?, id).await?;
    Ok(left.map(|left| (template, left)).into_iter().collect())
}

/// The claims left of a page of templates, those with a cap, after one; and the page's last template.
pub async fn claims_page(db: &Db, after: i64) -> Result<(Vec<(i64, i64)>, Option<i64>), DbError> {
    coupons::store::left_of_page(&mut *db.read().await?, after, limits::GATE_SWEEP_ROWS).await
}

/// Units that a user holds at a gate in unpaid orders.
pub async fn held_at(db: &Db, tag: GateTag, user: UserId) -> Result<i64, DbError> {
    match tag {
        GateTag::Store(store) => {
            let units: i64 = sqlx::query_scalar(
                "SELECT CAST(COALESCE(SUM(l.quantity), 0) AS SIGNED) FROM orders o \
                 JOIN order_lines l ON l.order_id = o.id \
                 WHERE o.user_id = ? AND o.store_id = ? AND o.state = 'PENDING_PAYMENT'",
            )
            .bind(user.raw())
            .bind(store)
            .fetch_one(&mut *db.read().await?)
            .await?;
            Ok(units)
        }
        GateTag::Template(_) => Ok(0),
    }
}

/// A row of stock, as the gate compares it.
#[derive(Debug, Clone, Copy)]
pub struct Left {
    /// The store.
    pub store: i64,
    /// The item.
    pub item: i64,
    /// Units that anybody may still have.
    pub available: i64,
}

/// A page of stock by store and item, after a position.
pub async fn page(db: &Db, after: (i64, i64)) -> Result<Vec<Left>, DbError> {
    let rows = sqlx::query(
        "SELECT i.store_id, i.id, s.available FROM items i JOIN stock s ON s.item_id = i.id \
         WHERE i.store_id > ? OR (i.store_id = ? AND i.id > ?) ORDER BY i.store_id, i.id LIMIT ?",
    )
    .bind(after.0)
    .bind(after.0)
    .bind(after.1)
    .bind(i64::from(limits::GATE_SWEEP_ROWS))
    .fetch_all(&mut *db.read().await?)
    .await?;
    let read = |row: &crate::db::Row| {
        Ok(Left {
            store: row.try_get("store_id")?,
            item: row.try_get("id")?,
            available: row.try_get("available")?,
        })
    };
    rows.iter().map(read).collect()
}

/// Every unit left in a store.
pub async fn all_left(db: &Db, store: i64) -> Result<Vec<(i64, i64)>, DbError> {
    let rows = sqlx::query(
        "SELECT i.id, s.available FROM items i JOIN stock s ON s.item_id = i.id WHERE i.store_id = ?",
    )
    .bind(store)
    .fetch_all(&mut *db.read().await?)
    .await?;
    rows.iter().map(|row| Ok((row.try_get("id")?, row.try_get("available")?))).collect()
}

/// How many idempotency records there are.
pub async fn count_scopes(db: &Db) -> Result<i64, DbError> {
    let count = sqlx::query_scalar("SELECT COUNT(*) FROM idempotency");
    Ok(count.fetch_one(&mut *db.read().await?).await?)
}

/// Scopes of records, in their own order, after one.
pub async fn scopes(db: &Db, after: &str) -> Result<Vec<String>, DbError> {
    let scopes =
        sqlx::query_scalar("SELECT scope FROM idempotency WHERE scope > ? ORDER BY scope LIMIT ?")
            .bind(after)
            .bind(i64::from(limits::KNOWN_PAGE))
            .fetch_all(&mut *db.read().await?)
            .await?;
    Ok(scopes)
}

/// Scopes of records written since `since_ms`, by any core, with the latest instant among them.
pub async fn scopes_since(db: &Db, since_ms: i64) -> Result<(Vec<String>, Option<i64>), DbError> {
    let rows = sqlx::query("SELECT id, scope FROM idempotency WHERE id >= ? ORDER BY id")
        .bind(ids::lowest_at(since_ms))
        .fetch_all(&mut *db.read().await?)
        .await?;
    let latest: Option<i64> = rows.last().map(|row| row.try_get("id")).transpose()?;
    let scopes = rows.iter().map(|row| row.try_get("scope")).collect::<Result<_, _>>()?;
    Ok((scopes, latest.map(ids::instant_ms)))
}

/// Whether another core than ours works on this ledger: whether more than one holds a node's lease.
pub async fn has_company(db: &Db, now_ms: i64) -> Result<bool, DbError> {
    let cores: i64 = sqlx::query_scalar("SELECT COUNT(*) FROM nodes WHERE lease_until_ms > ?")
        .bind(now_ms)
        .fetch_one(&mut *db.read().await?)
        .await?;
    Ok(cores > 1)
}
