//! What the provider's word does to a payment and to its order. Pure.
//!
//! The same function serves the answer to our own ask and a webhook, so it does not matter which comes
//! first, or how often.

use super::refund;
use super::state::{self, Decision, Settlement, Step};
use crate::db::DbError;
use crate::db::outbox::Topic;
use crate::engine::WorkingSet;
use crate::limits;
use crate::orders;
use crate::orders::settle::MoveError;
use crate::orders::state::Move;
use serde_json::json;
use tiffin_api::id::PaymentId;
use tiffin_api::payment::{Payment, PaymentState};
use tiffin_api::written;

/// Applies what the provider said; `None` says that it has not decided. Returns whether that was news.
pub fn apply(
    ledger: &mut WorkingSet,
    id: PaymentId,
    said: Option<&Decision>,
) -> Result<bool, DbError> {
    let now_ms = ledger.now_ms;
    let row = ledger.payments.get(&id).ok_or_else(|| missing(id))?;
    let outcome = said.map(|decision| decision.outcome);
    let Step::To(target) = state::step(row.payment.state, outcome) else { return Ok(false) };
    let payment = &mut ledger.payments.get_mut(&id).ok_or_else(|| missing(id))?.payment;
    payment.state = target;
    payment.version += 1;
    payment.updated_at_ms = now_ms;
    payment.failure = said
        .and_then(|decision| decision.failure.as_ref())
        .filter(|_| target == PaymentState::Failed)
        .map(|failure| written::mended(failure).chars().take(limits::FAILURE_CHARS).collect());
    let payment = payment.clone();
    let news = json!({ "state": payment.state, "order_id": payment.order_id });
    ledger.publish(Topic::PaymentChanged, id.raw(), &news)?;
    if target == PaymentState::Captured {
        settle_capture(ledger, &payment)?;
    }
    Ok(true)
}

/// The money is here: it pays the order, or goes back if the order does not want it any more.
fn settle_capture(ledger: &mut WorkingSet, payment: &Payment) -> Result<(), DbError> {
    let order = ledger.order(payment.order_id)?;
    let is_its_price = payment.amount_minor == order.pricing.total_minor;
    match state::settlement(order.state, is_its_price) {
        Settlement::Refund => refund::queue(ledger, payment),
        Settlement::PayOrder => match orders::settle::apply(ledger, payment.order_id, Move::Pay) {
            Ok(_) => Ok(()),
            Err(MoveError::Db(error)) => Err(error),
            Err(MoveError::Invalid(error)) => Err(DbError::inconsistent(error.to_string())),
        },
    }
}

/// A payment that was written down is not among what its order brought along.
pub(super) fn missing(id: PaymentId) -> DbError {
    DbError::inconsistent(format!("payment {id} was written and is gone"))
}
