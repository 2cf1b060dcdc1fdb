//! What to answer and what to keep after the core was asked.
//!
//! Whatever stands between here and the core may answer in its place: a proxy with an error page, a
//! portal with a login. Only what has the form of the core's own answers is believed; everything else
//! counts as a core that failed, and leaves what is kept as it is.

use super::entry::{Content, Document, Entry, Lifetime, Policy};
use super::generation::Stamp;
use super::status::Status;
use super::{Fetched, Wanted};
use crate::answer::{self, Answer, CACHE_STATUS, JSON, is_of_type};
use bytes::Bytes;
use http::header::{CACHE_CONTROL, CONTENT_LANGUAGE, CONTENT_TYPE, ETAG, HeaderName};
use http::{HeaderMap, StatusCode};
use std::sync::Arc;
use tiffin_api::{Problem, problem};

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

    /// Whether other keys would fare no better. A core that answers one key badly is there for others.
    pub const fn concerns_all_keys(self) -> bool {
        match self {
            Self::Unreachable => true,
            Self::Status(_) | Self::TooLarge => false,
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
    /// 200 with JSON.
    Document(Document),
    /// 304.
    NotModified,
    /// 404 with a problem that says so.
    Absent {
        /// For how long it may be believed, if the core said.
        max_age_ms: Option<u64>,
    },
    /// Another 4xx with a problem.
    Refused(Refusal),
    /// Nothing that can be used.
    Failed(Failure),
}

/// Reads the core's answer to a GET.
pub fn classify(policy: &Policy, status: StatusCode, headers: &HeaderMap, body: Bytes) -> Outcome {
    let text = |name: HeaderName| {
        headers.get(name).and_then(|value| value.to_str().ok()).map(str::to_owned)
    };
    let failed = Outcome::Failed(Failure::Status(status.as_u16()));
    match status {
        StatusCode::OK if is_of_type(headers, JSON) => Outcome::Document(Document {
            // A weak tag would do for the cache, but the answer promises the very same bytes.
            etag: text(ETAG)
                .filter(|etag| etag.starts_with('"'))
                .unwrap_or_else(|| answer::entity_tag(&body)),
            content_type: text(CONTENT_TYPE).unwrap_or_else(|| JSON.to_owned()),
            content_language: text(CONTENT_LANGUAGE),
            body,
        }),
        StatusCode::NOT_MODIFIED => Outcome::NotModified,
        StatusCode::NOT_FOUND if says_absent(policy, headers, &body) => {
            Outcome::Absent { max_age_ms: max_age_ms(headers) }
        }
        // These say that the edge is at fault or the core is busy, nothing about what was asked for.
        StatusCode::NOT_FOUND
        | StatusCode::GONE
        | StatusCode::UNAUTHORIZED
        | StatusCode::FORBIDDEN
        | StatusCode::REQUEST_TIMEOUT
        | StatusCode::TOO_MANY_REQUESTS => failed,
        _ if status.is_client_error() && is_of_type(headers, problem::CONTENT_TYPE) => {
            let content_type = problem::CONTENT_TYPE.to_owned();
            Outcome::Refused(Refusal { status, content_type, body })
        }
        _ => failed,
    }
}

fn says_absent(policy: &Policy, headers: &HeaderMap, body: &[u8]) -> bool {
    is_of_type(headers, problem::CONTENT_TYPE)
        && serde_json::from_slice::<Problem>(body)
            .is_ok_and(|problem| policy.absent_codes.contains(&problem.code))
}

/// `max-age` (RFC 9111, section 5.2.2.1), if there is one that can be read.
fn max_age_ms(headers: &HeaderMap) -> Option<u64> {
    let lines = headers.get_all(CACHE_CONTROL).into_iter().filter_map(|line| line.to_str().ok());
    let mut pairs = lines.flat_map(|line| line.split(',')).filter_map(|it| it.split_once('='));
    let (_, value) = pairs.find(|(name, _)| name.trim().eq_ignore_ascii_case("max-age"))?;
    let seconds: u64 = value.trim().trim_matches('"').parse().ok()?;
    Some(seconds.saturating_mul(1_000))
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

/// What the core was asked, and with what in hand.
#[derive(Debug, Clone, Copy)]
pub struct Question<'a> {
    /// How long its answer is believed.
    pub policy: &'a Policy,
    /// What was wanted.
    pub wanted: &'a Wanted,
    /// The entry that was here.
    pub held: Option<&'a Arc<Entry>>,
    /// How far the host's purges were before.
    pub stamp: Option<Stamp>,
}

/// Settles the core's answer to a question.
pub fn settle(
    Question { policy, wanted, held, stamp }: Question<'_>,
    outcome: Outcome,
    now_ms: i64,
    random: u64,
) -> Settled {
    let keep = |content: Content, lifetime: Lifetime, status: Status| {
        Settled::Keep(Fetched { entry: Arc::new(Entry { content, lifetime, stamp }), status })
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
        Outcome::Absent { max_age_ms } => {
            let lifetime = Lifetime::of_absence(policy, now_ms, random, max_age_ms);
            keep(Content::Absent, lifetime, Status::Fetched { replaced, status: 404 })
        }
        Outcome::NotModified => match held.map(|entry| &entry.content) {
            Some(Content::Document(document)) => {
                // That the bytes are the same does not make them hold longer than they say: past its
                // own end a confirmed document is asked for again each time.
                let valid_until_ms = valid_until_ms(document);
                let lifetime = Lifetime::of_document(policy, now_ms, random, valid_until_ms);
                keep(Content::Document(document.clone()), lifetime, Status::Revalidated)
            }
            Some(Content::Absent) | None => fail(policy, held, Failure::Status(304), now_ms),
        },
        Outcome::Refused(Refusal { status, content_type, body }) => {
            let refusal =
                Answer::new(status, &content_type, body).with(CACHE_CONTROL, answer::NO_STORE);
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
    use super::super::{Decision, decide};
    use super::*;
    use http::HeaderValue;
    use tiffin_api::ErrorCode;

    const POLICY: Policy = Policy {
        cache: "tiffin-test",
        fresh_ms: 5_000,
        stale_while_revalidate_ms: 60_000,
        stale_if_error_ms: 86_400_000,
        absent_ms: 5_000,
        absent_codes: &[ErrorCode::StoreNotFound],
        absent: || Problem::new(ErrorCode::StoreNotFound, ""),
        first_byte_timeout_ms: 1_000,
        valid_until_ms: |body| std::str::from_utf8(body).ok()?.parse().ok(),
    };
    const NOW_MS: i64 = 100_000_000;

    fn wanted() -> Wanted {
        Wanted {
            key: "k".to_owned(),
            absent_key: None,
            known_key: None,
            target: "/v1/stores".to_owned(),
            tags: String::new(),
            stored: true,
            bounded: true,
            traceparent: None,
        }
    }

    fn typed(content_type: &'static str) -> HeaderMap {
        HeaderMap::from_iter([(CONTENT_TYPE, HeaderValue::from_static(content_type))])
    }

    fn read(status: u16, content_type: &'static str, body: &str) -> Outcome {
        let status = StatusCode::from_u16(status).unwrap();
        classify(&POLICY, status, &typed(content_type), Bytes::copy_from_slice(body.as_bytes()))
    }

    fn problem(code: ErrorCode) -> String {
        serde_json::to_string(&Problem::new(code, "")).unwrap()
    }

    fn document(body: &'static str) -> Document {
        match read(200, JSON, body) {
            Outcome::Document(document) => document,
            other => panic!("{other:?}"),
        }
    }

    fn held(body: &'static str, stored_at_ms: i64) -> Arc<Entry> {
        let lifetime = Lifetime::of_document(&POLICY, stored_at_ms, 100, None);
        Arc::new(Entry { content: Content::Document(document(body)), lifetime, stamp: None })
    }

    fn question<'a>(wanted: &'a Wanted, held: Option<&'a Arc<Entry>>) -> Question<'a> {
        Question { policy: &POLICY, wanted, held, stamp: None }
    }

    fn settled(held: Option<&Arc<Entry>>, outcome: Outcome) -> Settled {
        settle(question(&wanted(), held), outcome, NOW_MS, 100)
    }

    #[test]
    fn statuses_are_told_apart() {
        assert_eq!(read(304, JSON, ""), Outcome::NotModified);
        for status in [301, 401, 403, 408, 410, 429, 500, 503] {
            let body = problem(ErrorCode::StoreNotFound);
            let expected = Outcome::Failed(Failure::Status(status));
            assert_eq!(read(status, problem::CONTENT_TYPE, &body), expected, "{status}");
        }
        let refused = read(400, problem::CONTENT_TYPE, "{}");
        assert!(matches!(refused, Outcome::Refused(_)), "{refused:?}");
    }

    #[test]
    fn only_what_has_the_form_of_the_cores_answers_is_believed() {
        let absent = Outcome::Absent { max_age_ms: None };
        let store = problem(ErrorCode::StoreNotFound);
        assert_eq!(read(404, problem::CONTENT_TYPE, &store), absent);
        assert_eq!(read(404, "application/problem+json; charset=utf-8", &store), absent);
        assert!(matches!(read(200, "application/json;charset=utf-8", "{}"), Outcome::Document(_)));

        let route = problem(ErrorCode::RouteNotFound);
        for (status, content_type, body) in [
            (404, problem::CONTENT_TYPE, route.as_str()),
            (404, problem::CONTENT_TYPE, "<html>"),
            (404, JSON, &store),
            (404, "text/html", &store),
            (400, "text/html", "<html>"),
            (200, "text/html", "<html>"),
            (200, problem::CONTENT_TYPE, &store),
            (204, JSON, ""),
        ] {
            let outcome = read(status, content_type, body);
            assert_eq!(outcome, Outcome::Failed(Failure::Status(status)), "{status} {body}");
            let held = held("x", NOW_MS - 1_000_000);
            let settled = settled(Some(&held), outcome);
            assert!(matches!(settled, Settled::Stale(_)), "{status} {body}: {settled:?}");
        }
        let bare = classify(&POLICY, StatusCode::OK, &HeaderMap::new(), Bytes::new());
        assert_eq!(bare, Outcome::Failed(Failure::Status(200)));
    }

    #[test]
    fn only_a_core_that_cannot_be_reached_is_gone_for_every_key() {
        assert!(Failure::Unreachable.concerns_all_keys());
        assert!(!Failure::Status(500).concerns_all_keys());
        assert!(!Failure::TooLarge.concerns_all_keys());
    }

    #[test]
    fn a_document_keeps_the_cores_strong_tag_and_gets_one_otherwise() {
        for (tag, kept) in [("\"v7\"", true), ("W/\"v7\"", false)] {
            let mut headers = typed(JSON);
            headers.insert(ETAG, HeaderValue::from_static(tag));
            let outcome = classify(&POLICY, StatusCode::OK, &headers, Bytes::from_static(b"x"));
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
        let Settled::Keep(fetched) = settle(question(&unbounded, None), outcome, NOW_MS, 100)
        else {
            panic!("not kept")
        };
        assert_eq!(fetched.entry.lifetime.fresh_until_ms, NOW_MS + 5_000);
    }

    #[test]
    fn a_confirmed_document_lives_again_but_never_past_its_own_end() {
        for (until, fresh_until_ms, next) in [
            ("200000000", NOW_MS + 5_000, Decision::Fresh),
            ("100003000", NOW_MS + 3_000, Decision::Fresh),
            ("99", NOW_MS, Decision::Revalidate { usable_if_error: true }),
        ] {
            let held = held(until, NOW_MS - 1_000_000);
            let Settled::Keep(fetched) = settled(Some(&held), Outcome::NotModified) else {
                panic!("not kept")
            };
            assert_eq!(fetched.entry.content, held.content);
            assert_eq!(fetched.entry.lifetime.stored_at_ms, NOW_MS);
            assert_eq!(fetched.entry.lifetime.fresh_until_ms, fresh_until_ms, "until {until}");
            assert_eq!(decide(Some(&fetched.entry), NOW_MS), next, "until {until}");
            assert_eq!(fetched.status, Status::Revalidated);
        }
    }

    #[test]
    fn absence_is_kept_for_a_short_time() {
        for (cache_control, max_age_ms, kept_ms) in [
            (None, None, 5_000),
            (Some("no-transform, Max-Age=\"2\""), Some(2_000), 2_000),
            (Some("public, max-age=600"), Some(600_000), 5_000),
            (Some("public, s-maxage=1"), None, 5_000),
            (Some("max-age=soon"), None, 5_000),
        ] {
            let mut headers = typed(problem::CONTENT_TYPE);
            headers.extend(cache_control.map(|it| (CACHE_CONTROL, HeaderValue::from_static(it))));
            let body = Bytes::from(problem(ErrorCode::StoreNotFound));
            let outcome = classify(&POLICY, StatusCode::NOT_FOUND, &headers, body);
            assert_eq!(outcome, Outcome::Absent { max_age_ms }, "{cache_control:?}");
            let Settled::Keep(fetched) = settled(None, outcome) else { panic!("not kept") };
            assert_eq!(fetched.entry.content, Content::Absent);
            let fresh_until_ms = fetched.entry.lifetime.fresh_until_ms;
            assert_eq!(fresh_until_ms, NOW_MS + kept_ms, "{cache_control:?}");
        }
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
        let headers = typed(problem::CONTENT_TYPE);
        let outcome = classify(&POLICY, StatusCode::BAD_REQUEST, &headers, body.clone());
        let Settled::Refuse(answer) = settled(Some(&held("x", NOW_MS)), outcome) else {
            panic!("kept")
        };
        assert_eq!((answer.status, answer.body), (StatusCode::BAD_REQUEST, body));
        assert_eq!(answer.headers["cache-control"], "no-store");
    }
}
