//! The admin listener: `/metrics`, `/healthz`, `/readyz`, `POST /purge` and `POST /reload`. For the core team; never for clients.
//!
//! A purge is JSON, `{"tags": ["store:7"], "kind": "soft"}` or `{"all": true}`; without a kind it is hard. The 204 leaves when
//! it is in effect: whoever asks after that is not given what it named. A reload answers when it is in effect, or with a
//! problem that says why everything is as it was. `/readyz` names the application that is served. Who may ask is
//! decided by [`guard`].

mod guard;

use std::convert::Infallible;
use std::net::SocketAddr;
use std::sync::Arc;

use bytes::Bytes;
use http::header::{ALLOW, CONTENT_TYPE, WWW_AUTHENTICATE};
use http::request::Parts;
use http::{HeaderValue, Method, Request, Response, StatusCode};
use http_body_util::{BodyExt as _, Full, Limited};
use hyper::body::Incoming;
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use serde::Deserialize;
use tokio::net::TcpListener;
use tokio::time::timeout;

pub use self::guard::AdminAccess;
use self::guard::{Guard, Refusal};
use crate::cache::{Cache, Purge};
use crate::metrics::Metrics;
use crate::node::Lifecycle;
use crate::reload::Reloader;
use crate::site::Identity;
use crate::{feed, limits};

const OPEN_METRICS: &str = "application/openmetrics-text; version=1.0.0; charset=utf-8";
const JSON: &str = "application/json";
const PROBLEM: &str = "application/problem+json";
const TEXT: &str = "text/plain; charset=utf-8";

/// What every connection needs.
pub(crate) struct Admin {
    /// What is counted.
    pub(crate) metrics: Arc<Metrics>,
    /// What can be purged.
    pub(crate) cache: Arc<Cache>,
    /// How the feed fares.
    pub(crate) feed: Arc<feed::Status>,
    /// What can be reloaded.
    pub(crate) reloader: Arc<Reloader>,
    /// Turns `/readyz` to 503, so that a balancer looks elsewhere while requests in progress finish.
    pub(crate) life: Arc<Lifecycle>,
    /// Who may use it.
    pub(crate) access: AdminAccess,
}

/// The listener at work.
struct Service {
    admin: Admin,
    guard: Guard,
}

/// Serves until the task is dropped. `bound` is the listener's address.
pub(crate) async fn serve(listener: TcpListener, bound: SocketAddr, admin: Admin) {
    let guard = Guard::new(admin.access.clone(), bound);
    let admin = Arc::new(Service { admin, guard });
    loop {
        let Ok((stream, _)) = listener.accept().await else {
            tokio::time::sleep(limits::ACCEPT_PAUSE).await;
            continue;
        };
        let admin = Arc::clone(&admin);
        let service = service_fn(move |request: Request<Incoming>| {
            let admin = Arc::clone(&admin);
            async move { Ok::<_, Infallible>(admin.answer(request).await) }
        });
        let connection = hyper::server::conn::http1::Builder::new()
            .timer(TokioTimer::new())
            .header_read_timeout(limits::ADMIN_READ_TIMEOUT)
            .serve_connection(TokioIo::new(stream), service);
        tokio::spawn(async move {
            if let Err(error) = connection.await {
                tracing::debug!(%error, "admin connection ended");
            }
        });
    }
}

impl Service {
    async fn answer(&self, request: Request<Incoming>) -> Response<Full<Bytes>> {
        let (head, body) = request.into_parts();
        if let Err(Refusal(status, why)) = self.guard.check(&head).await {
            let mut response = response(status, TEXT, why);
            if status == StatusCode::UNAUTHORIZED {
                response.headers_mut().insert(WWW_AUTHENTICATE, HeaderValue::from_static("Bearer"));
            }
            return response;
        }
        self.admin.answer(&head, body).await
    }
}

