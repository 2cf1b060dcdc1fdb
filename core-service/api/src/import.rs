//! A merchant's import: newline-delimited JSON, one record a line, each of one [`Row`] kind.
//!
//! Records refer to each other by the merchant's own `ref`s, so a file can be written by hand and loaded
//! again: an import creates what is new and updates what has changed. A file with a bad row loads nothing.
//! Unknown fields are errors here, because a misspelt field in a menu is a dish sold at the wrong price.

/// Parts of a store that diners are shown as the merchant wrote them.
pub use crate::catalog::{DayException, DayHours, Span, Weekday, Zone};
use crate::catalog::{FulfilmentKind, Location, StrictLocation};
use crate::money::Currency;
use crate::text::{Lang, Localized};
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

/// The media type of an import.
pub const CONTENT_TYPE: &str = "application/x-ndjson";

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
    #[serde(with = "StrictLocation")]
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
    /// Units on hand when the item is new. For an item that exists it is not read: stock moves by orders
    /// alone for now, and a row that differs in nothing else is unchanged.
    pub stock: i64,
    /// Local times at which it is served; empty means whenever the store is open.
    #[serde(default)]
    pub served: Vec<Span>,
    /// What the diner chooses.
    #[serde(default)]
    pub modifier_groups: Vec<ModifierGroupRow>,
}

/// When a deal runs: an object with the fields of one of the two forms.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(untagged, try_from = "WindowFields")]
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

/// Every field that a window can have. Read through it, a window with a misspelt field or with fields of
/// both forms is refused; an untagged enum would take the first form that fits and drop the rest.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct WindowFields {
    start_ms: Option<i64>,
    end_ms: Option<i64>,
    start_after_s: Option<i64>,
    duration_s: Option<i64>,
}

impl TryFrom<WindowFields> for DealWindow {
    type Error = &'static str;

    fn try_from(fields: WindowFields) -> Result<Self, Self::Error> {
        match fields {
            WindowFields {
                start_ms: Some(start_ms),
                end_ms: Some(end_ms),
                start_after_s: None,
                duration_s: None,
            } => Ok(Self::Absolute { start_ms, end_ms }),
            WindowFields {
                start_ms: None,
                end_ms: None,
                start_after_s: Some(start_after_s),
                duration_s: Some(duration_s),
            } => Ok(Self::Relative { start_after_s, duration_s }),
            WindowFields { .. } => Err("the fields are not those of one form"),
        }
    }
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

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn a_window_has_one_form_and_keeps_it() {
        for (window, json) in [
            (
                DealWindow::Absolute { start_ms: 5, end_ms: 9 },
                json!({ "start_ms": 5, "end_ms": 9 }),
            ),
            (
                DealWindow::Relative { start_after_s: 60, duration_s: 90 },
                json!({ "start_after_s": 60, "duration_s": 90 }),
            ),
        ] {
            assert_eq!(serde_json::to_value(&window).unwrap(), json);
            assert_eq!(serde_json::from_value::<DealWindow>(json).unwrap(), window);
        }
        for json in [
            json!({}),
            json!({ "start_ms": 5 }),
            json!({ "start_ms": 5, "end_ms": 9, "duration_s": 90 }),
            json!({ "start_ms": 5, "end_ms": 9, "ends": 9 }),
            json!({ "start_ms": 5, "duration_s": 90 }),
        ] {
            assert!(serde_json::from_value::<DealWindow>(json.clone()).is_err(), "{json}");
        }
    }

    #[test]
    fn a_zone_knows_every_field_of_its_centre_and_a_basket_does_not() {
        let zone = |center| json!({ "key": "a", "center": center, "radius_m": 1, "fee_minor": 0 });
        let plain = json!({ "lat": 1.0, "lng": 2.0 });
        let read = serde_json::from_value::<Zone>(zone(plain.clone())).unwrap();
        assert_eq!(serde_json::to_value(&read).unwrap()["center"], plain);
        let more = json!({ "lat": 1.0, "lng": 2.0, "lon": 3.0 });
        assert!(serde_json::from_value::<Zone>(zone(more.clone())).is_err());
        assert_eq!(serde_json::from_value::<Location>(more).unwrap(), read.center);
    }
}
