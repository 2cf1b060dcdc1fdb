//! Payments and the webhooks that were heard of them.
//!
//! Reads run on any connection; loads and saves are the commit engine's, under the locks of the orders.

use super::refund;
use crate::db::bulk::{self, Value};
use crate::db::code::{from_text, to_text};
use crate::db::{Conn, DbError, Row};
use crate::engine::EventKey;
use crate::engine::table::Table;
use sqlx::Row as _;
use std::collections::BTreeSet;
use tiffin_api::id::{OrderId, PaymentId, StoreId};
use tiffin_api::payment::{Payment, PaymentState};

/// A payment with what only the core knows of it.
#[derive(Debug, Clone)]
pub struct PaymentRow {
    /// The payment, without its refunds.
    pub payment: Payment,
    /// The scope of the Idempotency-Key that made it.
    pub scope: String,
    /// The hash of that request's body.
    pub body_hash: String,
    /// When the provider is asked about it, if it is undecided by then.
    pub ask_at_ms: i64,
}

/// The select of what [`read_row`] reads, then the given ending.
macro_rules! select_payments {
    ($ending:literal) => {
        concat!(
            "SELECT id, scope, body_hash, ask_at_ms, order_id, state, version, amount_minor, currency, ",
            "method, failure, created_at_ms, updated_at_ms FROM payments",
            $ending
        )
    };
}

fn read_row(row: &Row) -> Result<PaymentRow, DbError> {
    Ok(PaymentRow {
        payment: read_payment(row)?,
        scope: row.try_get("scope")?,
        body_hash: row.try_get("body_hash")?,
        ask_at_ms: row.try_get("ask_at_ms")?,
    })
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
    let row =
        sqlx::query(select_payments!(" WHERE id = ?")).bind(id.raw()).fetch_optional(conn).await?;
    row.as_ref().map(read_payment).transpose()
}

/// The store that a payment is for: it names the lane.
pub async fn lane_of(conn: &mut Conn, id: PaymentId) -> Result<Option<StoreId>, DbError> {
    let store: Option<i64> = sqlx::query_scalar(
        "SELECT o.store_id FROM payments p JOIN orders o ON o.id = p.order_id WHERE p.id = ?",
    )
    .bind(id.raw())
    .fetch_optional(conn)
    .await?;
    Ok(store.map(StoreId::from_raw))
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

/// An order's payments with their refunds, the oldest first.
pub async fn of_order(conn: &mut Conn, order_id: OrderId) -> Result<Vec<Payment>, DbError> {
    let rows = sqlx::query(select_payments!(" WHERE order_id = ? ORDER BY id"))
        .bind(order_id.raw())
        .fetch_all(&mut *conn)
        .await?;
    let mut payments: Vec<Payment> = rows.iter().map(read_payment).collect::<Result<_, _>>()?;
    for payment in &mut payments {
        payment.refunds = refund::of_payment(conn, payment.id).await?;
    }
    Ok(payments)
}

/// The orders of payments.
pub async fn orders_of(
    conn: &mut Conn,
    payments: &BTreeSet<PaymentId>,
) -> Result<Vec<OrderId>, DbError> {
    let ids = payments.iter().map(|id| id.raw());
    let rows = bulk::select_in(conn, "SELECT order_id FROM payments", "id", ids, "").await?;
    rows.iter().map(|row| Ok(OrderId::from_raw(row.try_get("order_id")?))).collect()
}

/// Loads the payments of orders.
pub async fn load(
    conn: &mut Conn,
    orders: impl Iterator<Item = &OrderId>,
    payments: &mut Table<PaymentId, PaymentRow>,
) -> Result<(), DbError> {
    let ids = orders.map(|id| id.raw());
    for row in bulk::select_in(conn, select_payments!(""), "order_id", ids, "").await? {
        let row = read_row(&row)?;
        payments.load(row.payment.id, row);
    }
    Ok(())
}

/// Writes new payments, and what changed of others.
pub async fn save(conn: &mut Conn, payments: &Table<PaymentId, PaymentRow>) -> Result<(), DbError> {
    let into = "payments (id, scope, body_hash, ask_at_ms, order_id, state, version, amount_minor, \
                currency, method, failure, created_at_ms, updated_at_ms)";
    bulk::insert(conn, into, payments.inserted().map(|(_, row)| columns(row)).collect()).await?;
    let changed = payments.updated().map(|(id, PaymentRow { payment, ask_at_ms, .. })| {
        let values = [
            to_text(payment.state).into(),
            payment.version.into(),
            payment.failure.clone().into(),
            (*ask_at_ms).into(),
            payment.updated_at_ms.into(),
        ];
        (id.raw(), values)
    });
    let columns = ["state", "version", "failure", "ask_at_ms", "updated_at_ms"];
    bulk::update(conn, "payments", "id", columns, changed.collect()).await
}

fn columns(row: &PaymentRow) -> [Value; 13] {
    let PaymentRow { payment, scope, body_hash, ask_at_ms } = row;
    [
        payment.id.raw().into(),
        scope.as_str().into(),
        body_hash.as_str().into(),
        (*ask_at_ms).into(),
        payment.order_id.raw().into(),
        to_text(payment.state).into(),
        payment.version.into(),
        payment.amount_minor.into(),
        payment.currency.to_string().into(),
        to_text(payment.method).into(),
        payment.failure.clone().into(),
        payment.created_at_ms.into(),
        payment.updated_at_ms.into(),
    ]
}

/// Loads those of some webhooks that were heard before.
pub async fn load_inbox(
    conn: &mut Conn,
    events: &BTreeSet<EventKey>,
    inbox: &mut Table<EventKey, PaymentId>,
) -> Result<(), DbError> {
    let select = "SELECT provider, event_id, payment_id FROM webhook_inbox";
    let ids = events.iter().map(|(_, event_id)| event_id.as_str());
    for row in bulk::select_in(conn, select, "event_id", ids, "").await? {
        let event = (row.try_get("provider")?, row.try_get("event_id")?);
        inbox.load(event, PaymentId::from_raw(row.try_get("payment_id")?));
    }
    Ok(())
}

/// Notes webhooks that were heard.
pub async fn save_inbox(
    conn: &mut Conn,
    inbox: &Table<EventKey, PaymentId>,
    now_ms: i64,
) -> Result<(), DbError> {
    let row = |((provider, event_id), payment): (&EventKey, &PaymentId)| {
        let event_id = event_id.as_str().into();
        [provider.as_str().into(), event_id, payment.raw().into(), now_ms.into()]
    };
    let into = "webhook_inbox (provider, event_id, payment_id, received_at_ms)";
    bulk::insert(conn, into, inbox.inserted().map(row).collect()).await
}
