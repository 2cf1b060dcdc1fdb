//! A node on free ports with a manifest of the test's own, a client, and an upstream that counts.

use std::convert::Infallible;
use std::error::Error;
use std::future::Future;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use bytes::Bytes;
use edge_node::{ClientLimits, FeedOptions, Node, Options, StartError};
use http::{HeaderMap, Request, Response, StatusCode};
use http_body_util::{BodyExt as _, Full};
use hyper::body::Incoming;
use hyper::service::service_fn;
use hyper_util::client::legacy::Client;
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::rt::{TokioExecutor, TokioIo};
use tempfile::TempDir;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};

/// The folder that `cargo xtask functions` fills.
pub(crate) fn functions_dir() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../target/functions")
}

/// The test guest, as an absolute path.
pub(crate) fn guest() -> PathBuf {
    let guest = functions_dir().join("guest.wasm");
    assert!(guest.exists(), "{} is missing: run `cargo xtask functions`", guest.display());
    guest
}

/// Compiled components, shared by all tests: compiling is slow.
pub(crate) fn cache_dir() -> PathBuf {
    Path::new(env!("CARGO_TARGET_TMPDIR")).join("edge-node-cache")
}

/// A manifest whose components are all the guest, each under `/<id>/...`; `settings` are the lines
/// of its table.
pub(crate) fn guests(components: &[(&str, &str)]) -> String {
    let mut manifest = "spin_manifest_version = 2\n[application]\nname = \"test\"\n".to_owned();
    for (id, settings) in components {
        manifest.push_str(&format!(
            "[[trigger.http]]\nroute = \"/{id}/...\"\ncomponent = \"{id}\"\n\
             [component.{id}]\nsource = \"{}\"\n{settings}\n",
            guest().display()
        ));
    }
    manifest
}

/// A node and what it was started with.
pub(crate) struct TestNode {
    pub(crate) node: Node,
    client: Client<HttpConnector, Full<Bytes>>,
    dir: TempDir,
}

/// An answer, read to its end.
#[derive(Debug)]
pub(crate) struct Answer {
    pub(crate) status: StatusCode,
    pub(crate) headers: HeaderMap,
    pub(crate) body: String,
}

impl Answer {
    /// The `code` of problem+json.
    pub(crate) fn code(&self) -> String {
        assert_eq!(self.headers["content-type"], "application/problem+json", "{self:?}");
        let problem: serde_json::Value = serde_json::from_str(&self.body).unwrap();
        assert_eq!(problem["status"], self.status.as_u16(), "{self:?}");
        assert_eq!(problem["trace_id"], self.headers["x-trace-id"].to_str().unwrap(), "{self:?}");
        problem["code"].as_str().unwrap().to_owned()
    }

    /// The value of a header in the body that the guest's `/echo` gives.
    pub(crate) fn echoed(&self, name: &str) -> Option<&str> {
        let prefix = format!("{name}: ");
        self.body.lines().find_map(|line| line.strip_prefix(&prefix))
    }
}

pub(crate) async fn try_start(
    manifest: &str,
    cache_dir: &Path,
    variables: &[(&str, &str)],
) -> Result<TestNode, StartError> {
    try_start_with(manifest, None, cache_dir, variables).await
}

/// A node with a feed.
pub(crate) async fn start_following(manifest: &str, feed: FeedOptions) -> TestNode {
    start_changed(manifest, |options| options.feed = feed).await.unwrap()
}

/// A node that lets one client have only so much.
pub(crate) async fn start_for(manifest: &str, clients: ClientLimits) -> TestNode {
    start_changed(manifest, |options| options.clients = clients).await.unwrap()
}

/// The same with the text of a runtime configuration.
pub(crate) async fn try_start_with(
    manifest: &str,
    runtime_config: Option<&str>,
    cache_dir: &Path,
    variables: &[(&str, &str)],
) -> Result<TestNode, StartError> {
    launch(manifest, runtime_config, cache_dir, variables, |_| {}).await
}

/// With options changed from the usual ones.
pub(crate) async fn start_changed(
    manifest: &str,
    change: impl FnOnce(&mut Options),
) -> Result<TestNode, StartError> {
    launch(manifest, None, &cache_dir(), &[], change).await
}

/// The same for a start that must succeed.
pub(crate) async fn start_as(manifest: &str, change: impl FnOnce(&mut Options)) -> TestNode {
    start_changed(manifest, change).await.unwrap()
}

async fn launch(
    manifest: &str,
    runtime_config: Option<&str>,
    cache_dir: &Path,
    variables: &[(&str, &str)],
    change: impl FnOnce(&mut Options),
) -> Result<TestNode, StartError> {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("spin.toml");
    std::fs::write(&path, manifest).unwrap();
    let runtime_config = runtime_config.map(|text| {
        let path = dir.path().join("runtime-config.toml");
        std::fs::write(&path, text).unwrap();
        path
    });
    let given = variables.iter().map(|(k, v)| ((*k).to_owned(), (*v).to_owned())).collect();
    let mut options = Options::on_loopback(path, cache_dir);
    options.runtime_config = runtime_config;
    options.variables.given = given;
    change(&mut options);
    let node = Node::start(options).await?;
    let client = Client::builder(TokioExecutor::new()).build_http();
    Ok(TestNode { node, client, dir })
}

