//! Conditional reads of a stored answer: whether the client has it already. Pure.
//!
//! A strong entity tag names bytes, so that each coding of a body has a tag of its own: `"v1"` as it is, `"v1;br"` in
//! Brotli (RFC 9110, section 8.8.3.3). A client that shows any of them has the current content; it is told so under the
//! very tag that it showed, because only for that one it can use the news. A weak tag names content and is the same
//! for all codings.

use std::time::SystemTime;

use http::header::{IF_MODIFIED_SINCE, IF_NONE_MATCH};
use http::{HeaderMap, HeaderValue};

use super::encode::{Coding, MADE};

/// The entity tag of a coding, made from that of the body as it is.
pub(super) fn tag_in(coding: Coding, tag: &str) -> String {
    match tag.strip_suffix('"') {
        Some(start) if coding != Coding::Identity && !tag.starts_with("W/") => {
            format!("{start};{}\"", coding.name())
        }
        _ => tag.to_owned(),
    }
}

/// Whether a request asks only for what the client does not have.
pub(super) fn is_conditional(request: &HeaderMap) -> bool {
    request.contains_key(IF_NONE_MATCH) || request.contains_key(IF_MODIFIED_SINCE)
}

/// Whether the client has what is stored, whose tag is `tag` and which is of the moment `modified`: then in which coding it holds it; `selected` is what it
/// would be sent, and what it is told if it does not say.
pub(super) fn held_coding(
    request: &HeaderMap,
    tag: Option<&str>,
    modified: Option<&HeaderValue>,
    selected: Coding,
) -> Option<Coding> {
    if request.contains_key(IF_NONE_MATCH) {
        let lists = request.get_all(IF_NONE_MATCH).iter();
        let mut lists = lists.filter_map(|list| list.to_str().ok());
        return lists.find_map(|list| matched(list, tag, selected));
    }
    let since = date(request.get(IF_MODIFIED_SINCE)?)?;
    let modified = date(modified?)?;
    (modified <= since).then_some(selected)
}

/// Looks for the tag in a list, by weak comparison. A tag may hold commas: the list is read tag by tag, and what cannot be
/// read matches nothing.
fn matched(list: &str, tag: Option<&str>, selected: Coding) -> Option<Coding> {
    if list.trim() == "*" {
        return Some(selected);
    }
    let opaque = |tag: &str| tag.strip_prefix("W/").unwrap_or(tag).to_owned();
    let tag = tag?;
    // What would be sent comes first: a weak tag fits them all.
    let codings = [selected, Coding::Identity].into_iter().chain(MADE);
    let known: Vec<_> = codings.map(|coding| (opaque(&tag_in(coding, tag)), coding)).collect();
    let mut rest = list;
    loop {
        rest = rest.trim_start_matches([',', ' ', '\t']);
        let candidate = rest.strip_prefix("W/").unwrap_or(rest);
        let end = candidate.strip_prefix('"')?.find('"')?;
        let (shown, after) = candidate.split_at(end + 2);
        if let Some((_, coding)) = known.iter().find(|(known, _)| known == shown) {
            return Some(*coding);
        }
        rest = after;
    }
}

fn date(value: &HeaderValue) -> Option<SystemTime> {
    httpdate::parse_http_date(value.to_str().ok()?).ok()
}

#[cfg(test)]
mod tests {
    use http::{HeaderMap, HeaderValue};

    use super::super::encode::Coding::{self, Brotli, Gzip, Identity};
    use super::{held_coding, tag_in};

    fn headers(lines: &[(&'static str, &str)]) -> HeaderMap {
        lines.iter().map(|(n, v)| (n.parse().unwrap(), v.parse().unwrap())).collect()
    }

    #[test]
    fn each_coding_of_a_strong_tag_has_its_own() {
        for (coding, tag, expected) in [
            (Identity, "\"a\"", "\"a\""),
            (Brotli, "\"a\"", "\"a;br\""),
            (Gzip, "\"a\"", "\"a;gzip\""),
            (Brotli, "W/\"a\"", "W/\"a\""),
            (Brotli, "bare", "bare"),
        ] {
            assert_eq!(tag_in(coding, tag), expected);
        }
    }

    #[test]
    fn a_client_has_it_in_the_coding_whose_tag_it_shows() {
        let table: &[(&str, &str, Option<Coding>)] = &[
            ("\"a\"", "\"a\"", Some(Identity)),
            ("\"a\"", "\"a;br\"", Some(Brotli)),
            ("\"a\"", "W/\"a;gzip\"", Some(Gzip)),
            ("\"a\"", "\"x,y\" , \"b\",\"a;br\"", Some(Brotli)),
            ("\"a\"", "*", Some(Gzip)),
            ("W/\"a\"", "\"a\"", Some(Gzip)),
            ("W/\"a\"", "W/\"a\"", Some(Gzip)),
            ("\"a\"", "\"b\"", None),
            ("\"a\"", "\"a;deflate\"", None),
            ("\"a\"", "a", None),
            ("\"a\"", "\"a", None),
            ("\"a\"", "", None),
            ("\"a\"", "\"*\"", None),
        ];
        for (tag, list, expected) in table {
            let request = headers(&[("if-none-match", list)]);
            let held = held_coding(&request, Some(tag), None, Gzip);
            assert_eq!(held, *expected, "{tag} {list}");
        }
        let any = headers(&[("if-none-match", "\"a\"")]);
        assert_eq!(held_coding(&any, None, None, Gzip), None, "nothing to compare");
    }

    #[test]
    fn dates_count_only_without_tags() {
        let modified = HeaderValue::from_static("Sun, 06 Nov 1994 08:49:37 GMT");
        for (lines, expected) in [
            (vec![("if-modified-since", "Sun, 06 Nov 1994 08:49:37 GMT")], true),
            (vec![("if-modified-since", "Sunday, 06-Nov-94 08:49:38 GMT")], true),
            (vec![("if-modified-since", "Sun, 06 Nov 1994 08:49:36 GMT")], false),
            (vec![("if-modified-since", "yesterday")], false),
            (
                vec![
                    ("if-none-match", "\"b\""),
                    ("if-modified-since", "Sun, 06 Nov 1994 08:49:37 GMT"),
                ],
                false,
            ),
            (vec![], false),
        ] {
            let held = held_coding(&headers(&lines), Some("\"a\""), Some(&modified), Identity);
            assert_eq!(held.is_some(), expected, "{lines:?}");
        }
    }
}
