//! What makes two requests the same to the cache, and which requests it answers at all.
//!
//! The primary key is host, path and query, for GET and HEAD alike, and the version if the component has two. Under it stands a short list of variants; each
//! knows the request headers that its `Vary` names and the values they had. Pure.

use http::header::{
    AUTHORIZATION, COOKIE, IF_MATCH, IF_MODIFIED_SINCE, IF_NONE_MATCH, IF_RANGE,
    IF_UNMODIFIED_SINCE, RANGE, VARY,
};
use http::request::Parts;
use http::{HeaderMap, HeaderName, Method, Uri};

use super::weight::allocated;
use crate::canary::Choice;
use crate::limits;

/// No URI has a space.
const APART: char = ' ';

/// What a request is to the cache.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Asked {
    /// It may be answered from the cache.
    Read(Read),
    /// It goes to the function as it is; why, as a token for `Cache-Status`.
    Through(&'static str),
    /// It may change what it names.
    Write,
}

/// A read and whose it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Read {
    pub(super) is_head: bool,
    /// It asks for a part.
    pub(super) has_range: bool,
    pub(super) has_authorization: bool,
    pub(super) has_cookie: bool,
}

impl Asked {
    /// Reads a request's head.
    pub(super) fn of(head: &Parts, has_body: bool) -> Self {
        let is_head = head.method == Method::HEAD;
        if !is_head && head.method != Method::GET {
            return if head.method == Method::OPTIONS {
                Self::Through("method")
            } else {
                Self::Write
            };
        }
        if has_body {
            return Self::Through("body");
        }
        // Conditions on what only the function can know are left to it.
        if [IF_MATCH, IF_UNMODIFIED_SINCE].iter().any(|name| head.headers.contains_key(name)) {
            return Self::Through("condition");
        }
        Self::Read(Read {
            is_head,
            has_range: !is_head && head.headers.contains_key(RANGE),
            has_authorization: head.headers.contains_key(AUTHORIZATION),
            has_cookie: head.headers.contains_key(COOKIE),
        })
    }
}

impl Read {
    /// Whether nothing in it tells who asks: only then is its fetch shared with others.
    pub(super) fn is_anonymous(self) -> bool {
        !self.has_authorization && !self.has_cookie
    }
}

/// The primary key of a request: its URI's, apart for the second version of a component.
pub(super) fn versioned(head: &Parts) -> String {
    let mut key = primary(&head.uri);
    if let Some(canary) = head.extensions.get::<Choice>().and_then(|it| it.canary.as_deref()) {
        key.push(APART);
        key.push_str(canary);
    }
    key
}

/// The part of a key that all versions share.
pub(super) fn shared(key: &str) -> &str {
    key.split(APART).next().unwrap_or(key)
}

/// The primary key of a URI. Requests are absolute when they come here.
pub(super) fn primary(uri: &Uri) -> String {
    let host = uri.authority().map_or("", |authority| authority.as_str());
    let target = uri.path_and_query().map_or("/", |target| target.as_str());
    let mut key = String::with_capacity(host.len() + target.len());
    key.push_str(host);
    key.make_ascii_lowercase();
    key.push_str(target);
    key
}

/// Takes out what asks for less than a whole answer: an entry is made of whole ones.
pub(super) fn make_unconditional(headers: &mut HeaderMap) {
    for name in [IF_NONE_MATCH, IF_MODIFIED_SINCE, RANGE, IF_RANGE] {
        headers.remove(name);
    }
}

/// The headers that chose a variant, and the values they had.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(super) struct Secondary(Box<[(HeaderName, Option<Value>)]>);

/// All lines of a header as one.
type Value = Box<[u8]>;

impl Secondary {
    /// What `answer` varies by, with the values of `request`. None if it names too many headers.
    pub(super) fn of(answer: &HeaderMap, request: &HeaderMap) -> Option<Self> {
        let values = answer.get_all(VARY).iter().filter_map(|value| value.to_str().ok());
        let names = values.flat_map(|value| value.split(',')).map(str::trim);
        let mut names = names
            .filter(|name| !name.is_empty())
            .map(|name| name.parse::<HeaderName>().ok())
            .collect::<Option<Vec<_>>>()?;
        names.sort_unstable_by(|a, b| a.as_str().cmp(b.as_str()));
        names.dedup();
        (names.len() <= limits::MAX_VARY_NAMES).then(|| {
            let value = |name: HeaderName| {
                let value = joined(request, &name);
                (name, value)
            };
            Self(names.into_iter().map(value).collect())
        })
    }

    /// Whether a request chooses this variant.
    pub(super) fn fits(&self, request: &HeaderMap) -> bool {
        self.0.iter().all(|(name, value)| {
            let mut lines = request.get_all(name).iter();
            match (lines.next(), lines.next()) {
                (None, _) => value.is_none(),
                (Some(line), None) => value.as_deref() == Some(line.as_bytes()),
                (Some(_), Some(_)) => *value == joined(request, name),
            }
        })
    }

    /// Appends to a flight's key what tells a request from others of the same primary key.
    pub(super) fn extend_key(&self, key: &mut String, request: &HeaderMap) {
        for (name, _) in &self.0 {
            let value = joined(request, name);
            let value = value.as_deref().map(String::from_utf8_lossy);
            // No header has a newline.
            key.push('\n');
            key.push_str(value.as_deref().unwrap_or("\n"));
        }
    }

