//! Moving an order, with everything that follows from the move: its stock and coupons, the units its user
//! holds, the refund of its money, the news for the outbox. Pure.
//!
//! Invariant: stock is reserved and coupons are locked while an order awaits its payment, and only then; the
//! move that ends the waiting commits or releases them, once. What was committed comes back, once, by the move with
//! which a paid order comes to nothing.

use super::state::{self, InvalidMove, Move, Step};
use crate::coupons::settle as coupons;
use crate::db::DbError;
use crate::db::outbox::Topic;
use crate::engine::{Left, WorkingSet};
use crate::inventory::StockMove;
use crate::payments::{reconcile, refund};
use serde_json::json;
use tiffin_api::id::{OrderId, UserId};
use tiffin_api::order::{Order, OrderState};

/// Why an order was not moved.
#[derive(Debug, thiserror::Error)]
pub enum MoveError {
    /// Its state does not allow it.
    #[error(transparent)]
    Invalid(#[from] InvalidMove),
    /// The tables contradict each other.
    #[error(transparent)]
    Db(#[from] DbError),
}

/// Moves an order.
pub fn apply(ledger: &mut WorkingSet, id: OrderId, wanted: Move) -> Result<Step, MoveError> {
    let order = ledger.order(id)?;
    let (from, user, store) = (order.state, order.user_id, order.store_id);
    let step = state::step(from, order.fulfilment.kind(), wanted)?;
    let Step::To(target) = step else { return Ok(step) };
    if state::holds_stock(from) {
        let stock_move =
            if target == OrderState::Closed { StockMove::Release } else { StockMove::Commit };
        move_stock(ledger, id, stock_move)?;
        hold_fewer(ledger, id, user)?;
        let holds = ledger.holds.get(&id).cloned().unwrap_or_default();
        ledger.leaves(Left { store, user, holds, stock_move });
    }
    let units_back = state::came_to_nothing(target) && state::returns_units(from, wanted);
    if units_back {
        let stock_move = StockMove::Return;
        move_stock(ledger, id, stock_move)?;
        let holds = ledger.holds.get(&id).cloned().unwrap_or_default();
        ledger.leaves(Left { store, user, holds, stock_move });
    }
    let now_ms = ledger.now_ms;
    let order = ledger.orders.get_mut(&id).expect("it was found above");
    order.state = target;
    order.units_back = units_back;
    order.version += 1;
    order.updated_at_ms = now_ms;
    let moved = order.clone();
    if target == OrderState::Closed {
        coupons::give_back(ledger, &moved)?;
    } else if state::holds_stock(from) {
        coupons::use_up(ledger, &moved)?;
    }
    if target == OrderState::Closed {
        reconcile::order_closed(ledger, id);
    }
    if state::came_to_nothing(target) {
        coupons::hand_back(ledger, &moved)?;
        refund::queue_for_order(ledger, id)?;
    }
    publish(ledger, &moved)?;
    Ok(step)
}

/// Pays an order whose price has come to nothing. No provider is asked: it could only decline, and the diner
/// would wait to pay what is not owed.
pub fn pay_if_free(ledger: &mut WorkingSet, id: OrderId) -> Result<(), MoveError> {
    if ledger.order(id)?.pricing.total_minor == 0 {
        apply(ledger, id, Move::Pay)?;
    }
    Ok(())
}

/// Moves the stock that an order holds.
pub(super) fn move_stock(
    ledger: &mut WorkingSet,
    id: OrderId,
    stock_move: StockMove,
) -> Result<(), DbError> {
    let held = ledger.holds.get(&id);
    let held = held.ok_or_else(|| DbError::inconsistent(format!("order {id} has no lines")))?;
    for (item, units) in held {
        let stock = ledger.stock.get_mut(item);
        let missing = || DbError::inconsistent(format!("item {item} has no stock"));
        stock.ok_or_else(missing)?.apply(*item, stock_move, *units)?;
    }
    Ok(())
}

/// The units of an order that no longer awaits its payment.
fn hold_fewer(ledger: &mut WorkingSet, id: OrderId, user: UserId) -> Result<(), DbError> {
    let units: i64 = ledger.holds.get(&id).map_or(0, |holds| holds.values().sum());
    match ledger.held_units.get_mut(&user) {
        Some(held) if *held >= units => *held -= units,
        _ => {
            let what = format!("user {user} holds less than the {units} units of order {id}");
            return Err(DbError::inconsistent(what));
        }
    }
    Ok(())
}

/// Tells the outbox about an order's new state.
pub fn publish(ledger: &mut WorkingSet, order: &Order) -> Result<(), DbError> {
    let news =
        json!({ "state": order.state, "version": order.version, "store_id": order.store_id });
    ledger.publish(Topic::OrderChanged, order.id.raw(), &news)
}
