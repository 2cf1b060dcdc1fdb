//! Templates and coupons for tests to start from.

use super::state::{Status, StoredCoupon};
use serde_json::{Value, json};
use tiffin_api::coupon::CouponTemplate;
use tiffin_api::id::{CouponId, CouponTemplateId, UserId};

/// A template of 5.00 EUR off anything, with some of its terms changed.
pub fn template(id: i64, changes: &Value) -> CouponTemplate {
    let mut terms = json!({
        "ref": format!("t{id}"), "name": {"en": "Five off"}, "currency": "EUR",
        "benefit": {"kind": "fixed", "amount_minor": 500},
        "claim_window": {"start_ms": 0, "end_ms": 1_000_000},
        "validity": {"kind": "absolute", "end_ms": 2_000_000},
        "stacking": {"category": "shop"},
    });
    for (name, value) in changes.as_object().expect("an object of changes") {
        terms[name] = value.clone();
    }
    let terms = serde_json::from_value(terms).expect("sound terms");
    CouponTemplate { id: CouponTemplateId::from_raw(id), terms, created_at_ms: 0, version: 1 }
}

/// A claimed coupon of a template, good from 0 to 2 000 000 ms.
pub fn coupon(id: i64, template_id: CouponTemplateId, user_id: UserId) -> StoredCoupon {
    StoredCoupon {
        id: CouponId::from_raw(id),
        template_id,
        user_id,
        status: Status::Claimed,
        discount_minor: 0,
        claimed_at_ms: 0,
        valid_from_ms: 0,
        expires_at_ms: 2_000_000,
        updated_at_ms: 0,
        version: 1,
    }
}
