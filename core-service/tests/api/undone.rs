//! Orders that come to nothing after they were paid: money, coupons and units go back where they came from, once.

use crate::coupons::{assert_counted, claim_as, claimed, coupon, spent, teas, template};
use crate::free::{assert_clean, by_merchant};
use crate::support::{Core, Reply, reply, text};
use core_service::fast::{FastStore as _, GateTag};
use core_service::limits;
use serde_json::{Value, json};

const HOUR_MS: i64 = 3_600_000;

/// The store's "last bun", of which there is one; paid.
async fn last_bun(core: &Core) -> Value {
    let basket = core.basket("Last bun", 1, &[]).await;
    let order = core.post("/v1/orders", &basket).await.expect(201);
    core.pay(&order, "sandbox_capture").await.expect(201);
    order
}

async fn available(core: &Core, name: &str) -> Value {
    let store = core.store("Noodle Bar").await;
    let menu = core.get(&format!("/v1/stores/{store}/menu?lang=en")).await.expect(200);
    let items = menu["categories"][0]["items"].as_array().unwrap().clone();
    items.iter().find(|item| item["name"] == name).unwrap()["available"].clone()
}

/// The merchant takes an order back and says something.
async fn recall(core: &Core, order: &Value, body: &Value) -> Reply {
    let path = format!("/v1/orders/{}/cancel", text(&order["id"]));
    let request = core.request("POST", &path).bearer_auth(core.merchant(text(&order["store_id"])));
    reply(request.header("idempotency-key", core.fresh_key()).json(body)).await
}

fn item_of(order: &Value) -> &str {
    text(&order["lines"][0]["item_id"])
}

#[tokio::test]
async fn a_refused_dish_can_be_sold_again() {
    let core = Core::start().await;
    let order = last_bun(&core).await;
    assert_eq!(core.stock(item_of(&order)).await, (0, 0, 0));
    assert_eq!(available(&core, "Last bun").await, false);
    core.app.gate.mend_drift().await;
    let basket = core.basket("Last bun", 1, &[]).await;
    core.post("/v1/orders", &basket).await.problem(409, "out-of-stock");

    let rejected = by_merchant(&core, &order, "reject").await;
    assert_eq!((&rejected["state"], &rejected["units_back"]), (&json!("REJECTED"), &json!(true)));
    by_merchant(&core, &order, "reject").await;
    assert_eq!(core.stock(item_of(&order)).await, (1, 1, 0), "once");
    assert_eq!(available(&core, "Last bun").await, true);
    core.app.gate.settled().await;
    let (store, item) =
        (text(&order["store_id"]).parse().unwrap(), item_of(&order).parse().unwrap());
    let left = core.app.fast.counters(GateTag::Store(store), &[item]).await.unwrap();
    assert_eq!(left, [Some(1)], "the gate knows");
    tokio::time::sleep(limits::GATE_NOTE).await;
    core.post("/v1/orders", &basket).await.expect(201);
    assert_clean(&core).await;
}

#[tokio::test]
async fn before_the_store_accepts_the_diner_gives_the_units_back() {
    let core = Core::start().await;
    let order = last_bun(&core).await;
    let path = format!("/v1/orders/{}/cancel", text(&order["id"]));
    let cancelled = core.post(&path, &json!({})).await.expect(200);
    assert_eq!(
        (&cancelled["state"], &cancelled["units_back"]),
        (&json!("CANCELLED"), &json!(true))
    );
    assert_eq!(core.stock(item_of(&order)).await, (1, 1, 0));
    assert_clean(&core).await;
}

#[tokio::test]
async fn afterwards_units_return_by_the_stores_word_alone() {
    let core = Core::start().await;
    for (steps, body, back) in [
        (&["accept"][..], json!({}), false),
        (&["accept", "prepare"], json!({"restock": false}), false),
        (&["accept"], json!({"restock": true}), true),
        (&["accept", "prepare", "ready"], json!({"restock": true}), true),
    ] {
        let order = core.tea_order().await;
        core.pay(&order, "sandbox_capture").await.expect(201);
        for step in steps {
            by_merchant(&core, &order, step).await;
        }
        let (before, ..) = core.stock(item_of(&order)).await;
        let path = format!("/v1/orders/{}/cancel", text(&order["id"]));
        let wish = json!({"restock": true});
        core.post(&path, &wish).await.problem(409, "invalid-transition");
        let cancelled = recall(&core, &order, &body).await.expect(200);
        assert_eq!(cancelled.get("units_back").is_some(), back, "{steps:?} {body}");
        assert_eq!(core.order(&order["id"]).await.get("units_back").is_some(), back);
        let (after, ..) = core.stock(item_of(&order)).await;
        assert_eq!(after - before, if back { 2 } else { 0 }, "{steps:?} {body}");
    }
    assert_clean(&core).await;
}

