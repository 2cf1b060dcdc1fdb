//! What a guest keeps: instance memory and key-value stores.

use http::{Request, StatusCode};

use crate::common::{cache_dir, guests, start, try_start_with};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn instances_are_reused() {
    let node = start(&guests(&[("a", "")])).await;
    for expected in 0..5 {
        assert_eq!(node.get("/a/count").await.body, expected.to_string());
    }
    let metrics = node.metrics().await;
    assert!(metrics.contains(r#"edge_instances_started_total{component="a"} 1"#), "{metrics}");
    assert!(metrics.contains(r#"edge_instances_live{component="a"} 1"#), "{metrics}");
}

/// A burst of waiting requests shares a few instances.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_instance_handles_as_many_at_a_time_as_its_hint_says() {
    let hints = "[component.a.tool.tiffin]\ninstance_concurrency = 32";
    let node = start(&guests(&[("a", hints)])).await;
    let answers = futures::future::join_all((0..64).map(|_| node.get("/a/slow?ms=300"))).await;
    assert!(answers.iter().all(|answer| answer.body == "slow"));
    let metrics = node.metrics().await;
    let started: usize = metrics
        .lines()
        .find_map(|l| l.strip_prefix(r#"edge_instances_started_total{component="a"} "#))
        .unwrap()
        .parse()
        .unwrap();
    assert!((2..=16).contains(&started), "{started} instances for 64 requests");
}

/// Two components of one file are two programs: what one remembers, the other never sees.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn components_of_one_file_share_no_memory() {
    let node = start(&guests(&[("a", ""), ("b", "")])).await;
    assert_eq!(node.get("/a/leak?secret=mine").await.body, "");
    assert_eq!(node.get("/b/leak").await.body, "");
    assert_eq!(node.get("/a/leak").await.body, "mine", "the instance itself is reused");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn stores_are_shared_by_label_and_closed_to_others() {
    let settings = |stores| format!("key_value_stores = {stores}");
    let manifest = guests(&[
        ("a", &settings(r#"["default", "extra"]"#)),
        ("b", &settings(r#"["default"]"#)),
        ("c", ""),
    ]);
    let extra = Some("[key_value_store.extra]\ntype = \"memory\"");
    let node = try_start_with(&manifest, extra, &cache_dir(), &[]).await.unwrap();
    for (target, expected) in [
        ("/a/kv?store=default&op=get&key=k", "(none)"),
        ("/a/kv?store=default&op=exists&key=k", "false"),
        ("/a/kv?store=default&op=set&key=k&value=v", ""),
        ("/a/kv?store=default&op=set&key=j&value=w", ""),
        ("/a/kv?store=default&op=exists&key=k", "true"),
        ("/b/kv?store=default&op=get&key=k", "v"),
        ("/b/kv?store=default&op=keys", "j,k"),
        ("/a/kv?store=extra&op=get&key=k", "(none)"),
        ("/b/kv?store=extra&op=get&key=k", "Error::AccessDenied"),
        ("/c/kv?store=default&op=get&key=k", "Error::AccessDenied"),
        ("/c/kv?store=nothing&op=get&key=k", "Error::AccessDenied"),
        ("/b/kv?store=default&op=delete&key=k", ""),
        ("/b/kv?store=default&op=delete&key=k", ""),
        ("/a/kv?store=default&op=get&key=k", "(none)"),
    ] {
        assert_eq!(node.get(target).await.body, expected, "{target}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn keys_and_values_have_limits() {
    let node = start(&guests(&[("a", r#"key_value_stores = ["default"]"#)])).await;
    let key = |length: usize| "k".repeat(length);
    for (operation, key, value, expected) in [
        ("set", key(256), "v".to_owned(), StatusCode::OK),
        ("set", key(257), "v".to_owned(), StatusCode::BAD_REQUEST),
        ("set", key(0), "v".to_owned(), StatusCode::BAD_REQUEST),
        ("set-long", key(1), (1 << 20).to_string(), StatusCode::OK),
        ("set-long", key(1), ((1 << 20) + 1).to_string(), StatusCode::BAD_REQUEST),
    ] {
        let target = format!("/a/kv?store=default&op={operation}&key={key}&value={value}");
        let answer = node.get(&target).await;
        assert_eq!(answer.status, expected, "{operation} {} {value}: {}", key.len(), answer.body);
    }
}

/// More than the store may hold: the newest stay, and the store stays within its bounds.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_full_store_drops_what_was_used_least_recently() {
    let hints = "key_value_stores = [\"default\"]\n[component.a.tool.tiffin]\nmemory_mb = 64";
    let node = start(&guests(&[("a", hints)])).await;
    for number in 0..80 {
        let value = 1 << 20;
        let target = format!("/a/kv?store=default&op=set-long&key=k{number}&value={value}");
        assert_eq!(node.get(&target).await.status, StatusCode::OK);
    }
    let newest = node.get("/a/kv?store=default&op=exists&key=k79").await;
    assert_eq!(newest.body, "true");
    let oldest = node.get("/a/kv?store=default&op=exists&key=k0").await;
    assert_eq!(oldest.body, "false");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_in_a_file_outlives_the_node() {
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("made/by/the/node.db");
    let config = format!("[key_value_store.default]\ntype = \"spin\"\npath = {file:?}");
    let manifest = guests(&[("a", r#"key_value_stores = ["default"]"#)]);
    let cache = cache_dir();
    let start = || try_start_with(&manifest, Some(&config), &cache, &[]);
    let node = start().await.unwrap();
    assert_eq!(node.get("/a/kv?store=default&op=set&key=k&value=v").await.body, "");
    assert!(node.node.shutdown().await);
    let node = start().await.unwrap();
    assert_eq!(node.get("/a/kv?store=default&op=get&key=k").await.body, "v");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_one_client_sends_never_reaches_another() {
    let node = start(&guests(&[("a", "")])).await;
    let ask = async |number: usize| {
        let request = Request::post(node.url("/a/echo")).header("x-number", number);
        node.send(request, format!("body {number}")).await
    };
    let answers = futures::future::join_all((0..200).map(ask)).await;
    for (number, answer) in answers.iter().enumerate() {
        assert_eq!(answer.echoed("x-number"), Some(&*number.to_string()));
        assert!(answer.body.ends_with(&format!("\n\nbody {number}")), "{}", answer.body);
    }
}
