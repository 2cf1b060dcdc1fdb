//! The feed as an edge follows it: resuming, resets, refusals, and the stop.

use crate::support::{Core, DINER, Reply, reply};
use core_service::feed::relay;
use core_service::limits;
use reqwest::Response;
use serde_json::Value;
use std::sync::Arc;
use std::time::{Duration, Instant};
use tiffin_api::token::Role;
use tokio::time::timeout;
use tokio_util::sync::CancellationToken;

const PATIENCE: Duration = Duration::from_secs(10);

#[derive(Debug, Clone, PartialEq)]
struct Event {
    id: Option<i64>,
    name: String,
    data: Value,
}

/// An open connection to the feed.
struct Follower {
    response: Response,
    unread: String,
}

impl Follower {
    async fn open(core: &Core, query: &str, last_event_id: Option<&str>) -> Result<Self, Reply> {
        let token = core.token(7, &[Role::Edge]);
        let mut request = core.request("GET", &format!("/internal/feed{query}")).bearer_auth(token);
        if let Some(id) = last_event_id {
            request = request.header("last-event-id", id);
        }
        let response = request.send().await.unwrap();
        if response.status() != 200 {
            let (status, headers) = (response.status().as_u16(), response.headers().clone());
            return Err(Reply { status, headers, bytes: response.bytes().await.unwrap().to_vec() });
        }
        assert_eq!(response.headers()["content-type"], "text/event-stream");
        Ok(Self { response, unread: String::new() })
    }

    /// The next event; `None` when the core has ended the stream.
    async fn next(&mut self) -> Option<Event> {
        loop {
            if let Some((block, rest)) = self.unread.split_once("\n\n") {
                let field = |name: &str| {
                    block.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(": "))
                };
                let event = field("event").map(|name| Event {
                    id: field("id").map(|id| id.parse().unwrap()),
                    name: name.to_owned(),
                    data: serde_json::from_str(field("data").unwrap()).unwrap(),
                });
                self.unread = rest.to_owned();
                match event {
                    Some(event) => return Some(event),
                    // A comment.
                    None => continue,
                }
            }
            let chunk =
                timeout(PATIENCE, self.response.chunk()).await.expect("an event is to come");
            self.unread.push_str(std::str::from_utf8(&chunk.unwrap()?).unwrap());
        }
    }

    async fn take(&mut self, events: usize) -> Vec<Event> {
        let mut taken = Vec::new();
        for _ in 0..events {
            taken.push(self.next().await.expect("the stream goes on"));
        }
        taken
    }
}

