//! What a batch has loaded, and what its commands have made of it so far.
//!
//! Decisions read and write nothing else: no clock, no database. A row that was not asked for in
//! [`super::Wants`] is not here, whether it exists or not.

use super::catalog::StoreCatalog;
use super::table::Table;
use crate::coupons::counter::{Counter, CounterKey};
use crate::coupons::state::StoredCoupon;
use crate::db::DbError;
use crate::db::outbox::{News, Topic};
use crate::idempotency::store::Recorded;
use crate::ids::IdGenerator;
use crate::inventory::{Stock, StockMove};
use crate::orders::state::counts_as_order;
use crate::orders::store::Holds;
use crate::payments::refund::RefundRow;
use crate::payments::store::PaymentRow;
use serde::Serialize;
use std::collections::BTreeMap;
use std::sync::Arc;
use tiffin_api::coupon::CouponTemplate;
use tiffin_api::id::{
    CouponId, CouponTemplateId, ItemId, OrderId, PaymentId, RefundId, StoreId, UserId,
};
use tiffin_api::order::Order;

/// A provider's event: the provider and the event's id.
pub type EventKey = (String, String);

/// An order that no longer waits for its payment, or of which units came back after that.
#[derive(Debug, Clone)]
pub struct Left {
    /// Its store.
    pub store: StoreId,
    /// Its user.
    pub user: UserId,
    /// What it held.
    pub holds: Holds,
    /// Whether that was released, committed or returned.
    pub stock_move: StockMove,
}

/// What a committed batch tells others in this process.
#[derive(Debug, Clone, Default)]
pub struct Committed {
    /// Whether the outbox has news.
    pub news: bool,
    /// The idempotency keys that have an answer now.
    pub scopes: Vec<String>,
    /// Orders that no longer wait for their payment, or of which units came back.
    pub left: Vec<Left>,
}

/// The rows of a batch.
pub struct WorkingSet {
    /// The time of the batch.
    pub now_ms: i64,
    /// Stores with what they sell.
    pub catalog: BTreeMap<StoreId, Arc<StoreCatalog>>,
    /// Answers by the scope of their Idempotency-Key.
    pub answers: Table<String, Recorded>,
    /// Webhooks that were heard, with their payments.
    pub inbox: Table<EventKey, PaymentId>,
    /// Orders; each is the root of its lines, payments, refunds and locked coupons, and its lock is theirs.
    pub orders: Table<OrderId, Order>,
    /// What orders hold of the stock.
    pub holds: Table<OrderId, Holds>,
    /// Payments of the orders.
    pub payments: Table<PaymentId, PaymentRow>,
    /// Refunds of the payments.
    pub refunds: Table<RefundId, RefundRow>,
    /// Units in users' unpaid orders.
    pub held_units: Table<UserId, i64>,
    /// Stock.
    pub stock: Table<ItemId, Stock>,
    /// Coupons.
    pub coupons: Table<CouponId, StoredCoupon>,
    /// Their templates, which never change.
    pub coupon_templates: Table<CouponTemplateId, CouponTemplate>,
    /// What has been given away of the templates.
    pub coupon_counters: Table<CounterKey, Counter>,
    /// How many orders that are not here count as such, of users of whom it matters.
    pub standing: BTreeMap<UserId, i64>,
    outbox: Vec<News>,
    outbox_kept: usize,
    left: Vec<Left>,
    left_kept: usize,
    ids: Arc<IdGenerator>,
}

impl WorkingSet {
    /// An empty one.
    pub fn new(now_ms: i64, ids: Arc<IdGenerator>) -> Self {
        Self {
            now_ms,
            catalog: BTreeMap::new(),
            answers: Table::default(),
            inbox: Table::default(),
            orders: Table::default(),
            holds: Table::default(),
            payments: Table::default(),
            refunds: Table::default(),
            held_units: Table::default(),
            stock: Table::default(),
            coupons: Table::default(),
            coupon_templates: Table::default(),
            coupon_counters: Table::default(),
            standing: BTreeMap::new(),
            outbox: Vec::new(),
            outbox_kept: 0,
            left: Vec::new(),
            left_kept: 0,
            ids,
        }
    }

    /// A new id.
    pub fn mint(&self) -> i64 {
        self.ids.next()
    }

    /// Leaves news for readers outside.
    pub fn publish<T: Serialize>(
        &mut self,
        topic: Topic,
        subject_id: i64,
        payload: &T,
    ) -> Result<(), DbError> {
        self.outbox.push(News::new(topic, subject_id, payload)?);
        Ok(())
    }

    /// An order that another row refers to.
    pub fn order(&self, id: OrderId) -> Result<&Order, DbError> {
        let order = self.orders.get(&id);
        order.ok_or_else(|| DbError::inconsistent(format!("order {id} is referred to and missing")))
    }

    /// The payments of an order, the oldest first.
    pub fn payments_of(&self, order: OrderId) -> impl Iterator<Item = &PaymentRow> {
        self.payments.values().filter(move |row| row.payment.order_id == order)
    }

    /// Notes that an order no longer waits for its payment, or that its units came back, for the gate's counters.
    pub fn leaves(&mut self, left: Left) {
        self.left.push(left);
    }

    /// What is told of the batch once it is committed.
    pub(super) fn committed(&self) -> Committed {
        Committed {
            news: !self.outbox.is_empty(),
            scopes: self.answers.inserted().map(|(scope, _)| scope.clone()).collect(),
            left: self.left.clone(),
        }
    }

    /// Whether a user has an order other than `order` that counts as one. The user must be among
    /// [`super::Wants::newcomers`], and `order` be here.
    pub fn has_other_order(&self, user: UserId, order: Option<OrderId>) -> bool {
        let elsewhere = self.standing.get(&user).is_some_and(|others| *others > 0);
        elsewhere
            || self.orders.values().any(|placed| {
                let other = placed.user_id == user && Some(placed.id) != order;
                other && counts_as_order(placed.state)
            })
    }

    /// What the batch leaves in the outbox.
    pub(super) fn take_news(&mut self) -> Vec<News> {
        std::mem::take(&mut self.outbox)
    }

    /// Makes what the command in progress did part of the batch.
    pub(super) fn keep(&mut self) {
        self.outbox_kept = self.outbox.len();
        self.left_kept = self.left.len();
        self.answers.keep();
        self.inbox.keep();
        self.orders.keep();
        self.holds.keep();
        self.payments.keep();
        self.refunds.keep();
        self.held_units.keep();
        self.stock.keep();
        self.coupons.keep();
        self.coupon_templates.keep();
        self.coupon_counters.keep();
    }

    /// Takes back what the command in progress did.
    pub(super) fn undo(&mut self) {
        self.outbox.truncate(self.outbox_kept);
        self.left.truncate(self.left_kept);
        self.answers.undo();
        self.inbox.undo();
        self.orders.undo();
        self.holds.undo();
        self.payments.undo();
        self.refunds.undo();
        self.held_units.undo();
        self.stock.undo();
        self.coupons.undo();
        self.coupon_templates.undo();
        self.coupon_counters.undo();
    }
}
