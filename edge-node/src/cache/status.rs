//! `Cache-Status` (RFC 9211): what this cache did about a request, for whoever wonders.
//!
//! | value | meaning |
//! |---|---|
//! | `edge-node; hit; ttl=4` | fresh; no guest was asked |
//! | `edge-node; hit; ttl=-3` | stale, being validated in the background |
//! | `edge-node; hit; ttl=-9; detail=stale-if-error` | stale; the function failed a moment ago, and nobody waits for it |
//! | `edge-node; fwd=miss; fwd-status=200; ttl=5; stored` | the function was asked, and its answer kept |
//! | `edge-node; fwd=miss; ttl=5; collapsed` | another request's fetch served this one too |
//! | `edge-node; fwd=stale; fwd-status=304; ttl=5; stored` | the function confirmed what was here |
//! | `edge-node; fwd=stale; fwd-status=500; ttl=-9; detail=stale-if-error` | it failed; the stale entry stands in |
//! | `edge-node; fwd=miss; fwd-status=200; detail=no-store` | the answer is not kept, and why |
//!
//! Instead of `miss` there may be `vary-miss` (other variants are here), `request` (what is here is not for a request with
//! these credentials), `method` and `bypass`. What the function's own cache said stands before it.

use std::io::Write as _;

use http::{HeaderName, HeaderValue};

use crate::metrics::CacheOutcome;

/// The header.
pub(super) const CACHE_STATUS: HeaderName = HeaderName::from_static("cache-status");
/// What this cache is called there.
const NAME: &str = "edge-node";

/// Why a function was asked.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Forward {
    Miss,
    VaryMiss,
    Stale,
    Request,
    Method,
    Bypass,
}

impl Forward {
    const fn token(self) -> &'static str {
        match self {
            Self::Miss => "miss",
            Self::VaryMiss => "vary-miss",
            Self::Stale => "stale",
            Self::Request => "request",
            Self::Method => "method",
            Self::Bypass => "bypass",
        }
    }
}

/// What was done.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) struct Status {
    /// None for a hit.
    pub(super) forward: Option<Forward>,
    /// What the function answered, if it did.
    pub(super) forward_status: Option<u16>,
    /// Freshness left to what is answered, if it is an entry.
    pub(super) ttl_s: Option<i64>,
    pub(super) is_stored: bool,
    pub(super) is_collapsed: bool,
    pub(super) detail: Option<&'static str>,
}

impl Status {
    /// The header's value; `earlier` is what caches behind this one said.
    pub(super) fn header(&self, earlier: Option<&HeaderValue>) -> HeaderValue {
        let earlier = earlier.map_or(&b""[..], HeaderValue::as_bytes);
        let mut text = Vec::with_capacity(earlier.len() + 96);
        text.extend_from_slice(earlier);
        if !earlier.is_empty() {
            text.extend_from_slice(b", ");
        }
        text.extend_from_slice(NAME.as_bytes());
        match self.forward {
            None => text.extend_from_slice(b"; hit"),
            Some(forward) => {
                text.extend_from_slice(b"; fwd=");
                text.extend_from_slice(forward.token().as_bytes());
            }
        }
        // Writing to a Vec cannot fail.
        if let Some(status) = self.forward_status {
            let _ = write!(text, "; fwd-status={status}");
        }
        if let Some(ttl_s) = self.ttl_s {
            let _ = write!(text, "; ttl={ttl_s}");
        }
        if self.is_stored {
            text.extend_from_slice(b"; stored");
        }
        if self.is_collapsed {
            text.extend_from_slice(b"; collapsed");
        }
        if let Some(detail) = self.detail {
            text.extend_from_slice(b"; detail=");
            text.extend_from_slice(detail.as_bytes());
        }
        HeaderValue::from_maybe_shared(bytes::Bytes::from(text))
            .unwrap_or(HeaderValue::from_static(NAME))
    }

    /// The same in one word, for the log and the metrics.
    pub(super) fn outcome(&self) -> CacheOutcome {
        let is_stale = self.ttl_s.is_some_and(|ttl_s| ttl_s < 0);
        match self.forward {
            _ if self.is_collapsed => CacheOutcome::Collapsed,
            None if is_stale => CacheOutcome::Stale,
            None => CacheOutcome::Hit,
            Some(Forward::Stale) if self.detail.is_some() && is_stale => CacheOutcome::Stale,
            Some(Forward::Method | Forward::Bypass) => CacheOutcome::Bypass,
            Some(Forward::Miss | Forward::VaryMiss | Forward::Stale | Forward::Request) => {
                CacheOutcome::Miss
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use http::HeaderValue;

    use super::{Forward, Status};

    #[test]
    fn every_way_has_its_own_words() {
        let none = Status::default();
        for (status, value, word) in [
            (Status { ttl_s: Some(4), ..none }, "edge-node; hit; ttl=4", "hit"),
            (Status { ttl_s: Some(-3), ..none }, "edge-node; hit; ttl=-3", "stale"),
            (
                Status {
                    forward: Some(Forward::Miss),
                    forward_status: Some(200),
                    ttl_s: Some(5),
                    is_stored: true,
                    ..none
                },
                "edge-node; fwd=miss; fwd-status=200; ttl=5; stored",
                "miss",
            ),
            (
                Status { forward: Some(Forward::VaryMiss), is_collapsed: true, ..none },
                "edge-node; fwd=vary-miss; collapsed",
                "collapsed",
            ),
            (
                Status {
                    forward: Some(Forward::Stale),
                    forward_status: Some(500),
                    ttl_s: Some(-9),
                    detail: Some("stale-if-error"),
                    ..none
                },
                "edge-node; fwd=stale; fwd-status=500; ttl=-9; detail=stale-if-error",
                "stale",
            ),
            (
                Status { forward: Some(Forward::Bypass), detail: Some("range"), ..none },
                "edge-node; fwd=bypass; detail=range",
                "bypass",
            ),
            (Status { forward: Some(Forward::Method), ..none }, "edge-node; fwd=method", "bypass"),
        ] {
            assert_eq!(status.header(None), value);
            assert_eq!(status.outcome().word(), word, "{value}");
        }
    }

    #[test]
    fn the_list_grows() {
        let earlier = HeaderValue::from_static("tiffin-menu; hit; ttl=4");
        let status = Status { ttl_s: Some(3), ..Status::default() };
        let expected = "tiffin-menu; hit; ttl=4, edge-node; hit; ttl=3";
        assert_eq!(status.header(Some(&earlier)), expected);
    }
}
