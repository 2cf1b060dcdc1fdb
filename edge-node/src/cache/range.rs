//! Parts of a stored whole answer (RFC 9110, section 14): which bytes a request asks for. Pure.
//!
//! One range of bytes is served; whatever else a `Range` may say (several ranges, other units, what cannot be read) counts
//! as not said, and the whole is the answer. Parts are of the body as it is: a coding is made anew on each node, and parts of
//! two of them must not be put together.

use std::ops::Range;

use http::header::{IF_RANGE, RANGE};
use http::{HeaderMap, HeaderValue};

/// What is to be sent.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Wanted {
    /// All of it.
    Whole,
    /// These bytes.
    Part(Range<usize>),
    /// Bytes that are not there.
    Nothing,
}

/// What a request wants of a body of `length` bytes with these validators.
pub(super) fn wanted(
    request: &HeaderMap,
    length: usize,
    tag: Option<&HeaderValue>,
    modified: Option<&HeaderValue>,
    date: Option<&HeaderValue>,
) -> Wanted {
    let mut ranges = request.get_all(RANGE).iter();
    let (Some(range), None) = (ranges.next(), ranges.next()) else { return Wanted::Whole };
    if request.get_all(IF_RANGE).iter().any(|shown| !is_same(shown, tag, modified, date)) {
        return Wanted::Whole;
    }
    range.to_str().ok().and_then(|range| bytes(range, length)).unwrap_or(Wanted::Whole)
}

/// Whether who shows this validator has a part of the very same bytes. Source: RFC 9110, section 13.1.5.
fn is_same(
    shown: &HeaderValue,
    tag: Option<&HeaderValue>,
    modified: Option<&HeaderValue>,
    date: Option<&HeaderValue>,
) -> bool {
    if shown.as_bytes().ends_with(b"\"") {
        // By strong comparison: a weak tag may stand for other bytes.
        return !shown.as_bytes().starts_with(b"W/") && Some(shown) == tag;
    }
    let date_of = |value: &HeaderValue| httpdate::parse_http_date(value.to_str().ok()?).ok();
    let dates = [Some(shown), modified, date].map(|value| value.and_then(date_of));
    // What was changed in the second in which it was sent may have been changed again in it.
    matches!(dates, [Some(shown), Some(modified), Some(sent)] if shown == modified && modified < sent)
}

/// Reads a `Range` of one range of bytes; none if it is something else.
fn bytes(text: &str, length: usize) -> Option<Wanted> {
    let (unit, set) = text.split_once('=')?;
    if !unit.trim().eq_ignore_ascii_case("bytes") {
        return None;
    }
    // Members of a list may be empty.
    let mut members = set.split(',').map(str::trim).filter(|member| !member.is_empty());
    let (first, last) = members.next()?.split_once('-')?;
    if members.next().is_some() {
        return None;
    }
    if first.is_empty() {
        let suffix = position(last)?;
        return match (suffix, length) {
            (0, _) => Some(Wanted::Nothing),
            // There is no way to say which bytes of none these are.
            (_, 0) => None,
            _ => Some(Wanted::Part(length.saturating_sub(suffix)..length)),
        };
    }
    let first = position(first)?;
    let end = if last.is_empty() { length } else { position(last)?.saturating_add(1) };
    if !last.is_empty() && end <= first {
        return None;
    }
    Some(if first < length { Wanted::Part(first..end.min(length)) } else { Wanted::Nothing })
}

/// A position; one that no number holds is beyond every body.
fn position(text: &str) -> Option<usize> {
    let is_number = !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
    is_number.then(|| text.parse().unwrap_or(usize::MAX - 1))
}

#[cfg(test)]
mod tests {
    use http::{HeaderMap, HeaderValue};

    use super::Wanted::{self, Nothing, Part, Whole};
    use super::wanted;

    fn ask(lines: &[(&'static str, &str)], length: usize, tag: Option<&'static str>) -> Wanted {
        let mut request = HeaderMap::new();
        for (name, value) in lines {
            request.append(*name, value.parse().unwrap());
        }
        let tag = tag.map(HeaderValue::from_static);
        let modified = HeaderValue::from_static("Sun, 06 Nov 1994 08:49:37 GMT");
        let date = HeaderValue::from_static("Sun, 06 Nov 1994 08:49:38 GMT");
        wanted(&request, length, tag.as_ref(), Some(&modified), Some(&date))
    }

    #[test]
    fn one_range_of_bytes_is_understood() {
        for (range, length, expected) in [
            ("bytes=0-3", 9, Part(0..4)),
            ("bytes=2-2", 9, Part(2..3)),
            ("bytes=4-", 9, Part(4..9)),
            ("bytes=4-99", 9, Part(4..9)),
            ("bytes=-3", 9, Part(6..9)),
            ("bytes=-99", 9, Part(0..9)),
            ("BYTES = 1-2 ", 9, Part(1..3)),
            ("bytes=,1-2,", 9, Part(1..3)),
            ("bytes=1-99999999999999999999999", 9, Part(1..9)),
            ("bytes=9-", 9, Nothing),
            ("bytes=10-20", 9, Nothing),
            ("bytes=99999999999999999999999-", 9, Nothing),
            ("bytes=-0", 9, Nothing),
            ("bytes=0-", 0, Nothing),
            ("bytes=-5", 0, Whole),
            ("bytes=3-2", 9, Whole),
            ("bytes=0-1,4-5", 9, Whole),
            ("bytes=a-b", 9, Whole),
            ("bytes=1", 9, Whole),
            ("bytes=-", 9, Whole),
            ("bytes=+1-2", 9, Whole),
            ("bytes=", 9, Whole),
            ("bytes", 9, Whole),
            ("items=0-1", 9, Whole),
        ] {
            assert_eq!(ask(&[("range", range)], length, None), expected, "{range}");
        }
        assert_eq!(ask(&[], 9, None), Whole);
        assert_eq!(ask(&[("range", "bytes=0-1"), ("range", "bytes=0-1")], 9, None), Whole);
    }

    #[test]
    fn parts_are_only_given_of_what_the_client_has_begun() {
        for (shown, tag, is_same) in [
            ("\"v1\"", Some("\"v1\""), true),
            ("\"v1\"", Some("\"v2\""), false),
            ("\"v1;br\"", Some("\"v1\""), false),
            ("W/\"v1\"", Some("W/\"v1\""), false),
            ("W/\"v1\"", Some("\"v1\""), false),
            ("\"v1\"", Some("W/\"v1\""), false),
            ("\"v1\"", None, false),
            ("Sun, 06 Nov 1994 08:49:37 GMT", None, true),
            ("Sun, 06 Nov 1994 08:49:36 GMT", None, false),
            ("Sun, 06 Nov 1994 08:49:38 GMT", None, false),
            ("yesterday", None, false),
        ] {
            let expected = if is_same { Part(1..3) } else { Whole };
            let lines = [("range", "bytes=1-2"), ("if-range", shown)];
            assert_eq!(ask(&lines, 9, tag), expected, "{shown} {tag:?}");
        }
        assert_eq!(ask(&[("if-range", "\"v1\"")], 9, Some("\"v1\"")), Whole);
    }
}
