//! From a basket to a paid order, through the edge.

use serde_json::json;
use tiffin_tests::{DINER, House, text};

#[tokio::test]
async fn a_diner_orders_and_pays() {
    let house = House::start().await;
    let token = house.token(DINER);
    let mut basket = house.basket().await;
    let quoted = house.edge.send(house.edge.request("POST", "/v1/quotes").json(&basket)).await;
    let quote = quoted.expect(200);
    basket["quote_id"] = quote["quote_id"].clone();
    basket["total_minor"] = json!(1);
    basket["lines"][0]["price_minor"] = json!(1);
    let order = house.edge.post("/v1/orders", &token, "order", &basket).await.expect(201);
    assert_eq!(order["total_minor"], quote["total_minor"], "the client's price is ignored");

    let path = format!("/v1/orders/{}", text(&order["id"]));
    let pay = json!({"method": "sandbox_capture"});
    let payment = house.edge.post(&format!("{path}/payments"), &token, "pay", &pay).await;
    assert_eq!(payment.expect(201)["state"], "CAPTURED");
    let read = house.edge.send(house.edge.request("GET", &path).bearer_auth(&token)).await;
    assert_eq!(read.expect(200)["state"], "PAID");
    assert_eq!(read.header("cache-control"), "private, no-store");

    let stranger = house.token("2002");
    let peek = house.edge.send(house.edge.request("GET", &path).bearer_auth(stranger)).await;
    peek.problem(404, "order-not-found");
}

#[tokio::test]
async fn the_same_post_is_one_order_however_often_it_is_sent() {
    let house = House::start().await;
    let token = house.token(DINER);
    let basket = house.basket().await;
    let post = |key: &'static str| house.edge.post("/v1/orders", &token, key, &basket);

    let (first, second) = (post("twice").await, post("twice").await);
    assert_eq!((first.status, second.status), (201, 201));
    assert_eq!(first.bytes, second.bytes);
    assert_eq!(second.header("idempotent-replayed"), "true");

    let mut other = basket.clone();
    other["note"] = json!("no onions");
    let reused = house.edge.post("/v1/orders", &token, "twice", &other).await;
    reused.problem(422, "idempotency-key-reused");

    let replies = futures::future::join_all((0..50).map(|_| post("fifty"))).await;
    let placed: Vec<_> = replies.iter().filter(|reply| reply.status == 201).collect();
    assert!(placed.iter().all(|reply| reply.bytes == placed[0].bytes));
    for reply in replies.iter().filter(|reply| reply.status != 201) {
        reply.problem(409, "idempotency-in-flight");
    }
    let request = house.edge.request("GET", "/v1/orders").bearer_auth(&token);
    let orders = house.edge.send(request).await.expect(200);
    assert_eq!(orders["orders"].as_array().unwrap().len(), 2, "one for each key");
}

#[tokio::test]
async fn a_price_that_changed_since_the_quote_is_told() {
    let house = House::start().await;
    let token = house.token(DINER);
    let store = json!({
        "kind": "store", "ref": "corner", "name": {"en": "Corner"}, "lang": "en", "currency": "EUR",
        "time_zone": "UTC", "address": "Corner 1", "location": {"lat": 52.5, "lng": 13.4},
        "fulfilment": ["pickup"],
        "hours": [{"days": ["mon", "tue", "wed", "thu", "fri", "sat", "sun"], "from": "00:00", "to": "24:00"}],
        "tax": {"inclusive": true, "classes": {"food": 70_000}, "fee_class": "food"},
    });
    let category =
        json!({"kind": "category", "store": "corner", "ref": "all", "name": {"en": "All"}});
    let soup = |price_minor: i64| {
        json!({
            "kind": "item", "store": "corner", "ref": "soup", "category": "all",
            "name": {"en": "Soup"}, "price_minor": price_minor, "tax_class": "food", "stock": 10,
        })
    };
    house.import_rows(&[store.clone(), category.clone(), soup(500)]).await;
    let stores = house.core.get("/v1/stores?lang=en&limit=100").await.expect(200);
    let corner = stores["stores"].as_array().unwrap().iter().find(|s| s["name"] == "Corner");
    let id = text(&corner.unwrap()["id"]).to_owned();
    let menu = house.edge.get(&format!("/v1/stores/{id}/menu?lang=en")).await.expect(200);
    let mut basket = json!({
        "store_id": id, "fulfilment": {"kind": "pickup"},
        "lines": [{"item_id": menu["categories"][0]["items"][0]["id"], "quantity": 2}],
    });
    let quote = house.edge.send(house.edge.request("POST", "/v1/quotes").json(&basket)).await;
    basket["quote_id"] = quote.expect(200)["quote_id"].clone();

    house.import_rows(&[store, category, soup(550)]).await;
    let refused = house.edge.post("/v1/orders", &token, "stale", &basket).await;
    let problem = refused.problem(409, "price-changed");
    assert_eq!(problem["total_minor"], 1100);
    basket["quote_id"] = problem["quote_id"].clone();
    let order = house.edge.post("/v1/orders", &token, "agreed", &basket).await.expect(201);
    assert_eq!(order["total_minor"], 1100);
}

#[tokio::test]
async fn private_routes_need_a_token_at_the_edge_already() {
    let house = House::start().await;
    let before = requests_of_the_core(&house).await;
    for path in ["/v1/orders", "/v1/orders/1", "/v1/me/coupons"] {
        let bare = house.edge.get(path).await;
        bare.problem(401, "unauthenticated");
        assert!(bare.header("www-authenticate").starts_with("Bearer"), "{path}");
    }
    let token = house.token(DINER);
    let cut = house.edge.request("GET", "/v1/orders").bearer_auth(&token[..token.len() - 4]);
    house.edge.send(cut).await.problem(401, "unauthenticated");
    assert_eq!(requests_of_the_core(&house).await, before, "refused without asking the core");
    for path in ["/v1/admin/import", "/internal/feed", "/sandbox/payments/1/webhooks"] {
        let request = house.edge.request("POST", path).bearer_auth(&token).body("{}");
        assert_eq!(house.edge.send(request).await.status, 404, "{path} has no door at the edge");
    }
}

/// How many requests for orders the core has answered.
async fn requests_of_the_core(house: &House) -> u64 {
    let metrics = house.core.get("/metrics").await;
    let text = String::from_utf8(metrics.bytes).unwrap();
    let of_orders = |line: &&str| line.contains("requests_total") && line.contains("/orders");
    let counts = text.lines().filter(of_orders).filter_map(|line| line.rsplit(' ').next());
    counts.map(|count| count.parse::<u64>().unwrap()).sum()
}
