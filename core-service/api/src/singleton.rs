//! Request header fields that may stand once.
//!
//! Of two lines one program reads the first and another the last: an order placed under one Idempotency-Key is placed
//! again under the other. So a request with two lines of such a field is refused before anything reads it, at the edge
//! and at the core. Fields that are lists may stand on any number of lines (RFC 9110, section 5.3), and are not here;
//! neither is `Cookie`, which HTTP/2 splits (RFC 9113, section 8.2.3).

/// Their names, in lower case.
pub const SINGLETONS: [&str; 24] = [
    "access-control-request-method",
    "authorization",
    "content-length",
    "content-location",
    "content-range",
    "content-type",
    "date",
    "from",
    "host",
    "idempotency-key",
    "if-modified-since",
    "if-range",
    "if-unmodified-since",
    "last-event-id",
    "max-forwards",
    "origin",
    "proxy-authorization",
    "range",
    "referer",
    "tiffin-signature",
    "traceparent",
    "user-agent",
    "x-request-id",
    "x-version",
];

/// The first field of `names` that may stand once and stands twice. One name for each line, in any case.
pub fn doubled<'n>(names: impl IntoIterator<Item = &'n str>) -> Option<&'static str> {
    let mut seen = [false; SINGLETONS.len()];
    names.into_iter().find_map(|name| {
        let at = SINGLETONS.iter().position(|field| field.eq_ignore_ascii_case(name))?;
        std::mem::replace(&mut seen[at], true).then_some(SINGLETONS[at])
    })
}

/// What to tell a client.
pub fn detail(field: &str) -> String {
    format!("the header {field} may stand once, and stands twice")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_singleton_may_stand_once_whatever_stands_between() {
        for field in SINGLETONS {
            let shouted = field.to_ascii_uppercase();
            assert_eq!(doubled(["accept", field, "x-other"]), None, "{field}");
            assert_eq!(doubled([field, "accept", &*shouted]), Some(field), "{field}");
        }
        assert_eq!(doubled(SINGLETONS), None);
    }

    #[test]
    fn lists_may_stand_on_many_lines() {
        let lists =
            ["accept", "accept-language", "cache-control", "cookie", "if-none-match", "via"];
        assert_eq!(doubled(lists.iter().chain(&lists).copied()), None);
    }
}