#[tokio::test]
async fn what_cancelling_says_has_to_be_readable() {
    let core = Core::start().await;
    let order = core.tea_order().await;
    recall(&core, &order, &json!({"restock": "yes"})).await.problem(400, "malformed-json");
    let path = format!("/v1/orders/{}/cancel", text(&order["id"]));
    let token = core.merchant(text(&order["store_id"]));
    let request = core.request("POST", &path).bearer_auth(token);
    let request = request.header("idempotency-key", core.fresh_key()).body("restock");
    reply(request).await.problem(415, "unsupported-media-type");
    assert_eq!(core.order(&order["id"]).await["state"], "PENDING_PAYMENT");
}

#[tokio::test]
async fn a_used_coupon_comes_back_with_a_day_at_least_and_its_budget() {
    let core = Core::start().await;
    let caps = json!({
        "caps": {"per_user": 1, "total": 1, "budget_minor": 200},
        "claim_window": {"start_ms": 0, "end_ms": 4_000_000_000_000_i64},
    });
    let id = template(&core, "once", &caps).await;
    let mine = claimed(&core, &id).await;
    let expires_at_ms = coupon(&core, &mine).await["expires_at_ms"].as_i64().unwrap();
    for (round, ending) in ["reject", "cancel", "accept"].into_iter().enumerate() {
        let order = core.post("/v1/orders", &teas(&core, &[&mine]).await).await.expect(201);
        core.pay(&order, "sandbox_capture").await.expect(201);
        assert_eq!(
            (coupon(&core, &mine).await["state"].clone(), spent(&core).await),
            (json!("USED"), 200)
        );
        // Its own hour passes while it is used.
        core.clock.advance(HOUR_MS + 1);
        core.run_jobs().await;
        match ending {
            "accept" => {
                by_merchant(&core, &order, ending).await;
                recall(&core, &order, &json!({})).await.expect(200);
            }
            "reject" => _ = by_merchant(&core, &order, ending).await,
            _ => _ = recall(&core, &order, &json!({})).await.expect(200),
        }
        let back = coupon(&core, &mine).await;
        assert_eq!((&back["state"], back.get("order_id")), (&json!("CLAIMED"), None), "{ending}");
        assert_eq!(back["discount_minor"], 0);
        let now_ms = core.app.clock.now_ms();
        assert_eq!(back["expires_at_ms"], now_ms + limits::COUPON_BACK_LEAST_MS, "round {round}");
        assert!(now_ms > expires_at_ms);
        assert_eq!(spent(&core).await, 0, "the budget is there again");
        // It is the one that its cap allows, and there is no second.
        claim_as(&core, crate::support::DINER, &id).await.problem(409, "coupon-already-claimed");
        assert_counted(&core).await;
        assert_clean(&core).await;
    }
    core.clock.advance(limits::COUPON_BACK_LEAST_MS);
    core.run_jobs().await;
    assert_eq!(coupon(&core, &mine).await["state"], "EXPIRED", "and it ends");
}

#[tokio::test]
async fn a_coupon_with_time_left_keeps_its_time() {
    let core = Core::start().await;
    let long = json!({"validity": {"kind": "relative", "valid_for_ms": 90 * HOUR_MS}});
    let mine = claimed(&core, &template(&core, "long", &long).await).await;
    let before = coupon(&core, &mine).await;
    let order = core.post("/v1/orders", &teas(&core, &[&mine]).await).await.expect(201);
    core.pay(&order, "sandbox_capture").await.expect(201);
    core.clock.advance(HOUR_MS);
    by_merchant(&core, &order, "reject").await;
    assert_eq!(coupon(&core, &mine).await["expires_at_ms"], before["expires_at_ms"]);
    // Another order may use it now, and its end is that order's alone.
    let next = core.post("/v1/orders", &teas(&core, &[&mine]).await).await.expect(201);
    by_merchant(&core, &order, "reject").await;
    assert_eq!(coupon(&core, &mine).await["order_id"], next["id"]);
    assert_clean(&core).await;
}
