//! Bad input gets a clear answer in the 400s, private routes need a token, and the API describes itself.

use crate::support::{Core, DINER, reply};
use serde_json::json;
use tiffin_api::token::Role;

#[tokio::test]
async fn private_routes_need_a_valid_token() {
    let core = Core::start().await;
    let bare = reply(core.request("GET", "/v1/orders")).await;
    bare.problem(401, "unauthenticated");
    assert!(bare.headers["www-authenticate"].to_str().unwrap().starts_with("Bearer"));
    let token = core.token(DINER, &[Role::Diner]);
    let cut = &token[..token.len() - 3];
    reply(core.request("GET", "/v1/orders").bearer_auth(cut)).await.problem(401, "unauthenticated");
    core.clock.advance(920_000);
    reply(core.request("GET", "/v1/orders").bearer_auth(token)).await.problem(401, "token-expired");
    let diner = core.token(DINER, &[Role::Diner]);
    let import = core
        .request("POST", "/v1/admin/import")
        .bearer_auth(diner)
        .header("content-type", "application/x-ndjson")
        .body("{}");
    reply(import).await.problem(403, "forbidden");
}

#[tokio::test]
async fn bad_requests_are_refused_by_name() {
    let core = Core::start().await;
    let post = |kind: &'static str, body: String| {
        let request = core.request("POST", "/v1/quotes").header("content-type", kind).body(body);
        reply(request)
    };
    post("application/json", "{".to_owned()).await.problem(400, "malformed-json");
    post("application/json", "[]".to_owned()).await.problem(400, "malformed-json");
    post("text/plain", "{}".to_owned()).await.problem(415, "unsupported-media-type");
    let large = format!("{{\"pad\":\"{}\"}}", "x".repeat(300 * 1024));
    post("application/json", large).await.problem(413, "body-too-large");

    let basket = json!({
        "store_id": "1", "fulfilment": {"kind": "pickup"},
        "lines": [{"item_id": "1", "quantity": 0}],
    });
    let invalid = core.post("/v1/quotes", &basket).await.problem(422, "validation-failed");
    assert_eq!(invalid["errors"][0]["pointer"], "/lines/0/quantity");
    let mut unknown = basket;
    unknown["lines"][0]["quantity"] = json!(1);
    core.post("/v1/quotes", &unknown).await.problem(404, "store-not-found");
}

#[tokio::test]
async fn unknown_paths_and_methods_are_problems_too() {
    let core = Core::start().await;
    reply(core.request("GET", "/nowhere")).await.problem(404, "route-not-found");
    let wrong = reply(core.request("DELETE", "/v1/orders")).await;
    wrong.problem(405, "method-not-allowed");
    assert!(wrong.headers.contains_key("allow"));
}

#[tokio::test]
async fn the_api_describes_every_route() {
    let core = Core::start().await;
    let document = reply(core.request("GET", "/openapi.json")).await.expect(200);
    assert!(document["openapi"].as_str().unwrap().starts_with("3.1"));
    let paths: Vec<_> = document["paths"].as_object().unwrap().keys().cloned().collect();
    for path in [
        "/v1/stores",
        "/v1/stores/{id}",
        "/v1/stores/{id}/menu",
        "/v1/deals",
        "/v1/deals/{id}",
        "/v1/time",
        "/v1/quotes",
        "/v1/orders",
        "/v1/orders/{id}",
        "/v1/orders/{id}/payments",
        "/v1/orders/{id}/cancel",
        "/v1/webhooks/payments/{provider}",
        "/v1/admin/import",
    ] {
        assert!(paths.iter().any(|known| known == path), "{path} is missing from {paths:?}");
    }
}
