//! Single flight: identical outbound GETs in progress share one upstream fetch.
//!
//! A guest's caches cannot stop a burst by themselves: many instances miss at once. Here the first
//! request flies, the others wait for its landing. A finished answer that is public and has a
//! max-age then lingers for at most [`limits::COLLAPSE_LINGER_MS`], for those who had missed the
//! guest's caches and come a moment late. It is no cache: nothing is kept longer.
//!
//! Only requests without credentials are collapsed, and only those equal in URL and in every header
//! but the ones that name the request itself, with no purge between them. A flight has the patience of its leader's component;
//! each request, the leader's too, waits for its head as long as it would alone, and no longer. Start at [`Collapser::fetch`].

use std::collections::{HashMap, VecDeque};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use bytes::Bytes;
use futures::{StreamExt as _, stream};
use http::header::{
    AGE, AUTHORIZATION, CACHE_CONTROL, CONTENT_LENGTH, COOKIE, PRAGMA, RANGE, SET_COOKIE,
    TRANSFER_ENCODING, USER_AGENT, VARY,
};
use http::{HeaderMap, HeaderName, Method, Request, Response, StatusCode};
use http_body::Frame;
use http_body_util::{BodyExt as _, BodyStream, StreamBody};
use tokio::sync::watch;
use tokio::time::{Instant, timeout, timeout_at};
use wasmtime_wasi_http::WasiBody;

use super::upstream::{Client, Failure, Patience, collect};
use crate::body::full;
use crate::cache::Cache;
use crate::limits;
use crate::metrics::{CollapseLabel, Metrics};
use crate::trace::{TRACEPARENT, TRACESTATE};

const X_REQUEST_ID: HeaderName = HeaderName::from_static("x-request-id");
/// They name the request or its sender, not what is wanted.
const NOT_IN_KEY: [HeaderName; 4] = [TRACEPARENT, TRACESTATE, X_REQUEST_ID, USER_AGENT];
/// With one of these a request is its sender's own, or wants a fresh or partial answer.
const NOT_SHARED: [HeaderName; 6] =
    [AUTHORIZATION, COOKIE, RANGE, TRANSFER_ENCODING, CACHE_CONTROL, PRAGMA];

/// Everything that must be equal.
type Key = Arc<str>;

/// An answer as it is handed to several.
struct Answer {
    status: StatusCode,
    headers: HeaderMap,
    body: Bytes,
}

impl Answer {
    fn response(&self) -> Response<WasiBody> {
        let mut response = Response::new(full(self.body.clone()));
        *response.status_mut() = self.status;
        response.headers_mut().clone_from(&self.headers);
        response
    }
}

/// How far a flight has come.
#[derive(Clone)]
enum Landing {
    /// The head of the answer is there: the rest follows in its own time.
    InSight,
    Shared(Arc<Answer>),
    Failed(Failure),
    /// The answer is too long or too private to share: each asks for itself.
    Alone,
}

/// The flights in progress and the answers that linger.
pub(crate) struct Collapser {
    state: Mutex<State>,
    cache: Arc<Cache>,
    metrics: Arc<Metrics>,
}

#[derive(Default)]
struct State {
    flights: HashMap<Key, watch::Receiver<Option<Landing>>>,
    lingering: HashMap<Key, (Arc<Answer>, Instant)>,
    /// The keys of `lingering` in the order of their insertion.
    order: VecDeque<Key>,
    lingering_bytes: u64,
}

/// The duty to land a flight.
///
/// Invariant: while a key is in `flights` exactly one obligation for it lives, and its drop takes
/// the key out and closes the channel. A flight that is given up thus frees its waiters: they see
/// the closed channel and one of them leads anew.
struct Obligation {
    collapser: Arc<Collapser>,
    key: Key,
    landing: watch::Sender<Option<Landing>>,
}

impl Drop for Obligation {
    fn drop(&mut self) {
        self.collapser.lock().flights.remove(&self.key);
    }
}

