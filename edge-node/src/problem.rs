//! The node's own error answers: RFC 9457 problem+json with a code of the one list, [`tiffin_api::ErrorCode`].
//!
//! A guest's answers pass untouched; only what the node itself refuses or fails looks like this.

use bytes::Bytes;
use http::header::{ALLOW, CACHE_CONTROL, CONTENT_TYPE, RETRY_AFTER};
use http::{HeaderValue, Response, StatusCode};
use tiffin_api::path::Reason;
use tiffin_api::{ErrorCode, problem, singleton};

use crate::limits;
use crate::trace::TraceId;

/// What the node passes on; each function knows its own. Source: RFC 9110, section 15.5.6.
pub(crate) const METHODS: &str = "GET, HEAD, POST, PUT, PATCH, DELETE, OPTIONS";

/// Everything the node answers by itself that is not a success. Owns what is said of it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Problem {
    /// The path has no canonical form.
    BadPath(Reason),
    /// The request target is no URI.
    BadTarget,
    /// A body in a coding that is not understood: where it ends is not known, so the connection ends.
    TransferCoding,
    /// A header that may stand once stands twice.
    Doubled(&'static str),
    /// The `Host` header is missing, twice there, or no host and port.
    BadHost,
    /// No trigger matches the path.
    RouteNotFound,
    /// CONNECT and TRACE have no meaning here.
    MethodNotSupported,
    /// The request target is longer than the limit.
    TargetTooLong,
    /// There are too many headers, or they are too long.
    HeadTooLarge,
    /// The body is longer than the limit.
    BodyTooLarge,
    /// The client stopped sending before its body was complete.
    BodyIncomplete,
    /// The body was not there in time.
    BodyTimeout,
    /// The client is slow with too many bodies.
    TooManyUploads,
    /// The guest trapped, ran out of memory or budget, or returned an error.
    FunctionFailed,
    /// The guest did not answer in time.
    FunctionTimeout,
    /// The client makes more requests than it may.
    RateLimited {
        /// When it may make the next one.
        retry_after_s: u32,
    },
    /// Too many requests of this component are in progress.
    Overloaded,
}

impl Problem {
    /// The stable code, which owns status, title and whether a retry helps.
    pub(crate) const fn code(self) -> ErrorCode {
        match self {
            Self::BadPath(_)
            | Self::BadTarget
            | Self::TransferCoding
            | Self::Doubled(_)
            | Self::BadHost
            | Self::BodyIncomplete => ErrorCode::BadRequest,
            Self::RouteNotFound => ErrorCode::RouteNotFound,
            Self::MethodNotSupported => ErrorCode::MethodNotAllowed,
            Self::TargetTooLong => ErrorCode::TargetTooLong,
            Self::HeadTooLarge => ErrorCode::HeadersTooLarge,
            Self::BodyTooLarge => ErrorCode::BodyTooLarge,
            Self::BodyTimeout => ErrorCode::BodyTimeout,
            Self::TooManyUploads => ErrorCode::TooManyUploads,
            Self::FunctionFailed => ErrorCode::FunctionFailed,
            Self::FunctionTimeout => ErrorCode::FunctionTimeout,
            Self::RateLimited { .. } => ErrorCode::RateLimited,
            Self::Overloaded => ErrorCode::Unavailable,
        }
    }

    /// The HTTP status.
    pub(crate) fn status(self) -> StatusCode {
        StatusCode::from_u16(self.code().status()).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR)
    }

    fn detail(self) -> String {
        match self {
            Self::BadPath(reason) => reason.to_string(),
            Self::BadTarget => "the request target is not a URI".to_owned(),
            Self::TransferCoding => "the only transfer coding is chunked, once".to_owned(),
            Self::Doubled(field) => singleton::detail(field),
            Self::BadHost => {
                "there must be one Host header: a host and, if need be, a port".to_owned()
            }
            Self::RouteNotFound => "no route of the application matches the path".to_owned(),
            Self::MethodNotSupported => "CONNECT and TRACE are not served".to_owned(),
            Self::TargetTooLong => format!("the limit is {} bytes", limits::MAX_TARGET_BYTES),
            Self::HeadTooLarge => format!(
                "the limit is {} headers and {} bytes with the request line",
                limits::MAX_HEADERS,
                limits::MAX_HEAD_BYTES
            ),
            Self::BodyTooLarge => format!("the limit is {} bytes", limits::MAX_REQUEST_BODY_BYTES),
            Self::BodyIncomplete => "the body ended early or is not well-formed".to_owned(),
            Self::BodyTimeout => {
                format!("the limit is {} seconds", limits::REQUEST_BODY_TIMEOUT.as_secs())
            }
            Self::FunctionFailed => "the failure is logged under the trace id".to_owned(),
            Self::FunctionTimeout => "the request was given up at its deadline".to_owned(),
            Self::TooManyUploads | Self::RateLimited { .. } | Self::Overloaded => {
                "try again after the time in Retry-After".to_owned()
            }
        }
    }

    fn retry_after_s(self) -> Option<u64> {
        match self {
            Self::Overloaded | Self::TooManyUploads => Some(limits::RETRY_AFTER_SECONDS),
            Self::RateLimited { retry_after_s } => Some(retry_after_s.into()),
            Self::BadPath(_)
            | Self::BadTarget
            | Self::TransferCoding
            | Self::Doubled(_)
            | Self::BadHost
            | Self::RouteNotFound
            | Self::MethodNotSupported
            | Self::TargetTooLong
            | Self::HeadTooLarge
            | Self::BodyTooLarge
            | Self::BodyIncomplete
            | Self::BodyTimeout
            | Self::FunctionFailed
            | Self::FunctionTimeout => None,
        }
    }

    /// Whether what follows on the connection cannot be told from this request's body.
    pub(crate) fn ends_connection(self) -> bool {
        self == Self::TransferCoding
    }

    /// The answer, with the trace id in its body.
    pub(crate) fn response(self, trace: &TraceId) -> Response<Bytes> {
        let said = problem::Problem {
            retry_after_s: self.retry_after_s(),
            trace_id: Some(trace.to_string()),
            ..problem::Problem::new(self.code(), self.detail())
        };
        let body = serde_json::to_vec(&said).expect("a problem has strings and numbers only");
        let mut response = Response::new(Bytes::from(body));
        *response.status_mut() = self.status();
        let headers = response.headers_mut();
        headers.insert(CONTENT_TYPE, HeaderValue::from_static(problem::CONTENT_TYPE));
        headers.insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
        if self == Self::MethodNotSupported {
            headers.insert(ALLOW, HeaderValue::from_static(METHODS));
        }
        if let Some(retry_after_s) = self.retry_after_s() {
            headers.insert(RETRY_AFTER, HeaderValue::from(retry_after_s));
        }
        response
    }
}
