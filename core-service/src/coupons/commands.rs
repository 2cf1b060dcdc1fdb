//! The commands that write templates and coupons; what orders do with coupons is in [`super::settle`].

use super::counter::{Counter, CounterKey};
use super::state::{Move, Step, StoredCoupon};
use super::{claim, redeem, settle, terms};
use crate::catalog::faults::Faults;
use crate::db::code::to_text;
use crate::db::outbox::Topic;
use crate::engine::{Operation, Stop, Wants, WorkingSet};
use crate::fast::GateTag;
use crate::gate::Request;
use crate::idempotency::{Answer, Keyed};
use crate::limits;
use crate::orders::moves::{not_found as order_not_found, with_payments};
use crate::orders::settle as orders;
use crate::payments::state::is_active;
use crate::pricing::state as pricing;
use http::StatusCode;
use serde_json::json;
use std::collections::BTreeMap;
use tiffin_api::coupon::{CouponTemplate, CouponTerms, Scope};
use tiffin_api::id::{CouponId, CouponTemplateId, OrderId, StoreId, UserId};
use tiffin_api::order::{Order, OrderState};
use tiffin_api::quote::{Basket, BasketLine, Pricing};
use tiffin_api::{ErrorCode, Problem};

/// There is no such template.
pub(super) fn no_template() -> Problem {
    let detail = "the templates are listed at /v1/coupon-templates";
    Problem::new(ErrorCode::CouponTemplateNotFound, detail)
}

/// There is no such coupon, or it is somebody else's: ids tell nothing.
pub(super) fn no_coupon() -> Problem {
    let detail = "your coupons are listed at /v1/me/coupons";
    Problem::new(ErrorCode::CouponNotFound, detail)
}

/// Makes a template.
pub struct MakeTemplate {
    /// Its id.
    pub id: CouponTemplateId,
    /// Its terms; [`terms::check`] has passed them.
    pub terms: CouponTerms,
}

impl Operation for MakeTemplate {
    type Output = Answer;

    fn wants(&self, wants: &mut Wants) {
        wants.coupon_refs.insert(self.terms.r#ref.clone());
        wants.stores.extend(self.terms.store_id);
    }

    fn decide(&self, ledger: &mut WorkingSet) -> Result<Answer, Stop> {
        let taken = |template: &CouponTemplate| template.terms.r#ref == self.terms.r#ref;
        if let Some(template) = ledger.coupon_templates.values().find(|known| taken(known)) {
            let detail =
                format!("template {} has this ref; its terms stay as they are", template.id);
            return Err(Problem::new(ErrorCode::CouponTemplateExists, detail).into());
        }
        self.check_store(ledger)?;
        let terms = self.terms.clone();
        let template =
            CouponTemplate { id: self.id, terms, created_at_ms: ledger.now_ms, version: 1 };
        let news = json!({ "version": template.version, "store_id": template.terms.store_id });
        ledger.publish(Topic::CouponTemplateChanged, self.id.raw(), &news)?;
        // It is there before the first claim, so that claims meet in it instead of in its making.
        ledger.coupon_counters.insert(CounterKey::total(self.id), Counter::default());
        let answer = Answer::json(StatusCode::CREATED, &template);
        ledger.coupon_templates.insert(self.id, template);
        Ok(answer)
    }

    fn record(output: &Answer) -> Option<&Answer> {
        Some(output)
    }
}

impl MakeTemplate {
    /// What the terms name has to be the store's.
    fn check_store(&self, ledger: &WorkingSet) -> Result<(), Problem> {
        let Some(store_id) = self.terms.store_id else { return Ok(()) };
        let catalog = ledger.catalog.get(&store_id).ok_or_else(|| {
            Problem::new(ErrorCode::StoreNotFound, "the stores are listed at /v1/stores")
        })?;
        let mut faults = Faults::default();
        let currency = catalog.store.currency;
        let rule = format!("must be the store's, {currency}");
        faults.require(self.terms.currency == currency, "/currency", rule);
        for (pointer, item_id) in terms::items(&self.terms) {
            faults.require(
                catalog.items.contains_key(&item_id),
                pointer,
                "the store has no such item",
            );
        }
        if let Scope::Listed { categories, .. } = &self.terms.scope {
            for (index, category) in categories.iter().enumerate() {
                let known = catalog.items.values().any(|item| item.category == *category);
                let rule = "the store has no item in this section";
                faults.require(known, format!("/scope/categories/{index}"), rule);
            }
        }
        invalid_unless_none(faults)
    }
}

/// Refuses terms with faults.
pub(super) fn invalid_unless_none(faults: Faults) -> Result<(), Problem> {
    if faults.is_empty() {
        return Ok(());
    }
    let detail = "some fields are not valid";
    Err(Problem::with_errors(ErrorCode::ValidationFailed, detail, faults.into_vec()))
}

/// Gives a diner a coupon.
pub struct ClaimCoupon {
    /// The new coupon's id.
    pub id: CouponId,
    /// From which template.
    pub template: CouponTemplateId,
    /// Who claims.
    pub user: UserId,
}

impl ClaimCoupon {
    /// What it asks of its template's gate, which has one item: the template itself.
    pub fn at_gate(&self, keyed: &Keyed) -> Request {
        Request {
            tag: GateTag::Template(self.template.raw()),
            user: self.user,
            scope: keyed.scope.clone(),
            wants: vec![(self.template.raw(), 1)],
            // The ledger counts what one diner has: the gate would have to ask it for the cap.
            held_cap_units: i64::MAX,
        }
    }
}

impl Operation for ClaimCoupon {
    type Output = Answer;

