//! Which headers cross, and how many may come.
//!
//! Both directions are allow-lists: what a header means to a program behind the edge is known for these.

use crate::limits::{HEADERS_MAX, HEADERS_MAX_BYTES};
use http::HeaderMap;
use tiffin_api::{ErrorCode, Problem};
use tiffin_kit::answer::Answer;

/// Of a request, to the core.
const REQUEST: [&str; 11] = [
    "accept",
    "accept-language",
    "authorization",
    "content-type",
    "idempotency-key",
    "if-match",
    "if-none-match",
    "tiffin-signature",
    "traceparent",
    "tracestate",
    "x-request-id",
];

/// Of an answer, to the client.
const RESPONSE: [&str; 13] = [
    "allow",
    "cache-control",
    "content-language",
    "content-type",
    "etag",
    "idempotent-replayed",
    "last-modified",
    "link",
    "location",
    "retry-after",
    "vary",
    "www-authenticate",
    "x-request-id",
];

/// Refuses headers that are too many or too long. The error is the answer to give.
pub fn check(headers: &HeaderMap) -> Result<(), Box<Answer>> {
    // A line has a colon, a space and an end beside its name and value.
    let line_bytes = headers.iter().map(|(name, value)| name.as_str().len() + value.len() + 4);
    if headers.len() <= HEADERS_MAX && line_bytes.sum::<usize>() <= HEADERS_MAX_BYTES {
        return Ok(());
    }
    let detail = format!("send at most {HEADERS_MAX} headers of {HEADERS_MAX_BYTES} bytes in all");
    Err(Box::new(Problem::new(ErrorCode::HeadersTooLarge, detail)).into())
}

/// What the core sees of a request's headers.
pub fn to_core(headers: &HeaderMap) -> HeaderMap {
    pick(headers, &REQUEST)
}

/// What the client sees of the core's headers.
pub fn to_client(headers: &HeaderMap) -> HeaderMap {
    pick(headers, &RESPONSE)
}

fn pick(headers: &HeaderMap, names: &[&str]) -> HeaderMap {
    let allowed = headers.iter().filter(|(name, _)| names.contains(&name.as_str()));
    allowed.map(|(name, value)| (name.clone(), value.clone())).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use http::{HeaderName, HeaderValue};

    fn headers(lines: &[(&'static str, &'static str)]) -> HeaderMap {
        let mut headers = HeaderMap::new();
        for (name, value) in lines {
            headers.append(HeaderName::from_static(name), HeaderValue::from_static(value));
        }
        headers
    }

    #[test]
    fn only_known_headers_cross() {
        let sent = headers(&[
            ("authorization", "Bearer x"),
            ("cookie", "a=b"),
            ("host", "edge"),
            ("x-forwarded-for", "1.2.3.4"),
            ("spin-path-info", "/v1/admin"),
            ("idempotency-key", "k"),
            ("transfer-encoding", "chunked"),
            ("accept", "a"),
            ("accept", "b"),
        ]);
        let expected = headers(&[
            ("authorization", "Bearer x"),
            ("idempotency-key", "k"),
            ("accept", "a"),
            ("accept", "b"),
        ]);
        assert_eq!(to_core(&sent), expected);

        let answered = headers(&[
            ("etag", "\"1\""),
            ("set-cookie", "a=b"),
            ("server", "core"),
            ("content-length", "5"),
            ("idempotent-replayed", "true"),
        ]);
        let expected = headers(&[("etag", "\"1\""), ("idempotent-replayed", "true")]);
        assert_eq!(to_client(&answered), expected);
    }

    #[test]
    fn too_many_or_too_long_headers_are_refused() {
        let many = |count: usize, value: &str| {
            let name = |index| HeaderName::from_bytes(format!("x-{index}").as_bytes()).unwrap();
            let value = HeaderValue::from_str(value).unwrap();
            (0..count).map(|index| (name(index), value.clone())).collect::<HeaderMap>()
        };
        assert_eq!(check(&many(HEADERS_MAX, "v")), Ok(()));
        for headers in [many(HEADERS_MAX + 1, "v"), many(2, &"v".repeat(HEADERS_MAX_BYTES / 2))] {
            assert_eq!(check(&headers).unwrap_err().status.as_u16(), 431);
        }
    }
}
