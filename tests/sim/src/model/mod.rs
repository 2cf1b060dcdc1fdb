//! The model: what the core promises, in a few plain maps.
//!
//! It shares the wire's words with the core and none of its decisions. It knows time, prices and what is told
//! to it, and foretells what every command comes to. Start with [`Model::apply`].

mod coupons;
mod money;
mod orders;

use crate::command::{Command, Facts, Key, Said};
use crate::history::{Label, Place};
use crate::setup::{Setup, Terms};
use std::collections::{BTreeMap, BTreeSet};
use tiffin_api::coupon::CouponState;
use tiffin_api::order::OrderState;
use tiffin_api::payment::{PaymentState, RefundState};

/// A dish.
#[derive(Debug, Clone)]
pub(crate) struct Dish {
    /// Its store.
    pub(crate) store: usize,
    /// Its price now, minor units.
    pub(crate) price_minor: i64,
    /// Units that were ever put in.
    pub(crate) put_in: i64,
    /// Units in unpaid orders.
    pub(crate) reserved: i64,
    /// Units that went with paid ones.
    pub(crate) sold: i64,
}

impl Dish {
    /// Units that anybody may still have.
    pub(crate) const fn free(&self) -> i64 {
        self.put_in - self.reserved - self.sold
    }
}

/// An order.
#[derive(Debug, Clone)]
pub(crate) struct Order {
    /// Its id in the ledger.
    pub(crate) id: i64,
    /// Who ordered.
    pub(crate) user: i64,
    /// Units by dish.
    pub(crate) units: BTreeMap<usize, i64>,
    /// What it was placed as.
    pub(crate) place: Place,
    /// What each line and the delivery cost before discounts, minor units.
    pub(crate) costs_minor: Vec<i64>,
    /// Minor units.
    pub(crate) total_minor: i64,
    /// Where it stands.
    pub(crate) state: OrderState,
    /// Moves so far, its birth included.
    pub(crate) version: i64,
    /// When its time to pay is over.
    pub(crate) pay_by_ms: i64,
    /// Its units can be sold again, though it was paid.
    pub(crate) units_back: bool,
}

/// A payment.
#[derive(Debug, Clone)]
pub(crate) struct Payment {
    /// Its id in the ledger.
    pub(crate) id: i64,
    /// What it pays.
    pub(crate) order: Label,
    /// The body of the request that made it was the other one.
    pub(crate) other_body: bool,
    /// Minor units.
    pub(crate) amount_minor: i64,
    /// Where it stands.
    pub(crate) state: PaymentState,
    /// Moves so far, its birth included.
    pub(crate) version: i64,
    /// When a job asks about it.
    pub(crate) ask_at_ms: i64,
    /// Its money on the way back.
    pub(crate) refund: Option<Refund>,
    /// Pieces of news that it left in the outbox.
    pub(crate) news: i64,
}

/// A refund.
#[derive(Debug, Clone)]
pub(crate) struct Refund {
    /// Where it stands.
    pub(crate) state: RefundState,
    /// When it is sent again.
    pub(crate) retry_at_ms: i64,
}

/// A coupon.
#[derive(Debug, Clone)]
pub(crate) struct Coupon {
    /// Its id in the ledger.
    pub(crate) id: i64,
    /// Of which kind.
    pub(crate) kind: usize,
    /// Whose.
    pub(crate) user: i64,
    /// Where it stands.
    pub(crate) state: CouponState,
    /// The order that holds it or used it.
    pub(crate) order: Option<Label>,
    /// What it takes off that, minor units.
    pub(crate) discount_minor: i64,
    /// When it was claimed, ms.
    pub(crate) claimed_at_ms: i64,
    /// First instant at which it may be used no longer.
    pub(crate) expires_at_ms: i64,
}

/// An answer that stands under a key.
#[derive(Debug, Clone)]
pub(crate) struct Recorded {
    /// The request's body was the other one.
    pub(crate) other_body: bool,
    /// What it says.
    pub(crate) facts: Facts,
}

/// Everything.
#[derive(Debug, Clone)]
pub(crate) struct Model {
    /// The time.
    pub(crate) now_ms: i64,
    /// Dishes, as the setup numbers them.
    pub(crate) dishes: Vec<Dish>,
    /// Orders by the request that placed them.
    pub(crate) orders: BTreeMap<Label, Order>,
    /// Payments by the request that made them.
    pub(crate) payments: BTreeMap<Label, Payment>,
    /// Coupons by the request that claimed them.
    pub(crate) coupons: BTreeMap<Label, Coupon>,
    /// The kinds of coupons.
    pub(crate) terms: Vec<Terms>,
    /// Answers by request.
    pub(crate) answers: BTreeMap<Label, Recorded>,
    /// Webhooks that were taken.
    pub(crate) heard: BTreeSet<(Label, usize)>,
    /// How often something of interest happened.
    pub(crate) seen: BTreeMap<String, u64>,
    pay_within_ms: i64,
    held_units_cap: i64,
}