    /// What it takes in memory, beside itself.
    pub(super) fn bytes(&self) -> usize {
        let value = |value: &Option<Value>| value.as_ref().map_or(0, |it| allocated(it.len()));
        // Names that are not well-known have a piece of their own.
        let names = self.0.iter().map(|(name, of)| allocated(name.as_str().len()) + value(of));
        allocated(size_of_val(&*self.0)) + names.sum::<usize>()
    }
}

/// All lines of a header as one. Source: RFC 9110, section 5.3.
fn joined(headers: &HeaderMap, name: &HeaderName) -> Option<Value> {
    let mut lines = headers.get_all(name).iter();
    let mut all = lines.next()?.as_bytes().to_vec();
    for line in lines {
        all.extend_from_slice(b", ");
        all.extend_from_slice(line.as_bytes());
    }
    Some(all.into_boxed_slice())
}

#[cfg(test)]
mod tests {
    use http::{HeaderMap, Request};

    use super::{Asked, Read, Secondary, primary};
    use crate::limits;

    #[test]
    fn the_host_is_the_same_in_any_case_and_the_path_is_not() {
        let key = |uri: &str| primary(&uri.parse().unwrap());
        assert_eq!(key("http://Shop.example/A?b=C"), "shop.example/A?b=C");
        assert_eq!(key("http://shop.example"), "shop.example/");
        assert_ne!(key("http://shop.example/a"), key("http://shop.example/A"));
        assert_ne!(key("http://shop.example/a"), key("http://shop.example:81/a"));
        assert_ne!(key("http://shop.example/a?x"), key("http://shop.example/a"));
    }

    #[test]
    fn only_plain_reads_are_answered_from_the_cache() {
        let read = |is_head, has_authorization, has_cookie| {
            Asked::Read(Read { is_head, has_range: false, has_authorization, has_cookie })
        };
        let part =
            Read { is_head: false, has_range: true, has_authorization: false, has_cookie: false };
        for (method, header, has_body, expected) in [
            ("GET", "x-any", false, read(false, false, false)),
            ("HEAD", "x-any", false, read(true, false, false)),
            ("GET", "authorization", false, read(false, true, false)),
            ("GET", "cookie", false, read(false, false, true)),
            ("GET", "if-none-match", false, read(false, false, false)),
            ("GET", "x-any", true, Asked::Through("body")),
            ("GET", "range", false, Asked::Read(part)),
            ("HEAD", "range", false, read(true, false, false)),
            ("GET", "if-range", false, read(false, false, false)),
            ("GET", "if-match", false, Asked::Through("condition")),
            ("GET", "if-unmodified-since", false, Asked::Through("condition")),
            ("OPTIONS", "x-any", false, Asked::Through("method")),
            ("POST", "x-any", true, Asked::Write),
            ("DELETE", "x-any", false, Asked::Write),
            ("PURGE", "x-any", false, Asked::Write),
        ] {
            let request = Request::builder().method(method).uri("http://h/").header(header, "x");
            let head = request.body(()).unwrap().into_parts().0;
            assert_eq!(Asked::of(&head, has_body), expected, "{method} {header}");
        }
    }

    fn headers(lines: &[(&'static str, &str)]) -> HeaderMap {
        let mut headers = HeaderMap::new();
        for (name, value) in lines {
            headers.append(*name, value.parse().unwrap());
        }
        headers
    }

    #[test]
    fn a_variant_fits_the_requests_that_chose_alike() {
        let asked = headers(&[("accept-language", "zh"), ("x-a", "1"), ("x-a", "2")]);
        let vary = headers(&[("vary", "Accept-Language, X-B"), ("vary", "x-a, x-b")]);
        let variant = Secondary::of(&vary, &asked).unwrap();
        let language = ("accept-language", "zh");
        for (request, fits) in [
            (headers(&[language, ("x-a", "1"), ("x-a", "2"), ("x-other", "y")]), true),
            (headers(&[language, ("x-a", "1, 2")]), true),
            (headers(&[language, ("x-a", "1")]), false),
            (headers(&[("accept-language", "en"), ("x-a", "1, 2")]), false),
            (headers(&[language, ("x-a", "1, 2"), ("x-b", "")]), false),
            (headers(&[]), false),
        ] {
            assert_eq!(variant.fits(&request), fits, "{request:?}");
            let same = Secondary::of(&vary, &request).unwrap() == variant;
            assert_eq!(same, fits, "{request:?}");
            let key = |request: &HeaderMap| {
                let mut key = String::new();
                variant.extend_key(&mut key, request);
                key
            };
            assert_eq!(key(&request) == key(&asked), fits, "{request:?}");
        }
        assert!(Secondary::of(&headers(&[]), &asked).unwrap().fits(&headers(&[])));
    }

    #[test]
    fn an_answer_that_varies_by_too_much_has_no_variant() {
        let names = |count: usize| (0..count).map(|n| format!("x-{n},")).collect::<String>();
        let of = |count| Secondary::of(&headers(&[("vary", &names(count))]), &headers(&[]));
        assert!(of(limits::MAX_VARY_NAMES).is_some());
        assert!(of(limits::MAX_VARY_NAMES + 1).is_none());
        assert!(Secondary::of(&headers(&[("vary", "no header")]), &headers(&[])).is_none());
    }
}
