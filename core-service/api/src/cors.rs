//! What pages of other origins may do, the same at edge and core.
//!
//! Closed unless origins are configured. Then a browser's preflight, which carries no token, is told the methods of that
//! route and the headers of this API; what answers say beside the safe headers may be read. Tokens are headers here, never
//! cookies, so credentials are never allowed. Source: the Fetch standard, section "CORS protocol".

use crate::host::is_host;

/// Request headers that a page may send, in lower case.
pub const REQUEST_HEADERS: [&str; 10] = [
    "accept-language",
    "authorization",
    "content-type",
    "idempotency-key",
    "if-match",
    "if-none-match",
    "traceparent",
    "tracestate",
    "x-request-id",
    "x-version",
];

/// What a page may read of an answer.
pub const EXPOSED_HEADERS: &str = "age, cache-status, content-language, etag, idempotent-replayed, link, location, retry-after, \
                                   x-request-id, x-trace-id, x-version";

/// What a preflight answer depends on, in `Vary`.
pub const PREFLIGHT_VARY: &str =
    "Origin, Access-Control-Request-Method, Access-Control-Request-Headers";

/// Any origin.
const ANY: &str = "*";

/// Whether `text` is an origin as a browser says it, or `*` for any.
pub fn is_origin(text: &str) -> bool {
    let host = text.strip_prefix("https://").or_else(|| text.strip_prefix("http://"));
    let is_said_so = !text.bytes().any(|byte| byte.is_ascii_uppercase());
    text == ANY || (is_said_so && host.is_some_and(|host| is_host(host) && !host.ends_with(':')))
}

/// What `Access-Control-Allow-Origin` says to this origin; none where it may not read.
pub fn allowed_origin<'o>(configured: &[String], origin: &'o str) -> Option<&'o str> {
    if configured.iter().any(|it| it == ANY) {
        Some(ANY)
    } else {
        configured.iter().any(|it| it == origin).then_some(origin)
    }
}

/// The headers of `requested` (a list, as a preflight has it) that a page may send here, as a list.
pub fn allowed_headers(requested: &str) -> String {
    let requested = requested.split(',').map(|name| name.trim().to_ascii_lowercase());
    let allowed: Vec<_> =
        requested.filter(|name| REQUEST_HEADERS.contains(&name.as_str())).collect();
    allowed.join(", ")
}

/// Whether a method stands in a list as `Allow` has it.
pub fn is_listed(allow: &str, method: &str) -> bool {
    allow.split(',').any(|listed| listed.trim() == method)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn origins_are_schemes_and_hosts() {
        for origin in ["https://shop.example", "http://localhost:5173", "https://[::1]:8443", "*"] {
            assert!(is_origin(origin), "{origin}");
        }
        for text in [
            "",
            "null",
            "shop.example",
            "https://",
            "https://shop.example/",
            "https://Shop.example",
            "ftp://shop.example",
            "https://a b",
            "https://shop.example:",
            "**",
        ] {
            assert!(!is_origin(text), "{text}");
        }
    }

    #[test]
    fn only_configured_origins_may_read() {
        let configured = ["https://shop.example".to_owned(), "http://localhost:5173".to_owned()];
        for (origin, allowed) in [
            ("https://shop.example", true),
            ("http://localhost:5173", true),
            ("http://shop.example", false),
            ("https://shop.example.evil.example", false),
            ("https://shop.example:444", false),
            ("null", false),
        ] {
            assert_eq!(allowed_origin(&configured, origin).is_some(), allowed, "{origin}");
        }
        assert_eq!(allowed_origin(&["*".to_owned()], "https://any.example"), Some("*"));
        assert_eq!(allowed_origin(&[], "https://shop.example"), None);
    }

    #[test]
    fn of_the_requested_headers_those_of_this_api_are_allowed() {
        let requested = "Authorization, idempotency-key,x-evil";
        assert_eq!(allowed_headers(requested), "authorization, idempotency-key");
        assert_eq!(allowed_headers(""), "");
        assert!(is_listed("GET, HEAD,POST", "POST") && !is_listed("GET, HEAD", "POST"));
    }
}
