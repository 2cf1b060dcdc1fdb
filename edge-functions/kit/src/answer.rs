//! What a function answers: JSON with a strong ETag, or a problem document; conditional on request.

use crate::limits::RETRY_AFTER_S;
use bytes::Bytes;
use http::header::{
    ALLOW, CACHE_CONTROL, CONTENT_TYPE, ETAG, HeaderName, IF_NONE_MATCH, RETRY_AFTER,
};
use http::{HeaderMap, HeaderValue, Method, StatusCode};
use serde::Serialize;
use sha2::{Digest as _, Sha256};
use std::fmt::Write as _;
use tiffin_api::{ErrorCode, Problem, problem};

/// The media type of every document that is no problem.
pub const JSON: &str = "application/json";
/// `Cache-Control` of what nobody may keep.
pub const NO_STORE: &str = "no-store";
/// `Cache-Status` (RFC 9211).
pub const CACHE_STATUS: HeaderName = HeaderName::from_static("cache-status");

/// What caches of a network may do, instead of `Cache-Control` (RFC 9213).
pub const CDN_CACHE_CONTROL: HeaderName = HeaderName::from_static("cdn-cache-control");
/// The tags by which such a cache can purge an answer, between spaces.
pub const SURROGATE_KEY: HeaderName = HeaderName::from_static("surrogate-key");

/// Whether a message is of a media type, whatever its parameters.
pub fn is_of_type(headers: &HeaderMap, media_type: &str) -> bool {
    let content_type = headers.get(CONTENT_TYPE).and_then(|value| value.to_str().ok());
    let essence = content_type.and_then(|value| value.split(';').next()).map(str::trim);
    essence.is_some_and(|essence| essence.eq_ignore_ascii_case(media_type))
}

/// Bytes of a SHA-256 that make an entity tag: 128 bits never collide by chance.
const TAG_BYTES: usize = 16;

/// An HTTP response before it meets the host.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Answer {
    /// The status.
    pub status: StatusCode,
    /// The headers.
    pub headers: HeaderMap,
    /// The whole body.
    pub body: Bytes,
}

impl Answer {
    /// A body of the media type.
    pub fn new(status: StatusCode, content_type: &str, body: Bytes) -> Self {
        Self { status, headers: HeaderMap::new(), body }.with(CONTENT_TYPE, content_type)
    }

    /// A value as JSON, not to be kept by anybody.
    pub fn json<T: Serialize>(value: &T) -> Self {
        match serde_json::to_vec(value) {
            Ok(body) => Self::new(StatusCode::OK, JSON, body.into()).with(CACHE_CONTROL, NO_STORE),
            Err(error) => Problem::new(ErrorCode::Internal, error.to_string()).into(),
        }
    }

    /// The core cannot be asked, and nothing here can stand in for it.
    pub fn unavailable(detail: &str) -> Self {
        Self::from(Problem::new(ErrorCode::Unavailable, detail))
            .with(RETRY_AFTER, &RETRY_AFTER_S.to_string())
    }

    /// The route exists for other methods only; `allow` lists them.
    pub fn method_not_allowed(allow: &str) -> Self {
        Self::from(Problem::new(ErrorCode::MethodNotAllowed, format!("allowed here: {allow}")))
            .with(ALLOW, allow)
    }

    /// What OPTIONS is told: nobody needs a token to ask it (RFC 9110, section 9.3.7).
    pub fn options(allow: &str) -> Self {
        Self { status: StatusCode::NO_CONTENT, headers: HeaderMap::new(), body: Bytes::new() }
            .with(ALLOW, allow)
            .with(CACHE_CONTROL, NO_STORE)
    }

    /// The body is over the limit.
    pub fn body_too_large(max_bytes: usize) -> Self {
        let detail = format!("a body may have at most {max_bytes} bytes here");
        Problem::new(ErrorCode::BodyTooLarge, detail).into()
    }

    /// Sets a header. A value that no header may have is left out: values come from our own code or
    /// from headers that were read before.
    #[must_use]
    pub fn with(mut self, name: HeaderName, value: &str) -> Self {
        if let Ok(value) = HeaderValue::from_str(value) {
            self.headers.insert(name, value);
        }
        self
    }

    /// Fits the answer to the request: 304 if the client already has it, no body for HEAD.
    #[must_use]
    pub fn for_request(mut self, method: &Method, request_headers: &HeaderMap) -> Self {
        let reads = *method == Method::GET || *method == Method::HEAD;
        let known =
            self.headers.get(ETAG).and_then(|etag| etag.to_str().ok()).is_some_and(|etag| {
                request_headers
                    .get_all(IF_NONE_MATCH)
                    .iter()
                    .filter_map(|value| value.to_str().ok())
                    .any(|list| if_none_match(list, etag))
            });
        if reads && known && self.status == StatusCode::OK {
            self.status = StatusCode::NOT_MODIFIED;
            self.headers.remove(CONTENT_TYPE);
            self.body = Bytes::new();
        }
        if *method == Method::HEAD {
            self.body = Bytes::new();
        }
        self
    }
}

