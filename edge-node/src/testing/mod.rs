//! For tests of edge functions: an application in this process, with a core that the test makes up.
//!
//! [`App`] runs a `spin.toml` as edge-node does: real sockets on free ports of loopback, real guests, caches,
//! budgets and limits. Only the core is a [`Reply`] for each [`Call`]. Several applications may run at once; they share
//! the engine, and nothing else. Whatever keeps a test from going on panics, and says what to do.
//!
//! ```ignore
#![doc = include_str!("../../tests/functions/example.rs")]
//! ```
//!
//! A test looks at what a function keeps ([`App::store`]) and at what it writes ([`App::logged`], [`App::log`]):
//!
//! ```ignore
#![doc = include_str!("../../tests/functions/countdown.rs")]
//! ```

mod fake_core;
mod log;
mod store;

use std::collections::BTreeMap;
use std::fmt;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use bytes::Bytes;
use http::{HeaderMap, Method, Request, StatusCode, Uri};
use http_body_util::{BodyExt as _, Full};
use hyper_util::client::legacy::Client;
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::rt::TokioExecutor;
use tokio::task::JoinHandle;

use self::fake_core::Answers;
pub use self::fake_core::{Call, Reply};
use self::log::Log;
pub use self::store::Store;
pub use crate::host::output::GuestLine;
use crate::node::{Node, Options};

/// An application that is not started yet.
pub struct Builder {
    manifest: PathBuf,
    cache_dir: PathBuf,
    variables: BTreeMap<String, String>,
    cores: Vec<(String, Answers)>,
}

impl fmt::Debug for Builder {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Builder").field("manifest", &self.manifest).finish_non_exhaustive()
    }
}

impl Builder {
    /// Sets a variable of the application.
    #[must_use]
    pub fn variable(mut self, name: &str, value: &str) -> Self {
        self.variables.insert(name.to_owned(), value.to_owned());
        self
    }

    /// Starts a server that answers each request by `answer`, and sets the variable to its URL, such as
    /// `http://127.0.0.1:40000`. There may be several.
    #[must_use]
    pub fn fake_core(
        mut self,
        variable: &str,
        answer: impl Fn(&Call) -> Reply + Send + Sync + 'static,
    ) -> Self {
        self.cores.push((variable.to_owned(), Arc::new(answer)));
        self
    }

    /// Keeps compiled components in this folder: tests with manifests of their own share what takes long. Without it
    /// they are kept beside the manifest in `.edge-node/cache`, as `edge-node up` keeps them.
    #[must_use]
    pub fn cache_dir(self, dir: impl Into<PathBuf>) -> Self {
        Self { cache_dir: dir.into(), ..self }
    }

    /// Starts it.
    ///
    /// # Panics
    /// When it cannot start; the message is the one that edge-node gives.
    pub async fn start(mut self) -> App {
        let calls = Arc::new(Mutex::new(Vec::new()));
        let mut cores = Vec::new();
        for (variable, answer) in self.cores {
            let (address, server) = fake_core::serve(answer, Arc::clone(&calls)).await;
            self.variables.insert(variable, format!("http://{address}"));
            cores.push(server);
        }
        let mut options = Options::on_loopback(self.manifest, self.cache_dir);
        options.variables.given = self.variables;
        let log = Log::new();
        let node = match Node::start_heard(options, Some(log.listener())).await {
            Ok(node) => node,
            Err(error) => panic!("the application cannot start: {error}"),
        };
        let client = Client::builder(TokioExecutor::new()).build_http();
        App { node, client, calls, cores, log }
    }
}

/// A running application. It stops when it is dropped.
pub struct App {
    node: Node,
    client: Client<HttpConnector, Full<Bytes>>,
    calls: Arc<Mutex<Vec<Call>>>,
    cores: Vec<JoinHandle<()>>,
    log: Log,
}

impl App {
    /// The application of a manifest. Relative paths are taken from the working directory, which is the package's folder
    /// in `cargo test`.
    pub fn from_manifest(path: impl AsRef<Path>) -> Builder {
        let manifest = path.as_ref().to_owned();
        let dir = manifest.parent().unwrap_or(Path::new("")).join(".edge-node/cache");
        Builder { manifest, cache_dir: dir, variables: BTreeMap::new(), cores: Vec::new() }
    }

    /// Where it listens, for clients of the test's own.
    pub fn address(&self) -> SocketAddr {
        self.node.address
    }

    /// Sends a GET; `target` is a path and perhaps a query.
    ///
    /// # Panics
    /// As [`App::send`].
    pub async fn get(&self, target: &str) -> Answer {
        self.send(request(Method::GET, target).body(Bytes::new()).expect(TARGET)).await
    }

