//! What every request passes through: a trace id, a deadline, a guard against panics, one log line and
//! one count, also when its client leaves before the answer; and a place among the requests in progress.

use super::error::ApiError;
use crate::app::App;
use crate::limits;
use axum::extract::{MatchedPath, Request, State};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};
use http::{HeaderMap, Method, Uri};
use std::any::Any;
use std::borrow::Cow;
use std::hash::{BuildHasher as _, RandomState};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, LazyLock};
use std::time::Instant;
use tiffin_api::path::canonical;
use tiffin_api::{ErrorCode, Problem};
use tiffin_process::log;
use tokio::sync::Semaphore;
use tracing::Instrument as _;

/// Bytes of a trace id in its hexadecimal form (W3C Trace Context, section 3.2.2.3).
const TRACE_ID_HEX: usize = 32;

/// What the log and the metrics call a request whose client left before its answer (no such status exists
/// on the wire).
const CLIENT_GONE: u16 = 499;

/// Gives the request its span and deadline, and logs and counts its answer.
pub async fn observe(State(app): State<Arc<App>>, request: Request, next: Next) -> Response {
    let mut access = Access::begin(app, &request);
    let span = tracing::info_span!("request", trace_id = access.trace_id);
    let answer = tokio::time::timeout(limits::REQUEST_TIMEOUT, next.run(request).instrument(span));
    // A task, which nobody drops when the client leaves: each statement that is cut short costs a connection.
    let answer = access.app.tasks.spawn(answer).await;
    let response = match answer {
        Ok(Ok(response)) => response,
        Ok(Err(_)) => ApiError::unavailable("the request took too long").into_response(),
        Err(_) => ApiError::internal().into_response(),
    };
    access.status = response.status().as_u16();
    response
}

/// A request that is waited for. Its drop logs and counts it, also when the client is gone and hyper drops whoever
/// waits.
struct Access {
    app: Arc<App>,
    started: Instant,
    trace_id: String,
    method: Method,
    path: String,
    route: String,
    /// [`CLIENT_GONE`] until there is an answer.
    status: u16,
}

impl Access {
    fn begin(app: Arc<App>, request: &Request) -> Self {
        let trace_id = trace_id(request.headers()).unwrap_or_else(fresh_trace_id);
        let route = request.extensions().get::<MatchedPath>();
        Self {
            app,
            started: Instant::now(),
            trace_id,
            method: request.method().clone(),
            path: request.uri().path().to_owned(),
            route: route.map_or("unmatched", |matched| matched.as_str()).to_owned(),
            status: CLIENT_GONE,
        }
    }
}

impl Drop for Access {
    fn drop(&mut self) {
        let Self { trace_id, method, path, route, status, .. } = self;
        let elapsed = self.started.elapsed();
        self.app.metrics.observe_request(method, route, *status, elapsed);
        let duration_us = u64::try_from(elapsed.as_micros()).unwrap_or(u64::MAX);
        tracing::info!(target: log::ACCESS, trace_id, %method, path, route, status, duration_us, "request");
    }
}

/// Gives the path its one spelling before the routes see it. What has none is left to [`refuse_other_spellings`], which
/// is within the log.
pub async fn canonicalize(mut request: Request, next: Next) -> Response {
    let uri = request.uri();
    if let Ok(Cow::Owned(path)) = canonical(uri.path()) {
        let target = match uri.query() {
            Some(query) => format!("{path}?{query}"),
            None => path,
        };
        let mut parts = uri.clone().into_parts();
        // Both are always URIs: a path's canonical form is one.
        parts.path_and_query = target.parse().ok();
        if let Ok(uri) = Uri::from_parts(parts) {
            *request.uri_mut() = uri;
        }
    }
    next.run(request).await
}

/// Refuses a path that has no canonical form, or is not in it.
pub async fn refuse_other_spellings(request: Request, next: Next) -> Result<Response, ApiError> {
    match canonical(request.uri().path()) {
        Ok(Cow::Borrowed(_)) => Ok(next.run(request).await),
        Ok(Cow::Owned(_)) => Err(ApiError::internal()),
        Err(reason) => Err(Problem::new(ErrorCode::BadRequest, reason.to_string()).into()),
    }
}