enum Role {
    Leads(Obligation),
    Waits(watch::Receiver<Option<Landing>>),
    Served(Arc<Answer>),
    /// There are too many flights to join another.
    Alone,
}

impl Collapser {
    /// Without flights.
    pub(crate) fn new(cache: Arc<Cache>, metrics: Arc<Metrics>) -> Self {
        Self { state: Mutex::default(), cache, metrics }
    }

    /// Sends `request`, or shares what another just like it brings. `longest` is the patience of a
    /// flight that others may join.
    ///
    /// # Errors
    /// What failed; of a shared flight, the same for all who waited.
    pub(crate) async fn fetch(
        self: &Arc<Self>,
        upstream: &Client,
        request: Request<WasiBody>,
        patience: Patience,
        longest: Patience,
    ) -> Result<Response<WasiBody>, Failure> {
        let Some(key) = key_of(&request, self.cache.latest_purge()) else {
            return upstream.send(request, patience).await;
        };
        let deadline = Instant::now() + patience.first_byte;
        loop {
            let mut flight = match self.join(&key) {
                Role::Leads(obligation) => {
                    return obligation.depart(upstream.clone(), request, longest, deadline).await;
                }
                Role::Alone => return upstream.send(request, patience).await,
                Role::Served(answer) => {
                    self.count("linger");
                    return Ok(answer.response());
                }
                Role::Waits(flight) => flight,
            };
            in_sight(&mut flight, deadline).await?;
            let landed = flight.wait_for(|l| !matches!(l, None | Some(Landing::InSight))).await;
            // Cloned out at once: what `wait_for` returns holds a lock.
            match landed.map(|landing| landing.clone()) {
                // The flight was given up: join anew, perhaps as the leader.
                Err(_) => {}
                // Another was less patient.
                Ok(Some(Landing::Failed(Failure::FirstByteTimeout)))
                    if Instant::now() < deadline => {}
                Ok(Some(Landing::Shared(answer))) => {
                    self.count("flight");
                    return Ok(answer.response());
                }
                Ok(Some(Landing::Failed(failure))) => {
                    self.count("flight");
                    return Err(failure);
                }
                Ok(Some(Landing::Alone | Landing::InSight) | None) => {
                    return upstream.send(request, patience).await;
                }
            }
        }
    }

    fn count(&self, kind: &'static str) {
        self.metrics.collapsed.get_or_create(&CollapseLabel { kind }).inc();
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn join(self: &Arc<Self>, key: &Key) -> Role {
        let mut state = self.lock();
        if let Some((answer, until)) = state.lingering.get(key)
            && *until > Instant::now()
        {
            return Role::Served(Arc::clone(answer));
        }
        if let Some(flight) = state.flights.get(key) {
            return Role::Waits(flight.clone());
        }
        if state.flights.len() >= limits::MAX_FLIGHTS {
            return Role::Alone;
        }
        let (landing, flight) = watch::channel(None);
        state.flights.insert(Arc::clone(key), flight);
        Role::Leads(Obligation { collapser: Arc::clone(self), key: Arc::clone(key), landing })
    }
}

impl Obligation {
    /// Flies in a task of its own: a leader whose guest is stuck or dies does not hold up the rest.
    async fn depart(
        self,
        upstream: Client,
        request: Request<WasiBody>,
        longest: Patience,
        deadline: Instant,
    ) -> Result<Response<WasiBody>, Failure> {
        let mut landing = self.landing.subscribe();
        let flight = self.fly(upstream, request, longest);
        let task = tokio::spawn(timeout(limits::FLIGHT_TIMEOUT, flight));
        in_sight(&mut landing, deadline).await?;
        match task.await {
            Ok(Ok(outcome)) => outcome,
            Ok(Err(_given_up)) => Err(Failure::BodyTimeout),
            Err(_stopped) => Err(Failure::Terminated),
        }
    }

