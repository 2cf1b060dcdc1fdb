//! Quotes: the authoritative price of a basket, and for how long it holds.

use crate::catalog::{FulfilmentKind, Location};
use crate::id::{ItemId, StoreId};
use crate::money::Currency;
use serde::{Deserialize, Serialize};

/// How and where the order is to reach the diner.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(tag = "kind", rename_all = "lowercase")]
pub enum Fulfilment {
    /// The diner fetches it.
    Pickup,
    /// A courier brings it.
    Delivery {
        /// Where to.
        location: Location,
    },
}

impl Fulfilment {
    /// Its kind.
    pub const fn kind(&self) -> FulfilmentKind {
        match self {
            Self::Pickup => FulfilmentKind::Pickup,
            Self::Delivery { .. } => FulfilmentKind::Delivery,
        }
    }
}

/// One line of a basket. Prices a client may send along are ignored.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct BasketLine {
    /// The item.
    pub item_id: ItemId,
    /// How many.
    pub quantity: u32,
    /// Keys of the chosen modifier options.
    #[serde(default)]
    pub options: Vec<String>,
}

/// What a diner wants, without a price.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct Basket {
    /// The store.
    pub store_id: StoreId,
    /// How it is to reach the diner.
    pub fulfilment: Fulfilment,
    /// What, and how much of it.
    pub lines: Vec<BasketLine>,
}

/// A priced line.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct PricedLine {
    /// The item.
    pub item_id: ItemId,
    /// Its name in the store's own language when it was priced.
    pub name: String,
    /// How many.
    pub quantity: u32,
    /// Keys of the chosen options.
    pub options: Vec<String>,
    /// One unit without options, minor units.
    pub base_minor: i64,
    /// The options of one unit, minor units.
    pub options_minor: i64,
    /// The whole line before tax is added: `quantity * (base + options)`.
    pub line_minor: i64,
    /// The tax on this line; the lines' and fees' taxes add up to the total tax exactly.
    pub tax_minor: i64,
}

/// What a basket costs and how that comes about.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct Pricing {
    /// The currency of every amount.
    pub currency: Currency,
    /// The lines, in the basket's order.
    pub lines: Vec<PricedLine>,
    /// The lines together.
    pub subtotal_minor: i64,
    /// The delivery fee.
    pub delivery_fee_minor: i64,
    /// The tax on the delivery fee.
    pub delivery_fee_tax_minor: i64,
    /// All tax: contained in the prices if `tax_inclusive`, added to them if not.
    pub tax_minor: i64,
    /// Whether the prices include tax.
    pub tax_inclusive: bool,
    /// What the diner pays.
    pub total_minor: i64,
}

/// The answer of `POST /v1/quotes`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct Quote {
    /// Names this price in an order; opaque.
    pub quote_id: String,
    /// Until then an order may name it.
    pub expires_at_ms: i64,
    /// The price.
    #[serde(flatten)]
    pub pricing: Pricing,
}
