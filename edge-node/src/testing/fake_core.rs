//! A core that the test makes up: a server that answers each [`Call`] by a [`Reply`].

use std::net::SocketAddr;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use bytes::Bytes;
use http::{HeaderMap, Method, Request, Response, StatusCode};
use http_body_util::{BodyExt as _, Full};
use hyper::body::Incoming;
use hyper::service::service_fn;
use hyper_util::rt::TokioIo;
use tokio::net::TcpListener;
use tokio::task::JoinHandle;

use super::lock;

pub(super) type Answers = Arc<dyn Fn(&Call) -> Reply + Send + Sync>;

/// A request that a fake core was sent.
#[derive(Debug, Clone)]
pub struct Call {
    /// The method.
    pub method: Method,
    /// Path and query.
    pub target: String,
    /// The headers as they came.
    pub headers: HeaderMap,
    /// The whole body.
    pub body: Bytes,
}

/// What a fake core answers.
#[derive(Debug, Clone)]
pub struct Reply {
    response: Response<Bytes>,
    delay: Duration,
    breaks: bool,
}

impl Reply {
    /// An empty answer of this status.
    ///
    /// # Panics
    /// When the number is no status.
    pub fn status(status: u16) -> Self {
        let mut response = Response::new(Bytes::new());
        *response.status_mut() = StatusCode::from_u16(status).expect("a status from 100 to 999");
        Self { response, delay: Duration::ZERO, breaks: false }
    }

    /// 200 with a JSON document.
    pub fn json(document: &serde_json::Value) -> Self {
        Self::status(200).header("content-type", "application/json").body(document.to_string())
    }

    /// No answer: the connection is closed.
    pub fn broken() -> Self {
        Self { breaks: true, ..Self::status(500) }
    }

    /// Adds a header.
    ///
    /// # Panics
    /// When it is no HTTP header.
    #[must_use]
    pub fn header(mut self, name: &str, value: &str) -> Self {
        let name = http::HeaderName::try_from(name).expect("the name of a header");
        let value = http::HeaderValue::try_from(value).expect("the value of a header");
        self.response.headers_mut().append(name, value);
        self
    }

    /// Sets the body.
    #[must_use]
    pub fn body(mut self, body: impl Into<Bytes>) -> Self {
        *self.response.body_mut() = body.into();
        self
    }

    /// Answers only after this time.
    #[must_use]
    pub fn after(mut self, delay: Duration) -> Self {
        self.delay = delay;
        self
    }

    /// One after the other, whatever is asked; the last one goes on.
    ///
    /// # Panics
    /// When there is none.
    pub fn script(
        replies: impl IntoIterator<Item = Self>,
    ) -> impl Fn(&Call) -> Self + Send + Sync + 'static {
        let mut replies: Vec<Self> = replies.into_iter().collect();
        assert!(!replies.is_empty(), "a script needs at least one reply");
        replies.reverse();
        let replies = Mutex::new(replies);
        move |_: &Call| {
            let mut left = lock(&replies);
            let next = if left.len() > 1 { left.pop() } else { left.last().cloned() };
            next.expect("the last one stays")
        }
    }
}

/// Serves until the returned task is ended.
pub(super) async fn serve(
    answers: Answers,
    calls: Arc<Mutex<Vec<Call>>>,
) -> (SocketAddr, JoinHandle<()>) {
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("loopback has a free port");
    let address = listener.local_addr().expect("a bound listener has an address");
    let server = tokio::spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            let (answers, calls) = (Arc::clone(&answers), Arc::clone(&calls));
            let service = service_fn(move |request| {
                let (answers, calls) = (Arc::clone(&answers), Arc::clone(&calls));
                async move { reply(request, &answers, &calls).await }
            });
            let connection = hyper::server::conn::http1::Builder::new();
            tokio::spawn(connection.serve_connection(TokioIo::new(stream), service));
        }
    });
    (address, server)
}

/// Its error closes the connection.
async fn reply(
    request: Request<Incoming>,
    answers: &Answers,
    calls: &Mutex<Vec<Call>>,
) -> Result<Response<Full<Bytes>>, Broken> {
    let (head, body) = request.into_parts();
    let body = body.collect().await.map_err(|_| Broken)?.to_bytes();
    let target = head.uri.path_and_query().map_or("/", |target| target.as_str()).to_owned();
    let call = Call { method: head.method, target, headers: head.headers, body };
    lock(calls).push(call.clone());
    let reply = answers(&call);
    tokio::time::sleep(reply.delay).await;
    if reply.breaks { Err(Broken) } else { Ok(reply.response.map(Full::new)) }
}

#[derive(Debug, thiserror::Error)]
#[error("the fake core was told to break off")]
struct Broken;
