//! Payments and the webhooks that were heard of them.

use super::refund;
use crate::db::code::{from_text, to_text};
use crate::db::{Conn, DbError, Row, expect_one};
use crate::idempotency::Keyed;
use crate::limits;
use sqlx::Row as _;
use tiffin_api::id::{OrderId, PaymentId};
use tiffin_api::payment::{Payment, PaymentState};

/// A query for whole payments: the columns that [`read_payment`] and [`find_by_scope`] read, then the given condition.
macro_rules! select_payments {
    ($condition:literal) => {
        sqlx::query(concat!(
            "SELECT id, body_hash, order_id, state, version, amount_minor, currency, method, failure, ",
            "created_at_ms, updated_at_ms FROM payments ",
            $condition
        ))
    };
}

fn read_payment(row: &Row) -> Result<Payment, DbError> {
    Ok(Payment {
        id: PaymentId::from_raw(row.try_get("id")?),
        order_id: OrderId::from_raw(row.try_get("order_id")?),
        state: from_text(row.try_get("state")?)?,
        version: row.try_get("version")?,
        amount_minor: row.try_get("amount_minor")?,
        currency: from_text(row.try_get("currency")?)?,
        method: from_text(row.try_get("method")?)?,
        failure: row.try_get("failure")?,
        refunds: Vec::new(),
        created_at_ms: row.try_get("created_at_ms")?,
        updated_at_ms: row.try_get("updated_at_ms")?,
    })
}

/// A payment, without its refunds.
pub async fn find(conn: &mut Conn, id: PaymentId) -> Result<Option<Payment>, DbError> {
    let row = select_payments!("WHERE id = ?").bind(id.raw()).fetch_optional(conn).await?;
    row.as_ref().map(read_payment).transpose()
}

/// A payment that was written down earlier.
pub async fn get(conn: &mut Conn, id: PaymentId) -> Result<Payment, DbError> {
    let payment = find(conn, id).await?;
    payment.ok_or_else(|| DbError::inconsistent(format!("payment {id} was written and is gone")))
}

/// The payment that an idempotent request made before it was cut short, and the hash of its body.
pub async fn find_by_scope(
    conn: &mut Conn,
    scope: &str,
) -> Result<Option<(Payment, String)>, DbError> {
    let row = select_payments!("WHERE scope = ?").bind(scope).fetch_optional(conn).await?;
    let Some(row) = row else { return Ok(None) };
    Ok(Some((read_payment(&row)?, row.try_get("body_hash")?)))
}

/// Undecided payments about which the provider is to be asked now, by id after `after`.
pub async fn to_ask(
    conn: &mut Conn,
    now_ms: i64,
    after: i64,
    limit: u32,
) -> Result<Vec<i64>, DbError> {
    let ids = sqlx::query_scalar(
        "SELECT id FROM payments WHERE state IN (?, ?, ?) AND ask_at_ms <= ? AND id > ? \
         ORDER BY id LIMIT ?",
    )
    .bind(to_text(PaymentState::Created))
    .bind(to_text(PaymentState::Processing))
    .bind(to_text(PaymentState::Authorized))
    .bind(now_ms)
    .bind(after)
    .bind(i64::from(limit))
    .fetch_all(conn)
    .await?;
    Ok(ids)
}

/// Has the provider asked about a payment at `ask_at_ms`, if it is undecided by then.
pub async fn ask_at(conn: &mut Conn, id: PaymentId, ask_at_ms: i64) -> Result<(), DbError> {
    sqlx::query("UPDATE payments SET ask_at_ms = ? WHERE id = ?")
        .bind(ask_at_ms)
        .bind(id.raw())
        .execute(conn)
        .await?;
    Ok(())
}

/// An order's payments with their refunds, the oldest first.
pub async fn of_order(conn: &mut Conn, order_id: OrderId) -> Result<Vec<Payment>, DbError> {
    let rows = select_payments!("WHERE order_id = ? ORDER BY id")
        .bind(order_id.raw())
        .fetch_all(&mut *conn)
        .await?;
    let mut payments: Vec<Payment> = rows.iter().map(read_payment).collect::<Result<_, _>>()?;
    for payment in &mut payments {
        payment.refunds = refund::of_payment(conn, payment.id).await?;
    }
    Ok(payments)
}

/// Writes a new payment under the key of its request.
pub async fn insert(conn: &mut Conn, payment: &Payment, keyed: &Keyed) -> Result<(), DbError> {
    sqlx::query(
        "INSERT INTO payments (id, scope, body_hash, ask_at_ms, order_id, state, version, \
         amount_minor, currency, method, failure, created_at_ms, updated_at_ms) \
         VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
    )
    .bind(payment.id.raw())
    .bind(&keyed.scope)
    .bind(&keyed.body_hash)
    .bind(payment.created_at_ms + limits::PAYMENT_ASK_AGAIN_MS)
    .bind(payment.order_id.raw())
    .bind(to_text(payment.state))
    .bind(payment.version)
    .bind(payment.amount_minor)
    .bind(payment.currency.to_string())
    .bind(to_text(payment.method))
    .bind(&payment.failure)
    .bind(payment.created_at_ms)
    .bind(payment.updated_at_ms)
    .execute(conn)
    .await?;
    Ok(())
}

/// Writes a payment's new state; `payment` carries the version it was read with plus one.
pub async fn save_move(conn: &mut Conn, payment: &Payment) -> Result<(), DbError> {
    let done = sqlx::query(
        "UPDATE payments SET state = ?, version = ?, failure = ?, updated_at_ms = ? \
         WHERE id = ? AND version = ?",
    )
    .bind(to_text(payment.state))
    .bind(payment.version)
    .bind(&payment.failure)
    .bind(payment.updated_at_ms)
    .bind(payment.id.raw())
    .bind(payment.version - 1)
    .execute(conn)
    .await?;
    expect_one(&done, || format!("payment {} moved under our lock", payment.id))
}

/// Notes that a webhook was heard; false if it was heard before.
pub async fn hear(
    conn: &mut Conn,
    provider: &str,
    event_id: &str,
    payment_id: PaymentId,
    now_ms: i64,
) -> Result<bool, DbError> {
    let heard = sqlx::query("SELECT 1 FROM webhook_inbox WHERE provider = ? AND event_id = ?")
        .bind(provider)
        .bind(event_id)
        .fetch_optional(&mut *conn)
        .await?;
    if heard.is_some() {
        return Ok(false);
    }
    sqlx::query(
        "INSERT INTO webhook_inbox (provider, event_id, payment_id, received_at_ms) \
         VALUES (?, ?, ?, ?)",
    )
    .bind(provider)
    .bind(event_id)
    .bind(payment_id.raw())
    .bind(now_ms)
    .execute(conn)
    .await?;
    Ok(true)
}
