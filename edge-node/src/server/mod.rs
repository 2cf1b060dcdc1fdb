//! The clients' side: connections, what is refused before any guest sees it, and the access log.
//!
//! Invariants: no client can make the node hold more than its limits; a request that is wrong gets a
//! clear 4xx, also when its body is still on its way; no guest is asked before the body is there;
//! each request is logged exactly once. What is no HTTP, or beyond all measure, hyper refuses by
//! itself: without a problem's body, but logged and counted like the rest.
//! Start at [`serve`], then `connection` (protocols and their limits) and [`Front::answer`].

mod access;
mod clients;
mod connection;
mod cors;
mod express;
mod frames;
mod inbound;
mod pace;
mod screen;
mod stall;
mod tls;

use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;

use http::header::CONNECTION;
use http::request::Parts;
use http::uri::Scheme;
use http::{HeaderValue, Request, Response, Version};
use hyper::body::Incoming;
use hyper_util::server::graceful::GracefulShutdown;
use prometheus_client::metrics::gauge::Gauge;
use tokio::net::TcpListener;
use tokio::sync::Semaphore;
use tokio::task::JoinSet;
use wasmtime_wasi_http::WasiBody;

use self::access::Access;
pub use self::clients::ClientLimits;
use self::clients::Clients;
pub use self::cors::CorsOptions;
use self::express::Ready;
use self::inbound::{Intake, Upload};
pub(crate) use self::screen::{SERVER, canonicalize};
pub(crate) use self::tls::Tls;
pub use self::tls::{TlsError, TlsFiles};
use crate::deployment::Current;
use crate::limits;
use crate::metrics::{ClientRefusal, Metrics};
use crate::node::Lifecycle;
use crate::problem::Problem;
use crate::router::is_health;
use crate::site::Answered;
use crate::trace::Trace;

const CONNECTIONS: ClientRefusal = ClientRefusal { reason: "connections" };
const FRAMES: ClientRefusal = ClientRefusal { reason: "frames" };
const RATE: ClientRefusal = ClientRefusal { reason: "rate" };
const UPLOADS: ClientRefusal = ClientRefusal { reason: "uploads" };

/// What every connection needs.
pub(crate) struct Front {
    /// The application.
    site: Current,
    /// Where everything is counted.
    metrics: Arc<Metrics>,
    intake: Intake,
    life: Arc<Lifecycle>,
    /// None on a plain port.
    tls: Option<Arc<Tls>>,
    clients: Clients,
    cors: CorsOptions,
}

/// Accepts connections until the node stops, then lets requests in progress finish within
/// [`limits::SHUTDOWN_DEADLINE`] and cuts off the rest. Returns whether all did.
pub(crate) async fn serve(listener: TcpListener, front: Arc<Front>) -> bool {
    let places = Arc::new(Semaphore::new(limits::MAX_CONNECTIONS));
    let graceful = GracefulShutdown::new();
    // Dropping it cuts off what it holds.
    let mut connections = JoinSet::new();
    loop {
        // At the limit, clients wait in the system's queue instead of being turned away.
        let place = Arc::clone(&places).acquire_owned();
        let (place, accepted) = tokio::select! {
            () = front.life.stop.cancelled() => break,
            Some(_) = connections.join_next() => continue,
            next = async { (place.await, listener.accept().await) } => next,
        };
        let (stream, client) = match accepted {
            Ok(accepted) => accepted,
            Err(error) => {
                // Out of file descriptors, or the client is gone already: a pause lets others end.
                tracing::warn!(%error, "a connection cannot be accepted");
                tokio::time::sleep(limits::ACCEPT_PAUSE).await;
                continue;
            }
        };
        let Some(connected) = front.clients.connect(client.ip()) else {
            front.count(&CONNECTIONS);
            continue;
        };
        let connection = connection::serve(stream, client, Arc::clone(&front), graceful.watcher());
        let counted = Counted::new(&front.metrics.connections);
        connections.spawn(async move {
            connection.await;
            drop((counted, place, connected));
        });
    }
    drop(listener);
    tokio::time::timeout(limits::SHUTDOWN_DEADLINE, graceful.shutdown()).await.is_ok()
}

