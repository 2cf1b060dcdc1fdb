//! The core is gone, or hangs, and comes back: reads go on, writes say "try again", nothing needs a restart.

use serde_json::json;
use std::io::{Read as _, Write as _};
use std::net::TcpListener;
use std::thread;
use std::time::Duration;
use tiffin_tests::{DINER, House, LoneEdge, Reply, text};

/// Longer than a menu is fresh at the edge.
const PAST_FRESH: Duration = Duration::from_secs(7);
/// What a diner may have to wait for "try again".
const REFUSED_WITHIN: Duration = Duration::from_secs(2);

#[tokio::test]
async fn menus_outlive_the_core_and_writes_resume_with_it() {
    let mut house = House::start().await;
    let token = house.token(DINER);
    let basket = house.basket().await;
    let menu = format!("/v1/stores/{}/menu?lang=en", text(&basket["store_id"]));
    let order = |key: &'static str| house.edge.post("/v1/orders", &token, key, &basket);
    order("before").await.expect(201);
    let seen = house.edge.get(&menu).await;

    house.stop_core();
    tokio::time::sleep(PAST_FRESH).await;
    let mut stale = house.edge.get(&menu).await;
    // The first answer past freshness may come before the failed refresh is known.
    if !is_marked_stale(&stale) {
        stale = house.edge.get(&menu).await;
    }
    assert_eq!((stale.status, &stale.bytes), (200, &seen.bytes));
    assert!(is_marked_stale(&stale), "{:?}", stale.headers);

    let edge = house.edge.clone();
    let refused = edge.post("/v1/orders", &token, "during", &basket).await;
    assert_unavailable(&refused);
    // It could have been made a moment ago, so nobody but the core can tell.
    let new_id = text(&basket["store_id"]).parse::<i64>().unwrap() + 1;
    edge.get(&format!("/v1/stores/{new_id}")).await.problem(503, "unavailable");

    house.start_core().await;
    let retried = edge.post("/v1/orders", &token, "during", &basket).await;
    retried.expect(201);
    assert_eq!(retried.header("idempotent-replayed"), "", "nothing was done during the outage");
}

#[tokio::test]
async fn a_core_that_hangs_is_as_good_as_gone() {
    let house = House::start().await;
    let token = house.token(DINER);
    let basket = house.basket().await;
    let menu = format!("/v1/stores/{}/menu?lang=en", text(&basket["store_id"]));
    house.edge.post("/v1/orders", &token, "before", &basket).await.expect(201);
    house.edge.get(&menu).await.expect(200);

    house.core_process().freeze();
    assert_unavailable(&house.edge.post("/v1/orders", &token, "during", &basket).await);
    tokio::time::sleep(PAST_FRESH).await;
    house.edge.get(&menu).await.expect(200);
    house.core_process().thaw();

    // Whether the order was taken in the meantime or not, the key gives one order.
    let first = house.edge.post("/v1/orders", &token, "during", &basket).await;
    let second = house.edge.post("/v1/orders", &token, "during", &basket).await;
    first.expect(201);
    assert_eq!(first.bytes, second.bytes);
}

/// The real core cannot be made to stall in the middle of an answer, so this one is a few lines that do.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_core_that_trickles_its_answer_is_as_good_as_gone() {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = listener.local_addr().unwrap().port();
    thread::spawn(move || {
        for stream in listener.incoming() {
            let mut stream = stream.unwrap();
            thread::spawn(move || {
                let mut request = [0_u8; 4096];
                let _ = stream.read(&mut request);
                let head = "HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length: 1000\r\n\r\n";
                let _ = stream.write_all(head.as_bytes());
                // Ends when the edge hangs up.
                while stream.write_all(b" ").is_ok() {
                    thread::sleep(Duration::from_millis(200));
                }
            });
        }
    });
    let lone = LoneEdge::start(port).await;
    let request = lone.edge.request("POST", "/v1/quotes").json(&json!({}));
    assert_unavailable(&lone.edge.send(request).await);
}

fn is_marked_stale(reply: &Reply) -> bool {
    reply.header("cache-status").contains("ttl=-") || reply.header("cache-status").contains("stale")
}

fn assert_unavailable(reply: &Reply) {
    reply.problem(503, "unavailable");
    assert!(reply.header("retry-after").parse::<u32>().is_ok_and(|seconds| seconds >= 1));
    assert!(reply.took < REFUSED_WITHIN, "it took {:?}", reply.took);
}