/// A core whose relay runs until the token is cancelled.
async fn start() -> (Core, CancellationToken) {
    let (core, stop) = (Core::start().await, CancellationToken::new());
    tokio::spawn(relay::run(Arc::clone(&core.app), stop.clone()));
    let deadline = Instant::now() + PATIENCE;
    while core.count("SELECT COUNT(*) FROM outbox").await > 0 || core.app.feed.head() == 0 {
        assert!(Instant::now() < deadline, "the relay has not numbered the fixture");
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    (core, stop)
}

#[tokio::test]
async fn an_edge_follows_and_comes_back_without_missing_anything() {
    let (core, _stop) = start().await;
    let head = core.app.feed.head();
    let mut edge = Follower::open(&core, "", None).await.unwrap();
    let hello = edge.next().await.unwrap();
    assert_eq!((hello.id, hello.name.as_str()), (Some(head), "hello"));
    assert_eq!(hello.data["head"], head);

    let order = core.tea_order().await;
    let news = edge.next().await.unwrap();
    assert_eq!((news.id, news.name.as_str()), (Some(head + 1), "order.changed"));
    assert_eq!(news.data["seq"], head + 1);
    assert_eq!(news.data["topic"], "order.changed");
    assert_eq!(news.data["subject_id"], order["id"]);
    assert!(news.data["payload"].is_object() && news.data["created_at_ms"].is_i64(), "{news:?}");

    drop(edge);
    core.tea_order().await;
    core.tea_order().await;
    let last = news.id.unwrap().to_string();
    let mut edge = Follower::open(&core, "?after=0", Some(&last)).await.unwrap();
    let hello = edge.next().await.unwrap();
    assert_eq!((hello.id, hello.name.as_str()), (None, "hello"), "a greeting moves nobody ahead");
    let ids: Vec<_> = edge.take(2).await.into_iter().map(|event| event.id).collect();
    assert_eq!(ids, [Some(head + 2), Some(head + 3)], "the header wins over the query");

    let mut all = Follower::open(&core, "?after=0", None).await.unwrap();
    all.next().await.unwrap();
    let everything = all.take(usize::try_from(head).unwrap() + 3).await;
    assert!(everything.iter().map(|event| event.id.unwrap()).eq(1..=head + 3));
}

#[tokio::test]
async fn a_position_that_is_not_kept_or_of_another_ledger_is_reset() {
    let (core, _stop) = start().await;
    core.tea_order().await;
    while core.count("SELECT COUNT(*) FROM outbox").await > 0 {
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    core.tamper(&["DELETE FROM feed WHERE seq <= 2"]).await;
    let head = core.count("SELECT seq FROM feed_head").await;
    for lost in ["0", "1", "9999999"] {
        let mut edge = Follower::open(&core, "", Some(lost)).await.unwrap();
        let [hello, reset] = edge.take(2).await.try_into().unwrap();
        assert_eq!((hello.id, hello.name.as_str()), (None, "hello"));
        assert_eq!((reset.id, reset.name.as_str()), (Some(head), "reset"), "at {lost}");
        assert_eq!(reset.data["head"], head);
    }
    let mut edge = Follower::open(&core, "?after=2", None).await.unwrap();
    assert_eq!(edge.take(2).await[1].id, Some(3), "2 is the last that may be missing");

    let mut edge = Follower::open(&core, "?after=9999999", None).await.unwrap();
    edge.take(2).await;
    core.tea_order().await;
    assert_eq!(edge.next().await.unwrap().id, Some(head + 1), "and it goes on from there");
}

#[tokio::test]
async fn the_feed_is_for_edges_and_operators_and_has_its_limit() {
    let (core, _stop) = start().await;
    let asked = core.request("GET", "/internal/feed");
    reply(asked).await.problem(401, "unauthenticated");
    let diner = core.token(DINER, &[Role::Diner, Role::Merchant]);
    let asked = core.request("GET", "/internal/feed").bearer_auth(diner);
    reply(asked).await.problem(403, "forbidden");
    for wrong in ["-1", "x", "1.5"] {
        let refused = Follower::open(&core, "", Some(wrong)).await.err().unwrap();
        refused.problem(400, "bad-request");
    }

    let mut edges = Vec::new();
    for _ in 0..limits::FEED_READERS {
        edges.push(Follower::open(&core, "", None).await.unwrap());
    }
    let refused = Follower::open(&core, "", None).await.err().unwrap();
    refused.problem(503, "unavailable");
    assert!(refused.headers.contains_key("retry-after"));
    let readers = format!("tiffin_core_feed_readers {}", limits::FEED_READERS);
    assert!(core.app.metrics.render().contains(&readers));

    edges.pop();
    let deadline = Instant::now() + PATIENCE;
    while Follower::open(&core, "", None).await.is_err() {
        assert!(Instant::now() < deadline, "a place that was left is free again");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

#[tokio::test]
async fn a_stop_ends_the_streams_at_once() {
    let (core, stop) = start().await;
    let mut edge = Follower::open(&core, "", None).await.unwrap();
    edge.next().await.unwrap();
    stop.cancel();
    assert_eq!(timeout(Duration::from_secs(1), edge.next()).await.expect("promptly"), None);
    core.app.tasks.close();
    timeout(Duration::from_secs(1), core.app.tasks.wait()).await.expect("no reader is left");
}
