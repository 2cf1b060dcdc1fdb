//! One upstream as its URLs name it (scheme, host, port): its breaker, its budget of retries, its addresses.
//!
//! What counts as its failure: no connection, TLS that fails, a connection that ends before the head of an
//! answer, a head that is late, and 502, 503 and 504, which say that whoever answers cannot do its work now and
//! that less load helps. A 500 does not count: it is a defect of one route, and must not close the others. What
//! breaks later, in a body, shows at the next request. Retries are behind the breaker: it sees what the guest
//! sees, while each address is judged by each attempt.

use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use http::uri::Scheme;
use http::{Request, Response, StatusCode, Uri};
use hyper::body::Incoming;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::gauge::Gauge;
use rustls::pki_types::ServerName;
use tokio::time::{Instant, sleep};
use wasmtime_wasi_http::WasiBody;

use super::Clock;
use super::breaker::{Admission, Breaker, Outcome, Phase, Rules};
use super::endpoint::{Busy, Endpoint, Failed, Target, Until};
use super::failure::Failure;
use super::meters::{BreakerLabels, EndpointLabels, RetryLabels, UpstreamLabel, UpstreamMetrics};
use super::options::UpstreamProtocol;
use super::pool::{Dialer, Lease, Pool};
use super::retry::{Budget, Replay, pause};
use super::tls::Tls;
use crate::backoff::random;
use crate::body::{drain, full};
use crate::limits;

/// Series of one upstream, looked up once.
struct Meters {
    standing: [Gauge; 3],
    transitions: [Counter; 3],
    retried: Counter,
    over_budget: Counter,
    panics: Counter,
}

const PHASES: [Phase; 3] = [Phase::Closed, Phase::Open, Phase::HalfOpen];

/// What one upstream is made of.
pub(super) struct Plan<'a> {
    /// Scheme, host and port.
    pub(super) uri: &'a Uri,
    /// Its name among the metrics.
    pub(super) label: Arc<str>,
    /// As `host:port`.
    pub(super) addresses: &'a [String],
    /// Whether each address has series of its own.
    pub(super) is_configured: bool,
    pub(super) protocol: UpstreamProtocol,
    pub(super) open: Duration,
}

/// One upstream.
pub(super) struct Origin {
    label: Arc<str>,
    clock: Clock,
    endpoints: Vec<Arc<Endpoint>>,
    /// Where the search for the least busy address begins, so that equals take turns.
    next: AtomicUsize,
    budget: Budget,
    breaker: Mutex<Breaker>,
    /// Beside the lock: while the breaker is closed, nobody need ask it.
    is_closed: AtomicBool,
    meters: Meters,
}

impl Origin {
    /// An upstream without connections, taken for healthy.
    ///
    /// # Errors
    /// Its URI names none, or an address is malformed.
    pub(super) fn new(
        plan: Plan<'_>,
        tls: &Arc<Tls>,
        clock: Clock,
        metrics: &UpstreamMetrics,
    ) -> Result<Self, Failure> {
        let upstream = || Arc::clone(&plan.label);
        let server_name = match plan.uri.scheme() {
            Some(scheme) if *scheme == Scheme::HTTP => None,
            Some(scheme) if *scheme == Scheme::HTTPS => {
                let host = plan.uri.host().unwrap_or_default();
                // An address of IPv6 stands in brackets in a URI, and nowhere else.
                let host = host.trim_start_matches('[').trim_end_matches(']').to_owned();
                Some(ServerName::try_from(host).map_err(|_| Failure::Uri)?)
            }
            _ => return Err(Failure::Uri),
        };
        let opened =
            metrics.connections.get_or_create_owned(&UpstreamLabel { upstream: upstream() });
        let endpoint = |address: &String| {
            let uri = format!("http://{address}").parse().map_err(|_| Failure::Uri)?;
            let dialer = Dialer::new(uri, plan.protocol, server_name.clone(), Arc::clone(tls));
            let pool = Pool::new(dialer, opened.clone());
            let address = Arc::<str>::from(address.as_str());
            let (healthy, ejections) = if plan.is_configured {
                let labels = EndpointLabels { upstream: upstream(), address: Arc::clone(&address) };
                let healthy = metrics.healthy.get_or_create_owned(&labels);
                (healthy, metrics.ejections.get_or_create_owned(&labels))
            } else {
                (Gauge::default(), Counter::default())
            };
            let is_alone = plan.addresses.len() == 1;
            Ok(Arc::new(Endpoint::new(address, pool, clock, is_alone, healthy, ejections)))
        };
        let endpoints = plan.addresses.iter().map(endpoint).collect::<Result<Vec<_>, Failure>>()?;
        let phase = |phase: Phase| BreakerLabels { upstream: upstream(), state: phase.word() };
        let retries = |outcome| {
            metrics.retries.get_or_create_owned(&RetryLabels { upstream: upstream(), outcome })
        };
        let meters = Meters {
            standing: PHASES.map(|it| metrics.breakers.get_or_create_owned(&phase(it))),
            transitions: PHASES
                .map(|it| metrics.breaker_transitions.get_or_create_owned(&phase(it))),
            retried: retries("retried"),
            over_budget: retries("over-budget"),
            panics: metrics.panics.get_or_create_owned(&UpstreamLabel { upstream: upstream() }),
        };
        meters.standing[Phase::Closed as usize].inc();
        let breaker = Breaker::new(Rules {
            window_ms: limits::BREAKER_WINDOW_MS,
            min_calls: limits::BREAKER_MIN_CALLS,
            failure_percent: limits::BREAKER_FAILURE_PERCENT,
            open_ms: u64::try_from(plan.open.as_millis()).unwrap_or(u64::MAX),
            probes: limits::BREAKER_PROBES,
        });
        Ok(Self {
            label: plan.label,
            clock,
            endpoints,
            next: AtomicUsize::new(0),
            budget: Budget::new(),
            breaker: Mutex::new(breaker),
            is_closed: AtomicBool::new(true),
            meters,
        })
    }

