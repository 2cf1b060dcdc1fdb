//! The node's own error answers: RFC 9457 problem+json with a stable `code`.
//!
//! A guest's answers pass untouched; only what the node itself refuses or fails looks like this.

use bytes::Bytes;
use http::header::{CACHE_CONTROL, CONTENT_TYPE, RETRY_AFTER};
use http::{HeaderValue, Response, StatusCode};

use crate::limits;
use crate::trace::TraceId;

/// Everything the node answers by itself that is not a success. Owns code, status and title.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Problem {
    /// A `%` in the path without two hex digits after it.
    BadPath,
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
    /// The stable code.
    pub(crate) fn code(self) -> &'static str {
        match self {
            Self::BadPath => "bad-path",
            Self::BadHost => "bad-host",
            Self::RouteNotFound => "route-not-found",
            Self::MethodNotSupported => "method-not-supported",
            Self::TargetTooLong => "target-too-long",
            Self::HeadTooLarge => "head-too-large",
            Self::BodyTooLarge => "body-too-large",
            Self::BodyIncomplete => "body-incomplete",
            Self::BodyTimeout => "body-timeout",
            Self::TooManyUploads => "too-many-uploads",
            Self::FunctionFailed => "function-failed",
            Self::FunctionTimeout => "function-timeout",
            Self::RateLimited { .. } => "rate-limited",
            Self::Overloaded => "overloaded",
        }
    }

    /// The HTTP status.
    pub(crate) fn status(self) -> StatusCode {
        match self {
            Self::BadPath | Self::BadHost | Self::BodyIncomplete => StatusCode::BAD_REQUEST,
            Self::RouteNotFound => StatusCode::NOT_FOUND,
            Self::MethodNotSupported => StatusCode::METHOD_NOT_ALLOWED,
            Self::TargetTooLong => StatusCode::URI_TOO_LONG,
            Self::HeadTooLarge => StatusCode::REQUEST_HEADER_FIELDS_TOO_LARGE,
            Self::BodyTooLarge => StatusCode::PAYLOAD_TOO_LARGE,
            Self::BodyTimeout => StatusCode::REQUEST_TIMEOUT,
            Self::TooManyUploads | Self::RateLimited { .. } => StatusCode::TOO_MANY_REQUESTS,
            Self::FunctionFailed => StatusCode::INTERNAL_SERVER_ERROR,
            Self::FunctionTimeout => StatusCode::GATEWAY_TIMEOUT,
            Self::Overloaded => StatusCode::SERVICE_UNAVAILABLE,
        }
    }

    fn title(self) -> &'static str {
        match self {
            Self::BadPath => "The path is not well-formed",
            Self::BadHost => "The host is not well-formed",
            Self::RouteNotFound => "Nothing is served at this path",
            Self::MethodNotSupported => "The method is not supported",
            Self::TargetTooLong => "The request target is too long",
            Self::HeadTooLarge => "The request has too many or too long headers",
            Self::BodyTooLarge => "The request body is too large",
            Self::BodyIncomplete => "The request body is incomplete",
            Self::BodyTimeout => "The request body did not come in time",
            Self::TooManyUploads => "Too many request bodies of this client are on their way",
            Self::FunctionFailed => "The function failed",
            Self::FunctionTimeout => "The function did not answer in time",
            Self::RateLimited { .. } => "The client makes too many requests",
            Self::Overloaded => "Too many requests are in progress",
        }
    }

    fn detail(self) -> String {
        match self {
            Self::BadPath => "each % must be followed by two hexadecimal digits".to_owned(),
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

    /// The answer, with the trace id in its body.
    pub(crate) fn response(self, trace: &TraceId) -> Response<Bytes> {
        let body = serde_json::json!({
            "type": format!("urn:tiffin:problem:{}", self.code()),
            "title": self.title(),
            "status": self.status().as_u16(),
            "detail": self.detail(),
            "code": self.code(),
            "trace_id": trace.to_string(),
        });
        let mut response = Response::new(Bytes::from(body.to_string()));
        *response.status_mut() = self.status();
        let headers = response.headers_mut();
        headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/problem+json"));
        headers.insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
        match self {
            Self::Overloaded | Self::TooManyUploads => {
                headers.insert(RETRY_AFTER, HeaderValue::from(limits::RETRY_AFTER_SECONDS));
            }
            Self::RateLimited { retry_after_s } => {
                headers.insert(RETRY_AFTER, HeaderValue::from(retry_after_s));
            }
            Self::BadPath
            | Self::BadHost
            | Self::RouteNotFound
            | Self::MethodNotSupported
            | Self::TargetTooLong
            | Self::HeadTooLarge
            | Self::BodyTooLarge
            | Self::BodyIncomplete
            | Self::BodyTimeout
            | Self::FunctionFailed
            | Self::FunctionTimeout => {}
        }
        response
    }
}
