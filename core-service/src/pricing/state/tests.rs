//! The price of baskets: worked examples, refusals, and what must hold of every price.

use super::*;
use crate::pricing::testing::{basket, delivered, items, line, store};
use proptest::prelude::*;

#[test]
fn inclusive_prices_contain_their_tax() {
    let basket = delivered(vec![line(1, 2, &["large"]), line(2, 1, &[])], 52.521);
    let pricing = price(&store(true), &items(), &basket).unwrap();
    assert_eq!(pricing.subtotal_minor, 2 * 1150 + 333);
    assert_eq!(pricing.delivery_fee_minor, 199);
    assert_eq!(pricing.total_minor, 2633 + 199);
    // 2300 * 7/107 = 150.47; 333 * 19/119 = 53.17; 199 * 19/119 = 31.77
    assert_eq!(pricing.lines[0].tax_minor, 150);
    assert_eq!(pricing.lines[1].tax_minor, 53);
    assert_eq!(pricing.delivery_fee_tax_minor, 32);
    assert_eq!(pricing.tax_minor, 235);
}

#[test]
fn exclusive_prices_have_their_tax_added() {
    let pricing = price(&store(false), &items(), &basket(vec![line(3, 1, &[])])).unwrap();
    // 777 * 7 % = 54.39
    assert_eq!((pricing.tax_minor, pricing.total_minor), (54, 777 + 54));
}

#[test]
fn a_zone_that_reaches_sets_fee_and_minimum() {
    let far = 52.55; // about 3.3 km north
    let price_at = |lines, lat| price(&store(true), &items(), &delivered(lines, lat));
    assert_eq!(price_at(vec![line(3, 3, &[])], far).unwrap().delivery_fee_minor, 399);
    assert_eq!(
        price_at(vec![line(3, 1, &[])], far),
        Err(PriceError::MinimumNotMet { subtotal_minor: 777, minimum_minor: 2000 })
    );
    assert_eq!(price_at(vec![line(3, 3, &[])], 53.0), Err(PriceError::OutOfZone));
}

#[test]
fn of_zones_that_overlap_the_cheapest_whose_minimum_is_met_holds() {
    let zone = |fee_minor, minimum_minor, radius_m| Zone {
        fee_minor,
        minimum_minor,
        radius_m,
        ..store(true).zones[0].clone()
    };
    // Free from 40.00, 1.50 from 25.00, 4.00 from 8.00; the last reaches further. The store's own minimum is 5.00.
    let zones =
        vec![zone(0, 4000, 2000), zone(400, 800, 5000), zone(150, 2500, 2000), zone(90, 0, 500)];
    let store = StoreRow { zones, ..store(true) };
    let price_at = |units, lat| price(&store, &items(), &delivered(vec![line(3, units, &[])], lat));
    let fee_at = |units, lat| price_at(units, lat).map(|pricing| pricing.delivery_fee_minor);
    let below = |subtotal_minor, minimum_minor| {
        Err(PriceError::MinimumNotMet { subtotal_minor, minimum_minor })
    };
    let (near, far, door) = (52.53, 52.55, 52.5201);
    assert_eq!(fee_at(1, near), below(777, 800), "the lowest of three minimums");
    assert_eq!(fee_at(2, near), Ok(400));
    assert_eq!(fee_at(4, near), Ok(150));
    assert_eq!(fee_at(6, near), Ok(0));
    assert_eq!(fee_at(6, far), Ok(400), "the others do not reach");
    assert_eq!(fee_at(1, door), Ok(90));
    assert_eq!(fee_at(6, door), Ok(0));
    // The store's own minimum holds in every zone.
    let strict = StoreRow { minimum_minor: 1000, ..store.clone() };
    let got = price(&strict, &items(), &delivered(vec![line(3, 1, &[])], door));
    assert_eq!(got.map(|pricing| pricing.delivery_fee_minor), below(777, 1000));
}

#[test]
fn options_must_fit_their_groups() {
    for (options, expected) in [
        (vec!["small"], None),
        (vec!["small", "egg", "nori"], None),
        (vec![], Some("choose 1 to 1 of \"size\", not 0")),
        (vec!["small", "large"], Some("choose 1 to 1 of \"size\", not 2")),
        (vec!["small", "egg"], Some("choose 2 to 3 of \"extras\", not 1")),
        (vec!["small", "gold"], Some("the item has no option \"gold\"")),
        (vec!["small", "small"], Some("\"small\" is chosen twice")),
    ] {
        let got = price(&store(true), &items(), &basket(vec![line(1, 1, &options)]));
        match (got, expected) {
            (Ok(_), None) => {}
            (Err(PriceError::Modifiers(errors)), Some(detail)) => {
                assert_eq!(errors.len(), 1, "{errors:?}");
                assert_eq!(errors[0].detail, detail);
                assert!(errors[0].pointer.starts_with("/lines/0/options"), "{errors:?}");
            }
            (got, expected) => panic!("{options:?}: {got:?}, expected {expected:?}"),
        }
    }
}

#[test]
fn shapes_are_refused_by_field() {
    let pointers = |basket: &Basket| match check_shape(basket) {
        Err(PriceError::Invalid(errors)) => errors.into_iter().map(|e| e.pointer).collect(),
        other => panic!("{other:?}"),
    };
    let none: Vec<String> = pointers(&basket(vec![]));
    assert_eq!(none, ["/lines"]);
    let zero: Vec<String> = pointers(&basket(vec![line(2, 1, &[]), line(2, 0, &[])]));
    assert_eq!(zero, ["/lines/1/quantity"]);
    let nowhere: Vec<String> = pointers(&delivered(vec![line(2, 1, &[])], f64::NAN));
    assert_eq!(nowhere, ["/fulfilment/location"]);
}

#[test]
fn an_item_of_another_store_is_refused() {
    let got = price(&store(true), &items(), &basket(vec![line(99, 1, &[])]));
    assert!(
        matches!(got, Err(PriceError::Invalid(errors)) if errors[0].pointer == "/lines/0/item_id")
    );
}

proptest! {
    #[test]
    fn totals_are_the_sum_of_their_parts(
        quantities in prop::collection::vec((2_i64..=3, 1_u32..=99), 2..20),
        inclusive in any::<bool>(),
    ) {
        let lines = quantities.iter().map(|(item, quantity)| line(*item, *quantity, &[])).collect();
        let pricing = price(&store(inclusive), &items(), &delivered(lines, 52.52)).unwrap();
        let lines_minor: i64 = pricing.lines.iter().map(|line| line.line_minor).sum();
        let taxes_minor: i64 = pricing.lines.iter().map(|line| line.tax_minor).sum();
        prop_assert_eq!(pricing.subtotal_minor, lines_minor);
        prop_assert_eq!(pricing.tax_minor, taxes_minor + pricing.delivery_fee_tax_minor);
        let added = if inclusive { 0 } else { pricing.tax_minor };
        prop_assert_eq!(
            pricing.total_minor,
            pricing.subtotal_minor + pricing.delivery_fee_minor + added
        );
    }
}
