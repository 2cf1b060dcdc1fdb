//! One spelling for each path, before anything is routed, kept or tagged by it.
//!
//! A URI can be written in many ways (`/v1/stores`, `/v1/%73tores`). Whoever routes by one spelling and keeps answers
//! by another reaches the wrong function, or keeps a copy that no purge finds. So every door of edge and core takes a
//! path through [`canonical`] first, and what has no canonical form is refused.
//!
//! Source: RFC 3986, sections 2.1, 2.3, 3.3 and 6.2.2. An empty segment (`//`) and a slash at the end are segments of
//! their own there, so such paths are other paths, and are left as they are.

use std::borrow::Cow;
use std::fmt::Write as _;

/// Why a path has no canonical form.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, thiserror::Error)]
pub enum Reason {
    /// It does not begin with a slash.
    #[error("a path must begin with a slash")]
    NotAbsolute,
    /// A `#`: what follows it is for the client alone and never sent.
    #[error("a request target has no fragment")]
    Fragment,
    /// A byte that no path has, unless it is escaped.
    #[error("the path has a character that must be percent-encoded")]
    NotUri,
    /// A `%` without two hexadecimal digits after it.
    #[error("each % in the path must be followed by two hexadecimal digits")]
    Escape,
    /// An escaped slash or backslash, which some read as a separator.
    #[error("the path must not have an escaped slash or backslash")]
    Separator,
    /// An escaped control character.
    #[error("the path must not have an escaped control character")]
    Control,
    /// Escapes that are no UTF-8.
    #[error("the escapes in the path must be UTF-8")]
    NotUtf8,
    /// A segment `.` or `..`, escaped or not.
    #[error("the path must not have dots alone between slashes")]
    Dots,
}

/// The canonical form of a path without its query: escapes of unreserved characters are decoded, others have capital
/// letters.
///
/// # Errors
/// What keeps it from having one.
pub fn canonical(path: &str) -> Result<Cow<'_, str>, Reason> {
    if !path.starts_with('/') {
        return Err(if path.contains('#') { Reason::Fragment } else { Reason::NotAbsolute });
    }
    let form = match path.find('%') {
        None => {
            check_plain(path)?;
            Cow::Borrowed(path)
        }
        Some(first) => rewritten(path, first)?,
    };
    // After the escapes are decoded, so that `%2e` is a dot.
    if form.split('/').any(|segment| matches!(segment, "." | "..")) {
        return Err(Reason::Dots);
    }
    Ok(form)
}

/// A path with at least one escape, the first at `first`.
fn rewritten(path: &str, first: usize) -> Result<Cow<'_, str>, Reason> {
    let mut form = String::with_capacity(path.len());
    // What the escapes stand for, each run of them apart: only there can a character take several.
    let mut run = Vec::new();
    let (head, mut rest) = path.split_at(first);
    check_plain(head)?;
    form.push_str(head);
    while let Some(escaped) = rest.strip_prefix('%') {
        let byte = decoded(escaped)?;
        rest = &escaped[2..];
        if is_unreserved(byte) {
            form.push(char::from(byte));
        } else {
            _ = write!(form, "%{byte:02X}");
        }
        run.push(byte);
        if !rest.starts_with('%') {
            check_run(&run)?;
            run.clear();
            let plain = rest.find('%').unwrap_or(rest.len());
            let (plain, after) = rest.split_at(plain);
            check_plain(plain)?;
            form.push_str(plain);
            rest = after;
        }
    }
    Ok(if form == path { Cow::Borrowed(path) } else { Cow::Owned(form) })
}

/// The byte that two hexadecimal digits stand for.
fn decoded(escaped: &str) -> Result<u8, Reason> {
    let digit = |at: usize| {
        let digit = escaped.as_bytes().get(at).map(|byte| char::from(*byte).to_digit(16));
        digit.flatten().and_then(|digit| u8::try_from(digit).ok()).ok_or(Reason::Escape)
    };
    Ok(digit(0)? << 4 | digit(1)?)
}

fn check_run(run: &[u8]) -> Result<(), Reason> {
    let text = std::str::from_utf8(run).map_err(|_| Reason::NotUtf8)?;
    if text.contains(['/', '\\']) {
        Err(Reason::Separator)
    } else if text.chars().any(char::is_control) {
        Err(Reason::Control)
    } else {
        Ok(())
    }
}

/// Checks what stands between escapes. Source: `pchar` and the slash, RFC 3986, section 3.3.
fn check_plain(text: &str) -> Result<(), Reason> {
    let is_plain = |byte: u8| is_unreserved(byte) || b"/!$&'()*+,;=:@".contains(&byte);
    match text.bytes().find(|byte| !is_plain(*byte)) {
        None => Ok(()),
        Some(b'#') => Err(Reason::Fragment),
        Some(_) => Err(Reason::NotUri),
    }
}

