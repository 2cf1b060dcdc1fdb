//! Payments that nobody decided: the provider is asked again, until it has.
//!
//! A crash, a client that went away or a lost webhook can leave a payment undecided. Nothing depends on
//! anybody coming back: this job asks the provider what became of it, and gives up in the provider's books
//! what no order wants any more, so that no money stays held. Whatever the provider then says is applied
//! like any other word of it: money that was taken after all pays the order or goes back.

use super::sandbox::{SandboxError, Status};
use super::state::Decision;
use super::{apply, state, store};
use crate::app::App;
use crate::db::{Conn, DbError};
use crate::{limits, orders};
use tiffin_api::id::{OrderId, PaymentId};
use tiffin_api::order::OrderState;
use tiffin_api::payment::Payment;

/// Has the undecided payments of an order that has just closed given up soon.
pub async fn order_closed(conn: &mut Conn, order_id: OrderId, now_ms: i64) -> Result<(), DbError> {
    for payment in store::of_order(conn, order_id).await? {
        if state::is_active(payment.state) {
            store::ask_at(conn, payment.id, now_ms).await?;
        }
    }
    Ok(())
}

/// Asks the provider about one payment and applies its answer; whether that decided it.
pub async fn ask(app: &App, id: PaymentId) -> Result<bool, DbError> {
    let mut conn = app.db.read().await?;
    let Some(payment) = store::find(&mut conn, id).await? else { return Ok(false) };
    let order = orders::store::get(&mut conn, payment.order_id).await?;
    drop(conn);

    let said = say(app, &payment, order.state).await;

    let mut tx = app.db.write().await?;
    let now_ms = app.clock.now_ms();
    store::ask_at(&mut tx, id, now_ms + limits::PAYMENT_ASK_AGAIN_MS).await?;
    let before = store::get(&mut tx, id).await?;
    let version = before.version;
    let after = match said {
        Ok(said) => apply::apply(&mut tx, &app.ids, before, said, now_ms).await?,
        Err(error) => {
            tracing::warn!(payment_id = %id, %error, "the provider did not answer");
            before
        }
    };
    tx.commit().await?;
    Ok(after.version > version)
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