    async fn fly(
        self,
        upstream: Client,
        request: Request<WasiBody>,
        patience: Patience,
    ) -> Result<Response<WasiBody>, Failure> {
        let response = match upstream.send(request, patience).await {
            Ok(response) => response,
            Err(failure) => {
                self.land(Landing::Failed(failure.clone()), None);
                return Err(failure);
            }
        };
        self.landing.send_replace(Some(Landing::InSight));
        if !is_shareable(&response) {
            self.land(Landing::Alone, None);
            return Ok(response);
        }
        let (head, body) = response.into_parts();
        match collect(body, limits::MAX_COLLAPSED_BODY_BYTES).await {
            Ok(Ok(body)) => {
                let linger = linger(head.status, &head.headers);
                let answer = Answer { status: head.status, headers: head.headers, body };
                let answer = Arc::new(answer);
                self.land(Landing::Shared(Arc::clone(&answer)), linger);
                Ok(answer.response())
            }
            Ok(Err((start, rest))) => {
                self.land(Landing::Alone, None);
                Ok(Response::from_parts(head, joined(start, rest)))
            }
            Err(error) => {
                let failure = Failure::of_body(&error);
                self.land(Landing::Failed(failure.clone()), None);
                Err(failure)
            }
        }
    }

    /// The answer lingers before the flight ends, so that nobody in between starts another.
    fn land(self, landing: Landing, linger: Option<Duration>) {
        if let (Landing::Shared(answer), Some(linger)) = (&landing, linger) {
            self.collapser.lock().keep(&self.key, answer, Instant::now() + linger);
        }
        self.landing.send_replace(Some(landing));
    }
}

/// Waits for the head of a flight's answer, or for its end.
async fn in_sight(
    flight: &mut watch::Receiver<Option<Landing>>,
    deadline: Instant,
) -> Result<(), Failure> {
    match timeout_at(deadline, flight.wait_for(Option::is_some)).await {
        Ok(_) => Ok(()),
        Err(_) => Err(Failure::FirstByteTimeout),
    }
}

impl State {
    fn keep(&mut self, key: &Key, answer: &Arc<Answer>, until: Instant) {
        let now = Instant::now();
        let size = |answer: &Answer| answer.body.len() as u64;
        // Oldest first: those that are over, and then as many as there must be room for.
        while let Some(oldest) = self.order.front() {
            let is_over = self.lingering.get(oldest).is_none_or(|(_, until)| *until <= now);
            let has_room = self.lingering_bytes + size(answer) <= limits::MAX_LINGER_BYTES;
            if !is_over && has_room {
                break;
            }
            if let Some((removed, _)) = self.lingering.remove(oldest) {
                self.lingering_bytes -= size(&removed);
            }
            self.order.pop_front();
        }
        self.lingering_bytes += size(answer);
        let replaced = self.lingering.insert(Arc::clone(key), (Arc::clone(answer), until));
        match replaced {
            Some(old) => self.lingering_bytes -= size(&old.0),
            None => self.order.push_back(Arc::clone(key)),
        }
    }
}

/// None for a request that is not collapsed. With the number of the last purge, whoever comes after one shares nothing
/// with those who asked before it: what tags an upstream's answer will bear is not known here.
fn key_of(request: &Request<WasiBody>, latest_purge: u64) -> Option<Key> {
    let headers = request.headers();
    let has_body = headers.get(CONTENT_LENGTH).is_some_and(|length| length != "0");
    let is_private = NOT_SHARED.iter().any(|name| headers.contains_key(name));
    if request.method() != Method::GET || has_body || is_private {
        return None;
    }
    let mut lines: Vec<(&str, &[u8])> = headers
        .iter()
        .filter(|(name, _)| !NOT_IN_KEY.contains(name))
        .map(|(name, value)| (name.as_str(), value.as_bytes()))
        .collect();
    lines.sort_unstable();
    let mut key = format!("{latest_purge}\n{}", request.uri());
    for (name, value) in lines {
        // Header values have no newline: two different lists never give one key.
        key.push('\n');
        key.push_str(name);
        key.push(':');
        key.push_str(std::str::from_utf8(value).ok()?);
    }
    Some(key.into())
}

/// The directives, in lower case.
fn cache_control(headers: &HeaderMap) -> Vec<String> {
    let values = headers.get_all(CACHE_CONTROL).iter().filter_map(|value| value.to_str().ok());
    values.flat_map(|value| value.split(',')).map(|d| d.trim().to_ascii_lowercase()).collect()
}

/// Whether those who wait for the same may have this very answer.
fn is_shareable(response: &Response<WasiBody>) -> bool {
    let directives = cache_control(response.headers());
    let is_private = directives.iter().any(|d| d.starts_with("private") || d == "no-store");
    !is_private && !response.headers().contains_key(SET_COOKIE)
}

/// How long a shared answer may linger: while it is surely fresh, and never long.
fn linger(status: StatusCode, headers: &HeaderMap) -> Option<Duration> {
    let directives = cache_control(headers);
    let has = |name: &str| directives.iter().any(|directive| directive == name);
    let seconds = |name: &str| -> Option<u64> {
        directives.iter().find_map(|directive| directive.strip_prefix(name)?.parse().ok())
    };
    if status.is_server_error() || !has("public") || has("no-cache") || headers.contains_key(VARY) {
        return None;
    }
    let max_age = seconds("s-maxage=").or_else(|| seconds("max-age="))?;
    let age = headers.get(AGE).and_then(|age| age.to_str().ok()?.parse().ok()).unwrap_or(0);
    let fresh_ms = max_age.saturating_sub(age).saturating_mul(1_000);
    let linger_ms = fresh_ms.min(limits::COLLAPSE_LINGER_MS);
    (linger_ms > 0).then(|| Duration::from_millis(linger_ms))
}

fn joined(start: Bytes, rest: WasiBody) -> WasiBody {
    let start = stream::once(async { Ok(Frame::data(start)) });
    StreamBody::new(start.chain(BodyStream::new(rest))).boxed_unsync()
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use http::{HeaderMap, HeaderName, Request, StatusCode};

    use std::sync::Arc;

    use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
    use tokio::net::TcpListener;
    use tokio::time::sleep;

    use super::{Client, Collapser, Failure, Key, Patience, Role, key_of, linger};
    use crate::body::full;
    use crate::cache::Cache;
    use crate::metrics::Metrics;

    fn collapser() -> Collapser {
        let metrics = Arc::new(Metrics::new());
        Collapser::new(Cache::new(Arc::clone(&metrics)), metrics)
    }

    /// Two alike requests with patience of their own, to an upstream that serves one connection:
    /// the head after 300 ms, the body 300 ms later.
    async fn two_alike(patience_ms: [u64; 2]) -> [Result<StatusCode, Failure>; 2] {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}/", listener.local_addr().unwrap());
        tokio::spawn(async move {
            let (mut stream, _) = listener.accept().await.unwrap();
            drop(listener);
            let _ = stream.read(&mut [0; 4096]).await.unwrap();
            for piece in ["HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\n", "ok"] {
                sleep(Duration::from_millis(300)).await;
                stream.write_all(piece.as_bytes()).await.unwrap();
            }
        });
        let upstream = Client::new(&[], None, Arc::new(Metrics::new())).unwrap();
        let collapser = Arc::new(collapser());
        let patience = |first_byte_ms| Patience {
            connect: Duration::from_secs(1),
            first_byte: Duration::from_millis(first_byte_ms),
            between_bytes: Duration::from_secs(1),
            total: Duration::from_secs(10),
        };
        let [one, other] = patience_ms.map(|first_byte_ms| {
            let request = Request::get(&url).body(full("")).unwrap();
            collapser.fetch(&upstream, request, patience(first_byte_ms), patience(5_000))
        });
        let (one, other) = tokio::join!(one, other);
        [one, other].map(|answer| answer.map(|answer| answer.status()))
    }

