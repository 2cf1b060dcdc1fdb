//! Invariant 1: a guest that loops, traps or eats memory harms only its own requests.

use std::time::{Duration, Instant};

use http::StatusCode;

use crate::common::{TestNode, guests, start};

/// Prompt enough on a busy machine, and far from what a guest that is not stopped would take.
const PROMPT: Duration = Duration::from_secs(4);

async fn good_and_bad(bad_hints: &str) -> TestNode {
    let hints = format!("[component.bad.tool.tiffin]\n{bad_hints}");
    start(&guests(&[("good", ""), ("bad", &hints)])).await
}

/// Asks the bad guest for `target` while the good one is asked over and over; returns the bad
/// one's status and code, and how long it took.
async fn misbehave(node: &TestNode, target: &str) -> (StatusCode, String, Duration) {
    let begin = Instant::now();
    let bad = async {
        let answer = node.get(target).await;
        (answer.status, answer.code(), begin.elapsed())
    };
    let good = async {
        loop {
            let asked = Instant::now();
            let answer = node.get("/good/ok").await;
            assert_eq!((answer.status, &*answer.body), (StatusCode::OK, "ok"));
            assert!(asked.elapsed() < PROMPT, "{:?}", asked.elapsed());
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    };
    let outcome = tokio::select! {
        outcome = bad => outcome,
        () = good => unreachable!("the good guest is asked until the bad one is done"),
    };
    // And the component itself goes on, with a new instance.
    assert_eq!(node.get("/bad/ok").await.body, "ok");
    outcome
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_loop_ends_at_the_cpu_budget() {
    let node = good_and_bad("cpu_budget_ms = 200").await;
    let (status, code, elapsed) = misbehave(&node, "/bad/loop").await;
    assert_eq!((status, &*code), (StatusCode::INTERNAL_SERVER_ERROR, "function-failed"));
    assert!(elapsed >= Duration::from_millis(200), "{elapsed:?}");
    assert!(elapsed < PROMPT, "{elapsed:?}");
    node.until_metrics(r#"edge_traps_total{component="bad",kind="cpu"} 1"#).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn loops_on_every_thread_leave_room_for_others() {
    let node = good_and_bad("cpu_budget_ms = 300").await;
    let loops = futures::future::join_all((0..6).map(|_| node.get("/bad/loop")));
    let (status, _, _) = tokio::join!(misbehave(&node, "/bad/trap"), loops).0;
    assert_eq!(status, StatusCode::INTERNAL_SERVER_ERROR);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_hog_ends_at_the_memory_limit() {
    let node = good_and_bad("memory_mb = 16\ncpu_budget_ms = 5000").await;
    let (status, code, _) = misbehave(&node, "/bad/hog").await;
    assert_eq!((status, &*code), (StatusCode::INTERNAL_SERVER_ERROR, "function-failed"));
    let metrics = node.until_metrics(r#"edge_traps_total{component="bad",kind="memory"} 1"#).await;
    let high_water = metrics
        .lines()
        .find_map(|l| l.strip_prefix(r#"edge_instance_memory_high_water_bytes{component="bad"} "#))
        .unwrap();
    let bytes: u64 = high_water.parse().unwrap();
    assert!((8 << 20..=16 << 20).contains(&bytes), "{bytes}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_trap_is_a_problem_with_a_trace_id() {
    let node = good_and_bad("").await;
    let (status, code, _) = misbehave(&node, "/bad/trap").await;
    assert_eq!((status, &*code), (StatusCode::INTERNAL_SERVER_ERROR, "function-failed"));
    node.until_metrics(r#"edge_traps_total{component="bad",kind="trap"} 1"#).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_error_of_the_handler_is_a_problem_and_no_trap() {
    let node = good_and_bad("").await;
    let (status, code, _) = misbehave(&node, "/bad/fail").await;
    assert_eq!((status, &*code), (StatusCode::INTERNAL_SERVER_ERROR, "function-failed"));
    assert!(!node.metrics().await.contains("edge_traps_total{"));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_guest_that_waits_too_long_is_given_up_at_its_deadline() {
    let node = good_and_bad("deadline_ms = 300").await;
    let (status, code, elapsed) = misbehave(&node, "/bad/slow?ms=5000").await;
    assert_eq!((status, &*code), (StatusCode::GATEWAY_TIMEOUT, "function-timeout"));
    assert!(elapsed >= Duration::from_millis(300), "{elapsed:?}");
    assert!(elapsed < PROMPT, "{elapsed:?}");
}

/// The guest blocks its whole instance: the deadline inside its event loop is never polled, and the
/// second level must drop the instance.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_guest_that_blocks_its_instance_is_dropped_with_it() {
    let node = good_and_bad("deadline_ms = 300").await;
    let (status, code, elapsed) = misbehave(&node, "/bad/block?ms=60000").await;
    assert_eq!((status, &*code), (StatusCode::GATEWAY_TIMEOUT, "function-timeout"));
    assert!(elapsed < PROMPT, "{elapsed:?}");
    let ended = r#"edge_traps_total{component="bad",kind="deadline"} 1"#;
    for _ in 0..40 {
        if node.metrics().await.contains(ended) {
            return;
        }
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    panic!("the instance lives on: {}", node.metrics().await);
}

/// Those who share an instance with a trap fail with it, and are told so at once.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_late_trap_fails_its_companions_and_nobody_later() {
    let node = good_and_bad("instance_concurrency = 8").await;
    assert_eq!(node.get("/bad/ok").await.body, "ok");
    let begin = Instant::now();
    let (trap, companion) =
        tokio::join!(node.get("/bad/late-trap?ms=100"), node.get("/bad/slow?ms=3000"));
    assert_eq!(trap.code(), "function-failed");
    if begin.elapsed() < Duration::from_secs(2) {
        assert_eq!(companion.code(), "function-failed");
    } else {
        assert_eq!(companion.body, "slow", "it had an instance of its own");
    }
    assert_eq!(node.get("/bad/ok").await.body, "ok");
}

/// A budget is per request, not per instance: many honest requests do not add up.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_cpu_budget_begins_anew_with_each_request() {
    let node = good_and_bad("cpu_budget_ms = 400").await;
    for _ in 0..12 {
        assert_eq!(node.get("/bad/burn?ms=60").await.body, "burned");
    }
    let metrics = node.metrics().await;
    assert!(!metrics.contains("edge_traps_total{"), "{metrics}");
    assert!(metrics.contains(r#"edge_instances_started_total{component="bad"} 1"#), "{metrics}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn too_many_at_once_are_told_to_come_back() {
    let node = start(&guests(&[
        ("busy", "[component.busy.tool.tiffin]\ninstance_concurrency = 128\ncache = false"),
        ("good", ""),
    ]))
    .await;
    let asked = edge_node::limits::DEFAULT_COMPONENT_REQUESTS + 40;
    let answers =
        futures::future::join_all((0..asked).map(|_| node.get("/busy/slow?ms=2500"))).await;
    let (served, refused): (Vec<_>, Vec<_>) =
        answers.into_iter().partition(|answer| answer.status == StatusCode::OK);
    assert_eq!(served.len(), edge_node::limits::DEFAULT_COMPONENT_REQUESTS);
    for answer in &refused {
        assert_eq!(answer.status, StatusCode::SERVICE_UNAVAILABLE);
        assert_eq!(answer.code(), "unavailable");
        assert_eq!(answer.headers["retry-after"], "1");
    }
    assert_eq!(node.get("/good/ok").await.body, "ok");
    assert!(node.metrics().await.contains(r#"edge_rejected_total{component="busy"} 40"#));
}

/// What is left to be done after an answer piles up in an instance that is never idle. It ends in time, and
/// nobody meets the engine's limit.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_instance_with_much_left_to_do_takes_no_more() {
    let node = good_and_bad("instance_concurrency = 1").await;
    for _ in 0..200 {
        let answer = node.get("/bad/linger").await;
        assert_eq!(answer.status, StatusCode::OK, "{}", answer.body);
    }
    let metrics = node.metrics().await;
    assert!(!metrics.contains("edge_traps_total{"), "{metrics}");
    let only_one = r#"edge_instances_started_total{component="bad"} 1"#;
    assert!(metrics.lines().all(|line| line != only_one), "{metrics}");
}

/// What a guest prints without end, or all at once, does not fill the node.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_talkative_guest_still_answers() {
    let node = good_and_bad("").await;
    assert_eq!(node.get("/bad/talk?word=hi").await.body, "talked");
}
