//! A node and the feed of a core that does as it is told: what reaches the cache, the guests and the admin port.

use std::net::SocketAddr;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use edge_node::{FeedOptions, FeedToken};
use http::Request;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::mpsc;

use crate::common::{TestNode, Upstream, guests, reply, start_following};

const SETTINGS: &str =
    "allowed_outbound_hosts = [\"http://127.0.0.1:*\"]\nkey_value_stores = [\"default\"]";

/// A core that has nothing but a feed and known ids. It says what a test says, to each connection.
pub(crate) struct FakeCore {
    pub(crate) address: SocketAddr,
    connections: mpsc::UnboundedReceiver<TcpStream>,
    requests: Arc<Mutex<Vec<String>>>,
    /// The answer about known ids, as HTTP.
    known_ids: Arc<Mutex<String>>,
}

impl FakeCore {
    pub(crate) async fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let (sender, connections) = mpsc::unbounded_channel();
        let requests: Arc<Mutex<Vec<String>>> = Arc::default();
        let known_ids = Arc::new(Mutex::new("HTTP/1.1 404 Not Found\r\n\r\n".to_owned()));
        let (seen, answer) = (Arc::clone(&requests), Arc::clone(&known_ids));
        tokio::spawn(async move {
            loop {
                let (mut stream, _) = listener.accept().await.unwrap();
                let mut request = vec![0; 4_096];
                let bytes = stream.read(&mut request).await.unwrap();
                let request = String::from_utf8_lossy(&request[..bytes]).into_owned();
                let is_feed = request.contains("accept: text/event-stream");
                seen.lock().unwrap().push(request);
                if !is_feed {
                    let answer = answer.lock().unwrap().clone();
                    stream.write_all(answer.as_bytes()).await.unwrap();
                    continue;
                }
                let head = "HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\n\r\n";
                stream.write_all(head.as_bytes()).await.unwrap();
                if sender.send(stream).is_err() {
                    return;
                }
            }
        });
        Self { address, connections, requests, known_ids }
    }

    /// The next connection, greeted with these lines.
    pub(crate) async fn greet(&mut self, greeting: &str) -> TcpStream {
        let next = tokio::time::timeout(Duration::from_secs(30), self.connections.recv());
        let mut stream = next.await.expect("the node connects").unwrap();
        say(&mut stream, greeting).await;
        stream
    }

    /// The last request for a path.
    pub(crate) fn last_request(&self, path: &str) -> String {
        let start = format!("GET {path} ");
        let requests = self.requests.lock().unwrap();
        requests.iter().rfind(|request| request.starts_with(&start)).unwrap().clone()
    }

    /// What it says of known ids from now on.
    pub(crate) fn set_known_ids(&self, body: &str) {
        let head = format!("HTTP/1.1 200 OK\r\ncontent-length: {}\r\n\r\n", body.len());
        *self.known_ids.lock().unwrap() = head + body;
    }
}

pub(crate) async fn say(stream: &mut TcpStream, event: &str) {
    stream.write_all(format!("{event}\n\n").as_bytes()).await.unwrap();
}

