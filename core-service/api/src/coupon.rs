//! Coupons: the terms that a template sets, what a diner claims from it, and how a basket is tried with
//! them.
//!
//! A template belongs to one store or holds at every store of its currency. Its terms never change once it
//! exists, so a coupon is worth tomorrow what it was worth when it was claimed. Terms refuse unknown
//! fields: a misspelt cap is a budget gone.

use crate::ErrorCode;
use crate::id::{CouponId, CouponTemplateId, ItemId, OrderId, StoreId};
use crate::money::Currency;
use crate::quote::Quote;
use crate::text::Localized;
use serde::{Deserialize, Serialize};

/// What a coupon takes off.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(tag = "kind", rename_all = "snake_case", deny_unknown_fields)]
pub enum Benefit {
    /// An amount off the lines in scope.
    Fixed {
        /// How much, minor units.
        amount_minor: i64,
    },
    /// A part of the lines in scope.
    Percent {
        /// The part, parts per million.
        rate_ppm: u32,
        /// The most it takes off one order, minor units.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        cap_minor: Option<i64>,
    },
    /// The delivery fee.
    FreeDelivery {
        /// The most it takes off the fee, minor units.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        cap_minor: Option<i64>,
    },
    /// For every `buy` units of an item, up to `get` more are free, options included. The cheapest units
    /// are the free ones.
    BuyXGetY {
        /// The item.
        item_id: ItemId,
        /// Units to pay for.
        buy: u32,
        /// Units that are free with them.
        get: u32,
        /// The most free units in one order.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        most_free: Option<u32>,
    },
    /// Something off single units of an item, the dearest units first.
    Item {
        /// The item.
        item_id: ItemId,
        /// How much off each of them.
        off: ItemOff,
        /// The most units of one order that it is for.
        #[serde(default = "one")]
        most_units: u32,
    },
}

const fn one() -> u32 {
    1
}

/// What comes off one unit of an item: an object with one of the two fields.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub enum ItemOff {
    /// An amount, minor units; at most the price of the unit.
    #[serde(rename = "amount_minor")]
    Amount(i64),
    /// A part of the unit's price, parts per million.
    #[serde(rename = "rate_ppm")]
    Rate(u32),
}

/// A span of time, `[start_ms, end_ms)`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(deny_unknown_fields)]
pub struct ClaimWindow {
    /// First instant in it.
    pub start_ms: i64,
    /// First instant after it.
    pub end_ms: i64,
}

/// When a claimed coupon may be used.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(tag = "kind", rename_all = "snake_case", deny_unknown_fields)]
pub enum Validity {
    /// At a fixed time, `[start_ms, end_ms)`, whenever it was claimed.
    Absolute {
        /// First instant at which it may be used; absent: from its claim on.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        start_ms: Option<i64>,
        /// First instant at which it may be used no longer.
        end_ms: i64,
    },
    /// For a while after its claim.
    Relative {
        /// How long, ms.
        valid_for_ms: i64,
    },
}

/// Which lines of a basket a coupon counts and takes from.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(tag = "kind", rename_all = "snake_case", deny_unknown_fields)]
pub enum Scope {
    /// All of them.
    #[default]
    All,
    /// Those of these items, and those of items in these sections of the store's menu.
    Listed {
        /// Items.
        #[serde(default)]
        item_ids: Vec<ItemId>,
        /// Keys of sections.
        #[serde(default)]
        categories: Vec<String>,
    },
}

/// How much of it there is; absent means without limit. Days are those of UTC.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(deny_unknown_fields)]
pub struct Caps {
    /// Claims in all.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub total: Option<i64>,
    /// Claims of one diner.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub per_user: Option<i64>,
    /// Claims of one diner in one day.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub per_user_per_day: Option<i64>,
    /// Claims in one day.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub per_day: Option<i64>,
    /// What the coupons may take off altogether, minor units.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub budget_minor: Option<i64>,
}

impl Caps {
    /// Whether there is no cap at all.
    pub fn is_none(&self) -> bool {
        *self == Self::default()
    }
}

/// With which other coupons it may be used: any of other categories, and so many of its own.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(deny_unknown_fields)]
pub struct Stacking {
    /// Its category, a word of the issuer's.
    pub category: String,
    /// How many coupons of the category one order may use, this one included. Where templates of one
    /// category disagree, the smallest number holds.
    #[serde(default = "one")]
    pub per_order: u32,
}

/// The terms of a template, and the body of `POST /v1/admin/coupon-templates`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(deny_unknown_fields)]
pub struct CouponTerms {
    /// The issuer's own name for it, unique among templates.
    pub r#ref: String,
    /// The only store it holds at; absent: every store of its currency.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub store_id: Option<StoreId>,
    /// Its name, as diners see it.
    pub name: Localized,
    /// The currency of every amount in the terms; an order in another one cannot use it.
    pub currency: Currency,
    /// What it takes off.
    pub benefit: Benefit,
    /// When it can be claimed.
    pub claim_window: ClaimWindow,
    /// When a claimed one may be used.
    pub validity: Validity,
    /// The least that the lines in scope must come to before discounts, minor units.
    #[serde(default)]
    pub minimum_spend_minor: i64,
    /// Which lines it counts and takes from.
    #[serde(default)]
    pub scope: Scope,
    /// Whether it is for a diner's first order only.
    #[serde(default)]
    pub first_order: bool,
    /// How much of it there is.
    #[serde(default, skip_serializing_if = "Caps::is_none")]
    pub caps: Caps,
    /// With which others it may be used.
    pub stacking: Stacking,
}

