//! Risk scores at the edge: the same for the same features, with reasons, refused by field.

use serde_json::{Value, json};
use tiffin_tests::{House, Reply};

fn ordinary() -> Value {
    json!({
        "action": "order", "account_age_days": 400, "orders_30d": 6,
        "requests_last_minute": 3, "basket_minor": 2400, "hour_local": 19,
        "failed_payments_24h": 0, "distinct_cards_7d": 1, "device_age_hours": 4000,
        "typical_basket_minor": 2600, "coupon_share_permille": 100, "address_distance_m": 0,
    })
}

async fn score(house: &House, features: &Value) -> Reply {
    house.edge.send(house.edge.request("POST", "/v1/risk/score").json(features)).await
}

#[tokio::test]
async fn scores_are_repeatable_and_say_why() {
    let house = House::start().await;
    let calm = score(&house, &ordinary()).await;
    assert_eq!(calm.expect(200)["decision"], "allow");
    for _ in 0..20 {
        assert_eq!(score(&house, &ordinary()).await.bytes, calm.bytes);
    }
    let mut hasty = ordinary();
    hasty["account_age_days"] = json!(0);
    hasty["orders_30d"] = json!(0);
    hasty["requests_last_minute"] = json!(300);
    hasty["failed_payments_24h"] = json!(9);
    hasty["distinct_cards_7d"] = json!(6);
    let alarm = score(&house, &hasty).await.expect(200);
    assert_eq!(alarm["decision"], "deny", "{alarm}");
    assert!(!alarm["reasons"].as_array().unwrap().is_empty());
    assert_eq!(alarm["model_hash"], calm.json()["model_hash"]);
}

#[tokio::test]
async fn malformed_features_are_refused_by_field() {
    let house = House::start().await;
    let mut wrong = ordinary();
    wrong["hour_local"] = json!(24);
    wrong["basket_minor"] = json!("many");
    wrong["colour"] = json!("red");
    wrong.as_object_mut().unwrap().remove("action");
    let problem = score(&house, &wrong).await.problem(422, "validation-failed");
    let mut pointers: Vec<_> = problem["errors"]
        .as_array()
        .unwrap()
        .iter()
        .map(|error| error["pointer"].as_str().unwrap())
        .collect();
    pointers.sort_unstable();
    assert_eq!(pointers, ["/action", "/basket_minor", "/colour", "/hour_local"]);
}
