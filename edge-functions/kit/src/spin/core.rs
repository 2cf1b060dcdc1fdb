//! Requests to the central core.

use super::{BodyError, read_body, within};
use crate::cache::Failure;
use crate::limits::CORE_BODY_MAX_BYTES;
use bytes::Bytes;
use http::header::CONTENT_LENGTH;
use http::{HeaderMap, Method, Request, StatusCode};
use spin_sdk::http::FullBody;
use spin_sdk::wasip3::http::types::RequestOptions;
use spin_sdk::wasip3::http_compat::RequestOptionsExtension;

/// The variable that says where the core listens.
const CORE_URL: &str = "core_url";

/// A request to the core.
#[derive(Debug, Clone)]
pub struct CoreRequest {
    /// The method.
    pub method: Method,
    /// Path and query.
    pub target: String,
    /// The headers, `Host` and `Content-Length` left out.
    pub headers: HeaderMap,
    /// The whole body.
    pub body: Bytes,
    /// How long the connection may take, ms.
    pub connect_timeout_ms: u64,
    /// How long the core may then take to begin its answer, and between any two parts of it, ms.
    pub first_byte_timeout_ms: u64,
    /// How long all of it may take, to the answer's last byte, ms.
    pub total_timeout_ms: u64,
}

/// The core's answer, whatever its status.
#[derive(Debug, Clone)]
pub struct CoreResponse {
    /// The status.
    pub status: StatusCode,
    /// The headers.
    pub headers: HeaderMap,
    /// The whole body.
    pub body: Bytes,
}

/// Sends a request once and reads the whole answer. Failures are told on standard error, here and
/// nowhere else.
pub async fn send(request: CoreRequest) -> Result<CoreResponse, Failure> {
    let method = request.method.clone();
    // What follows the second segment can be a diner's: an order's id.
    let route: Vec<_> = request.target.split(['/', '?']).take(3).map(str::to_owned).collect();
    let total_ms = request.total_timeout_ms;
    let late = || Err((Failure::Unreachable, format!("no whole answer within {total_ms} ms")));
    let outcome = within(total_ms, attempt(request)).await.unwrap_or_else(late);
    outcome.map_err(|(failure, reason)| {
        eprintln!("{}: {method} {}: {reason}", failure.detail(), route.join("/"));
        failure
    })
}

async fn attempt(request: CoreRequest) -> Result<CoreResponse, (Failure, String)> {
    let unreachable = |reason: String| (Failure::Unreachable, reason);
    let base = spin_sdk::variables::get(CORE_URL)
        .await
        .map_err(|error| unreachable(format!("the variable {CORE_URL}: {error}")))?;
    let uri = format!("{}{}", base.trim_end_matches('/'), request.target);

    // Without a length a body is sent in chunks; a read has none.
    let body_bytes = (!request.method.is_safe()).then_some(request.body.len());
    let mut outbound = Request::builder()
        .method(request.method)
        .uri(uri)
        .extension(options(request.connect_timeout_ms, request.first_byte_timeout_ms))
        .body(FullBody::new(request.body))
        .map_err(|error| unreachable(error.to_string()))?;
    *outbound.headers_mut() = request.headers;
    if let Some(body_bytes) = body_bytes {
        outbound.headers_mut().insert(CONTENT_LENGTH, body_bytes.into());
    }

    let response =
        spin_sdk::http::send(outbound).await.map_err(|error| unreachable(format!("{error:?}")))?;
    let (parts, body) = response.into_parts();
    let body = read_body(body, CORE_BODY_MAX_BYTES).await.map_err(|error| match error {
        BodyError::TooLarge => (Failure::TooLarge, "the answer is too large".to_owned()),
        BodyError::Broken => unreachable("the answer broke off".to_owned()),
    })?;
    Ok(CoreResponse { status: parts.status, headers: parts.headers, body })
}

fn options(connect_timeout_ms: u64, first_byte_timeout_ms: u64) -> RequestOptionsExtension {
    let nanoseconds = |ms: u64| Some(ms.saturating_mul(1_000_000));
    let options = RequestOptions::new();
    // A host that cannot bound these has timeouts of its own.
    let _ = options.set_connect_timeout(nanoseconds(connect_timeout_ms));
    let _ = options.set_first_byte_timeout(nanoseconds(first_byte_timeout_ms));
    let _ = options.set_between_bytes_timeout(nanoseconds(first_byte_timeout_ms));
    RequestOptionsExtension(options)
}
