//! The client against real sockets.

use std::convert::Infallible;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use bytes::Bytes;
use http::header::HOST;
use http::{Method, Request, Response, StatusCode, Version};
use http_body_util::{BodyExt as _, Full};
use hyper::body::Incoming;
use hyper::service::service_fn;
use hyper_util::rt::{TokioExecutor, TokioIo};
use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpSocket, TcpStream};
use tokio::time::{sleep, timeout};
use tokio_rustls::TlsAcceptor;

use super::{Client, Failure, Patience};
use crate::body::full;
use crate::limits;
use crate::metrics::Metrics;

const PATIENT: Patience = Patience {
    connect: Duration::from_secs(5),
    first_byte: Duration::from_secs(10),
    between_bytes: Duration::from_secs(10),
    total: Duration::from_secs(20),
};

/// A client, its metrics, and short words for asking.
struct Asker {
    client: Client,
    metrics: Arc<Metrics>,
}

impl Asker {
    fn new(upstreams: &[String]) -> Self {
        Self::trusting(upstreams, None).unwrap()
    }

    fn trusting(upstreams: &[String], ca_bundle: Option<PathBuf>) -> Result<Self, String> {
        let options: Vec<_> = upstreams.iter().map(|text| text.parse().unwrap()).collect();
        let metrics = Arc::new(Metrics::new());
        let client = Client::new(&options, ca_bundle, Arc::clone(&metrics))?;
        Ok(Self { client, metrics })
    }

    async fn ask(&self, method: Method, url: &str, patience: Patience) -> Result<String, Failure> {
        let body = if method == Method::POST { "posted" } else { "" };
        let request = Request::builder().method(method).uri(url).body(full(body)).unwrap();
        let response = self.client.send(request, patience).await?;
        let status = response.status();
        let body =
            response.into_body().collect().await.map_err(|error| Failure::of_body(&error))?;
        let body = String::from_utf8(body.to_bytes().to_vec()).unwrap();
        if status == StatusCode::OK { Ok(body) } else { Ok(status.as_u16().to_string()) }
    }

    async fn get(&self, url: &str) -> Result<String, Failure> {
        self.ask(Method::GET, url, PATIENT).await
    }

    async fn post(&self, url: &str) -> Result<String, Failure> {
        self.ask(Method::POST, url, PATIENT).await
    }

    async fn until(&self, line: &str) {
        for _ in 0..1_000 {
            if self.metrics.text().unwrap().contains(line) {
                return;
            }
            sleep(Duration::from_millis(10)).await;
        }
        panic!("no {line} in {}", self.metrics.text().unwrap());
    }
}

/// A good server that says what it was asked, or 503 while it is down.
#[derive(Clone, Default)]
struct Server {
    hits: Arc<AtomicUsize>,
    connections: Arc<AtomicUsize>,
    is_down: Arc<AtomicBool>,
}

impl Server {
    async fn start(is_http2: bool, tls: Option<TlsAcceptor>) -> (Self, SocketAddr) {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let server = Self::default();
        let accepting = server.clone();
        tokio::spawn(async move {
            loop {
                let (stream, _) = listener.accept().await.unwrap();
                accepting.connections.fetch_add(1, Ordering::SeqCst);
                let (server, tls) = (accepting.clone(), tls.clone());
                tokio::spawn(async move {
                    match tls {
                        None => server.serve(stream, is_http2).await,
                        Some(tls) => {
                            let Ok(stream) = tls.accept(stream).await else { return };
                            server.serve(stream, is_http2).await;
                        }
                    }
                });
            }
        });
        (server, address)
    }

    async fn serve(self, io: impl AsyncRead + AsyncWrite + Send + Unpin + 'static, is_http2: bool) {
        let service = service_fn(move |request: Request<Incoming>| {
            let server = self.clone();
            async move { Ok::<_, Infallible>(server.answer(request).await) }
        });
        let io = TokioIo::new(io);
        // A client that goes away in the middle is no concern of these tests.
        if is_http2 {
            let builder = hyper::server::conn::http2::Builder::new(TokioExecutor::new());
            let _ = builder.serve_connection(io, service).await;
        } else {
            let builder = hyper::server::conn::http1::Builder::new();
            let _ = builder.serve_connection(io, service).await;
        }
    }

    async fn answer(&self, request: Request<Incoming>) -> Response<Full<Bytes>> {
        let is_down = self.is_down.load(Ordering::SeqCst);
        let (head, body) = request.into_parts();
        let body = body.collect().await.unwrap().to_bytes();
        if head.uri.path() != "/readyz" {
            self.hits.fetch_add(1, Ordering::SeqCst);
        }
        if head.uri.path() == "/slow" {
            sleep(Duration::from_millis(100)).await;
        }
        let host = match head.version {
            Version::HTTP_2 => head.uri.authority().unwrap().to_string(),
            _ => head.headers[HOST].to_str().unwrap().to_owned(),
        };
        let said = format!("{} {host} {}", head.method, String::from_utf8_lossy(&body));
        let mut response = Response::new(Full::from(said));
        if is_down {
            *response.status_mut() = StatusCode::SERVICE_UNAVAILABLE;
        }
        response
    }

