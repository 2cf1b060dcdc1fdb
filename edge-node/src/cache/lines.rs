//! The headers of a stored answer, as one piece of memory.
//!
//! A map of headers takes a kilobyte for ten of them, and each value a piece of its own. What is stored by the hundred
//! thousand is kept as it goes over the wire instead: `name: value`, line by line. A hit on HTTP/1.1 copies that; others
//! get a map whose values share it.

use bytes::Bytes;
use http::header::{HeaderMap, HeaderName, HeaderValue};

/// Headers, each as `name: value` and the end of a line.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Lines(Bytes);

impl Lines {
    /// The same headers, in one piece that is as long as it must be.
    pub(super) fn of(headers: &HeaderMap) -> Self {
        let length =
            |(name, value): (&HeaderName, &HeaderValue)| name.as_str().len() + value.len() + 4;
        let mut text = Vec::with_capacity(headers.iter().map(length).sum());
        for (name, value) in headers {
            push(&mut text, name, value.as_bytes());
        }
        Self(text.into())
    }

    /// A header's first value.
    pub(super) fn get(&self, name: &HeaderName) -> Option<HeaderValue> {
        let (_, value) = self.ranges().find(|(known, _)| *known == name.as_str().as_bytes())?;
        HeaderValue::from_maybe_shared(self.0.slice(value)).ok()
    }

    /// As a map, with room for `more` headers.
    pub(super) fn to_map(&self, more: usize) -> HeaderMap {
        let mut map = HeaderMap::with_capacity(self.ranges().count() + more);
        for (name, value) in self.ranges() {
            let value = HeaderValue::from_maybe_shared(self.0.slice(value));
            if let (Ok(name), Ok(value)) = (HeaderName::from_bytes(name), value) {
                map.append(name, value);
            }
        }
        map
    }

    /// Appends all lines to `out`, without those of one header if it is named.
    pub(super) fn copy_to(&self, out: &mut Vec<u8>, without: Option<&HeaderName>) {
        let Some(without) = without else { return out.extend_from_slice(&self.0) };
        for (name, value) in self.ranges() {
            if name != without.as_str().as_bytes() {
                out.extend_from_slice(&self.0[value.start - name.len() - 2..value.end + 2]);
            }
        }
    }

    /// How many bytes the lines are.
    pub(super) fn len(&self) -> usize {
        self.0.len()
    }

    /// Each name, and where its value is.
    fn ranges(&self) -> impl Iterator<Item = (&[u8], std::ops::Range<usize>)> {
        let mut at = 0;
        std::iter::from_fn(move || {
            let rest = self.0.get(at..).filter(|rest| !rest.is_empty())?;
            // No name has a colon, and no value the end of a line.
            let name = rest.iter().position(|byte| *byte == b':')?;
            let line = rest.iter().position(|byte| *byte == b'\r')?;
            let value = at + name + 2..at + line;
            at += line + 2;
            Some((&rest[..name], value))
        })
    }
}

/// Appends one line.
pub(super) fn push(out: &mut Vec<u8>, name: &HeaderName, value: &[u8]) {
    out.extend_from_slice(name.as_str().as_bytes());
    out.extend_from_slice(b": ");
    out.extend_from_slice(value);
    out.extend_from_slice(b"\r\n");
}

#[cfg(test)]
mod tests {
    use http::HeaderMap;
    use http::header::{ETAG, LINK, SERVER};

    use super::Lines;

    #[test]
    fn headers_come_back_as_they_were() {
        let mut headers = HeaderMap::new();
        for (name, value) in [
            ("etag", &b"\"a: b\""[..]),
            ("link", b"</a>; rel=x"),
            ("x-empty", b""),
            ("link", b"</b>, </c>"),
            ("x-latin", b"caf\xe9: \t1"),
        ] {
            headers.append(name, value.try_into().unwrap());
        }
        let lines = Lines::of(&headers);
        assert_eq!(lines.to_map(3), headers);
        assert_eq!(lines.get(&ETAG).unwrap(), "\"a: b\"");
        assert_eq!(lines.get(&LINK).unwrap(), "</a>; rel=x");
        assert_eq!(lines.get(&SERVER), None);
        let mut out = Vec::new();
        lines.copy_to(&mut out, None);
        assert_eq!(out.len(), lines.len());
        out.clear();
        lines.copy_to(&mut out, Some(&LINK));
        assert_eq!(out, b"etag: \"a: b\"\r\nx-empty: \r\nx-latin: caf\xe9: \t1\r\n");
        assert_eq!(Lines::of(&HeaderMap::new()).to_map(0), HeaderMap::new());
    }
}
