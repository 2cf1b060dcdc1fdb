//! Known ids: what a guest reads of them, and what becomes of them with the core and its feed.

use std::time::Duration;

use edge_node::{FeedOptions, FeedToken};
use tiffin_api::known_ids::{FORMAT, IdFilter, KnownIds, STORE};

use crate::common::{TestNode, guests, start_following};
use crate::feed::{FakeCore, say};

const SETTINGS: &str = "key_value_stores = [\"default\"]";

/// The core's answer if it has some stores, and mints from 1000 up to 2000.
fn known_ids(stores: &[i64]) -> String {
    let kinds = [(STORE.to_owned(), IdFilter::of(stores, 7))].into();
    let document =
        KnownIds { format: FORMAT, as_of_ms: 5_000, open_from: 1_000, open_to: 2_000, kinds };
    serde_json::to_string(&document).unwrap()
}

fn reset(head: i64) -> String {
    format!("id: {head}\nevent: reset\ndata: {{\"head\":{head}}}")
}

async fn key(node: &TestNode, operation: &str, key: &str) -> String {
    node.get(&format!("/a/kv?store=default&op={operation}&key={key}&value=x")).await.body
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_guest_reads_which_ids_nothing_has_and_nothing_is_denied_in_doubt() {
    let mut core = FakeCore::start().await;
    let token = FeedToken::Text("secret".to_owned());
    let feed = FeedOptions::new(&[format!("http://{}", core.address)], token).unwrap();
    let node = start_following(&guests(&[("a", SETTINGS)]), feed).await;
    let mut connection = core.greet("id: 10\nevent: hello\ndata: {\"head\":10}").await;

    // An older core has no such answer: the node goes without, and asks again.
    while node.metrics().await.contains("edge_known_ids_failures_total 0\n") {
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    assert_eq!(key(&node, "get", "tiffin:known:store:8").await, "(none)");
    core.set_known_ids(&known_ids(&[7]));
    // A reset makes it ask at once, however long it would have waited after its failures.
    say(&mut connection, &reset(9)).await;
    node.until_metrics("edge_feed_resets_total 1\n").await;
    node.until_metrics("edge_known_ids 1\n").await;
    let request = core.last_request("/internal/known-ids");
    assert!(request.contains("authorization: Bearer secret\r\n"), "{request}");

    for (thing, answer) in [
        ("store:8", "no"),
        ("store:2000", "no"),
        ("store:7", "(none)"),
        ("store:1500", "(none)"),
        ("deal:8", "(none)"),
        ("store:x", "(none)"),
        ("store", "(none)"),
        ("", "(none)"),
    ] {
        let asked = format!("tiffin:known:{thing}");
        assert_eq!(key(&node, "get", &asked).await, answer, "{thing}");
        let exists = (answer == "no").to_string();
        assert_eq!(key(&node, "exists", &asked).await, exists, "{thing}");
        for operation in ["set", "delete"] {
            let refused = key(&node, operation, &asked).await;
            assert!(refused.contains("cannot be written"), "{refused}");
        }
    }
    assert_eq!(key(&node, "keys", "").await, "");
    let metrics = node.metrics().await;
    for line in ["answers_total{answer=\"no\"} 4", "timestamp_seconds 5"] {
        assert!(metrics.contains(&format!("edge_known_ids_{line}\n")), "{line} in {metrics}");
    }

    // Another ledger, whose core says nothing that can be relied on.
    core.set_known_ids(&known_ids(&[7]).replacen("\"hashes\":", "\"hashes\":9", 1));
    say(&mut connection, &reset(4)).await;
    node.until_metrics("edge_feed_resets_total 2\n").await;
    node.until_metrics("edge_known_ids 0\n").await;
    assert_eq!(key(&node, "get", "tiffin:known:store:8").await, "(none)");
    core.set_known_ids(&known_ids(&[8, 9]));
    say(&mut connection, &reset(5)).await;
    node.until_metrics("edge_feed_resets_total 3\n").await;
    node.until_metrics("edge_known_ids 2\n").await;
    assert_eq!(key(&node, "get", "tiffin:known:store:8").await, "(none)");
    assert_eq!(key(&node, "get", "tiffin:known:store:7").await, "no");

    // Without its feed the node goes on with what it has: what could not be then cannot be now.
    drop(connection);
    drop(core);
    node.until_metrics("edge_feed_live 0\n").await;
    assert_eq!(key(&node, "get", "tiffin:known:store:7").await, "no");
}
