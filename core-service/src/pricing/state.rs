//! The price of a basket, as a pure function of the store's definition and of the coupons in use.
//!
//! Order of the price: base + modifiers → discounts ([`super::discount`]) → fees → tax. The fee is set by the
//! basket before discounts, so that a coupon never costs a diner the delivery. Tax is computed on what is left
//! after discounts, per tax class on the sum of its lines, and then split over them by largest remainder, so
//! lines and totals add up exactly.

#![warn(clippy::wildcard_enum_match_arm)]

use super::discount::{self, Applied, CouponUse};
use crate::coupons::refusal::{CouponRefused, Refusal};
use crate::limits;
use std::collections::BTreeMap;
use tiffin_api::catalog::Location;
use tiffin_api::id::{CouponId, ItemId};
use tiffin_api::import::{ItemRow, StoreRow, Zone};
use tiffin_api::money::{self, AmountOutOfRange, PPM};
use tiffin_api::quote::{Basket, BasketLine, Fulfilment, PricedLine, Pricing};
use tiffin_api::{ErrorCode, FieldError, Problem};

/// Mean radius of the Earth, m (IUGG).
const EARTH_RADIUS_M: f64 = 6_371_008.8;

/// Why a basket has no price.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum PriceError {
    /// The basket itself is wrong.
    #[error("some fields are not valid")]
    Invalid(Vec<FieldError>),
    /// The options of a line break the rules of its item.
    #[error("the chosen options do not fit")]
    Modifiers(Vec<FieldError>),
    /// Below the minimum of the store or the zone.
    #[error("the basket comes to {subtotal_minor}, the minimum is {minimum_minor} (minor units)")]
    MinimumNotMet {
        /// What it comes to.
        subtotal_minor: i64,
        /// What it has to come to.
        minimum_minor: i64,
    },
    /// No zone of the store reaches the address.
    #[error("no delivery zone of the store reaches this location")]
    OutOfZone,
    /// A coupon that the basket names does not help it.
    #[error(transparent)]
    Coupon(#[from] CouponRefused),
}

impl From<AmountOutOfRange> for PriceError {
    fn from(error: AmountOutOfRange) -> Self {
        Self::Invalid(vec![FieldError::at("/lines", error.to_string())])
    }
}

impl From<PriceError> for Problem {
    fn from(error: PriceError) -> Self {
        let detail = error.to_string();
        match error {
            PriceError::Invalid(errors) => {
                Self::with_errors(ErrorCode::ValidationFailed, detail, errors)
            }
            PriceError::Modifiers(errors) => {
                Self::with_errors(ErrorCode::ModifierInvalid, detail, errors)
            }
            PriceError::MinimumNotMet { .. } => Self::new(ErrorCode::MinimumNotMet, detail),
            PriceError::OutOfZone => Self::new(ErrorCode::OutOfZone, detail),
            PriceError::Coupon(refused) => refused.into(),
        }
    }
}

/// Checks what can be checked of a basket without the catalog.
pub fn check_shape(basket: &Basket) -> Result<(), PriceError> {
    let mut errors = Vec::new();
    if basket.lines.is_empty() || basket.lines.len() > limits::BASKET_LINES {
        let detail = format!("a basket has 1 to {} lines", limits::BASKET_LINES);
        errors.push(FieldError::at("/lines", detail));
    }
    for (index, line) in basket.lines.iter().enumerate() {
        if !(1..=limits::LINE_QUANTITY).contains(&line.quantity) {
            let detail = format!("a quantity is 1 to {}", limits::LINE_QUANTITY);
            errors.push(FieldError::at(format!("/lines/{index}/quantity"), detail));
        }
        if line.options.len() > limits::LINE_OPTIONS {
            let detail = format!("a line has at most {} options", limits::LINE_OPTIONS);
            errors.push(FieldError::at(format!("/lines/{index}/options"), detail));
        }
    }
    check_coupon_ids(&basket.coupon_ids, &mut errors);
    if let Fulfilment::Delivery { location } = &basket.fulfilment {
        let on_earth =
            (-90.0..=90.0).contains(&location.lat) && (-180.0..=180.0).contains(&location.lng);
        if !on_earth {
            let detail = "lat is -90 to 90 and lng -180 to 180 degrees";
            errors.push(FieldError::at("/fulfilment/location", detail));
        }
    }
    if errors.is_empty() { Ok(()) } else { Err(PriceError::Invalid(errors)) }
}

