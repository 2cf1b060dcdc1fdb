//! Invariant 1 at its hardest: whatever one component does to the node, another answers every request.
//!
//! How long the good one takes is measured, not asserted: a machine that does other things besides
//! would fail it. `cargo test -p edge-node --test node -- --ignored isolation --nocapture` prints it.

use std::time::{Duration, Instant};

use edge_node::{ClientLimits, limits};
use http::{Request, StatusCode};

use crate::common::{TestNode, Upstream, guests, reply, start, start_for};

/// What the hostile component is asked for.
const HOSTILITIES: [&str; 7] = ["loop", "hog", "trap", "headers", "hoard", "drip", "linger"];
/// After this long, who asked for something hostile leaves: some of it has no end.
const HOSTILE_PATIENCE: Duration = Duration::from_millis(700);

async fn good_and_bad() -> TestNode {
    let hints = "cpu_budget_ms = 200\nmemory_mb = 32\ndeadline_ms = 2000";
    let bad = format!("[component.bad.tool.tiffin]\n{hints}");
    start(&guests(&[("good", "[component.good.tool.tiffin]\ncache = false"), ("bad", &bad)])).await
}

/// One client for each hostility that asks for it again as soon as it can. Does not end.
async fn misbehave(node: &TestNode, hostilities: &[&str]) {
    let clients = hostilities.iter().map(|what| async move {
        let target = format!("/bad/{what}");
        loop {
            // Failing is all that it may do; how, is tested elsewhere.
            let _ = tokio::time::timeout(HOSTILE_PATIENCE, node.try_get(&target)).await;
            tokio::task::yield_now().await;
        }
    });
    futures::future::join_all(clients).await;
}

