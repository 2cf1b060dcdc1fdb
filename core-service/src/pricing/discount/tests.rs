//! Discounts: worked examples of each benefit, how they meet, and what must hold of every basket.

use crate::coupons::refusal::Refusal;
use crate::coupons::testing::template;
use crate::pricing::discount::CouponUse;
use crate::pricing::state::{PriceError, price, price_with, try_on};
use crate::pricing::testing::{basket, delivered, items, line, store};
use proptest::prelude::*;
use serde_json::{Value, json};
use tiffin_api::coupon::CouponTemplate;
use tiffin_api::id::CouponId;
use tiffin_api::quote::{Basket, Pricing};

/// Coupon 1 of the first template, coupon 2 of the second, and so on.
fn uses(templates: &[CouponTemplate]) -> Vec<CouponUse<'_>> {
    (1_i64..)
        .zip(templates)
        .map(|(id, template)| CouponUse {
            coupon_id: CouponId::from_raw(id),
            template_id: template.id,
            terms: &template.terms,
            budget_left_minor: template.terms.caps.budget_minor.unwrap_or(i64::MAX),
        })
        .collect()
}

fn with_all(basket: Basket, uses: &[CouponUse<'_>]) -> Basket {
    Basket { coupon_ids: uses.iter().map(|coupon| coupon.coupon_id).collect(), ..basket }
}

/// The price with one coupon for each change of the terms, each of a category of its own.
fn priced(lines: Basket, changes: &[Value]) -> Result<Pricing, PriceError> {
    let templates: Vec<CouponTemplate> = (1_i64..)
        .zip(changes)
        .map(|(id, changes)| {
            let mut changes = changes.clone();
            if changes.get("stacking").is_none() {
                changes["stacking"] = json!({"category": format!("c{id}")});
            }
            template(id, &changes)
        })
        .collect();
    let uses = uses(&templates);
    price_with(&store(true), &items(), &with_all(lines, &uses), &uses)
}

fn refusal(priced: Result<Pricing, PriceError>) -> (i64, Refusal) {
    match priced {
        Err(PriceError::Coupon(refused)) => (refused.coupon_id.raw(), refused.why),
        other => panic!("{other:?}"),
    }
}

fn benefit(benefit: Value) -> Value {
    json!({ "benefit": benefit })
}

fn line_discounts(pricing: &Pricing) -> Vec<i64> {
    pricing.lines.iter().map(|line| line.discount_minor).collect()
}

#[test]
fn a_fixed_amount_is_split_over_the_lines_and_taxed_after() {
    let lines = basket(vec![line(3, 1, &[]), line(2, 2, &[])]);
    let pricing = priced(lines, &[benefit(json!({"kind": "fixed", "amount_minor": 500}))]).unwrap();
    // 777 : 666 of 500 is 269.23 : 230.77.
    assert_eq!(line_discounts(&pricing), [269, 231]);
    assert_eq!((pricing.subtotal_minor, pricing.discount_minor), (1443, 500));
    assert_eq!(pricing.total_minor, 943);
    // 508 * 7/107 = 33.23; 435 * 19/119 = 69.45.
    let taxes: Vec<i64> = pricing.lines.iter().map(|line| line.tax_minor).collect();
    assert_eq!((taxes, pricing.tax_minor), (vec![33, 69], 102));
}

#[test]
fn tax_that_is_added_is_computed_after_the_discount() {
    let templates = [template(1, &json!({"minimum_spend_minor": 777}))];
    let uses = uses(&templates);
    let lines = with_all(basket(vec![line(3, 1, &[])]), &uses);
    let pricing = price_with(&store(false), &items(), &lines, &uses).unwrap();
    // 277 * 7 % = 19.39.
    assert_eq!((pricing.tax_minor, pricing.total_minor), (19, 277 + 19));
}

#[test]
fn a_discount_never_exceeds_what_it_applies_to() {
    let lines = delivered(vec![line(3, 1, &[])], 52.52);
    let fixed = benefit(json!({"kind": "fixed", "amount_minor": 90_000}));
    let pricing = priced(lines.clone(), &[fixed]).unwrap();
    assert_eq!((pricing.discount_minor, pricing.total_minor), (777, 199), "the fee is left");
    let free = benefit(json!({"kind": "free_delivery"}));
    let whole = benefit(json!({"kind": "percent", "rate_ppm": 1_000_000}));
    let pricing = priced(lines, &[whole, free]).unwrap();
    assert_eq!((pricing.discount_minor, pricing.delivery_discount_minor), (976, 199));
    assert_eq!((pricing.total_minor, pricing.tax_minor), (0, 0));
}

#[test]
fn a_percentage_has_a_cap_and_a_scope() {
    let lines = basket(vec![line(3, 2, &[]), line(2, 1, &[])]);
    let percent = |cap: Value, scope: Value| {
        let benefit = json!({"kind": "percent", "rate_ppm": 100_000, "cap_minor": cap});
        let terms = json!({"benefit": benefit, "scope": scope});
        priced(lines.clone(), &[terms]).map(|pricing| line_discounts(&pricing))
    };
    let (all, none) = (json!({"kind": "all"}), json!(null));
    assert_eq!(percent(none.clone(), all.clone()).unwrap(), [156, 33]); // 188.7 of 1887
    assert_eq!(percent(json!(100), all).unwrap(), [82, 18]);
    let drinks = json!({"kind": "listed", "categories": ["drink"]});
    assert_eq!(percent(none.clone(), drinks).unwrap(), [0, 33]);
    let item = json!({"kind": "listed", "item_ids": ["3"]});
    assert_eq!(percent(none.clone(), item).unwrap(), [155, 0]);
    let elsewhere = json!({"kind": "listed", "item_ids": ["1"], "categories": ["cakes"]});
    assert_eq!(
        refusal(priced(lines.clone(), &[json!({"scope": elsewhere})])).1,
        Refusal::OutOfScope
    );
}

#[test]
fn free_delivery_has_a_cap_and_needs_a_fee() {
    let free = |cap: Value| benefit(json!({"kind": "free_delivery", "cap_minor": cap}));
    let lines = delivered(vec![line(3, 1, &[])], 52.52);
    let pricing = priced(lines.clone(), &[free(json!(null))]).unwrap();
    assert_eq!((pricing.delivery_discount_minor, pricing.total_minor), (199, 777));
    assert_eq!(pricing.delivery_fee_tax_minor, 0);
    let pricing = priced(lines, &[free(json!(150))]).unwrap();
    // 49 * 19/119 = 7.82.
    assert_eq!((pricing.delivery_discount_minor, pricing.delivery_fee_tax_minor), (150, 8));
    let fetched = priced(basket(vec![line(3, 1, &[])]), &[free(json!(null))]);
    assert_eq!(refusal(fetched).1, Refusal::TakesNothing);
}

#[test]
fn the_cheapest_units_are_free_and_rounds_may_be_incomplete() {
    let free = |quantities: [u32; 2], terms: Value| {
        let lines = vec![line(1, quantities[0], &["large"]), line(1, quantities[1], &["small"])];
        let changes = benefit(json!({
            "kind": "buy_x_get_y", "item_id": "1",
            "buy": terms[0], "get": terms[1], "most_free": terms[2],
        }));
        priced(basket(lines), &[changes]).map(|pricing| line_discounts(&pricing))
    };
    // Large is 1150, small is 1000.
    assert_eq!(free([2, 1], json!([2, 1, null])).unwrap(), [0, 1000]);
    assert_eq!(free([4, 1], json!([1, 1, null])).unwrap(), [1150, 1000]);
    assert_eq!(free([4, 2], json!([1, 1, 2])).unwrap(), [0, 2000]);
    // Three bought, then one of two free ones taken.
    assert_eq!(free([3, 1], json!([3, 2, null])).unwrap(), [0, 1000]);
    assert_eq!(refusal_of(free([1, 1], json!([2, 1, null]))), Refusal::TakesNothing);
    let other = benefit(json!({"kind": "buy_x_get_y", "item_id": "2", "buy": 1, "get": 1}));
    let lines = basket(vec![line(3, 4, &[])]);
    assert_eq!(refusal(priced(lines, &[other])).1, Refusal::OutOfScope);
}

fn refusal_of<T: std::fmt::Debug>(got: Result<T, PriceError>) -> Refusal {
    match got {
        Err(PriceError::Coupon(refused)) => refused.why,
        other => panic!("{other:?}"),
    }
}

#[test]
fn an_item_coupon_is_for_the_dearest_units() {
    let lines = || basket(vec![line(1, 1, &["large"]), line(1, 3, &["small"])]);
    let off = |off: Value, most_units: u32| {
        let item = json!({"kind": "item", "item_id": "1", "off": off, "most_units": most_units});
        priced(lines(), &[benefit(item)]).map(|pricing| line_discounts(&pricing)).unwrap()
    };
    assert_eq!(off(json!({"amount_minor": 200}), 1), [200, 0]);
    assert_eq!(off(json!({"amount_minor": 200}), 3), [200, 400]);
    assert_eq!(off(json!({"rate_ppm": 500_000}), 9), [575, 1500]);
    assert_eq!(off(json!({"amount_minor": 9_999}), 2), [1150, 1000], "at most the unit's price");
}

#[test]
fn a_unit_is_counted_by_one_item_coupon() {
    let one_free = benefit(json!({"kind": "buy_x_get_y", "item_id": "3", "buy": 1, "get": 1}));
    let twice = [one_free.clone(), one_free.clone()];
    let lines = |quantity| basket(vec![line(3, quantity, &[])]);
    assert_eq!(refusal(priced(lines(2), &twice)), (2, Refusal::TakesNothing));
    // Of five, the first coupon counts four; one unit alone earns nothing.
    assert_eq!(refusal(priced(lines(5), &twice)), (2, Refusal::TakesNothing));
    let capped =
        benefit(json!({"kind": "buy_x_get_y", "item_id": "3", "buy": 1, "get": 1, "most_free": 1}));
    let pricing = priced(lines(4), &[capped, one_free]).unwrap();
    assert_eq!(pricing.discount_minor, 2 * 777);
}

#[test]
fn items_come_before_the_order_and_the_order_before_delivery() {
    let lines = delivered(vec![line(3, 2, &[])], 52.52);
    let delivery = benefit(json!({"kind": "free_delivery"}));
    let half = benefit(json!({"kind": "percent", "rate_ppm": 500_000}));
    let item = benefit(json!({"kind": "item", "item_id": "3", "off": {"amount_minor": 277}}));
    let pricing = priced(lines, &[delivery, half, item]).unwrap();
    let got: Vec<_> =
        pricing.discounts.iter().map(|d| (d.coupon_id.raw(), d.amount_minor)).collect();
    // Half of what the item coupon left: (1554 - 277) / 2 = 638.5.
    assert_eq!(got, [(3, 277), (2, 639), (1, 199)]);
}

#[test]
fn a_minimum_is_asked_of_the_lines_in_scope_before_discounts() {
    let lines = || basket(vec![line(3, 1, &[]), line(2, 1, &[])]);
    let food = json!({"kind": "listed", "categories": ["food"]});
    let at = |minimum: i64| json!({"minimum_spend_minor": minimum, "scope": food});
    assert!(
        priced(lines(), &[at(777), at(777)]).is_ok(),
        "the first one's discount does not count"
    );
    let short = Refusal::MinimumNotMet { in_scope_minor: 777, minimum_minor: 778 };
    assert_eq!(refusal(priced(lines(), &[at(778)])), (1, short));
}

#[test]
fn coupons_stack_by_category_and_the_smallest_number_holds() {
    let lines = || basket(vec![line(3, 9, &[])]);
    let of = |category: &str, per_order: u32| json!({"stacking": {"category": category, "per_order": per_order}});
    assert!(priced(lines(), &[of("a", 1), of("b", 1)]).is_ok());
    assert!(priced(lines(), &[of("a", 2), of("a", 2)]).is_ok());
    let full = |per_order| Refusal::NotStackable { category: "a".to_owned(), per_order };
    assert_eq!(refusal(priced(lines(), &[of("a", 1), of("a", 1)])), (2, full(1)));
    assert_eq!(refusal(priced(lines(), &[of("a", 1), of("a", 3)])), (2, full(1)));
    assert_eq!(refusal(priced(lines(), &[of("a", 3), of("a", 1)])), (2, full(1)));
    assert_eq!(refusal(priced(lines(), &[of("a", 2), of("a", 2), of("a", 3)])), (3, full(2)));
}

#[test]
fn a_budget_is_shared_by_the_coupons_of_a_template() {
    let changes = json!({
        "caps": {"budget_minor": 999}, "stacking": {"category": "shop", "per_order": 2},
    });
    let one = template(1, &changes);
    let both = [one.clone(), one];
    let uses = uses(&both);
    let lines = with_all(basket(vec![line(3, 9, &[])]), &uses);
    let (pricing, refused) = try_on(&store(true), &items(), &lines, &uses).unwrap();
    assert_eq!(pricing.discount_minor, 500);
    assert_eq!((refused[0].coupon_id.raw(), &refused[0].why), (2, &Refusal::BudgetSpent));
}

#[test]
fn a_coupon_that_nobody_vouches_for_is_never_overlooked() {
    let lines = Basket { coupon_ids: vec![CouponId::from_raw(9)], ..basket(vec![line(3, 1, &[])]) };
    assert_eq!(refusal(price(&store(true), &items(), &lines)), (9, Refusal::NotFound));
}

/// Any benefit, sound as terms go.
fn any_benefit() -> impl Strategy<Value = Value> {
    let item = 1_i64..=3;
    prop_oneof![
        (1_i64..5_000).prop_map(|minor| json!({"kind": "fixed", "amount_minor": minor})),
        (1_u32..=1_000_000, prop::option::of(1_i64..2_000))
            .prop_map(|(rate, cap)| json!({"kind": "percent", "rate_ppm": rate, "cap_minor": cap})),
        prop::option::of(1_i64..400)
            .prop_map(|cap| json!({"kind": "free_delivery", "cap_minor": cap})),
        (item.clone(), 1_u32..4, 1_u32..4, prop::option::of(1_u32..5)).prop_map(
            |(item, buy, get, most)| json!({
                "kind": "buy_x_get_y", "item_id": item.to_string(), "buy": buy, "get": get,
                "most_free": most,
            })
        ),
        (item, 1_i64..2_000, 1_u32..6).prop_map(|(item, minor, most)| json!({
            "kind": "item", "item_id": item.to_string(), "off": {"amount_minor": minor},
            "most_units": most,
        })),
    ]
}

/// Templates in three categories, with small budgets, minimums and scopes.
fn any_templates() -> impl Strategy<Value = Vec<CouponTemplate>> {
    let scope = prop_oneof![
        3 => Just(json!({"kind": "all"})),
        1 => Just(json!({"kind": "listed", "categories": ["drink"]})),
        1 => Just(json!({"kind": "listed", "item_ids": ["1", "3"]})),
    ];
    let terms = (any_benefit(), scope, 0_i64..3_000, 1_i64..3_000, 0_u8..3, 1_u32..4);
    let one = (1_i64..4, terms).prop_map(|(id, terms)| {
        let (benefit, scope, minimum, budget, category, per_order) = terms;
        let stacking = json!({"category": format!("c{category}"), "per_order": per_order});
        template(
            id,
            &json!({
                "benefit": benefit, "scope": scope, "minimum_spend_minor": minimum,
                "caps": {"budget_minor": budget}, "stacking": stacking,
            }),
        )
    });
    // One definition for each id, as in the ledger: several coupons may share it.
    prop::collection::vec(one, 0..6).prop_map(|mut templates| {
        for index in 1..templates.len() {
            let (before, rest) = templates.split_at_mut(index);
            if let Some(same) = before.iter().find(|template| template.id == rest[0].id) {
                rest[0] = same.clone();
            }
        }
        templates
    })
}

fn any_lines() -> impl Strategy<Value = Basket> {
    let one = (1_i64..=3, 1_u32..8, any::<bool>()).prop_map(|(item, quantity, large)| {
        let size: &[&str] = if large { &["large"] } else { &["small"] };
        line(item, quantity, if item == 1 { size } else { &[] })
    });
    (prop::collection::vec(one, 1..8), any::<bool>()).prop_map(|(mut lines, fetched)| {
        lines.push(line(3, 3, &[])); // Over the minimum of store and zone.
        if fetched { basket(lines) } else { delivered(lines, 52.52) }
    })
}

proptest! {
    #[test]
    fn discounts_add_up_and_leave_nothing_below_zero(
        templates in any_templates(), lines in any_lines(), inclusive in any::<bool>(),
    ) {
        let uses = uses(&templates);
        let lines = with_all(lines, &uses);
        let (pricing, refused) = try_on(&store(inclusive), &items(), &lines, &uses).unwrap();
        prop_assert_eq!(pricing.discounts.len() + refused.len(), uses.len());
        let from_coupons: i64 = pricing.discounts.iter().map(|d| d.amount_minor).sum();
        let from_lines: i64 = line_discounts(&pricing).iter().sum();
        prop_assert_eq!(pricing.discount_minor, from_coupons);
        prop_assert_eq!(pricing.discount_minor, from_lines + pricing.delivery_discount_minor);
        for line in &pricing.lines {
            prop_assert!((0..=line.line_minor).contains(&line.discount_minor));
            prop_assert!((0..=line.line_minor).contains(&line.tax_minor));
        }
        prop_assert!((0..=pricing.delivery_fee_minor).contains(&pricing.delivery_discount_minor));
        prop_assert!(pricing.discounts.iter().all(|d| d.amount_minor > 0));
        let taxes: i64 = pricing.lines.iter().map(|line| line.tax_minor).sum();
        prop_assert_eq!(pricing.tax_minor, taxes + pricing.delivery_fee_tax_minor);
        let added = if inclusive { 0 } else { pricing.tax_minor };
        let before = pricing.subtotal_minor + pricing.delivery_fee_minor;
        prop_assert_eq!(pricing.total_minor, before - pricing.discount_minor + added);
        prop_assert!(pricing.total_minor >= 0);
    }

    #[test]
    fn budgets_and_category_limits_are_never_exceeded(
        templates in any_templates(), lines in any_lines(),
    ) {
        let uses = uses(&templates);
        let lines = with_all(lines, &uses);
        let (pricing, _) = try_on(&store(true), &items(), &lines, &uses).unwrap();
        for template in &templates {
            let own = pricing.discounts.iter().filter(|d| d.template_id == template.id);
            let spent: i64 = own.clone().map(|d| d.amount_minor).sum();
            prop_assert!(spent <= template.terms.caps.budget_minor.unwrap());
            let category = &template.terms.stacking.category;
            if own.count() > 0 {
                let together = pricing.discounts.iter().filter(|d| d.category == *category).count();
                prop_assert!(together <= template.terms.stacking.per_order as usize);
            }
        }
    }

    #[test]
    fn the_order_in_which_coupons_are_named_does_not_matter(
        templates in any_templates(), lines in any_lines(), turn in 0_usize..6,
    ) {
        let uses = uses(&templates);
        let lines = with_all(lines, &uses);
        let expected = try_on(&store(true), &items(), &lines, &uses).unwrap();
        let mut turned = lines.clone();
        turned.coupon_ids.reverse();
        let mut uses = uses.clone();
        if !uses.is_empty() {
            let middle = turn % uses.len();
            uses.rotate_left(middle);
            turned.coupon_ids.rotate_left(middle);
        }
        prop_assert_eq!(try_on(&store(true), &items(), &turned, &uses).unwrap(), expected);
    }
}
