//! Refunds: queued in the transaction that makes them due, sent to the provider by a job afterwards.
//!
//! PENDING → SUCCEEDED, or FAILED for a while and PENDING again when its retry is due. The refund's id is
//! the provider's idempotency key, so a retry after a lost answer moves no money twice.

mod store;

pub use store::{due, of_payment};

use super::store as payment_store;
use crate::app::App;
use crate::db::outbox::{self, Topic};
use crate::db::{Conn, DbError};
use crate::ids::IdGenerator;
use crate::limits;
use serde_json::json;
use tiffin_api::id::{OrderId, PaymentId, RefundId};
use tiffin_api::payment::{Payment, PaymentState, Refund, RefundState};

/// Queues the refund of every captured payment of an order.
pub async fn queue_for_order(
    conn: &mut Conn,
    ids: &IdGenerator,
    order_id: OrderId,
    now_ms: i64,
) -> Result<(), DbError> {
    for payment in payment_store::of_order(conn, order_id).await? {
        if payment.state == PaymentState::Captured && payment.refunds.is_empty() {
            queue(conn, ids, &payment, now_ms).await?;
        }
    }
    Ok(())
}

/// Queues the refund of a captured payment, whole. An amount of nothing needs none.
pub async fn queue(
    conn: &mut Conn,
    ids: &IdGenerator,
    payment: &Payment,
    now_ms: i64,
) -> Result<(), DbError> {
    if payment.amount_minor == 0 {
        return Ok(());
    }
    let refund = Refund {
        id: RefundId::from_raw(ids.next()),
        state: RefundState::Pending,
        amount_minor: payment.amount_minor,
        created_at_ms: now_ms,
        updated_at_ms: now_ms,
    };
    store::insert(conn, payment.id, &refund).await?;
    publish(conn, ids, payment.id, &refund, now_ms).await
}

/// Sends one refund, unless it was sent before; whether the money went back.
pub async fn send(app: &App, id: RefundId) -> Result<bool, DbError> {
    let found = store::find(&mut *app.db.read().await?, id).await?;
    let Some((payment_id, mut refund)) = found else { return Ok(false) };
    if refund.state == RefundState::Succeeded {
        return Ok(false);
    }
    let outcome = app.sandbox.refund(payment_id, refund.id, refund.amount_minor).await;
    let now_ms = app.clock.now_ms();
    let mut tx = app.db.write().await?;
    refund.updated_at_ms = now_ms;
    refund.state = match outcome {
        Ok(()) => RefundState::Succeeded,
        Err(error) => {
            tracing::error!(%payment_id, refund_id = %refund.id, %error, "a refund failed");
            RefundState::Failed
        }
    };
    store::save(&mut tx, &refund, now_ms + limits::REFUND_RETRY_MS).await?;
    publish(&mut tx, &app.ids, payment_id, &refund, now_ms).await?;
    tx.commit().await?;
    Ok(refund.state == RefundState::Succeeded)
}

async fn publish(
    conn: &mut Conn,
    ids: &IdGenerator,
    payment_id: PaymentId,
    refund: &Refund,
    now_ms: i64,
) -> Result<(), DbError> {
    let news = json!({ "refund_id": refund.id, "refund": refund.state });
    outbox::publish(conn, ids, Topic::PaymentChanged, payment_id.raw(), &news, now_ms).await
}
