//! The shared cache before real guests: whom it wakes, what it shares, and what a purge leaves.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use bytes::Bytes;
use edge_node::limits;
use http::{Method, Request, Response, StatusCode};
use http_body_util::Full;
use hyper::body::Incoming;
use tokio::sync::{Barrier, Notify};

use crate::common::{Answer, TestNode, Upstream, guests, reply, start};

const SETTINGS: &str = r#"allowed_outbound_hosts = ["http://127.0.0.1:*"]"#;

/// A node whose component `a` answers what the upstream says, and the path for it.
async fn before(upstream: &Upstream) -> (TestNode, String) {
    let node = start(&guests(&[("a", SETTINGS)])).await;
    (node, format!("/a/relay?url={}", upstream.url("/thing")))
}

/// An upstream that says the same each time.
async fn saying(status: u16, headers: &[(&'static str, &'static str)], body: &str) -> Upstream {
    let (headers, body) = (headers.to_vec(), body.to_owned());
    Upstream::start(move |_| {
        let answer = reply(status, &headers, &body);
        async move { answer }
    })
    .await
}

/// An upstream that says the same until it is down.
async fn fragile(
    headers: &[(&'static str, &'static str)],
    down: Response<()>,
) -> (Upstream, Arc<AtomicBool>) {
    let (headers, is_down) = (headers.to_vec(), Arc::new(AtomicBool::new(false)));
    let seen = Arc::clone(&is_down);
    let upstream = Upstream::start(move |_| {
        let answer = match seen.load(Ordering::SeqCst) {
            true => down.clone().map(|()| Full::from("down")),
            false => reply(200, &headers, "up"),
        };
        async move { answer }
    })
    .await;
    (upstream, is_down)
}

/// Everything goes to the upstream, and a second read is answered without it.
#[tokio::test]
async fn before_a_guest_that_is_a_proxy() {
    let headers = [
        ("cache-control", "max-age=60"),
        ("connection", "x-one-hop, x-other"),
        ("x-one-hop", "1"),
        ("age", "20, 0"),
        ("x-kept", "1"),
    ];
    let upstream = saying(200, &headers, "0123456789").await;
    let settings = format!("{SETTINGS}\nvariables = {{ origin = \"{}\" }}", upstream.url(""));
    let node = start(&guests(&[("a", &settings)])).await;
    for is_hit in [false, true] {
        let answer = node.get("/a/thing").await;
        assert_eq!((answer.status, answer.body.as_str()), (StatusCode::OK, "0123456789"));
        assert_eq!(answer.headers.get("x-one-hop"), None);
        assert_eq!(
            (&answer.headers["x-kept"], &answer.headers["age"]),
            (&"1".parse().unwrap(), &"20".parse().unwrap())
        );
        assert_eq!(status(&answer).contains("hit"), is_hit, "{answer:?}");
    }
    let request = Request::get(node.url("/a/thing")).header("range", "bytes=-4");
    let part = node.send(request, "").await;
    assert_eq!((part.status, part.body.as_str()), (StatusCode::PARTIAL_CONTENT, "6789"));
    assert_eq!(part.headers["content-range"], "bytes 6-9/10");
    assert_eq!(upstream.hits(), 1);
}

fn status(answer: &Answer) -> &str {
    answer.headers["cache-status"].to_str().unwrap()
}

async fn purge(node: &TestNode, order: &str) -> Answer {
    let url = format!("http://{}/purge", node.node.admin_address);
    node.send(Request::post(url), order.to_owned()).await
}

