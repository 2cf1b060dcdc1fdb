//! Bad input gets a clear answer in the 400s, private routes need a token, and the API describes itself.

use crate::support::{Core, DINER, Reply, reply, text};
use core_service::limits;
use serde_json::json;
use tiffin_api::token::Role;

#[tokio::test]
async fn private_routes_need_a_valid_token() {
    let core = Core::start().await;
    let bare = reply(core.request("GET", "/v1/orders")).await;
    bare.problem(401, "unauthenticated");
    assert_eq!(bare.headers["www-authenticate"], "Bearer", "no token, no error");
    let token = core.token(DINER, &[Role::Diner]);
    let cut = &token[..token.len() - 3];
    let invalid = reply(core.request("GET", "/v1/orders").bearer_auth(cut)).await;
    invalid.problem(401, "unauthenticated");
    assert_eq!(invalid.headers["www-authenticate"], "Bearer error=\"invalid_token\"");
    core.clock.advance(920_000);
    reply(core.request("GET", "/v1/orders").bearer_auth(token)).await.problem(401, "token-expired");
    let diner = core.token(DINER, &[Role::Diner]);
    let import = core
        .request("POST", "/v1/admin/import")
        .bearer_auth(diner)
        .header("content-type", "application/x-ndjson")
        .body("{}");
    reply(import).await.problem(403, "forbidden");

    let unsigned = core.webhook(&json!({}), "").await;
    unsigned.problem(401, "invalid-signature");
    assert!(!unsigned.headers.contains_key("www-authenticate"), "no token would help");
}

#[tokio::test]
async fn ready_means_that_the_ledger_can_be_read() {
    let core = Core::start().await;
    assert_eq!(reply(core.request("GET", "/readyz")).await.status, 200);
    let mut tx = core.app.db.write().await.unwrap();
    sqlx::query("DROP TABLE _sqlx_migrations").execute(&mut *tx).await.unwrap();
    tx.commit().await.unwrap();
    let broken = reply(core.request("GET", "/readyz")).await;
    broken.problem(503, "unavailable");
    assert!(broken.headers.contains_key("retry-after"));
}

#[tokio::test]
async fn a_note_is_one_line_that_can_be_shown() {
    let core = Core::start().await;
    let basket = core.basket("Tea", 1, &[]).await;
    let order = async |note: &str| {
        let mut body = basket.clone();
        body["note"] = json!(note);
        core.post("/v1/orders", &body).await
    };
    for note in [
        "\u{1b}p no salt",
        "cut\u{1d}V",
        "a\r\nb",
        "a\0b",
        "\u{202e}hot ton",
        "\u{3164}",
        "\u{2061} ",
    ] {
        let refused = order(note).await.problem(422, "validation-failed");
        assert_eq!(refused["errors"][0]["pointer"], "/note", "{note:?}");
    }
    for note in ["", "no onions, please 🙏🏽", "بدون پیاز می\u{200c}خواهم", "👩‍🍳!"]
    {
        assert_eq!(order(note).await.expect(201)["note"], note);
    }
}

