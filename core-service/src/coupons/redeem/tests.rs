//! Redeeming: who may use what and when, and the books of a coupon from lock to use or return.

use super::*;
use crate::coupons::testing::{coupon, template};
use crate::pricing::testing::{basket, items, line, store};
use proptest::prelude::*;
use serde_json::{Value, json};
use tiffin_api::id::StoreId;

const DINER: UserId = UserId::from_raw(7);
const ORDER: OrderId = OrderId::from_raw(50);
const OTHER: OrderId = OrderId::from_raw(51);
const NOW_MS: i64 = 1_000;

const FACTS: Facts = Facts { user_id: DINER, order_id: None, first_order: true, now_ms: NOW_MS };

/// The price of nine units of food with the coupon.
fn price_of(
    facts: &Facts,
    coupon: &StoredCoupon,
    template: &CouponTemplate,
    spent_minor: i64,
) -> Result<Pricing, PriceError> {
    let known = BTreeMap::from([(coupon.id, Known { coupon, template, spent_minor })]);
    let lines = Basket { coupon_ids: vec![coupon.id], ..basket(vec![line(3, 9, &[])]) };
    price(facts, &known, &store(true), &items(), &lines)
}

fn refusal(facts: &Facts, coupon: &StoredCoupon, changes: &Value) -> Option<Refusal> {
    match price_of(facts, coupon, &template(1, changes), 0) {
        Ok(pricing) => {
            assert_eq!(pricing.discount_minor, 500);
            None
        }
        Err(PriceError::Coupon(refused)) => Some(refused.why),
        Err(other) => panic!("{other:?}"),
    }
}

fn fresh() -> StoredCoupon {
    coupon(1, CouponTemplateId::from_raw(1), DINER)
}

#[test]
fn only_a_claimed_coupon_within_its_time_is_free() {
    let over = Refusal::Expired { expires_at_ms: 2_000_000 };
    for (status, expected) in [
        (Status::Claimed, None),
        (Status::Unclaimed, Some(Refusal::NotFound)),
        (Status::Locked(OTHER), Some(Refusal::Locked)),
        (Status::Used(OTHER), Some(Refusal::Used)),
        (Status::Expired, Some(over)),
        (Status::Voided, Some(Refusal::Voided)),
    ] {
        let coupon = StoredCoupon { status, ..fresh() };
        assert_eq!(refusal(&FACTS, &coupon, &json!({})), expected, "{status:?}");
    }
    let at = |valid_from_ms, expires_at_ms| {
        refusal(&FACTS, &StoredCoupon { valid_from_ms, expires_at_ms, ..fresh() }, &json!({}))
    };
    assert_eq!(at(NOW_MS, NOW_MS + 1), None);
    let early = Refusal::NotStarted { valid_from_ms: NOW_MS + 1 };
    assert_eq!(at(NOW_MS + 1, NOW_MS + 9), Some(early));
    assert_eq!(at(0, NOW_MS), Some(Refusal::Expired { expires_at_ms: NOW_MS }));
}

#[test]
fn the_order_that_holds_a_coupon_may_be_priced_again_even_after_the_coupons_time() {
    let held = StoredCoupon { status: Status::Locked(ORDER), expires_at_ms: 1, ..fresh() };
    let own = Facts { order_id: Some(ORDER), ..FACTS };
    assert_eq!(refusal(&own, &held, &json!({})), None);
    assert_eq!(refusal(&FACTS, &held, &json!({})), Some(Refusal::Locked));
}

#[test]
fn a_coupon_is_for_its_diner_store_currency_and_first_order() {
    let coupon = fresh();
    let stranger = Facts { user_id: UserId::from_raw(8), ..FACTS };
    assert_eq!(refusal(&stranger, &coupon, &json!({})), Some(Refusal::NotFound));
    assert_eq!(refusal(&FACTS, &coupon, &json!({"store_id": "1"})), None);
    let elsewhere = json!({"store_id": "2"});
    assert_eq!(refusal(&FACTS, &coupon, &elsewhere), Some(Refusal::OtherStore));
    let foreign = json!({"currency": "CNY"});
    assert_eq!(refusal(&FACTS, &coupon, &foreign), Some(Refusal::OtherCurrency));
    let first = json!({"first_order": true});
    assert_eq!(refusal(&FACTS, &coupon, &first), None);
    let regular = Facts { first_order: false, ..FACTS };
    assert_eq!(refusal(&regular, &coupon, &first), Some(Refusal::NotFirstOrder));
}

