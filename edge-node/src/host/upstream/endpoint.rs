//! One address of an upstream: its connections, what is in progress there, and its health.

use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use http::header::HOST;
use http::uri::PathAndQuery;
use http::{HeaderValue, Request, Response, Uri};
use hyper::body::Incoming;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::gauge::Gauge;
use tokio::time::{Instant, timeout_at};
use wasmtime_wasi_http::WasiBody;

use super::Clock;
use super::breaker::Outcome;
use super::failure::Failure;
use super::health::{Health, NEVER_MS};
use super::pool::{Connection, Lease, Pool};
use crate::limits;

/// Where a request goes, in the forms that the two protocols want.
pub(super) struct Target {
    /// With scheme and authority.
    absolute: Uri,
    /// From the path on.
    origin_form: Uri,
    host: HeaderValue,
}

impl Target {
    /// None without an authority. User information is left out (RFC 9110, section 4.2.4).
    pub(super) fn of(uri: &Uri) -> Option<Self> {
        let authority = uri.authority()?.as_str();
        let authority = authority.rsplit_once('@').map_or(authority, |(_, authority)| authority);
        let host = HeaderValue::from_str(authority).ok()?;
        let path = uri.path_and_query().cloned().unwrap_or(PathAndQuery::from_static("/"));
        let absolute = Uri::builder()
            .scheme(uri.scheme()?.clone())
            .authority(authority)
            .path_and_query(path.clone())
            .build()
            .ok()?;
        Some(Self { absolute, origin_form: Uri::from(path), host })
    }

    /// Makes a request one for this target.
    fn address(&self, request: &mut Request<WasiBody>, connection: &Connection) {
        match connection {
            Connection::Http1(_) => {
                *request.uri_mut() = self.origin_form.clone();
                request.headers_mut().insert(HOST, self.host.clone());
            }
            // Here the URI's authority becomes `:authority`.
            Connection::Http2(_) => {
                *request.uri_mut() = self.absolute.clone();
                request.headers_mut().remove(HOST);
            }
        }
    }
}

/// An attempt that brought no head of an answer.
pub(super) struct Failed {
    /// Why.
    pub(super) failure: Failure,
    /// The request, if surely nothing of it was sent.
    pub(super) unsent: Option<Box<Request<WasiBody>>>,
}

/// How long one attempt may take.
#[derive(Clone, Copy)]
pub(super) struct Until {
    /// A connection, if a new one is needed.
    pub(super) connect: Duration,
    /// The head of the answer, however many attempts it takes.
    pub(super) head: Instant,
}

/// One address.
pub(super) struct Endpoint {
    /// As `host:port`.
    pub(super) address: Arc<str>,
    pool: Arc<Pool>,
    clock: Clock,
    /// The upstream has no other: there is nothing to choose, and its breaker says it all.
    is_alone: bool,
    /// Requests whose answers are not over.
    outstanding: AtomicUsize,
    health: Mutex<Health>,
    /// Beside the lock: what every request reads.
    usable_from_ms: AtomicU64,
    is_troubled: AtomicBool,
    healthy: Gauge,
    ejections: Counter,
}

impl Endpoint {
    /// An address that is taken for healthy until it shows otherwise.
    pub(super) fn new(
        address: Arc<str>,
        pool: Pool,
        clock: Clock,
        is_alone: bool,
        healthy: Gauge,
        ejections: Counter,
    ) -> Self {
        healthy.set(1);
        Self {
            address,
            pool: Arc::new(pool),
            clock,
            is_alone,
            outstanding: AtomicUsize::new(0),
            health: Mutex::default(),
            usable_from_ms: AtomicU64::new(0),
            is_troubled: AtomicBool::new(false),
            healthy,
            ejections,
        }
    }

    /// Whether it is to be asked.
    pub(super) fn is_usable(&self, now_ms: u64) -> bool {
        self.usable_from_ms.load(Ordering::Relaxed) <= now_ms
    }

    /// Requests whose answers are not over.
    pub(super) fn outstanding(&self) -> usize {
        self.outstanding.load(Ordering::Relaxed)
    }

    /// Closes connections that have waited for too long.
    pub(super) fn sweep(&self) {
        self.pool.sweep();
    }