    /// Its addresses.
    pub(super) fn endpoints(&self) -> &[Arc<Endpoint>] {
        &self.endpoints
    }

    /// Sends a request, with retries, to the head of an answer.
    ///
    /// # Errors
    /// What the last attempt failed of, or that none may be made.
    pub(super) async fn send(
        self: &Arc<Self>,
        mut request: Request<WasiBody>,
        until: Until,
    ) -> Result<(Response<Incoming>, Lease, Busy), Failure> {
        let target = Target::of(request.uri()).ok_or(Failure::Uri)?;
        let call = self.admit().ok_or(Failure::CircuitOpen)?;
        let replay = Replay::of(&mut request);
        self.budget.deposit();
        // A probe is one look at the upstream, not several.
        let max_retries = if call.is_probe() { 0 } else { limits::MAX_RETRIES };
        let (mut retries, mut tried) = (0, 0_u32);
        let outcome = loop {
            let (index, mut busy) = self.choose(tried);
            tried |= 1 << index;
            let Failed { failure, unsent } =
                match busy.endpoint().send(request, &target, until).await {
                    Ok((response, lease)) => {
                        busy.judge(verdict(response.status()));
                        break Ok((response, lease, busy));
                    }
                    Err(failed) => failed,
                };
            busy.judge(failure.verdict(busy.waited()));
            drop(busy);
            let is_other_address =
                tried.count_ones() < u32::try_from(self.endpoints.len()).unwrap_or(1);
            let again = unsent.map(|it| *it).or_else(|| replay.as_ref().map(Replay::request));
            let (Some(again), true) = (again, failure.may_pass(is_other_address)) else {
                break Err(failure);
            };
            // The same address deserves one more chance, after a pause, and another address gets its first.
            let wait = if is_other_address { Duration::ZERO } else { pause(random()) };
            let is_allowed =
                retries < if is_other_address { max_retries } else { max_retries.min(1) };
            if !is_allowed || Instant::now() + wait >= until.head {
                break Err(failure);
            }
            if !self.budget.withdraw() {
                self.meters.over_budget.inc();
                break Err(failure);
            }
            self.meters.retried.inc();
            retries += 1;
            sleep(wait).await;
            request = again;
        };
        let waited = call.begin.elapsed();
        call.settle(match &outcome {
            Ok((response, ..)) => verdict(response.status()),
            Err(failure) => failure.verdict(waited),
        });
        outcome
    }