    fn hits(&self) -> usize {
        self.hits.load(Ordering::SeqCst)
    }
}

/// A server that takes a request per connection, counts it, and does with the connection what `act` does.
async fn raw<F, Fut>(act: F) -> (Arc<AtomicUsize>, SocketAddr)
where
    F: Fn(usize, TcpStream) -> Fut + Send + Sync + 'static,
    Fut: Future<Output = ()> + Send + 'static,
{
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let hits = Arc::new(AtomicUsize::new(0));
    let (counted, act) = (Arc::clone(&hits), Arc::new(act));
    tokio::spawn(async move {
        loop {
            let (mut stream, _) = listener.accept().await.unwrap();
            let (counted, act) = (Arc::clone(&counted), Arc::clone(&act));
            tokio::spawn(async move {
                if stream.read(&mut [0; 4096]).await.is_ok_and(|read| read > 0) {
                    act(counted.fetch_add(1, Ordering::SeqCst), stream).await;
                }
            });
        }
    });
    (hits, address)
}

/// An address where nobody listens.
async fn nobody() -> SocketAddr {
    TcpListener::bind("127.0.0.1:0").await.unwrap().local_addr().unwrap()
}

const OK: &[u8] = b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok";

#[tokio::test]
async fn after_a_reset_a_get_is_asked_once_more_and_a_post_is_not() {
    for (resets, method, expected, hits) in [
        (1, Method::GET, Ok("ok".to_owned()), 2),
        (9, Method::GET, Err(Failure::Terminated), 2),
        (1, Method::POST, Err(Failure::Terminated), 1),
    ] {
        let (seen, address) = raw(move |number, mut stream| async move {
            if number >= resets {
                stream.write_all(OK).await.unwrap();
            }
        })
        .await;
        let url = format!("http://{address}/");
        let answer = Asker::new(&[]).ask(method.clone(), &url, PATIENT).await;
        assert_eq!(answer, expected, "{method}");
        assert_eq!(seen.load(Ordering::SeqCst), hits, "{method} after {resets} resets");
    }
}

#[tokio::test]
async fn nothing_is_asked_again_once_a_head_was_seen() {
    let (seen, address) = raw(|_, mut stream| async move {
        stream.write_all(b"HTTP/1.1 200 OK\r\ncontent-length: 9\r\n\r\nok").await.unwrap();
    })
    .await;
    let answer = Asker::new(&[]).get(&format!("http://{address}/")).await;
    assert_eq!(answer, Err(Failure::Terminated));
    assert_eq!(seen.load(Ordering::SeqCst), 1);
}

/// A connection that the server closed while it waited does not cost a POST its answer.
#[tokio::test]
async fn a_post_does_not_go_to_a_connection_known_to_be_closed() {
    let (seen, address) = raw(|_, mut stream| async move {
        stream.write_all(OK).await.unwrap();
    })
    .await;
    let asker = Asker::new(&[]);
    for number in 1..=5 {
        assert_eq!(
            asker.post(&format!("http://{address}/")).await.as_deref(),
            Ok("ok"),
            "{number}"
        );
        sleep(Duration::from_millis(100)).await;
    }
    assert_eq!(seen.load(Ordering::SeqCst), 5);
}

#[tokio::test]
async fn connections_are_used_again() {
    let (server, address) = Server::start(false, None).await;
    let asker = Asker::new(&[]);
    for _ in 0..20 {
        asker.post(&format!("http://{address}/")).await.unwrap();
        // Its end is seen a moment after the answer's.
        sleep(Duration::from_millis(5)).await;
    }
    assert_eq!(server.hits(), 20);
    let connections = server.connections.load(Ordering::SeqCst);
    assert!(connections <= 3, "{connections} connections for 20 requests in a row");
}

