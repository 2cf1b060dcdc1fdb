//! Using coupons: which of them a diner may use for an order, what that does to its price, and the moves
//! that an order makes with them.
//!
//! Pure. An order operation calls [`price`] when it decides its price, then [`lock`] for each discount of
//! the price; [`use_up`] when the order is paid; [`give_back`] when it closes unpaid; [`hand_back`] when it comes to
//! nothing after it was paid. All but [`use_up`] keep the template's own counter ([`CounterKey::total`]) in step.
//!
//! [`CounterKey::total`]: super::counter::CounterKey::total

#![warn(clippy::wildcard_enum_match_arm)]

use super::counter::Counter;
use super::refusal::{CouponRefused, Refusal};
use super::state::{InvalidMove, Move, Status, Step, StoredCoupon};
use crate::limits;
use crate::pricing::discount::CouponUse;
use crate::pricing::state::{self, PriceError};
use std::collections::BTreeMap;
use tiffin_api::coupon::CouponTemplate;
use tiffin_api::id::{CouponId, CouponTemplateId, ItemId, OrderId, UserId};
use tiffin_api::import::{ItemRow, StoreRow};
use tiffin_api::quote::{Basket, Pricing};

/// Who uses coupons, and for what.
#[derive(Debug, Clone, Copy)]
pub struct Facts {
    /// The diner.
    pub user_id: UserId,
    /// The order, if it has been placed: coupons that it holds already are as good as free ones.
    pub order_id: Option<OrderId>,
    /// Whether the diner has no other order, except such as were closed, rejected or cancelled.
    pub first_order: bool,
    /// The time of the decision.
    pub now_ms: i64,
}

/// A coupon with what it depends on.
#[derive(Debug, Clone, Copy)]
pub struct Known<'a> {
    /// The coupon.
    pub coupon: &'a StoredCoupon,
    /// What it was claimed from.
    pub template: &'a CouponTemplate,
    /// `spent_minor` of the template's own counter.
    pub spent_minor: i64,
}

/// The coupons of a basket that exist, whoever they belong to.
pub type KnownCoupons<'a> = BTreeMap<CouponId, Known<'a>>;

/// Prices a basket with every coupon that it names, or says which one does not help and why.
pub fn price(
    facts: &Facts,
    known: &KnownCoupons<'_>,
    store: &StoreRow,
    items: &BTreeMap<ItemId, ItemRow>,
    basket: &Basket,
) -> Result<Pricing, PriceError> {
    let (uses, refused) = uses(facts, known, store, basket);
    match refused.into_iter().next() {
        Some(refused) => Err(refused.into()),
        None => state::price_with(store, items, basket, &uses),
    }
}

/// Prices a basket with those of its coupons that help, and says why the others do not.
pub fn try_on(
    facts: &Facts,
    known: &KnownCoupons<'_>,
    store: &StoreRow,
    items: &BTreeMap<ItemId, ItemRow>,
    basket: &Basket,
) -> Result<(Pricing, Vec<CouponRefused>), PriceError> {
    let (uses, mut refused) = uses(facts, known, store, basket);
    let (pricing, more) = state::try_on(store, items, basket, &uses)?;
    refused.extend(more);
    Ok((pricing, refused))
}

/// The coupons of a basket that its diner may use for it here and now, and why not the others, both by id.
/// Whether they fit its lines and each other is decided with the price.
pub fn uses<'a>(
    facts: &Facts,
    known: &KnownCoupons<'a>,
    store: &StoreRow,
    basket: &Basket,
) -> (Vec<CouponUse<'a>>, Vec<CouponRefused>) {
    let mut coupon_ids = basket.coupon_ids.clone();
    coupon_ids.sort_unstable();
    let own_minor = own_discounts(facts, known, &coupon_ids);
    let (mut uses, mut refused) = (Vec::new(), Vec::new());
    for coupon_id in coupon_ids {
        let checked = match known.get(&coupon_id) {
            Some(known) => check(facts, known, store, basket).map(|()| known),
            None => Err(Refusal::NotFound),
        };
        match checked {
            Ok(Known { coupon, template, spent_minor }) => {
                // Without a budget, what keeps the counter within its range is one.
                let budget_minor = template.terms.caps.budget_minor.unwrap_or(i64::MAX);
                let own_minor = own_minor.get(&template.id).copied().unwrap_or(0);
                uses.push(CouponUse {
                    coupon_id: coupon.id,
                    template_id: template.id,
                    terms: &template.terms,
                    budget_left_minor: budget_minor - (spent_minor - own_minor),
                });
            }
            Err(why) => refused.push(CouponRefused { coupon_id, why }),
        }
    }
    (uses, refused)
}

