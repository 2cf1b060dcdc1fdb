//! What coupons take off a priced basket, as a pure function.
//!
//! Items first, then the order, then delivery; within each by coupon id, whatever order the diner named them
//! in. Each takes from what those before it left, so no line and no fee ever falls below zero. A unit that an
//! item coupon has counted, as bought or as discounted, is not counted by another. What is taken off the
//! order is split over its lines by largest remainder.
//!
//! A minimum spend is asked of prices before discounts, so it does not depend on other coupons. A coupon that
//! would take off nothing is refused rather than used up.

#![warn(clippy::wildcard_enum_match_arm)]

use crate::coupons::refusal::{CouponRefused, Refusal};
use std::collections::BTreeMap;
use tiffin_api::coupon::{Benefit, CouponTerms, ItemOff, Scope};
use tiffin_api::id::{CouponId, CouponTemplateId, ItemId};
use tiffin_api::money::{self, AmountOutOfRange, PPM};
use tiffin_api::quote::{Discount, PricedLine};

/// A coupon that its diner may use here and now; whether it fits the basket is decided here.
#[derive(Debug, Clone, Copy)]
pub struct CouponUse<'a> {
    /// The coupon.
    pub coupon_id: CouponId,
    /// What it was claimed from.
    pub template_id: CouponTemplateId,
    /// The terms of its template.
    pub terms: &'a CouponTerms,
    /// What its template may still spend, before any coupon of this basket, minor units.
    pub budget_left_minor: i64,
}

/// What coupons did to a basket.
#[derive(Debug, Default)]
pub struct Applied {
    /// What each took off, in the order in which they were applied.
    pub discounts: Vec<Discount>,
    /// What the delivery fee lost.
    pub delivery_minor: i64,
    /// The coupons that did not fit, in the same order.
    pub refused: Vec<CouponRefused>,
}

/// Applies coupons to priced lines and to the delivery fee; writes each line's `discount_minor`.
/// `categories` are those of the lines. Coupons that are refused leave no trace in the price.
pub fn apply(
    lines: &mut [PricedLine],
    categories: &[&str],
    delivery_fee_minor: i64,
    uses: &[CouponUse<'_>],
) -> Result<Applied, AmountOutOfRange> {
    let mut uses: Vec<&CouponUse<'_>> = uses.iter().collect();
    uses.sort_by_key(|coupon| (rank(&coupon.terms.benefit), coupon.coupon_id));
    let uncounted = lines.iter().map(|line| i64::from(line.quantity)).collect();
    let mut basket = Basket {
        lines,
        categories,
        uncounted,
        delivery_left_minor: delivery_fee_minor,
        stacked: BTreeMap::new(),
        spent_minor: BTreeMap::new(),
    };
    let mut applied = Applied::default();
    for coupon in uses {
        match basket.take_off(coupon)? {
            Ok(amount_minor) => applied.discounts.push(Discount {
                coupon_id: coupon.coupon_id,
                template_id: coupon.template_id,
                category: coupon.terms.stacking.category.clone(),
                amount_minor,
            }),
            Err(why) => applied.refused.push(CouponRefused { coupon_id: coupon.coupon_id, why }),
        }
    }
    applied.delivery_minor = delivery_fee_minor - basket.delivery_left_minor;
    Ok(applied)
}

/// The order in which kinds of benefits are applied.
const fn rank(benefit: &Benefit) -> u8 {
    match benefit {
        Benefit::BuyXGetY { .. } | Benefit::Item { .. } => 0,
        Benefit::Fixed { .. } | Benefit::Percent { .. } => 1,
        Benefit::FreeDelivery { .. } => 2,
    }
}

/// A basket on its way through its coupons.
struct Basket<'a> {
    lines: &'a mut [PricedLine],
    categories: &'a [&'a str],
    /// Units of each line that no item coupon has counted.
    uncounted: Vec<i64>,
    delivery_left_minor: i64,
    /// For each category, how many coupons are in use and the smallest number allowed among them.
    stacked: BTreeMap<&'a str, (u32, u32)>,
    /// What each template's coupons have taken off here.
    spent_minor: BTreeMap<CouponTemplateId, i64>,
}

/// What a coupon would take off.
#[derive(Default)]
struct Offer {
    /// From which lines, minor units each.
    lines: Vec<(usize, i64)>,
    /// From the delivery fee, minor units.
    delivery_minor: i64,
    /// Units of lines that it counts.
    counted: Vec<(usize, i64)>,
}