/// One of what a gauge counts, until it is dropped.
struct Counted(Gauge);

impl Counted {
    fn new(gauge: &Gauge) -> Self {
        gauge.inc();
        Self(gauge.clone())
    }
}

impl Drop for Counted {
    fn drop(&mut self) {
        self.0.dec();
    }
}

impl Front {
    /// The front of `site`, without requests.
    pub(crate) fn new(
        site: Current,
        metrics: Arc<Metrics>,
        life: Arc<Lifecycle>,
        tls: Option<Arc<Tls>>,
        limits: ClientLimits,
        cors: CorsOptions,
    ) -> Self {
        let intake = Intake::new(metrics.body_bytes.clone());
        let clients = Clients::new(limits, metrics.rated_clients.clone());
        Self { site, metrics, intake, life, tls, clients, cors }
    }

    async fn answer(&self, request: Request<Incoming>, client: SocketAddr) -> Response<WasiBody> {
        let version = request.version();
        let trace = Trace::from_headers(request.headers());
        let access = Access::begin(request.method(), request.uri(), client, &trace, &self.metrics);
        let owner = self.clients.identify(request.headers(), client.ip());
        let page = self.cors.read(request.method(), request.headers());
        let mut answered = match self.admit(request, owner).await {
            Ok(request) => self.site.load_full().answer(request, client, owner, &trace).await,
            Err(problem) => Answered::problem(problem, &trace),
        };
        if let Some(page) = page {
            page.answer(&mut answered.response);
        }
        let is_last = answered.problem.is_some_and(Problem::ends_connection);
        let mut response = access.finish(answered);
        // Whoever comes again is to find another node. HTTP/2 has its own word for that.
        if (is_last || self.life.is_draining()) && version < Version::HTTP_2 {
            response.headers_mut().insert(CONNECTION, HeaderValue::from_static("close"));
        }
        response
    }

    /// Answers a request from the cache, if that is all there is to do. Whatever is not answered is
    /// told to [`Front::answer`] as if it had not been seen here. No body comes after the head.
    fn answer_at_once(&self, mut head: Parts, client: SocketAddr) -> Option<Ready> {
        // What is stored does not say who may read it.
        if self.life.is_draining() || self.cors.is_on() {
            return None;
        }
        let owner = self.clients.identify(&head.headers, client.ip());
        screen::clean(&mut head, self.scheme()).ok()?;
        let trace = Trace::from_headers(&head.headers);
        let site = self.site.load();
        let hit = site.wire_hit(&head, &trace)?;
        // Last, because what is refused here is asked again the long way, and there told so.
        self.clients.admit(owner).ok()?;
        let cache = site.count_wire_hit(&hit);
        let mut access = Access::begin(&head.method, &head.uri, client, &trace, &self.metrics);
        access.hit(hit.component.as_deref(), hit.route, cache);
        Some(Ready { head: hit.head, body: hit.body, access })
    }

    fn scheme(&self) -> Scheme {
        if self.tls.is_some() { Scheme::HTTPS } else { Scheme::HTTP }
    }

    /// The request of `client` as the application gets it: clean and whole.
    async fn admit(
        &self,
        request: Request<Incoming>,
        client: IpAddr,
    ) -> Result<Request<WasiBody>, Problem> {
        let (mut head, body) = request.into_parts();
        let upload = Upload::new(body, &head.headers);
        if !is_health(head.uri.path()) {
            self.clients.admit(client).inspect_err(|_| self.count(&RATE))?;
        }
        screen::clean(&mut head, self.scheme())?;
        let body = self.intake.read(upload, client).await;
        let body = body.inspect_err(|problem| {
            if *problem == Problem::TooManyUploads {
                self.count(&UPLOADS);
            }
        })?;
        Ok(Request::from_parts(head, body))
    }

    fn count(&self, refusal: &ClientRefusal) {
        self.metrics.clients_refused.get_or_create(refusal).inc();
    }
}