async fn purged(node: &TestNode, order: &str) {
    assert_eq!(purge(node, order).await.status, StatusCode::NO_CONTENT, "{order}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_hit_wakes_no_guest_and_counts_like_any_answer() {
    let headers = [("cache-control", "max-age=600"), ("surrogate-key", "t"), ("etag", "\"1\"")];
    let upstream = saying(200, &headers, "fresh").await;
    let (node, target) = before(&upstream).await;
    let first = node.get(&target).await;
    assert!(status(&first).starts_with("edge-node; fwd=miss; fwd-status=200; ttl="), "{first:?}");
    for _ in 0..9 {
        let hit = node.get(&target).await;
        assert_eq!((hit.status, hit.body.as_str()), (StatusCode::OK, "fresh"));
        assert!(status(&hit).starts_with("edge-node; hit; ttl="), "{hit:?}");
        assert!(!hit.headers.contains_key("surrogate-key"));
        assert_ne!(hit.headers["x-trace-id"], first.headers["x-trace-id"]);
    }
    assert_eq!(upstream.hits(), 1);
    let metrics = node.metrics().await;
    for line in [
        r#"edge_cache_requests_total{outcome="hit"} 9"#,
        r#"edge_requests_total{component="a",route="/a/...",status="2xx"} 10"#,
    ] {
        assert!(metrics.contains(line), "{line}\n{metrics}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn heads_conditions_and_codings_need_no_guest() {
    let body = "a long menu, ".repeat(100);
    let headers =
        [("cache-control", "max-age=600"), ("etag", "\"1\""), ("content-type", "text/plain")];
    let upstream = saying(200, &headers, &body).await;
    let (node, target) = before(&upstream).await;
    assert_eq!(node.get(&target).await.body, body);
    let ask = async |method: Method, name: &str, value: &str| {
        let request = Request::builder().method(method).uri(node.url(&target)).header(name, value);
        node.send(request, "").await
    };
    let head = ask(Method::HEAD, "accept", "*/*").await;
    assert_eq!(head.headers["content-length"], body.len().to_string());
    assert_eq!(head.body, "");
    let held = ask(Method::GET, "if-none-match", "\"1\"").await;
    assert_eq!((held.status, held.body.as_str()), (StatusCode::NOT_MODIFIED, ""));
    for coding in ["br", "zstd", "gzip"] {
        let coded = ask(Method::GET, "accept-encoding", coding).await;
        assert_eq!(coded.headers["content-encoding"], coding);
        assert_eq!(coded.headers["etag"], format!("\"1;{coding}\""));
        let bytes: usize = coded.headers["content-length"].to_str().unwrap().parse().unwrap();
        assert!(bytes < body.len() / 2, "{bytes}");
        let tag = format!("\"1;{coding}\"");
        let held = ask(Method::GET, "if-none-match", &tag).await;
        assert_eq!(held.status, StatusCode::NOT_MODIFIED);
        assert_eq!(held.headers["etag"], tag);
    }
    assert_eq!(upstream.hits(), 1);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_crowd_at_expiry_is_one_fetch() {
    let upstream = Upstream::start(async |_| {
        tokio::time::sleep(Duration::from_millis(50)).await;
        reply(200, &[("cache-control", "max-age=600"), ("surrogate-key", "t")], "x")
    })
    .await;
    let (node, target) = before(&upstream).await;
    for fetches in 1..=3 {
        let answers = futures::future::join_all((0..256).map(|_| node.get(&target))).await;
        assert!(answers.iter().all(|answer| answer.body == "x"));
        assert_eq!(upstream.hits(), fetches);
        purged(&node, r#"{"tags": ["t"], "kind": "soft"}"#).await;
    }
}

/// The upstream answers only when all of them have come: fetched one by one, none ever would be.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_not_to_be_shared_is_fetched_side_by_side() {
    const CROWD: usize = 12;
    let (barrier, is_first) = (Arc::new(Barrier::new(CROWD)), AtomicBool::new(true));
    let upstream = Upstream::start(move |_| {
        let (barrier, is_first) = (Arc::clone(&barrier), is_first.swap(false, Ordering::SeqCst));
        async move {
            if !is_first {
                barrier.wait().await;
            }
            reply(200, &[("cache-control", "no-store")], "mine")
        }
    })
    .await;
    let (node, target) = before(&upstream).await;
    assert!(status(&node.get(&target).await).ends_with("detail=no-store"));
    let crowd = futures::future::join_all((0..CROWD).map(|_| node.get(&target)));
    let answers = tokio::time::timeout(Duration::from_secs(9), crowd).await.unwrap();
    assert!(answers.iter().all(|answer| answer.body == "mine"), "{answers:?}");
    assert_eq!(upstream.hits(), CROWD + 1);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_purge_during_a_fill_wins() {
    let (asked, go) = (Arc::new(Notify::new()), Arc::new(Notify::new()));
    let calls = Arc::new(std::sync::atomic::AtomicUsize::new(0));
    let upstream = Upstream::start({
        let (asked, go) = (Arc::clone(&asked), Arc::clone(&go));
        move |_| {
            let (asked, go) = (Arc::clone(&asked), Arc::clone(&go));
            let call = calls.fetch_add(1, Ordering::SeqCst) + 1;
            async move {
                if call == 1 {
                    asked.notify_one();
                    go.notified().await;
                }
                let headers = [("cache-control", "max-age=600"), ("surrogate-key", "x t")];
                reply(200, &headers, &call.to_string())
            }
        }
    })
    .await;
    let (node, target) = before(&upstream).await;
    let late = async {
        asked.notified().await;
        purged(&node, r#"{"tags": ["t"]}"#).await;
        // It joins the fetch that began before the purge.
        let (late, ()) = tokio::join!(node.get(&target), async {
            tokio::time::sleep(Duration::from_millis(100)).await;
            go.notify_one();
        });
        late
    };
    let (early, late) = tokio::join!(node.get(&target), late);
    assert_eq!((early.body.as_str(), late.body.as_str()), ("1", "2"));
    assert_eq!(node.get(&target).await.body, "2");
    assert_eq!(upstream.hits(), 2);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_failing_function_is_stood_in_for_unless_the_answer_is_gone() {
    let control = "max-age=600, stale-if-error=600";
    let headers = [("cache-control", control), ("surrogate-key", "t")];
    let failed = Response::builder().status(503).body(()).unwrap();
    let trapped = Response::builder().header("x-trap", "1").body(()).unwrap();
    let node = start(&guests(&[("a", SETTINGS)])).await;
    for (down, status_when_gone) in [(failed, 503), (trapped, 500)] {
        let (upstream, is_down) = fragile(&headers, down).await;
        let target = format!("/a/relay?url={}", upstream.url("/thing"));
        node.get(&target).await;
        is_down.store(true, Ordering::SeqCst);
        assert_eq!(node.get(&target).await.body, "up", "fresh as it is");
        purged(&node, r#"{"tags": ["t"], "kind": "soft"}"#).await;
        let stale = node.get(&target).await;
        assert_eq!((stale.status.as_u16(), stale.body.as_str()), (200, "up"));
        assert!(status(&stale).ends_with("detail=stale-if-error"), "{stale:?}");
        purged(&node, r#"{"all": true}"#).await;
        let gone = node.get(&target).await;
        assert_eq!(gone.status.as_u16(), status_when_gone, "{gone:?}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nothing_crosses_between_users_or_variants() {
    let upstream = Upstream::start(async |request: Request<Incoming>| {
        let name = |name: &str| request.headers().get(name).map(|v| v.to_str().unwrap().to_owned());
        let who = name("cookie").or(name("authorization")).unwrap_or_else(|| "nobody".to_owned());
        let language = name("accept-language").unwrap_or_default();
        let headers = [("cache-control", "max-age=600"), ("vary", "accept-language")];
        reply(200, &headers, &format!("{who} {language}"))
    })
    .await;
    let (node, target) = before(&upstream).await;
    let ask = async |header: Option<(&str, &str)>, language: &str| {
        let request = Request::get(node.url(&target)).header("accept-language", language);
        let request = header.into_iter().fold(request, |request, (n, v)| request.header(n, v));
        node.send(request, "").await.body
    };
    for _ in 0..2 {
        let (a, b) = (Some(("cookie", "a=1")), Some(("authorization", "b")));
        let all = futures::future::join_all((0..30).map(|n| match n % 4 {
            0 => ask(a, "en"),
            1 => ask(b, "en"),
            2 => ask(None, "zh"),
            _ => ask(None, "en"),
        }));
        for (n, body) in all.await.iter().enumerate() {
            let expected = ["a=1 en", "b en", "nobody zh", "nobody en"][n % 4];
            assert_eq!(body, expected);
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_field_for_caches_goes_before_the_clients() {
    let headers = [("cache-control", "no-store"), ("cdn-cache-control", "max-age=600")];
    let upstream = saying(200, &headers, "x").await;
    let (node, target) = before(&upstream).await;
    for _ in 0..3 {
        assert_eq!(node.get(&target).await.headers["cache-control"], "no-store");
    }
    assert_eq!(upstream.hits(), 1);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn parts_and_long_bodies_pass() {
    let long = "x".repeat(limits::MAX_CACHED_BODY_BYTES + 1);
    let sent = long.clone();
    let upstream = Upstream::start(move |request: Request<Incoming>| {
        let control = [("cache-control", "max-age=600")];
        let answer = match request.headers().get("range") {
            Some(range) => reply(206, &control, range.to_str().unwrap()),
            None => reply(200, &control, &sent),
        };
        async move { answer }
    })
    .await;
    let (node, target) = before(&upstream).await;
    for fetches in 1..=2 {
        let whole = node.get(&target).await;
        assert!(whole.body == long, "{} bytes", whole.body.len());
        assert!(status(&whole).ends_with("detail=length"), "{}", status(&whole));
        assert_eq!(upstream.hits(), fetches);
    }
    let part = Request::get(node.url(&target)).header("range", "bytes=0-1");
    let part = node.send(part, "").await;
    assert_eq!((part.status.as_u16(), part.body.as_str()), (206, "bytes=0-1"));
    assert_eq!(status(&part), "edge-node; fwd=bypass; fwd-status=206; detail=range");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_component_can_do_without() {
    let upstream =
        saying(200, &[("cache-control", "max-age=600"), ("surrogate-key", "t")], "x").await;
    let settings = format!("{SETTINGS}\n[component.a.tool.tiffin]\ncache = false");
    let node = start(&guests(&[("a", &settings)])).await;
    let target = format!("/a/relay?url={}", upstream.url("/"));
    for fetches in 1..=2 {
        let answer = node.get(&target).await;
        assert_eq!(status(&answer), "edge-node; fwd=bypass; fwd-status=200");
        assert!(!answer.headers.contains_key("surrogate-key"));
        assert_eq!(upstream.hits(), fetches);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_purge_that_is_not_understood_is_refused() {
    let node = start(&guests(&[("a", "")])).await;
    let long = format!(r#"{{"tags": ["{}"]}}"#, "x".repeat(limits::MAX_PURGE_BYTES));
    for (order, expected) in [
        ("", 400),
        ("{}", 400),
        (r#"{"tags": []}"#, 400),
        (r#"{"tags": ["a"], "all": true}"#, 400),
        (r#"{"tags": ["a"], "kind": "gentle"}"#, 400),
        (r#"{"tag": "a"}"#, 400),
        (&long, 413),
        (r#"{"all": true, "kind": "soft"}"#, 204),
    ] {
        let answer = purge(&node, order).await;
        assert_eq!(answer.status.as_u16(), expected, "{}", answer.body);
    }
    let url = format!("http://{}/purge", node.node.admin_address);
    let answer = node.send(Request::get(url), Bytes::new()).await;
    assert_eq!(answer.status, StatusCode::METHOD_NOT_ALLOWED);
    assert_eq!(answer.headers["allow"], "POST");
    assert_eq!(purge_at_the_front(&node).await, StatusCode::NOT_FOUND);
}

/// Clients cannot purge: their listener knows no such path.
async fn purge_at_the_front(node: &TestNode) -> StatusCode {
    node.send(Request::post(node.url("/purge")), r#"{"all": true}"#).await.status
}