impl<'a> Basket<'a> {
    /// Takes off what the coupon is worth, or says why nothing.
    fn take_off(
        &mut self,
        coupon: &CouponUse<'a>,
    ) -> Result<Result<i64, Refusal>, AmountOutOfRange> {
        let terms = coupon.terms;
        let (in_use, allowed) = self.stacked_with(terms);
        if in_use >= allowed {
            let category = terms.stacking.category.clone();
            return Ok(Err(Refusal::NotStackable { category, per_order: allowed }));
        }
        let scope = self.in_scope(&terms.scope);
        if scope.is_empty() {
            return Ok(Err(Refusal::OutOfScope));
        }
        let minimum_minor = terms.minimum_spend_minor;
        let in_scope_minor = money::sum(scope.iter().map(|index| self.lines[*index].line_minor))?;
        if in_scope_minor < minimum_minor {
            return Ok(Err(Refusal::MinimumNotMet { in_scope_minor, minimum_minor }));
        }
        let offer = match self.offer(&terms.benefit, &scope)? {
            Ok(offer) => offer,
            Err(why) => return Ok(Err(why)),
        };
        let amounts = offer.lines.iter().map(|(_, minor)| *minor);
        let amount_minor = money::sum(amounts.chain([offer.delivery_minor]))?;
        if amount_minor == 0 {
            return Ok(Err(Refusal::TakesNothing));
        }
        let spent_minor = self.spent_minor.get(&coupon.template_id).copied().unwrap_or(0);
        let spent_minor = money::sum([spent_minor, amount_minor])?;
        if spent_minor > coupon.budget_left_minor {
            return Ok(Err(Refusal::BudgetSpent));
        }
        self.spent_minor.insert(coupon.template_id, spent_minor);
        self.stacked.insert(&terms.stacking.category, (in_use + 1, allowed));
        self.accept(&offer);
        Ok(Ok(amount_minor))
    }

    /// How many coupons of its category are in use, and how many may be together with it.
    fn stacked_with(&self, terms: &CouponTerms) -> (u32, u32) {
        let stacking = &terms.stacking;
        match self.stacked.get(stacking.category.as_str()) {
            Some((in_use, allowed)) => (*in_use, stacking.per_order.min(*allowed)),
            None => (0, stacking.per_order),
        }
    }

    fn in_scope(&self, scope: &Scope) -> Vec<usize> {
        let holds = |index: &usize| match scope {
            Scope::All => true,
            Scope::Listed { item_ids, categories } => {
                item_ids.contains(&self.lines[*index].item_id)
                    || categories.iter().any(|category| category == self.categories[*index])
            }
        };
        (0..self.lines.len()).filter(holds).collect()
    }

    fn offer(
        &self,
        benefit: &Benefit,
        scope: &[usize],
    ) -> Result<Result<Offer, Refusal>, AmountOutOfRange> {
        match benefit {
            Benefit::Fixed { amount_minor } => self.off_lines(scope, |_| Ok(*amount_minor)),
            Benefit::Percent { rate_ppm, cap_minor } => self.off_lines(scope, |left_minor| {
                let part_minor = money::scale(left_minor, i64::from(*rate_ppm), PPM)?;
                Ok(part_minor.min(cap_minor.unwrap_or(i64::MAX)))
            }),
            Benefit::FreeDelivery { cap_minor } => {
                let delivery_minor = self.delivery_left_minor.min(cap_minor.unwrap_or(i64::MAX));
                Ok(Ok(Offer { delivery_minor, ..Offer::default() }))
            }
            Benefit::BuyXGetY { item_id, buy, get, most_free } => {
                let units = self.units_of(scope, *item_id);
                let most_free = most_free.map_or(i64::MAX, i64::from);
                Ok(offer_free_units(units, i64::from(*buy), i64::from(*get), most_free))
            }
            Benefit::Item { item_id, off, most_units } => {
                offer_off_units(self.units_of(scope, *item_id), *off, i64::from(*most_units))
            }
        }
    }

