//! One outbound request over the network: pooled HTTP/1.1 connections, each wait bounded.

use std::error::Error as _;
use std::io;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use http::{Request, Response};
use http_body_util::BodyExt as _;
use hyper::body::Incoming;
use hyper_util::client::legacy::Client;
use hyper_util::client::legacy::connect::{HttpConnector, capture_connection};
use hyper_util::rt::{TokioExecutor, TokioTimer};
use tokio::sync::Semaphore;
use tokio::time::timeout;
use wasmtime_wasi_http::{Error, WasiBody};

use crate::body::{BoundError, Bounded, guarded};
use crate::limits;

/// How an outbound request fails. Unlike wasi:http's own error it can be handed to several.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Failure {
    /// Nobody listens there.
    Refused,
    /// The connection took too long.
    ConnectTimeout,
    /// The name has no address.
    NameNotFound,
    /// There is no way to the address.
    Unreachable,
    /// The connection ended before the answer was complete.
    Terminated,
    /// The first byte of the answer took too long.
    FirstByteTimeout,
    /// A later piece of the answer took too long.
    BodyTimeout,
    /// The answer has more bytes than it may.
    BodyTooLong,
    /// Too many outbound requests are in progress.
    TooMany,
    /// What was sent or answered is no HTTP.
    Protocol,
    /// The scheme is not served; the text says what to do.
    Unsupported(&'static str),
}

impl Failure {
    /// The metric's label.
    pub(crate) fn outcome(&self) -> &'static str {
        match self {
            Self::Refused => "refused",
            Self::ConnectTimeout => "connect-timeout",
            Self::NameNotFound => "name-not-found",
            Self::Unreachable => "unreachable",
            Self::Terminated => "terminated",
            Self::FirstByteTimeout => "first-byte-timeout",
            Self::BodyTimeout => "body-timeout",
            Self::BodyTooLong => "body-too-long",
            Self::TooMany => "too-many",
            Self::Protocol => "protocol",
            Self::Unsupported(_) => "unsupported",
        }
    }
}

impl From<Failure> for Error {
    fn from(failure: Failure) -> Self {
        match failure {
            Failure::Refused => Self::ConnectionRefused,
            Failure::ConnectTimeout => Self::ConnectionTimeout,
            Failure::NameNotFound => Self::DestinationNotFound,
            Failure::Unreachable => Self::DestinationUnavailable,
            Failure::Terminated => Self::ConnectionTerminated,
            Failure::FirstByteTimeout => Self::HttpResponseTimeout,
            Failure::BodyTimeout => Self::ConnectionReadTimeout,
            Failure::BodyTooLong => {
                Self::HttpResponseBodySize(Some(limits::MAX_UPSTREAM_BODY_BYTES))
            }
            Failure::TooMany => Self::ConnectionLimitReached,
            Failure::Protocol => Self::HttpProtocolError,
            Failure::Unsupported(text) => Self::InternalError(Some(text.to_owned())),
        }
    }
}

/// How long to wait for what.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Patience {
    /// From the start to a connection, if a new one is needed.
    pub(crate) connect: Duration,
    /// From the start to the head of the answer.
    pub(crate) first_byte: Duration,
    /// From one piece of the answer's body to the next.
    pub(crate) between_bytes: Duration,
}

/// The client of the whole node. Cloning shares its connections.
#[derive(Clone)]
pub(crate) struct Upstream {
    client: Client<HttpConnector, WasiBody>,
    places: Arc<Semaphore>,
}

impl Upstream {
    /// A client without connections.
    pub(crate) fn new() -> Self {
        let mut connector = HttpConnector::new();
        connector.set_nodelay(true);
        connector.set_connect_timeout(Some(limits::CONNECT_TIMEOUT));
        let client = Client::builder(TokioExecutor::new())
            .pool_max_idle_per_host(limits::MAX_IDLE_PER_UPSTREAM)
            .pool_idle_timeout(limits::UPSTREAM_IDLE)
            .pool_timer(TokioTimer::new())
            .build(connector);
        Self { client, places: Arc::new(Semaphore::new(limits::MAX_OUTBOUND_REQUESTS)) }
    }

