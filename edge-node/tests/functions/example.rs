//! An application is started, asked twice, and the core was asked once.

use edge_node::testing::{App, Reply};
use serde_json::json;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn stores_come_from_the_core_once() {
    let stores = json!({ "items": [{ "id": "1", "name": "Noodles" }] });
    let app = App::from_manifest("../spin.toml")
        .fake_core("core_url", move |_| Reply::json(&stores).header("etag", "\"1\""))
        .start()
        .await;
    let first = app.get("/v1/stores?limit=2").await;
    assert_eq!((first.status.as_u16(), first.json()["items"][0]["name"].as_str()), (200, Some("Noodles")));

    let again = app.get("/v1/stores?limit=2").await;
    assert_eq!(again.body, first.body);
    assert!(again.cache_status().contains("hit"), "{}", again.cache_status());

    let calls = app.outbound();
    assert_eq!(calls.len(), 1, "{calls:?}");
    assert!(calls[0].target.starts_with("/v1/stores?"), "{calls:?}");
}
