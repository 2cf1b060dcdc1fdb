//! TLS and HTTP/2 at the door.

use std::net::SocketAddr;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use edge_node::{TlsFiles, limits};
use http::{Request, StatusCode, Version};
use http_body_util::{BodyExt as _, Full};
use hyper::client::conn::{http1, http2};
use hyper_util::rt::{TokioExecutor, TokioIo};
use rustls::crypto::ring;
use rustls::pki_types::{CertificateDer, ServerName};
use rustls::{ClientConfig, RootCertStore};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;

use crate::common::{TestNode, guests, start, start_as};

/// A certificate for `localhost`, in files.
struct Issued {
    der: CertificateDer<'static>,
    cert: String,
    key: String,
}

fn issue() -> Issued {
    let issued = rcgen::generate_simple_self_signed(["localhost".to_owned()]).unwrap();
    let key = issued.signing_key.serialize_pem();
    Issued { der: issued.cert.der().clone(), cert: issued.cert.pem(), key }
}

impl Issued {
    fn write(&self, files: &TlsFiles) {
        std::fs::write(&files.cert, &self.cert).unwrap();
        std::fs::write(&files.key, &self.key).unwrap();
    }
}

fn files_in(dir: &Path) -> TlsFiles {
    TlsFiles { cert: dir.join("cert.pem"), key: dir.join("key.pem") }
}

async fn start_tls(files: &TlsFiles) -> TestNode {
    let manifest = guests(&[("a", "")]);
    start_as(&manifest, |options| options.tls = Some(files.clone())).await
}

/// A connection of a client that trusts only `issued` and offers these protocols.
async fn connect(
    address: SocketAddr,
    issued: &Issued,
    protocols: &[&str],
) -> std::io::Result<TlsStream<TcpStream>> {
    let mut roots = RootCertStore::empty();
    roots.add(issued.der.clone()).unwrap();
    let mut config = ClientConfig::builder_with_provider(Arc::new(ring::default_provider()))
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_root_certificates(roots)
        .with_no_client_auth();
    config.alpn_protocols = protocols.iter().map(|it| it.as_bytes().to_vec()).collect();
    let stream = TcpStream::connect(address).await?;
    let name = ServerName::try_from("localhost").unwrap();
    TlsConnector::from(Arc::new(config)).connect(name, stream).await
}

type Sender2 = http2::SendRequest<Full<Bytes>>;
type Sender1 = http1::SendRequest<Full<Bytes>>;

async fn speak_http2<IO>(io: IO) -> Sender2
where
    IO: tokio::io::AsyncRead + tokio::io::AsyncWrite + Unpin + Send + 'static,
{
    let (sender, connection) =
        http2::handshake(TokioExecutor::new(), TokioIo::new(io)).await.unwrap();
    tokio::spawn(connection);
    sender
}

async fn speak_http1(stream: TlsStream<TcpStream>) -> Sender1 {
    let (sender, connection) = http1::handshake(TokioIo::new(stream)).await.unwrap();
    tokio::spawn(connection);
    sender
}

fn get(uri: &str) -> http::request::Builder {
    Request::get(uri)
}

fn empty(request: http::request::Builder) -> Request<Full<Bytes>> {
    request.body(Full::default()).unwrap()
}

