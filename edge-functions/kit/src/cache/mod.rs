//! Cached fetches: instance memory, then the key-value store, then the core.
//!
//! An [`Entry`] is what the core said about one key. [`decide`] tells what it is good for now, and after
//! the core was asked, [`settle`] tells what to answer and what to keep; both are pure. The adapter
//! `spin::fetch` walks the levels and does what they say.
//!
//! # How long an answer lives
//!
//! | until | an entry is | what happens |
//! |---|---|---|
//! | `fresh_until_ms` | fresh | it is the answer |
//! | `stale_while_revalidate_until_ms` | stale | it is the answer; the core is asked in the background (RFC 5861) |
//! | `stale_if_error_until_ms` | stale | the core is asked first; it is the answer if the core cannot |
//! | later | gone | the core is asked |
//!
//! An entry whose tags the host has purged since it was asked for lives no longer; after a soft purge it still stands in
//! for a core that cannot answer (`generation`).
//!
//! Lifetimes are jittered, so that keys stored together do not expire together. A document that says
//! until when it holds is neither fresh nor served while revalidating after that moment. That something
//! does not exist is kept as well, for a short time and no longer than the core allows. Errors are never kept,
//! and what does not have the form of the core's own answers counts as an error.
//!
//! # What a diner is told
//!
//! Every answer carries `Age` and `Cache-Status` (RFC 9211), whose first word is the function:
//!
//! | `Cache-Status` | meaning |
//! |---|---|
//! | `tiffin-menu; hit; ttl=4` | fresh |
//! | `tiffin-menu; hit; ttl=-12` | stale, being refreshed in the background |
//! | `tiffin-menu; hit; ttl=-90; detail=core-unreachable` | stale; the core failed a moment ago, and nobody waits for it |
//! | `tiffin-menu; fwd=stale; ttl=-90; detail=core-unreachable` | stale; the core was asked and did not answer |
//! | `tiffin-menu; fwd=stale; fwd-status=500; ttl=-90; detail=core-error` | stale; the core answered with an error |
//! | `tiffin-menu; fwd=stale; fwd-status=304; ttl=5; stored` | the core confirmed what was here |
//! | `tiffin-menu; fwd=miss; fwd-status=200; ttl=5; stored` | fetched just now |
//! | `tiffin-menu; hit; detail=unknown-id` | the host knows that there is no such thing; nobody keeps that answer |
//! | `tiffin-menu; fwd=miss; detail=core-unreachable` | nothing here, and the core did not answer: 503 |
//!
//! A negative `ttl` therefore marks every stale answer.

mod decide;
mod entry;
mod generation;
mod known;
mod memory;
mod settle;
mod status;

pub use decide::{Decision, decide, later, memory_suffices};
pub use entry::{Content, Document, Entry, Lifetime, Policy};
pub use generation::{Generation, Stamp};
pub use known::{is_denied, known_key, may_deny};
pub use memory::Memory;
pub use settle::{Failure, Outcome, Question, Refusal, Settled, classify, settle};
pub use status::Status;

use crate::answer::{Answer, CACHE_STATUS, CDN_CACHE_CONTROL, SURROGATE_KEY};
use http::HeaderValue;
use http::StatusCode;
use http::header::{AGE, CACHE_CONTROL, CONTENT_LANGUAGE, ETAG};
use sha2::{Digest as _, Sha256};
use std::sync::Arc;

/// What to fetch, and where to keep it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Wanted {
    /// Names the document at every level; at most 255 bytes, starts with the function's name.
    pub key: String,
    /// Names the fact that the thing does not exist, whatever the language or moment asked for.
    pub absent_key: Option<String>,
    /// The key under which the host may know that the thing does not exist ([`known_key`]).
    pub known_key: Option<String>,
    /// Path and query at the core.
    pub target: String,
    /// The tags by which it can be purged, between spaces; none if nothing purges it.
    pub tags: String,
    /// Whether the key-value store keeps it too. Not for keys that a client can invent at will.
    pub stored: bool,
    /// Whether the document's own end of validity bounds its lifetime here.
    pub bounded: bool,
    /// The request's `traceparent`, passed on.
    pub traceparent: Option<HeaderValue>,
}

/// An entry to answer from, and how it was come by.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Fetched {
    /// What the core said.
    pub entry: Arc<Entry>,
    /// How it was come by.
    pub status: Status,
}

impl Fetched {
    /// The whole answer for a document that anybody may see, or that there is none. Caches in front of the function keep
    /// either under `tags`, by which it can be purged.
    pub fn into_answer(self, policy: &Policy, tags: &str, now_ms: i64) -> Answer {
        let answer = match &self.entry.content {
            Content::Absent => Answer::from((policy.absent)()),
            Content::Document(document) => {
                let answer =
                    Answer::new(StatusCode::OK, &document.content_type, document.body.clone())
                        .with(ETAG, &document.etag)
                        .with(CACHE_CONTROL, &self.entry.lifetime.cache_control());
                match &document.content_language {
                    Some(language) => answer.with(CONTENT_LANGUAGE, language),
                    None => answer,
                }
            }
        };
        let answer = answer
            .with(CDN_CACHE_CONTROL, &self.entry.lifetime.cdn_cache_control())
            .with(SURROGATE_KEY, tags);
        self.annotate(answer, policy.cache, now_ms)
    }

