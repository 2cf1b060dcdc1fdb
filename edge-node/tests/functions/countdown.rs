//! A countdown is told from a definition that is kept, by the core's clock; what the function keeps and writes is looked at.

use edge_node::testing::{App, Call, Reply};
use serde_json::json;

/// A core whose clock stands a minute after the start of its only deal.
fn core(call: &Call) -> Reply {
    match call.target.split('?').next() {
        Some("/v1/time") => Reply::json(&json!({ "now_ms": 10_060_000, "uncertainty_ms": 0 })),
        Some("/v1/deals/7") => Reply::json(&json!({
            "id": "7", "store_id": "1", "item_id": "2", "title": "Noodle hour", "price_minor": 500,
            "currency": "EUR", "start_ms": 10_000_000, "end_ms": 20_000_000, "status": "SCHEDULED", "version": 3,
        })).header("etag", "\"3\""),
        _ => Reply::status(404),
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_countdown_runs_on_the_cores_clock_from_a_definition_that_is_kept() {
    let app = App::from_manifest("../spin.toml").fake_core("core_url", core).start().await;
    for cached in ["fwd=miss", "hit"] {
        let answer = app.get("/v1/deals/7/countdown").await;
        assert!(answer.cache_status().contains(&format!("tiffin-countdown; {cached}")), "{answer:?}");
        let countdown = answer.json();
        assert_eq!((&countdown["phase"], &countdown["version"]), (&json!("RUNNING"), &json!(3)));
        let now_ms = countdown["server_now_ms"].as_i64().expect("a number");
        assert!((10_060_000..10_120_000).contains(&now_ms), "{countdown}");
    }

    // What the function keeps for its next instance is in its key-value store.
    let store = app.store("default");
    let kept = store.keys().await;
    assert!(kept.contains(&"tiffin-countdown:clock".to_owned()), "{kept:?}");
    assert!(store.get("tiffin-countdown:/v1/deals/7?lang=en").await.is_some(), "{kept:?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_an_earlier_instance_measured_is_the_time_while_the_core_is_gone() {
    let app = App::from_manifest("../spin.toml").fake_core("core_url", |_| Reply::broken()).start().await;
    let since_epoch = std::time::SystemTime::UNIX_EPOCH.elapsed().expect("it is later than 1970");
    let now_ms = i64::try_from(since_epoch.as_millis()).expect("a date of this age");
    let sample = json!({ "offset_ms": 3_600_000, "uncertainty_ms": 5, "taken_at_ms": now_ms - 20_000 });
    app.store("default").set("tiffin-countdown:clock", sample.to_string()).await;

    let time = app.get("/v1/time").await.json();
    let ahead_ms = time["now_ms"].as_i64().expect("a number") - now_ms;
    assert!((3_600_000..3_660_000).contains(&ahead_ms), "{time}");

    // It has tried: what it says of that is for whoever runs it.
    let line = app.logged("GET /v1/time").await;
    assert_eq!((line.component.as_str(), line.stream), ("countdown", "stderr"), "{:?}", app.log());
}
