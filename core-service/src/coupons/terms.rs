//! The rules that a template's terms obey: shapes, ranges, and what goes together. Whether its store exists
//! and has its items is asked of the ledger where a template is made.
//!
//! Pure. All faults are reported at once, each at its JSON Pointer. Invariant: terms that pass can be
//! claimed and priced; nothing later has to check them again.

#![warn(clippy::wildcard_enum_match_arm)]

use crate::catalog::faults::Faults;
use crate::catalog::state::{check_currency, check_ref, check_text};
use crate::limits;
use tiffin_api::coupon::{Benefit, Caps, CouponTerms, ItemOff, Scope, Validity};
use tiffin_api::id::ItemId;
use tiffin_api::money::PPM;

/// Checks the terms of a new template.
pub fn check(terms: &CouponTerms) -> Faults {
    let mut faults = Faults::default();
    check_ref(&terms.r#ref, "/ref", &mut faults);
    check_text(&terms.name, limits::NAME_CHARS, "/name", &mut faults);
    check_currency(terms.currency, &mut faults);
    check_benefit(&terms.benefit, &mut faults);
    check_times(terms, &mut faults);
    within(
        terms.minimum_spend_minor,
        0,
        limits::PRICE_MINOR,
        "/minimum_spend_minor",
        "minor units",
        &mut faults,
    );
    check_scope(&terms.scope, &mut faults);
    check_caps(&terms.caps, &mut faults);
    check_ref(&terms.stacking.category, "/stacking/category", &mut faults);
    let most = i64::try_from(limits::COUPONS_PER_ORDER).unwrap_or(i64::MAX);
    within(
        i64::from(terms.stacking.per_order),
        1,
        most,
        "/stacking/per_order",
        "coupons",
        &mut faults,
    );
    faults.require(
        terms.store_id.is_some() || !names_parts_of_a_store(terms),
        "/store_id",
        "must name the store whose items or sections the terms name",
    );
    faults
}

/// The items that the terms name, each with its JSON Pointer: the store must have them.
pub fn items(terms: &CouponTerms) -> Vec<(String, ItemId)> {
    let listed = match &terms.scope {
        Scope::All => &[][..],
        Scope::Listed { item_ids, .. } => item_ids,
    };
    let own = match &terms.benefit {
        Benefit::BuyXGetY { item_id, .. } | Benefit::Item { item_id, .. } => Some(*item_id),
        Benefit::Fixed { .. } | Benefit::Percent { .. } | Benefit::FreeDelivery { .. } => None,
    };
    let listed = listed.iter().enumerate();
    let listed = listed.map(|(index, item_id)| (format!("/scope/item_ids/{index}"), *item_id));
    own.map(|item_id| ("/benefit/item_id".to_owned(), item_id)).into_iter().chain(listed).collect()
}

fn names_parts_of_a_store(terms: &CouponTerms) -> bool {
    !items(terms).is_empty() || matches!(terms.scope, Scope::Listed { .. })
}

fn within(value: i64, least: i64, most: i64, pointer: &str, unit: &str, faults: &mut Faults) {
    let rule = format!("must be {least} to {most} {unit}");
    faults.require((least..=most).contains(&value), pointer, rule);
}

fn check_benefit(benefit: &Benefit, faults: &mut Faults) {
    let amount = |value, pointer, faults: &mut Faults| {
        within(value, 1, limits::PRICE_MINOR, pointer, "minor units", faults);
    };
    let rate = |rate_ppm: u32, pointer, faults: &mut Faults| {
        within(i64::from(rate_ppm), 1, PPM, pointer, "parts per million", faults);
    };
    let units = |units: u32, pointer, faults: &mut Faults| {
        within(i64::from(units), 1, i64::from(limits::LINE_QUANTITY), pointer, "units", faults);
    };
    match benefit {
        Benefit::Fixed { amount_minor } => amount(*amount_minor, "/benefit/amount_minor", faults),
        Benefit::Percent { rate_ppm, cap_minor } => {
            rate(*rate_ppm, "/benefit/rate_ppm", faults);
            if let Some(cap_minor) = cap_minor {
                amount(*cap_minor, "/benefit/cap_minor", faults);
            }
        }
        Benefit::FreeDelivery { cap_minor } => {
            if let Some(cap_minor) = cap_minor {
                amount(*cap_minor, "/benefit/cap_minor", faults);
            }
        }
        Benefit::BuyXGetY { item_id: _, buy, get, most_free } => {
            units(*buy, "/benefit/buy", faults);
            units(*get, "/benefit/get", faults);
            if let Some(most_free) = most_free {
                units(*most_free, "/benefit/most_free", faults);
            }
        }
        Benefit::Item { item_id: _, off, most_units } => {
            match off {
                ItemOff::Amount(minor) => amount(*minor, "/benefit/off/amount_minor", faults),
                ItemOff::Rate(rate_ppm) => rate(*rate_ppm, "/benefit/off/rate_ppm", faults),
            }
            units(*most_units, "/benefit/most_units", faults);
        }
    }
}

fn check_times(terms: &CouponTerms, faults: &mut Faults) {
    let latest_ms = limits::LATEST_MS;
    let window = terms.claim_window;
    within(window.start_ms, 0, latest_ms, "/claim_window/start_ms", "ms", faults);
    let closes = window.start_ms < window.end_ms && window.end_ms <= latest_ms;
    let rule = format!("must be after start_ms, and at most {latest_ms} ms");
    faults.require(closes, "/claim_window/end_ms", rule);
    match terms.validity {
        Validity::Absolute { start_ms, end_ms } => {
            if let Some(start_ms) = start_ms {
                within(start_ms, 0, latest_ms, "/validity/start_ms", "ms", faults);
            }
            let start_ms = start_ms.unwrap_or(window.start_ms);
            faults.require(
                start_ms < end_ms && window.start_ms < end_ms && end_ms <= latest_ms,
                "/validity/end_ms",
                format!("must be after both start_ms, and at most {latest_ms} ms"),
            );
        }
        Validity::Relative { valid_for_ms } => {
            within(valid_for_ms, 1, limits::COUPON_VALID_MS, "/validity/valid_for_ms", "ms", faults)
        }
    }
}

fn check_scope(scope: &Scope, faults: &mut Faults) {
    let Scope::Listed { item_ids, categories } = scope else { return };
    let empty = item_ids.is_empty() && categories.is_empty();
    faults.require(!empty, "/scope", "must list an item or a section at least");
    faults.at_most(item_ids.len(), limits::COUPON_SCOPE_ENTRIES, "/scope/item_ids");
    faults.at_most(categories.len(), limits::COUPON_SCOPE_ENTRIES, "/scope/categories");
    for (index, category) in categories.iter().enumerate() {
        check_ref(category, &format!("/scope/categories/{index}"), faults);
    }
}

fn check_caps(caps: &Caps, faults: &mut Faults) {
    for (cap, name) in [
        (caps.total, "total"),
        (caps.per_user, "per_user"),
        (caps.per_user_per_day, "per_user_per_day"),
        (caps.per_day, "per_day"),
    ] {
        if let Some(cap) = cap {
            within(cap, 1, limits::COUPON_CLAIMS, &format!("/caps/{name}"), "claims", faults);
        }
    }
    if let Some(budget_minor) = caps.budget_minor {
        let most = limits::COUPON_BUDGET_MINOR;
        within(budget_minor, 1, most, "/caps/budget_minor", "minor units", faults);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::coupons::testing::template;
    use serde_json::{Value, json};

    fn pointers(changes: &Value) -> Vec<String> {
        let faults = check(&template(1, changes).terms);
        faults.into_vec().into_iter().map(|fault| fault.pointer).collect()
    }

    #[test]
    fn sound_terms_pass() {
        for changes in [
            json!({}),
            json!({"benefit": {"kind": "percent", "rate_ppm": 1_000_000}}),
            json!({"benefit": {"kind": "free_delivery", "cap_minor": 1}}),
            json!({"store_id": "3", "benefit":
                {"kind": "buy_x_get_y", "item_id": "1", "buy": 2, "get": 1, "most_free": 2}}),
            json!({"store_id": "3", "scope": {"kind": "listed", "categories": ["soups"]}}),
            json!({"validity": {"kind": "relative", "valid_for_ms": 1}}),
            json!({"caps": {"total": 1, "budget_minor": 1}}),
        ] {
            assert_eq!(pointers(&changes), Vec::<String>::new(), "{changes}");
        }
    }

    #[test]
    fn each_rule_of_the_terms_is_held() {
        let item = |off: Value, most_units: u32| {
            json!({"store_id": "3", "benefit":
                {"kind": "item", "item_id": "1", "off": off, "most_units": most_units}})
        };
        for (changes, pointer) in [
            (json!({"ref": "A b"}), "/ref"),
            (json!({"name": {}}), "/name"),
            (json!({"name": {"en": "\u{2062}"}}), "/name/en"),
            (json!({"currency": "EUE"}), "/currency"),
            (json!({"benefit": {"kind": "fixed", "amount_minor": 0}}), "/benefit/amount_minor"),
            (json!({"benefit": {"kind": "percent", "rate_ppm": 1_000_001}}), "/benefit/rate_ppm"),
            (
                json!({"benefit": {"kind": "percent", "rate_ppm": 1, "cap_minor": 0}}),
                "/benefit/cap_minor",
            ),
            (item(json!({"amount_minor": -1}), 1), "/benefit/off/amount_minor"),
            (item(json!({"rate_ppm": 0}), 1), "/benefit/off/rate_ppm"),
            (item(json!({"rate_ppm": 1}), 0), "/benefit/most_units"),
            (json!({"claim_window": {"start_ms": 5, "end_ms": 5}}), "/claim_window/end_ms"),
            (json!({"claim_window": {"start_ms": -1, "end_ms": 5}}), "/claim_window/start_ms"),
            (json!({"validity": {"kind": "absolute", "end_ms": 0}}), "/validity/end_ms"),
            (
                json!({"validity": {"kind": "absolute", "start_ms": -1, "end_ms": 9}}),
                "/validity/start_ms",
            ),
            (
                json!({"validity": {"kind": "absolute", "start_ms": 7, "end_ms": 7}}),
                "/validity/end_ms",
            ),
            (
                json!({"validity": {"kind": "relative", "valid_for_ms": 0}}),
                "/validity/valid_for_ms",
            ),
            (json!({"minimum_spend_minor": -1}), "/minimum_spend_minor"),
            (json!({"store_id": "3", "scope": {"kind": "listed"}}), "/scope"),
            (json!({"scope": {"kind": "listed", "item_ids": ["1"]}}), "/store_id"),
            (json!({"caps": {"per_user": 0}}), "/caps/per_user"),
            (json!({"caps": {"budget_minor": 0}}), "/caps/budget_minor"),
            (json!({"stacking": {"category": ""}}), "/stacking/category"),
            (json!({"stacking": {"category": "a", "per_order": 0}}), "/stacking/per_order"),
        ] {
            assert_eq!(pointers(&changes), [pointer], "{changes}");
        }
    }
}