    /// The least busy of the healthy addresses that were not tried; without one, of those not tried; without
    /// one, of all.
    fn choose(&self, tried: u32) -> (usize, Busy) {
        let now_ms = self.clock.now_ms();
        let begin = self.next.fetch_add(1, Ordering::Relaxed);
        let least = |is_wanted: &dyn Fn(usize, &Endpoint) -> bool| {
            (0..self.endpoints.len())
                .map(|offset| begin.wrapping_add(offset) % self.endpoints.len())
                .filter(|index| is_wanted(*index, &self.endpoints[*index]))
                .min_by_key(|index| self.endpoints[*index].outstanding())
        };
        let is_new = |index: usize| tried & 1 << index == 0;
        let index =
            least(&|index, endpoint| is_new(index) && endpoint.is_usable(now_ms)).or_else(|| {
                // Better to ask one that is said to be ill than nobody: perhaps the checks are.
                if self.endpoints.len() > 1 && tried == 0 {
                    self.meters.panics.inc();
                }
                least(&|index, _| is_new(index))
            });
        let index = index.or_else(|| least(&|_, _| true)).unwrap_or(0);
        (index, Busy::new(Arc::clone(&self.endpoints[index])))
    }

    /// Asks an address for its health.
    pub(super) async fn probe(&self, endpoint: &Endpoint, target: &Target) -> bool {
        let until = Until {
            connect: limits::HEALTH_TIMEOUT,
            head: Instant::now() + limits::HEALTH_TIMEOUT,
        };
        let request = Request::new(full(""));
        let Ok((response, _lease)) = endpoint.send(request, target, until).await else {
            return false;
        };
        let is_passed = response.status().is_success();
        // What does not end in time is closed with its connection.
        drain(response.into_body(), limits::MAX_HEALTH_BODY_BYTES, limits::HEALTH_TIMEOUT).await;
        is_passed
    }

    fn admit(self: &Arc<Self>) -> Option<Call> {
        let admission = if self.is_closed.load(Ordering::Acquire) {
            Admission::Call
        } else {
            self.with_breaker(|breaker, now_ms| breaker.admit(now_ms))
        };
        (admission != Admission::Refused).then(|| Call {
            origin: Arc::clone(self),
            admission,
            begin: Instant::now(),
            is_settled: false,
        })
    }

    fn with_breaker<T>(&self, act: impl FnOnce(&mut Breaker, u64) -> T) -> T {
        let now_ms = self.clock.now_ms();
        let mut breaker = self.breaker.lock().unwrap_or_else(PoisonError::into_inner);
        let before = breaker.phase();
        let result = act(&mut breaker, now_ms);
        let after = breaker.phase();
        if before != after {
            self.is_closed.store(after == Phase::Closed, Ordering::Release);
            self.meters.standing[before as usize].dec();
            self.meters.standing[after as usize].inc();
            self.meters.transitions[after as usize].inc();
            let (upstream, state) = (&*self.label, after.word());
            tracing::warn!(upstream, state, "the breaker of an upstream has moved");
        }
        result
    }
}

impl Drop for Origin {
    fn drop(&mut self) {
        let breaker = self.breaker.get_mut().unwrap_or_else(PoisonError::into_inner);
        self.meters.standing[breaker.phase() as usize].dec();
    }
}

fn verdict(status: StatusCode) -> Outcome {
    match status {
        StatusCode::BAD_GATEWAY | StatusCode::SERVICE_UNAVAILABLE | StatusCode::GATEWAY_TIMEOUT => {
            Outcome::Failure
        }
        _ => Outcome::Success,
    }
}

/// An admitted request. Dropped unsettled, it was given up by its guest: if that was patient, the upstream
/// failed.
struct Call {
    origin: Arc<Origin>,
    admission: Admission,
    begin: Instant,
    is_settled: bool,
}

impl Call {
    fn is_probe(&self) -> bool {
        matches!(self.admission, Admission::Probe(_))
    }

    fn settle(mut self, outcome: Outcome) {
        self.tell(outcome);
    }

    fn tell(&mut self, outcome: Outcome) {
        self.is_settled = true;
        let admission = self.admission;
        self.origin.with_breaker(|breaker, now_ms| {
            breaker.settle(admission, outcome, now_ms, random());
        });
    }
}

impl Drop for Call {
    fn drop(&mut self) {
        if !self.is_settled {
            let is_patient = self.begin.elapsed() >= limits::BLAME_HEAD_AFTER;
            self.tell(if is_patient { Outcome::Failure } else { Outcome::Neutral });
        }
    }
}
