//! The rules that a merchant's rows obey on their own: shapes, ranges, keys. What a row may refer to is
//! the business of [`super::upload`], which sees the whole file and the ledger.
//!
//! Every function here is pure and reports all faults of a row at once, each at its JSON Pointer.
//! Invariant: a row that passes can be priced and shown; nothing later has to check it again.

#![warn(clippy::wildcard_enum_match_arm)]

use super::faults::Faults;
use super::hours::{self, Schedule};
use crate::limits;
use std::collections::BTreeSet;
use tiffin_api::catalog::{FulfilmentKind, Location};
use tiffin_api::import::{CategoryRow, ItemRow, ModifierGroupRow, StoreRow, Tax, Zone};
use tiffin_api::money::{Currency, PPM};
use tiffin_api::problem::pointer_token;
use tiffin_api::text::{Lang, Localized};
use tiffin_api::written;

/// Checks a store.
pub fn check_store(row: &StoreRow) -> Faults {
    let mut faults = Faults::default();
    check_ref(&row.r#ref, "/ref", &mut faults);
    check_text(&row.name, limits::NAME_CHARS, "/name", &mut faults);
    let in_own_lang = row.name.iter().any(|(lang, _)| lang == row.lang);
    faults.require(
        in_own_lang || row.name.is_empty(),
        "/name",
        "must be there in the store's own language too",
    );
    check_written(&row.address, limits::NAME_CHARS, "/address", &mut faults);
    check_currency(row.currency, &mut faults);
    hours::check_zone_name(&row.time_zone, &mut faults);
    check_location(row.location, "/location", &mut faults);
    check_amount(row.minimum_minor, "/minimum_minor", &mut faults);
    check_fulfilment(row, &mut faults);
    check_zones(&row.zones, &mut faults);
    check_tax(&row.tax, &mut faults);
    if let Err(others) = Schedule::of_store(row) {
        faults.extend(others);
    }
    faults
}

/// The currency of something new.
pub fn check_currency(currency: Currency, faults: &mut Faults) {
    let rule = format!("{currency} is not a currency in use by ISO 4217, such as EUR");
    faults.require(currency.is_listed(), "/currency", rule);
}

/// Checks a section of a menu.
pub fn check_category(row: &CategoryRow) -> Faults {
    let mut faults = Faults::default();
    check_ref(&row.store, "/store", &mut faults);
    check_ref(&row.r#ref, "/ref", &mut faults);
    check_text(&row.name, limits::NAME_CHARS, "/name", &mut faults);
    faults
}

/// Checks an item.
pub fn check_item(row: &ItemRow) -> Faults {
    let mut faults = Faults::default();
    check_ref(&row.store, "/store", &mut faults);
    check_ref(&row.r#ref, "/ref", &mut faults);
    check_ref(&row.category, "/category", &mut faults);
    check_text(&row.name, limits::NAME_CHARS, "/name", &mut faults);
    if !row.description.is_empty() {
        let most = limits::DESCRIPTION_CHARS;
        check_text(&row.description, most, "/description", &mut faults);
    }
    check_amount(row.price_minor, "/price_minor", &mut faults);
    check_ref(&row.tax_class, "/tax_class", &mut faults);
    faults.require(
        (0..=limits::STOCK_UNITS).contains(&row.stock),
        "/stock",
        format!("must be 0 to {}", limits::STOCK_UNITS),
    );
    hours::check_spans(&row.served, "/served", &mut faults);
    check_modifiers(&row.modifier_groups, &mut faults);
    faults
}

/// A name by which rows refer to each other: part of links and of orders, so it is kept plain.
pub fn check_ref(text: &str, pointer: &str, faults: &mut Faults) {
    let plain = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'-';
    faults.require(
        (1..=limits::REF_CHARS).contains(&text.len()) && text.bytes().all(plain),
        pointer,
        format!("must be 1 to {} of a-z, 0-9 and -", limits::REF_CHARS),
    );
}

/// A text that is shown: at least one language, each fit to be shown and not too long.
pub fn check_text(text: &Localized, most_chars: usize, pointer: &str, faults: &mut Faults) {
    let languages = Lang::ALL.map(Lang::as_str).join(", ");
    let rule = format!("must be there in at least one of {languages}");
    faults.require(!text.is_empty(), pointer, rule);
    for (lang, text) in text.iter() {
        check_written(text, most_chars, &format!("{pointer}/{}", lang.as_str()), faults);
    }
}

/// A text in one language that somebody wrote.
fn check_written(text: &str, most_chars: usize, pointer: &str, faults: &mut Faults) {
    let rule = format!("must be 1 to {most_chars} characters");
    faults.require(!text.is_empty() && text.chars().count() <= most_chars, pointer, rule);
    if let Err(unfit) = written::check(text)
        && !text.is_empty()
    {
        faults.add(pointer, unfit.to_string());
    }
}

/// A price, a fee or a minimum.
pub fn check_amount(amount_minor: i64, pointer: &str, faults: &mut Faults) {
    faults.require(
        (0..=limits::PRICE_MINOR).contains(&amount_minor),
        pointer,
        format!("must be 0 to {} minor units", limits::PRICE_MINOR),
    );
}

fn check_location(location: Location, pointer: &str, faults: &mut Faults) {
    let (lat, lng) = (format!("{pointer}/lat"), format!("{pointer}/lng"));
    faults.require((-90.0..=90.0).contains(&location.lat), lat, "must be -90 to 90 degrees");
    faults.require((-180.0..=180.0).contains(&location.lng), lng, "must be -180 to 180 degrees");
}

fn check_fulfilment(row: &StoreRow, faults: &mut Faults) {
    let kinds = &row.fulfilment;
    faults.require(!kinds.is_empty(), "/fulfilment", "must name pickup, delivery or both");
    let repeated = kinds.iter().enumerate().any(|(index, kind)| kinds[..index].contains(kind));
    faults.require(!repeated, "/fulfilment", "must not name the same kind twice");
    let delivers = kinds.contains(&FulfilmentKind::Delivery);
    faults.require(
        !delivers || !row.zones.is_empty(),
        "/zones",
        "a store that delivers must have a delivery zone",
    );
}

fn check_zones(zones: &[Zone], faults: &mut Faults) {
    faults.at_most(zones.len(), limits::STORE_PARTS, "/zones");
    let mut keys = BTreeSet::new();
    for (index, zone) in zones.iter().enumerate() {
        let at = format!("/zones/{index}");
        check_key(&zone.key, &format!("{at}/key"), "store", &mut keys, faults);
        check_location(zone.center, &format!("{at}/center"), faults);
        check_amount(zone.fee_minor, &format!("{at}/fee_minor"), faults);
        check_amount(zone.minimum_minor, &format!("{at}/minimum_minor"), faults);
        faults.require(
            (1..=limits::ZONE_RADIUS_M).contains(&zone.radius_m),
            format!("{at}/radius_m"),
            format!("must be 1 to {} metres", limits::ZONE_RADIUS_M),
        );
    }
}

fn check_tax(tax: &Tax, faults: &mut Faults) {
    faults.require(!tax.classes.is_empty(), "/tax/classes", "must name at least one tax class");
    faults.at_most(tax.classes.len(), limits::STORE_PARTS, "/tax/classes");
    for (class, rate_ppm) in &tax.classes {
        let at = format!("/tax/classes/{}", pointer_token(class));
        check_ref(class, &at, faults);
        let rule = format!("must be 0 to {PPM} parts per million");
        faults.require((0..=PPM).contains(&i64::from(*rate_ppm)), at, rule);
    }
    faults.require(
        tax.classes.contains_key(&tax.fee_class),
        "/tax/fee_class",
        "must be one of the store's tax classes",
    );
}

fn check_modifiers(groups: &[ModifierGroupRow], faults: &mut Faults) {
    faults.at_most(groups.len(), limits::MODIFIERS, "/modifier_groups");
    let (mut group_keys, mut option_keys) = (BTreeSet::new(), BTreeSet::new());
    for (index, group) in groups.iter().enumerate() {
        let at = format!("/modifier_groups/{index}");
        check_key(&group.key, &format!("{at}/key"), "item", &mut group_keys, faults);
        check_text(&group.name, limits::NAME_CHARS, &format!("{at}/name"), faults);
        check_choice(group, &at, faults);
        faults.at_most(group.options.len(), limits::MODIFIERS, format!("{at}/options"));
        for (index, option) in group.options.iter().enumerate() {
            let at = format!("{at}/options/{index}");
            check_key(&option.key, &format!("{at}/key"), "item", &mut option_keys, faults);
            check_text(&option.name, limits::NAME_CHARS, &format!("{at}/name"), faults);
            check_amount(option.price_minor, &format!("{at}/price_minor"), faults);
        }
    }
    let forced = groups.iter().filter(|group| group.required).map(|group| u64::from(group.min));
    faults.require(
        forced.sum::<u64>() <= limits::LINE_OPTIONS as u64,
        "/modifier_groups",
        format!("must not require more than {} options in all", limits::LINE_OPTIONS),
    );
}

/// `required → min ≥ 1`, `min ≤ max`, `1 ≤ max ≤ number of options`.
fn check_choice(group: &ModifierGroupRow, at: &str, faults: &mut Faults) {
    faults.require(
        !group.required || group.min >= 1,
        format!("{at}/min"),
        "a required group must ask for at least 1",
    );
    faults.require(group.min <= group.max, format!("{at}/min"), "must not be above max");
    faults.require(
        group.max >= 1 && group.max as usize <= group.options.len(),
        format!("{at}/max"),
        "must be 1 to the number of options",
    );
}

/// A key like a `ref`, not used before in its `scope`.
fn check_key<'a>(
    key: &'a str,
    pointer: &str,
    scope: &str,
    seen: &mut BTreeSet<&'a str>,
    faults: &mut Faults,
) {
    check_ref(key, pointer, faults);
    faults.require(seen.insert(key), pointer, format!("{key:?} stands twice in this {scope}"));
}

#[cfg(test)]
mod tests;
