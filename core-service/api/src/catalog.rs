//! What a diner reads: stores and menus, in one language, as they stand at one moment.
//!
//! Hours and delivery zones are shown as the merchant wrote them, so [`crate::import`] takes their types
//! from here; they refuse unknown fields for its sake.

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

/// A [`Location`] in a merchant's row, where unknown fields are errors as everywhere in the row; in what
/// diners send they are ignored.
#[derive(Serialize, Deserialize)]
#[serde(remote = "Location", deny_unknown_fields)]
pub(crate) struct StrictLocation {
    lat: f64,
    lng: f64,
}

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

/// A disc in which a store delivers. Where discs overlap, the cheapest fee holds whose minimum is met; if none is, the
/// lowest minimum is what the basket has to come to.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(deny_unknown_fields)]
pub struct Zone {
    /// Its key, unique within the store.
    pub key: String,
    /// Its centre.
    #[serde(with = "StrictLocation")]
    pub center: Location,
    /// Its radius, metres.
    pub radius_m: u32,
    /// What delivery there costs, minor units.
    pub fee_minor: i64,
    /// The least an order there must come to before fees and tax, minor units.
    #[serde(default)]
    pub minimum_minor: i64,
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
    pub hours: Vec<DayHours>,
    /// Days on which the weekly hours do not hold.
    pub exceptions: Vec<DayException>,
    /// Where it delivers.
    pub zones: Vec<Zone>,
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
