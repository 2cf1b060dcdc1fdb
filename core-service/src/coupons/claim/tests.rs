//! Claims: each cap to the last coupon, the window to the millisecond, and what a claimed coupon says.

use super::*;
use crate::coupons::testing::template;
use serde_json::{Value, json};

const NOW_MS: i64 = 1_795_608_000_000;
const DINER: UserId = UserId::from_raw(7);

fn decide_at(
    template: &CouponTemplate,
    counters: &[(CounterKey, i64)],
    now_ms: i64,
) -> Result<Claimed, ClaimError> {
    let counter = |claimed| Counter { claimed, spent_minor: 0 };
    let counters = counters.iter().map(|(key, claimed)| (*key, counter(*claimed))).collect();
    decide(&Facts {
        template,
        user_id: DINER,
        coupon_id: CouponId::from_raw(99),
        counters: &counters,
        now_ms,
    })
}

fn capped(caps: &Value) -> CouponTemplate {
    template(
        1,
        &json!({
            "claim_window": {"start_ms": 0, "end_ms": i64::MAX},
            "validity": {"kind": "relative", "valid_for_ms": 1},
            "caps": caps,
        }),
    )
}

#[test]
fn each_cap_gives_its_last_coupon_and_no_more() {
    let total = CounterKey::total(capped(&json!({})).id);
    let (user_id, day) = (Some(DINER), Some(NOW_MS / 86_400_000));
    for (caps, key, error) in [
        (json!({"total": 3}), total, ClaimError::SoldOut { total: 3 }),
        (
            json!({"per_day": 3}),
            CounterKey { day, ..total },
            ClaimError::SoldOutToday { per_day: 3 },
        ),
        (
            json!({"per_user": 3}),
            CounterKey { user_id, ..total },
            ClaimError::AlreadyClaimed { per_user: 3 },
        ),
        (
            json!({"per_user_per_day": 3}),
            CounterKey { user_id, day, ..total },
            ClaimError::AlreadyClaimedToday { per_user_per_day: 3 },
        ),
    ] {
        let template = capped(&caps);
        let last = decide_at(&template, &[(key, 2)], NOW_MS).unwrap();
        assert!(last.counted.contains(&key), "{caps}: the claim must count there");
        assert!(last.counted.contains(&total), "{caps}: every claim counts in all");
        for claimed in [3, 4] {
            let refused = decide_at(&template, &[(key, claimed)], NOW_MS);
            assert_eq!(refused.as_ref(), Err(&error), "{caps}");
        }
    }
}

#[test]
fn somebody_elses_and_yesterdays_claims_do_not_count_against_one() {
    let template = capped(&json!({"per_user": 1, "per_user_per_day": 1, "per_day": 9}));
    let total = CounterKey::total(template.id);
    let other = CounterKey { user_id: Some(UserId::from_raw(8)), ..total };
    let yesterday = CounterKey { day: Some(NOW_MS / 86_400_000 - 1), ..total };
    let counters = [(total, 900), (other, 1), (yesterday, 9)];
    assert!(decide_at(&template, &counters, NOW_MS).is_ok());
}

#[test]
fn who_has_one_hears_so_even_when_all_are_gone() {
    let template = capped(&json!({"total": 5, "per_user": 1}));
    let total = CounterKey::total(template.id);
    let counters = [(total, 5), (CounterKey { user_id: Some(DINER), ..total }, 1)];
    let refused = decide_at(&template, &counters, NOW_MS);
    assert_eq!(refused, Err(ClaimError::AlreadyClaimed { per_user: 1 }));
}

#[test]
fn the_window_opens_and_closes_to_the_millisecond() {
    let template = template(1, &json!({"claim_window": {"start_ms": 1_000, "end_ms": 2_000}}));
    let claim = |now_ms| decide_at(&template, &[], now_ms).map(|_| ());
    assert_eq!(claim(999), Err(ClaimError::NotStarted { start_ms: 1_000 }));
    assert_eq!(claim(1_000), Ok(()));
    assert_eq!(claim(1_999), Ok(()));
    assert_eq!(claim(2_000), Err(ClaimError::Ended { end_ms: 2_000 }));
}

#[test]
fn validity_counts_from_the_claim_or_stands_fixed() {
    let of = |validity: Value| {
        let window = json!({"start_ms": 0, "end_ms": 9_000});
        let template = template(1, &json!({"claim_window": window, "validity": validity}));
        decide_at(&template, &[], 1_000).map(|claimed| {
            let coupon = claimed.coupon;
            assert_eq!((coupon.status, coupon.version), (Status::Claimed, 1));
            (coupon.valid_from_ms, coupon.expires_at_ms)
        })
    };
    assert_eq!(of(json!({"kind": "relative", "valid_for_ms": 50})), Ok((1_000, 1_050)));
    assert_eq!(of(json!({"kind": "absolute", "end_ms": 5_000})), Ok((1_000, 5_000)));
    let later = json!({"kind": "absolute", "start_ms": 3_000, "end_ms": 5_000});
    assert_eq!(of(later), Ok((3_000, 5_000)));
    let begun = json!({"kind": "absolute", "start_ms": 500, "end_ms": 5_000});
    assert_eq!(of(begun), Ok((1_000, 5_000)));
    let over = json!({"kind": "absolute", "end_ms": 1_000});
    assert_eq!(of(over), Err(ClaimError::Ended { end_ms: 1_000 }));
}
