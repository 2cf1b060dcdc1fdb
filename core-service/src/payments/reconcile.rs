//! Payments that nobody decided: the provider is asked again, until it has.
//!
//! A crash, a client that went away or a lost webhook can leave a payment undecided. Nothing depends on
//! anybody coming back: this job asks the provider what became of it, and gives up in the provider's books
//! what no order wants any more, so that no money stays held. Whatever the provider then says is applied
//! like any other word of it: money that was taken after all pays the order or goes back.

use super::commands::Reconcile;
use super::sandbox::{SandboxError, Status};
use super::state::Decision;
use super::{state, store};
use crate::app::App;
use crate::db::DbError;
use crate::engine::{SubmitError, WorkingSet};
use crate::orders;
use tiffin_api::id::{OrderId, PaymentId, StoreId};
use tiffin_api::order::OrderState;
use tiffin_api::payment::Payment;

/// Has the undecided payments of an order that has just closed given up soon.
pub fn order_closed(ledger: &mut WorkingSet, order: OrderId) {
    let now_ms = ledger.now_ms;
    let payments = ledger.payments_of(order).map(|row| &row.payment);
    let active: Vec<_> = payments
        .filter(|payment| state::is_active(payment.state))
        .map(|payment| payment.id)
        .collect();
    for id in active {
        ledger.payments.get_mut(&id).expect("it was found above").ask_at_ms = now_ms;
    }
}

/// Asks the provider about one payment and applies its answer; whether that was news.
pub async fn ask(app: &App, id: PaymentId) -> Result<bool, SubmitError> {
    let Some((payment, order, lane)) = find(app, id).await? else { return Ok(false) };
    let said = match say(app, &payment, order).await {
        Ok(said) => Some(said),
        Err(error) => {
            tracing::warn!(payment_id = %id, %error, "the provider did not answer");
            None
        }
    };
    app.engine.submit(lane, Reconcile { id, said }).await
}

async fn find(app: &App, id: PaymentId) -> Result<Option<(Payment, OrderState, StoreId)>, DbError> {
    let mut conn = app.db.read().await?;
    let Some(payment) = store::find(&mut conn, id).await? else { return Ok(None) };
    let order = orders::store::get(&mut conn, payment.order_id).await?;
    Ok(Some((payment, order.state, order.store_id)))
}

/// What the provider says: of a payment that an order awaits, what became of it; of any other, that it is
/// given up, unless it is too late for that. A payment that the provider has never heard of is given up as
/// well, so that the order is free for another.
pub async fn say(
    app: &App,
    payment: &Payment,
    order: OrderState,
) -> Result<Option<Decision>, SandboxError> {
    if order == OrderState::PendingPayment
        && let Status::Known(said) = app.sandbox.status(payment.id).await?
    {
        return Ok(said);
    }
    app.sandbox.void(payment).await.map(Some)
}