    /// One attempt, to the head of the answer.
    pub(super) async fn send(
        &self,
        mut request: Request<WasiBody>,
        target: &Target,
        until: Until,
    ) -> Result<(Response<Incoming>, Lease), Failed> {
        loop {
            let connected = until.head.min(Instant::now() + until.connect);
            let checkout = match timeout_at(connected, self.pool.checkout()).await {
                Ok(checkout) => checkout,
                Err(_) if connected < until.head => Err(Failure::ConnectTimeout),
                Err(_) => Err(Failure::FirstByteTimeout),
            };
            let (mut connection, is_reused) = match checkout {
                Ok(connection) => connection,
                Err(failure) => {
                    return Err(Failed { failure, unsent: Some(Box::new(request)) });
                }
            };
            target.address(&mut request, &connection);
            let sent = match &mut connection {
                Connection::Http1(sender) => {
                    timeout_at(until.head, sender.try_send_request(request)).await
                }
                Connection::Http2(sender) => {
                    timeout_at(until.head, sender.try_send_request(request)).await
                }
            };
            let mut error = match sent {
                Ok(Ok(response)) => {
                    return Ok((response, Lease::new(Arc::clone(&self.pool), connection)));
                }
                Ok(Err(error)) => error,
                Err(_) => {
                    return Err(Failed { failure: Failure::FirstByteTimeout, unsent: None });
                }
            };
            let unsent = error.take_message();
            match (unsent, connection) {
                // It had been closed meanwhile; nothing was sent and the next one may be alive.
                (Some(back), Connection::Http1(_)) if is_reused => request = back,
                (Some(back), Connection::Http2(_)) if is_reused => {
                    self.pool.retire_shared();
                    request = back;
                }
                (unsent, Connection::Http1(_) | Connection::Http2(_)) => {
                    let failure = Failure::of_exchange(error.error());
                    return Err(Failed { failure, unsent: unsent.map(Box::new) });
                }
            }
        }
    }

    /// A check was answered well, or not.
    pub(super) fn check(&self, is_passed: bool) {
        let was_up = self.usable_from_ms.load(Ordering::Relaxed) != NEVER_MS;
        let is_up = self.learn(|health| health.check(is_passed)) != NEVER_MS;
        if was_up != is_up {
            let address = &*self.address;
            tracing::warn!(address, is_up, "the checks of an upstream's address say otherwise now");
            self.healthy.set(i64::from(is_up));
        }
    }

    /// A request ended.
    fn judge(&self, outcome: Outcome) {
        if self.is_alone {
            return;
        }
        match outcome {
            Outcome::Success if self.is_troubled.load(Ordering::Relaxed) => {
                self.learn(Health::succeed);
            }
            Outcome::Success | Outcome::Neutral => {}
            Outcome::Failure => {
                let now_ms = self.clock.now_ms();
                let was_usable = self.is_usable(now_ms);
                self.learn(|health| health.fail(now_ms));
                if was_usable && !self.is_usable(now_ms) {
                    tracing::warn!(address = &*self.address, "an upstream's address is ejected");
                    self.ejections.inc();
                }
            }
        }
    }

    fn learn(&self, news: impl FnOnce(&mut Health)) -> u64 {
        let mut health = self.health.lock().unwrap_or_else(PoisonError::into_inner);
        news(&mut health);
        self.is_troubled.store(health.is_troubled(), Ordering::Relaxed);
        self.usable_from_ms.store(health.usable_from_ms(), Ordering::Relaxed);
        health.usable_from_ms()
    }
}

/// One request in progress at an address. Dropped without a judgement, it was given up by its guest.
pub(super) struct Busy {
    endpoint: Arc<Endpoint>,
    since: Instant,
    is_judged: bool,
}

impl Busy {
    /// Counts from now on.
    pub(super) fn new(endpoint: Arc<Endpoint>) -> Self {
        endpoint.outstanding.fetch_add(1, Ordering::Relaxed);
        Self { endpoint, since: Instant::now(), is_judged: false }
    }

    /// Where it is.
    pub(super) fn endpoint(&self) -> &Endpoint {
        &self.endpoint
    }

    /// How long it has been there.
    pub(super) fn waited(&self) -> Duration {
        self.since.elapsed()
    }

    /// Tells the address how it did.
    pub(super) fn judge(&mut self, outcome: Outcome) {
        self.is_judged = true;
        self.endpoint.judge(outcome);
    }
}

impl Drop for Busy {
    fn drop(&mut self) {
        self.endpoint.outstanding.fetch_sub(1, Ordering::Relaxed);
        if !self.is_judged && self.waited() >= limits::BLAME_HEAD_AFTER {
            self.endpoint.judge(Outcome::Failure);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::Target;

    #[test]
    fn a_target_has_no_user_and_always_a_path() {
        for (uri, absolute, origin_form, host) in [
            ("http://core:3001/a?b=c", "http://core:3001/a?b=c", "/a?b=c", "core:3001"),
            ("https://core", "https://core/", "/", "core"),
            ("http://u:p@core:1?q", "http://core:1/?q", "/?q", "core:1"),
            ("http://[::1]:1/", "http://[::1]:1/", "/", "[::1]:1"),
        ] {
            let target = Target::of(&uri.parse().unwrap()).unwrap();
            assert_eq!(target.absolute.to_string(), absolute);
            assert_eq!(target.origin_form.to_string(), origin_form);
            assert_eq!(target.host, host);
        }
        assert!(Target::of(&"/path".parse().unwrap()).is_none());
    }
}