    /// Adds `Age` and `Cache-Status` to an answer made from the entry.
    pub fn annotate(&self, answer: Answer, cache: &str, now_ms: i64) -> Answer {
        let lifetime = &self.entry.lifetime;
        answer
            .with(AGE, &lifetime.age_s(now_ms).to_string())
            .with(CACHE_STATUS, &self.status.header(cache, Some(lifetime.ttl_s(now_ms))))
    }
}

/// The answer where the host knows that there is no such thing. Ids can be invented without end, so no cache keeps it: the
/// host says the same again at no cost.
pub fn denied(policy: &Policy) -> Answer {
    Answer::from((policy.absent)()).with(CACHE_STATUS, &Status::Denied.header(policy.cache, None))
}

/// The key-value key of a negative entry: one of a fixed number of slots. The entry's own key is part
/// of the value, so that a shared slot is a miss and never a mistake.
pub fn absent_slot(cache: &str, absent_key: &str) -> String {
    let digest = Sha256::digest(absent_key);
    let number = digest.iter().take(8).fold(0_u64, |number, byte| number << 8 | u64::from(*byte));
    format!("{cache}:absent:{}", number % crate::limits::ABSENT_SLOTS)
}

#[cfg(test)]
mod tests {
    use super::*;
    use bytes::Bytes;
    use tiffin_api::{ErrorCode, Problem};

    const POLICY: Policy = Policy {
        cache: "tiffin-menu",
        fresh_ms: 5_000,
        stale_while_revalidate_ms: 60_000,
        stale_if_error_ms: 1_000_000,
        absent_ms: 5_000,
        absent_codes: &[ErrorCode::StoreNotFound],
        absent: || Problem::new(ErrorCode::StoreNotFound, ""),
        first_byte_timeout_ms: 1_000,
        valid_until_ms: |_| None,
    };

    fn fetched(content: Content) -> Fetched {
        let lifetime = Lifetime {
            stored_at_ms: 10_000,
            fresh_until_ms: 15_000,
            stale_while_revalidate_until_ms: 75_000,
            stale_if_error_until_ms: 1_000_000,
        };
        Fetched {
            entry: Arc::new(Entry { content, lifetime, stamp: None }),
            status: Status::Hit { failure: None },
        }
    }

    #[test]
    fn an_answer_tells_its_age_and_how_it_was_come_by() {
        let document = Document {
            etag: "\"v1\"".to_owned(),
            content_type: "application/json".to_owned(),
            content_language: Some("zh".to_owned()),
            body: Bytes::from_static(b"{}"),
        };
        let answer =
            fetched(Content::Document(document)).into_answer(&POLICY, "store:7 menu:7", 27_000);
        let header = |name: &str| answer.headers[name].to_str().unwrap();
        assert_eq!(header("age"), "17");
        assert_eq!(header("cache-control"), "public, max-age=5");
        assert_eq!(
            header("cdn-cache-control"),
            "public, max-age=5, stale-while-revalidate=60, stale-if-error=985"
        );
        assert_eq!(header("surrogate-key"), "store:7 menu:7");
        assert_eq!(header("cache-status"), "tiffin-menu; hit; ttl=-12");
        assert_eq!(header("etag"), "\"v1\"");
        assert_eq!(header("content-language"), "zh");
    }

    #[test]
    fn what_does_not_exist_is_a_problem_with_a_cache_status() {
        let answer = fetched(Content::Absent).into_answer(&POLICY, "store:7", 10_000);
        assert_eq!(answer.status, StatusCode::NOT_FOUND);
        assert_eq!(answer.headers["cache-status"], "tiffin-menu; hit; ttl=5");
        assert_eq!(answer.headers["cache-control"], "no-store", "for clients");
        let caches = &answer.headers["cdn-cache-control"];
        assert!(caches.to_str().unwrap().starts_with("public, max-age=5, "), "{caches:?}");
        assert_eq!(answer.headers["surrogate-key"], "store:7");

        let denied = denied(&POLICY);
        assert_eq!((denied.status, &denied.body), (answer.status, &answer.body));
        assert_eq!(denied.headers["cache-status"], "tiffin-menu; hit; detail=unknown-id");
        assert_eq!(denied.headers["cache-control"], "no-store");
        assert!(!denied.headers.contains_key("cdn-cache-control"), "ids can be made up");
    }

    #[test]
    fn absent_slots_are_bounded_and_stable() {
        let slot = absent_slot("tiffin-menu", "store/42");
        assert_eq!(slot, absent_slot("tiffin-menu", "store/42"));
        let number: u64 = slot.rsplit(':').next().unwrap().parse().unwrap();
        assert!(number < crate::limits::ABSENT_SLOTS);
    }
}