    fn wants(&self, wants: &mut Wants) {
        wants.coupon_claims.insert((self.template, self.user));
    }

    fn decide(&self, ledger: &mut WorkingSet) -> Result<Answer, Stop> {
        let template = ledger.coupon_templates.get(&self.template).ok_or_else(no_template)?;
        let keys = claim::counter_keys(template, self.user, ledger.now_ms);
        let counted = |key| Some((key, *ledger.coupon_counters.get(&key)?));
        let counters: BTreeMap<_, _> = keys.into_iter().filter_map(counted).collect();
        let facts = claim::Facts {
            template,
            user_id: self.user,
            coupon_id: self.id,
            counters: &counters,
            now_ms: ledger.now_ms,
        };
        let claim::Claimed { coupon, counted } = claim::decide(&facts).map_err(Problem::from)?;
        for key in counted {
            ledger.coupon_counters.entry(&key, Counter::default).claimed += 1;
        }
        let answer = Answer::json(StatusCode::CREATED, &coupon.view());
        ledger.coupons.insert(self.id, coupon);
        settle::publish(ledger, self.id)?;
        Ok(answer)
    }

    fn record(output: &Answer) -> Option<&Answer> {
        Some(output)
    }
}

/// Lets an unpaid order use a coupon: prices it again and holds the coupon.
pub struct RedeemCoupon {
    /// The coupon.
    pub coupon: CouponId,
    /// The order.
    pub order: OrderId,
    /// The order's store.
    pub store: StoreId,
    /// Whose both have to be.
    pub user: UserId,
}

impl Operation for RedeemCoupon {
    type Output = Answer;

    fn wants(&self, wants: &mut Wants) {
        wants.orders.insert(self.order);
        wants.coupons.insert(self.coupon);
        wants.newcomers.insert(self.user);
        wants.stores.insert(self.store);
    }

    fn decide(&self, ledger: &mut WorkingSet) -> Result<Answer, Stop> {
        let order = ledger.orders.get(&self.order).filter(|order| order.user_id == self.user);
        let mut order = order.ok_or_else(order_not_found)?.clone();
        // The price of a closed order still names the coupons that it gave back.
        let holder = ledger.coupons.get(&self.coupon).and_then(|known| known.status.order_id());
        if holder == Some(self.order) {
            return Ok(Answer::json(StatusCode::OK, &with_payments(ledger, self.order)?));
        }
        self.check_open(ledger, &order)?;
        order.pricing = self.price(ledger, &order)?;
        order.version += 1;
        order.updated_at_ms = ledger.now_ms;
        settle::lock(ledger, &order)?;
        orders::publish(ledger, &order)?;
        let row = ledger.orders.get_mut(&self.order);
        *row.expect("it was found above") = order;
        orders::pay_if_free(ledger, self.order)?;
        Ok(Answer::json(StatusCode::OK, &with_payments(ledger, self.order)?))
    }

