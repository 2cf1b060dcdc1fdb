//! Quotes: the authoritative price of a basket, and for how long it holds.

use crate::catalog::{FulfilmentKind, Location};
use crate::id::{CouponId, CouponTemplateId, ItemId, StoreId};
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
    /// The coupons to use, each once; their order does not matter.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub coupon_ids: Vec<CouponId>,
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
    /// The whole line before discounts and before tax is added: `quantity * (base + options)`.
    pub line_minor: i64,
    /// What coupons take off this line; never more than `line_minor`.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub discount_minor: i64,
    /// The tax on this line after its discount; the lines' and fees' taxes add up to the total tax exactly.
    pub tax_minor: i64,
}

/// What one coupon takes off.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct Discount {
    /// The coupon.
    pub coupon_id: CouponId,
    /// What it was claimed from.
    pub template_id: CouponTemplateId,
    /// The category under which it stacks with others.
    pub category: String,
    /// How much it takes off, minor units; more than zero.
    pub amount_minor: i64,
}

/// What a basket costs and how that comes about:
/// `total = subtotal + delivery fee - discount`, plus the tax if prices do not include it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct Pricing {
    /// The currency of every amount.
    pub currency: Currency,
    /// The lines, in the basket's order.
    pub lines: Vec<PricedLine>,
    /// The lines together, before discounts.
    pub subtotal_minor: i64,
    /// The delivery fee, before discounts.
    pub delivery_fee_minor: i64,
    /// What coupons take off the delivery fee; never more than it.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub delivery_discount_minor: i64,
    /// What each coupon takes off, in the order in which they were applied.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub discounts: Vec<Discount>,
    /// All discounts together: those of the lines and of the delivery fee.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub discount_minor: i64,
    /// The tax on the delivery fee after its discount.
    pub delivery_fee_tax_minor: i64,
    /// All tax: contained in the prices if `tax_inclusive`, added to them if not.
    pub tax_minor: i64,
    /// Whether the prices include tax.
    pub tax_inclusive: bool,
    /// What the diner pays.
    pub total_minor: i64,
}

/// Whether an amount can be left out of a document.
#[allow(clippy::trivially_copy_pass_by_ref, reason = "the signature that serde calls")]
const fn is_zero(amount_minor: &i64) -> bool {
    *amount_minor == 0
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

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn without_coupons_a_document_is_what_it_was_before_there_were_any() {
        let line = json!({"item_id": "3", "quantity": 2, "options": []});
        let basket = json!({"store_id": "1", "fulfilment": {"kind": "pickup"}, "lines": [line]});
        let read: Basket = serde_json::from_value(basket.clone()).unwrap();
        assert_eq!(serde_json::to_value(&read).unwrap(), basket);

        let line = json!({
            "item_id": "3", "name": "Tea", "quantity": 2, "options": [], "base_minor": 100,
            "options_minor": 0, "line_minor": 200, "tax_minor": 13,
        });
        let pricing = json!({
            "currency": "EUR", "lines": [line], "subtotal_minor": 200, "delivery_fee_minor": 0,
            "delivery_fee_tax_minor": 0, "tax_minor": 13, "tax_inclusive": true, "total_minor": 200,
        });
        let read: Pricing = serde_json::from_value(pricing.clone()).unwrap();
        assert_eq!(serde_json::to_value(&read).unwrap(), pricing);
    }
}
