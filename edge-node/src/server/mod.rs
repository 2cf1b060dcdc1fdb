//! The clients' side: connections, what is refused before any guest sees it, and the access log.
//!
//! Invariants: no client can make the node hold more than its limits; a request that is wrong gets a
//! clear 4xx, also when its body is still on its way; no guest is asked before the body is there;
//! each request is logged exactly once. What is no HTTP, or beyond all measure, hyper refuses by
//! itself: without a problem's body, but logged and counted like the rest.
//! Start at [`serve`], then [`Front::answer`].

mod access;
mod inbound;
mod screen;
mod stall;

use std::convert::Infallible;
use std::net::SocketAddr;
use std::sync::Arc;

use http::header::CONNECTION;
use http::{HeaderValue, Request, Response, Version};
use hyper::body::Incoming;
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use hyper_util::server::graceful::GracefulShutdown;
use prometheus_client::metrics::gauge::Gauge;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::Semaphore;
use tokio::task::JoinSet;
use wasmtime_wasi_http::WasiBody;

use self::access::Access;
use self::inbound::{Intake, Upload};
use self::stall::StallGuard;
use crate::deployment::Current;
use crate::limits;
use crate::metrics::Metrics;
use crate::node::Lifecycle;
use crate::problem::Problem;
use crate::site::Answered;
use crate::trace::Trace;

/// What every connection needs.
pub(crate) struct Front {
    /// The application.
    site: Current,
    /// Where everything is counted.
    metrics: Arc<Metrics>,
    intake: Intake,
    life: Arc<Lifecycle>,
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
        let connection = graceful.watch(connect(stream, client, Arc::clone(&front)));
        let metrics = Arc::clone(&front.metrics);
        let counted = Counted::new(&metrics.connections);
        connections.spawn(async move {
            match connection.await {
                Err(error) if error.is_parse() => access::refused(client, &error, &metrics),
                Err(error) => tracing::debug!(%client, %error, "connection ended"),
                Ok(()) => {}
            }
            drop((counted, place));
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

fn connect(
    stream: TcpStream,
    client: SocketAddr,
    front: Arc<Front>,
) -> hyper::server::conn::http1::Connection<
    TokioIo<StallGuard>,
    impl hyper::service::Service<
        Request<Incoming>,
        Response = Response<WasiBody>,
        Error = Infallible,
        Future: Send,
    >,
> {
    if let Err(error) = stream.set_nodelay(true) {
        tracing::debug!(%client, %error, "TCP_NODELAY cannot be set");
    }
    let service = service_fn(move |request| {
        let front = Arc::clone(&front);
        async move { Ok::<_, Infallible>(front.answer(request, client).await) }
    });
    hyper::server::conn::http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(limits::HEAD_READ_TIMEOUT)
        .max_headers(limits::MAX_PARSED_HEADERS)
        .max_buf_size(limits::MAX_PARSED_HEAD_BYTES)
        .serve_connection(TokioIo::new(StallGuard::new(stream)), service)
}

impl Front {
    /// The front of `site`, without requests.
    pub(crate) fn new(site: Current, metrics: Arc<Metrics>, life: Arc<Lifecycle>) -> Self {
        Self { site, metrics, intake: Intake::new(), life }
    }

    async fn answer(&self, request: Request<Incoming>, client: SocketAddr) -> Response<WasiBody> {
        let version = request.version();
        let trace = Trace::from_headers(request.headers());
        let access = Access::begin(&request, client, &trace, &self.metrics);
        let answered = match self.admit(request, client).await {
            Ok(request) => self.site.load_full().answer(request, client, &trace).await,
            Err(problem) => Answered::problem(problem, &trace),
        };
        let mut response = access.finish(answered);
        // Whoever comes again is to find another node. HTTP/2 has its own word for that.
        if self.life.is_draining() && version < Version::HTTP_2 {
            response.headers_mut().insert(CONNECTION, HeaderValue::from_static("close"));
        }
        response
    }

    /// The request as the application gets it: clean and whole.
    async fn admit(
        &self,
        request: Request<Incoming>,
        client: SocketAddr,
    ) -> Result<Request<WasiBody>, Problem> {
        let (mut head, body) = request.into_parts();
        let upload = Upload::new(body, &head.headers);
        screen::clean(&mut head)?;
        let body = self.intake.read(upload, client.ip()).await?;
        Ok(Request::from_parts(head, body))
    }
}
