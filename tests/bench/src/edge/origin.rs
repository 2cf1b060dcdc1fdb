//! The origin behind every cache: it serves one menu of 8 KiB, counts who fetches it, and can go away.
//!
//! What it says of its answers stands in the query: `ttl` and `sie` (stale-if-error) in seconds, `delay` in
//! milliseconds; whatever else is there makes another key. The document carries a version, which is also its entity
//! tag; every answer is tagged [`TAG`].

use bytes::Bytes;
use http::header::{CACHE_CONTROL, CONTENT_TYPE, ETAG, IF_NONE_MATCH};
use http::{HeaderValue, Request, Response, StatusCode, Uri};
use http_body_util::Full;
use hyper::body::Incoming;
use hyper::service::service_fn;
use hyper_util::rt::TokioIo;
use std::collections::BTreeMap;
use std::convert::Infallible;
use std::net::SocketAddr;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;
use tiffin_bench_guest::MENU;
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinHandle;

/// The surrogate key of everything.
pub const TAG: &str = "menu";
/// Where the version begins in the document; it has sixteen digits.
const VERSION_AT: usize = r#"{"version":""#.len();
const VERSION_DIGITS: usize = 16;

/// A server in this process.
pub struct Origin {
    /// Where it listens, when it does.
    pub address: SocketAddr,
    shared: Arc<Shared>,
    accepting: Option<JoinHandle<()>>,
}

#[derive(Default)]
struct Shared {
    version: AtomicU64,
    fetches: Mutex<BTreeMap<String, u64>>,
}

impl Origin {
    /// Starts it on a free port.
    pub async fn start() -> anyhow::Result<Self> {
        let listener = TcpListener::bind("127.0.0.1:0").await?;
        let address = listener.local_addr()?;
        let mut origin = Self { address, shared: Arc::default(), accepting: None };
        origin.accept(listener);
        Ok(origin)
    }

    /// Refuses and ends every connection.
    pub fn go_away(&mut self) {
        if let Some(accepting) = self.accepting.take() {
            accepting.abort();
        }
    }

    /// Comes back on the same port.
    pub async fn come_back(&mut self) -> anyhow::Result<()> {
        let listener = TcpListener::bind(self.address).await?;
        self.accept(listener);
        Ok(())
    }

    fn accept(&mut self, listener: TcpListener) {
        let shared = Arc::clone(&self.shared);
        self.accepting = Some(tokio::spawn(async move {
            let mut connections = tokio::task::JoinSet::new();
            loop {
                tokio::select! {
                    accepted = listener.accept() => {
                        if let Ok((stream, _)) = accepted {
                            connections.spawn(serve(stream, Arc::clone(&shared)));
                        }
                    }
                    // Those that ended need not be remembered.
                    Some(_) = connections.join_next() => {}
                }
            }
        }));
    }

    /// Serves the next version from now on, and returns it.
    pub fn publish(&self) -> u64 {
        self.shared.version.fetch_add(1, Ordering::SeqCst) + 1
    }

    /// How often this target was fetched, confirmations included.
    pub fn fetches(&self, target: &str) -> u64 {
        self.shared.fetches().get(target).copied().unwrap_or(0)
    }
}

impl Drop for Origin {
    fn drop(&mut self) {
        self.go_away();
    }
}

/// The document in a version.
pub fn document(version: u64) -> Vec<u8> {
    let mut document = MENU.as_bytes().to_vec();
    let digits = format!("{version:0VERSION_DIGITS$}");
    document[VERSION_AT..VERSION_AT + VERSION_DIGITS].copy_from_slice(digits.as_bytes());
    document
}

/// The version of a document.
pub fn version(document: &[u8]) -> Option<u64> {
    let digits = document.get(VERSION_AT..VERSION_AT + VERSION_DIGITS)?;
    std::str::from_utf8(digits).ok()?.parse().ok()
}

