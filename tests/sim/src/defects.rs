//! Operations that are wrong on purpose: what one of them does must not reach its neighbours in a batch.

use core_service::engine::{Operation, Stop, Wants, WorkingSet};
use core_service::orders::settle;
use core_service::orders::state::Move;
use std::panic::resume_unwind;
use tiffin_api::id::{ItemId, OrderId};
use tiffin_api::order::OrderState;

/// Closes an order and then panics.
pub(crate) struct Panics {
    /// Which.
    pub(crate) id: OrderId,
}

impl Operation for Panics {
    type Output = ();

    fn wants(&self, wants: &mut Wants) {
        wants.orders.insert(self.id);
    }

    fn decide(&self, ledger: &mut WorkingSet) -> Result<(), Stop> {
        // Whether it can be closed is not the point: what this did until here has to vanish.
        _ = settle::apply(ledger, self.id, Move::Close);
        // Without the panic hook: a run has hundreds of these.
        resume_unwind(Box::new("on purpose"))
    }
}

/// Writes stock that the schema refuses, so that the whole batch cannot be saved.
pub(crate) struct Poison {
    /// Of which item.
    pub(crate) item: ItemId,
}

impl Operation for Poison {
    type Output = ();

    fn wants(&self, wants: &mut Wants) {
        wants.items.insert(self.item);
    }

    fn decide(&self, ledger: &mut WorkingSet) -> Result<(), Stop> {
        if let Some(stock) = ledger.stock.get_mut(&self.item) {
            stock.available = -1;
        }
        Ok(())
    }
}

/// Closes an order and forgets to free its stock: a broken core, to see that the simulation notices.
pub(crate) struct Leaks {
    /// Which.
    pub(crate) id: OrderId,
}

impl Operation for Leaks {
    type Output = bool;

    fn wants(&self, wants: &mut Wants) {
        wants.orders.insert(self.id);
    }

    fn decide(&self, ledger: &mut WorkingSet) -> Result<bool, Stop> {
        let now_ms = ledger.now_ms;
        let due = |state, pay_by_ms| state == OrderState::PendingPayment && pay_by_ms <= now_ms;
        let order = ledger.orders.get_mut(&self.id);
        let Some(order) = order.filter(|order| due(order.state, order.pay_by_ms)) else {
            return Ok(false);
        };
        order.state = OrderState::Closed;
        order.version += 1;
        Ok(true)
    }
}