/// Source: RFC 3986, section 2.3.
const fn is_unreserved(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'.' | b'_' | b'~')
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn spellings_of_one_path_have_one_form() {
        for (spelling, form) in [
            ("/", "/"),
            ("/v1/deals", "/v1/deals"),
            ("/%76%31/de%61ls", "/v1/deals"),
            ("/%7eme/%2D%5f%2E%2ehidden", "/~me/-_..hidden"),
            ("/caf%c3%a9", "/caf%C3%A9"),
            ("/a%3ab%2c%20c", "/a%3Ab%2C%20c"),
            ("/100%25", "/100%25"),
            ("/%2541", "/%2541"),
            ("/a:b@c!$&'()*+,;=", "/a:b@c!$&'()*+,;="),
        ] {
            assert_eq!(canonical(spelling).as_deref(), Ok(form), "{spelling}");
        }
    }

    #[test]
    fn empty_segments_and_slashes_at_the_end_make_other_paths() {
        for path in ["//", "/v1//deals", "/v1/deals/", "//v1/deals", "/v1/deals//"] {
            assert!(matches!(canonical(path), Ok(Cow::Borrowed(form)) if form == path), "{path}");
        }
    }

    #[test]
    fn what_has_no_canonical_form_is_refused() {
        for (path, reason) in [
            ("", Reason::NotAbsolute),
            ("*", Reason::NotAbsolute),
            ("v1/deals", Reason::NotAbsolute),
            ("/a#b", Reason::Fragment),
            ("/%41#", Reason::Fragment),
            ("/a b", Reason::NotUri),
            ("/a?b", Reason::NotUri),
            ("/a\\b", Reason::NotUri),
            ("/{id}", Reason::NotUri),
            ("/a|b", Reason::NotUri),
            ("/é", Reason::NotUri),
            ("/a\0", Reason::NotUri),
            ("/%", Reason::Escape),
            ("/%4", Reason::Escape),
            ("/%4g", Reason::Escape),
            ("/%+1", Reason::Escape),
            ("/%é", Reason::Escape),
            ("/%%41", Reason::Escape),
            ("/a%2fb", Reason::Separator),
            ("/a%5Cb", Reason::Separator),
            ("/a%00", Reason::Control),
            ("/a%0d%0ab", Reason::Control),
            ("/a%7f", Reason::Control),
            ("/a%c2%85", Reason::Control),
            ("/%ff", Reason::NotUtf8),
            ("/%c0%af", Reason::NotUtf8),
            ("/%e9%9d", Reason::NotUtf8),
            ("/.", Reason::Dots),
            ("/v1/../admin", Reason::Dots),
            ("/v1/%2e%2E/admin", Reason::Dots),
            ("/v1/.%2e", Reason::Dots),
            ("/v1/%2e/deals", Reason::Dots),
        ] {
            assert_eq!(canonical(path), Err(reason), "{path:?}");
        }
    }

    /// A path and another spelling of it.
    fn respelled() -> impl Strategy<Value = (String, String)> {
        let piece = prop_oneof![
            8 => proptest::char::ranges(vec!['a'..='z', 'A'..='Z', '0'..='9'].into()),
            2 => proptest::sample::select(vec!['-', '_', '~', '/']),
        ];
        proptest::collection::vec((piece, any::<bool>(), any::<bool>()), 0..40).prop_map(|pieces| {
            let (mut path, mut spelling) = ("/".to_owned(), "/".to_owned());
            for (piece, is_escaped, is_capital) in pieces {
                path.push(piece);
                let code = u32::from(piece);
                match (is_escaped && piece != '/', is_capital) {
                    (false, _) => spelling.push(piece),
                    (true, false) => _ = write!(spelling, "%{code:02x}"),
                    (true, true) => _ = write!(spelling, "%{code:02X}"),
                }
            }
            (path, spelling)
        })
    }

    proptest! {
        #[test]
        fn however_a_path_is_spelled_its_form_is_the_same((path, spelling) in respelled()) {
            let form = canonical(&spelling);
            prop_assert_eq!(form.as_deref(), Ok(&*path));
        }

        #[test]
        fn a_form_is_its_own_form_and_never_longer(path in "(/|%[0-9a-fA-F]{2}|[ -~]){0,24}") {
            if let Ok(form) = canonical(&path) {
                prop_assert!(form.len() <= path.len());
                prop_assert!(matches!(canonical(&form), Ok(Cow::Borrowed(again)) if again == form));
            }
        }
    }
}
