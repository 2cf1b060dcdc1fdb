//! Whether the host knows that something does not exist.
//!
//! edge-node has from the core which ids exist, and answers `no` in every key-value store, under a key that nobody can
//! write, for an id that surely does not. Under Spin there is no such key, and the core is asked.

use super::entry::{Content, Entry};
use std::fmt::Display;

/// The key under which the host denies the thing of a kind with an id.
pub fn known_key(kind: &str, id: impl Display) -> String {
    format!("tiffin:known:{kind}:{id}")
}

/// Whether the host's answer is that there is no such thing.
pub fn is_denied(answer: Option<&[u8]>) -> bool {
    answer == Some(b"no")
}

/// Whether the host's word can stand for a trip to the core, given what is kept. Where the core was once seen to have
/// it, the core is asked: if that is gone, the core says so.
pub fn may_deny(held: Option<&Entry>) -> bool {
    held.is_none_or(|entry| entry.content == Content::Absent)
}

#[cfg(test)]
mod tests {
    use super::super::{Document, Lifetime};
    use super::*;

    #[test]
    fn only_a_plain_no_denies() {
        assert_eq!(known_key("store", 42), "tiffin:known:store:42");
        for (answer, denied) in [
            (None, false),
            (Some("no"), true),
            (Some(""), false),
            (Some("No"), false),
            (Some("no "), false),
            (Some("maybe"), false),
        ] {
            assert_eq!(is_denied(answer.map(str::as_bytes)), denied, "{answer:?}");
        }
    }

    #[test]
    fn what_the_core_has_shown_is_not_denied_by_the_host() {
        let document = Document {
            etag: "\"1\"".to_owned(),
            content_type: "application/json".to_owned(),
            content_language: None,
            body: b"{}".as_slice().into(),
        };
        let entry = |content| Entry {
            content,
            stamp: None,
            lifetime: Lifetime {
                stored_at_ms: 0,
                fresh_until_ms: 0,
                stale_while_revalidate_until_ms: 0,
                stale_if_error_until_ms: 0,
            },
        };
        assert!(may_deny(None));
        assert!(may_deny(Some(&entry(Content::Absent))));
        assert!(!may_deny(Some(&entry(Content::Document(document)))));
    }
}
