//! A real hyper over a pipe, with the lane between: whoever answers, the client sees one server.

use std::convert::Infallible;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use bytes::Bytes;
use http::request::Parts;
use http::{HeaderMap, Request, Response};
use http_body_util::BodyExt as _;
use hyper::body::Incoming;
use hyper::service::service_fn;
use hyper_util::rt::TokioIo;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _, DuplexStream, duplex};
use tokio::task::JoinHandle;
use tokio::time::Instant;

use super::{Express, Ready, Turn};
use crate::body::{full, guarded};
use crate::limits;
use crate::metrics::Metrics;
use crate::server::access::Access;
use crate::trace::Trace;

/// A server on one end of a pipe.
struct Served {
    client: DuplexStream,
    hits: Arc<AtomicUsize>,
    requests: Arc<AtomicUsize>,
    ended: JoinHandle<hyper::Result<()>>,
}

/// Serves: what is under `/hit` beneath hyper, all else by it; each answer says the target and its server.
fn serve(pipe_bytes: usize) -> Served {
    let (client, server) = duplex(pipe_bytes);
    let (hits, requests) = (Arc::new(AtomicUsize::new(0)), Arc::new(AtomicUsize::new(0)));
    let turn = Turn::new();
    let answer = {
        let (hits, metrics) = (Arc::clone(&hits), Arc::new(Metrics::new()));
        move |head: Parts| {
            let said = format!("lane {}", head.uri);
            head.uri.path().starts_with("/hit").then(|| {
                hits.fetch_add(1, Ordering::SeqCst);
                let trace = Trace::from_headers(&HeaderMap::new());
                let client = ([127, 0, 0, 1], 1).into();
                let access = Access::begin(&head.method, &head.uri, client, &trace, &metrics);
                let head = format!("HTTP/1.1 200 OK\r\ncontent-length: {}\r\n\r\n", said.len());
                Ready { head: head.into(), body: said.into(), access }
            })
        }
    };
    let io = Express::new(server, Arc::clone(&turn), answer);
    let counted = Arc::clone(&requests);
    let service = service_fn(move |request: Request<Incoming>| {
        counted.fetch_add(1, Ordering::SeqCst);
        let answering = turn.begin();
        async move {
            let (head, body) = request.into_parts();
            let sent = body.collect().await.map(|body| body.to_bytes().len()).unwrap_or(0);
            if head.uri.path() == "/stuck" {
                tokio::time::sleep(Duration::from_secs(3_600)).await;
            }
            // Some answers take a while: what is asked meanwhile must wait for its turn.
            if head.uri.path().contains("slow") {
                tokio::time::sleep(Duration::from_millis(5)).await;
            }
            let said = format!("hyper {} {sent}", head.uri);
            Ok::<_, Infallible>(Response::new(guarded(full(said), answering)))
        }
    });
    let connection = hyper::server::conn::http1::Builder::new()
        .header_read_timeout(None)
        .serve_connection(TokioIo::new(io), service);
    Served { client, hits, requests, ended: tokio::spawn(connection) }
}

/// Reads answers to their end; none is longer than its Content-Length says.
async fn read_all(mut client: impl tokio::io::AsyncRead + Unpin) -> Vec<String> {
    let mut all = Vec::new();
    client.read_to_end(&mut all).await.unwrap();
    let mut rest = &all[..];
    let mut bodies = Vec::new();
    while !rest.is_empty() {
        let mut lines = [httparse::EMPTY_HEADER; 16];
        let mut response = httparse::Response::new(&mut lines);
        let head = response.parse(rest).unwrap().unwrap();
        let length = response.headers.iter().find(|line| line.name == "content-length").unwrap();
        let length: usize = str::from_utf8(length.value).unwrap().parse().unwrap();
        bodies.push(str::from_utf8(&rest[head..head + length]).unwrap().to_owned());
        rest = &rest[head + length..];
    }
    bodies
}

fn get(target: &str) -> String {
    format!("GET {target} HTTP/1.1\r\nhost: h\r\n\r\n")
}

fn post(target: &str, body: &str) -> String {
    format!("POST {target} HTTP/1.1\r\nhost: h\r\ncontent-length: {}\r\n\r\n{body}", body.len())
}

/// However the bytes are cut, and whoever answers what: every answer, once, in order.
#[tokio::test(start_paused = true)]
async fn answers_come_in_the_order_of_their_requests_however_they_arrive() {
    let script: [(&str, Option<&str>); 9] = [
        ("/hit/1", None),
        ("/other/1", None),
        ("/hit/2", None),
        ("/slow/1", None),
        ("/hit/3", None),
        ("/hit/4", None),
        ("/slow/2", Some("GET /hit HTTP/1.1\r\nhost: smuggled\r\n\r\n")),
        ("/hit/5", None),
        ("/other/2", Some("")),
    ];
    let mut sent = Vec::new();
    let mut expected = Vec::new();
    for (target, body) in script {
        sent.extend(body.map_or_else(|| get(target), |body| post(target, body)).into_bytes());
        expected.push(match target.starts_with("/hit") && body.is_none() {
            true => format!("lane {target}"),
            false => format!("hyper {target} {}", body.map_or(0, str::len)),
        });
    }
    for (piece_bytes, pipe_bytes) in [
        (1, 64),
        (3, 4_096),
        (7, 16),
        (40, 64),
        (100, 4_096),
        (sent.len(), 8),
        (sent.len(), 65_536),
    ] {
        let Served { client, ended, .. } = serve(pipe_bytes);
        let (reader, mut writer) = tokio::io::split(client);
        let sent = sent.clone();
        let writing = tokio::spawn(async move {
            for piece in sent.chunks(piece_bytes) {
                writer.write_all(piece).await.unwrap();
                tokio::time::sleep(Duration::from_millis(1)).await;
            }
            writer.shutdown().await.unwrap();
        });
        assert_eq!(read_all(reader).await, expected, "{piece_bytes} {pipe_bytes}");
        writing.await.unwrap();
        ended.await.unwrap().unwrap();
    }
}