#[test]
fn a_budget_gives_its_last_cent_and_an_orders_own_discount_is_not_counted_twice() {
    let template = template(1, &json!({"caps": {"budget_minor": 2_000}}));
    let spent = |facts: &Facts, coupon: &StoredCoupon, spent_minor| {
        price_of(facts, coupon, &template, spent_minor).is_ok()
    };
    assert!(spent(&FACTS, &fresh(), 1_500));
    assert!(!spent(&FACTS, &fresh(), 1_501));
    let held = StoredCoupon { status: Status::Locked(ORDER), discount_minor: 500, ..fresh() };
    let own = Facts { order_id: Some(ORDER), ..FACTS };
    assert!(spent(&own, &held, 2_000));
    assert!(!spent(&own, &held, 2_001));
}

#[test]
fn a_validation_keeps_what_helps_and_names_what_does_not() {
    let (good, used) = (fresh(), StoredCoupon { status: Status::Used(OTHER), ..fresh() });
    let template = template(1, &json!({}));
    let known = |coupon| Known { coupon, template: &template, spent_minor: 0 };
    let id = CouponId::from_raw;
    let known = BTreeMap::from([(id(1), known(&good)), (id(2), known(&used))]);
    let lines = basket(vec![line(3, 9, &[])]);
    let lines = Basket { coupon_ids: vec![id(3), id(2), id(1)], ..lines };
    let (pricing, refused) = try_on(&FACTS, &known, &store(true), &items(), &lines).unwrap();
    assert_eq!(pricing.discounts.len(), 1);
    let refused: Vec<_> = refused.into_iter().map(|r| (r.coupon_id.raw(), r.why)).collect();
    assert_eq!(refused, [(2, Refusal::Used), (3, Refusal::NotFound)]);
    let strict = price(&FACTS, &known, &store(true), &items(), &lines);
    assert!(matches!(strict, Err(PriceError::Coupon(refused)) if refused.why == Refusal::Used));
    assert_eq!(lines.store_id, StoreId::from_raw(1));
}

#[test]
fn an_order_priced_again_changes_what_it_holds_and_the_books_follow() {
    let (mut coupon, mut total) = (fresh(), Counter { claimed: 1, spent_minor: 40 });
    let locked = lock(&mut coupon, &mut total, ORDER, 500, NOW_MS).unwrap();
    assert_eq!(locked, Step::To(Status::Locked(ORDER)));
    assert_eq!((coupon.discount_minor, total.spent_minor, coupon.version), (500, 540, 2));
    lock(&mut coupon, &mut total, ORDER, 500, NOW_MS).unwrap();
    assert_eq!(coupon.version, 2, "nothing changed");
    lock(&mut coupon, &mut total, ORDER, 350, NOW_MS).unwrap();
    assert_eq!((coupon.discount_minor, total.spent_minor, coupon.version), (350, 390, 3));
    assert!(lock(&mut coupon, &mut total, OTHER, 1, NOW_MS).is_err());
    assert_eq!((coupon.discount_minor, total.spent_minor), (350, 390));
}

#[test]
fn a_coupon_comes_back_once_and_not_after_its_time() {
    for (now_ms, status) in [(1_999_999, Status::Claimed), (2_000_000, Status::Expired)] {
        let (mut coupon, mut total) = (fresh(), Counter::default());
        lock(&mut coupon, &mut total, ORDER, 500, NOW_MS).unwrap();
        assert_eq!(give_back(&mut coupon, &mut total, ORDER, now_ms), Ok(Step::To(status)));
        assert_eq!(give_back(&mut coupon, &mut total, ORDER, now_ms), Ok(Step::Already));
        assert_eq!((coupon.discount_minor, total.spent_minor, coupon.version), (0, 0, 3));
    }
}

