//! Clients that send slowly, and guests that hang, hold up nobody else.

use std::time::{Duration, Instant};

use edge_node::limits;
use http::{Request, StatusCode};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;

use crate::common::{TestNode, guests, start};

/// Longer than anything prompt takes on a busy machine, and far less than a deadline.
const PROMPT: Duration = Duration::from_secs(3);

/// Connections that have begun a body and send no more of it.
async fn slow_uploads(node: &TestNode, count: usize) -> Vec<TcpStream> {
    let begun = b"POST /a/echo HTTP/1.1\r\nhost: x\r\ncontent-length: 1000\r\n\r\nx";
    let mut streams = Vec::new();
    for _ in 0..count {
        let mut stream = TcpStream::connect(node.node.address).await.unwrap();
        stream.write_all(begun).await.unwrap();
        streams.push(stream);
    }
    streams
}

/// Asks again and again, for `within`: each answer must be there promptly.
async fn assert_prompt(node: &TestNode, within: Duration) {
    let begin = Instant::now();
    while begin.elapsed() < within {
        let asked = Instant::now();
        let answer = node.send(Request::post(node.url("/a/echo")), "hi").await;
        assert_eq!(answer.status, StatusCode::OK, "{}", answer.body);
        assert!(asked.elapsed() < PROMPT, "{:?}", asked.elapsed());
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

/// What the node says on a connection, once it does; the connection may stay open.
async fn answer(stream: &mut TcpStream) -> String {
    let mut piece = [0; 4096];
    let length = stream.read(&mut piece).await.unwrap();
    String::from_utf8_lossy(&piece[..length]).into_owned()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn slow_uploads_are_given_up_and_hold_up_nobody() {
    let node = start(&guests(&[("a", "")])).await;
    let begin = Instant::now();
    let mut uploads = slow_uploads(&node, 40).await;
    for upload in &mut uploads {
        let (said, ()) =
            tokio::join!(answer(upload), assert_prompt(&node, Duration::from_millis(150)));
        assert!(said.starts_with("HTTP/1.1 408 "), "{said}");
        assert!(said.contains("body-timeout"), "{said}");
    }
    assert!(begin.elapsed() >= limits::REQUEST_BODY_TIMEOUT);
    assert!(!node.metrics().await.contains("edge_traps_total{"));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_client_with_too_many_slow_uploads_is_told_so_and_takes_no_place() {
    let node = start(&guests(&[("a", "")])).await;
    let mut uploads = slow_uploads(&node, limits::DEFAULT_COMPONENT_REQUESTS + 44).await;
    assert_prompt(&node, PROMPT).await;
    let mut refused = 0;
    for upload in &mut uploads {
        let said = answer(upload).await;
        if said.starts_with("HTTP/1.1 429 ") {
            assert!(said.contains("too-many-uploads") && said.contains("retry-after: 1"), "{said}");
            refused += 1;
        } else {
            assert!(said.starts_with("HTTP/1.1 408 "), "{said}");
        }
    }
    assert_eq!(uploads.len() - refused, limits::MAX_SLOW_BODIES_PER_CLIENT);
}

/// A client that pauses within bounds is served, and its guest sees the whole body.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_upload_that_takes_its_time_is_served() {
    let node = start(&guests(&[("a", "")])).await;
    let mut upload = slow_uploads(&node, 1).await.remove(0);
    tokio::time::sleep(3 * limits::SLOW_BODY_AFTER).await;
    upload.write_all(&[b'y'; 999]).await.unwrap();
    let said = answer(&mut upload).await;
    assert!(said.starts_with("HTTP/1.1 200 "), "{said}");
}

/// The instance that gave up on a request is not the one that the next requests wait for.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_expired_request_holds_up_no_later_one() {
    let hints = "[component.a.tool.tiffin]\ndeadline_ms = 1500";
    let node = start(&guests(&[("a", hints)])).await;
    let expired = node.get("/a/slow?ms=60000").await;
    assert_eq!(expired.code(), "function-timeout");
    assert_prompt(&node, 2 * PROMPT).await;
}
