//! What a diner reads: stores and menus, in one language, as they stand at one moment.

use crate::id::{ItemId, StoreId};
use crate::money::Currency;
use crate::text::Lang;
use serde::{Deserialize, Serialize};

/// How an order reaches the diner.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(rename_all = "lowercase")]
pub enum FulfilmentKind {
    /// The diner fetches it.
    Pickup,
    /// A courier brings it.
    Delivery,
}

/// A point on Earth, WGS 84 degrees.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct Location {
    /// Latitude, -90 to 90.
    pub lat: f64,
    /// Longitude, -180 to 180.
    pub lng: f64,
}

/// A store in a list.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct StoreSummary {
    /// Its id.
    pub id: StoreId,
    /// Its name in the language asked for.
    pub name: String,
    /// The currency of its prices.
    pub currency: Currency,
    /// Its IANA time zone.
    pub time_zone: String,
    /// Whether it takes orders at the moment asked for.
    pub open: bool,
    /// When `open` next changes, if it ever does within the hours known.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub changes_at_ms: Option<i64>,
    /// How its orders reach diners.
    pub fulfilment: Vec<FulfilmentKind>,
    /// Grows with every edit of the store or its menu.
    pub version: i64,
}

/// A page of stores, by id.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct StoreList {
    /// The stores.
    pub stores: Vec<StoreSummary>,
    /// The language of the names.
    pub lang: Lang,
    /// Pass it as `cursor` for the next page; absent on the last one.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub next_cursor: Option<String>,
    /// This answer holds at most until then: some store opens or closes.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub valid_until_ms: Option<i64>,
}

/// A store in full.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct Store {
    /// What a list shows of it.
    #[serde(flatten)]
    pub summary: StoreSummary,
    /// The language of the texts.
    pub lang: Lang,
    /// Its street address.
    pub address: String,
    /// Where it is.
    pub location: Location,
    /// The least an order must come to before fees and tax, minor units.
    pub minimum_minor: i64,
    /// Whether its prices include tax.
    pub tax_inclusive: bool,
    /// Its weekly hours, local time.
    pub hours: Vec<crate::import::DayHours>,
    /// Days on which the weekly hours do not hold.
    pub exceptions: Vec<crate::import::DayException>,
    /// Where it delivers.
    pub zones: Vec<crate::import::Zone>,
}

/// Why an item cannot be ordered at the moment asked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(rename_all = "SCREAMING_SNAKE_CASE")]
pub enum Unavailable {
    /// The store is closed.
    StoreClosed,
    /// It is served at other times of the day.
    NotServedNow,
    /// Nothing is left.
    SoldOut,
}

/// One choice in a modifier group.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct ModifierOption {
    /// Its key, unique within the item; an order names it by this.
    pub key: String,
    /// Its name.
    pub name: String,
    /// What it adds to the price of one unit, minor units; never negative.
    pub price_minor: i64,
}

/// A question the diner answers about an item: its size, its toppings.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct ModifierGroup {
    /// Its key, unique within the item.
    pub key: String,
    /// Its name.
    pub name: String,
    /// Whether it must be answered: if so, `min` holds; if not, no choice at all is fine too.
    pub required: bool,
    /// The least number of options to choose.
    pub min: u32,
    /// The greatest number of options to choose.
    pub max: u32,
    /// The choices.
    pub options: Vec<ModifierOption>,
}

/// An item of a menu.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct MenuItem {
    /// Its id.
    pub id: ItemId,
    /// Its name.
    pub name: String,
    /// What it is.
    pub description: String,
    /// The price of one unit without options, minor units.
    pub price_minor: i64,
    /// Whether it can be ordered at the moment asked for.
    pub available: bool,
    /// If not, why.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub unavailable: Option<Unavailable>,
    /// What the diner chooses.
    pub modifier_groups: Vec<ModifierGroup>,
}

/// A section of a menu.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct MenuCategory {
    /// Its key, unique within the store.
    pub key: String,
    /// Its name.
    pub name: String,
    /// Its items, in the merchant's order.
    pub items: Vec<MenuItem>,
}

/// A store's menu in one language at one moment.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct Menu {
    /// The store.
    pub store_id: StoreId,
    /// The language of the texts.
    pub lang: Lang,
    /// The currency of the prices.
    pub currency: Currency,
    /// Whether the store takes orders at that moment.
    pub open: bool,
    /// The answer holds at most until then: the store or an item opens or closes.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub valid_until_ms: Option<i64>,
    /// Grows with every edit of the store or its menu.
    pub version: i64,
    /// Its sections, in the merchant's order.
    pub categories: Vec<MenuCategory>,
}
