//! The connections to one address: HTTP/1.1 ones that wait to be used again, or one of HTTP/2 for all.
//!
//! This is hyper's own connection with little around it, and not hyper-util's client, because three things
//! must be known that the client keeps to itself: which address a request goes to while its URI, `Host` and
//! certificate name another; whether a byte of it was sent; and when its connection is free again.
//!
//! The race of every pool, a request written to a connection that the other side is just closing, is met
//! thrice. Connections are kept for less time than servers keep them; one that is known to be closed gives the
//! request back unsent, and another takes it; what remains may have been received, and only safe requests
//! are then repeated (see `retry`).

use std::collections::VecDeque;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use http::Uri;
use hyper::client::conn::{http1, http2};
use hyper::rt::{Read, Write};
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use prometheus_client::metrics::counter::Counter;
use rustls::pki_types::ServerName;
use tokio::runtime::Handle;
use tokio::sync::Semaphore;
use tokio::time::{Instant, timeout};
use tokio_rustls::TlsConnector;
use tower::ServiceExt as _;
use wasmtime_wasi_http::WasiBody;

use super::failure::Failure;
use super::options::UpstreamProtocol;
use super::tls::{HTTP2, Tls};
use crate::limits;

type Http1 = http1::SendRequest<WasiBody>;
type Http2 = http2::SendRequest<WasiBody>;

/// A connection that takes a request.
pub(super) enum Connection {
    /// For one request at a time.
    Http1(Http1),
    /// For many.
    Http2(Http2),
}

/// How connections to one address come about.
pub(super) struct Dialer {
    connector: HttpConnector,
    /// `http://host:port`, for the connector.
    address: Uri,
    protocol: UpstreamProtocol,
    /// The name that the certificate must have; none is TCP in clear.
    server_name: Option<ServerName<'static>>,
    tls: Arc<Tls>,
}

impl Dialer {
    /// Nothing is dialed yet.
    pub(super) fn new(
        address: Uri,
        protocol: UpstreamProtocol,
        server_name: Option<ServerName<'static>>,
        tls: Arc<Tls>,
    ) -> Self {
        let mut connector = HttpConnector::new();
        connector.set_nodelay(true);
        connector.set_connect_timeout(Some(limits::CONNECT_TIMEOUT));
        connector.set_happy_eyeballs_timeout(Some(limits::HAPPY_EYEBALLS));
        Self { connector, address, protocol, server_name, tls }
    }

    async fn dial(&self) -> Result<Connection, Failure> {
        let tcp = self.connector.clone().oneshot(self.address.clone());
        let tcp = async { tcp.await.map_err(|error| Failure::of_connect(&error)) };
        let Some(name) = &self.server_name else {
            let is_http2 = self.protocol == UpstreamProtocol::Http2;
            return handshake(tcp.await?, is_http2).await;
        };
        let configuration = self.tls.configurations().await?.of(self.protocol);
        let tcp = tcp.await?.into_inner();
        let stream = TlsConnector::from(configuration).connect(name.clone(), tcp).await;
        let stream = stream.map_err(|error| {
            tracing::warn!(address = %self.address, name = %name.to_str(), %error, "TLS failed");
            Failure::of_tls(&error)
        })?;
        let is_http2 = stream.get_ref().1.alpn_protocol() == Some(HTTP2);
        if self.protocol == UpstreamProtocol::Http2 && !is_http2 {
            tracing::warn!(address = %self.address, "the upstream does not agree to HTTP/2");
            return Err(Failure::Tls);
        }
        handshake(TokioIo::new(stream), is_http2).await
    }
}

async fn handshake<T>(io: T, is_http2: bool) -> Result<Connection, Failure>
where
    T: Read + Write + Send + Unpin + 'static,
{
    let failed = |error: hyper::Error| Failure::of_exchange(&error);
    if is_http2 {
        let (sender, connection) = http2::Builder::new(TokioExecutor::new())
            .timer(TokioTimer::new())
            .keep_alive_interval(limits::HTTP2_PING_EVERY)
            .keep_alive_timeout(limits::HTTP2_PING_TIMEOUT)
            .handshake(io)
            .await
            .map_err(failed)?;
        tokio::spawn(ended(connection));
        Ok(Connection::Http2(sender))
    } else {
        let (sender, connection) = http1::handshake(io).await.map_err(failed)?;
        tokio::spawn(ended(connection));
        Ok(Connection::Http1(sender))
    }
}

async fn ended(connection: impl Future<Output = hyper::Result<()>>) {
    if let Err(error) = connection.await {
        tracing::debug!(%error, "a connection to an upstream ended");
    }
}

struct Idle {
    sender: Http1,
    since: Instant,
}

