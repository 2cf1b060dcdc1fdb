//! A merchant's import: newline-delimited JSON, one record a line, each of one [`Row`] kind.
//!
//! Records refer to each other by the merchant's own `ref`s, so a file can be written by hand and loaded
//! again: an import creates what is new and updates what has changed. A file with a bad row loads nothing.
//! Unknown fields are errors here, because a misspelt field in a menu is a dish sold at the wrong price.

use crate::catalog::{FulfilmentKind, Location};
use crate::money::Currency;
use crate::text::{Lang, Localized};
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

/// The media type of an import.
pub const CONTENT_TYPE: &str = "application/x-ndjson";

/// A day of the week.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(rename_all = "lowercase")]
pub enum Weekday {
    /// Monday.
    Mon,
    /// Tuesday.
    Tue,
    /// Wednesday.
    Wed,
    /// Thursday.
    Thu,
    /// Friday.
    Fri,
    /// Saturday.
    Sat,
    /// Sunday.
    Sun,
}

/// A span of local time, `HH:MM` to `HH:MM`. `to` may be `24:00`; a `to` at or before `from` lies on the
/// next day, as a bar's hours do.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(deny_unknown_fields)]
pub struct Span {
    /// First minute of the span.
    pub from: String,
    /// First minute after the span.
    pub to: String,
}

/// Opening hours that hold on some days of every week.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(deny_unknown_fields)]
pub struct DayHours {
    /// The days.
    pub days: Vec<Weekday>,
    /// First minute.
    pub from: String,
    /// First minute after.
    pub to: String,
}

/// A date on which other hours hold; no spans means closed all day.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(deny_unknown_fields)]
pub struct DayException {
    /// The date in the store's time zone, `YYYY-MM-DD`.
    pub date: String,
    /// The hours of that date.
    #[serde(default)]
    pub hours: Vec<Span>,
}

/// A disc in which a store delivers. Where discs overlap, the cheapest fee holds.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(deny_unknown_fields)]
pub struct Zone {
    /// Its key, unique within the store.
    pub key: String,
    /// Its centre.
    pub center: Location,
    /// Its radius, metres.
    pub radius_m: u32,
    /// What delivery there costs, minor units.
    pub fee_minor: i64,
    /// The least an order there must come to before fees and tax, minor units.
    #[serde(default)]
    pub minimum_minor: i64,
}

/// How a store's sales are taxed.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(deny_unknown_fields)]
pub struct Tax {
    /// Whether prices include tax.
    pub inclusive: bool,
    /// The rate of each tax class, parts per million.
    pub classes: BTreeMap<String, u32>,
    /// The class of delivery fees.
    pub fee_class: String,
}

/// A store.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(deny_unknown_fields)]
pub struct StoreRow {
    /// The merchant's own name for it, unique among stores.
    pub r#ref: String,
    /// Its name.
    pub name: Localized,
    /// The language to fall back to.
    pub lang: Lang,
    /// The currency of its prices.
    pub currency: Currency,
    /// Its IANA time zone.
    pub time_zone: String,
    /// Its street address.
    pub address: String,
    /// Where it is.
    pub location: Location,
    /// How its orders reach diners.
    pub fulfilment: Vec<FulfilmentKind>,
    /// The least an order must come to before fees and tax, minor units.
    #[serde(default)]
    pub minimum_minor: i64,
    /// Its weekly hours.
    pub hours: Vec<DayHours>,
    /// Days on which the weekly hours do not hold.
    #[serde(default)]
    pub exceptions: Vec<DayException>,
    /// Where it delivers.
    #[serde(default)]
    pub zones: Vec<Zone>,
    /// How its sales are taxed.
    pub tax: Tax,
}

/// A section of a store's menu.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(deny_unknown_fields)]
pub struct CategoryRow {
    /// The store's `ref`.
    pub store: String,
    /// Its key, unique within the store.
    pub r#ref: String,
    /// Its name.
    pub name: Localized,
}

/// One choice in a modifier group.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(deny_unknown_fields)]
pub struct OptionRow {
    /// Its key, unique within the item.
    pub key: String,
    /// Its name.
    pub name: Localized,
    /// What it adds to the price of one unit, minor units; never negative.
    #[serde(default)]
    pub price_minor: i64,
}

/// A question the diner answers about an item.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(deny_unknown_fields)]
pub struct ModifierGroupRow {
    /// Its key, unique within the item.
    pub key: String,
    /// Its name.
    pub name: Localized,
    /// Whether it must be answered: if so, `min` holds; if not, no choice at all is fine too.
    pub required: bool,
    /// The least number of options to choose.
    pub min: u32,
    /// The greatest number of options to choose.
    pub max: u32,
    /// The choices.
    pub options: Vec<OptionRow>,
}

/// An item.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(deny_unknown_fields)]
pub struct ItemRow {
    /// The store's `ref`.
    pub store: String,
    /// Its key, unique within the store.
    pub r#ref: String,
    /// The category's `ref`.
    pub category: String,
    /// Its name.
    pub name: Localized,
    /// What it is.
    #[serde(default)]
    pub description: Localized,
    /// The price of one unit without options, minor units.
    pub price_minor: i64,
    /// Its tax class, one of the store's.
    pub tax_class: String,
    /// Units on hand when the item is new. An item that exists keeps its count: stock moves by orders.
    pub stock: i64,
    /// Local times at which it is served; empty means whenever the store is open.
    #[serde(default)]
    pub served: Vec<Span>,
    /// What the diner chooses.
    #[serde(default)]
    pub modifier_groups: Vec<ModifierGroupRow>,
}

/// When a deal runs.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(untagged)]
pub enum DealWindow {
    /// At a fixed time, `[start_ms, end_ms)`.
    Absolute {
        /// First instant at which it runs.
        start_ms: i64,
        /// First instant at which it no longer runs.
        end_ms: i64,
    },
    /// Counted from the import, for demonstrations. Loaded again, a deal that has not ended keeps its
    /// schedule, and one that has ended gets a new one.
    Relative {
        /// From the import to the start, seconds.
        start_after_s: i64,
        /// From the start to the end, seconds.
        duration_s: i64,
    },
}

/// A deal.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(deny_unknown_fields)]
pub struct DealRow {
    /// The store's `ref`.
    pub store: String,
    /// Its key, unique within the store.
    pub r#ref: String,
    /// The item's `ref`.
    pub item: String,
    /// Its title.
    pub title: Localized,
    /// The price of one unit during the deal, minor units.
    pub price_minor: i64,
    /// When it runs.
    pub window: DealWindow,
}

/// A line of an import.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(tag = "kind", rename_all = "lowercase")]
pub enum Row {
    /// A store.
    Store(Box<StoreRow>),
    /// A section of a menu.
    Category(CategoryRow),
    /// An item.
    Item(Box<ItemRow>),
    /// A deal.
    Deal(DealRow),
}

/// What an import did to one kind of record.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct ImportCounts {
    /// New records.
    pub created: u64,
    /// Records that differed.
    pub updated: u64,
    /// Records that were already so.
    pub unchanged: u64,
}

/// What an import did.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct ImportReport {
    /// Stores.
    pub stores: ImportCounts,
    /// Categories.
    pub categories: ImportCounts,
    /// Items.
    pub items: ImportCounts,
    /// Deals.
    pub deals: ImportCounts,
}
