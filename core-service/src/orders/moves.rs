//! The commands that move an order. Who may make which move is decided here, what the state allows by
//! [`state`](super::state).

use super::settle::{self, MoveError};
use super::state::{Move, Step, came_to_nothing};
use crate::engine::{Operation, Stop, Wants, WorkingSet};
use crate::idempotency::Answer;
use crate::payments::refund;
use http::StatusCode;
use tiffin_api::id::OrderId;
use tiffin_api::order::{Order, OrderState};
use tiffin_api::token::Principal;
use tiffin_api::{ErrorCode, Problem};

/// What somebody asks of an order.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Wish {
    /// To take it back: unpaid it closes, paid it is cancelled.
    TakeBack {
        /// Whether the units of an order that the store has accepted can be sold again. Only who keeps the store
        /// can take such a one back.
        restock: bool,
    },
    /// A move that only who keeps the store may make.
    Staff(Move),
}

/// Moves an order as somebody wishes.
pub struct MoveOrder {
    /// Which.
    pub id: OrderId,
    /// Who asks.
    pub principal: Principal,
    /// For what.
    pub wish: Wish,
}

impl Operation for MoveOrder {
    type Output = Answer;

    fn wants(&self, wants: &mut Wants) {
        wants.orders.insert(self.id);
        let ends = match self.wish {
            Wish::TakeBack { .. } => true,
            Wish::Staff(wanted) => came_to_nothing(wanted.target()),
        };
        if ends {
            wants.ending.insert(self.id);
        }
    }

    fn decide(&self, ledger: &mut WorkingSet) -> Result<Answer, Stop> {
        let order = visible(ledger, &self.principal, self.id)?;
        let wanted = self.wanted(order)?;
        settle::apply(ledger, self.id, wanted)?;
        Ok(Answer::json(StatusCode::OK, &with_payments(ledger, self.id)?))
    }

    fn record(output: &Answer) -> Option<&Answer> {
        Some(output)
    }
}

impl MoveOrder {
    fn wanted(&self, order: &Order) -> Result<Move, Problem> {
        let keeps = self.principal.keeps(order.store_id);
        match self.wish {
            Wish::Staff(wanted) if keeps => Ok(wanted),
            Wish::Staff(_) => {
                let detail = "this needs a merchant's token that names the order's store";
                Err(Problem::new(ErrorCode::Forbidden, detail))
            }
            Wish::TakeBack { restock } => Ok(match order.state {
                // A repeat finds the order closed already, which is the quiet success that Close gives.
                OrderState::PendingPayment | OrderState::Closed => Move::Close,
                _ if keeps => Move::Revoke { restock },
                _ => Move::Cancel,
            }),
        }
    }
}

/// Closes an order whose time to pay has passed; its output says whether it did.
pub struct CloseUnpaid {
    /// Which.
    pub id: OrderId,
}

impl Operation for CloseUnpaid {
    type Output = bool;

    fn wants(&self, wants: &mut Wants) {
        wants.orders.insert(self.id);
    }

    fn decide(&self, ledger: &mut WorkingSet) -> Result<bool, Stop> {
        let order = ledger.order(self.id)?;
        if order.pay_by_ms > ledger.now_ms {
            return Ok(false);
        }
        match settle::apply(ledger, self.id, Move::Close) {
            Ok(step) => Ok(step != Step::Already),
            // It was paid between our look and our lock.
            Err(MoveError::Invalid(_)) => Ok(false),
            Err(MoveError::Db(error)) => Err(error.into()),
        }
    }
}

impl From<MoveError> for Stop {
    fn from(error: MoveError) -> Self {
        match error {
            MoveError::Invalid(error) => {
                Self::Refused(Problem::new(ErrorCode::InvalidTransition, error.to_string()))
            }
            MoveError::Db(error) => Self::Failed(error),
        }
    }
}

/// There is no such order, or it is somebody else's: ids tell nothing.
pub fn not_found() -> Problem {
    Problem::new(ErrorCode::OrderNotFound, "your orders are listed at /v1/orders")
}

/// An order that the principal may see: one's own, or one of a store that one keeps.
pub fn visible<'a>(
    ledger: &'a WorkingSet,
    principal: &Principal,
    id: OrderId,
) -> Result<&'a Order, Problem> {
    let order = ledger.orders.get(&id).ok_or_else(not_found)?;
    let visible = order.user_id == principal.user_id || principal.keeps(order.store_id);
    if visible { Ok(order) } else { Err(not_found()) }
}

/// An order with its payments and their refunds, as whoever moved or changed it is answered.
pub fn with_payments(ledger: &WorkingSet, id: OrderId) -> Result<Order, Stop> {
    let mut order = ledger.order(id)?.clone();
    order.payments = ledger.payments_of(id).map(|row| refund::with_refunds(ledger, row)).collect();
    Ok(order)
}
