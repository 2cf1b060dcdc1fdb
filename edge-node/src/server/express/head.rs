//! The head of an HTTP/1.1 request in a connection's first bytes, as far as the express lane has to know it. Pure.

use bytes::Bytes;
use http::header::{CONNECTION, CONTENT_LENGTH, EXPECT, UPGRADE};
use http::request::Parts;
use http::{HeaderMap, HeaderName, HeaderValue, Method, Request, Uri, Version};

use super::framing::Framing;
use crate::limits;

/// What a connection's next bytes are.
#[expect(
    clippy::large_enum_variant,
    reason = "it is taken apart at once; a box would be made for each request"
)]
pub(super) enum Sight {
    /// Not yet a whole head.
    Partial,
    /// A request without a body.
    Whole {
        /// Its bytes, for whoever reads them next.
        bytes: Bytes,
        /// Its head, if the cache may have the answer and the connection goes on after it.
        plain: Option<Parts>,
    },
    /// The head of a request with a body.
    Leading {
        /// Its bytes.
        bytes: Bytes,
        /// Where its body ends.
        body: Framing,
    },
    /// Something whose end is not to be seen here: another protocol, or nonsense.
    Foreign,
}

/// Looks at what came from a client.
pub(super) fn look_at(input: &[u8]) -> Sight {
    // Values share these bytes, as they do with hyper.
    let input = Bytes::copy_from_slice(input);
    let mut lines = [httparse::EMPTY_HEADER; limits::MAX_EXPRESS_HEADERS];
    let mut request = httparse::Request::new(&mut lines);
    let length = match request.parse(&input) {
        Ok(httparse::Status::Complete(length)) => length,
        Ok(httparse::Status::Partial) => return Sight::Partial,
        // hyper has the words for it.
        Err(_) => return Sight::Foreign,
    };
    let Some(headers) = headers(&input, request.headers) else { return Sight::Foreign };
    if [UPGRADE, EXPECT].iter().any(|it| headers.contains_key(it)) {
        return Sight::Foreign;
    }
    let Ok(body) = Framing::of(&headers) else { return Sight::Foreign };
    let bytes = match request.path {
        Some(target) if target.contains('#') => without_fragment(&input[..length], target.len()),
        _ => input.slice(..length),
    };
    if !body.is_done() {
        // HTTP/1.0 knows no chunks.
        let is_new = request.version == Some(1);
        return if is_new { Sight::Leading { bytes, body } } else { Sight::Foreign };
    }
    let is_read = request.method == Some("GET") && request.version == Some(1);
    let stays = headers.get(CONNECTION).is_none_or(|it| it.as_bytes() == b"keep-alive");
    // A length, even of nothing, is not for the cache.
    let is_bare = !headers.contains_key(CONTENT_LENGTH);
    let target = request.path.filter(|it| is_read && stays && is_bare && !it.contains('#'));
    let uri = target.and_then(|it| Uri::from_maybe_shared(input.slice_ref(it.as_bytes())).ok());
    let plain = uri.map(|uri| {
        let mut head = Request::new(()).into_parts().0;
        (head.method, head.uri, head.version) = (Method::GET, uri, Version::HTTP_11);
        head.headers = headers;
        head
    });
    Sight::Whole { bytes, plain }
}

/// The head with a target that is no path, in place of one with a fragment: what hyper parses a URI with drops the
/// fragment without a word, and so would answer for another target. What stands there now is refused further on.
fn without_fragment(head: &[u8], target_bytes: usize) -> Bytes {
    let begin = head.iter().position(|byte| *byte == b' ').map_or(0, |space| space + 1);
    let mut head = head.to_vec();
    for byte in head.iter_mut().skip(begin).take(target_bytes) {
        if matches!(byte, b'#' | b'?') {
            *byte = b'\\';
        }
    }
    head.into()
}