#[test]
fn a_used_coupon_comes_back_once_with_what_it_has_left_and_a_day_at_least() {
    const DAY_MS: i64 = limits::COUPON_BACK_LEAST_MS;
    // Its time is over at 2,000,000 by its terms.
    for (now_ms, expires_at_ms) in [
        (2_000_000 - DAY_MS - 5, 2_000_000),
        (2_000_000 - DAY_MS, 2_000_000),
        (1_999_999, 1_999_999 + DAY_MS),
        (7_000_000_000, 7_000_000_000 + DAY_MS),
        (i64::MAX - 1, i64::MAX),
    ] {
        let (mut coupon, mut total) = (fresh(), Counter { claimed: 1, spent_minor: 40 });
        lock(&mut coupon, &mut total, ORDER, 500, NOW_MS).unwrap();
        assert!(hand_back(&mut coupon, &mut total, ORDER, now_ms).is_err(), "not paid yet");
        use_up(&mut coupon, ORDER, NOW_MS).unwrap();
        assert!(hand_back(&mut coupon, &mut total, OTHER, now_ms).is_err());
        assert_eq!((coupon.discount_minor, total.spent_minor), (500, 540));
        let back = Ok(Step::To(Status::Claimed));
        assert_eq!(hand_back(&mut coupon, &mut total, ORDER, now_ms), back);
        assert_eq!(hand_back(&mut coupon, &mut total, ORDER, now_ms + 1), Ok(Step::Already));
        assert_eq!((coupon.discount_minor, total.spent_minor, coupon.version), (0, 40, 4));
        assert_eq!(coupon.expires_at_ms, expires_at_ms, "{now_ms}");
    }
}

/// What orders may try to do with a coupon.
#[derive(Debug, Clone, Copy)]
enum Try {
    Lock(OrderId, i64),
    Use(OrderId),
    GiveBack(OrderId),
    HandBack(OrderId),
}

fn any_try() -> impl Strategy<Value = Try> {
    let order = || prop_oneof![Just(ORDER), Just(OTHER)];
    prop_oneof![
        (order(), 1_i64..900).prop_map(|(order, minor)| Try::Lock(order, minor)),
        order().prop_map(Try::Use),
        order().prop_map(Try::GiveBack),
        order().prop_map(Try::HandBack),
    ]
}

proptest! {
    #[test]
    fn the_counter_is_the_sum_of_the_coupons_whatever_orders_try(
        tries in prop::collection::vec((0_usize..3, any_try()), 0..60),
    ) {
        let mut coupons: Vec<StoredCoupon> =
            (1..=3).map(|id| coupon(id, CouponTemplateId::from_raw(1), DINER)).collect();
        let mut total = Counter { claimed: 3, spent_minor: 0 };
        let mut used: BTreeMap<usize, StoredCoupon> = BTreeMap::new();
        for (index, tried) in tries {
            let coupon = &mut coupons[index];
            let before = (coupon.clone(), total);
            let done = match tried {
                Try::Lock(order, minor) => lock(coupon, &mut total, order, minor, NOW_MS),
                Try::Use(order) => use_up(coupon, order, NOW_MS),
                Try::GiveBack(order) => give_back(coupon, &mut total, order, NOW_MS),
                Try::HandBack(order) => hand_back(coupon, &mut total, order, NOW_MS),
            };
            if done.is_err() {
                prop_assert_eq!((coupon.clone(), total), before);
            }
            if let Some(form) = used.remove(&index) {
                let handed_back = matches!(tried, Try::HandBack(order) if form.status == Status::Used(order));
                prop_assert!(*coupon == form || handed_back, "only its order gives it back");
            }
            if matches!(coupon.status, Status::Used(_)) {
                used.insert(index, coupon.clone());
            }
            let sum: i64 = coupons.iter().map(|coupon| coupon.discount_minor).sum();
            prop_assert_eq!(total, Counter { claimed: 3, spent_minor: sum });
            for coupon in &coupons {
                prop_assert_eq!(coupon.status.order_id().is_some(), coupon.discount_minor > 0);
            }
        }
    }
}
