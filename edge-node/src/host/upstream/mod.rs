//! One outbound request over the network, with the care that an upstream needs.
//!
//! [`Client::send`] finds the [`origin`] of the URI: one upstream with its addresses, its circuit [`breaker`] and
//! its budget of [`retry`]s. That chooses the least busy healthy [`endpoint`], which has a [`pool`] of
//! connections. [`health`], [`breaker`], [`window`] and [`retry`] are pure rules.
//!
//! Invariants:
//! 1. each wait is bounded: for a connection, for the head, between two pieces of the body, for the whole;
//! 2. what may have been received is repeated only if it is safe, and never once the head of an answer was seen;
//! 3. retries are at most a fifth of the requests in the long run;
//! 4. no lock is held across an await.

mod answer;
mod breaker;
mod endpoint;
mod failure;
mod health;
mod meters;
mod options;
mod origin;
mod pool;
mod retry;
mod tls;
mod window;

use std::collections::HashMap;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use bytes::Bytes;
use http::{Method, Request, Response, Uri};
use http_body_util::BodyExt as _;
use moka::sync::Cache;
use tokio::sync::Semaphore;
use tokio::task::JoinSet;
use tokio::time::{Instant, sleep};
use wasmtime_wasi_http::{Error, WasiBody};

use self::endpoint::{Endpoint, Target, Until};
pub(crate) use self::failure::Failure;
pub(crate) use self::meters::UpstreamMetrics;
pub use self::options::{UpstreamOptions, UpstreamOptionsError, UpstreamProtocol};
use self::origin::{Origin, Plan};
use self::tls::Tls;
use crate::backoff::random;
use crate::hop;
use crate::limits;
use crate::metrics::Metrics;

/// The name of those that have none of their own among the metrics.
const OTHER: &str = "other";

/// How long to wait for what.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Patience {
    /// A connection, if a new one is needed; each attempt anew.
    pub(crate) connect: Duration,
    /// From the start to the head of the answer, retries included.
    pub(crate) first_byte: Duration,
    /// From one piece of the answer's body to the next.
    pub(crate) between_bytes: Duration,
    /// From the start to the end of the answer.
    pub(crate) total: Duration,
}

/// Milliseconds since the client was made.
#[derive(Debug, Clone, Copy)]
struct Clock {
    start: Instant,
}

impl Clock {
    fn now_ms(self) -> u64 {
        u64::try_from(self.start.elapsed().as_millis()).unwrap_or(u64::MAX)
    }
}

/// The client of the whole node. Cloning shares its connections.
#[derive(Clone)]
pub(crate) struct Client(Arc<Inner>);

struct Inner {
    upstreams: Arc<Upstreams>,
    places: Arc<Semaphore>,
    /// Checks and sweeps; they end with the client.
    _tasks: JoinSet<()>,
}

struct Upstreams {
    configured: HashMap<String, Arc<Origin>>,
    /// The rest of what components name, by origin.
    others: Cache<String, Arc<Origin>>,
    /// Those of the rest that have names among the metrics.
    named: AtomicUsize,
    tls: Arc<Tls>,
    clock: Clock,
    metrics: Arc<Metrics>,
}

impl Client {
    /// A client without connections. Health checks begin at once. `ca_bundle` names the certificate
    /// authorities of https upstreams; without it the system's count.
    ///
    /// # Errors
    /// An upstream is configured twice, or the bundle is no good.
    pub(crate) fn new(
        configured: &[UpstreamOptions],
        ca_bundle: Option<PathBuf>,
        metrics: Arc<Metrics>,
    ) -> Result<Self, String> {
        let tls = Arc::new(Tls::new(ca_bundle)?);
        let clock = Clock { start: Instant::now() };
        let mut origins = HashMap::new();
        let mut tasks = JoinSet::new();
        for options in configured {
            let malformed = || format!("the upstream {:?} is malformed", options.origin);
            let uri: Uri = options.origin.parse().map_err(|_| malformed())?;
            let plan = Plan {
                uri: &uri,
                label: options.origin.as_str().into(),
                addresses: &options.addresses,
                is_configured: true,
                protocol: options.protocol,
                open: options.open,
            };
            let origin = Origin::new(plan, &tls, clock, &metrics.upstreams);
            let origin = Arc::new(origin.map_err(|_| malformed())?);
            for endpoint in origin.endpoints() {
                if let Some(path) = &options.health_path {
                    let check = format!("{}{path}", options.origin).parse().ok();
                    let target = check.as_ref().and_then(Target::of).ok_or_else(malformed)?;
                    let (origin, endpoint) = (Arc::clone(&origin), Arc::clone(endpoint));
                    tasks.spawn(check_forever(origin, endpoint, target, options.health_every));
                }
            }
            if origins.insert(options.origin.clone(), origin).is_some() {
                return Err(format!(
                    "the upstream {:?} is configured twice; give all its addresses at once",
                    options.origin
                ));
            }
        }
        let others = Cache::builder()
            .max_capacity(limits::MAX_UPSTREAMS)
            .time_to_idle(limits::UPSTREAM_MEMORY)
            .build();
        let named = AtomicUsize::new(0);
        let upstreams =
            Arc::new(Upstreams { configured: origins, others, named, tls, clock, metrics });
        tasks.spawn(sweep_forever(Arc::clone(&upstreams)));
        let places = Arc::new(Semaphore::new(limits::MAX_OUTBOUND_REQUESTS));
        Ok(Self(Arc::new(Inner { upstreams, places, _tasks: tasks })))
    }