impl From<Problem> for Answer {
    fn from(problem: Problem) -> Self {
        let status =
            StatusCode::from_u16(problem.status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
        let body = serde_json::to_vec(&problem).unwrap_or_default();
        Self::new(status, problem::CONTENT_TYPE, body.into()).with(CACHE_CONTROL, NO_STORE)
    }
}

/// So that `?` turns a refusal into the answer that tells it.
impl From<Box<Problem>> for Box<Answer> {
    fn from(problem: Box<Problem>) -> Self {
        Self::new((*problem).into())
    }
}

/// Answers GET and HEAD only; others are told so.
pub fn require_read(method: &Method) -> Result<(), Box<Answer>> {
    if *method == Method::GET || *method == Method::HEAD {
        return Ok(());
    }
    Err(Box::new(match *method {
        Method::OPTIONS => Answer::options("GET, HEAD, OPTIONS"),
        _ => Answer::method_not_allowed("GET, HEAD"),
    }))
}

/// A strong entity tag of a body.
pub fn entity_tag(body: &[u8]) -> String {
    let digest = Sha256::digest(body);
    format!("\"{}\"", hex(&digest[..TAG_BYTES]))
}

/// Bytes in lower-case hexadecimal digits.
pub fn hex(bytes: &[u8]) -> String {
    bytes.iter().fold(String::with_capacity(bytes.len() * 2), |mut text, byte| {
        // Writing to a String cannot fail.
        let _ = write!(text, "{byte:02x}");
        text
    })
}

/// Whether an `If-None-Match` list names the tag, by weak comparison (RFC 9110, section 13.1.2).
///
/// A tag may hold commas, so that the list is read tag by tag. What cannot be read matches nothing: the
/// client then gets the whole document.
fn if_none_match(list: &str, etag: &str) -> bool {
    if list.trim() == "*" {
        return true;
    }
    let wanted = etag.strip_prefix("W/").unwrap_or(etag);
    let mut rest = list;
    loop {
        rest = rest.trim_start_matches([',', ' ', '\t']);
        let candidate = rest.strip_prefix("W/").unwrap_or(rest);
        let Some(end) = candidate.strip_prefix('"').and_then(|inner| inner.find('"')) else {
            return false;
        };
        let (tag, after) = candidate.split_at(end + 2);
        if tag == wanted {
            return true;
        }
        rest = after;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn tagged() -> Answer {
        Answer::new(StatusCode::OK, JSON, Bytes::from_static(b"{}")).with(ETAG, "\"a\"")
    }

    fn asked(if_none_match: &'static str) -> HeaderMap {
        [(IF_NONE_MATCH, HeaderValue::from_static(if_none_match))].into_iter().collect()
    }

    #[test]
    fn if_none_match_is_a_list_compared_weakly() {
        for (list, expected) in [
            ("\"a\"", true),
            ("W/\"a\"", true),
            ("\"b\", \"a\"", true),
            ("\"b\",W/\"a\"", true),
            ("\"x,y\" , \"a\"", true),
            ("*", true),
            (" * ", true),
            ("\"b\"", false),
            ("a", false),
            ("\"a", false),
            ("\"b\" a", false),
            ("", false),
            ("\"*\"", false),
        ] {
            assert_eq!(if_none_match(list, "\"a\""), expected, "{list:?}");
            assert_eq!(if_none_match(list, "W/\"a\""), expected, "weak, {list:?}");
        }
    }

    #[test]
    fn what_the_client_has_is_not_sent_again() {
        let answer = tagged().for_request(&Method::GET, &asked("\"a\""));
        assert_eq!(answer.status, StatusCode::NOT_MODIFIED);
        assert!(answer.body.is_empty());
        assert_eq!(answer.headers[ETAG], "\"a\"");

        let answer = tagged().for_request(&Method::GET, &asked("\"b\""));
        assert_eq!((answer.status, answer.body.len()), (StatusCode::OK, 2));

        let answer = tagged().for_request(&Method::POST, &asked("\"a\""));
        assert_eq!(answer.status, StatusCode::OK, "conditional for reads only");
    }

    #[test]
    fn a_refusal_is_never_not_modified() {
        let refused = Answer::from(Problem::new(ErrorCode::StoreNotFound, ""));
        let answer = refused.clone().for_request(&Method::GET, &asked("*"));
        assert_eq!(answer, refused);
    }

    #[test]
    fn head_has_the_headers_of_get_and_no_body() {
        let answer = tagged().for_request(&Method::HEAD, &HeaderMap::new());
        assert_eq!(answer.headers, tagged().headers);
        assert!(answer.body.is_empty());
    }

    #[test]
    fn problems_carry_their_status_and_are_not_kept() {
        let answer = Answer::unavailable("the core is away");
        assert_eq!(answer.status, StatusCode::SERVICE_UNAVAILABLE);
        assert_eq!(answer.headers[CONTENT_TYPE], problem::CONTENT_TYPE);
        assert_eq!(answer.headers[RETRY_AFTER], "2");
        assert_eq!(answer.headers[CACHE_CONTROL], NO_STORE);
        let problem: Problem = serde_json::from_slice(&answer.body).unwrap();
        assert_eq!(problem.code, ErrorCode::Unavailable);

        let answer = require_read(&Method::DELETE).unwrap_err();
        assert_eq!(answer.status, StatusCode::METHOD_NOT_ALLOWED);
        assert_eq!(answer.headers[ALLOW], "GET, HEAD");
        let answer = require_read(&Method::OPTIONS).unwrap_err();
        assert_eq!((answer.status.as_u16(), &*answer.body), (204, &b""[..]));
        assert_eq!(answer.headers[ALLOW], "GET, HEAD, OPTIONS");
    }

    #[test]
    fn a_tag_is_quoted_and_follows_the_body() {
        // The first half of the SHA-256 of "abc", FIPS 180-2 appendix B.1.
        assert_eq!(entity_tag(b"abc"), "\"ba7816bf8f01cfea414140de5dae2223\"");
        assert_ne!(entity_tag(b"abd"), entity_tag(b"abc"));
    }
}