#[tokio::test]
async fn where_nobody_listens_nothing_was_sent_and_even_a_post_goes_elsewhere() {
    let (server, address) = Server::start(false, None).await;
    let dead = nobody().await;
    let asker = Asker::new(&[format!("core.test:80={dead},{address};health=none")]);
    for _ in 0..20 {
        let said = asker.post("http://core.test/orders").await;
        assert_eq!(
            said.as_deref(),
            Ok("POST core.test posted"),
            "the function's own host is named"
        );
    }
    assert_eq!(server.hits(), 20);
    asker.until("edge_upstream_ejections_total{upstream=\"http://core.test:80\"").await;
    assert_eq!(asker.get(&format!("http://{dead}/")).await, Err(Failure::Refused));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_address_whose_checks_fail_is_left_alone_until_they_pass() {
    let (one, one_at) = Server::start(false, None).await;
    let (two, two_at) = Server::start(false, None).await;
    let asker = Asker::new(&[format!("core.test:80={one_at},{two_at};health-every-ms=50")]);
    let series = |address| {
        format!(r#"edge_upstream_healthy{{upstream="http://core.test:80",address="{address}"}}"#)
    };
    let ask_10 = async || {
        for _ in 0..10 {
            asker.get("http://core.test/").await.unwrap();
        }
    };
    ask_10().await;
    assert_eq!((one.hits(), two.hits()), (5, 5), "equals take turns");
    one.is_down.store(true, Ordering::SeqCst);
    asker.until(&format!("{} 0", series(one_at))).await;
    ask_10().await;
    assert_eq!((one.hits(), two.hits()), (5, 15));
    // Nobody is healthy: somebody is asked all the same.
    two.is_down.store(true, Ordering::SeqCst);
    asker.until(&format!("{} 0", series(two_at))).await;
    assert_eq!(asker.get("http://core.test/").await.as_deref(), Ok("503"));
    asker.until("edge_upstream_panics_total{upstream=\"http://core.test:80\"} 1").await;
    one.is_down.store(false, Ordering::SeqCst);
    two.is_down.store(false, Ordering::SeqCst);
    asker.until(&format!("{} 1", series(one_at))).await;
    asker.until(&format!("{} 1", series(two_at))).await;
    let before = one.hits();
    ask_10().await;
    assert_eq!(one.hits(), before + 5, "it is asked again");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_breaker_opens_refuses_probes_and_closes() {
    let (server, address) = Server::start(false, None).await;
    let asker = Asker::new(&[format!("{address}={address};health=none;open-ms=1000")]);
    let url = format!("http://{address}/");
    server.is_down.store(true, Ordering::SeqCst);
    for _ in 0..limits::BREAKER_MIN_CALLS {
        assert_eq!(asker.get(&url).await.as_deref(), Ok("503"));
    }
    let opened = Instant::now();
    let hits = server.hits();
    assert_eq!(asker.get(&url).await, Err(Failure::CircuitOpen));
    assert_eq!(asker.post(&url).await, Err(Failure::CircuitOpen));
    assert_eq!(server.hits(), hits, "nobody was asked");
    let line = |state, count| {
        format!(r#"edge_upstream_breakers{{upstream="http://{address}",state="{state}"}} {count}"#)
    };
    asker.until(&line("open", 1)).await;
    server.is_down.store(false, Ordering::SeqCst);
    while asker.get(&url).await == Err(Failure::CircuitOpen) {
        assert!(opened.elapsed() < Duration::from_secs(30), "it stays open");
        sleep(Duration::from_millis(20)).await;
    }
    assert!(opened.elapsed() >= Duration::from_millis(900), "{:?}", opened.elapsed());
    asker.until(&line("half-open", 1)).await;
    for _ in 1..limits::BREAKER_PROBES {
        asker.get(&url).await.unwrap();
    }
    asker.until(&line("closed", 1)).await;
    asker.until(&line("half-open", 0)).await;
}

#[tokio::test]
async fn a_guest_in_a_hurry_closes_nothing_for_the_others() {
    let (server, address) = Server::start(false, None).await;
    let asker = Asker::new(&[]);
    let hurried = Patience { first_byte: Duration::from_millis(2), ..PATIENT };
    for _ in 0..2 * limits::BREAKER_MIN_CALLS {
        let answer = asker.ask(Method::POST, &format!("http://{address}/slow"), hurried).await;
        assert_eq!(answer, Err(Failure::FirstByteTimeout));
    }
    assert!(asker.get(&format!("http://{address}/")).await.is_ok(), "{} hits", server.hits());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn many_requests_share_one_connection_of_http2() {
    let (server, address) = Server::start(true, None).await;
    let asker = Asker::new(&[format!("core.test:80={address};health=none;protocol=http2")]);
    let asks = (0..100).map(|_| asker.post("http://core.test/slow"));
    for said in futures::future::join_all(asks).await {
        assert_eq!(said.as_deref(), Ok("POST core.test posted"));
    }
    assert_eq!((server.hits(), server.connections.load(Ordering::SeqCst)), (100, 1));
}

/// A certificate for `localhost`: its bundle in `dir`, and a server's side of TLS.
fn certified(dir: &tempfile::TempDir, protocols: &[&[u8]]) -> (PathBuf, TlsAcceptor) {
    let made = rcgen::generate_simple_self_signed(vec!["localhost".to_owned()]).unwrap();
    let bundle = dir.path().join("ca.pem");
    std::fs::write(&bundle, made.cert.pem()).unwrap();
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let key = rustls::pki_types::PrivateKeyDer::try_from(made.signing_key.serialize_der()).unwrap();
    let mut config = rustls::ServerConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_no_client_auth()
        .with_single_cert(vec![made.cert.der().clone()], key)
        .unwrap();
    config.alpn_protocols = protocols.iter().map(|name| name.to_vec()).collect();
    (bundle, TlsAcceptor::from(Arc::new(config)))
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn https_speaks_what_the_upstream_prefers_and_minds_its_certificate() {
    let dirs = [tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap()];
    for is_http2 in [true, false] {
        let protocols: &[&[u8]] = if is_http2 { &[b"h2"] } else { &[] };
        let (bundle, tls) = certified(&dirs[0], protocols);
        let (stranger, _) = certified(&dirs[1], protocols);
        let (server, address) = Server::start(is_http2, Some(tls)).await;
        let port = address.port();
        let url = format!("https://localhost:{port}/slow");
        let trusting = Asker::trusting(&[], Some(bundle)).unwrap();
        for said in futures::future::join_all((0..10).map(|_| trusting.get(&url))).await {
            assert_eq!(said, Ok(format!("GET localhost:{port} ")));
        }
        if is_http2 {
            assert_eq!(server.connections.load(Ordering::SeqCst), 1);
        }
        let other_name = trusting.get(&format!("https://127.0.0.1:{port}/")).await;
        assert_eq!(other_name, Err(Failure::Certificate));
        let wary = Asker::trusting(&[], Some(stranger)).unwrap();
        assert_eq!(wary.get(&url).await, Err(Failure::Certificate));
        assert_eq!(server.hits(), 10);
    }
}

#[tokio::test]
async fn each_wait_ends_with_a_name_of_its_own() {
    let (_, address) = raw(|_, mut stream| async move {
        sleep(Duration::from_secs(30)).await;
        let _ = stream.shutdown().await;
    })
    .await;
    let short = Duration::from_millis(200);
    let asker = Asker::new(&[]);
    let ask = async |address: SocketAddr, patience| {
        let begin = Instant::now();
        let answer = asker.ask(Method::GET, &format!("http://{address}/"), patience).await;
        assert!(begin.elapsed() < Duration::from_secs(8), "{:?}", begin.elapsed());
        answer
    };
    let patience = Patience { first_byte: short, ..PATIENT };
    assert_eq!(ask(address, patience).await, Err(Failure::FirstByteTimeout));

    // A piece of a body every 50 ms, or only one.
    let drips = async |pieces: usize| {
        let act = move |_, mut stream: TcpStream| async move {
            let head = b"HTTP/1.1 200 OK\r\ncontent-length: 1000000\r\n\r\n";
            let mut is_open = stream.write_all(head).await.is_ok();
            for _ in 0..pieces {
                is_open = is_open && stream.write_all(b"x").await.is_ok();
                sleep(Duration::from_millis(50)).await;
            }
            sleep(Duration::from_secs(30)).await;
        };
        raw(act).await.1
    };
    let patience = Patience { between_bytes: short, ..PATIENT };
    assert_eq!(ask(drips(1).await, patience).await, Err(Failure::BodyTimeout));
    let patience = Patience { total: Duration::from_millis(400), ..PATIENT };
    assert_eq!(ask(drips(1_000).await, patience).await, Err(Failure::TotalTimeout));

    let socket = TcpSocket::new_v4().unwrap();
    socket.bind("127.0.0.1:0".parse().unwrap()).unwrap();
    // Nobody accepts: once its queue is full, the system answers no more.
    let listener = socket.listen(1).unwrap();
    let address = listener.local_addr().unwrap();
    let mut queue = Vec::new();
    while let Ok(queued) = timeout(short, TcpStream::connect(address)).await {
        queue.push(queued.unwrap());
    }
    let patience = Patience { connect: short, ..PATIENT };
    assert_eq!(ask(address, patience).await, Err(Failure::ConnectTimeout));
}

#[tokio::test]
async fn what_cannot_be_asked_is_told_at_once() {
    let asker = Asker::new(&[]);
    assert_eq!(asker.get("ftp://127.0.0.1:1/").await, Err(Failure::Uri));
    assert_eq!(asker.get("/path").await, Err(Failure::Uri));
    let tunnel = asker.ask(Method::CONNECT, "http://127.0.0.1:1", PATIENT).await;
    assert_eq!(tunnel, Err(Failure::Method));
    let twice = ["core:1=a:1;health=none".to_owned(), "http://core:1=b:1;health=none".to_owned()];
    let error = Asker::trusting(&twice, None).err().unwrap();
    assert!(error.contains("configured twice"), "{error}");
}
