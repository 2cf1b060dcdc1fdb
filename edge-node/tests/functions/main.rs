//! The functions of `spin.toml`, run by edge-node, against a core that each test makes up. `countdown` and
//! `example` are also the examples in the documentation of `edge_node::testing`.

#[rustfmt::skip]
mod countdown;
#[rustfmt::skip]
mod example;

use std::time::Duration;

use bytes::Bytes;
use edge_node::testing::{App, Call, Reply};
use http::Request;
use serde_json::json;

async fn app(core: impl Fn(&Call) -> Reply + Send + Sync + 'static) -> App {
    App::from_manifest("../spin.toml").fake_core("core_url", core).start().await
}

/// The node's cache and the function's own both forget what was purged.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_menu_that_was_purged_is_asked_for_anew() {
    let menu = |version: &str| {
        Reply::json(&json!({ "version": version })).header("etag", &format!("\"{version}\""))
    };
    let app = app(Reply::script([menu("1"), menu("2")])).await;
    let target = "/v1/stores/1/menu?lang=en";
    for version in ["1", "1"] {
        assert_eq!(app.get(target).await.json()["version"], version);
    }
    app.purge(["store:1"]).await;
    assert_eq!(app.get(target).await.json()["version"], "2");
    assert_eq!(app.outbound().len(), 2, "{:?}", app.outbound());
}

/// Nothing is there to stand in for the answer.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_core_that_breaks_off_is_a_503_that_says_when_to_try_again() {
    let app = app(|_| Reply::broken()).await;
    for target in ["/v1/stores", "/v1/deals"] {
        let answer = app.get(target).await;
        assert_eq!(answer.status, 503, "{target}: {answer:?}");
        assert!(answer.header("retry-after").is_some(), "{answer:?}");
    }
}

/// Two applications in one process share nothing that a test could see.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn applications_are_isolated() {
    let named = |name: &'static str| app(move |_| Reply::json(&json!({ "name": name })));
    let (one, two) = (named("one").await, named("two").await);
    assert_eq!(one.get("/v1/stores").await.json()["name"], "one");
    assert_eq!(two.get("/v1/stores").await.json()["name"], "two");
    assert_eq!((one.outbound().len(), two.outbound().len()), (1, 1));
}

/// The scorer is composed in; the core is not asked.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn risk_scores_by_its_dependency_alone() {
    let app = app(|_| Reply::status(500)).await;
    let mut features = json!({
        "action": "coupon-claim", "account_age_days": 0, "orders_30d": 0, "requests_last_minute": 300,
        "basket_minor": 0, "hour_local": 3, "failed_payments_24h": 9, "distinct_cards_7d": 6,
    });
    let scored = app.post_json("/v1/risk/score", &features).await;
    assert_eq!(scored.json()["decision"], "deny", "{scored:?}");
    features["hour_local"] = json!(24);
    let refused = app.post_json("/v1/risk/score", &features).await;
    assert_eq!(
        (refused.status.as_u16(), &refused.json()["errors"][0]["pointer"]),
        (422, &json!("/hour_local"))
    );
    assert!(app.outbound().is_empty());
}

/// A write without a token that the core's keys verify goes no further than the edge.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn forward_refuses_a_forged_token_before_the_core_hears_of_the_write() {
    let app = app(|_| Reply::json(&json!({ "keys": [] })).after(Duration::from_millis(20))).await;
    let request = Request::post("/v1/orders")
        .header("authorization", "Bearer a.b.c")
        .header("idempotency-key", "k")
        .header("content-type", "application/json")
        .body(Bytes::from("{}"))
        .expect("a request");
    let refused = app.send(request).await;
    assert_eq!(refused.status, 401, "{refused:?}");
    assert!(
        app.outbound().iter().all(|call| call.method == http::Method::GET),
        "{:?}",
        app.outbound()
    );
}