async fn serve(stream: TcpStream, shared: Arc<Shared>) {
    // Without it an answer may wait for an acknowledgement that is being delayed.
    _ = stream.set_nodelay(true);
    let service = service_fn(move |request: Request<Incoming>| {
        let shared = Arc::clone(&shared);
        async move { Ok::<_, Infallible>(shared.answer(&request).await) }
    });
    // A client that goes away is no news.
    _ = hyper::server::conn::http1::Builder::new()
        .serve_connection(TokioIo::new(stream), service)
        .await;
}

impl Shared {
    fn fetches(&self) -> std::sync::MutexGuard<'_, BTreeMap<String, u64>> {
        // A count cannot be left half done.
        self.fetches.lock().unwrap_or_else(PoisonError::into_inner)
    }

    async fn answer(&self, request: &Request<Incoming>) -> Response<Full<Bytes>> {
        let target = request.uri().path_and_query().map_or("/", |target| target.as_str());
        *self.fetches().entry(target.to_owned()).or_default() += 1;
        let wishes = Wishes::of(request.uri());
        if wishes.delay_ms > 0 {
            tokio::time::sleep(Duration::from_millis(wishes.delay_ms)).await;
        }
        let version = self.version.load(Ordering::SeqCst);
        let tag = format!("\"{version}\"");
        let held = request.headers().get(IF_NONE_MATCH).and_then(|held| held.to_str().ok());
        let is_held = held.is_some_and(|held| held.contains(&tag));
        let body = if is_held { Bytes::new() } else { Bytes::from(document(version)) };
        let mut response = Response::new(Full::new(body));
        if is_held {
            *response.status_mut() = StatusCode::NOT_MODIFIED;
        }
        let headers = response.headers_mut();
        headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
        for (name, value) in [(ETAG, tag), (CACHE_CONTROL, wishes.cache_control())] {
            headers.insert(name, value.try_into().expect("digits and words are a header value"));
        }
        headers.insert("surrogate-key", HeaderValue::from_static(TAG));
        response
    }
}

/// What a query says of the answer.
#[derive(Debug, Default, PartialEq, Eq)]
struct Wishes {
    ttl_s: u64,
    stale_if_error_s: u64,
    delay_ms: u64,
}

impl Wishes {
    fn of(uri: &Uri) -> Self {
        let mut wishes = Self::default();
        for (name, value) in
            uri.query().unwrap_or("").split('&').filter_map(|it| it.split_once('='))
        {
            let value = value.parse().unwrap_or(0);
            match name {
                "ttl" => wishes.ttl_s = value,
                "sie" => wishes.stale_if_error_s = value,
                "delay" => wishes.delay_ms = value,
                _ => {}
            }
        }
        wishes
    }

    fn cache_control(&self) -> String {
        let mut text = format!("public, max-age={}", self.ttl_s);
        if self.stale_if_error_s > 0 {
            text += &format!(", stale-if-error={}", self.stale_if_error_s);
        }
        text
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_document_carries_its_version_and_stays_as_long() {
        for expected in [0, 7, 1_234_567_890] {
            let document = document(expected);
            assert_eq!(version(&document), Some(expected));
            assert_eq!(document.len(), MENU.len());
            serde_json::from_slice::<serde_json::Value>(&document).unwrap();
        }
        assert_eq!(version(b"bad gateway"), None);
    }

    #[test]
    fn a_query_says_how_long_its_answer_holds() {
        let wishes = Wishes::of(&"/origin/menu?ttl=1&sie=600&delay=5&key=2".parse().unwrap());
        assert_eq!(wishes, Wishes { ttl_s: 1, stale_if_error_s: 600, delay_ms: 5 });
        assert_eq!(wishes.cache_control(), "public, max-age=1, stale-if-error=600");
        assert_eq!(Wishes::of(&"/x".parse().unwrap()).cache_control(), "public, max-age=0");
    }
}
