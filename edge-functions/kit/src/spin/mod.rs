//! The adapter to the Spin host: clock, randomness, bodies, responses. The only module of this crate
//! that touches the world; it decides nothing.
//!
//! [`fetch`](fetch::fetch) is the cached way to the core, [`core::send`] the plain one.

pub mod core;
pub mod fetch;
pub mod store;

use crate::answer::Answer;
use bytes::Bytes;
use http::header::{CONTENT_LENGTH, HeaderName};
use http::request::Parts;
use http::{HeaderMap, HeaderValue};
use http_body_util::BodyExt as _;
use spin_sdk::http::{FullBody, Response};
use spin_sdk::wasip3::clocks::monotonic_clock;
use spin_sdk::wasip3::http_compat::{IncomingBody, IncomingMessage};
use std::future::poll_fn;
use std::hash::{BuildHasher as _, RandomState};
use std::pin::pin;
use std::task::Poll;
use std::time::{SystemTime, UNIX_EPOCH};
use tiffin_api::{ErrorCode, Problem};

/// A response as the host takes it.
pub type HostResponse = Response<FullBody<Bytes>>;

/// W3C Trace Context, passed on to the core.
const TRACEPARENT: HeaderName = HeaderName::from_static("traceparent");

/// The host's wall clock, ms since the epoch.
pub fn now_ms() -> i64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    i64::try_from(since.as_millis()).unwrap_or(i64::MAX)
}

/// Sixty-four bits for jitter. Every hasher of the standard library is keyed from the host's randomness,
/// which spares the component an import of its own.
pub fn random() -> u64 {
    RandomState::new().hash_one(0_u8)
}

/// Does some work for so long at most. `None` if it was not done by then; it is dropped as it stands.
pub async fn within<T>(ms: u64, work: impl Future<Output = T>) -> Option<T> {
    let mut work = pin!(work);
    let mut timer = pin!(monotonic_clock::wait_for(ms.saturating_mul(1_000_000)));
    poll_fn(|context| match work.as_mut().poll(context) {
        Poll::Ready(output) => Poll::Ready(Some(output)),
        Poll::Pending => timer.as_mut().poll(context).map(|()| None),
    })
    .await
}

/// The request's `traceparent`, if it is of a length that it may have.
pub fn traceparent(headers: &HeaderMap) -> Option<HeaderValue> {
    let value = headers.get(TRACEPARENT)?;
    (value.len() <= crate::limits::TRACEPARENT_MAX_BYTES).then(|| value.clone())
}

/// Hands an answer to the host, fitted to the request.
pub fn respond(request: &Parts, answer: Answer) -> HostResponse {
    let Answer { status, mut headers, body } =
        answer.for_request(&request.method, &request.headers);
    if !body.is_empty() {
        headers.insert(CONTENT_LENGTH, HeaderValue::from(body.len()));
    }
    let mut response = Response::new(FullBody::new(body));
    *response.status_mut() = status;
    *response.headers_mut() = headers;
    response
}

/// Why a body could not be read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum BodyError {
    /// It is over the limit.
    TooLarge,
    /// The peer broke it off.
    Broken,
}

impl BodyError {
    /// What a client is told whose request body this happened to.
    pub fn into_answer(self, max_bytes: usize) -> Answer {
        match self {
            Self::TooLarge => Answer::body_too_large(max_bytes),
            Self::Broken => Problem::new(ErrorCode::BadRequest, "the body broke off").into(),
        }
    }
}

/// Reads a whole body of at most `max_bytes`, and no more of it than that.
pub async fn read_body<M: IncomingMessage>(
    mut body: IncomingBody<M>,
    max_bytes: usize,
) -> Result<Bytes, BodyError> {
    let announced = http_body::Body::size_hint(&body).upper();
    if announced.is_some_and(|bytes| usize::try_from(bytes).is_ok_and(|bytes| bytes > max_bytes)) {
        return Err(BodyError::TooLarge);
    }
    let mut whole = Vec::new();
    while let Some(frame) = body.frame().await {
        let Ok(data) = frame.map_err(|_| BodyError::Broken)?.into_data() else { continue };
        if whole.len() + data.len() > max_bytes {
            return Err(BodyError::TooLarge);
        }
        whole.extend_from_slice(&data);
    }
    Ok(whole.into())
}
