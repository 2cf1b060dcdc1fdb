//! What to answer and what to keep after the core was asked.

use super::entry::{Content, Document, Entry, Lifetime, Policy};
use super::status::Status;
use super::{Fetched, Wanted};
use crate::answer::{self, Answer, CACHE_STATUS, JSON};
use bytes::Bytes;
use http::header::{CONTENT_LANGUAGE, CONTENT_TYPE, ETAG, HeaderName};
use http::{HeaderMap, StatusCode};
use std::sync::Arc;

/// Why the core's answer cannot be used.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Failure {
    /// No connection, no answer in time, or one that broke off.
    Unreachable,
    /// An answer with this status, which says nothing about what was asked for.
    Status(u16),
    /// A body over the limit.
    TooLarge,
}

impl Failure {
    /// A token for `Cache-Status`.
    pub const fn detail(self) -> &'static str {
        match self {
            Self::Unreachable => "core-unreachable",
            Self::Status(_) => "core-error",
            Self::TooLarge => "core-answer-too-large",
        }
    }
}

/// The core refuses the request itself: a cursor it cannot read, say. Passed on, never kept.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Refusal {
    /// Its status, 4xx.
    pub status: StatusCode,
    /// Its media type.
    pub content_type: String,
    /// Its body.
    pub body: Bytes,
}

/// What the core said to a GET.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Outcome {
    /// 200.
    Document(Document),
    /// 304.
    NotModified,
    /// 404 or 410.
    Absent,
    /// Another 4xx.
    Refused(Refusal),
    /// Nothing that can be used.
    Failed(Failure),
}

/// Reads the core's answer to a GET.
pub fn classify(status: StatusCode, headers: &HeaderMap, body: Bytes) -> Outcome {
    let text = |name: HeaderName| {
        headers.get(name).and_then(|value| value.to_str().ok()).map(str::to_owned)
    };
    let content_type = text(CONTENT_TYPE).unwrap_or_else(|| JSON.to_owned());
    match status {
        StatusCode::OK => Outcome::Document(Document {
            // A weak tag would do for the cache, but the answer promises the very same bytes.
            etag: text(ETAG)
                .filter(|etag| etag.starts_with('"'))
                .unwrap_or_else(|| answer::entity_tag(&body)),
            content_type,
            content_language: text(CONTENT_LANGUAGE),
            body,
        }),
        StatusCode::NOT_MODIFIED => Outcome::NotModified,
        StatusCode::NOT_FOUND | StatusCode::GONE => Outcome::Absent,
        // These say that the edge is at fault or the core is busy, nothing about what was asked for.
        StatusCode::UNAUTHORIZED
        | StatusCode::FORBIDDEN
        | StatusCode::REQUEST_TIMEOUT
        | StatusCode::TOO_MANY_REQUESTS => Outcome::Failed(Failure::Status(status.as_u16())),
        _ if status.is_client_error() => Outcome::Refused(Refusal { status, content_type, body }),
        _ => Outcome::Failed(Failure::Status(status.as_u16())),
    }
}

/// What to do with the core's answer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Settled {
    /// Keep the entry and answer from it.
    Keep(Fetched),
    /// Answer from the entry that was here; the core failed.
    Stale(Fetched),
    /// The answer is a refusal; nothing is kept.
    Refuse(Box<Answer>),
}

