//! Taking up a new application while requests go on.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::Duration;

use http::StatusCode;
use serde_json::Value;

use crate::common::{Answer, TestNode, Upstream, guests, reply, start, start_as};

/// A component `a` whose variable `v` tells which version it is.
fn version(number: usize) -> String {
    let variables = format!("variables = {{ v = \"{number}\" }}");
    guests(&[("a", &variables)])
}

fn json(answer: &Answer) -> Value {
    serde_json::from_str(&answer.body).unwrap_or_else(|_| panic!("{answer:?}"))
}

async fn reload(node: &TestNode) -> Value {
    let answer = node.admin("POST", "/reload").await;
    assert_eq!(answer.status, StatusCode::OK, "{answer:?}");
    json(&answer)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn reloads_under_load_fail_no_request_and_show_nothing_old_afterwards() {
    const RELOADS: usize = 5;
    let node = Arc::new(start(&version(1)).await);
    let (written, acknowledged) = (Arc::new(AtomicUsize::new(1)), Arc::new(AtomicUsize::new(1)));
    let is_over = Arc::new(AtomicBool::new(false));
    // What the function says each time, what lies in the cache, and what many ask for at once.
    let targets = ["/a/var?name=v", "/a/var?name=v&max_age=600", "/a/var?name=v&max_age=0"];
    let clients: Vec<_> = (targets.into_iter().cycle().take(6))
        .map(|target| {
            let (node, is_over) = (Arc::clone(&node), Arc::clone(&is_over));
            let (written, acknowledged) = (Arc::clone(&written), Arc::clone(&acknowledged));
            tokio::spawn(async move {
                let mut asked = 0;
                while !is_over.load(Ordering::SeqCst) {
                    let least = acknowledged.load(Ordering::SeqCst);
                    let answer = node.get(target).await;
                    let most = written.load(Ordering::SeqCst);
                    assert_eq!(answer.status, StatusCode::OK, "{answer:?}");
                    let version: usize = answer.body.parse().unwrap();
                    assert!((least..=most).contains(&version), "{version} of {least}..={most}");
                    asked += 1;
                }
                asked
            })
        })
        .collect();
    // It is still in progress in an application that was replaced long ago.
    let slow = {
        let node = Arc::clone(&node);
        tokio::spawn(async move { node.get("/a/slow?ms=3000").await })
    };
    for number in 2..=1 + RELOADS {
        tokio::time::sleep(Duration::from_millis(150)).await;
        written.store(number, Ordering::SeqCst);
        node.rewrite(&version(number));
        let told = reload(&node).await;
        acknowledged.store(number, Ordering::SeqCst);
        assert_eq!(told["generation"], number, "{told}");
        assert_eq!(told["renewed"], serde_json::json!(["a"]), "{told}");
    }
    tokio::time::sleep(Duration::from_millis(150)).await;
    is_over.store(true, Ordering::SeqCst);
    for client in clients {
        assert!(client.await.unwrap() > RELOADS, "it asked all the time");
    }
    assert_eq!(slow.await.unwrap().body, "slow");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_bad_application_changes_nothing_and_says_why() {
    let good = version(1);
    let node = start(&good).await;
    for (bad, why) in [
        ("nonsense".to_owned(), "spin.toml:1:9: "),
        (good.replace("guest.wasm", "gone.wasm"), "gone.wasm does not exist"),
        (good.replace("[component.a]", "[component.b]"), "names the component \"a\""),
    ] {
        node.rewrite(&bad);
        let answer = node.admin("POST", "/reload").await;
        assert_eq!(answer.status, StatusCode::UNPROCESSABLE_ENTITY, "{answer:?}");
        assert_eq!(answer.headers["content-type"], "application/problem+json");
        let problem = json(&answer);
        assert_eq!(problem["code"], "reload-failed", "{problem}");
        assert!(problem["detail"].as_str().unwrap().contains(why), "{problem}");
        assert_eq!(node.get("/a/var?name=v").await.body, "1");
    }
    node.rewrite(&good);
    assert_eq!(reload(&node).await["generation"], 1, "what is served is on disk again");
    node.rewrite(&version(2).replace("name = \"test\"", "name = \"test\"\nversion = \"0.2\""));
    let told = reload(&node).await;
    let metrics = node.metrics().await;
    for line in [
        r#"edge_reloads_total{what="application",outcome="failed"} 3"#,
        r#"edge_reloads_total{what="application",outcome="unchanged"} 1"#,
        r#"edge_reloads_total{what="application",outcome="reloaded"} 1"#,
        r#"edge_application{name="test",version="0.2"} 1"#,
        "edge_application_generation 2",
    ] {
        assert!(metrics.contains(line), "{line} in {metrics}");
    }
    assert_eq!((&told["version"], &told["generation"]), (&"0.2".into(), &2.into()));
    let ready = node.admin("GET", "/readyz").await.body;
    assert_eq!(ready, "ready\napplication: test\nversion: 0.2\ngeneration: 2\n");
    assert_eq!(node.admin("GET", "/reload").await.status, StatusCode::METHOD_NOT_ALLOWED);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_did_not_change_keeps_its_instances_its_answers_and_its_stores() {
    let upstream =
        Upstream::start(|_| async { reply(200, &[("cache-control", "max-age=600")], "up") });
    let upstream = upstream.await;
    let settings =
        "allowed_outbound_hosts = [\"http://127.0.0.1:*\"]\nkey_value_stores = [\"default\"]";
    let manifest = |of_a: &str, more: &str| {
        let of_a = format!("{settings}\n{of_a}");
        let mut components = vec![("a", of_a.as_str()), ("b", settings)];
        components.extend((!more.is_empty()).then_some((more, "")));
        guests(&components)
    };
    let node = start(&manifest("", "")).await;
    let (thing, store) = (upstream.url("/thing"), "kv?store=default&key=k");
    let ask = async |component: &str| {
        let answer = node.get(&format!("/{component}/relay?url={thing}")).await;
        let status = answer.headers["cache-status"].to_str().unwrap().to_owned();
        (answer.status, status.contains("; hit"))
    };
    let warm = async || {
        for component in ["a", "b"] {
            ask(component).await;
            assert_eq!(ask(component).await, (StatusCode::OK, true));
        }
    };
    warm().await;
    assert_eq!(node.get("/b/count").await.body, "0");
    node.get(&format!("/a/{store}&op=set&value=kept")).await;

    node.rewrite(&manifest("environment = { NEW = \"1\" }", ""));
    assert_eq!(reload(&node).await["renewed"], serde_json::json!(["a"]));
    assert_eq!(ask("a").await, (StatusCode::OK, false), "of code or configuration that is gone");
    assert_eq!(ask("b").await, (StatusCode::OK, true));
    assert_eq!(node.get("/b/count").await.body, "1", "the same instance");
    for component in ["a", "b"] {
        let kept = node.get(&format!("/{component}/{store}&op=get")).await;
        assert_eq!(kept.body, "kept");
    }

    // Another route may answer now what lies in the cache: everything is asked anew, by whoever ran before.
    warm().await;
    node.rewrite(&manifest("environment = { NEW = \"1\" }", "c"));
    assert_eq!(reload(&node).await["renewed"], serde_json::json!(["c"]));
    assert_eq!(ask("b").await, (StatusCode::OK, false));
    assert_eq!(node.get("/b/count").await.body, "2");
    assert_eq!(node.get("/c/ok").await.body, "ok");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn who_asks_other_components_is_answered_by_those_of_its_own_time() {
    let chain = "allowed_outbound_hosts = [\"http://*.spin.internal\"]";
    let manifest = |number: usize| {
        let variables = format!("variables = {{ v = \"{number}\" }}");
        guests(&[("a", chain), ("b", &variables)])
    };
    let node = start(&manifest(1)).await;
    let target = "/a/fetch?url=http://b.spin.internal/var%3Fname=v";
    assert_eq!(node.get(target).await.body, "1");
    node.rewrite(&manifest(2));
    assert_eq!(reload(&node).await["renewed"], serde_json::json!(["a", "b"]));
    assert_eq!(node.get(target).await.body, "2");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_watched_application_is_taken_up_when_it_changes() {
    let node = start_as(&version(1), |options| options.watch = true).await;
    assert_eq!(node.get("/a/var?name=v").await.body, "1");
    node.rewrite(&version(2));
    node.until_metrics("edge_application_generation 2").await;
    assert_eq!(node.get("/a/var?name=v").await.body, "2");
}