impl Model {
    /// The model of a start.
    pub(crate) fn new(setup: &Setup) -> Self {
        let dishes = setup.dishes.iter().map(|dish| Dish {
            store: dish.store,
            price_minor: dish.price_minor,
            put_in: dish.units,
            reserved: 0,
            sold: 0,
        });
        Self {
            now_ms: setup.now_ms,
            dishes: dishes.collect(),
            orders: BTreeMap::new(),
            payments: BTreeMap::new(),
            coupons: BTreeMap::new(),
            terms: setup.terms.clone(),
            answers: BTreeMap::new(),
            heard: BTreeSet::new(),
            seen: BTreeMap::new(),
            pay_within_ms: setup.pay_within_ms,
            held_units_cap: setup.held_units_cap,
        }
    }

    /// What a command does and comes to.
    pub(crate) fn apply(&mut self, command: &Command) -> Said {
        match command {
            Command::Place { key, id, place, .. } => {
                self.keyed(*key, |model| model.place(*key, *id, place))
            }
            Command::Move { key, order, who, wish, .. } => {
                self.keyed(*key, |model| model.move_order(*key, *order, *who, *wish))
            }
            Command::WriteDown { key, order, id, .. } => {
                self.keyed(*key, |model| model.write_down(*key, *order, *id))
            }
            Command::Conclude { key, said, .. } => {
                self.keyed(*key, |model| model.conclude(*key, said.as_ref()))
            }
            Command::Claim { key, kind, user, id } => {
                self.keyed(*key, |model| model.claim(*key, *kind, *user, *id))
            }
            Command::Redeem { key, order, coupon, .. } => {
                self.keyed(*key, |model| model.redeem(*key, *order, *coupon))
            }
            Command::Void { key, coupon, .. } => {
                self.keyed(*key, |model| model.void(*key, *coupon))
            }
            Command::Expire { coupon, .. } => self.expire(*coupon),
            Command::Reconcile { pay, said, .. } => self.reconcile(*pay, said.as_ref()),
            Command::Close { order, .. } => self.close_unpaid(*order),
            Command::Sent { pay, succeeded, .. } => self.sent(*pay, *succeeded),
            Command::Hear { pay, number, event } => self.hear(*pay, *number, event),
            Command::Panic { .. } => Said::Panicked,
            Command::Poison { .. } => Said::Failed,
        }
    }

    /// Counts something of interest.
    pub(crate) fn saw(&mut self, what: impl Into<String>) {
        *self.seen.entry(what.into()).or_default() += 1;
    }

    /// Units in a user's unpaid orders.
    pub(crate) fn held_by(&self, user: i64) -> i64 {
        let orders = self.orders.values();
        let held =
            orders.filter(|order| order.user == user && order.state == OrderState::PendingPayment);
        held.flat_map(|order| order.units.values()).sum()
    }

    /// Replays the answer under a key, or finds one.
    fn keyed(&mut self, key: Key, decide: impl FnOnce(&mut Self) -> Said) -> Said {
        let Some(recorded) = self.answers.get(&key.label) else { return decide(self) };
        if recorded.other_body != key.other_body {
            return self.refuse("idempotency-key-reused");
        }
        let facts = recorded.facts.clone();
        self.saw("replayed");
        Said::Answer { replayed: true, facts }
    }

    /// An answer that is kept for the key.
    fn record(&mut self, key: Key, facts: Facts) -> Said {
        let recorded = Recorded { other_body: key.other_body, facts: facts.clone() };
        self.answers.insert(key.label, recorded);
        Said::Answer { replayed: false, facts }
    }

    /// A refusal on the state of things: it is kept.
    fn conflict(&mut self, key: Key, code: &'static str) -> Said {
        self.saw(format!("refused: {code}"));
        self.record(key, Facts::Problem(code))
    }

    /// A refusal that leaves no trace.
    fn refuse(&mut self, code: &'static str) -> Said {
        self.saw(format!("refused: {code}"));
        Said::Answer { replayed: false, facts: Facts::Problem(code) }
    }
}