    fn record(output: &Answer) -> Option<&Answer> {
        Some(output)
    }
}

impl RedeemCoupon {
    /// The price may change as long as nobody is asked to pay it.
    fn check_open(&self, ledger: &WorkingSet, order: &Order) -> Result<(), Problem> {
        if order.state != OrderState::PendingPayment || ledger.now_ms >= order.pay_by_ms {
            let state = to_text(order.state);
            let detail = format!("an order that is {state}, or about to close, takes no coupon");
            return Err(Problem::new(ErrorCode::InvalidTransition, detail));
        }
        let mut payments = ledger.payments_of(order.id).map(|row| &row.payment);
        if let Some(active) = payments.find(|payment| is_active(payment.state)) {
            let detail = format!("payment {} is {}", active.id, to_text(active.state));
            return Err(Problem::new(ErrorCode::PaymentInProgress, detail));
        }
        Ok(())
    }

    /// The order's price with the coupon. What was agreed before discounts must still hold.
    fn price(&self, ledger: &WorkingSet, order: &Order) -> Result<Pricing, Stop> {
        let Pricing { lines, discounts, .. } = &order.pricing;
        let held = discounts.iter().map(|discount| discount.coupon_id);
        let basket = Basket {
            store_id: order.store_id,
            fulfilment: order.fulfilment,
            lines: lines
                .iter()
                .map(|line| BasketLine {
                    item_id: line.item_id,
                    quantity: line.quantity,
                    options: line.options.clone(),
                })
                .collect(),
            coupon_ids: held.chain([self.coupon]).collect(),
        };
        pricing::check_shape(&basket).map_err(Problem::from)?;
        let catalog = ledger.catalog.get(&order.store_id).ok_or_else(order_not_found)?;
        let known = settle::known(ledger, &basket.coupon_ids)?;
        let facts = settle::facts(ledger, self.user, Some(order.id));
        let priced = redeem::price(&facts, &known, &catalog.store, &catalog.items, &basket);
        let priced = priced.map_err(Problem::from)?;
        if before_discounts(&priced) == before_discounts(&order.pricing) {
            return Ok(priced);
        }
        let detail = "the store's prices have changed since; cancel the order and order again \
             with the coupon";
        Err(Problem::new(ErrorCode::PriceChanged, detail).into())
    }
}

/// What coupons have no say in.
fn before_discounts(pricing: &Pricing) -> (Vec<i64>, i64) {
    let lines = pricing.lines.iter().map(|line| line.line_minor).collect();
    (lines, pricing.delivery_fee_minor)
}

/// Withdraws a coupon that no order holds.
pub struct VoidCoupon {
    /// Which.
    pub id: CouponId,
}

impl Operation for VoidCoupon {
    type Output = Answer;

    fn wants(&self, wants: &mut Wants) {
        wants.coupons.insert(self.id);
    }

    fn decide(&self, ledger: &mut WorkingSet) -> Result<Answer, Stop> {
        let now_ms = ledger.now_ms;
        let coupon = ledger.coupons.get_mut(&self.id).ok_or_else(no_coupon)?;
        let step = coupon
            .advance(Move::Void, now_ms)
            .map_err(|error| Problem::new(ErrorCode::InvalidTransition, error.to_string()))?;
        let answer = Answer::json(StatusCode::OK, &coupon.view());
        if let Step::To(_) = step {
            settle::publish(ledger, self.id)?;
        }
        Ok(answer)
    }

    fn record(output: &Answer) -> Option<&Answer> {
        Some(output)
    }
}

/// Ends coupons whose time is over; its output says how many.
pub struct ExpireCoupons {
    /// At most [`limits::JOB_BATCH`] of them.
    pub ids: Vec<CouponId>,
}

impl Operation for ExpireCoupons {
    type Output = usize;

    fn wants(&self, wants: &mut Wants) {
        wants.coupons.extend(&self.ids);
    }

    fn decide(&self, ledger: &mut WorkingSet) -> Result<usize, Stop> {
        debug_assert!(self.ids.len() <= limits::JOB_BATCH as usize);
        let now_ms = ledger.now_ms;
        let mut done = 0;
        for id in &self.ids {
            let due = |coupon: &&StoredCoupon| coupon.is_over(now_ms);
            if ledger.coupons.get(id).filter(due).is_none() {
                continue;
            }
            let coupon = ledger.coupons.get_mut(id).expect("it was found above");
            // An order took it, or an administrator did, between our look and our lock.
            let Ok(Step::To(_)) = coupon.advance(Move::Expire, now_ms) else { continue };
            settle::publish(ledger, *id)?;
            done += 1;
        }
        Ok(done)
    }
}
