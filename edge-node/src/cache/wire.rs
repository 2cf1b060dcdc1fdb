//! Hits as bytes of HTTP/1.1, for a connection that sends them as they are.
//!
//! The same answers as [`Cache::hit`] gives, to fewer requests: fresh ones, whole ones, in a coding that is made already.
//! Whatever takes more than a look is left to the long way, so that there is one place where it is decided.

use std::io::Write as _;
use std::sync::Arc;

use bytes::Bytes;
use http::HeaderMap;
use http::header::{AGE, CONTENT_ENCODING, CONTENT_LENGTH, ETAG, VARY};
use http::request::Parts;

use super::Cache;
use super::conditional::is_conditional;
use super::encode::Coding;
use super::entry::{BY_CODING, Entry};
use super::key::{Asked, primary};
use super::lines::push;
use super::policy::Standing;
use super::status::{CACHE_STATUS, Status};
use crate::edition::Edition;
use crate::trace::{Trace, X_TRACE_ID};

const STATUS_LINE: &[u8] = b"HTTP/1.1 200 OK\r\n";
/// Room for the lines that each answer has of its own.
const OWN_LINES_BYTES: usize = 192;

/// A hit, ready to be sent.
pub(crate) struct WireHit {
    /// Status line, headers, and the empty line.
    pub(crate) head: Bytes,
    /// The body.
    pub(crate) body: Bytes,
    /// Who answered, for the log.
    pub(crate) component: Option<Arc<Edition>>,
    /// The route as written.
    pub(crate) route: Option<Arc<str>>,
    status: Status,
}

impl Cache {
    /// Counts a hit that is sent. Returns what it is, in one word.
    pub(crate) fn count_wire_hit(&self, hit: &WireHit) -> &'static str {
        self.count(&hit.status)
    }

    /// The answer to a request, if it is here and nothing remains to be done about it. The head is clean
    /// and absolute, and no body comes after it.
    pub(crate) fn wire_hit(&self, head: &Parts, trace: &Trace) -> Option<WireHit> {
        let Asked::Read(read) = Asked::of(head, false) else { return None };
        if read.is_head || read.has_range || is_conditional(&head.headers) {
            return None;
        }
        let now_ms = self.now_ms();
        let (entry, standing) = self.variant(&primary(&head.uri), &head.headers, now_ms)?;
        if standing != Standing::Fresh || !entry.is_for(read) {
            return None;
        }
        let (coding, body) = entry.made(&head.headers)?;
        let ttl_s = Some(entry.lifetime().ttl_s(now_ms));
        let status = Status { ttl_s, ..Status::default() };
        let head = entry.wire_head(coding, body.len(), now_ms, &status, trace)?;
        let (component, route) = (entry.component.clone(), entry.route.clone());
        Some(WireHit { head, body, component, route, status })
    }
}

impl Entry {
    /// The body in the coding that a request prefers; none if that is not made yet.
    fn made(&self, request: &HeaderMap) -> Option<(Coding, Bytes)> {
        let coding = self.preferred(request);
        let coded = match coding {
            Coding::Identity => None,
            Coding::Gzip | Coding::Zstd | Coding::Brotli => self.body.made(coding)?,
        };
        Some(match coded {
            Some(coded) => (coding, coded),
            None => (Coding::Identity, self.body.identity().clone()),
        })
    }

    /// The head of a whole answer; none if there is more to it than these headers.
    fn wire_head(
        &self,
        coding: Coding,
        body_bytes: usize,
        now_ms: i64,
        status: &Status,
        trace: &Trace,
    ) -> Option<Bytes> {
        if !self.is_plain {
            return None;
        }
        let mut head = Vec::with_capacity(STATUS_LINE.len() + self.headers.len() + OWN_LINES_BYTES);
        head.extend_from_slice(STATUS_LINE);
        let tag = self.tag_of(coding);
        self.headers.copy_to(&mut head, tag.as_ref().map(|_| &ETAG));
        if let Some(tag) = tag {
            push(&mut head, &ETAG, tag.as_bytes());
        }
        if coding != Coding::Identity {
            push(&mut head, &CONTENT_ENCODING, coding.name().as_bytes());
        }
        if self.is_varied_by_coding {
            push(&mut head, &VARY, BY_CODING.as_bytes());
        }
        // Writing to a Vec cannot fail.
        let _ = write!(head, "{CONTENT_LENGTH}: {body_bytes}\r\n{AGE}: ");
        let _ = write!(head, "{}\r\n{CACHE_STATUS}: ", self.lifetime().age_s(now_ms));
        head.extend_from_slice(self.cache_status(status).as_bytes());
        let _ = write!(head, "\r\n{X_TRACE_ID}: {}\r\n\r\n", trace.id);
        Some(head.into())
    }
}