impl Admin {
    async fn answer(&self, head: &Parts, body: Incoming) -> Response<Full<Bytes>> {
        match head.uri.path() {
            "/metrics" => {
                self.cache.measure();
                match self.metrics.text() {
                    Ok(text) => response(StatusCode::OK, OPEN_METRICS, text),
                    Err(e) => response(StatusCode::INTERNAL_SERVER_ERROR, TEXT, e.to_string()),
                }
            }
            "/healthz" => response(StatusCode::OK, TEXT, "ok\n"),
            "/readyz" => self.readiness(),
            "/purge" if head.method == Method::POST => self.purge(body).await,
            "/reload" if head.method == Method::POST => self.reload().await,
            "/purge" | "/reload" => {
                let mut response = response(StatusCode::METHOD_NOT_ALLOWED, TEXT, "use POST\n");
                response.headers_mut().insert(ALLOW, HeaderValue::from_static("POST"));
                response
            }
            _ => {
                let paths = "/metrics, /healthz, /readyz, /purge and /reload are served here\n";
                response(StatusCode::NOT_FOUND, TEXT, paths)
            }
        }
    }

    fn readiness(&self) -> Response<Full<Bytes>> {
        let (status, state) = match self.life.is_draining() {
            true => (StatusCode::SERVICE_UNAVAILABLE, "draining".to_owned()),
            // Also without a feed: it still serves, and all nodes lose a feed at the same time.
            false => (StatusCode::OK, self.feed.state().to_string()),
        };
        let Identity { application, version, generation } = self.reloader.identity();
        let text = format!(
            "{state}\napplication: {application}\nversion: {version}\ngeneration: {generation}\n"
        );
        response(status, TEXT, text)
    }

    async fn reload(&self) -> Response<Full<Bytes>> {
        match self.reloader.reload().await {
            Ok(reloaded) => response(StatusCode::OK, JSON, serde_json::json!(reloaded).to_string()),
            Err(error) => {
                let status = StatusCode::UNPROCESSABLE_ENTITY;
                let body = serde_json::json!({
                    "type": "urn:tiffin:problem:reload-failed",
                    "title": "What is on disk cannot be served",
                    "status": status.as_u16(),
                    "detail": error.to_string(),
                    "code": "reload-failed",
                });
                response(status, PROBLEM, body.to_string())
            }
        }
    }

    async fn purge(&self, body: Incoming) -> Response<Full<Bytes>> {
        let body = Limited::new(body, limits::MAX_PURGE_BYTES).collect();
        let body = match timeout(limits::ADMIN_READ_TIMEOUT, body).await {
            Ok(Ok(body)) => body.to_bytes(),
            Ok(Err(_)) => {
                let text = format!("the limit is {} bytes\n", limits::MAX_PURGE_BYTES);
                return response(StatusCode::PAYLOAD_TOO_LARGE, TEXT, text);
            }
            Err(_) => return response(StatusCode::REQUEST_TIMEOUT, TEXT, "the body is late\n"),
        };
        let order: Order = match serde_json::from_slice(&body) {
            Ok(order) => order,
            Err(error) => return response(StatusCode::BAD_REQUEST, TEXT, format!("{error}\n")),
        };
        let kind = order.kind.unwrap_or_default().into();
        match (order.all, &order.tags[..]) {
            (true, []) => self.cache.purge_all(kind),
            (false, [_, ..]) => self.cache.purge(order.tags.iter().map(String::as_str), kind),
            (true, [_, ..]) | (false, []) => {
                let text = "say either what tags, in \"tags\", or \"all\": true\n";
                return response(StatusCode::BAD_REQUEST, TEXT, text);
            }
        }
        tracing::info!(tags = ?order.tags, all = order.all, ?kind, "purged");
        let mut response = Response::new(Full::default());
        *response.status_mut() = StatusCode::NO_CONTENT;
        response
    }
}

/// What to purge.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Order {
    #[serde(default)]
    tags: Vec<String>,
    #[serde(default)]
    all: bool,
    kind: Option<Kind>,
}

/// How to purge it.
#[derive(Clone, Copy, Default, Deserialize)]
#[serde(rename_all = "lowercase")]
enum Kind {
    Soft,
    #[default]
    Hard,
}

impl From<Kind> for Purge {
    fn from(kind: Kind) -> Self {
        match kind {
            Kind::Soft => Self::Soft,
            Kind::Hard => Self::Hard,
        }
    }
}

fn response(
    status: StatusCode,
    content_type: &'static str,
    body: impl Into<Bytes>,
) -> Response<Full<Bytes>> {
    let mut response = Response::new(Full::from(body.into()));
    *response.status_mut() = status;
    response.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static(content_type));
    response
}
