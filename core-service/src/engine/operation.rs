//! What a command does: it names its rows, and decides over them.

use super::WorkingSet;
use super::working_set::EventKey;
use crate::db::DbError;
use crate::http::error::ApiError;
use crate::idempotency::Answer;
use std::collections::BTreeSet;
use tiffin_api::Problem;
use tiffin_api::id::{
    CouponId, CouponTemplateId, ItemId, OrderId, PaymentId, RefundId, StoreId, UserId,
};

/// One write. It may be decided more than once, over fresh rows each time, when a batch has to be repeated.
pub trait Operation: Send + 'static {
    /// What whoever asked for it gets.
    type Output: Send + 'static;

    /// Names the rows that the decision needs. With an order come its lines, payments and refunds; while it
    /// awaits its payment, also the units that its user holds, the stock of its items and its coupons. With a
    /// payment or a refund comes its order, with a coupon its template and that one's own counter.
    fn wants(&self, wants: &mut Wants);

    /// Decides and changes the rows. After an error nothing of what it did remains.
    fn decide(&self, ledger: &mut WorkingSet) -> Result<Self::Output, Stop>;

    /// The answer to be recorded under the command's Idempotency-Key, if the request ends with this command.
    fn record(_output: &Self::Output) -> Option<&Answer> {
        None
    }
}

/// Rows that a batch has to load.
#[derive(Debug, Default)]
pub struct Wants {
    /// Idempotency records.
    pub scopes: BTreeSet<String>,
    /// Stores, with what they sell.
    pub stores: BTreeSet<StoreId>,
    /// Stock.
    pub items: BTreeSet<ItemId>,
    /// Orders.
    pub orders: BTreeSet<OrderId>,
    /// Those among the orders that the command may bring to nothing though they were paid: with each come the stock
    /// of its items and its coupons, in whatever state it is.
    pub ending: BTreeSet<OrderId>,
    /// Payments.
    pub payments: BTreeSet<PaymentId>,
    /// Refunds.
    pub refunds: BTreeSet<RefundId>,
    /// Users whose held units are needed.
    pub users: BTreeSet<UserId>,
    /// Users of whom it matters whether they have other orders, if a coupon asks for it.
    pub newcomers: BTreeSet<UserId>,
    /// Coupons.
    pub coupons: BTreeSet<CouponId>,
    /// Claims: templates, and who claims from them; with each come its counters.
    pub coupon_claims: BTreeSet<(CouponTemplateId, UserId)>,
    /// Templates by their `ref`.
    pub coupon_refs: BTreeSet<String>,
    /// Webhooks.
    pub events: BTreeSet<EventKey>,
}

/// Why a command has no effect.
#[derive(Debug)]
pub enum Stop {
    /// It is refused. What was decided on the tables' state (409, 410) is recorded under the command's key.
    Refused(Problem),
    /// The tables contradict each other, or the database failed.
    Failed(DbError),
}

impl From<Problem> for Stop {
    fn from(problem: Problem) -> Self {
        Self::Refused(problem)
    }
}

impl From<DbError> for Stop {
    fn from(error: DbError) -> Self {
        Self::Failed(error)
    }
}

impl From<Stop> for ApiError {
    fn from(stop: Stop) -> Self {
        match stop {
            Stop::Refused(problem) => problem.into(),
            Stop::Failed(error) => error.into(),
        }
    }
}