    /// Sends `request`; the body of the answer is bounded and still on its way.
    ///
    /// # Errors
    /// What failed before the head of the answer was there.
    pub(crate) async fn send(
        &self,
        mut request: Request<WasiBody>,
        patience: Patience,
    ) -> Result<Response<WasiBody>, Failure> {
        if request.uri().scheme_str() != Some("http") {
            return Err(Failure::Unsupported(
                "only http:// upstreams are supported; put a proxy that speaks TLS in between",
            ));
        }
        let place = Arc::clone(&self.places).try_acquire_owned().map_err(|_| Failure::TooMany)?;
        let mut connection = capture_connection(&mut request);
        let answered = timeout(patience.first_byte, self.client.request(request));
        let unconnected = async {
            let connected = connection.wait_for_connection_metadata();
            if timeout(patience.connect, connected).await.is_ok() {
                std::future::pending::<()>().await;
            }
        };
        let response = tokio::select! {
            biased;
            answered = answered => answered.map_err(|_| Failure::FirstByteTimeout)?,
            () = unconnected => return Err(Failure::ConnectTimeout),
        };
        let response = response.map_err(|error| explain(&error))?;
        Ok(response.map(|body| guarded(bounded(body, patience.between_bytes), place)))
    }
}

impl Default for Upstream {
    fn default() -> Self {
        Self::new()
    }
}

fn bounded(body: Incoming, idle: Duration) -> WasiBody {
    Bounded::new(body, limits::MAX_UPSTREAM_BODY_BYTES, idle)
        .map_err(|error: BoundError<hyper::Error>| {
            Error::from(match error {
                BoundError::TooLong => Failure::BodyTooLong,
                BoundError::Idle => Failure::BodyTimeout,
                BoundError::Inner(_) => Failure::Terminated,
            })
        })
        .boxed_unsync()
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

fn explain(error: &hyper_util::client::legacy::Error) -> Failure {
    let mut source = error.source();
    let mut io_kind = None;
    let mut parse = false;
    while let Some(cause) = source {
        if let Some(io) = cause.downcast_ref::<io::Error>() {
            io_kind = Some(io.kind());
        }
        parse |= cause.downcast_ref::<hyper::Error>().is_some_and(hyper::Error::is_parse);
        source = cause.source();
    }
    if parse {
        return Failure::Protocol;
    }
    if !error.is_connect() {
        return Failure::Terminated;
    }
    match io_kind {
        Some(io::ErrorKind::ConnectionRefused) => Failure::Refused,
        Some(io::ErrorKind::TimedOut) => Failure::ConnectTimeout,
        Some(
            io::ErrorKind::HostUnreachable
            | io::ErrorKind::NetworkUnreachable
            | io::ErrorKind::ConnectionReset,
        ) => Failure::Unreachable,
        _ => Failure::NameNotFound,
    }
}

#[cfg(test)]
mod tests {
    use std::time::{Duration, Instant};

    use http::Request;
    use tokio::net::{TcpSocket, TcpStream};
    use tokio::time::timeout;

    use super::{Failure, Patience, Upstream};
    use crate::body::full;
    use crate::limits;

    #[tokio::test]
    async fn a_guest_may_wait_less_for_a_connection() {
        let socket = TcpSocket::new_v4().unwrap();
        socket.bind("127.0.0.1:0".parse().unwrap()).unwrap();
        // Nobody accepts: once its queue is full, the system answers no more.
        let listener = socket.listen(1).unwrap();
        let address = listener.local_addr().unwrap();
        let mut queue = Vec::new();
        while let Ok(queued) =
            timeout(Duration::from_millis(200), TcpStream::connect(address)).await
        {
            queue.push(queued.unwrap());
        }
        let patience = Patience {
            connect: Duration::from_millis(100),
            first_byte: Duration::from_secs(5),
            between_bytes: Duration::from_secs(5),
        };
        let request = Request::get(format!("http://{address}/")).body(full("")).unwrap();
        let begin = Instant::now();
        let failure = Upstream::new().send(request, patience).await.err();
        assert_eq!(failure, Some(Failure::ConnectTimeout));
        assert!(begin.elapsed() < limits::CONNECT_TIMEOUT);
    }
}