/// Settles the core's answer about a key whose entry, if any, was `held`.
pub fn settle(
    policy: &Policy,
    wanted: &Wanted,
    held: Option<&Arc<Entry>>,
    outcome: Outcome,
    now_ms: i64,
    random: u64,
) -> Settled {
    let keep = |content: Content, lifetime: Lifetime, status: Status| {
        Settled::Keep(Fetched { entry: Arc::new(Entry { content, lifetime }), status })
    };
    let valid_until_ms = |document: &Document| {
        if wanted.bounded { (policy.valid_until_ms)(&document.body) } else { None }
    };
    let replaced = held.is_some();
    match outcome {
        Outcome::Document(document) => {
            let valid_until_ms = valid_until_ms(&document);
            let lifetime = Lifetime::of_document(policy, now_ms, random, valid_until_ms);
            let status = Status::Fetched { replaced, status: 200 };
            keep(Content::Document(document), lifetime, status)
        }
        Outcome::Absent => {
            let lifetime = Lifetime::of_absence(policy, now_ms, random);
            keep(Content::Absent, lifetime, Status::Fetched { replaced, status: 404 })
        }
        Outcome::NotModified => match held.map(|entry| &entry.content) {
            Some(Content::Document(document)) => {
                // The core has just confirmed these bytes: an end of validity in the past is void.
                let valid_until_ms = valid_until_ms(document).filter(|until_ms| *until_ms > now_ms);
                let lifetime = Lifetime::of_document(policy, now_ms, random, valid_until_ms);
                keep(Content::Document(document.clone()), lifetime, Status::Revalidated)
            }
            Some(Content::Absent) | None => fail(policy, held, Failure::Status(304), now_ms),
        },
        Outcome::Refused(Refusal { status, content_type, body }) => {
            let refusal = Answer::new(status, &content_type, body)
                .with(http::header::CACHE_CONTROL, answer::NO_STORE);
            let status = format!("{}; fwd=miss; fwd-status={}", policy.cache, status.as_u16());
            Settled::Refuse(Box::new(refusal.with(CACHE_STATUS, &status)))
        }
        Outcome::Failed(failure) => fail(policy, held, failure, now_ms),
    }
}