async fn text(response: http::Response<hyper::body::Incoming>) -> String {
    String::from_utf8(response.into_body().collect().await.unwrap().to_bytes().to_vec()).unwrap()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn both_protocols_are_spoken_and_functions_cannot_tell_which() {
    let dir = tempfile::tempdir().unwrap();
    let (files, issued) = (files_in(dir.path()), issue());
    issued.write(&files);
    let node = start_tls(&files).await;
    let address = node.node.address;

    let stream = connect(address, &issued, &["http/1.1"]).await.unwrap();
    let request = get("/a/echo").header("host", "localhost").header("cookie", "a=1; b=2");
    let answer = speak_http1(stream).await.send_request(empty(request)).await.unwrap();
    assert_eq!((answer.status(), answer.version()), (StatusCode::OK, Version::HTTP_11));
    let one = text(answer).await;

    let stream = connect(address, &issued, &["h2", "http/1.1"]).await.unwrap();
    assert_eq!(stream.get_ref().1.alpn_protocol(), Some(&b"h2"[..]));
    let mut sender = speak_http2(stream).await;
    let request = get("https://localhost/a/echo").header("cookie", "a=1").header("cookie", "b=2");
    let answer = sender.send_request(empty(request)).await.unwrap();
    assert_eq!((answer.status(), answer.version()), (StatusCode::OK, Version::HTTP_2));
    assert!(answer.headers().contains_key("x-trace-id"));
    let two = text(answer).await;

    let told = |echo: &str| {
        let is_own =
            |line: &&str| !line.starts_with("traceparent") && !line.starts_with("spin-client");
        let mut lines: Vec<String> = echo.lines().filter(is_own).map(str::to_owned).collect();
        lines.sort();
        lines
    };
    assert_eq!(told(&one), told(&two));
    assert!(two.contains("spin-full-url: https://localhost/a/echo"), "{two}");

    // What is refused on HTTP/1 is on HTTP/2, with the same words.
    for (request, status) in [
        (get("https://localhost/a/%zz"), 400),
        (get("https://localhost/a/ok").header("host", "other.example"), 400),
        (get("https://localhost/nowhere"), 404),
        (get("https://localhost/a/ok").header("x-long", "x".repeat(limits::MAX_HEAD_BYTES)), 431),
    ] {
        let answer = sender.send_request(empty(request)).await.unwrap();
        assert_eq!(answer.status().as_u16(), status);
        assert_eq!(answer.headers()["content-type"], "application/problem+json");
    }
    let body = Full::from(vec![b'x'; usize::try_from(limits::MAX_REQUEST_BODY_BYTES).unwrap() + 1]);
    let request = Request::post("https://localhost/a/echo").body(body).unwrap();
    assert_eq!(sender.send_request(request).await.unwrap().status(), 413);
    assert!(node.metrics().await.contains(r#"edge_tls_handshakes_total{outcome="done"} 2"#));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_certificate_is_replaced_under_connections_and_a_bad_one_is_not_used() {
    let dir = tempfile::tempdir().unwrap();
    let (files, [first, second, third]) = (files_in(dir.path()), [issue(), issue(), issue()]);
    first.write(&files);
    let node = start_tls(&files).await;
    let address = node.node.address;
    let mut kept = speak_http2(connect(address, &first, &["h2"]).await.unwrap()).await;

    second.write(&files);
    let told = node.admin("POST", "/reload").await;
    assert!(told.body.contains("\"is_certificate_new\":true"), "{told:?}");
    assert!(connect(address, &first, &["h2"]).await.is_err(), "it is not shown any longer");
    let mut other = speak_http2(connect(address, &second, &["h2"]).await.unwrap()).await;
    for sender in [&mut kept, &mut other] {
        let answer = sender.send_request(empty(get("https://localhost/a/ok"))).await.unwrap();
        assert_eq!(answer.status(), StatusCode::OK, "a connection goes on");
    }

    std::fs::write(&files.key, &third.key).unwrap();
    let refused = node.admin("POST", "/reload").await;
    assert_eq!(refused.status, StatusCode::UNPROCESSABLE_ENTITY);
    assert!(refused.body.contains("the old certificate stays in use"), "{refused:?}");
    assert!(refused.body.contains("cannot be used together"), "{refused:?}");
    connect(address, &second, &["h2"]).await.unwrap();

    // The pair is whole again: it is seen without being told.
    third.write(&files);
    let begin = std::time::Instant::now();
    while connect(address, &third, &["h2"]).await.is_err() {
        assert!(begin.elapsed() < Duration::from_secs(60), "it is never taken up");
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    let sent = kept.send_request(empty(get("https://localhost/a/ok"))).await;
    assert_eq!(sent.unwrap().status(), StatusCode::OK);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_handshake_that_takes_too_long_is_cut_off_and_others_go_on() {
    let dir = tempfile::tempdir().unwrap();
    let (files, issued) = (files_in(dir.path()), issue());
    issued.write(&files);
    let node = start_tls(&files).await;
    let begin = std::time::Instant::now();
    let mut slow = TcpStream::connect(node.node.address).await.unwrap();
    slow.write_all(&[22, 3, 1]).await.unwrap();
    // Plain HTTP at a secured door is no reason to wait.
    let plain = node.raw(b"GET / HTTP/1.1\r\nhost: x\r\n\r\n").await;
    assert!(!plain.contains("HTTP/1.1"), "{plain}");
    connect(node.node.address, &issued, &["h2"]).await.unwrap();
    let mut rest = Vec::new();
    let read = tokio::time::timeout(limits::HANDSHAKE_TIMEOUT * 3, slow.read_to_end(&mut rest));
    read.await.expect("it is cut off").unwrap();
    assert!(begin.elapsed() >= limits::HANDSHAKE_TIMEOUT);
    let metrics = node.metrics().await;
    for line in [r#"outcome="timeout"} 1"#, r#"outcome="failed"} 1"#, r#"outcome="done"} 1"#] {
        assert!(metrics.contains(&format!("edge_tls_handshakes_total{{{line}")), "{metrics}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn http2_without_tls_is_spoken_to_who_knows_and_ends_with_a_word() {
    let node = start(&guests(&[("a", "")])).await;
    let address = node.node.address;
    let mut sender = speak_http2(TcpStream::connect(address).await.unwrap()).await;
    let uri = |target: &str| format!("http://{address}{target}");
    assert_eq!(node.get("/a/ok").await.body, "ok", "HTTP/1.1 on the same port");
    let slow = sender.send_request(empty(get(&uri("/a/slow?ms=1000"))));
    let slow = tokio::spawn(slow);
    node.until_metrics("edge_requests_in_flight 1").await;
    assert!(node.node.shutdown().await, "an idle or polite connection does not hold it up");
    assert_eq!(slow.await.unwrap().unwrap().status(), StatusCode::OK, "it was under way");
    let late = sender.send_request(empty(get(&uri("/a/ok")))).await;
    assert!(late.is_err(), "the connection is over");
}

/// Sends frames of HTTP/2 as they are, after the preface, and reads until the node closes.
async fn frames(address: SocketAddr, frames: impl IntoIterator<Item = Vec<u8>>) -> Vec<u8> {
    let mut stream = TcpStream::connect(address).await.unwrap();
    let mut sent = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n".to_vec();
    sent.extend(frame(4, 0, 0, &[]));
    sent.extend(frames.into_iter().flatten());
    let _ = stream.write_all(&sent).await;
    let mut answer = Vec::new();
    let read = tokio::time::timeout(Duration::from_secs(30), stream.read_to_end(&mut answer));
    let _ = read.await.expect("the node closes the connection");
    answer
}

fn frame(kind: u8, flags: u8, stream: u32, payload: &[u8]) -> Vec<u8> {
    let length = u32::try_from(payload.len()).unwrap().to_be_bytes();
    let mut frame = length[1..].to_vec();
    frame.extend([kind, flags]);
    frame.extend(stream.to_be_bytes());
    frame.extend(payload);
    frame
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_flood_of_requests_that_are_taken_back_ends_its_connection() {
    let node = start(&guests(&[("a", "")])).await;
    // GET http / with the authority `x`, by the static table; then a reset of the same stream.
    let head = [0x82, 0x86, 0x84, 0x41, 0x01, b'x'];
    let flood = (0..2000).map(|n| 2 * n + 1).flat_map(|stream| {
        [frame(1, 0x5, stream, &head), frame(3, 0, stream, &8_u32.to_be_bytes())]
    });
    let answer = frames(node.node.address, flood).await;
    // GOAWAY with ENHANCE_YOUR_CALM.
    let calm = 11_u32.to_be_bytes();
    assert!(answer.windows(4).any(|window| window == calm), "{} bytes", answer.len());
    assert_eq!(node.get("/a/ok").await.body, "ok");
}