    #[tokio::test]
    async fn who_waits_for_a_flight_gives_its_body_time() {
        let ok = Ok(StatusCode::OK);
        assert_eq!(two_alike([2_000, 450]).await, [ok.clone(), ok], "450 ms are for the head");
    }

    #[tokio::test]
    async fn who_waits_for_a_flight_has_a_patience_of_its_own() {
        let (ok, late) = (Ok(StatusCode::OK), Err(Failure::FirstByteTimeout));
        assert_eq!(two_alike([100, 2_000]).await, [late.clone(), ok.clone()]);
        assert_eq!(two_alike([2_000, 100]).await, [ok, late]);
    }

    #[tokio::test]
    async fn an_obligation_that_is_dropped_frees_the_waiters() {
        let collapser = Arc::new(collapser());
        let key: Key = "http://core/".into();
        let Role::Leads(obligation) = collapser.join(&key) else { panic!("the first leads") };
        let Role::Waits(mut flight) = collapser.join(&key) else { panic!("the second waits") };
        drop(obligation);
        assert!(flight.wait_for(Option::is_some).await.is_err(), "the waiter is told");
        assert!(matches!(collapser.join(&key), Role::Leads(_)), "and may lead");
    }

    fn headers(lines: &[(&'static str, &'static str)]) -> HeaderMap {
        let line = |(name, value): &(&'static str, &'static str)| {
            (HeaderName::from_static(name), value.parse().unwrap())
        };
        lines.iter().map(line).collect()
    }

