//! The directives that tell this cache what it may do with an answer.
//!
//! `CDN-Cache-Control` is meant for caches like this one and then stands in place of
//! `Cache-Control` and `Expires`, which are the client's (RFC 9213). It is a structured field (RFC 9651): one that cannot
//! be read counts as absent. `Cache-Control` is read as leniently as it is written in the world.

use http::header::{CACHE_CONTROL, HeaderValue};
use http::{HeaderMap, HeaderName};

use super::structured::{self, Value};

/// For caches of a CDN. Source: RFC 9213, section 3.
pub(super) const CDN_CACHE_CONTROL: HeaderName = HeaderName::from_static("cdn-cache-control");
/// What a number of seconds that no integer holds stands for. Source: RFC 9111, section 1.2.2.
const FOREVER_S: u64 = 1 << 31;

/// Names in lower case, each with its argument, if it has one.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Directives {
    list: Vec<(String, Option<String>)>,
    /// They are those of `CDN-Cache-Control`.
    pub(super) is_targeted: bool,
}

impl Directives {
    /// Those that this cache follows.
    pub(super) fn of(headers: &HeaderMap) -> Self {
        if let Some(list) = lines(headers, &CDN_CACHE_CONTROL).and_then(|text| dictionary(&text)) {
            return Self { list, is_targeted: true };
        }
        let text = lines(headers, &CACHE_CONTROL).unwrap_or_default();
        Self { list: lenient(&text), is_targeted: false }
    }

    /// Whether a directive is there, with or without an argument.
    pub(super) fn has(&self, name: &str) -> bool {
        self.list.iter().any(|(known, _)| known == name)
    }

    /// A directive's seconds, if it is there. Of several, and of those that cannot be read, the
    /// shortest: what contradicts itself is not kept for long.
    pub(super) fn seconds(&self, name: &str) -> Option<u64> {
        let all = self.list.iter().filter(|(known, _)| known == name);
        all.map(|(_, argument)| argument.as_deref().map_or(0, seconds)).min()
    }

    /// The same without one directive.
    pub(super) fn without(mut self, name: &str) -> Self {
        self.list.retain(|(known, _)| known != name);
        self
    }

    /// The same with one more, of so many seconds.
    pub(super) fn with(mut self, name: &str, seconds: u64) -> Self {
        self.list.push((name.to_owned(), Some(seconds.to_string())));
        self
    }

    /// As a `Cache-Control` for a reader that minds case and spaces.
    pub(super) fn to_header(&self) -> HeaderValue {
        let mut text = String::new();
        for (name, argument) in &self.list {
            let comma = if text.is_empty() { "" } else { "," };
            match (argument, self.seconds(name)) {
                (Some(_), Some(seconds)) if is_timed(name) => {
                    text.push_str(&format!("{comma}{name}={seconds}"));
                }
                _ => text.push_str(&format!("{comma}{name}")),
            }
        }
        HeaderValue::try_from(text).unwrap_or(HeaderValue::from_static("no-store"))
    }
}

fn is_timed(name: &str) -> bool {
    matches!(name, "max-age" | "s-maxage" | "stale-while-revalidate" | "stale-if-error")
}

/// A number of seconds; none if it is not one.
pub(super) fn whole_seconds(text: &str) -> Option<u64> {
    let is_number = !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
    is_number.then(|| text.parse().unwrap_or(FOREVER_S).min(FOREVER_S))
}

fn seconds(argument: &str) -> u64 {
    whole_seconds(argument).unwrap_or(0)
}

fn lines(headers: &HeaderMap, name: &HeaderName) -> Option<String> {
    let values: Vec<&str> =
        headers.get_all(name).iter().filter_map(|value| value.to_str().ok()).collect();
    (!values.is_empty()).then(|| values.join(","))
}

/// `Cache-Control`: names with tokens or quoted strings, between commas.
fn lenient(text: &str) -> Vec<(String, Option<String>)> {
    let mut is_quoted = false;
    let parts = text.split(|c: char| {
        is_quoted ^= c == '"';
        c == ',' && !is_quoted
    });
    parts
        .filter_map(|part| {
            let (name, argument) = match part.split_once('=') {
                Some((name, argument)) => (name, Some(argument.trim().trim_matches('"'))),
                None => (part, None),
            };
            let name = name.trim().to_ascii_lowercase();
            let is_token = name.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'-');
            (!name.is_empty() && is_token).then(|| (name, argument.map(str::to_owned)))
        })
        .collect()
}

