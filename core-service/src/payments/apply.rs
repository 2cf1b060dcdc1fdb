//! What the provider's word does to a payment and to its order, in one transaction.
//!
//! The same function serves the answer to our own ask and a webhook, so it does not matter which comes
//! first, or how often.

use super::state::{self, Decision, Settlement, Step};
use super::{refund, store};
use crate::db::outbox::{self, Topic};
use crate::db::{Conn, DbError};
use crate::ids::IdGenerator;
use crate::limits;
use crate::orders;
use crate::orders::settle::MoveError;
use crate::orders::state::Move;
use serde_json::json;
use tiffin_api::payment::{Payment, PaymentState};

/// Applies what the provider said to a payment read in this transaction; `None` says that it has not
/// decided. Returns the payment as it stands afterwards.
pub async fn apply(
    conn: &mut Conn,
    ids: &IdGenerator,
    mut payment: Payment,
    said: Option<Decision>,
    now_ms: i64,
) -> Result<Payment, DbError> {
    let outcome = said.as_ref().map(|decision| decision.outcome);
    let Step::To(target) = state::step(payment.state, outcome) else { return Ok(payment) };
    payment.state = target;
    payment.version += 1;
    payment.updated_at_ms = now_ms;
    payment.failure = said
        .and_then(|decision| decision.failure)
        .filter(|_| target == PaymentState::Failed)
        .map(|failure| failure.chars().take(limits::FAILURE_CHARS).collect());
    store::save_move(conn, &payment).await?;
    let news = json!({ "state": payment.state, "order_id": payment.order_id });
    outbox::publish(conn, ids, Topic::PaymentChanged, payment.id.raw(), &news, now_ms).await?;
    if target == PaymentState::Captured {
        settle_capture(conn, ids, &payment, now_ms).await?;
    }
    payment.refunds = refund::of_payment(conn, payment.id).await?;
    Ok(payment)
}

/// The money is here: it pays the order, or goes back if the order does not want it any more.
async fn settle_capture(
    conn: &mut Conn,
    ids: &IdGenerator,
    payment: &Payment,
    now_ms: i64,
) -> Result<(), DbError> {
    let order = orders::store::get(conn, payment.order_id).await?;
    match state::settlement(order.state) {
        Settlement::Refund => refund::queue(conn, ids, payment, now_ms).await,
        Settlement::PayOrder => {
            match orders::settle::apply(conn, ids, order, Move::Pay, now_ms).await {
                Ok(_) => Ok(()),
                Err(MoveError::Db(error)) => Err(error),
                Err(MoveError::Invalid(error)) => Err(DbError::inconsistent(error.to_string())),
            }
        }
    }
}