/// What the order's own coupons take off it already, for each template: when it is priced again, that money
/// is not spent twice.
fn own_discounts(
    facts: &Facts,
    known: &KnownCoupons<'_>,
    coupon_ids: &[CouponId],
) -> BTreeMap<CouponTemplateId, i64> {
    let mut own_minor = BTreeMap::new();
    for Known { coupon, .. } in coupon_ids.iter().filter_map(|coupon_id| known.get(coupon_id)) {
        if holds(facts, coupon) {
            // A part of the template's sum, which is in range.
            *own_minor.entry(coupon.template_id).or_insert(0) += coupon.discount_minor;
        }
    }
    own_minor
}

/// Whether the order has the coupon already.
fn holds(facts: &Facts, coupon: &StoredCoupon) -> bool {
    facts.order_id.is_some_and(|order_id| coupon.status == Status::Locked(order_id))
}

fn check(
    facts: &Facts,
    known: &Known<'_>,
    store: &StoreRow,
    basket: &Basket,
) -> Result<(), Refusal> {
    let Known { coupon, template, .. } = known;
    let terms = &template.terms;
    if coupon.user_id != facts.user_id {
        return Err(Refusal::NotFound);
    }
    if !holds(facts, coupon) {
        check_free(coupon, facts.now_ms)?;
    }
    if terms.store_id.is_some_and(|store_id| store_id != basket.store_id) {
        return Err(Refusal::OtherStore);
    }
    if terms.currency != store.currency {
        return Err(Refusal::OtherCurrency);
    }
    if terms.first_order && !facts.first_order {
        return Err(Refusal::NotFirstOrder);
    }
    Ok(())
}

/// Whether an order may take the coupon now.
fn check_free(coupon: &StoredCoupon, now_ms: i64) -> Result<(), Refusal> {
    let StoredCoupon { valid_from_ms, expires_at_ms, .. } = *coupon;
    match coupon.status {
        Status::Unclaimed => Err(Refusal::NotFound),
        Status::Locked(_) => Err(Refusal::Locked),
        Status::Used(_) => Err(Refusal::Used),
        Status::Voided => Err(Refusal::Voided),
        Status::Expired => Err(Refusal::Expired { expires_at_ms }),
        // The timer may not have come by yet.
        Status::Claimed if coupon.is_over(now_ms) => Err(Refusal::Expired { expires_at_ms }),
        Status::Claimed if now_ms < valid_from_ms => Err(Refusal::NotStarted { valid_from_ms }),
        Status::Claimed => Ok(()),
    }
}

/// Lets an order hold a coupon for a discount that [`price`] granted; if it holds it already, changes the
/// discount. `total` is the template's own counter.
pub fn lock(
    coupon: &mut StoredCoupon,
    total: &mut Counter,
    order_id: OrderId,
    discount_minor: i64,
    now_ms: i64,
) -> Result<Step, InvalidMove> {
    let step = coupon.advance(Move::Lock(order_id), now_ms)?;
    if step == Step::Already && coupon.discount_minor != discount_minor {
        coupon.touch(now_ms);
    }
    // In range: the budget was checked, and without one the range itself.
    total.spent_minor += discount_minor - coupon.discount_minor;
    coupon.discount_minor = discount_minor;
    Ok(step)
}

/// Uses up a coupon: the order that holds it was paid.
pub fn use_up(
    coupon: &mut StoredCoupon,
    order_id: OrderId,
    now_ms: i64,
) -> Result<Step, InvalidMove> {
    coupon.advance(Move::Use(order_id), now_ms)
}

/// Gives a coupon back to its diner, or ends it if its own time is over: the order that held it closed
/// unpaid. A second time does nothing. `total` is the template's own counter.
pub fn give_back(
    coupon: &mut StoredCoupon,
    total: &mut Counter,
    order_id: OrderId,
    now_ms: i64,
) -> Result<Step, InvalidMove> {
    let expired = coupon.is_over(now_ms);
    let step = coupon.advance(Move::GiveBack { order_id, expired }, now_ms)?;
    if let Step::To(_) = step {
        free(coupon, total);
    }
    Ok(step)
}

/// Hands a used coupon back to its diner: the order that had used it came to nothing. There is a day at least to
/// use it again, because its time went by while it was used. A second time does nothing. `total` is the template's
/// own counter.
pub fn hand_back(
    coupon: &mut StoredCoupon,
    total: &mut Counter,
    order_id: OrderId,
    now_ms: i64,
) -> Result<Step, InvalidMove> {
    let step = coupon.advance(Move::HandBack(order_id), now_ms)?;
    if let Step::To(_) = step {
        free(coupon, total);
        let least_ms = now_ms.saturating_add(limits::COUPON_BACK_LEAST_MS);
        coupon.expires_at_ms = coupon.expires_at_ms.max(least_ms);
    }
    Ok(step)
}

/// Takes a coupon's discount out of what its template has spent.
fn free(coupon: &mut StoredCoupon, total: &mut Counter) {
    total.spent_minor -= coupon.discount_minor;
    coupon.discount_minor = 0;
}

#[cfg(test)]
mod tests;
