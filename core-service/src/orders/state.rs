//! The machine of an order: which moves its state allows, for whom.
//!
//! Pure: no clock, no IO. A move to the state it is already in is [`Step::Already`], a quiet success, so
//! a repeated click or webhook does no harm. Everything else that is not listed is [`InvalidMove`].

#![warn(clippy::wildcard_enum_match_arm)]

use crate::db::code::to_text;
use tiffin_api::catalog::FulfilmentKind;
use tiffin_api::order::OrderState;

/// What somebody wants of an order.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Move {
    /// Its money was captured, or it costs nothing.
    Pay,
    /// Its money was captured and its group is not full yet.
    PayIntoGroup,
    /// Its group is full.
    FillGroup,
    /// It ends unpaid: the diner's wish, or the timer's.
    Close,
    /// The merchant takes it on.
    Accept,
    /// The merchant refuses it.
    Reject,
    /// The kitchen begins.
    Prepare,
    /// The kitchen is done.
    MarkReady,
    /// A courier takes it.
    Dispatch,
    /// The diner has it.
    Complete,
    /// The diner takes it back after paying.
    Cancel,
    /// The merchant or an administrator takes it back, at any time after payment.
    Revoke {
        /// Whether the units of one that was accepted can be sold again.
        restock: bool,
    },
}

/// What a move does.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Step {
    /// It goes there.
    To(OrderState),
    /// It is there already.
    Already,
}

/// The state does not allow the move.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("an order that is {} cannot become {}", to_text(from), to_text(wanted.target()))]
pub struct InvalidMove {
    /// Where the order stands.
    pub from: OrderState,
    /// What was wanted.
    pub wanted: Move,
}

impl Move {
    /// Where the move leads.
    pub const fn target(self) -> OrderState {
        match self {
            Self::Pay | Self::FillGroup => OrderState::Paid,
            Self::PayIntoGroup => OrderState::GroupWait,
            Self::Close => OrderState::Closed,
            Self::Accept => OrderState::Accepted,
            Self::Reject => OrderState::Rejected,
            Self::Prepare => OrderState::Preparing,
            Self::MarkReady => OrderState::Ready,
            Self::Dispatch => OrderState::Delivering,
            Self::Complete => OrderState::Completed,
            Self::Cancel | Self::Revoke { .. } => OrderState::Cancelled,
        }
    }
}

/// What `wanted` does to an order in state `from`.
pub fn step(from: OrderState, kind: FulfilmentKind, wanted: Move) -> Result<Step, InvalidMove> {
    use OrderState::{
        Accepted, Cancelled, Closed, Completed, Delivering, GroupWait, Paid, PendingPayment,
        Preparing, Ready, Rejected,
    };
    let target = wanted.target();
    if from == target {
        return Ok(Step::Already);
    }
    let allowed = match from {
        PendingPayment => matches!(wanted, Move::Pay | Move::PayIntoGroup | Move::Close),
        GroupWait => matches!(wanted, Move::FillGroup | Move::Revoke { .. }),
        Paid => {
            matches!(wanted, Move::Accept | Move::Reject | Move::Cancel | Move::Revoke { .. })
        }
        Accepted => matches!(wanted, Move::Prepare | Move::Revoke { .. }),
        Preparing => matches!(wanted, Move::MarkReady | Move::Revoke { .. }),
        Ready => match kind {
            FulfilmentKind::Pickup => matches!(wanted, Move::Complete | Move::Revoke { .. }),
            FulfilmentKind::Delivery => matches!(wanted, Move::Dispatch | Move::Revoke { .. }),
        },
        Delivering => matches!(wanted, Move::Complete | Move::Revoke { .. }),
        Rejected | Completed | Closed | Cancelled => false,
    };
    if allowed { Ok(Step::To(target)) } else { Err(InvalidMove { from, wanted }) }
}

/// Whether an order in this state holds reserved stock: reserved when it was placed, committed when it was
/// paid, released when it closes.
pub const fn holds_stock(state: OrderState) -> bool {
    matches!(state, OrderState::PendingPayment)
}

/// Whether an order in this state counts as one its diner has: it does not once it came to nothing.
pub const fn counts_as_order(state: OrderState) -> bool {
    use OrderState::{
        Accepted, Cancelled, Closed, Completed, Delivering, GroupWait, Paid, PendingPayment,
        Preparing, Ready, Rejected,
    };
    match state {
        PendingPayment | GroupWait | Paid | Accepted | Preparing | Ready | Delivering
        | Completed => true,
        Rejected | Closed | Cancelled => false,
    }
}

/// Whether an order in this state was paid and came to nothing: its money goes back, and its coupons.
pub const fn came_to_nothing(state: OrderState) -> bool {
    matches!(state, OrderState::Rejected | OrderState::Cancelled)
}

