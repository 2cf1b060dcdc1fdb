//! Rows of refunds.

use crate::db::bulk;
use crate::db::code::{from_text, to_text};
use crate::db::{Conn, DbError, Row};
use crate::engine::table::Table;
use sqlx::Row as _;
use std::collections::BTreeSet;
use tiffin_api::id::{PaymentId, RefundId};
use tiffin_api::payment::{Refund, RefundState};

/// A refund with what only the core knows of it.
#[derive(Debug, Clone)]
pub struct RefundRow {
    /// The payment whose money goes back.
    pub payment_id: PaymentId,
    /// The refund.
    pub refund: Refund,
    /// When it is sent again, unless it succeeded.
    pub retry_at_ms: i64,
}

fn read_refund(row: &Row) -> Result<Refund, DbError> {
    Ok(Refund {
        id: RefundId::from_raw(row.try_get("id")?),
        state: from_text(row.try_get("state")?)?,
        amount_minor: row.try_get("amount_minor")?,
        created_at_ms: row.try_get("created_at_ms")?,
        updated_at_ms: row.try_get("updated_at_ms")?,
    })
}

/// The refunds of a payment, the oldest first.
pub async fn of_payment(conn: &mut Conn, payment_id: PaymentId) -> Result<Vec<Refund>, DbError> {
    let rows = sqlx::query(
        "SELECT id, state, amount_minor, created_at_ms, updated_at_ms FROM refunds \
         WHERE payment_id = ? ORDER BY id",
    )
    .bind(payment_id.raw())
    .fetch_all(conn)
    .await?;
    rows.iter().map(read_refund).collect()
}

/// A refund and its payment.
pub(super) async fn find(
    conn: &mut Conn,
    id: RefundId,
) -> Result<Option<(PaymentId, Refund)>, DbError> {
    let row = sqlx::query(
        "SELECT id, payment_id, state, amount_minor, created_at_ms, updated_at_ms FROM refunds \
         WHERE id = ?",
    )
    .bind(id.raw())
    .fetch_optional(conn)
    .await?;
    let Some(row) = row else { return Ok(None) };
    Ok(Some((PaymentId::from_raw(row.try_get("payment_id")?), read_refund(&row)?)))
}

/// Refunds to be sent now, by id after `after`: new ones, and failed ones whose wait is over.
pub async fn due(
    conn: &mut Conn,
    now_ms: i64,
    after: i64,
    limit: u32,
) -> Result<Vec<i64>, DbError> {
    let ids = sqlx::query_scalar(
        "SELECT id FROM refunds WHERE state IN (?, ?) AND retry_at_ms <= ? AND id > ? \
         ORDER BY id LIMIT ?",
    )
    .bind(to_text(RefundState::Pending))
    .bind(to_text(RefundState::Failed))
    .bind(now_ms)
    .bind(after)
    .bind(i64::from(limit))
    .fetch_all(conn)
    .await?;
    Ok(ids)
}

/// The payments of refunds.
pub async fn payments_of(
    conn: &mut Conn,
    refunds: &BTreeSet<RefundId>,
) -> Result<Vec<PaymentId>, DbError> {
    let ids = refunds.iter().map(|id| id.raw());
    let rows = bulk::select_in(conn, "SELECT payment_id FROM refunds", "id", ids, "").await?;
    rows.iter().map(|row| Ok(PaymentId::from_raw(row.try_get("payment_id")?))).collect()
}

/// Loads the refunds of payments.
pub async fn load(
    conn: &mut Conn,
    payments: impl Iterator<Item = &PaymentId>,
    refunds: &mut Table<RefundId, RefundRow>,
) -> Result<(), DbError> {
    let select = "SELECT id, payment_id, state, amount_minor, retry_at_ms, created_at_ms, \
                  updated_at_ms FROM refunds";
    let ids = payments.map(|id| id.raw());
    for row in bulk::select_in(conn, select, "payment_id", ids, "").await? {
        let refund = read_refund(&row)?;
        let payment_id = PaymentId::from_raw(row.try_get("payment_id")?);
        let retry_at_ms = row.try_get("retry_at_ms")?;
        refunds.load(refund.id, RefundRow { payment_id, refund, retry_at_ms });
    }
    Ok(())
}

/// Writes new refunds, and what became of others.
pub async fn save(conn: &mut Conn, refunds: &Table<RefundId, RefundRow>) -> Result<(), DbError> {
    let new = refunds.inserted().map(|(id, RefundRow { payment_id, refund, retry_at_ms })| {
        [
            id.raw().into(),
            payment_id.raw().into(),
            to_text(refund.state).into(),
            refund.amount_minor.into(),
            (*retry_at_ms).into(),
            refund.created_at_ms.into(),
            refund.updated_at_ms.into(),
        ]
    });
    let into =
        "refunds (id, payment_id, state, amount_minor, retry_at_ms, created_at_ms, updated_at_ms)";
    bulk::insert(conn, into, new.collect()).await?;
    let changed = refunds.updated().map(|(id, RefundRow { refund, retry_at_ms, .. })| {
        let state = to_text(refund.state).into();
        (id.raw(), [state, (*retry_at_ms).into(), refund.updated_at_ms.into()])
    });
    let columns = ["state", "retry_at_ms", "updated_at_ms"];
    bulk::update(conn, "refunds", "id", columns, changed.collect()).await
}
