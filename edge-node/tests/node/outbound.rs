//! Invariants 2 and 4: a guest reaches only what it was granted, and identical reads go out once.

use std::sync::Arc;
use std::time::{Duration, Instant};

use http::{Request, StatusCode};
use tokio::sync::{Notify, watch};

use crate::common::{TestNode, Upstream, guests, reply, start};

const ANY_LOCAL: &str = r#"allowed_outbound_hosts = ["http://127.0.0.1:*", "http://localhost:*"]"#;

/// The settings of a component whose requests all reach it: no cache brings them together before.
fn uncached(id: &str, hints: &str) -> String {
    format!("{ANY_LOCAL}\n[component.{id}.tool.tiffin]\ncache = false\n{hints}")
}

async fn fetch(node: &TestNode, component: &str, url: &str) -> String {
    node.get(&format!("/{component}/fetch?url={url}")).await.body
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn only_allowed_hosts_are_reached() {
    let upstream = Upstream::start(async |_| reply(200, &[], "core")).await;
    let exact = format!("allowed_outbound_hosts = [\"{}\"]", upstream.url(""));
    let node = start(&guests(&[("exact", &exact), ("none", "")])).await;
    assert_eq!(fetch(&node, "exact", &upstream.url("/x")).await, "core");
    let other_name = format!("http://localhost:{}/x", upstream.address.port());
    assert_eq!(fetch(&node, "exact", &other_name).await, "ErrorCode::HttpRequestDenied");
    assert_eq!(fetch(&node, "none", &upstream.url("/x")).await, "ErrorCode::HttpRequestDenied");
    assert_eq!(upstream.hits(), 1);
    let metrics = node.metrics().await;
    for line in [
        r#"edge_outbound_requests_total{component="exact",outcome="ok"} 1"#,
        r#"edge_outbound_requests_total{component="none",outcome="denied"} 1"#,
    ] {
        assert!(metrics.contains(line), "{line}\n{metrics}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn failures_have_their_own_codes() {
    let silent = Upstream::start(async |_| {
        tokio::time::sleep(Duration::from_secs(30)).await;
        reply(200, &[], "")
    })
    .await;
    let long = Upstream::start(async |_| reply(200, &[], &"x".repeat(9 << 20))).await;
    let settings = "allowed_outbound_hosts = [\"http://127.0.0.1:*\", \"http://no.invalid\"]\n\
                    [component.a.tool.tiffin]\nupstream_timeout_ms = 300";
    let node = start(&guests(&[("a", settings)])).await;
    let begin = Instant::now();
    assert_eq!(fetch(&node, "a", &silent.url("/")).await, "ErrorCode::HttpResponseTimeout");
    assert!(begin.elapsed() < Duration::from_secs(3), "{:?}", begin.elapsed());
    assert_eq!(fetch(&node, "a", "http://127.0.0.1:1/").await, "ErrorCode::ConnectionRefused");
    let unknown = fetch(&node, "a", "http://no.invalid/").await;
    assert!(
        ["ErrorCode::DestinationNotFound", "ErrorCode::HttpResponseTimeout"].contains(&&*unknown),
        "{unknown}"
    );
    let too_long = fetch(&node, "a", &long.url("/")).await;
    assert!(too_long.starts_with("body: "), "{}", &too_long[..100.min(too_long.len())]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn connections_to_an_upstream_are_reused() {
    let upstream = Upstream::start(async |request: Request<_>| {
        let _: &hyper::body::Incoming = request.body();
        reply(200, &[], "core")
    })
    .await;
    let node = start(&guests(&[("a", ANY_LOCAL)])).await;
    let before = Instant::now();
    for number in 0..50 {
        assert_eq!(fetch(&node, "a", &upstream.url(&format!("/{number}"))).await, "core");
    }
    assert_eq!(upstream.hits(), 50);
    assert!(before.elapsed() < Duration::from_secs(5), "{:?}", before.elapsed());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_trace_goes_from_component_to_component() {
    let chain = "allowed_outbound_hosts = [\"http://inner.spin.internal\"]";
    let node = start(&guests(&[("a", chain), ("inner", "")])).await;
    let trace = "0af7651916cd43dd8448eb211c80319c";
    let request = Request::get(node.url("/a/fetch?url=http://inner.spin.internal/echo"))
        .header("traceparent", format!("00-{trace}-b7ad6b7169203331-01"));
    let answer = node.send(request, "").await;
    assert!(answer.echoed("traceparent").unwrap().contains(trace), "{}", answer.body);
}

/// A component that calls itself without end runs into the bounds, not into the ground.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_call_in_circles_ends() {
    let settings = "allowed_outbound_hosts = [\"http://*.spin.internal\"]\n\
                    [component.a.tool.tiffin]\ndeadline_ms = 3000";
    let node = start(&guests(&[("a", settings), ("good", "")])).await;
    let mut url = "http://a.spin.internal/ok".to_owned();
    for _ in 0..6 {
        let encoded = url.replace('%', "%25").replace('&', "%26").replace('?', "%3F");
        url = format!("http://a.spin.internal/fetch?url={encoded}");
    }
    let encoded = url.replace('%', "%25").replace('?', "%3F");
    assert_eq!(fetch(&node, "a", &encoded).await, "ok");
    assert_eq!(node.get("/good/ok").await.body, "ok");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn many_askers_of_one_thing_reach_the_upstream_once() {
    for (headers, status) in [
        (vec![("cache-control", "public, max-age=5")], 404),
        (vec![("cache-control", "public, max-age=60"), ("etag", "\"1\"")], 200),
    ] {
        let all_ask = Arc::new(Notify::new());
        let upstream = Upstream::start({
            let all_ask = Arc::clone(&all_ask);
            move |_| {
                let (headers, all_ask) = (headers.clone(), Arc::clone(&all_ask));
                async move {
                    all_ask.notified().await;
                    reply(status, &headers, "answer")
                }
            }
        })
        .await;
        // Little concurrency per instance: the askers are spread over many.
        let node = start(&guests(&[("a", &uncached("a", "instance_concurrency = 8"))])).await;
        let target = format!("/a/fetch?url={}", upstream.url("/stores/1"));
        let answers = futures::future::join_all((0..200).map(|_| node.get(&target)));
        // However slowly the machine brings them there: the answer waits for the last of them.
        let (answers, _) = tokio::join!(answers, async {
            node.until_metrics(r#"edge_outbound_in_flight{component="a"} 200"#).await;
            all_ask.notify_one();
        });
        for answer in &answers {
            assert_eq!((answer.status.as_u16(), &*answer.body), (status, "answer"));
        }
        assert_eq!(upstream.hits(), 1);
        let metrics = node.metrics().await;
        assert!(metrics.contains("edge_outbound_collapsed_total"), "{metrics}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn only_what_may_be_shared_is_shared() {
    let gate = watch::Sender::new(false);
    let upstream = Upstream::start({
        let gate = gate.clone();
        move |request: Request<hyper::body::Incoming>| {
            let mut gate = gate.subscribe();
            async move {
                gate.wait_for(|is_open| *is_open).await.unwrap();
                let headers: &[(&str, &str)] = match request.uri().path() {
                    "/public" => &[("cache-control", "public, max-age=60")],
                    "/private" => &[("cache-control", "private, max-age=60")],
                    "/cookie" => &[("set-cookie", "a=b")],
                    _ => &[],
                };
                reply(200, headers, "answer")
            }
        }
    })
    .await;
    let node = start(&guests(&[("a", &uncached("a", ""))])).await;
    let ask = async |path: &str, header: Option<(&str, &str)>| {
        let mut request = Request::get(node.url(&format!("/a/fetch?url={}", upstream.url(path))));
        if let Some((name, value)) = header {
            request = request.header(name, value);
        }
        assert_eq!(node.send(request, "").await.body, "answer");
    };
    let mut seen = 0;
    for (what, first, second, expected) in [
        ("the same", ("/same", None), ("/same", None), 1),
        ("other URLs", ("/one", None), ("/two", None), 2),
        (
            "languages",
            ("/l", Some(("accept-language", "en"))),
            ("/l", Some(("accept-language", "zh"))),
            2,
        ),
        (
            "credentials",
            ("/c", Some(("authorization", "x"))),
            ("/c", Some(("authorization", "x"))),
            2,
        ),
        ("private answers", ("/private", None), ("/private", None), 2),
        ("cookies", ("/cookie", None), ("/cookie", None), 2),
    ] {
        gate.send_replace(false);
        tokio::join!(ask(first.0, first.1), ask(second.0, second.1), async {
            node.until_metrics(r#"edge_outbound_in_flight{component="a"} 2"#).await;
            gate.send_replace(true);
        });
        assert_eq!(upstream.hits() - seen, expected, "{what}");
        seen = upstream.hits();
    }
    // One after the other: only a public answer lingers, and not for long.
    let linger = Duration::from_millis(edge_node::limits::COLLAPSE_LINGER_MS);
    for (path, expected) in [("/public", 1), ("/plain", 2)] {
        // On a busy machine the second may come too late to tell.
        loop {
            let begin = Instant::now();
            ask(path, None).await;
            ask(path, None).await;
            let (hits, is_in_time) = (upstream.hits() - seen, begin.elapsed() < linger);
            seen = upstream.hits();
            if is_in_time {
                assert_eq!(hits, expected, "{path}");
                break;
            }
            tokio::time::sleep(linger).await;
        }
    }
    tokio::time::sleep(linger + Duration::from_millis(100)).await;
    ask("/public", None).await;
    assert_eq!(upstream.hits() - seen, 1, "it lingered too long");
}

/// The leader of a flight is given up at its deadline: those who wait do not go down with it.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_flight_outlives_its_leader() {
    let upstream = Upstream::start(async |_| {
        tokio::time::sleep(Duration::from_millis(900)).await;
        reply(200, &[], "answer")
    })
    .await;
    let hasty = format!("{ANY_LOCAL}\n[component.hasty.tool.tiffin]\ndeadline_ms = 200");
    let node = start(&guests(&[("hasty", &hasty), ("patient", ANY_LOCAL)])).await;
    let url = upstream.url("/slow");
    let leader = fetch(&node, "hasty", &url);
    let waiter = async {
        tokio::time::sleep(Duration::from_millis(80)).await;
        fetch(&node, "patient", &url).await
    };
    let (leader, waiter) = tokio::join!(leader, waiter);
    assert!(leader.contains("function-timeout"), "{leader}");
    assert_eq!(waiter, "answer");
    assert_eq!(upstream.hits(), 1);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_failure_is_told_to_all_who_wait_and_not_remembered() {
    let settings = uncached("a", "upstream_timeout_ms = 400");
    let upstream = Upstream::start(async |_| {
        tokio::time::sleep(Duration::from_secs(20)).await;
        reply(200, &[], "late")
    })
    .await;
    let node = start(&guests(&[("a", &settings)])).await;
    let url = upstream.url("/");
    let answers = futures::future::join_all((0..20).map(|_| fetch(&node, "a", &url))).await;
    assert!(answers.iter().all(|a| a == "ErrorCode::HttpResponseTimeout"), "{answers:?}");
    let hits = upstream.hits();
    assert_eq!(fetch(&node, "a", &url).await, "ErrorCode::HttpResponseTimeout");
    assert_eq!(upstream.hits(), hits + 1, "a failure must not linger");
}

/// Two requests in one instance: the host must not give one's trace to the other's fetch.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn traces_are_never_mixed_up() {
    let upstream = Upstream::start(async |request: Request<hyper::body::Incoming>| {
        tokio::time::sleep(Duration::from_millis(5)).await;
        let trace = request.headers().get("traceparent").map(|t| t.to_str().unwrap().to_owned());
        reply(200, &[("cache-control", "no-store")], &trace.unwrap_or_default())
    })
    .await;
    let node = start(&guests(&[("a", ANY_LOCAL)])).await;
    let ask = async |number: u32| {
        let id = format!("{:032x}", 0xabc0_0000 + number);
        let url = upstream.url(&format!("/{number}"));
        let request = Request::get(node.url(&format!("/a/fetch?url={url}")))
            .header("traceparent", format!("00-{id}-b7ad6b7169203331-01"));
        let answer = node.send(request, "").await;
        assert_eq!(answer.status, StatusCode::OK);
        assert!(answer.body.contains(&id), "{} for {id}", answer.body);
    };
    futures::future::join_all((1..60).map(ask)).await;
}
