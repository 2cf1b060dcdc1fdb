//! W3C trace context: one id per request, from the client if it sent a well-formed one.
//!
//! Source: <https://www.w3.org/TR/trace-context/>, level 1, version 00.

use std::cell::Cell;
use std::fmt;
use std::hash::{BuildHasher, RandomState};

use http::{HeaderMap, HeaderName, HeaderValue};

use crate::limits;

/// The request header.
pub(crate) const TRACEPARENT: HeaderName = HeaderName::from_static("traceparent");
/// What the systems behind a trace tell each other about it.
pub(crate) const TRACESTATE: HeaderName = HeaderName::from_static("tracestate");
/// The response header that tells the client its trace id.
pub(crate) const X_TRACE_ID: HeaderName = HeaderName::from_static("x-trace-id");

/// 16 bytes, written as 32 lower-case hex digits, never all zero.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct TraceId(u128);

impl fmt::Display for TraceId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:032x}", self.0)
    }
}

/// The trace of one request, and this node's own span in it.
#[derive(Debug, Clone)]
pub(crate) struct Trace {
    /// The id shared by everything that serves the request.
    pub(crate) id: TraceId,
    span: u64,
    flags: u8,
    /// The client began it.
    is_continued: bool,
}

impl Trace {
    /// Goes on with the client's trace, or begins one.
    pub(crate) fn from_headers(headers: &HeaderMap) -> Self {
        let sent = headers.get(TRACEPARENT).and_then(|value| parse(value.to_str().ok()?));
        let (id, flags) = sent
            .unwrap_or_else(|| (TraceId((u128::from(random()) << 64) | u128::from(random())), 1));
        Self { id, span: random(), flags, is_continued: sent.is_some() }
    }

    /// Puts the trace into the headers of a request. A `tracestate` stays only with the trace that it
    /// belongs to, and within bounds.
    pub(crate) fn mark(&self, headers: &mut HeaderMap) {
        headers.insert(TRACEPARENT, self.header());
        let state_bytes: usize = headers.get_all(TRACESTATE).iter().map(HeaderValue::len).sum();
        if !self.is_continued || state_bytes > limits::MAX_TRACESTATE_BYTES {
            headers.remove(TRACESTATE);
        }
    }

    /// The header for whoever serves the request next.
    pub(crate) fn header(&self) -> HeaderValue {
        let text = format!("00-{}-{:016x}-{:02x}", self.id, self.span, self.flags);
        HeaderValue::try_from(text).expect("hex digits and hyphens are a header value")
    }
}

/// The trace id and flags of `version-traceid-spanid-flags`.
fn parse(text: &str) -> Option<(TraceId, u8)> {
    let mut parts = text.split('-');
    let version = hex(parts.next()?, 2)?;
    let id = hex(parts.next()?, 32)?;
    let span = hex(parts.next()?, 16)?;
    let flags = hex(parts.next()?, 2)?;
    // A later version may append fields; version 00 may not, and ff is forbidden.
    let extended = parts.next().is_some();
    if id == 0 || span == 0 || version == 0xff || (version == 0 && extended) {
        return None;
    }
    Some((TraceId(id), u8::try_from(flags).ok()?))
}

/// Exactly `digits` lower-case hex digits.
fn hex(text: &str, digits: usize) -> Option<u128> {
    let lower_hex = |byte: u8| byte.is_ascii_digit() || (b'a'..=b'f').contains(&byte);
    (text.len() == digits && text.bytes().all(lower_hex))
        .then(|| u128::from_str_radix(text, 16).ok())?
}

/// Never zero. Ids need to be unlike each other, not secret: numbers under a hasher's random keys are.
fn random() -> u64 {
    thread_local! {
        static KEYS: RandomState = RandomState::new();
        static NUMBER: Cell<u64> = const { Cell::new(0) };
    }
    let number = NUMBER.replace(NUMBER.get().wrapping_add(1));
    KEYS.with(|keys| keys.hash_one(number)) | 1
}

#[cfg(test)]
mod tests {
    use super::{TRACEPARENT, TRACESTATE, Trace};
    use crate::limits;
    use http::HeaderMap;

    #[test]
    fn a_well_formed_traceparent_is_continued_and_any_other_replaced() {
        let id = "0af7651916cd43dd8448eb211c80319c";
        for (header, kept) in [
            ("00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01", true),
            ("01-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01-extra", true),
            ("00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01-extra", false),
            ("00-0AF7651916CD43DD8448EB211C80319C-b7ad6b7169203331-01", false),
            ("00-00000000000000000000000000000000-b7ad6b7169203331-01", false),
            ("00-0af7651916cd43dd8448eb211c80319c-0000000000000000-01", false),
            ("ff-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01", false),
            ("00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331", false),
            ("nonsense", false),
        ] {
            let mut headers = HeaderMap::new();
            headers.insert(TRACEPARENT, header.parse().unwrap());
            let trace = Trace::from_headers(&headers);
            assert_eq!(trace.id.to_string() == id, kept, "{header}");
            let sent = trace.header();
            assert!(sent.to_str().unwrap().starts_with(&format!("00-{}-", trace.id)));
            assert_ne!(sent, header, "the span is the node's own");
        }
    }

    #[test]
    fn a_tracestate_goes_with_its_trace_or_not_at_all() {
        let sound = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01";
        let longest = limits::MAX_TRACESTATE_BYTES;
        for (traceparent, state_bytes, is_kept) in [
            (sound, 3, true),
            (sound, longest, true),
            (sound, longest + 1, false),
            ("nonsense", 3, false),
        ] {
            let mut headers = HeaderMap::new();
            headers.insert(TRACEPARENT, traceparent.parse().unwrap());
            headers.insert(TRACESTATE, "x".repeat(state_bytes).parse().unwrap());
            Trace::from_headers(&headers).mark(&mut headers);
            assert_eq!(headers.contains_key(TRACESTATE), is_kept, "{traceparent} {state_bytes}");
        }
    }

    #[test]
    fn new_traces_differ() {
        let new = || Trace::from_headers(&HeaderMap::new()).id;
        assert_ne!(new(), new());
    }
}
