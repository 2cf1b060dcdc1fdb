//! What every request passes through: a trace id, a deadline, a guard against panics, one log line and
//! one count.

use super::error::ApiError;
use crate::app::App;
use crate::limits;
use axum::extract::{MatchedPath, Request, State};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};
use http::HeaderMap;
use std::any::Any;
use std::sync::Arc;
use std::time::Instant;
use tiffin_api::{ErrorCode, Problem};
use tracing::Instrument as _;

/// Bytes of a trace id in its hexadecimal form (W3C Trace Context, section 3.2.2.3).
const TRACE_ID_HEX: usize = 32;

/// Gives the request its span and deadline, and logs and counts its answer.
pub async fn observe(State(app): State<Arc<App>>, request: Request, next: Next) -> Response {
    let started = Instant::now();
    let trace_id =
        trace_id(request.headers()).unwrap_or_else(|| format!("{:032x}", app.ids.next()));
    let method = request.method().clone();
    let path = request.uri().path().to_owned();
    let route = request
        .extensions()
        .get::<MatchedPath>()
        .map_or("unmatched", |matched| matched.as_str())
        .to_owned();
    let span = tracing::info_span!("request", %trace_id);

    let answer =
        tokio::time::timeout(limits::REQUEST_TIMEOUT, next.run(request).instrument(span.clone()));
    let response = answer.await.unwrap_or_else(|_| {
        let detail = "the request took too long; a retry with the same Idempotency-Key is safe";
        ApiError::from(Problem::new(ErrorCode::Unavailable, detail)).into_response()
    });

    let elapsed = started.elapsed();
    let status = response.status().as_u16();
    app.metrics.observe_request(&method, &route, status, elapsed);
    let duration_us = u64::try_from(elapsed.as_micros()).unwrap_or(u64::MAX);
    tracing::info!(trace_id, %method, path, route, status, duration_us, "request");
    response
}

/// Turns a handler's panic into an answer; the panic itself was logged by the panic hook.
pub fn on_panic(_: Box<dyn Any + Send + 'static>) -> Response {
    let detail = "the failure was logged; a retry with the same Idempotency-Key is safe";
    ApiError::from(Problem::new(ErrorCode::Internal, detail)).into_response()
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

/// The trace id of a well-formed `traceparent`.
fn trace_id(headers: &HeaderMap) -> Option<String> {
    let value = headers.get("traceparent")?.to_str().ok()?;
    let id = value.split('-').nth(1)?;
    let well_formed = id.len() == TRACE_ID_HEX
        && id.bytes().all(|byte| byte.is_ascii_digit() || (b'a'..=b'f').contains(&byte))
        && id.bytes().any(|byte| byte != b'0');
    well_formed.then(|| id.to_owned())
}