/// `CDN-Cache-Control` as a dictionary of structured fields; none for what is not one, for an empty one, and for one
/// whose times are no integers.
fn dictionary(text: &str) -> Option<Vec<(String, Option<String>)>> {
    let mut list: Vec<(String, Option<String>)> = Vec::new();
    for (name, value) in structured::dictionary(text)? {
        // A negative time is over.
        let argument = match value {
            Value::Integer(seconds) if is_timed(&name) => Some(seconds.max(0).to_string()),
            _ if is_timed(&name) => return None,
            Value::Boolean(is_true) => {
                if !is_true {
                    continue;
                }
                None
            }
            Value::Integer(_) | Value::Other => Some(String::new()),
        };
        list.push((name, argument));
    }
    (!list.is_empty()).then_some(list)
}

#[cfg(test)]
mod tests {
    use super::Directives;
    use http::HeaderMap;

    fn read(lines: &[(&'static str, &str)]) -> Directives {
        let mut headers = HeaderMap::new();
        for (name, value) in lines {
            headers.append(*name, value.parse().unwrap());
        }
        Directives::of(&headers)
    }

    #[test]
    fn cache_control_is_read_as_it_is_written() {
        for (text, canonical) in [
            ("public, max-age=5", "public,max-age=5"),
            ("PUBLIC ,Max-Age = \"5\"", "public,max-age=5"),
            ("private=\"set-cookie, x\", max-age=5", "private,max-age=5"),
            ("max-age=5, max-age=9", "max-age=5,max-age=5"),
            ("max-age=soon", "max-age=0"),
            ("max-age=-1", "max-age=0"),
            ("max-age=99999999999999999999", "max-age=2147483648"),
            (",, no-store ,", "no-store"),
            ("", ""),
        ] {
            let directives = read(&[("cache-control", text)]);
            assert_eq!(directives.to_header(), canonical, "{text}");
            assert!(!directives.is_targeted);
        }
        let lines = read(&[("cache-control", "public"), ("cache-control", "max-age=5")]);
        assert_eq!((lines.has("public"), lines.seconds("max-age")), (true, Some(5)));
    }

    #[test]
    fn a_targeted_field_stands_in_place_of_the_clients() {
        for (cdn, targeted, max_age) in [
            ("max-age=60", true, Some(60)),
            ("max-age=60;x=1, public", true, Some(60)),
            ("max-age=1, max-age=60", true, Some(60)),
            ("no-store", true, None),
            ("max-age=60, no-store=?0", true, Some(60)),
            ("no-store=?1", true, None),
            // Not a structured field, or an empty one: as if it were not there.
            ("Max-Age=60", false, Some(5)),
            ("max-age = 60", false, Some(5)),
            ("max-age=60,", false, Some(5)),
            ("max-age=", false, Some(5)),
            ("", false, Some(5)),
            // A time of another type than an integer.
            ("max-age=\"600\"", false, Some(5)),
            ("public, max-age=60.5", false, Some(5)),
            ("max-age", false, Some(5)),
            ("max-age=?1", false, Some(5)),
            ("max-age=(60)", false, Some(5)),
            ("max-age=60, stale-if-error=soon", false, Some(5)),
            ("max-age=1234567890123456", false, Some(5)),
            ("max-age=-60", true, Some(0)),
            ("max-age=60, x=(\"a\" b);c, y=:aGk=:", true, Some(60)),
        ] {
            let lines = [("cache-control", "max-age=5"), ("cdn-cache-control", cdn)];
            let directives = read(&lines);
            assert_eq!(directives.is_targeted, targeted, "{cdn}");
            assert_eq!(directives.seconds("max-age"), max_age, "{cdn}");
        }
        let both = read(&[("cache-control", "no-store"), ("cdn-cache-control", "max-age=9")]);
        assert!(!both.has("no-store"));
    }
}