    /// An amount off what is left of some lines, split over them.
    fn off_lines(
        &self,
        scope: &[usize],
        wanted_minor: impl FnOnce(i64) -> Result<i64, AmountOutOfRange>,
    ) -> Result<Result<Offer, Refusal>, AmountOutOfRange> {
        let left =
            |index: &usize| self.lines[*index].line_minor - self.lines[*index].discount_minor;
        let weights: Vec<i64> = scope.iter().map(left).collect();
        let left_minor = money::sum(weights.iter().copied())?;
        let amount_minor = wanted_minor(left_minor)?.min(left_minor);
        let parts = money::allocate(amount_minor, &weights);
        let lines = scope.iter().copied().zip(parts).collect();
        Ok(Ok(Offer { lines, ..Offer::default() }))
    }

    /// The units of an item that no item coupon has counted, the cheapest first.
    fn units_of(&self, scope: &[usize], item_id: ItemId) -> Vec<Units> {
        let of_item = scope.iter().copied().filter(|index| self.lines[*index].item_id == item_id);
        let mut units: Vec<Units> = of_item
            .map(|line| {
                let PricedLine { base_minor, options_minor, .. } = self.lines[line];
                // Neither is negative, and the line's own total was checked.
                Units { unit_minor: base_minor + options_minor, line, count: self.uncounted[line] }
            })
            .collect();
        units.sort_by_key(|units| (units.unit_minor, units.line));
        units
    }

    fn accept(&mut self, offer: &Offer) {
        for (line, amount_minor) in &offer.lines {
            let line = &mut self.lines[*line];
            line.discount_minor += amount_minor;
            debug_assert!(line.discount_minor <= line.line_minor);
        }
        for (line, count) in &offer.counted {
            self.uncounted[*line] -= count;
            debug_assert!(self.uncounted[*line] >= 0);
        }
        self.delivery_left_minor -= offer.delivery_minor;
    }
}

/// Units of one line that cost the same.
#[derive(Clone, Copy)]
struct Units {
    unit_minor: i64,
    line: usize,
    count: i64,
}

/// Takes up to `wanted` units from the front.
fn take(units: impl Iterator<Item = Units>, wanted: i64) -> Vec<Units> {
    let mut wanted = wanted;
    let taken = units.map(move |units| {
        let count = units.count.min(wanted);
        wanted -= count;
        Units { count, ..units }
    });
    taken.filter(|units| units.count > 0).collect()
}

/// Of `units`, the cheapest first, those that are free: `get` for every `buy` that are paid for, and what a
/// last, incomplete round has beyond its `buy`.
fn offer_free_units(
    mut units: Vec<Units>,
    buy: i64,
    get: i64,
    most_free: i64,
) -> Result<Offer, Refusal> {
    let count: i64 = units.iter().map(|units| units.count).sum();
    if units.is_empty() {
        return Err(Refusal::OutOfScope);
    }
    let (rounds, rest) = (count / (buy + get), count % (buy + get));
    let free = (rounds * get + (rest - buy).max(0)).min(most_free);
    let free_units = take(units.iter().copied(), free);
    for taken in &free_units {
        let line = units.iter_mut().find(|units| units.line == taken.line);
        line.expect("taken from among them").count -= taken.count;
    }
    let paid = (free + get - 1) / get * buy;
    let paid_units = take(units.iter().rev().copied(), paid);
    let counted = free_units.iter().chain(&paid_units).map(|units| (units.line, units.count));
    Ok(Offer {
        // A part of a line's total, which was checked.
        lines: free_units
            .iter()
            .map(|units| (units.line, units.unit_minor * units.count))
            .collect(),
        delivery_minor: 0,
        counted: counted.collect(),
    })
}

/// Of `units`, the cheapest first, something off the dearest.
fn offer_off_units(
    units: Vec<Units>,
    off: ItemOff,
    most_units: i64,
) -> Result<Result<Offer, Refusal>, AmountOutOfRange> {
    if units.is_empty() {
        return Ok(Err(Refusal::OutOfScope));
    }
    let mut offer = Offer::default();
    for units in take(units.into_iter().rev(), most_units) {
        let off_minor = match off {
            ItemOff::Amount(amount_minor) => amount_minor.min(units.unit_minor),
            ItemOff::Rate(rate_ppm) => money::scale(units.unit_minor, i64::from(rate_ppm), PPM)?,
        };
        // At most the line's total, which was checked.
        offer.lines.push((units.line, off_minor * units.count));
        offer.counted.push((units.line, units.count));
    }
    Ok(Ok(offer))
}

#[cfg(test)]
mod tests;