fn news(seq: i64, topic: &str, subject: &str) -> String {
    let data =
        format!(r#"{{"seq":{seq},"subject_id":"{subject}","payload":{{}},"created_at_ms":0}}"#);
    format!("id: {seq}\nevent: {topic}\ndata: {data}")
}

async fn until_ready_says(node: &TestNode, text: &str) {
    let url = format!("http://{}/readyz", node.node.admin_address);
    for _ in 0..1_000 {
        let answer = node.send(Request::get(&url), "").await;
        assert_eq!(answer.status, 200, "a node without its feed still serves");
        if answer.body.starts_with(text) {
            return;
        }
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    panic!("/readyz never said {text:?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_the_feed_names_is_gone_and_a_lost_connection_goes_on_where_it_was() {
    let upstream = Upstream::start(|_| async {
        reply(200, &[("cache-control", "max-age=600"), ("surrogate-key", "store:7")], "menu")
    })
    .await;
    let mut core = FakeCore::start().await;
    let dead = TcpListener::bind("127.0.0.1:0").await.unwrap().local_addr().unwrap();
    let cores = [format!("http://{dead}"), format!("http://{}", core.address)];
    let token = FeedToken::Text("secret".to_owned());
    let feed = FeedOptions::new(&cores, token).unwrap();
    let node = start_following(&guests(&[("a", SETTINGS)]), feed).await;
    let target = format!("/a/relay?url={}", upstream.url("/thing"));
    let mut connection = core.greet("id: 10\nevent: hello\ndata: {\"head\":10}").await;
    until_ready_says(&node, "ready").await;
    let request = core.last_request("/internal/feed");
    assert!(request.contains("authorization: Bearer secret") && !request.contains("last-event-id"));

    let asked = async |expected: usize| {
        assert_eq!(node.get(&target).await.body, "menu");
        assert_eq!(upstream.hits(), expected);
    };
    asked(1).await;
    asked(1).await;
    say(&mut connection, &news(11, "store.changed", "8")).await;
    node.until_metrics("edge_feed_sequence 11\n").await;
    asked(1).await;
    say(&mut connection, &news(12, "store.changed", "7")).await;
    node.until_metrics("edge_feed_sequence 12\n").await;
    asked(2).await;

    drop(connection);
    let mut connection = core.greet("event: hello\ndata: {\"head\":14}").await;
    until_ready_says(&node, "degraded: reading").await;
    let request = core.last_request("/internal/feed");
    assert!(request.contains("last-event-id: 12\r\n"), "{request}");
    asked(2).await;
    say(&mut connection, &news(13, "order.changed", "1")).await;
    say(&mut connection, &news(14, "store.changed", "7")).await;
    until_ready_says(&node, "ready").await;
    asked(3).await;
    say(&mut connection, "id: 20\nevent: reset\ndata: {\"head\":20}").await;
    let metrics = node.until_metrics("edge_feed_sequence 20\n").await;
    asked(4).await;
    for line in ["edge_feed_live 1", "edge_feed_connections_total 2", "edge_feed_resets_total 1"] {
        assert!(metrics.contains(&format!("{line}\n")), "{line} in {metrics}");
    }
    drop(core);
    drop(connection);
    until_ready_says(&node, "degraded: feed down for ").await;
    node.until_metrics("edge_feed_live 0\n").await;
    asked(4).await;
}

/// What a guest keeps by itself is purged by numbers that it reads like a key.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn guests_read_how_often_their_tags_were_purged_and_cannot_write_it() {
    let node = start_following(&guests(&[("a", SETTINGS)]), FeedOptions::default()).await;
    until_ready_says(&node, "ready").await;
    let key = async |operation: &str, key: &str| {
        node.get(&format!("/a/kv?store=default&op={operation}&key={key}&value=x")).await.body
    };
    let generation = async |tags: &str| {
        let answer = key("get", &format!("tiffin:generation:{tags}")).await;
        answer.split(' ').map(|number| number.parse::<u64>().unwrap()).collect::<Vec<_>>()
    };
    let purge = async |order: &'static str| {
        let url = format!("http://{}/purge", node.node.admin_address);
        assert_eq!(node.send(Request::post(url), order).await.status, 204);
    };
    let [epoch, since, 0, 0] = generation("store:7%20menu:7").await[..] else {
        panic!("no numbers")
    };
    purge(r#"{"tags": ["menu:7"], "kind": "soft"}"#).await;
    purge(r#"{"tags": ["store:7"]}"#).await;
    let [same, now, hard, soft] = generation("store:7%20menu:7").await[..] else { panic!() };
    assert_eq!((same, now, hard, soft), (epoch, since + 2, since + 2, since + 1));
    assert_eq!(generation("store:8").await, [epoch, now, 0, 0]);
    for operation in ["set", "delete"] {
        let answer = key(operation, "tiffin:generation:store:8").await;
        assert!(answer.contains("cannot be written"), "{answer}");
    }
    assert_eq!(key("exists", "tiffin:generation:store:8").await, "true");
    assert_eq!(key("keys", "").await, "");
    let long = key("get", &format!("tiffin:generation:{}", "x".repeat(5_000))).await;
    assert!(long.contains("at most"), "{long}");
}