/// A template: what coupons are claimed from.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct CouponTemplate {
    /// Its id.
    pub id: CouponTemplateId,
    /// Its terms. Where diners read them, caps that concern the house alone are left out.
    #[serde(flatten)]
    pub terms: CouponTerms,
    /// When it was made.
    pub created_at_ms: i64,
    /// Grows with every change.
    pub version: i64,
}

/// A page of templates whose coupons can be claimed now or later, by id.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct CouponTemplateList {
    /// The templates.
    pub templates: Vec<CouponTemplate>,
    /// Pass it as `cursor` for the next page; absent on the last one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub next_cursor: Option<String>,
}

/// Where a coupon stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(rename_all = "SCREAMING_SNAKE_CASE")]
pub enum CouponState {
    /// Nobody has it yet.
    Unclaimed,
    /// Its diner may use it.
    Claimed,
    /// An unpaid order holds it.
    Locked,
    /// An order that was paid used it up. It comes back only if that order comes to nothing.
    Used,
    /// Its time ran out unused.
    Expired,
    /// It was withdrawn.
    Voided,
}

/// A coupon.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct Coupon {
    /// Its id.
    pub id: CouponId,
    /// What it was claimed from.
    pub template_id: CouponTemplateId,
    /// Where it stands.
    pub state: CouponState,
    /// The order that holds it or used it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub order_id: Option<OrderId>,
    /// What it takes off that order, minor units of the template's currency; 0 without one.
    pub discount_minor: i64,
    /// When it was claimed.
    pub claimed_at_ms: i64,
    /// First instant at which it may be used.
    pub valid_from_ms: i64,
    /// First instant at which it may be used no longer. An order that held it in time may still be paid. It moves if
    /// the coupon comes back from an order that had been paid: there is a day at least to use it then.
    pub expires_at_ms: i64,
    /// Grows by one with every change.
    pub version: i64,
}

/// A page of one's own coupons, the newest first.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct CouponList {
    /// The coupons.
    pub coupons: Vec<Coupon>,
    /// Pass it as `cursor` for the next page; absent on the last one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub next_cursor: Option<String>,
}

/// The body of `POST /v1/coupons/{id}/redemptions`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct RedeemCoupon {
    /// One's own unpaid order, which is to use the coupon.
    pub order_id: OrderId,
}

/// What would become of one coupon.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct CouponVerdict {
    /// The coupon.
    pub coupon_id: CouponId,
    /// Whether it takes something off this basket.
    pub applies: bool,
    /// If not, why: the code with which an order would be refused.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub code: Option<ErrorCode>,
    /// If not, what happened and what to do next.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub detail: String,
}

/// The answer of `POST /v1/coupons/validate`, whose body is a [`crate::quote::Basket`]. Nothing is held.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct CouponValidation {
    /// One for each coupon of the basket, in its order.
    pub coupons: Vec<CouponVerdict>,
    /// The price with the coupons that apply. Its id names the basket with these coupons alone.
    #[serde(flatten)]
    pub quote: Quote,
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::{Value, json};

    fn terms(benefit: &Value) -> Value {
        json!({
            "ref": "autumn", "name": {"en": "Autumn"}, "currency": "EUR", "benefit": benefit,
            "claim_window": {"start_ms": 1, "end_ms": 9},
            "validity": {"kind": "relative", "valid_for_ms": 5},
            "stacking": {"category": "shop"},
        })
    }

    #[test]
    fn every_benefit_reads_back_and_a_template_is_its_terms_and_more() {
        for benefit in [
            json!({"kind": "fixed", "amount_minor": 500}),
            json!({"kind": "percent", "rate_ppm": 100_000, "cap_minor": 300}),
            json!({"kind": "free_delivery"}),
            json!({"kind": "buy_x_get_y", "item_id": "7", "buy": 2, "get": 1}),
            json!({"kind": "item", "item_id": "7", "off": {"rate_ppm": 500_000}, "most_units": 1}),
            json!({"kind": "item", "item_id": "7", "off": {"amount_minor": 50}, "most_units": 3}),
        ] {
            let read: CouponTerms = serde_json::from_value(terms(&benefit)).unwrap();
            assert_eq!(serde_json::to_value(&read.benefit).unwrap(), benefit);
            let template = CouponTemplate {
                id: CouponTemplateId::from_raw(3),
                terms: read,
                created_at_ms: 4,
                version: 1,
            };
            let wire = serde_json::to_string(&template).unwrap();
            assert_eq!(serde_json::from_str::<CouponTemplate>(&wire).unwrap(), template);
        }
    }

    #[test]
    fn misspelt_terms_are_refused() {
        for benefit in [
            json!({"kind": "percent", "rate_ppm": 100_000, "cap": 300}),
            json!({"kind": "item", "item_id": "7", "off": {"rate_ppm": 5, "amount_minor": 50}}),
            json!({"kind": "item", "item_id": "7", "off": {}}),
            json!({"kind": "fixed", "amount_minor": 1.5}),
            json!({"amount_minor": 5}),
        ] {
            assert!(serde_json::from_value::<CouponTerms>(terms(&benefit)).is_err(), "{benefit}");
        }
        let mut misspelt = terms(&json!({"kind": "free_delivery"}));
        misspelt["caps"] = json!({"totel": 5});
        assert!(serde_json::from_value::<CouponTerms>(misspelt).is_err());
    }
}
