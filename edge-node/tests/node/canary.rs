//! Two versions of a component side by side.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use http::{Request, StatusCode};

use crate::common::{Answer, TestNode, Upstream, guest, guests, reply, start, start_as, try_start};

/// Components `a`, with a second version, and `b`, without.
fn manifest(version: &str, weight_percent: u8) -> String {
    let settings = "allowed_outbound_hosts = [\"http://127.0.0.1:*\"]";
    let canary = format!(
        "{settings}\n[component.a.tool.tiffin.canary]\nsource = \"{}\"\nversion = \"{version}\"\n\
         weight_percent = {weight_percent}",
        guest().display()
    );
    guests(&[("a", &canary), ("b", settings)])
}

async fn ask(node: &TestNode, method: &str, target: &str, wanted: &str) -> Answer {
    let request = Request::builder().method(method).uri(node.url(target));
    let request = match wanted {
        "" => request,
        wanted => request.header("x-version", wanted),
    };
    node.send(request, "").await
}

fn version(answer: &Answer) -> &str {
    answer.headers.get("x-version").map_or("", |version| version.to_str().unwrap())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_header_or_the_weight_chooses_and_the_answer_says_who_gave_it() {
    let node = start(&manifest("next", 0)).await;
    // Each version counts in instances of its own.
    for (wanted, expected, count) in [
        ("", "stable", "0"),
        ("next", "next", "0"),
        ("stable", "stable", "1"),
        ("unknown", "stable", "2"),
        ("next", "next", "1"),
    ] {
        let answer = ask(&node, "GET", "/a/count", wanted).await;
        assert_eq!((version(&answer), &*answer.body), (expected, count), "{wanted}");
        assert_eq!(answer.headers["vary"], "x-version");
    }
    assert_eq!(version(&ask(&node, "GET", "/b/ok", "next").await), "", "it has one version only");
    assert_eq!(ask(&node, "GET", "/a/trap", "next").await.status, 500);
    let metrics = node.metrics().await;
    for line in [
        r#"edge_version_requests_total{component="a",version="stable",status="2xx"} 3"#,
        r#"edge_version_requests_total{component="a",version="next",status="2xx"} 2"#,
        r#"edge_version_requests_total{component="a",version="next",status="5xx"} 1"#,
        r#"edge_version_request_seconds_count{component="a",version="next"} 3"#,
        r#"edge_requests_total{component="a",route="/a/...",status="2xx"} 5"#,
        r#"edge_instances_started_total{component="a@next"}"#,
    ] {
        assert!(metrics.contains(line), "{line} in {metrics}");
    }

    node.rewrite(&manifest("next", 100));
    let told = node.admin("POST", "/reload").await.body;
    assert!(told.contains("\"renewed\":[]"), "another weight is no other code: {told}");
    assert_eq!(version(&ask(&node, "GET", "/a/count", "").await), "next");
    assert_eq!(version(&ask(&node, "GET", "/a/count", "stable").await), "stable");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_cache_keeps_versions_apart_and_purges_reach_both() {
    let count = Arc::new(AtomicUsize::new(0));
    let upstream = Upstream::start(move |_| {
        let body = (count.fetch_add(1, Ordering::SeqCst) + 1).to_string();
        let headers = [("cache-control", "max-age=600"), ("surrogate-key", "t")];
        async move { reply(200, &headers, &body) }
    })
    .await;
    let node = start(&manifest("next", 0)).await;
    let target = format!("/a/relay?url={}", upstream.url("/thing"));
    let both = async || {
        let stable = ask(&node, "GET", &target, "").await;
        let next = ask(&node, "GET", &target, "next").await;
        assert_eq!((version(&stable), version(&next)), ("stable", "next"));
        [stable.body, next.body]
    };
    assert_eq!(both().await, ["1", "2"]);
    assert_eq!(both().await, ["1", "2"], "from the cache");
    let url = format!("http://{}/purge", node.node.admin_address);
    let purged = node.send(Request::post(url), r#"{"tags":["t"]}"#).await;
    assert_eq!(purged.status, StatusCode::NO_CONTENT);
    assert_eq!(both().await, ["3", "4"]);
    assert_eq!(ask(&node, "POST", &target, "next").await.body, "5");
    assert_eq!(both().await, ["6", "7"], "what one version changed is not shown by the other");
}

/// Behind a proxy all connections come from one address.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_share_is_of_those_whom_a_trusted_proxy_names() {
    for trusted_hops in [0, 1] {
        let node = start_as(&manifest("next", 50), |options| {
            options.clients.trusted_hops = trusted_hops;
        })
        .await;
        let mut versions = BTreeSet::new();
        for number in 0..32 {
            let address = format!("192.0.2.{number}");
            let mut of_one = BTreeSet::new();
            for _ in 0..2 {
                let request = Request::get(node.url("/a/ok")).header("x-forwarded-for", &address);
                of_one.insert(version(&node.send(request, "").await).to_owned());
            }
            assert_eq!(of_one.len(), 1, "{address} goes from one version to the other");
            versions.extend(of_one);
        }
        let expected = [1, 2][trusted_hops];
        assert_eq!(versions.len(), expected, "{trusted_hops}: {versions:?}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_bad_canary_is_named() {
    for (manifest, why) in [
        (manifest("stable", 5), "the first version's name"),
        (manifest("a b", 5), "letters, digits"),
        (manifest("next", 101), "weight_percent must be from 0 to 100"),
        (manifest("next", 5).replace("weight_percent", "weight"), "weight"),
    ] {
        let error = try_start(&manifest, &crate::common::cache_dir(), &[]).await.err().unwrap();
        let error = error.to_string();
        assert!(error.contains("component.a.tool.tiffin.canary"), "{error}");
        assert!(error.contains(why), "{error}");
    }
}
