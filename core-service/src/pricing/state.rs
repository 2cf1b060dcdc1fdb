//! The price of a basket, as a pure function of the store's definition.
//!
//! Order of the price: base + modifiers → fees → tax. Tax is computed per tax class on the sum of its
//! lines and then split over them by largest remainder, so lines and totals add up exactly.

#![warn(clippy::wildcard_enum_match_arm)]

use crate::limits;
use std::collections::BTreeMap;
use tiffin_api::catalog::Location;
use tiffin_api::id::ItemId;
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

/// Prices a basket whose shape has been checked. `items` holds the store's items among its lines.
pub fn price(
    store: &StoreRow,
    items: &BTreeMap<ItemId, ItemRow>,
    basket: &Basket,
) -> Result<Pricing, PriceError> {
    let mut lines = Vec::with_capacity(basket.lines.len());
    let mut classes = Vec::with_capacity(basket.lines.len());
    let mut modifier_errors = Vec::new();
    for (index, line) in basket.lines.iter().enumerate() {
        let item = items.get(&line.item_id).ok_or_else(|| {
            let pointer = format!("/lines/{index}/item_id");
            PriceError::Invalid(vec![FieldError::at(pointer, "the store has no such item")])
        })?;
        match options_minor(item, line, index) {
            Ok(options_minor) => {
                lines.push(priced_line(store, item, line, options_minor)?);
                classes.push(item.tax_class.as_str());
            }
            Err(mut errors) => modifier_errors.append(&mut errors),
        }
    }
    if !modifier_errors.is_empty() {
        return Err(PriceError::Modifiers(modifier_errors));
    }

    let subtotal_minor = money::sum(lines.iter().map(|line| line.line_minor))?;
    let delivery_fee_minor = fees(store, &basket.fulfilment, subtotal_minor)?;
    let delivery_fee_tax_minor = tax(store, &store.tax.fee_class, delivery_fee_minor)?;
    add_line_taxes(store, &classes, &mut lines)?;
    let line_taxes = lines.iter().map(|line| line.tax_minor);
    let tax_minor = money::sum(line_taxes.chain([delivery_fee_tax_minor]))?;
    let added_tax_minor = if store.tax.inclusive { 0 } else { tax_minor };
    Ok(Pricing {
        currency: store.currency,
        subtotal_minor,
        delivery_fee_minor,
        delivery_fee_tax_minor,
        tax_minor,
        tax_inclusive: store.tax.inclusive,
        total_minor: money::sum([subtotal_minor, delivery_fee_minor, added_tax_minor])?,
        lines,
    })
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
    let zone = match fulfilment {
        Fulfilment::Pickup => None,
        Fulfilment::Delivery { location } => {
            Some(cheapest_zone(store, *location).ok_or(PriceError::OutOfZone)?)
        }
    };
    let minimum_minor = zone.map_or(0, |zone| zone.minimum_minor).max(store.minimum_minor);
    if subtotal_minor < minimum_minor {
        return Err(PriceError::MinimumNotMet { subtotal_minor, minimum_minor });
    }
    Ok(zone.map_or(0, |zone| zone.fee_minor))
}

fn cheapest_zone(store: &StoreRow, location: Location) -> Option<&Zone> {
    store
        .zones
        .iter()
        .filter(|zone| distance_m(zone.center, location) <= f64::from(zone.radius_m))
        .min_by_key(|zone| (zone.fee_minor, zone.minimum_minor))
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
        let amounts: Vec<i64> = indices.iter().map(|index| lines[*index].line_minor).collect();
        let class_tax = tax(store, class, money::sum(amounts.iter().copied())?)?;
        for (index, part) in indices.into_iter().zip(money::allocate(class_tax, &amounts)) {
            lines[index].tax_minor = part;
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests;
