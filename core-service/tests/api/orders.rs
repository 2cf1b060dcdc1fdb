//! Quotes and orders: prices come from the core, stock is held once, moves follow the machine.

use crate::support::{Core, DINER, text};
use core_service::limits;
use serde_json::{Value, json};
use tiffin_api::token::Role;

#[tokio::test]
async fn a_quote_prices_what_an_order_then_costs() {
    let core = Core::start().await;
    let mut basket = core.basket("Ramen", 2, &["large"]).await;
    basket["fulfilment"] = json!({"kind": "delivery", "location": {"lat": 52.53, "lng": 13.405}});
    let quote = core.post("/v1/quotes", &basket).await.expect(200);
    assert_eq!(quote["subtotal_minor"], 2800);
    assert_eq!(quote["delivery_fee_minor"], 250);
    assert_eq!(quote["total_minor"], 3050);
    // 2800 * 7/107 = 183.2, 250 * 19/119 = 39.9
    assert_eq!(quote["tax_minor"], 183 + 40);

    basket["quote_id"] = quote["quote_id"].clone();
    let order = core.post("/v1/orders", &basket).await.expect(201);
    assert_eq!(order["total_minor"], 3050);
    assert_eq!(order["state"], "PENDING_PAYMENT");
    assert_eq!(core.order(&order["id"]).await, order);
    let listed = core.get("/v1/orders").await.expect(200);
    assert_eq!(listed["orders"], json!([order]));
}

#[tokio::test]
async fn a_price_sent_by_the_client_is_ignored() {
    let core = Core::start().await;
    let mut basket = core.basket("Tea", 2, &[]).await;
    basket["total_minor"] = json!(1);
    basket["lines"][0]["price_minor"] = json!(1);
    basket["lines"][0]["line_minor"] = json!(1);
    let order = core.post("/v1/orders", &basket).await.expect(201);
    assert_eq!(order["total_minor"], 600);
}

