//! What one client may ask of the node, and how slowly.

use std::num::NonZeroU32;
use std::time::{Duration, Instant};

use edge_node::{ClientLimits, limits};
use http::{Request, StatusCode};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;

use crate::common::{guests, start, start_for};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_client_that_asks_too_much_is_told_when_to_come_back() {
    let clients = ClientLimits { rate: 1, burst: NonZeroU32::new(5), trusted_hops: 1 };
    let node = start_for(&guests(&[("a", "")]), clients).await;
    let ask = async |client: &str, path: &str| {
        let request = Request::get(node.url(path)).header("x-forwarded-for", client);
        node.send(request, "").await
    };
    let begin = Instant::now();
    let (mut served, mut refused) = (0, 0);
    while refused < 10 {
        let answer = ask("6.6.6.6, 192.0.2.1", "/a/ok").await;
        if answer.status == StatusCode::OK {
            served += 1;
        } else {
            assert_eq!(answer.status, StatusCode::TOO_MANY_REQUESTS);
            assert_eq!(answer.code(), "rate-limited");
            assert_eq!(answer.headers["retry-after"], "1");
            refused += 1;
        }
    }
    let refilled = usize::try_from(begin.elapsed().as_secs()).unwrap() + 1;
    assert!((5..=5 + refilled).contains(&served), "{served} in {:?}", begin.elapsed());
    assert_eq!(ask("192.0.2.2", "/a/ok").await.body, "ok", "another client");
    assert_eq!(ask("192.0.2.1", "/.well-known/spin/health").await.body, "OK");
    let metrics = node.metrics().await;
    assert!(metrics.contains(r#"edge_clients_refused_total{reason="rate"} 10"#), "{metrics}");
}

/// Time is the runtime's own here, and passes as soon as nothing else can happen.
#[tokio::test(start_paused = true)]
async fn a_head_that_trickles_is_given_up() {
    let node = start(&guests(&[("a", "")])).await;
    let mut stream = TcpStream::connect(node.node.address).await.unwrap();
    let begin = tokio::time::Instant::now();
    stream.write_all(b"GET /a/ok HTTP/1.1\r\nhost: x\r\n").await.unwrap();
    let (mut read, mut write) = stream.split();
    let mut said = Vec::new();
    let trickle = async {
        loop {
            tokio::time::sleep(Duration::from_secs(1)).await;
            if write.write_all(b"x: y\r\n").await.is_err() {
                std::future::pending::<()>().await;
            }
        }
    };
    tokio::select! {
        _ = read.read_to_end(&mut said) => {}
        () = trickle => {}
    }
    assert!(begin.elapsed() < limits::HEAD_READ_TIMEOUT + Duration::from_secs(5));
    assert!(!String::from_utf8_lossy(&said).contains("200 OK"));
}

/// Trailers, and what may follow the length of a chunk, are bounded like a head.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_chunked_body_smuggles_in_no_more_than_its_chunks() {
    let node = start(&guests(&[("a", "")])).await;
    let head = "POST /a/echo HTTP/1.1\r\nhost: x\r\ntransfer-encoding: chunked\r\n\r\n";
    for (what, body) in [
        ("trailers", format!("2\r\nhi\r\n0\r\n{}\r\n", "x-t: yyyyyyyyyyyyyyyy\r\n".repeat(50_000))),
        ("an extension", format!("2;{}\r\nhi\r\n0\r\n\r\n", "y".repeat(1 << 20))),
    ] {
        let answer = node.raw(format!("{head}{body}").as_bytes()).await;
        assert!(!answer.contains("200 OK"), "{what}: {answer}");
    }
    let trailers = node.raw(format!("{head}2\r\nhi\r\n0\r\nx-t: y\r\n\r\n").as_bytes()).await;
    assert!(trailers.starts_with("HTTP/1.1 200 "), "{trailers}");
    assert_eq!(node.get("/a/ok").await.body, "ok");
}