    /// Sends `request`; the body of the answer is bounded and still on its way.
    ///
    /// # Errors
    /// What failed before the head of the answer was there.
    pub(crate) async fn send(
        &self,
        request: Request<WasiBody>,
        patience: Patience,
    ) -> Result<Response<WasiBody>, Failure> {
        let begin = Instant::now();
        if request.method() == Method::CONNECT {
            return Err(Failure::Method);
        }
        let origin = self.0.upstreams.of(request.uri())?;
        let place = Arc::clone(&self.0.places).try_acquire_owned().map_err(|_| Failure::TooMany)?;
        let until = Until {
            connect: patience.connect,
            head: begin + patience.first_byte.min(patience.total),
        };
        let (mut response, lease, busy) = origin.send(request, until).await?;
        // A guest is not told of `Connection`: nobody behind it could know what else ends here.
        hop::strip(response.headers_mut());
        // Dropped in this order: the connection is free before the place is.
        let held = (lease, busy, place);
        Ok(response.map(|body| {
            answer::bounded(body, patience.between_bytes, begin + patience.total, held)
        }))
    }
}

impl Upstreams {
    fn of(&self, uri: &Uri) -> Result<Arc<Origin>, Failure> {
        let origin = options::origin_of(uri).ok_or(Failure::Uri)?;
        if let Some(origin) = self.configured.get(&origin) {
            return Ok(Arc::clone(origin));
        }
        if let Some(origin) = self.others.get(&origin) {
            return Ok(origin);
        }
        let made = self.others.try_get_with_by_ref(&origin, || self.make(&origin));
        made.map_err(|failure: Arc<Failure>| (*failure).clone())
    }

    fn make(&self, origin: &str) -> Result<Arc<Origin>, Failure> {
        let uri: Uri = origin.parse().map_err(|_| Failure::Uri)?;
        let address = uri.authority().ok_or(Failure::Uri)?.to_string();
        // A wildcard in an allow-list lets clients choose names: they must not choose series.
        let is_named = self.named.fetch_add(1, Ordering::Relaxed) < limits::MAX_NAMED_UPSTREAMS;
        let plan = Plan {
            uri: &uri,
            label: if is_named { origin } else { OTHER }.into(),
            addresses: &[address],
            is_configured: false,
            protocol: UpstreamProtocol::Auto,
            open: Duration::from_millis(limits::BREAKER_OPEN_MS),
        };
        Origin::new(plan, &self.tls, self.clock, &self.metrics.upstreams).map(Arc::new)
    }
}

async fn check_forever(
    origin: Arc<Origin>,
    endpoint: Arc<Endpoint>,
    target: Target,
    every: Duration,
) {
    loop {
        endpoint.check(origin.probe(&endpoint, &target).await);
        // A tenth more or less: the nodes of a fleet must not check as one.
        let percent = u32::try_from(90 + random() % 21).unwrap_or(100);
        sleep(every * percent / 100).await;
    }
}

async fn sweep_forever(upstreams: Arc<Upstreams>) {
    loop {
        sleep(limits::UPSTREAM_IDLE).await;
        upstreams.others.run_pending_tasks();
        let configured = upstreams.configured.values().cloned();
        let others = upstreams.others.iter().map(|(_, origin)| origin);
        for origin in configured.chain(others) {
            origin.endpoints().iter().for_each(|endpoint| endpoint.sweep());
        }
    }
}

/// Collects a body up to `max_bytes`; beyond, gives back what came and the rest.
pub(super) async fn collect(
    mut body: WasiBody,
    max_bytes: u64,
) -> Result<Result<Bytes, (Bytes, WasiBody)>, Error> {
    let mut collected = Vec::new();
    while let Some(frame) = body.frame().await {
        // Trailers of a shared answer are dropped: nobody here sends any.
        let Ok(data) = frame?.into_data() else { continue };
        collected.extend_from_slice(&data);
        if collected.len() as u64 > max_bytes {
            return Ok(Err((collected.into(), body)));
        }
    }
    Ok(Ok(collected.into()))
}

#[cfg(test)]
mod tests;
