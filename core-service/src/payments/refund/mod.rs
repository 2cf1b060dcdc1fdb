//! Refunds: queued in the transaction that makes them due, sent to the provider by a job afterwards.
//!
//! PENDING → SUCCEEDED, or FAILED for a while and PENDING again when its retry is due. The refund's id is
//! the provider's idempotency key, so a retry after a lost answer moves no money twice.

mod store;

pub use store::{RefundRow, due, load, of_payment, payments_of, save};

use super::store::{self as payment_store, PaymentRow};
use crate::app::App;
use crate::db::DbError;
use crate::db::outbox::Topic;
use crate::engine::{Operation, Stop, SubmitError, Wants, WorkingSet};
use crate::limits;
use serde_json::json;
use tiffin_api::id::{OrderId, PaymentId, RefundId};
use tiffin_api::payment::{Payment, PaymentState, Refund, RefundState};

/// Queues the refund of every captured payment of an order.
pub fn queue_for_order(ledger: &mut WorkingSet, order: OrderId) -> Result<(), DbError> {
    let captured = ledger.payments_of(order).map(|row| row.payment.clone());
    let captured: Vec<_> =
        captured.filter(|payment| payment.state == PaymentState::Captured).collect();
    for payment in captured {
        if of(ledger, payment.id).next().is_none() {
            queue(ledger, &payment)?;
        }
    }
    Ok(())
}

/// Queues the refund of a captured payment, whole. An amount of nothing needs none.
pub fn queue(ledger: &mut WorkingSet, payment: &Payment) -> Result<(), DbError> {
    if payment.amount_minor == 0 {
        return Ok(());
    }
    let (id, now_ms) = (RefundId::from_raw(ledger.mint()), ledger.now_ms);
    let refund = Refund {
        id,
        state: RefundState::Pending,
        amount_minor: payment.amount_minor,
        created_at_ms: now_ms,
        updated_at_ms: now_ms,
    };
    publish(ledger, payment.id, &refund)?;
    ledger.refunds.insert(id, RefundRow { payment_id: payment.id, refund, retry_at_ms: now_ms });
    Ok(())
}

/// The refunds of a payment, the oldest first.
fn of(ledger: &WorkingSet, payment: PaymentId) -> impl Iterator<Item = &Refund> {
    let rows = ledger.refunds.values().filter(move |row| row.payment_id == payment);
    rows.map(|row| &row.refund)
}

/// A payment as it is shown: with its refunds.
pub fn with_refunds(ledger: &WorkingSet, row: &PaymentRow) -> Payment {
    let mut payment = row.payment.clone();
    payment.refunds = of(ledger, payment.id).cloned().collect();
    payment
}

/// Sends one refund, unless it was sent before; whether the money went back.
pub async fn send(app: &App, id: RefundId) -> Result<bool, SubmitError> {
    let mut conn = app.db.read().await?;
    let Some((payment_id, refund)) = store::find(&mut conn, id).await? else { return Ok(false) };
    let Some(lane) = payment_store::lane_of(&mut conn, payment_id).await? else { return Ok(false) };
    drop(conn);
    if refund.state == RefundState::Succeeded {
        return Ok(false);
    }
    let outcome = app.sandbox.refund(payment_id, id, refund.amount_minor).await;
    if let Err(error) = &outcome {
        tracing::error!(%payment_id, refund_id = %id, %error, "a refund failed");
    }
    app.engine.submit(lane, Sent { id, succeeded: outcome.is_ok() }).await
}

/// Notes what became of a try to send a refund; the output says whether the money went back by it.
pub struct Sent {
    /// Which.
    pub id: RefundId,
    /// Whether the provider sent it.
    pub succeeded: bool,
}

impl Operation for Sent {
    type Output = bool;

    fn wants(&self, wants: &mut Wants) {
        wants.refunds.insert(self.id);
    }

    fn decide(&self, ledger: &mut WorkingSet) -> Result<bool, Stop> {
        let now_ms = ledger.now_ms;
        let missing = || DbError::inconsistent(format!("refund {} is gone", self.id));
        let row = ledger.refunds.get(&self.id).ok_or_else(missing)?;
        // Another core sent it too; its success stands.
        if row.refund.state == RefundState::Succeeded {
            return Ok(false);
        }
        let row = ledger.refunds.get_mut(&self.id).ok_or_else(missing)?;
        row.refund.state =
            if self.succeeded { RefundState::Succeeded } else { RefundState::Failed };
        row.refund.updated_at_ms = now_ms;
        row.retry_at_ms = now_ms + limits::REFUND_RETRY_MS;
        let RefundRow { payment_id, refund, .. } = row.clone();
        publish(ledger, payment_id, &refund)?;
        Ok(self.succeeded)
    }
}

fn publish(ledger: &mut WorkingSet, payment: PaymentId, refund: &Refund) -> Result<(), DbError> {
    let news = json!({ "refund_id": refund.id, "refund": refund.state });
    ledger.publish(Topic::PaymentChanged, payment.raw(), &news)
}
