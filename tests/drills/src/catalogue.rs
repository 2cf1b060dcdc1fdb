//! What the drills sell: stores that are always open, and dishes that are always served.

use serde_json::{Value, json};

/// Rows of the import for one store.
pub fn store(name: &str) -> Vec<Value> {
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

/// The row of one item.
pub fn item(store: &str, name: &str, price_minor: i64, units: i64) -> Value {
    json!({
        "kind": "item", "store": store, "ref": name, "category": "all", "name": {"en": "A dish"},
        "price_minor": price_minor, "tax_class": "food", "stock": units,
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use core_service::catalog::state;
    use tiffin_api::import::Row;

    #[test]
    fn the_core_takes_these_rows() {
        let mut rows = store("a");
        rows.push(item("a", "soup", 500, 3));
        for row in rows {
            match serde_json::from_value(row).unwrap() {
                Row::Store(store) => assert!(state::check_store(&store).is_empty(), "{store:?}"),
                Row::Item(item) => assert!(state::check_item(&item).is_empty(), "{item:?}"),
                Row::Category(_) => {}
                other => panic!("{other:?}"),
            }
        }
    }
}
