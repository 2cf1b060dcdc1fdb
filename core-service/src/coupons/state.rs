//! The machine of a coupon: which moves its state allows.
//!
//! Pure: no clock, no IO. A coupon that is held or used up names its order, and only that order can use it
//! or give it back: an unpaid one by closing, a paid one by coming to nothing. A repeat is [`Step::Already`], a
//! quiet success; giving back what has come back before is one, so a coupon never comes back twice. Everything else that is not listed is [`InvalidMove`].

#![warn(clippy::wildcard_enum_match_arm)]

use crate::db::code::to_text;
use tiffin_api::coupon::{Coupon, CouponState};
use tiffin_api::id::{CouponId, CouponTemplateId, OrderId, UserId};

/// Where a coupon stands, with the order that holds it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Status {
    /// Nobody has it yet.
    Unclaimed,
    /// Its diner may use it.
    Claimed,
    /// An unpaid order holds it.
    Locked(OrderId),
    /// An order that was paid used it up.
    Used(OrderId),
    /// Its time ran out unused.
    Expired,
    /// It was withdrawn.
    Voided,
}

impl Status {
    /// As the wire has it.
    pub const fn state(self) -> CouponState {
        match self {
            Self::Unclaimed => CouponState::Unclaimed,
            Self::Claimed => CouponState::Claimed,
            Self::Locked(_) => CouponState::Locked,
            Self::Used(_) => CouponState::Used,
            Self::Expired => CouponState::Expired,
            Self::Voided => CouponState::Voided,
        }
    }

    /// The order that holds it or used it.
    pub const fn order_id(self) -> Option<OrderId> {
        match self {
            Self::Locked(order_id) | Self::Used(order_id) => Some(order_id),
            Self::Unclaimed | Self::Claimed | Self::Expired | Self::Voided => None,
        }
    }

    /// From a row's columns, if they go together.
    pub const fn from_parts(state: CouponState, order_id: Option<OrderId>) -> Option<Self> {
        match (state, order_id) {
            (CouponState::Locked, Some(order_id)) => Some(Self::Locked(order_id)),
            (CouponState::Used, Some(order_id)) => Some(Self::Used(order_id)),
            (CouponState::Unclaimed, None) => Some(Self::Unclaimed),
            (CouponState::Claimed, None) => Some(Self::Claimed),
            (CouponState::Expired, None) => Some(Self::Expired),
            (CouponState::Voided, None) => Some(Self::Voided),
            (CouponState::Locked | CouponState::Used, None)
            | (
                CouponState::Unclaimed
                | CouponState::Claimed
                | CouponState::Expired
                | CouponState::Voided,
                Some(_),
            ) => None,
        }
    }
}

/// What somebody wants of a coupon.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Move {
    /// A diner takes it.
    Claim,
    /// An order holds it.
    Lock(OrderId),
    /// The order that holds it was paid.
    Use(OrderId),
    /// The order that held it closed unpaid.
    GiveBack {
        /// The order.
        order_id: OrderId,
        /// Whether the coupon's own time is over by now.
        expired: bool,
    },
    /// The order that had used it up came to nothing.
    HandBack(OrderId),
    /// Its time is over.
    Expire,
    /// An administrator withdraws it.
    Void,
}

impl Move {
    /// Where the move leads.
    pub const fn target(self) -> Status {
        match self {
            Self::Claim | Self::GiveBack { expired: false, .. } | Self::HandBack(_) => {
                Status::Claimed
            }
            Self::Lock(order_id) => Status::Locked(order_id),
            Self::Use(order_id) => Status::Used(order_id),
            Self::Expire | Self::GiveBack { expired: true, .. } => Status::Expired,
            Self::Void => Status::Voided,
        }
    }
}

/// What a move does.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Step {
    /// It goes there.
    To(Status),
    /// Nothing is left to do.
    Already,
}

/// The state does not allow the move.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error(
    "a coupon that is {} cannot become {}",
    to_text(from.state()),
    to_text(wanted.target().state())
)]
pub struct InvalidMove {
    /// Where the coupon stands.
    pub from: Status,
    /// What was wanted.
    pub wanted: Move,
}

/// What `wanted` does to a coupon that stands at `from`.
pub fn step(from: Status, wanted: Move) -> Result<Step, InvalidMove> {
    let target = wanted.target();
    if from == target {
        return Ok(Step::Already);
    }
    let allowed = match from {
        Status::Unclaimed => matches!(wanted, Move::Claim),
        Status::Claimed => match wanted {
            Move::Lock(_) | Move::Expire | Move::Void => true,
            Move::GiveBack { .. } | Move::HandBack(_) => return Ok(Step::Already),
            Move::Claim | Move::Use(_) => false,
        },
        Status::Locked(holder) => match wanted {
            Move::Use(order_id) | Move::GiveBack { order_id, .. } => order_id == holder,
            Move::Claim | Move::Lock(_) | Move::HandBack(_) | Move::Expire | Move::Void => false,
        },
        Status::Expired | Status::Voided => match wanted {
            Move::GiveBack { .. } | Move::HandBack(_) => return Ok(Step::Already),
            Move::Claim | Move::Lock(_) | Move::Use(_) | Move::Expire | Move::Void => false,
        },
        Status::Used(holder) => match wanted {
            Move::HandBack(order_id) => order_id == holder,
            Move::Claim
            | Move::Lock(_)
            | Move::Use(_)
            | Move::GiveBack { .. }
            | Move::Expire
            | Move::Void => false,
        },
    };
    if allowed { Ok(Step::To(target)) } else { Err(InvalidMove { from, wanted }) }
}