/// Asks the good component, one request after the other; returns how long each took.
async fn ask_good(node: &TestNode, count: usize) -> Vec<Duration> {
    let mut took = Vec::with_capacity(count);
    for _ in 0..count {
        let begin = Instant::now();
        let answer = node.get("/good/ok").await;
        assert_eq!((answer.status, &*answer.body), (StatusCode::OK, "ok"));
        took.push(begin.elapsed());
        tokio::time::sleep(Duration::from_millis(2)).await;
    }
    took
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn beside_a_hostile_component_a_good_one_answers_every_request() {
    let node = good_and_bad().await;
    tokio::select! {
        _ = ask_good(&node, 300) => {}
        () = misbehave(&node, &HOSTILITIES) => {}
    }
    // All of it did happen.
    for kind in ["cpu", "memory", "trap"] {
        let line = format!(r#"edge_traps_total{{component="bad",kind="{kind}"}}"#);
        assert!(node.metrics().await.contains(&line), "{line}");
    }
    assert!(!node.metrics().await.contains(r#"edge_traps_total{component="good""#));
}

/// Its answers hold on to their instances: in the end it has all that it may have, and not more.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_component_that_hoards_instances_leaves_the_others_theirs() {
    let hints = "max_instances = 8\nrequests_per_instance = 1\nqueue_wait_ms = 50\ncache = false";
    let node = start(&guests(&[
        ("good", "[component.good.tool.tiffin]\ncache = false"),
        ("bad", &format!("[component.bad.tool.tiffin]\n{hints}")),
    ]))
    .await;
    for _ in 0..8 {
        assert_eq!(node.get("/bad/linger").await.status, StatusCode::OK);
    }
    let refused = node.get("/bad/linger").await;
    assert_eq!(refused.code(), "unavailable");
    assert_eq!(refused.headers["retry-after"], "1");
    node.until_metrics(r#"edge_instances_live{component="bad"} 8"#).await;
    assert_eq!(node.get("/good/ok").await.body, "ok");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_gigabyte_of_headers_stays_with_the_guest() {
    let node =
        start(&guests(&[("bad", "[component.bad.tool.tiffin]\ncpu_budget_ms = 5000")])).await;
    let answer = node.get("/bad/headers").await;
    let line =
        |(name, value): (&http::HeaderName, &http::HeaderValue)| name.as_str().len() + value.len();
    let bytes: usize = answer.headers.iter().map(line).sum();
    assert!(bytes < limits::MAX_FIELDS_BYTES + 1_024, "{bytes}");
    // In pieces that are each within their bounds, they are more than an instance may hold.
    assert_eq!(node.get("/bad/hoard").await.code(), "function-failed");
    assert_eq!(node.get("/bad/ok").await.body, "ok");
}

/// Bodies that a component does not take up are refused once they are its share, and others' are not.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_component_that_takes_up_no_bodies_leaves_room_for_others() {
    let hints = "max_requests = 1\nqueue_wait_ms = 10000\ncache = false";
    let bad = format!("[component.bad.tool.tiffin]\n{hints}");
    let manifest = guests(&[("a", ""), ("b", ""), ("c", ""), ("bad", &bad)]);
    let node = start_for(&manifest, ClientLimits { trusted_hops: 1, ..Default::default() }).await;
    let size = usize::try_from(limits::MAX_REQUEST_BODY_BYTES).unwrap();
    let body = bytes::Bytes::from(vec![b'x'; size]);
    // What is kept for one of four, and what is kept for none.
    let share = limits::MAX_BODIES_BYTES / 8 + limits::MAX_BODIES_BYTES / 2;
    let uploads = futures::future::join_all((0..share / size + 4).map(|number| {
        let (node, body) = (&node, body.clone());
        async move {
            // One after the other and each from elsewhere, so that none is a slow client's.
            tokio::time::sleep(Duration::from_millis(10 * number as u64)).await;
            let request = Request::post(node.url("/bad/slow?ms=60000"));
            node.send(request.header("x-forwarded-for", format!("192.0.2.{number}")), body).await
        }
    }));
    let good = async {
        // Who is refused is refused at once, the others wait in the queue.
        let metrics = node.until_metrics(r#"edge_rejected_total{component="bad"}"#).await;
        let held = metrics.lines().find_map(|l| l.strip_prefix("edge_body_bytes ")).unwrap();
        assert!(held.parse::<usize>().unwrap() <= share + 4 * size, "{held}");
        let echoed = node.send(Request::post(node.url("/a/echo")), body.clone()).await;
        assert_eq!(echoed.status, StatusCode::OK);
    };
    tokio::select! {
        _ = uploads => panic!("the queue is patient"),
        () = good => {}
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn hints_bound_requests_queue_and_instances() {
    let upstream = Upstream::start(async |_| std::future::pending().await).await;
    let hints = "max_requests = 2\nmax_queue = 1\nqueue_wait_ms = 10000\ncache = false";
    let settings = format!(
        "allowed_outbound_hosts = [\"http://127.0.0.1:*\"]\n[component.a.tool.tiffin]\n{hints}"
    );
    let brief = "[component.brief.tool.tiffin]\nrequests_per_instance = 2\ninstance_idle_ms = 200";
    let single = "[component.single.tool.tiffin]\nmax_instances = 1\ninstance_concurrency = 1";
    let node = start(&guests(&[("a", &settings), ("brief", brief), ("single", single)])).await;

    let target = format!("/a/fetch?url={}", upstream.url("/"));
    let asked: Vec<_> = (0..3).map(|_| node.get(&target)).collect();
    let asked = futures::future::join_all(asked);
    let next = async {
        // Two at work; the third waits, and so a fourth may not.
        node.until_metrics(r#"edge_outbound_in_flight{component="a"} 2"#).await;
        node.until_metrics("edge_requests_in_flight 3").await;
        assert_eq!(node.get("/a/ok").await.code(), "unavailable");
    };
    tokio::select! {
        _ = asked => panic!("the upstream does not answer"),
        () = next => {}
    }

    let counts = [node.get("/brief/count").await.body, node.get("/brief/count").await.body];
    assert_eq!(counts, ["0", "1"]);
    assert_eq!(node.get("/brief/count").await.body, "0", "a new instance");
    node.until_metrics(r#"edge_instances_live{component="brief"} 0"#).await;
    assert_eq!(node.get("/brief/count").await.body, "0", "the idle one is gone");

    let many = futures::future::join_all((0..8).map(|_| node.get("/single/slow?ms=5"))).await;
    assert!(many.iter().all(|answer| answer.body == "slow"), "{many:?}");
    let metrics = node.metrics().await;
    assert!(metrics.contains(r#"edge_instances_started_total{component="single"} 1"#), "{metrics}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn outbound_requests_of_one_component_leave_room_for_others() {
    let upstream = Upstream::start(async |request: Request<hyper::body::Incoming>| {
        if request.uri().path().starts_with("/stuck") {
            std::future::pending::<()>().await;
        }
        reply(200, &[], "answer")
    })
    .await;
    let settings = |id: &str| {
        format!(
            "allowed_outbound_hosts = [\"http://127.0.0.1:*\"]\n[component.{id}.tool.tiffin]\n\
             max_requests = 1024\ninstance_concurrency = 128\ncache = false\ndeadline_ms = 60000"
        )
    };
    let node = start(&guests(&[("bad", &settings("bad")), ("good", &settings("good"))])).await;
    let share = limits::MAX_OUTBOUND_REQUESTS / 4 * 3;
    // One after the other: an upstream refuses hundreds of connections at once.
    let stuck = futures::future::join_all((0..share).map(async |n| {
        tokio::time::sleep(Duration::from_millis(n as u64)).await;
        node.get(&format!("/bad/fetch?url={}", upstream.url(&format!("/stuck/{n}")))).await
    }));
    let good = async {
        let taken = format!(r#"edge_outbound_in_flight{{component="bad"}} {share}"#);
        node.until_metrics(&taken).await;
        let url = upstream.url("/quick");
        let refused = node.get(&format!("/bad/fetch?url={url}")).await;
        assert_eq!(refused.body, "ErrorCode::ConnectionLimitReached");
        assert_eq!(node.get(&format!("/good/fetch?url={url}")).await.body, "answer");
    };
    tokio::select! {
        _ = stuck => panic!("the upstream does not answer"),
        () = good => {}
    }
}

/// Milliseconds below which `part` of the sorted durations lie.
fn quantile(sorted: &[Duration], part: f64) -> f64 {
    #[expect(
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        reason = "a part of a length"
    )]
    let index = ((sorted.len() - 1) as f64 * part) as usize;
    sorted[index].as_secs_f64() * 1_000.0
}

fn median(mut values: Vec<f64>) -> f64 {
    values.sort_by(f64::total_cmp);
    values[values.len() / 2]
}

/// Kilobytes of this process that are in memory.
fn resident_kb() -> i64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap();
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).unwrap();
    line.trim_end_matches("kB").trim().parse().unwrap()
}

/// Rounds of the good component alone and beside each hostility, one after the other, so that what else
/// the machine does meets all of them alike.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "a measurement"]
async fn isolation_measured() {
    const ROUNDS: usize = 5;
    const REQUESTS: usize = 300;
    let cases: Vec<Vec<&str>> = std::iter::once(Vec::new())
        .chain(HOSTILITIES.iter().map(|what| vec![*what]))
        .chain(std::iter::once(HOSTILITIES.to_vec()))
        .collect();
    let mut figures: Vec<(Vec<f64>, Vec<f64>)> = vec![Default::default(); cases.len()];
    let node = good_and_bad().await;
    ask_good(&node, REQUESTS).await;
    let (before_kb, waiting) = (resident_kb(), limits::DEFAULT_COMPONENT_REQUESTS);
    let requests = futures::future::join_all((0..waiting).map(|_| node.get("/good/slow?ms=2000")));
    let measured = async {
        node.until_metrics(&format!("edge_requests_in_flight {waiting}")).await;
        tokio::time::sleep(Duration::from_millis(500)).await;
        resident_kb()
    };
    let (_, during_kb) = tokio::join!(requests, measured);
    let each = (during_kb - before_kb) / i64::try_from(waiting).unwrap();
    println!("{waiting} requests waiting in guests: {each} KiB resident for each");
    for _ in 0..ROUNDS {
        for (hostilities, figures) in cases.iter().zip(&mut figures) {
            let forever = async {
                misbehave(&node, hostilities).await;
                std::future::pending().await
            };
            let mut took = tokio::select! {
                took = ask_good(&node, REQUESTS) => took,
                () = forever => unreachable!("it does not end"),
            };
            took.sort();
            figures.0.push(quantile(&took, 0.5));
            figures.1.push(quantile(&took, 0.99));
        }
    }
    println!("{:<10}{:>10}{:>10}   (ms, medians of {ROUNDS} rounds)", "beside", "p50", "p99");
    for (hostilities, (p50, p99)) in cases.iter().zip(figures) {
        let name = match hostilities[..] {
            [] => "nothing",
            [one] => one,
            _ => "all",
        };
        println!("{name:<10}{:>10.2}{:>10.2}", median(p50), median(p99));
    }
}
