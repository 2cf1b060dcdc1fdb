//! Moving an order, with everything that follows from the move in the same transaction: its stock, the
//! refund of its money, the news for the outbox.
//!
//! Invariant: stock is reserved while an order awaits its payment, and only then; the move that ends the
//! waiting commits or releases it, once.

use super::state::{self, InvalidMove, Move, Step};
use super::store::{self, StockMove};
use crate::db::outbox::{self, Topic};
use crate::db::{Conn, DbError};
use crate::ids::IdGenerator;
use crate::payments;
use serde_json::json;
use tiffin_api::order::{Order, OrderState};

/// Why an order was not moved.
#[derive(Debug, thiserror::Error)]
pub enum MoveError {
    /// Its state does not allow it.
    #[error(transparent)]
    Invalid(#[from] InvalidMove),
    /// The database failed.
    #[error(transparent)]
    Db(#[from] DbError),
}

/// Moves an order read in this transaction; returns it as it stands afterwards.
pub async fn apply(
    conn: &mut Conn,
    ids: &IdGenerator,
    mut order: Order,
    wanted: Move,
    now_ms: i64,
) -> Result<Order, MoveError> {
    let target = match state::step(order.state, order.fulfilment.kind(), wanted)? {
        Step::Already => return Ok(order),
        Step::To(target) => target,
    };
    if state::holds_stock(order.state) {
        let holds = store::holds(conn, order.id).await?;
        let stock_move =
            if target == OrderState::Closed { StockMove::Release } else { StockMove::Commit };
        store::move_stock(conn, &holds, stock_move).await?;
    }
    order.state = target;
    order.version += 1;
    order.updated_at_ms = now_ms;
    store::save_move(conn, &order).await?;
    if target == OrderState::Closed {
        payments::reconcile::order_closed(conn, order.id, now_ms).await?;
    }
    if state::refunds(target) {
        payments::refund::queue_for_order(conn, ids, order.id, now_ms).await?;
    }
    publish(conn, ids, &order, now_ms).await?;
    Ok(order)
}

/// Tells the outbox about an order's new state.
pub async fn publish(
    conn: &mut Conn,
    ids: &IdGenerator,
    order: &Order,
    now_ms: i64,
) -> Result<(), DbError> {
    let news =
        json!({ "state": order.state, "version": order.version, "store_id": order.store_id });
    outbox::publish(conn, ids, Topic::OrderChanged, order.id.raw(), &news, now_ms).await
}
