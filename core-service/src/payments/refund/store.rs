//! Rows of refunds.

use crate::db::code::{from_text, to_text};
use crate::db::{Conn, DbError, Row, expect_one};
use sqlx::Row as _;
use tiffin_api::id::{PaymentId, RefundId};
use tiffin_api::payment::{Refund, RefundState};

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

/// Writes a new refund, due at once.
pub(super) async fn insert(
    conn: &mut Conn,
    payment_id: PaymentId,
    refund: &Refund,
) -> Result<(), DbError> {
    sqlx::query(
        "INSERT INTO refunds (id, payment_id, state, amount_minor, retry_at_ms, created_at_ms, \
         updated_at_ms) VALUES (?, ?, ?, ?, ?, ?, ?)",
    )
    .bind(refund.id.raw())
    .bind(payment_id.raw())
    .bind(to_text(refund.state))
    .bind(refund.amount_minor)
    .bind(refund.created_at_ms)
    .bind(refund.created_at_ms)
    .bind(refund.updated_at_ms)
    .execute(conn)
    .await?;
    Ok(())
}

/// Writes what became of a try.
pub(super) async fn save(
    conn: &mut Conn,
    refund: &Refund,
    retry_at_ms: i64,
) -> Result<(), DbError> {
    let done = sqlx::query(
        "UPDATE refunds SET state = ?, retry_at_ms = ?, updated_at_ms = ? WHERE id = ?",
    )
    .bind(to_text(refund.state))
    .bind(retry_at_ms)
    .bind(refund.updated_at_ms)
    .bind(refund.id.raw())
    .execute(conn)
    .await?;
    expect_one(&done, || format!("refund {} is gone", refund.id))
}