#[tokio::test]
async fn a_stale_quote_is_refused_with_the_new_total() {
    let core = Core::start().await;
    let mut basket = core.basket("Tea", 2, &[]).await;
    let quote = core.post("/v1/quotes", &basket).await.expect(200);
    let dearer =
        include_str!("fixture.ndjson").replace("\"price_minor\":300", "\"price_minor\":350");
    core.import(&dearer).await.expect(200);

    basket["quote_id"] = quote["quote_id"].clone();
    let refused = core.post("/v1/orders", &basket).await.problem(409, "price-changed");
    assert_eq!(refused["total_minor"], 700);
    basket["quote_id"] = refused["quote_id"].clone();
    assert_eq!(core.post("/v1/orders", &basket).await.expect(201)["total_minor"], 700);

    core.clock.advance(limits::QUOTE_KEEP_MS);
    let expired = core.post("/v1/orders", &basket).await.problem(409, "price-changed");
    assert_eq!(expired["total_minor"], 700);

    basket["lines"][0]["quantity"] = json!(3);
    let other = core.post("/v1/orders", &basket).await.problem(422, "validation-failed");
    assert_eq!(other["errors"][0]["pointer"], "/quote_id");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_last_unit_has_exactly_one_winner() {
    let core = Core::start().await;
    let basket = core.basket("Last bun", 1, &[]).await;
    let core = &core;
    let orders = (0..20).map(|buyer| {
        let basket = &basket;
        async move {
            let key = core.fresh_key();
            core.post_as(3000 + buyer, &[Role::Diner], "/v1/orders", &key, basket).await
        }
    });
    let replies = futures::future::join_all(orders).await;
    let won = replies.iter().filter(|reply| reply.status == 201).count();
    assert_eq!(won, 1);
    for lost in replies.iter().filter(|reply| reply.status != 201) {
        lost.problem(409, "out-of-stock");
    }
    let item = text(&basket["lines"][0]["item_id"]).to_owned();
    assert_eq!(core.stock(&item).await, (1, 0, 1));
}

#[tokio::test]
async fn several_items_are_held_all_or_nothing() {
    let core = Core::start().await;
    let mut basket = core.basket("Tea", 5, &[]).await;
    let tea = text(&basket["lines"][0]["item_id"]).to_owned();
    let bun = core.basket("Last bun", 2, &[]).await["lines"][0].clone();
    basket["lines"].as_array_mut().unwrap().push(bun);
    core.post("/v1/orders", &basket).await.problem(409, "out-of-stock");
    assert_eq!(core.stock(&tea).await, (1000, 1000, 0));
}

#[tokio::test]
async fn closed_stores_take_no_orders_until_they_open() {
    let core = Core::start().await;
    let store = core.store("Night Kiosk").await;
    let item = core.item(&store, "Toast").await;
    let basket = json!({
        "store_id": store, "fulfilment": {"kind": "pickup"},
        "lines": [{"item_id": item, "quantity": 1}],
    });
    core.post("/v1/orders", &basket).await.problem(409, "store-closed");
    // From Wednesday 13:00 in Berlin to Saturday 22:00.
    core.clock.advance((3 * 24 + 9) * 3_600_000);
    core.post("/v1/orders", &basket).await.expect(201);
}

#[tokio::test]
async fn an_unpaid_order_closes_and_its_stock_is_free_again() {
    let core = Core::start().await;
    let basket = core.basket("Last bun", 1, &[]).await;
    let item = text(&basket["lines"][0]["item_id"]).to_owned();
    let order = core.post("/v1/orders", &basket).await.expect(201);
    core.clock.advance(limits::PAY_WITHIN_MS - 1);
    core.run_jobs().await;
    assert_eq!(core.stock(&item).await, (1, 0, 1));
    core.clock.advance(1);
    core.run_jobs().await;
    assert_eq!(core.order(&order["id"]).await["state"], "CLOSED");
    assert_eq!(core.stock(&item).await, (1, 1, 0));
    core.run_jobs().await;
    assert_eq!(core.stock(&item).await, (1, 1, 0));
    core.pay(&order, "sandbox_capture").await.problem(409, "invalid-transition");
}

#[tokio::test]
async fn a_diner_cancels_quietly_twice_and_releases_the_stock_once() {
    let core = Core::start().await;
    let order = core.tea_order().await;
    let tea = text(&order["lines"][0]["item_id"]).to_owned();
    let path = format!("/v1/orders/{}/cancel", text(&order["id"]));
    for _ in 0..2 {
        assert_eq!(core.post(&path, &json!({})).await.expect(200)["state"], "CLOSED");
        assert_eq!(core.stock(&tea).await, (1000, 1000, 0));
    }
}

#[tokio::test]
async fn the_merchant_takes_a_paid_order_to_its_end() {
    let core = Core::start().await;
    let order = core.tea_order().await;
    core.pay(&order, "sandbox_capture").await.expect(201);
    let step = |name: &'static str, token: String| {
        let path = format!("/v1/orders/{}/{name}", text(&order["id"]));
        let key = core.fresh_key();
        let request = core.request("POST", &path).bearer_auth(token);
        crate::support::reply(request.header("idempotency-key", key))
    };
    let keeper = || core.merchant(text(&order["store_id"]));
    let diner = || core.token(DINER, &[Role::Diner]);
    step("accept", diner()).await.problem(403, "forbidden");
    step("accept", core.merchant("42")).await.problem(404, "order-not-found");
    step("accept", core.token(9, &[Role::Merchant])).await.problem(404, "order-not-found");
    step("ready", keeper()).await.problem(409, "invalid-transition");
    for (name, state) in [
        ("accept", "ACCEPTED"),
        ("accept", "ACCEPTED"),
        ("prepare", "PREPARING"),
        ("ready", "READY"),
        ("complete", "COMPLETED"),
    ] {
        assert_eq!(step(name, keeper()).await.expect(200)["state"], state);
        if state == "ACCEPTED" {
            step("cancel", diner()).await.problem(409, "invalid-transition");
        }
    }
}

#[tokio::test]
async fn orders_of_others_are_not_found() {
    let core = Core::start().await;
    let order = core.tea_order().await;
    let path = format!("/v1/orders/{}", text(&order["id"]));
    let get = |token: String| crate::support::reply(core.request("GET", &path).bearer_auth(token));
    get(core.token(2002, &[Role::Diner])).await.problem(404, "order-not-found");
    get(core.merchant("42")).await.problem(404, "order-not-found");
    get(core.merchant(text(&order["store_id"]))).await.expect(200);
    get(core.token(2002, &[Role::Admin])).await.expect(200);
    core.get("/v1/orders/12345").await.problem(404, "order-not-found");
    core.get("/v1/orders/nonsense").await.problem(404, "order-not-found");
}

#[tokio::test]
async fn pages_of_orders_follow_each_other() {
    let core = Core::start().await;
    let mut placed = Vec::new();
    for _ in 0..5 {
        placed.insert(0, core.tea_order().await["id"].clone());
    }
    let mut seen: Vec<Value> = Vec::new();
    let mut path = "/v1/orders?limit=2".to_owned();
    loop {
        let page = core.get(&path).await.expect(200);
        seen.extend(page["orders"].as_array().unwrap().iter().map(|order| order["id"].clone()));
        let Some(cursor) = page["next_cursor"].as_str() else { break };
        path = format!("/v1/orders?limit=2&cursor={cursor}");
    }
    assert_eq!(seen, placed);
    let whole = core.get("/v1/orders?limit=5").await.expect(200);
    assert!(whole["next_cursor"].is_null(), "the last page names no next one");
    core.get("/v1/orders?limit=0").await.problem(400, "bad-request");
    core.get("/v1/orders?cursor=x").await.problem(400, "bad-request");
}
