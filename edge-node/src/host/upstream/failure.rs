//! How an outbound request fails, what the guest is told, and what it says about the upstream.
//!
//! wasi:http has its error codes from RFC 9209 (Proxy-Status, section 2.3), and they are used in its
//! sense: `destination-unavailable` is a next hop that the proxy itself considers out of order, which is
//! an open breaker; `http-response-timeout` is an answer that is late as a whole.

use std::error::Error as StdError;
use std::io;
use std::sync::Arc;
use std::time::Duration;

use wasmtime_wasi_http::Error;

use super::breaker::Outcome;
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
    /// The answer as a whole took too long.
    TotalTimeout,
    /// The answer has more bytes than it may.
    BodyTooLong,
    /// Too many outbound requests are in progress.
    TooMany,
    /// The upstream's breaker is open.
    CircuitOpen,
    /// What was sent or answered is no HTTP.
    Protocol,
    /// The certificate is not one that this node trusts for that name.
    Certificate,
    /// TLS could not be agreed on.
    Tls,
    /// The URI names no upstream.
    Uri,
    /// CONNECT: a tunnel would lead past everything that is minded here.
    Method,
    /// The node is not set up for this; the text says what to do.
    Unsupported(Arc<str>),
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
            Self::TotalTimeout => "total-timeout",
            Self::BodyTooLong => "body-too-long",
            Self::TooMany => "too-many",
            Self::CircuitOpen => "circuit-open",
            Self::Protocol => "protocol",
            Self::Certificate => "certificate",
            Self::Tls => "tls",
            Self::Uri => "uri",
            Self::Method => "method",
            Self::Unsupported(_) => "unsupported",
        }
    }

    /// What a failure after `waited` says about the upstream. A guest that is in a hurry must not turn an
    /// upstream off for all others, and neither must what this node could not do by itself.
    pub(super) fn verdict(&self, waited: Duration) -> Outcome {
        let blamed_after = match self {
            Self::Refused
            | Self::NameNotFound
            | Self::Unreachable
            | Self::Terminated
            | Self::Protocol
            | Self::Certificate
            | Self::Tls => Duration::ZERO,
            Self::ConnectTimeout => limits::BLAME_CONNECT_AFTER,
            Self::FirstByteTimeout | Self::BodyTimeout | Self::TotalTimeout => {
                limits::BLAME_HEAD_AFTER
            }
            Self::BodyTooLong
            | Self::TooMany
            | Self::CircuitOpen
            | Self::Uri
            | Self::Method
            | Self::Unsupported(_) => return Outcome::Neutral,
        };
        if waited >= blamed_after { Outcome::Failure } else { Outcome::Neutral }
    }

    /// Whether another attempt may do better: at the same address, or only at another.
    pub(super) fn may_pass(&self, is_other_address: bool) -> bool {
        match self {
            Self::Refused | Self::Unreachable | Self::Terminated => true,
            Self::ConnectTimeout
            | Self::NameNotFound
            | Self::Protocol
            | Self::Certificate
            | Self::Tls => is_other_address,
            Self::FirstByteTimeout
            | Self::BodyTimeout
            | Self::TotalTimeout
            | Self::BodyTooLong
            | Self::TooMany
            | Self::CircuitOpen
            | Self::Uri
            | Self::Method
            | Self::Unsupported(_) => false,
        }
    }

    /// Why no connection came about.
    pub(super) fn of_connect(error: &(dyn StdError + 'static)) -> Self {
        let mut source = Some(error);
        let mut kind = None;
        while let Some(cause) = source {
            kind = cause.downcast_ref::<io::Error>().map(io::Error::kind).or(kind);
            source = cause.source();
        }
        match kind {
            Some(io::ErrorKind::ConnectionRefused) => Self::Refused,
            Some(io::ErrorKind::TimedOut) => Self::ConnectTimeout,
            Some(
                io::ErrorKind::HostUnreachable
                | io::ErrorKind::NetworkUnreachable
                | io::ErrorKind::ConnectionReset,
            ) => Self::Unreachable,
            _ => Self::NameNotFound,
        }
    }

    /// Why TLS did not come about.
    pub(super) fn of_tls(error: &io::Error) -> Self {
        match error.get_ref().and_then(|inner| inner.downcast_ref::<rustls::Error>()) {
            Some(rustls::Error::InvalidCertificate(_)) => Self::Certificate,
            Some(_) => Self::Tls,
            None => Self::Terminated,
        }
    }

    /// Why a connection brought no answer.
    pub(super) fn of_exchange(error: &hyper::Error) -> Self {
        if error.is_parse() { Self::Protocol } else { Self::Terminated }
    }

    /// What broke off the body of an answer that was collected here.
    pub(crate) fn of_body(error: &Error) -> Self {
        if matches!(error, Error::HttpResponseBodySize(_)) {
            Self::BodyTooLong
        } else if matches!(error, Error::ConnectionReadTimeout) {
            Self::BodyTimeout
        } else if matches!(error, Error::HttpResponseTimeout) {
            Self::TotalTimeout
        } else {
            Self::Terminated
        }
    }
}

impl From<Failure> for Error {
    fn from(failure: Failure) -> Self {
        match failure {
            Failure::Refused => Self::ConnectionRefused,
            Failure::ConnectTimeout => Self::ConnectionTimeout,
            Failure::NameNotFound => Self::DestinationNotFound,
            Failure::Unreachable => Self::DestinationIpUnroutable,
            Failure::Terminated => Self::ConnectionTerminated,
            Failure::FirstByteTimeout | Failure::TotalTimeout => Self::HttpResponseTimeout,
            Failure::BodyTimeout => Self::ConnectionReadTimeout,
            Failure::BodyTooLong => {
                Self::HttpResponseBodySize(Some(limits::MAX_UPSTREAM_BODY_BYTES))
            }
            Failure::TooMany => Self::ConnectionLimitReached,
            Failure::CircuitOpen => Self::DestinationUnavailable,
            Failure::Protocol => Self::HttpProtocolError,
            Failure::Certificate => Self::TlsCertificateError,
            Failure::Tls => Self::TlsProtocolError,
            Failure::Uri => Self::HttpRequestUriInvalid,
            Failure::Method => Self::HttpRequestMethodInvalid,
            Failure::Unsupported(text) => Self::InternalError(Some(text.to_string())),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::{Failure, Outcome};

    #[test]
    fn a_hurried_guest_does_not_blame_the_upstream() {
        for (failure, waited_ms, blames) in [
            (Failure::Refused, 0, true),
            (Failure::Terminated, 0, true),
            (Failure::ConnectTimeout, 249, false),
            (Failure::ConnectTimeout, 250, true),
            (Failure::FirstByteTimeout, 749, false),
            (Failure::FirstByteTimeout, 750, true),
            (Failure::TooMany, 9_000, false),
            (Failure::CircuitOpen, 9_000, false),
            (Failure::Unsupported("".into()), 9_000, false),
        ] {
            let expected = if blames { Outcome::Failure } else { Outcome::Neutral };
            let verdict = failure.verdict(Duration::from_millis(waited_ms));
            assert_eq!(verdict, expected, "{failure:?} after {waited_ms} ms");
        }
    }
}