fn check_coupon_ids(coupon_ids: &[CouponId], errors: &mut Vec<FieldError>) {
    if coupon_ids.len() > limits::COUPONS_PER_ORDER {
        let detail = format!("a basket has at most {} coupons", limits::COUPONS_PER_ORDER);
        errors.push(FieldError::at("/coupon_ids", detail));
    }
    for (index, coupon_id) in coupon_ids.iter().enumerate() {
        if coupon_ids[..index].contains(coupon_id) {
            errors.push(FieldError::at(format!("/coupon_ids/{index}"), "stands twice"));
        }
    }
}

/// Prices a basket without coupons whose shape has been checked. `items` holds the store's items among its
/// lines. A basket that names coupons is refused: nobody pays more than expected because a coupon was
/// overlooked.
pub fn price(
    store: &StoreRow,
    items: &BTreeMap<ItemId, ItemRow>,
    basket: &Basket,
) -> Result<Pricing, PriceError> {
    price_with(store, items, basket, &[])
}

/// Prices a basket with every coupon that it names, or with none of them: the first that does not help is
/// the refusal. `uses` holds those of its coupons that the diner may use, see
/// [`crate::coupons::redeem::uses`].
pub fn price_with(
    store: &StoreRow,
    items: &BTreeMap<ItemId, ItemRow>,
    basket: &Basket,
    uses: &[CouponUse<'_>],
) -> Result<Pricing, PriceError> {
    for &coupon_id in &basket.coupon_ids {
        if !uses.iter().any(|coupon| coupon.coupon_id == coupon_id) {
            return Err(CouponRefused { coupon_id, why: Refusal::NotFound }.into());
        }
    }
    let (pricing, refused) = try_on(store, items, basket, uses)?;
    match refused.into_iter().next() {
        Some(refused) => Err(refused.into()),
        None => Ok(pricing),
    }
}

/// Prices a basket with those of `uses` that it names and that help it; says why the others do not.
pub fn try_on(
    store: &StoreRow,
    items: &BTreeMap<ItemId, ItemRow>,
    basket: &Basket,
    uses: &[CouponUse<'_>],
) -> Result<(Pricing, Vec<CouponRefused>), PriceError> {
    let (mut lines, sold) = priced_lines(store, items, basket)?;
    let subtotal_minor = money::sum(lines.iter().map(|line| line.line_minor))?;
    let delivery_fee_minor = fees(store, &basket.fulfilment, subtotal_minor)?;

    let named = |coupon: &&CouponUse<'_>| basket.coupon_ids.contains(&coupon.coupon_id);
    let uses: Vec<CouponUse<'_>> = uses.iter().filter(named).copied().collect();
    let categories: Vec<&str> = sold.iter().map(|item| item.category.as_str()).collect();
    let Applied { discounts, delivery_minor: delivery_discount_minor, refused } =
        discount::apply(&mut lines, &categories, delivery_fee_minor, &uses)?;
    let discount_minor = money::sum(discounts.iter().map(|discount| discount.amount_minor))?;

    let fee_left_minor = delivery_fee_minor - delivery_discount_minor;
    let delivery_fee_tax_minor = tax(store, &store.tax.fee_class, fee_left_minor)?;
    let classes: Vec<&str> = sold.iter().map(|item| item.tax_class.as_str()).collect();
    add_line_taxes(store, &classes, &mut lines)?;
    let line_taxes = lines.iter().map(|line| line.tax_minor);
    let tax_minor = money::sum(line_taxes.chain([delivery_fee_tax_minor]))?;
    let added_tax_minor = if store.tax.inclusive { 0 } else { tax_minor };
    let before_minor = money::sum([subtotal_minor, delivery_fee_minor])?;
    let pricing = Pricing {
        currency: store.currency,
        lines,
        subtotal_minor,
        delivery_fee_minor,
        delivery_discount_minor,
        discounts,
        discount_minor,
        delivery_fee_tax_minor,
        tax_minor,
        tax_inclusive: store.tax.inclusive,
        total_minor: money::sum([before_minor, -discount_minor, added_tax_minor])?,
    };
    Ok((pricing, refused))
}

/// The lines before discounts and tax, each with its item.
fn priced_lines<'a>(
    store: &StoreRow,
    items: &'a BTreeMap<ItemId, ItemRow>,
    basket: &Basket,
) -> Result<(Vec<PricedLine>, Vec<&'a ItemRow>), PriceError> {
    let mut lines = Vec::with_capacity(basket.lines.len());
    let mut sold = Vec::with_capacity(basket.lines.len());
    let mut modifier_errors = Vec::new();
    for (index, line) in basket.lines.iter().enumerate() {
        let item = items.get(&line.item_id).ok_or_else(|| {
            let pointer = format!("/lines/{index}/item_id");
            PriceError::Invalid(vec![FieldError::at(pointer, "the store has no such item")])
        })?;
        match options_minor(item, line, index) {
            Ok(options_minor) => {
                lines.push(priced_line(store, item, line, options_minor)?);
                sold.push(item);
            }
            Err(mut errors) => modifier_errors.append(&mut errors),
        }
    }
    if modifier_errors.is_empty() {
        Ok((lines, sold))
    } else {
        Err(PriceError::Modifiers(modifier_errors))
    }
}

fn priced_line(
    store: &StoreRow,
    item: &ItemRow,
    line: &BasketLine,
    options_minor: i64,
) -> Result<PricedLine, PriceError> {
    let unit_minor = money::sum([item.price_minor, options_minor])?;
    Ok(PricedLine {
        item_id: line.item_id,
        name: item.name.get(store.lang).to_owned(),
        quantity: line.quantity,
        options: line.options.clone(),
        base_minor: item.price_minor,
        options_minor,
        line_minor: unit_minor.checked_mul(i64::from(line.quantity)).ok_or(AmountOutOfRange)?,
        discount_minor: 0,
        tax_minor: 0,
    })
}

/// What the chosen options add to one unit, or every rule they break.
fn options_minor(item: &ItemRow, line: &BasketLine, index: usize) -> Result<i64, Vec<FieldError>> {
    let pointer = format!("/lines/{index}/options");
    let mut errors = Vec::new();
    for (position, key) in line.options.iter().enumerate() {
        let at = || format!("{pointer}/{position}");
        if line.options[..position].contains(key) {
            errors.push(FieldError::at(at(), format!("{key:?} is chosen twice")));
        }
        if !item.modifier_groups.iter().flat_map(|group| &group.options).any(|o| o.key == *key) {
            errors.push(FieldError::at(at(), format!("the item has no option {key:?}")));
        }
    }
    let mut chosen_minor = Vec::new();
    for group in &item.modifier_groups {
        let chosen: Vec<i64> = group
            .options
            .iter()
            .filter(|option| line.options.contains(&option.key))
            .map(|option| option.price_minor)
            .collect();
        let count = u32::try_from(chosen.len()).unwrap_or(u32::MAX);
        let left_out = count == 0 && !group.required;
        if !left_out && !(group.min..=group.max).contains(&count) {
            let (key, min, max) = (&group.key, group.min, group.max);
            let detail = format!("choose {min} to {max} of {key:?}, not {count}");
            errors.push(FieldError::at(pointer.clone(), detail));
        }
        chosen_minor.extend(chosen);
    }
    if !errors.is_empty() {
        return Err(errors);
    }
    money::sum(chosen_minor).map_err(|error| vec![FieldError::at(pointer, error.to_string())])
}

/// The delivery fee, once the minimum is met.
fn fees(store: &StoreRow, fulfilment: &Fulfilment, subtotal_minor: i64) -> Result<i64, PriceError> {
    if !store.fulfilment.contains(&fulfilment.kind()) {
        let detail = "the store does not offer this";
        return Err(PriceError::Invalid(vec![FieldError::at("/fulfilment/kind", detail)]));
    }
    let below = |minimum_minor| PriceError::MinimumNotMet { subtotal_minor, minimum_minor };
    match fulfilment {
        Fulfilment::Pickup if subtotal_minor < store.minimum_minor => {
            Err(below(store.minimum_minor))
        }
        Fulfilment::Pickup => Ok(0),
        Fulfilment::Delivery { location } => match zone_fee(store, *location, subtotal_minor) {
            Ok(fee_minor) => Ok(fee_minor),
            Err(Some(minimum_minor)) => Err(below(minimum_minor)),
            Err(None) => Err(PriceError::OutOfZone),
        },
    }
}

/// The lowest fee of the zones that reach the location and whose minimum is met; else the lowest minimum of those
/// that reach it, if any does.
fn zone_fee(store: &StoreRow, location: Location, subtotal_minor: i64) -> Result<i64, Option<i64>> {
    let reaching = || {
        let reaches = |zone: &&Zone| distance_m(zone.center, location) <= f64::from(zone.radius_m);
        let zones = store.zones.iter().filter(reaches);
        zones.map(|zone| (zone.minimum_minor.max(store.minimum_minor), zone.fee_minor))
    };
    let met = reaching().filter(|(minimum_minor, _)| *minimum_minor <= subtotal_minor);
    let fee_minor = met.map(|(_, fee_minor)| fee_minor).min();
    fee_minor.ok_or_else(|| reaching().map(|(minimum_minor, _)| minimum_minor).min())
}

/// Great-circle distance by the haversine formula, m.
fn distance_m(from: Location, to: Location) -> f64 {
    let (lat1, lat2) = (from.lat.to_radians(), to.lat.to_radians());
    let half_lat = (lat2 - lat1) / 2.0;
    let half_lng = (to.lng - from.lng).to_radians() / 2.0;
    let chord = half_lat.sin().powi(2) + lat1.cos() * lat2.cos() * half_lng.sin().powi(2);
    2.0 * EARTH_RADIUS_M * chord.sqrt().clamp(0.0, 1.0).asin()
}

/// The tax on an amount of one class: contained in it or to be added, as the store's prices are.
fn tax(store: &StoreRow, class: &str, amount_minor: i64) -> Result<i64, AmountOutOfRange> {
    // An import that leaves an item without its class is refused, so a missing one is a defect; to sell
    // at no tax because of it would be worse than not to sell.
    let rate_ppm = store.tax.classes.get(class).copied().map(i64::from).ok_or(AmountOutOfRange)?;
    let whole_ppm = if store.tax.inclusive { PPM + rate_ppm } else { PPM };
    money::scale(amount_minor, rate_ppm, whole_ppm)
}

fn add_line_taxes(
    store: &StoreRow,
    classes: &[&str],
    lines: &mut [PricedLine],
) -> Result<(), AmountOutOfRange> {
    let mut by_class: BTreeMap<&str, Vec<usize>> = BTreeMap::new();
    for (index, class) in classes.iter().enumerate() {
        by_class.entry(class).or_default().push(index);
    }
    for (class, indices) in by_class {
        let left = |index: &usize| lines[*index].line_minor - lines[*index].discount_minor;
        let amounts: Vec<i64> = indices.iter().map(left).collect();
        let class_tax = tax(store, class, money::sum(amounts.iter().copied())?)?;
        for (index, part) in indices.into_iter().zip(money::allocate(class_tax, &amounts)) {
            lines[index].tax_minor = part;
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests;