pub(crate) async fn start(manifest: &str) -> TestNode {
    try_start(manifest, &cache_dir(), &[]).await.unwrap()
}

impl TestNode {
    pub(crate) fn url(&self, target: &str) -> String {
        format!("http://{}{target}", self.node.address)
    }

    pub(crate) async fn get(&self, target: &str) -> Answer {
        self.send(Request::get(self.url(target)), "").await
    }

    /// The status, after reading all of the answer; an error if it breaks off.
    pub(crate) async fn try_get(&self, target: &str) -> Result<StatusCode, Box<dyn Error>> {
        let request = Request::get(self.url(target)).body(Full::default())?;
        let response = self.client.request(request).await?;
        let status = response.status();
        response.into_body().collect().await?;
        Ok(status)
    }

    pub(crate) async fn send(
        &self,
        request: http::request::Builder,
        body: impl Into<Bytes>,
    ) -> Answer {
        let request = request.body(Full::new(body.into())).unwrap();
        read(self.client.request(request).await.unwrap()).await
    }

    /// Asks the admin listener.
    pub(crate) async fn admin(&self, method: &str, target: &str) -> Answer {
        let url = format!("http://{}{target}", self.node.admin_address);
        self.send(Request::builder().method(method).uri(url), "").await
    }

    /// Writes the manifest anew; the node hears of it by other ways.
    pub(crate) fn rewrite(&self, manifest: &str) {
        std::fs::write(self.dir.path().join("spin.toml"), manifest).unwrap();
    }

    pub(crate) async fn metrics(&self) -> String {
        let url = format!("http://{}/metrics", self.node.admin_address);
        self.send(Request::get(url), "").await.body
    }

    /// Waits until the metrics have this line, and returns them: an instance is counted when it ends, which may
    /// be a moment after its last answer.
    pub(crate) async fn until_metrics(&self, line: &str) -> String {
        for _ in 0..500 {
            let metrics = self.metrics().await;
            if metrics.contains(line) {
                return metrics;
            }
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
        panic!("no {line} in {}", self.metrics().await);
    }

    /// Sends bytes as they are on a connection of their own, and returns what comes back until the
    /// node closes it or falls silent.
    pub(crate) async fn raw(&self, bytes: &[u8]) -> String {
        let mut stream = TcpStream::connect(self.node.address).await.unwrap();
        // The node may answer and close before everything is sent.
        let _ = stream.write_all(bytes).await;
        let mut answer = Vec::new();
        let mut piece = [0; 4096];
        // The first word may take a while on a busy machine.
        let mut patience = Duration::from_secs(20);
        while let Ok(Ok(n)) = tokio::time::timeout(patience, stream.read(&mut piece)).await {
            if n == 0 {
                break;
            }
            answer.extend_from_slice(&piece[..n]);
            patience = Duration::from_millis(800);
        }
        String::from_utf8_lossy(&answer).into_owned()
    }
}

async fn read(response: Response<Incoming>) -> Answer {
    let (head, body) = response.into_parts();
    let body = body.collect().await.unwrap().to_bytes();
    let body = String::from_utf8_lossy(&body).into_owned();
    Answer { status: head.status, headers: head.headers, body }
}

/// A server that answers every request by a function and counts them.
pub(crate) struct Upstream {
    pub(crate) address: SocketAddr,
    hits: Arc<AtomicUsize>,
}

impl Upstream {
    pub(crate) async fn start<F, Fut>(answer: F) -> Self
    where
        F: Fn(Request<Incoming>) -> Fut + Send + Sync + 'static,
        Fut: Future<Output = Response<Full<Bytes>>> + Send + 'static,
    {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let hits = Arc::new(AtomicUsize::new(0));
        let counted = Arc::clone(&hits);
        let answer = Arc::new(answer);
        tokio::spawn(async move {
            loop {
                let (stream, _) = listener.accept().await.unwrap();
                let (answer, counted) = (Arc::clone(&answer), Arc::clone(&counted));
                let service = service_fn(move |request| {
                    counted.fetch_add(1, Ordering::SeqCst);
                    let response = answer(request);
                    async move { Ok::<_, Infallible>(response.await) }
                });
                let connection = hyper::server::conn::http1::Builder::new()
                    .serve_connection(TokioIo::new(stream), service);
                tokio::spawn(connection);
            }
        });
        Self { address, hits }
    }

    pub(crate) fn hits(&self) -> usize {
        self.hits.load(Ordering::SeqCst)
    }

    pub(crate) fn url(&self, target: &str) -> String {
        format!("http://{}{target}", self.address)
    }
}

/// An answer of an upstream.
pub(crate) fn reply(status: u16, headers: &[(&str, &str)], body: &str) -> Response<Full<Bytes>> {
    let mut response = Response::builder().status(status);
    for (name, value) in headers {
        response = response.header(*name, *value);
    }
    response.body(Full::from(body.to_owned())).unwrap()
}