fn fail(policy: &Policy, held: Option<&Arc<Entry>>, failure: Failure, now_ms: i64) -> Settled {
    match held.filter(|entry| now_ms < entry.lifetime.stale_if_error_until_ms) {
        Some(entry) => {
            let status = Status::StaleIfError(failure);
            Settled::Stale(Fetched { entry: Arc::clone(entry), status })
        }
        None => {
            let status = Status::Unavailable(failure).header(policy.cache, None);
            let detail = "the core cannot be asked, and this has not been seen here before";
            Settled::Refuse(Box::new(Answer::unavailable(detail).with(CACHE_STATUS, &status)))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use http::HeaderValue;

    const POLICY: Policy = Policy {
        cache: "tiffin-test",
        fresh_ms: 5_000,
        stale_while_revalidate_ms: 60_000,
        stale_if_error_ms: 86_400_000,
        absent_ms: 30_000,
        first_byte_timeout_ms: 1_000,
        valid_until_ms: |body| std::str::from_utf8(body).ok()?.parse().ok(),
    };
    const NOW_MS: i64 = 100_000_000;

    fn wanted() -> Wanted {
        Wanted {
            key: "k".to_owned(),
            absent_key: None,
            target: "/v1/stores".to_owned(),
            stored: true,
            bounded: true,
            traceparent: None,
        }
    }

    fn document(body: &'static str) -> Document {
        let headers = HeaderMap::new();
        match classify(StatusCode::OK, &headers, Bytes::from_static(body.as_bytes())) {
            Outcome::Document(document) => document,
            other => panic!("{other:?}"),
        }
    }

    fn held(body: &'static str, stored_at_ms: i64) -> Arc<Entry> {
        let lifetime = Lifetime::of_document(&POLICY, stored_at_ms, 100, None);
        Arc::new(Entry { content: Content::Document(document(body)), lifetime })
    }

    fn settled(held: Option<&Arc<Entry>>, outcome: Outcome) -> Settled {
        settle(&POLICY, &wanted(), held, outcome, NOW_MS, 100)
    }

    #[test]
    fn statuses_are_told_apart() {
        for (status, expected) in [
            (304, Outcome::NotModified),
            (404, Outcome::Absent),
            (410, Outcome::Absent),
            (401, Outcome::Failed(Failure::Status(401))),
            (429, Outcome::Failed(Failure::Status(429))),
            (301, Outcome::Failed(Failure::Status(301))),
            (500, Outcome::Failed(Failure::Status(500))),
            (503, Outcome::Failed(Failure::Status(503))),
        ] {
            let status = StatusCode::from_u16(status).unwrap();
            assert_eq!(classify(status, &HeaderMap::new(), Bytes::new()), expected);
        }
        let refused = classify(StatusCode::BAD_REQUEST, &HeaderMap::new(), Bytes::new());
        assert!(matches!(refused, Outcome::Refused(_)), "{refused:?}");
    }

    #[test]
    fn a_document_keeps_the_cores_strong_tag_and_gets_one_otherwise() {
        for (tag, kept) in [("\"v7\"", true), ("W/\"v7\"", false)] {
            let headers = [(ETAG, HeaderValue::from_static(tag))].into_iter().collect();
            let outcome = classify(StatusCode::OK, &headers, Bytes::from_static(b"x"));
            let Outcome::Document(document) = outcome else { panic!("{outcome:?}") };
            let expected = if kept { tag.to_owned() } else { answer::entity_tag(b"x") };
            assert_eq!(document.etag, expected);
        }
    }

    #[test]
    fn what_the_core_sends_is_kept_for_as_long_as_it_holds() {
        let until = "100003000";
        let Settled::Keep(fetched) = settled(None, Outcome::Document(document(until))) else {
            panic!("not kept")
        };
        assert_eq!(fetched.entry.lifetime.fresh_until_ms, 100_003_000);
        assert_eq!(fetched.status, Status::Fetched { replaced: false, status: 200 });

        let unbounded = Wanted { bounded: false, ..wanted() };
        let outcome = Outcome::Document(document(until));
        let Settled::Keep(fetched) = settle(&POLICY, &unbounded, None, outcome, NOW_MS, 100) else {
            panic!("not kept")
        };
        assert_eq!(fetched.entry.lifetime.fresh_until_ms, NOW_MS + 5_000);
    }

    #[test]
    fn a_confirmed_document_lives_again() {
        let held = held("99", NOW_MS - 1_000_000);
        let Settled::Keep(fetched) = settled(Some(&held), Outcome::NotModified) else {
            panic!("not kept")
        };
        assert_eq!(fetched.entry.content, held.content);
        assert_eq!(fetched.entry.lifetime.stored_at_ms, NOW_MS);
        assert_eq!(fetched.entry.lifetime.fresh_until_ms, NOW_MS + 5_000, "its old end is void");
        assert_eq!(fetched.status, Status::Revalidated);
    }

    #[test]
    fn absence_is_kept_for_a_short_time() {
        let Settled::Keep(fetched) = settled(None, Outcome::Absent) else { panic!("not kept") };
        assert_eq!(fetched.entry.content, Content::Absent);
        assert_eq!(fetched.entry.lifetime.fresh_until_ms, NOW_MS + 30_000);
    }

    #[test]
    fn a_failing_core_leaves_the_stale_entry_or_nothing() {
        let stale = held("x", NOW_MS - 86_000_000);
        let gone = held("x", NOW_MS - 87_000_000);
        for failure in [Failure::Unreachable, Failure::Status(500), Failure::TooLarge] {
            let outcome = || Outcome::Failed(failure);
            let expected =
                Fetched { entry: Arc::clone(&stale), status: Status::StaleIfError(failure) };
            assert_eq!(settled(Some(&stale), outcome()), Settled::Stale(expected));
            for held in [None, Some(&gone)] {
                let Settled::Refuse(answer) = settled(held, outcome()) else { panic!("answered") };
                assert_eq!(answer.status, StatusCode::SERVICE_UNAVAILABLE);
                assert_eq!(answer.headers["retry-after"], "2");
            }
        }
        let strange = settled(None, Outcome::NotModified);
        assert!(matches!(strange, Settled::Refuse(_)), "nothing to confirm: {strange:?}");
    }

    #[test]
    fn a_refusal_is_passed_on_and_not_kept() {
        let body = Bytes::from_static(b"{\"code\":\"bad-request\"}");
        let outcome = classify(StatusCode::BAD_REQUEST, &HeaderMap::new(), body.clone());
        let Settled::Refuse(answer) = settled(Some(&held("x", NOW_MS)), outcome) else {
            panic!("kept")
        };
        assert_eq!((answer.status, answer.body), (StatusCode::BAD_REQUEST, body));
        assert_eq!(answer.headers["cache-control"], "no-store");
    }
}