/// A coupon as the ledger knows it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StoredCoupon {
    /// Its id.
    pub id: CouponId,
    /// What it was claimed from.
    pub template_id: CouponTemplateId,
    /// Whose it is.
    pub user_id: UserId,
    /// Where it stands.
    pub status: Status,
    /// What it takes off its order, minor units; 0 while no order holds it or has used it.
    pub discount_minor: i64,
    /// When it was claimed.
    pub claimed_at_ms: i64,
    /// First instant at which it may be used.
    pub valid_from_ms: i64,
    /// First instant at which it may be used no longer.
    pub expires_at_ms: i64,
    /// When it last changed.
    pub updated_at_ms: i64,
    /// Grows by one with every change.
    pub version: i64,
}

impl StoredCoupon {
    /// Moves it; its discount is the business of [`super::redeem`].
    pub fn advance(&mut self, wanted: Move, now_ms: i64) -> Result<Step, InvalidMove> {
        let step = step(self.status, wanted)?;
        if let Step::To(status) = step {
            self.status = status;
            self.touch(now_ms);
        }
        Ok(step)
    }

    /// Notes that it changed.
    pub fn touch(&mut self, now_ms: i64) {
        self.version += 1;
        self.updated_at_ms = now_ms;
    }

    /// Whether its time is over.
    pub const fn is_over(&self, now_ms: i64) -> bool {
        now_ms >= self.expires_at_ms
    }

    /// As its diner sees it.
    pub const fn view(&self) -> Coupon {
        Coupon {
            id: self.id,
            template_id: self.template_id,
            state: self.status.state(),
            order_id: self.status.order_id(),
            discount_minor: self.discount_minor,
            claimed_at_ms: self.claimed_at_ms,
            valid_from_ms: self.valid_from_ms,
            expires_at_ms: self.expires_at_ms,
            version: self.version,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use Status::{Claimed, Expired, Locked, Unclaimed, Used, Voided};
    use std::collections::HashMap;

    const MINE: OrderId = OrderId::from_raw(1);
    const OTHER: OrderId = OrderId::from_raw(2);
    const STATUSES: [Status; 8] =
        [Unclaimed, Claimed, Locked(MINE), Locked(OTHER), Used(MINE), Used(OTHER), Expired, Voided];

    fn back(order_id: OrderId, expired: bool) -> Move {
        Move::GiveBack { order_id, expired }
    }

    fn moves() -> Vec<Move> {
        let mut moves = vec![Move::Claim, Move::Expire, Move::Void];
        for order_id in [MINE, OTHER] {
            moves.extend([Move::Lock(order_id), Move::Use(order_id), Move::HandBack(order_id)]);
            moves.extend([back(order_id, false), back(order_id, true)]);
        }
        moves
    }

    /// Every move that changes a state; whatever is not here must be refused or quiet.
    fn table() -> HashMap<(Status, Move), Status> {
        let mut table = HashMap::from([
            ((Unclaimed, Move::Claim), Claimed),
            ((Claimed, Move::Expire), Expired),
            ((Claimed, Move::Void), Voided),
        ]);
        for order_id in [MINE, OTHER] {
            table.extend([
                ((Claimed, Move::Lock(order_id)), Locked(order_id)),
                ((Locked(order_id), Move::Use(order_id)), Used(order_id)),
                ((Locked(order_id), back(order_id, false)), Claimed),
                ((Locked(order_id), back(order_id, true)), Expired),
                ((Used(order_id), Move::HandBack(order_id)), Claimed),
            ]);
        }
        table
    }

    #[test]
    fn exactly_the_listed_moves_change_the_state() {
        let table = table();
        let come_back = |from| matches!(from, Claimed | Expired | Voided);
        for from in STATUSES {
            for wanted in moves() {
                let returns = matches!(wanted, Move::GiveBack { .. } | Move::HandBack(_));
                let repeat = wanted.target() == from || (returns && come_back(from));
                let expected = match table.get(&(from, wanted)) {
                    Some(to) => Ok(Step::To(*to)),
                    None if repeat => Ok(Step::Already),
                    None => Err(InvalidMove { from, wanted }),
                };
                assert_eq!(step(from, wanted), expected, "{from:?} {wanted:?}");
            }
        }
    }

    #[test]
    fn what_is_used_comes_back_from_its_own_order_alone() {
        for wanted in moves() {
            let moved = matches!(step(Used(MINE), wanted), Ok(Step::To(_)));
            assert_eq!(moved, wanted == Move::HandBack(MINE), "{wanted:?}");
        }
    }

    #[test]
    fn a_status_reads_back_from_its_columns_and_needs_an_order_where_one_belongs() {
        for status in STATUSES {
            let (state, order_id) = (status.state(), status.order_id());
            assert_eq!(Status::from_parts(state, order_id), Some(status));
            let wrong = if order_id.is_some() { None } else { Some(MINE) };
            assert_eq!(Status::from_parts(state, wrong), None, "{status:?}");
        }
    }

    #[test]
    fn an_illegal_move_is_named() {
        let refused = step(Used(MINE), back(MINE, false)).unwrap_err();
        assert_eq!(refused.to_string(), "a coupon that is USED cannot become CLAIMED");
    }
}