/// The lines as a map. None if one is nothing that a map can hold.
fn headers(input: &Bytes, lines: &[httparse::Header<'_>]) -> Option<HeaderMap> {
    let mut headers = HeaderMap::with_capacity(lines.len());
    for line in lines {
        let name = HeaderName::from_bytes(line.name.as_bytes()).ok()?;
        let value = HeaderValue::from_maybe_shared(input.slice_ref(line.value)).ok()?;
        headers.append(name, value);
    }
    Some(headers)
}

#[cfg(test)]
mod tests {
    use super::{Sight, look_at};

    #[test]
    fn only_what_ends_with_its_head_is_whole_and_only_plain_reads_are_for_the_cache() {
        let many = format!("GET / HTTP/1.1\r\nhost: h\r\n{}\r\n", "a: b\r\n".repeat(200));
        for (input, expected) in [
            ("", "partial"),
            ("GET /a HTTP/1.1\r\nhost: h\r\n", "partial"),
            ("GET /a HTTP/1.1\r\nhost: h\r\n\r\n", "plain"),
            ("GET /a HTTP/1.1\nhost: h\n\n", "plain"),
            ("GET /a HTTP/1.1\r\nhost: h\r\nconnection: keep-alive\r\n\r\n", "plain"),
            ("GET http://h/a HTTP/1.1\r\nhost: h\r\n\r\n", "plain"),
            ("GET /a HTTP/1.1\r\nhost: h\r\nconnection: close\r\n\r\n", "whole"),
            ("GET /a HTTP/1.0\r\nhost: h\r\n\r\n", "whole"),
            ("HEAD /a HTTP/1.1\r\nhost: h\r\n\r\n", "whole"),
            ("DELETE /a HTTP/1.1\r\nhost: h\r\n\r\n", "whole"),
            ("GET /a#b HTTP/1.1\r\nhost: h\r\n\r\n", "whole"),
            ("POST /a HTTP/1.1\r\nhost: h\r\ncontent-length: 3\r\n\r\nabc", "leading"),
            ("POST /a HTTP/1.0\r\nhost: h\r\ncontent-length: 3\r\n\r\nabc", "foreign"),
            ("GET /a HTTP/1.1\r\nhost: h\r\ncontent-length: 0\r\n\r\n", "whole"),
            ("GET /a HTTP/1.1\r\nhost: h\r\ncontent-length: x\r\n\r\n", "foreign"),
            ("GET /a HTTP/1.1\r\nhost: h\r\ntransfer-encoding: chunked\r\n\r\n", "leading"),
            ("GET /a HTTP/1.1\r\nhost: h\r\ntransfer-encoding: br, chunked\r\n\r\n", "foreign"),
            ("GET /a HTTP/1.1\r\nhost: h\r\nupgrade: h2c\r\n\r\n", "foreign"),
            ("GET /a HTTP/1.1\r\nhost: h\r\nexpect: 100-continue\r\n\r\n", "foreign"),
            ("GET /a HTTP/1.1\r\nho st: h\r\n\r\n", "foreign"),
            ("PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", "foreign"),
            ("\u{1}\u{2}\u{3}", "foreign"),
            (many.as_str(), "foreign"),
        ] {
            let seen = match look_at(input.as_bytes()) {
                Sight::Partial => "partial",
                Sight::Whole { plain: Some(_), .. } => "plain",
                Sight::Whole { plain: None, .. } => "whole",
                Sight::Leading { .. } => "leading",
                Sight::Foreign => "foreign",
            };
            assert_eq!(seen, expected, "{input:?}");
        }
    }

    #[test]
    fn a_fragment_becomes_what_no_path_has() {
        for (target, given) in [("/a#b", "/a\\b"), ("/a?b#c", "/a\\b\\c"), ("/#?#", "/\\\\\\")] {
            let head = format!("GET {target} HTTP/1.1\r\nx: ?#\r\n\r\n");
            let Sight::Whole { bytes, plain: None } = look_at(head.as_bytes()) else {
                panic!("whole")
            };
            assert_eq!(bytes, head.replace(target, given));
        }
    }

    #[test]
    fn a_head_ends_where_the_next_one_begins() {
        let one = "GET /a?b HTTP/1.1\r\nhost: h\r\nx-a: 1\r\nx-a: 2\r\n\r\n";
        let input = format!("{one}GET /b HTTP/1.1\r\n");
        let Sight::Whole { bytes, plain: Some(head) } = look_at(input.as_bytes()) else {
            panic!("it is whole")
        };
        assert_eq!(bytes, one);
        assert_eq!(head.uri, "/a?b");
        assert_eq!(head.headers.get_all("x-a").iter().collect::<Vec<_>>(), ["1", "2"]);
    }
}