/// The connections to one address.
pub(super) struct Pool {
    dialer: Dialer,
    /// Those of HTTP/1.1 that wait, the latest at the back.
    idle: Mutex<VecDeque<Idle>>,
    /// The one of HTTP/2.
    shared: Mutex<Option<Http2>>,
    /// Whether a new connection may turn out to be for all: then they are dialed one after the other.
    may_share: AtomicBool,
    turn: Semaphore,
    opened: Counter,
}

impl Pool {
    /// Without connections; `opened` counts those to come.
    pub(super) fn new(dialer: Dialer, opened: Counter) -> Self {
        let may_share = match dialer.protocol {
            UpstreamProtocol::Auto => dialer.server_name.is_some(),
            UpstreamProtocol::Http1 => false,
            UpstreamProtocol::Http2 => true,
        };
        Self {
            dialer,
            idle: Mutex::default(),
            shared: Mutex::default(),
            may_share: AtomicBool::new(may_share),
            turn: Semaphore::new(1),
            opened,
        }
    }

    /// A connection, and whether it was used before.
    ///
    /// # Errors
    /// A new one was needed and did not come about.
    pub(super) async fn checkout(&self) -> Result<(Connection, bool), Failure> {
        if let Some(connection) = self.held() {
            return Ok((connection, true));
        }
        if self.may_share.load(Ordering::Acquire) {
            // A permit, not a lock: whoever gives up while it dials lets the next one dial.
            let turn = self.turn.acquire().await.expect("it is never closed");
            if let Some(connection) = self.held() {
                return Ok((connection, true));
            }
            // Unless whoever had the turn before has learned that each needs one of its own.
            if self.may_share.load(Ordering::Acquire) {
                let opened = self.open().await;
                drop(turn);
                return opened;
            }
        }
        self.open().await
    }

    async fn open(&self) -> Result<(Connection, bool), Failure> {
        let connection = self.dialer.dial().await?;
        self.opened.inc();
        let is_shared = match &connection {
            Connection::Http1(_) => false,
            Connection::Http2(sender) => {
                *lock(&self.shared) = Some(sender.clone());
                true
            }
        };
        self.may_share.store(is_shared, Ordering::Release);
        Ok((connection, false))
    }

    fn held(&self) -> Option<Connection> {
        if self.may_share.load(Ordering::Acquire) {
            let mut shared = lock(&self.shared);
            if shared.as_ref().is_some_and(Http2::is_closed) {
                *shared = None;
            }
            return shared.clone().map(Connection::Http2);
        }
        let mut idle = lock(&self.idle);
        // The latest first: the others may then age and go.
        while let Some(Idle { sender, since }) = idle.pop_back() {
            if since.elapsed() < limits::UPSTREAM_IDLE && sender.is_ready() {
                return Some(Connection::Http1(sender));
            }
        }
        None
    }

    /// The shared connection takes no more requests, though it may not look so yet.
    pub(super) fn retire_shared(&self) {
        *lock(&self.shared) = None;
    }

    fn checkin(&self, sender: Http1) {
        let mut idle = lock(&self.idle);
        if idle.len() < limits::MAX_IDLE_PER_UPSTREAM {
            idle.push_back(Idle { sender, since: Instant::now() });
        }
    }

    /// Closes what has waited for too long.
    pub(super) fn sweep(&self) {
        let mut idle = lock(&self.idle);
        let is_over =
            |it: &Idle| it.since.elapsed() >= limits::UPSTREAM_IDLE || it.sender.is_closed();
        idle.retain(|it| !is_over(it));
    }
}

/// Keeps an answer's connection, and gives it back to the pool once the answer is read to its end.
pub(super) struct Lease {
    pool: Arc<Pool>,
    /// None for HTTP/2.
    sender: Option<Http1>,
}

impl Lease {
    /// Of a connection from this pool.
    pub(super) fn new(pool: Arc<Pool>, connection: Connection) -> Self {
        let sender = match connection {
            Connection::Http1(sender) => Some(sender),
            Connection::Http2(_) => None,
        };
        Self { pool, sender }
    }
}

impl Drop for Lease {
    fn drop(&mut self) {
        let Some(mut sender) = self.sender.take().filter(|sender| !sender.is_closed()) else {
            return;
        };
        if sender.is_ready() {
            return self.pool.checkin(sender);
        }
        // The connection's own task has not yet seen the end. Without a runtime the node is gone.
        let Ok(runtime) = Handle::try_current() else { return };
        let pool = Arc::clone(&self.pool);
        runtime.spawn(async move {
            if let Ok(Ok(())) = timeout(limits::UPSTREAM_IDLE, sender.ready()).await {
                pool.checkin(sender);
            }
        });
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