#[tokio::test(start_paused = true)]
async fn hits_do_not_reach_hyper_and_the_rest_reaches_it_once() {
    let mut served = serve(65_536);
    for _ in 0..100 {
        served.client.write_all(get("/hit/a").as_bytes()).await.unwrap();
        served.client.write_all(get("/other").as_bytes()).await.unwrap();
    }
    served.client.shutdown().await.unwrap();
    assert_eq!(read_all(served.client).await.len(), 200);
    let counts = [served.hits, served.requests].map(|count| count.load(Ordering::SeqCst));
    assert_eq!(counts, [100, 100]);
}

/// Also after hits, and also when hyper has the connection for itself.
#[tokio::test(start_paused = true)]
async fn who_does_not_ask_in_time_is_cut_off() {
    for before in [String::new(), get("/hit"), get("/other"), post("/other", "x")] {
        for begun in ["", "GET / HT"] {
            let mut served = serve(65_536);
            tokio::time::sleep(limits::HEAD_READ_TIMEOUT / 2).await;
            served.client.write_all(before.as_bytes()).await.unwrap();
            tokio::time::sleep(Duration::from_millis(1)).await;
            let asked = Instant::now();
            served.client.write_all(begun.as_bytes()).await.unwrap();
            let _ = served.ended.await.unwrap();
            let waited = asked.elapsed();
            let whole = if before.is_empty() {
                limits::HEAD_READ_TIMEOUT / 2
            } else {
                limits::HEAD_READ_TIMEOUT
            };
            let margin = Duration::from_millis(50);
            assert!(
                waited + margin > whole && waited < whole + margin,
                "{before:?} {begun:?}: {waited:?}"
            );
        }
    }
}

/// Whoever asks and then ends its side is answered, whatever it asked; one that waits for long has gone.
#[tokio::test(start_paused = true)]
async fn a_client_that_ends_its_side_is_answered() {
    let chunked =
        "POST /slow HTTP/1.1\r\nhost: h\r\ntransfer-encoding: chunked\r\n\r\n2\r\nab\r\n0\r\n\r\n";
    for (asked, expected) in [
        (get("/slow"), vec!["hyper /slow 0"]),
        (post("/slow", "abcde"), vec!["hyper /slow 5"]),
        (chunked.to_owned(), vec!["hyper /slow 2"]),
        (
            [get("/hit"), post("/slow", ""), get("/slow")].concat(),
            vec!["lane /hit", "hyper /slow 0", "hyper /slow 0"],
        ),
    ] {
        let mut served = serve(65_536);
        served.client.write_all(asked.as_bytes()).await.unwrap();
        served.client.shutdown().await.unwrap();
        assert_eq!(read_all(served.client).await, expected, "{asked}");
        served.ended.await.unwrap().unwrap();
    }
    for asked in [get("/stuck"), post("/stuck", "abc")] {
        let mut served = serve(65_536);
        served.client.write_all(asked.as_bytes()).await.unwrap();
        served.client.shutdown().await.unwrap();
        let begin = Instant::now();
        let _ = served.ended.await.unwrap();
        let waited = begin.elapsed();
        let margin = Duration::from_millis(50);
        assert!(waited + margin > limits::HALF_CLOSE_PATIENCE, "{waited:?}");
        assert!(waited < limits::HALF_CLOSE_PATIENCE + margin, "{waited:?}");
    }
}

/// A body that breaks off has no answer to wait for.
#[tokio::test(start_paused = true)]
async fn a_client_that_ends_within_its_body_is_noticed_at_once() {
    for asked in [
        "POST /slow HTTP/1.1\r\nhost: h\r\ncontent-length: 9\r\n\r\nabc",
        "POST /slow HTTP/1.1\r\nhost: h\r\ntransfer-encoding: chunked\r\n\r\n9\r\nabc",
        "POST /slow HTTP/1.1\r\nhost: h\r\ncontent",
    ] {
        let mut served = serve(65_536);
        served.client.write_all(asked.as_bytes()).await.unwrap();
        served.client.shutdown().await.unwrap();
        let begin = Instant::now();
        let _ = served.ended.await.unwrap();
        assert!(begin.elapsed() < Duration::from_millis(50), "{asked}");
    }
}

/// A head that is longer than the lane reads, and bytes that are no HTTP, are hyper's to judge.
#[tokio::test(start_paused = true)]
async fn what_the_lane_does_not_understand_is_hypers() {
    let mut served = serve(65_536);
    let long = format!("GET /hit HTTP/1.1\r\nhost: h\r\nx-long: {}\r\n\r\n", "x".repeat(6_000));
    served.client.write_all(long.as_bytes()).await.unwrap();
    served.client.write_all(get("/hit").as_bytes()).await.unwrap();
    tokio::time::sleep(Duration::from_secs(1)).await;
    served.client.shutdown().await.unwrap();
    assert_eq!(read_all(served.client).await, ["hyper /hit 0", "hyper /hit 0"]);

    let mut served = serve(65_536);
    served.client.write_all(b"\x16\x03\x01 no http\r\n\r\n").await.unwrap();
    let error = served.ended.await.unwrap().unwrap_err();
    assert!(error.is_parse());
    let mut said = Vec::new();
    served.client.read_to_end(&mut said).await.unwrap();
    assert!(Bytes::from(said).starts_with(b"HTTP/1.1 400 "));
}