/// Whether the units of a paid order that comes to nothing by `wanted` can be sold again. Nobody has touched them
/// before the store accepts it; afterwards only the store knows.
pub const fn returns_units(from: OrderState, wanted: Move) -> bool {
    use OrderState::{
        Accepted, Cancelled, Closed, Completed, Delivering, GroupWait, Paid, PendingPayment,
        Preparing, Ready, Rejected,
    };
    match from {
        GroupWait | Paid => true,
        Accepted | Preparing | Ready | Delivering => {
            matches!(wanted, Move::Revoke { restock: true })
        }
        PendingPayment | Rejected | Completed | Closed | Cancelled => false,
    }
}

/// Whether an order in this state may still come to nothing after it was paid.
pub const fn may_come_to_nothing(state: OrderState) -> bool {
    use OrderState::{
        Accepted, Cancelled, Closed, Completed, Delivering, GroupWait, Paid, PendingPayment,
        Preparing, Ready, Rejected,
    };
    match state {
        PendingPayment | GroupWait | Paid | Accepted | Preparing | Ready | Delivering => true,
        Rejected | Completed | Closed | Cancelled => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use OrderState::*;
    use std::collections::{HashMap, HashSet};

    const STATES: [OrderState; 11] = [
        PendingPayment,
        GroupWait,
        Paid,
        Accepted,
        Rejected,
        Preparing,
        Ready,
        Delivering,
        Completed,
        Closed,
        Cancelled,
    ];
    const MOVES: [Move; 13] = [
        Move::Pay,
        Move::PayIntoGroup,
        Move::FillGroup,
        Move::Close,
        Move::Accept,
        Move::Reject,
        Move::Prepare,
        Move::MarkReady,
        Move::Dispatch,
        Move::Complete,
        Move::Cancel,
        Move::Revoke { restock: false },
        Move::Revoke { restock: true },
    ];

    /// Every move that changes a state; whatever is not here must be refused or quiet.
    fn table(kind: FulfilmentKind) -> HashMap<(OrderState, Move), OrderState> {
        let mut table = HashMap::from([
            ((PendingPayment, Move::Pay), Paid),
            ((PendingPayment, Move::PayIntoGroup), GroupWait),
            ((PendingPayment, Move::Close), Closed),
            ((GroupWait, Move::FillGroup), Paid),
            ((Paid, Move::Accept), Accepted),
            ((Paid, Move::Reject), Rejected),
            ((Paid, Move::Cancel), Cancelled),
            ((Accepted, Move::Prepare), Preparing),
            ((Preparing, Move::MarkReady), Ready),
            ((Delivering, Move::Complete), Completed),
        ]);
        for from in [GroupWait, Paid, Accepted, Preparing, Ready, Delivering] {
            for restock in [false, true] {
                table.insert((from, Move::Revoke { restock }), Cancelled);
            }
        }
        match kind {
            FulfilmentKind::Pickup => table.insert((Ready, Move::Complete), Completed),
            FulfilmentKind::Delivery => table.insert((Ready, Move::Dispatch), Delivering),
        };
        table
    }

    #[test]
    fn exactly_the_listed_moves_change_the_state() {
        for kind in [FulfilmentKind::Pickup, FulfilmentKind::Delivery] {
            let table = table(kind);
            for from in STATES {
                for wanted in MOVES {
                    let expected = match table.get(&(from, wanted)) {
                        Some(to) => Ok(Step::To(*to)),
                        None if wanted.target() == from => Ok(Step::Already),
                        None => Err(InvalidMove { from, wanted }),
                    };
                    assert_eq!(step(from, kind, wanted), expected, "{kind:?} {from:?} {wanted:?}");
                }
            }
        }
    }

    #[test]
    fn units_come_back_by_themselves_until_the_store_accepts_and_then_by_its_word() {
        for from in STATES {
            for wanted in MOVES {
                let expected = match from {
                    GroupWait | Paid => true,
                    Accepted | Preparing | Ready | Delivering => {
                        wanted == Move::Revoke { restock: true }
                    }
                    PendingPayment | Rejected | Completed | Closed | Cancelled => false,
                };
                assert_eq!(returns_units(from, wanted), expected, "{from:?} {wanted:?}");
                let comes_to_nothing = matches!(
                    step(from, FulfilmentKind::Pickup, wanted),
                    Ok(Step::To(to)) if came_to_nothing(to)
                );
                assert!(may_come_to_nothing(from) || !comes_to_nothing, "{from:?} {wanted:?}");
            }
        }
    }

    #[test]
    fn a_closed_order_never_reopens() {
        let ends: HashSet<_> = [Rejected, Completed, Closed, Cancelled].into();
        for from in ends {
            for wanted in MOVES {
                assert!(!matches!(step(from, FulfilmentKind::Pickup, wanted), Ok(Step::To(_))));
            }
        }
    }
}