/// Lets [`limits::REQUESTS_IN_PROGRESS`] requests in and tells the others to try again.
pub async fn admit(
    State(places): State<Arc<Semaphore>>,
    request: Request,
    next: Next,
) -> Result<Response, ApiError> {
    let _place =
        places.try_acquire().map_err(|_| ApiError::unavailable("too many requests at once"))?;
    Ok(next.run(request).await)
}

/// Turns a handler's panic into an answer; the panic itself was logged by the panic hook.
pub fn on_panic(_: Box<dyn Any + Send + 'static>) -> Response {
    ApiError::internal().into_response()
}

/// Answers a path that no route has.
pub async fn not_found() -> ApiError {
    let detail = "the paths that exist are listed at /openapi.json";
    Problem::new(ErrorCode::RouteNotFound, detail).into()
}

/// Answers a method that the route does not have; axum adds the Allow header.
pub async fn method_not_allowed() -> ApiError {
    let detail = "the Allow header names the methods of this path";
    Problem::new(ErrorCode::MethodNotAllowed, detail).into()
}

/// A trace id that this process has not given yet, and surely no other. Ids of the ledger are not spent on
/// requests, which may be refused or only read.
fn fresh_trace_id() -> String {
    static PROCESS: LazyLock<u64> = LazyLock::new(|| RandomState::new().hash_one(()));
    static REQUESTS: AtomicU64 = AtomicU64::new(1);
    format!("{:016x}{:016x}", *PROCESS, REQUESTS.fetch_add(1, Ordering::Relaxed))
}

/// The trace id of a well-formed `traceparent`.
fn trace_id(headers: &HeaderMap) -> Option<String> {
    let value = headers.get("traceparent")?.to_str().ok()?;
    let id = value.split('-').nth(1)?;
    let well_formed = id.len() == TRACE_ID_HEX
        && id.bytes().all(|byte| byte.is_ascii_digit() || (b'a'..=b'f').contains(&byte))
        && id.bytes().any(|byte| byte != b'0');
    well_formed.then(|| id.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::app::testing;
    use axum::routing::get;
    use axum::{Router, middleware};
    use http::StatusCode;
    use http::header::RETRY_AFTER;
    use std::time::Duration;
    use tower::ServiceExt as _;

    fn get_never() -> Request {
        Request::get("/never").body(axum::body::Body::empty()).unwrap()
    }

    #[tokio::test]
    async fn a_client_that_leaves_is_counted() {
        let core = testing::app().await;
        let routes: Router = Router::new()
            .route("/never", get(std::future::pending::<()>))
            .layer(middleware::from_fn_with_state(Arc::clone(&core), observe));
        let asked = routes.oneshot(get_never());
        assert!(tokio::time::timeout(Duration::from_millis(50), asked).await.is_err());
        let metrics = core.metrics.render();
        assert!(metrics.contains("route=\"/never\",status=\"499\"} 1"), "{metrics}");
    }

    #[tokio::test]
    async fn a_request_without_a_place_is_told_to_try_again() {
        let places = Arc::new(Semaphore::new(1));
        let routes: Router = Router::new()
            .route("/never", get(std::future::pending::<()>))
            .layer(middleware::from_fn_with_state(Arc::clone(&places), admit));
        let first = tokio::spawn(routes.clone().oneshot(get_never()));
        while places.available_permits() > 0 {
            tokio::task::yield_now().await;
        }
        let refused = routes.oneshot(get_never()).await.unwrap();
        assert_eq!(refused.status(), StatusCode::SERVICE_UNAVAILABLE);
        assert!(refused.headers().contains_key(RETRY_AFTER));
        first.abort();
        assert!(first.await.unwrap_err().is_cancelled());
        assert_eq!(places.available_permits(), 1, "the place is free again");
    }
}