    #[test]
    fn only_fresh_public_answers_linger() {
        let half = Some(Duration::from_millis(500));
        for (status, lines, expected) in [
            (200, vec![("cache-control", "public, max-age=60")], half),
            (404, vec![("cache-control", "public, max-age=5")], half),
            (200, vec![("cache-control", "Public,Max-Age=1")], half),
            (200, vec![("cache-control", "public, max-age=0")], None),
            (200, vec![("cache-control", "public, s-maxage=0, max-age=60")], None),
            (200, vec![("cache-control", "public, max-age=60"), ("age", "60")], None),
            (200, vec![("cache-control", "public, max-age=60, no-cache")], None),
            (200, vec![("cache-control", "public, max-age=60"), ("vary", "accept")], None),
            (200, vec![("cache-control", "max-age=60")], None),
            (200, vec![], None),
            (503, vec![("cache-control", "public, max-age=60")], None),
        ] {
            let status = StatusCode::from_u16(status).unwrap();
            assert_eq!(linger(status, &headers(&lines)), expected, "{status} {lines:?}");
        }
    }

    #[test]
    fn requests_collapse_by_url_and_headers_and_never_with_credentials() {
        let key = |url: &str, lines: &[(&'static str, &'static str)]| {
            let mut request = Request::get(url).body(full("")).unwrap();
            *request.headers_mut() = headers(lines);
            key_of(&request, 0)
        };
        let plain = key("http://core/a", &[]);
        assert!(plain.is_some());
        let traced = key("http://core/a", &[("traceparent", "x"), ("x-request-id", "y")]);
        assert_eq!(plain, traced);
        for other in [
            key("http://core/b", &[]),
            key("http://core/a", &[("accept-language", "zh")]),
            key("http://core/a", &[("if-none-match", "\"1\"")]),
            key("http://core/a", &[("x-user", "7")]),
        ] {
            assert!(other.is_some());
            assert_ne!(plain, other);
        }
        for name in ["authorization", "cookie", "range", "cache-control"] {
            assert_eq!(key("http://core/a", &[(name, "x")]), None, "{name}");
        }
        let mut post = Request::post("http://core/a").body(full("")).unwrap();
        *post.headers_mut() = HeaderMap::new();
        assert_eq!(key_of(&post, 0), None);
        let get = Request::get("http://core/a").body(full("")).unwrap();
        assert_ne!(key_of(&get, 1), key_of(&get, 2), "a purge lies between them");
    }
}