#[tokio::test]
async fn a_member_that_stands_twice_is_refused_wherever_it_is() {
    let core = Core::start().await;
    let basket = core.basket("Tea", 2, &[]).await.to_string();
    let diner = core.token(DINER, &[Role::Diner]);
    let send = |path: &'static str, body: String| {
        let request = core.request("POST", path).bearer_auth(&diner);
        let request = request.header("idempotency-key", core.fresh_key());
        reply(request.header("content-type", "application/json").body(body))
    };
    let with = |more: &str| format!("{}{more}}}", &basket[..basket.len() - 1]);
    for (body, pointer) in [
        (with(r#","note":"mild","note":"hot""#), "/note"),
        (with(r#","nobody":{"reads":[{"this":1,"th\u0069s":1}]}"#), "/nobody/reads/0/this"),
        (basket.replace(r#""quantity":2"#, r#""quantity":1,"quantity":2"#), "/lines/0/quantity"),
    ] {
        for path in ["/v1/orders", "/v1/quotes", "/v1/coupons/validate"] {
            let refused = send(path, body.clone()).await.problem(422, "validation-failed");
            assert_eq!(refused["errors"][0]["pointer"], pointer, "{path} {body}");
        }
    }
    let order = core.tea_order().await;
    let (id, method) = (text(&order["id"]), r#""method":"sandbox_capture""#);
    let pay = format!("/v1/orders/{id}/payments").leak();
    send(pay, format!("{{{method},{method}}}")).await.problem(422, "validation-failed");
    let event = r#"{"outcome":"failed","outcome":"captured"}"#;
    let signature = core.sign_webhook_text(event);
    let request = core.request("POST", "/v1/webhooks/payments/sandbox");
    let request = request.header("tiffin-signature", signature).body(event);
    reply(request).await.problem(422, "validation-failed");
    assert_eq!(core.count("SELECT COUNT(*) FROM payments").await, 0);
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

/// The wait that a refusal names, s: its header, its document and its sentence agree.
fn told_wait(refused: &Reply) -> u64 {
    let problem = refused.problem(429, "rate-limited");
    let header = refused.headers["retry-after"].to_str().unwrap();
    assert_eq!(problem["retry_after_s"].to_string(), header, "{problem}");
    assert!(text(&problem["detail"]).contains(&format!("again in {header} s")), "{problem}");
    header.parse().unwrap()
}

/// Asks until the limit refuses, which it does after `most` and no sooner. A fast store that is slow for a moment
/// may leave a request uncounted.
async fn until_refused(most: u32, ask: impl AsyncFn() -> Reply) -> Reply {
    for asked in 0..2 * most {
        let answer = ask().await;
        if answer.status == 429 {
            assert!(asked >= most, "refused after {asked} of {most}");
            return answer;
        }
    }
    panic!("nothing was refused");
}

#[tokio::test]
async fn who_pays_too_often_is_told_how_long_to_wait() {
    let core = Core::start().await;
    let order = core.tea_order().await;
    let pay = async || core.pay(&order, "sandbox_capture").await;
    pay().await.expect(201);
    core.clock.advance(10_000);
    // The first try leaves the window 60 s after it was made.
    let refused = until_refused(limits::PAYMENTS_PER_USER.limit - 1, pay).await;
    assert_eq!(told_wait(&refused), 50);
    core.clock.advance(48_500);
    assert_eq!(told_wait(&pay().await), 2);
    core.clock.advance(1_499);
    assert_eq!(told_wait(&pay().await), 1);
    core.clock.advance(1);
    pay().await.problem(409, "invalid-transition");
}

#[tokio::test]
async fn who_writes_too_fast_is_told_how_long_to_wait() {
    let core = Core::start().await;
    let basket = json!({
        "store_id": "1", "fulfilment": {"kind": "pickup"},
        "lines": [{"item_id": "1", "quantity": 1}],
    });
    let order = async || core.post("/v1/orders", &basket).await;
    let most = limits::WRITES_UNCOUNTED.capacity + limits::WRITES_PER_USER.capacity;
    assert_eq!(told_wait(&until_refused(most, order).await), 1);
    core.clock.advance(1_000);
    order().await.problem(404, "store-not-found");
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

#[tokio::test]
async fn the_api_describes_every_refusal() {
    let core = Core::start().await;
    let document = reply(core.request("GET", "/openapi.json")).await.expect(200);
    let paths = document["paths"].as_object().unwrap();
    let operations = paths.iter().flat_map(|(path, methods)| {
        let methods = methods.as_object().unwrap().iter();
        methods.map(move |(method, operation)| (format!("{method} {path}"), operation))
    });
    for (name, operation) in operations {
        let responses = operation["responses"].as_object().unwrap();
        for (status, response) in responses {
            let described = response["description"].as_str().is_some_and(|text| !text.is_empty());
            assert!(described, "{name} {status}: {response}");
            if status.starts_with(['4', '5']) {
                let content = response["content"].as_object().unwrap();
                let kinds: Vec<_> = content.keys().collect();
                assert_eq!(kinds, ["application/problem+json"], "{name} {status}");
                let schema = &content["application/problem+json"]["schema"]["$ref"];
                assert_eq!(schema, "#/components/schemas/Problem", "{name} {status}");
            }
        }
        let names = |status: &str, code: &str| {
            let response = responses.get(status).unwrap_or_else(|| panic!("{name}: no {status}"));
            let said = response["description"].as_str().unwrap();
            assert!(said.contains(code), "{name} {status}: {code} is missing from {said:?}");
        };
        names("503", "unavailable");
        assert!(responses["503"]["headers"]["Retry-After"].is_object(), "{name}");
        if let Some(limited) = responses.get("429") {
            names("429", "rate-limited");
            assert!(limited["headers"]["Retry-After"].is_object(), "{name}");
        }
        if operation.get("security").is_some() {
            names("401", "token-expired");
        }
        let parameters = operation["parameters"].as_array().into_iter().flatten();
        if parameters.into_iter().any(|parameter| parameter["name"] == "Idempotency-Key") {
            names("400", "idempotency-key-missing");
            names("400", "idempotency-key-invalid");
            names("409", "idempotency-in-flight");
            names("422", "idempotency-key-reused");
        }
        if operation.get("requestBody").is_some() {
            names("400", "malformed-json");
            names("413", "body-too-large");
        }
    }
}
