//! A store, its items and baskets for tests of prices.

use serde_json::json;
use std::collections::BTreeMap;
use tiffin_api::catalog::Location;
use tiffin_api::id::{ItemId, StoreId};
use tiffin_api::import::{ItemRow, StoreRow};
use tiffin_api::quote::{Basket, BasketLine, Fulfilment};

/// A store in Berlin with a near and a far zone; food at 7 %, drinks and fees at 19 %.
pub fn store(inclusive: bool) -> StoreRow {
    serde_json::from_value(json!({
        "ref": "s", "name": {"en": "Store"}, "lang": "en", "currency": "EUR",
        "time_zone": "Europe/Berlin", "address": "Main Street 1",
        "location": {"lat": 52.52, "lng": 13.405}, "fulfilment": ["pickup", "delivery"],
        "minimum_minor": 500, "hours": [],
        "zones": [
            {"key": "near", "center": {"lat": 52.52, "lng": 13.405}, "radius_m": 1000, "fee_minor": 199},
            {"key": "far", "center": {"lat": 52.52, "lng": 13.405}, "radius_m": 5000, "fee_minor": 399,
             "minimum_minor": 2000},
        ],
        "tax": {"inclusive": inclusive, "classes": {"food": 70_000, "drink": 190_000},
                "fee_class": "drink"},
    }))
    .unwrap()
}

/// 1: food at 10.00 with a size and extras; 2: a drink at 3.33; 3: food at 7.77. The sections of the menu are
/// the tax classes.
pub fn items() -> BTreeMap<ItemId, ItemRow> {
    let item = |class: &str, price: i64, groups: serde_json::Value| -> ItemRow {
        serde_json::from_value(json!({
            "store": "s", "ref": "i", "category": class, "name": {"en": "Item"},
            "price_minor": price, "tax_class": class, "stock": 10, "modifier_groups": groups,
        }))
        .unwrap()
    };
    let size = json!([
        {"key": "size", "name": {"en": "Size"}, "required": true, "min": 1, "max": 1, "options": [
            {"key": "small", "name": {"en": "Small"}},
            {"key": "large", "name": {"en": "Large"}, "price_minor": 150}]},
        {"key": "extras", "name": {"en": "Extras"}, "required": false, "min": 2, "max": 3, "options": [
            {"key": "egg", "name": {"en": "Egg"}, "price_minor": 50},
            {"key": "nori", "name": {"en": "Nori"}, "price_minor": 30},
            {"key": "corn", "name": {"en": "Corn"}, "price_minor": 20}]},
    ]);
    BTreeMap::from([
        (ItemId::from_raw(1), item("food", 1000, size)),
        (ItemId::from_raw(2), item("drink", 333, json!([]))),
        (ItemId::from_raw(3), item("food", 777, json!([]))),
    ])
}

/// A line.
pub fn line(item: i64, quantity: u32, options: &[&str]) -> BasketLine {
    let options = options.iter().map(|key| (*key).to_owned()).collect();
    BasketLine { item_id: ItemId::from_raw(item), quantity, options }
}

/// A basket to be fetched.
pub fn basket(lines: Vec<BasketLine>) -> Basket {
    Basket {
        store_id: StoreId::from_raw(1),
        fulfilment: Fulfilment::Pickup,
        lines,
        coupon_ids: vec![],
    }
}

/// A basket to be brought to this latitude.
pub fn delivered(lines: Vec<BasketLine>, lat: f64) -> Basket {
    let fulfilment = Fulfilment::Delivery { location: Location { lat, lng: 13.405 } };
    Basket { fulfilment, ..basket(lines) }
}