    /// Sends a POST of a JSON document.
    ///
    /// # Panics
    /// As [`App::send`].
    pub async fn post_json(&self, target: &str, document: &serde_json::Value) -> Answer {
        let request = request(Method::POST, target).header("content-type", "application/json");
        self.send(request.body(document.to_string().into()).expect(TARGET)).await
    }

    /// Sends a request, whose URI is a path and perhaps a query, and reads the answer to its end.
    ///
    /// # Panics
    /// When the node does not answer.
    pub async fn send(&self, request: Request<Bytes>) -> Answer {
        self.ask(self.node.address, request).await
    }

    /// Takes back what the node's cache keeps under these tags. It is in effect when this returns.
    ///
    /// # Panics
    /// When the node refuses the tags.
    pub async fn purge(&self, tags: impl IntoIterator<Item = &str>) {
        let tags: Vec<&str> = tags.into_iter().collect();
        let body = serde_json::json!({ "tags": tags }).to_string();
        let request = request(Method::POST, "/purge").body(body.into()).expect(TARGET);
        let answer = self.ask(self.node.admin_address, request).await;
        assert!(answer.status.is_success(), "{tags:?} cannot be purged: {answer:?}");
    }

    /// What the fake cores were asked since the start or the last [`App::forget_outbound`], in order of arrival.
    pub fn outbound(&self) -> Vec<Call> {
        lock(&self.calls).clone()
    }

    /// Forgets what the fake cores were asked.
    pub fn forget_outbound(&self) {
        lock(&self.calls).clear();
    }

    /// The key-value store of this label. The functions that list it see the same.
    ///
    /// # Panics
    /// When no component lists it.
    pub fn store(&self, label: &str) -> Store {
        match self.node.store(label) {
            Some(store) => Store::new(label, store),
            None => panic!("no component that runs lists {label:?} in its key_value_stores"),
        }
    }

    /// What the functions have written to stdout and stderr, in order of arrival. It comes a moment after it was
    /// written: [`App::logged`] waits.
    pub fn log(&self) -> Vec<GuestLine> {
        self.log.lines()
    }

    /// Waits for a line with `text` in it, written by any function since the start; it may be there already.
    ///
    /// # Panics
    /// When there is none after 10 s; the message shows the lines that there are.
    pub async fn logged(&self, text: &str) -> GuestLine {
        self.log.wait_for(text).await
    }

    async fn ask(&self, address: SocketAddr, request: Request<Bytes>) -> Answer {
        let (mut head, body) = request.into_parts();
        let url = format!("http://{address}{}", head.uri);
        head.uri = url.parse::<Uri>().expect(TARGET);
        let sent = self.client.request(Request::from_parts(head, Full::new(body))).await;
        let response = match sent {
            Ok(response) => response,
            Err(error) => panic!("{url} was not answered: {error}"),
        };
        let (head, body) = response.into_parts();
        match body.collect().await {
            Ok(body) => {
                Answer { status: head.status, headers: head.headers, body: body.to_bytes() }
            }
            Err(error) => panic!("the answer of {url} broke off: {error}"),
        }
    }
}

impl Drop for App {
    fn drop(&mut self) {
        self.cores.iter().for_each(JoinHandle::abort);
    }
}

const TARGET: &str = "the target must be a path, such as /v1/stores?limit=2";

fn request(method: Method, target: &str) -> http::request::Builder {
    Request::builder().method(method).uri(target)
}

/// What the application answered.
#[derive(Debug, Clone)]
pub struct Answer {
    /// The status.
    pub status: StatusCode,
    /// The headers.
    pub headers: HeaderMap,
    /// The whole body.
    pub body: Bytes,
}

impl Answer {
    /// The value of a header; none if it is not there or not text.
    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers.get(name).and_then(|value| value.to_str().ok())
    }

    /// All of `Cache-Status` (RFC 9211), the levels from the innermost, joined by commas; empty if there is none.
    pub fn cache_status(&self) -> String {
        let values = self.headers.get_all("cache-status").iter();
        values.filter_map(|value| value.to_str().ok()).collect::<Vec<_>>().join(", ")
    }

    /// The body as text.
    ///
    /// # Panics
    /// When it is not UTF-8.
    pub fn text(&self) -> &str {
        std::str::from_utf8(&self.body).expect("the body is text")
    }

    /// The body as JSON.
    ///
    /// # Panics
    /// When it is not; the message shows it.
    pub fn json(&self) -> serde_json::Value {
        match serde_json::from_slice(&self.body) {
            Ok(value) => value,
            Err(error) => panic!("no JSON ({error}): {self:?}"),
        }
    }
}

/// A poisoned lock is a panic in a test's own closure, which is reported there.
fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
