//! Rows of an import, for stores that are always open.

use serde_json::{Value, json};

/// A store and its one category.
pub fn store_rows(name: &str) -> Vec<Value> {
    let days = ["mon", "tue", "wed", "thu", "fri", "sat", "sun"];
    vec![
        json!({
            "kind": "store", "ref": name, "name": {"en": "A store"}, "lang": "en", "currency": "EUR",
            "time_zone": "Europe/Berlin", "address": "Main Street 1",
            "location": {"lat": 52.52, "lng": 13.405}, "fulfilment": ["pickup"],
            "hours": [{"days": days, "from": "00:00", "to": "24:00"}],
            "tax": {"inclusive": true, "classes": {"food": 70_000}, "fee_class": "food"},
        }),
        json!({"kind": "category", "store": name, "ref": "all", "name": {"en": "All"}}),
    ]
}

/// An item in it.
pub fn item_row(store: &str, name: &str, stock: i64, price_minor: i64) -> Value {
    json!({
        "kind": "item", "store": store, "ref": name, "category": "all", "name": {"en": "A dish"},
        "price_minor": price_minor, "tax_class": "food", "stock": stock,
    })
}
