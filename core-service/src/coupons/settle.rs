//! What orders do with coupons, over the working set of a batch: price a basket, hold its coupons, use them up
//! or give them back. [`super::redeem`] decides, this looks up and writes down. Pure.
//!
//! Invariant: the coupons that an order holds are those of its discounts, each with that discount; the move
//! that ends the waiting for its payment uses them up or gives them back, once, and the one with which a paid order
//! comes to nothing hands them back.

use super::counter::{Counter, CounterKey};
use super::redeem::{self, Facts, Known, KnownCoupons};
use super::state::{InvalidMove, Step, StoredCoupon};
use crate::db::DbError;
use crate::db::outbox::Topic;
use crate::engine::WorkingSet;
use serde_json::json;
use tiffin_api::id::{CouponId, CouponTemplateId, OrderId, UserId};
use tiffin_api::order::Order;
use tiffin_api::quote::Discount;

/// What [`redeem::price`] has to know of the diner.
pub fn facts(ledger: &WorkingSet, user_id: UserId, order_id: Option<OrderId>) -> Facts {
    let first_order = !ledger.has_other_order(user_id, order_id);
    Facts { user_id, order_id, first_order, now_ms: ledger.now_ms }
}

/// Those of the coupons that exist.
pub fn known<'a>(
    ledger: &'a WorkingSet,
    coupon_ids: &[CouponId],
) -> Result<KnownCoupons<'a>, DbError> {
    let exists = |id: &CouponId| ledger.coupons.get(id);
    let with_template = |coupon: &'a StoredCoupon| {
        let template_id = coupon.template_id;
        let template = ledger.coupon_templates.get(&template_id);
        let spent = ledger.coupon_counters.get(&CounterKey::total(template_id));
        match (template, spent) {
            (Some(template), Some(counter)) => {
                Ok((coupon.id, Known { coupon, template, spent_minor: counter.spent_minor }))
            }
            _ => Err(DbError::inconsistent(format!("coupon {} has no template", coupon.id))),
        }
    };
    coupon_ids.iter().filter_map(exists).map(with_template).collect()
}

/// Lets an order hold the coupons of its discounts.
pub fn lock(ledger: &mut WorkingSet, order: &Order) -> Result<(), DbError> {
    for discount in &order.pricing.discounts {
        let now_ms = ledger.now_ms;
        let (coupon, total) = rows(ledger, discount)?;
        let done = redeem::lock(coupon, total, order.id, discount.amount_minor, now_ms);
        done.map_err(|error| contradiction(order.id, discount, error))?;
        publish(ledger, discount.coupon_id)?;
    }
    Ok(())
}

/// Uses up the coupons of an order that was paid.
pub fn use_up(ledger: &mut WorkingSet, order: &Order) -> Result<(), DbError> {
    for discount in &order.pricing.discounts {
        let now_ms = ledger.now_ms;
        let done = redeem::use_up(coupon(ledger, discount.coupon_id)?, order.id, now_ms);
        done.map_err(|error| contradiction(order.id, discount, error))?;
        publish(ledger, discount.coupon_id)?;
    }
    Ok(())
}

/// Gives back the coupons of an order that closed unpaid.
pub fn give_back(ledger: &mut WorkingSet, order: &Order) -> Result<(), DbError> {
    come_back(ledger, order, redeem::give_back)
}

/// Hands back the coupons of an order that came to nothing after it was paid.
pub fn hand_back(ledger: &mut WorkingSet, order: &Order) -> Result<(), DbError> {
    come_back(ledger, order, redeem::hand_back)
}

fn come_back(
    ledger: &mut WorkingSet,
    order: &Order,
    back: fn(&mut StoredCoupon, &mut Counter, OrderId, i64) -> Result<Step, InvalidMove>,
) -> Result<(), DbError> {
    for discount in &order.pricing.discounts {
        let now_ms = ledger.now_ms;
        let (coupon, total) = rows(ledger, discount)?;
        let done = back(coupon, total, order.id, now_ms);
        done.map_err(|error| contradiction(order.id, discount, error))?;
        publish(ledger, discount.coupon_id)?;
    }
    Ok(())
}

/// Tells the outbox about a coupon's new state.
pub fn publish(ledger: &mut WorkingSet, id: CouponId) -> Result<(), DbError> {
    let coupon = ledger.coupons.get(&id).ok_or_else(|| missing(id))?;
    let news = json!({ "state": coupon.status.state(), "version": coupon.version });
    ledger.publish(Topic::CouponChanged, id.raw(), &news)
}

fn coupon(ledger: &mut WorkingSet, id: CouponId) -> Result<&mut StoredCoupon, DbError> {
    ledger.coupons.get_mut(&id).ok_or_else(|| missing(id))
}

fn rows<'a>(
    ledger: &'a mut WorkingSet,
    discount: &Discount,
) -> Result<(&'a mut StoredCoupon, &'a mut Counter), DbError> {
    let Discount { coupon_id, template_id, .. } = *discount;
    let total = ledger.coupon_counters.get_mut(&CounterKey::total(template_id));
    let coupon = ledger.coupons.get_mut(&coupon_id).ok_or_else(|| missing(coupon_id))?;
    Ok((coupon, total.ok_or_else(|| uncounted(template_id))?))
}

fn missing(id: CouponId) -> DbError {
    DbError::inconsistent(format!("coupon {id} is referred to and missing"))
}

fn uncounted(id: CouponTemplateId) -> DbError {
    DbError::inconsistent(format!("coupon template {id} has no counter"))
}

/// An order and a coupon disagree about who holds it.
fn contradiction(order_id: OrderId, discount: &Discount, error: InvalidMove) -> DbError {
    let coupon_id = discount.coupon_id;
    DbError::inconsistent(format!("order {order_id} has coupon {coupon_id}: {error}"))
}
