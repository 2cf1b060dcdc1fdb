//! What a request for stores and menus means, and how it is answered.
//!
//! A [`Plan`] is a request in its normal form: two requests that must get the same bytes have the same
//! key. What cannot exist is refused without asking anybody.

use http::request::Parts;
use http::{HeaderValue, header};
use serde::Deserialize;
use tiffin_api::id::StoreId;
use tiffin_api::{ErrorCode, Problem};
use tiffin_kit::answer::{Answer, require_read};
use tiffin_kit::cache::{Fetched, Policy, Wanted, known_key};
use tiffin_kit::lang::{self, Choice};
use tiffin_kit::limits::READ_FIRST_BYTE_TIMEOUT_MS;
use tiffin_kit::path;
use tiffin_kit::query::{self, Query};

/// The name of this cache.
const CACHE: &str = "tiffin-menu";

/// How long stores and menus are believed.
pub const POLICY: Policy = Policy {
    cache: CACHE,
    fresh_ms: 5_000,
    stale_while_revalidate_ms: 60_000,
    stale_if_error_ms: 24 * 3_600_000,
    absent_ms: 5_000,
    absent_codes: &[ErrorCode::StoreNotFound],
    absent: store_not_found,
    first_byte_timeout_ms: READ_FIRST_BYTE_TIMEOUT_MS,
    valid_until_ms,
};

/// The most stores on a page.
const PAGE_MAX: u32 = 100;
/// The longest cursor that is passed on, bytes.
const CURSOR_MAX_BYTES: usize = 64;
/// What a moment is rounded down to, ms: opening hours have no seconds.
const MOMENT_STEP_MS: i64 = 60_000;
/// The last moment that can be asked for: the end of the year 9999.
const MOMENT_MAX_MS: i64 = 253_402_300_799_999;

/// What is asked for.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Resource {
    Stores { limit: Option<u32>, cursor: Option<String> },
    Store { id: StoreId },
    Menu { id: StoreId, at_ms: Option<i64> },
}

/// A request in its normal form.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Plan {
    resource: Resource,
    language: Choice,
}

/// Reads a request. The error is the answer to give.
pub fn plan(request: &Parts) -> Result<Plan, Box<Answer>> {
    enum Route<'a> {
        Stores,
        Store(&'a str),
        Menu(&'a str),
    }
    let segments = path::segments(request.uri.path())?;
    let segments: Vec<&str> = segments.iter().map(AsRef::as_ref).collect();
    let route = match segments[..] {
        ["v1", "stores"] => Route::Stores,
        ["v1", "stores", id] => Route::Store(id),
        ["v1", "stores", id, "menu"] => Route::Menu(id),
        _ => return Err(path::not_found().into()),
    };
    require_read(&request.method)?;
    let query = Query::parse(request.uri.query(), &["lang", "limit", "cursor", "at"])?;
    let language = lang::choose(&query, &request.headers)?;
    let resource = match route {
        Route::Stores => {
            let limit = query.number("limit", 1..=PAGE_MAX)?;
            Resource::Stores { limit, cursor: cursor(&query)? }
        }
        Route::Store(id) => Resource::Store { id: store_id(id)? },
        Route::Menu(id) => Resource::Menu { id: store_id(id)?, at_ms: moment(&query)? },
    };
    Ok(Plan { resource, language })
}

/// What is no id names no store: that needs no asking.
fn store_id(text: &str) -> Result<StoreId, Box<Problem>> {
    text.parse().map_err(|_| Box::new(store_not_found()))
}

fn store_not_found() -> Problem {
    Problem::new(ErrorCode::StoreNotFound, "no store has this id")
}

fn moment(query: &Query) -> Result<Option<i64>, Box<Problem>> {
    let at_ms = query.number("at", 0..=MOMENT_MAX_MS)?;
    Ok(at_ms.map(|at_ms| at_ms - at_ms % MOMENT_STEP_MS))
}

/// A cursor is the core's to read; here it must only be safe in a URI as it is.
fn cursor(query: &Query) -> Result<Option<String>, Box<Problem>> {
    let Some(cursor) = query.get("cursor") else { return Ok(None) };
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || b"-_.~".contains(&byte);
    if cursor.is_empty() || cursor.len() > CURSOR_MAX_BYTES || !cursor.bytes().all(plain) {
        return Err(query::bad("cursor must be a next_cursor from an earlier page"));
    }
    Ok(Some(cursor.to_owned()))
}

impl Plan {
    /// What to fetch for it.
    pub fn wanted(&self, traceparent: Option<HeaderValue>) -> Wanted {
        let lang = self.language.lang.as_str();
        let (target, absent_key, stored, bounded) = match &self.resource {
            Resource::Stores { limit, cursor } => {
                let limit = limit.map(|limit| format!("&limit={limit}")).unwrap_or_default();
                let after = cursor.as_ref().map(|cursor| format!("&cursor={cursor}"));
                let target = format!("/v1/stores?lang={lang}{limit}{}", after.unwrap_or_default());
                // Cursors can be invented: the pages after the first stay out of the store.
                (target, None, cursor.is_none(), true)
            }
            Resource::Store { id } => {
                (format!("/v1/stores/{id}?lang={lang}"), Some(id), true, true)
            }
            Resource::Menu { id, at_ms: None } => {
                (format!("/v1/stores/{id}/menu?lang={lang}"), Some(id), true, true)
            }
            // So can moments. A menu at a fixed moment holds for ever, edits apart.
            Resource::Menu { id, at_ms: Some(at_ms) } => {
                (format!("/v1/stores/{id}/menu?lang={lang}&at={at_ms}"), Some(id), false, false)
            }
        };
        Wanted {
            key: format!("{CACHE}:{target}"),
            absent_key: absent_key.map(|id| format!("{CACHE}:/v1/stores/{id}:absent")),
            known_key: absent_key.map(|id| known_key("store", id)),
            target,
            tags: self.tags(),
            stored,
            bounded,
            traceparent,
        }
    }

    /// The tags by which caches can purge the answer. A menu goes with its store, whose hours it shows.
    fn tags(&self) -> String {
        match &self.resource {
            Resource::Stores { .. } => "stores".to_owned(),
            Resource::Store { id } => format!("store:{id}"),
            Resource::Menu { id, .. } => format!("store:{id} menu:{id}"),
        }
    }

    /// The answer from what was fetched.
    pub fn answer(&self, fetched: Fetched, now_ms: i64) -> Answer {
        let answer = fetched.into_answer(&POLICY, &self.tags(), now_ms);
        let answer = if answer.status.is_success()
            && !answer.headers.contains_key(header::CONTENT_LANGUAGE)
        {
            answer.with(header::CONTENT_LANGUAGE, self.language.lang.as_str())
        } else {
            answer
        };
        if self.language.negotiated {
            return answer.with(header::VARY, "Accept-Language");
        }
        answer
    }
}

/// Until when a list, a store or a menu says that it holds.
fn valid_until_ms(body: &[u8]) -> Option<i64> {
    #[derive(Deserialize)]
    struct Validity {
        valid_until_ms: Option<i64>,
        // A store says when it next opens or closes, which is the same thing.
        changes_at_ms: Option<i64>,
    }
    let validity: Validity = serde_json::from_slice(body).ok()?;
    validity.valid_until_ms.into_iter().chain(validity.changes_at_ms).min()
}

#[cfg(test)]
mod tests {
    use super::*;
    use http::{Method, Request};
    use std::sync::Arc;
    use tiffin_kit::cache::{Content, Document, Entry, Lifetime, Status};

    fn request(method: Method, uri: &str, accept_language: Option<&str>) -> Parts {
        let mut builder = Request::builder().method(method).uri(uri);
        if let Some(value) = accept_language {
            builder = builder.header(header::ACCEPT_LANGUAGE, value);
        }
        builder.body(()).unwrap().into_parts().0
    }

    fn read(uri: &str) -> Result<Wanted, ErrorCode> {
        match plan(&request(Method::GET, uri, None)) {
            Ok(plan) => Ok(plan.wanted(None)),
            Err(answer) => Err(serde_json::from_slice::<Problem>(&answer.body).unwrap().code),
        }
    }

    #[test]
    fn each_route_asks_the_core_in_its_normal_form() {
        for (uri, target, stored, bounded) in [
            ("/v1/stores", "/v1/stores?lang=en", true, true),
            ("/v1/stores/?utm=x", "/v1/stores?lang=en", true, true),
            ("/v1/stores?limit=020&lang=zh", "/v1/stores?lang=zh&limit=20", true, true),
            ("/v1/stores?cursor=a-1", "/v1/stores?lang=en&cursor=a-1", false, true),
            ("/v1/stores/42", "/v1/stores/42?lang=en", true, true),
            ("/v1/stores/%34%32", "/v1/stores/42?lang=en", true, true),
            ("/v1/stores/42/menu", "/v1/stores/42/menu?lang=en", true, true),
            ("/v1/stores/42/menu?at=119999", "/v1/stores/42/menu?lang=en&at=60000", false, false),
        ] {
            let wanted = read(uri).unwrap();
            assert_eq!(wanted.target, target, "{uri}");
            assert_eq!(wanted.key, format!("tiffin-menu:{target}"), "{uri}");
            assert_eq!((wanted.stored, wanted.bounded), (stored, bounded), "{uri}");
        }
    }

    #[test]
    fn that_a_store_does_not_exist_is_one_fact_for_all_its_routes() {
        let absent_key = |uri| read(uri).unwrap().absent_key;
        let of_store = absent_key("/v1/stores/42");
        assert!(of_store.is_some());
        assert_eq!(of_store, absent_key("/v1/stores/42?lang=zh"));
        assert_eq!(of_store, absent_key("/v1/stores/42/menu?at=5"));
        assert_ne!(of_store, absent_key("/v1/stores/43"));
        assert_eq!(absent_key("/v1/stores"), None);

        let known_key = |uri| read(uri).unwrap().known_key;
        let key = Some("tiffin:known:store:42".to_owned());
        assert_eq!(known_key("/v1/stores/42"), key);
        assert_eq!(known_key("/v1/stores/42/menu?at=5"), key);
        assert_eq!(known_key("/v1/stores"), None);
    }

    #[test]
    fn what_cannot_be_is_refused_without_asking() {
        for (uri, code) in [
            ("/v1/stores/abc", ErrorCode::StoreNotFound),
            ("/v1/stores/007/menu", ErrorCode::StoreNotFound),
            ("/v1/stores/1%2Fmenu", ErrorCode::BadRequest),
            ("/v1/stores/%zz", ErrorCode::BadRequest),
            ("/v1/stores/42/hours", ErrorCode::RouteNotFound),
            ("/v1/stores/42/menu/1", ErrorCode::RouteNotFound),
            ("/v1/stores?limit=0", ErrorCode::BadRequest),
            ("/v1/stores?limit=101", ErrorCode::BadRequest),
            ("/v1/stores?limit=5&limit=5", ErrorCode::BadRequest),
            ("/v1/stores?cursor=", ErrorCode::BadRequest),
            ("/v1/stores?cursor=a%26lang", ErrorCode::BadRequest),
            ("/v1/stores?lang=fr", ErrorCode::BadRequest),
            ("/v1/stores/42/menu?at=now", ErrorCode::BadRequest),
            ("/v1/stores/42/menu?at=-1", ErrorCode::BadRequest),
            ("/v1/stores/42/menu?at=9223372036854775807", ErrorCode::BadRequest),
        ] {
            assert_eq!(read(uri), Err(code), "{uri}");
        }
        let answer = plan(&request(Method::POST, "/v1/stores", None)).unwrap_err();
        assert_eq!(answer.status.as_u16(), 405);
        assert_eq!(answer.headers[header::ALLOW], "GET, HEAD");
    }

    fn fetched(content: Content) -> Fetched {
        let lifetime = Lifetime::of_document(&POLICY, 0, 100, None);
        let status = Status::Hit { failure: None };
        Fetched { entry: Arc::new(Entry { content, lifetime, stamp: None }), status }
    }

    #[test]
    fn an_answer_varies_with_the_header_only_if_it_was_asked() {
        let document = Document {
            etag: "\"1\"".to_owned(),
            content_type: "application/json".to_owned(),
            content_language: None,
            body: b"{}".as_slice().into(),
        };
        for (uri, accept, vary, language) in [
            ("/v1/stores", Some("zh-CN, en;q=0.1"), true, "zh"),
            ("/v1/stores", None, true, "en"),
            ("/v1/stores?lang=en", Some("zh"), false, "en"),
        ] {
            let plan = plan(&request(Method::GET, uri, accept)).unwrap();
            let answer = plan.answer(fetched(Content::Document(document.clone())), 0);
            assert_eq!(answer.headers.contains_key(header::VARY), vary, "{uri} {accept:?}");
            assert_eq!(answer.headers[header::CONTENT_LANGUAGE], language, "{uri} {accept:?}");
        }
    }

    #[test]
    fn an_answer_carries_the_tags_of_what_it_shows() {
        for (uri, tags) in [
            ("/v1/stores?limit=5", "stores"),
            ("/v1/stores/42", "store:42"),
            ("/v1/stores/42/menu?at=60000", "store:42 menu:42"),
        ] {
            let plan = plan(&request(Method::GET, uri, None)).unwrap();
            let answer = plan.answer(fetched(Content::Absent), 0);
            assert_eq!(answer.headers["surrogate-key"], tags, "{uri}");
        }
    }

    #[test]
    fn a_missing_store_is_a_problem() {
        let plan = plan(&request(Method::GET, "/v1/stores/42", None)).unwrap();
        let answer = plan.answer(fetched(Content::Absent), 0);
        assert_eq!(answer.status.as_u16(), 404);
        let problem: Problem = serde_json::from_slice(&answer.body).unwrap();
        assert_eq!(problem.code, ErrorCode::StoreNotFound);
    }

    #[test]
    fn a_body_holds_until_its_earliest_change() {
        for (body, expected) in [
            (r#"{"valid_until_ms":5,"stores":[{"changes_at_ms":1}]}"#, Some(5)),
            (r#"{"changes_at_ms":7,"open":true}"#, Some(7)),
            (r#"{"valid_until_ms":9,"changes_at_ms":7}"#, Some(7)),
            (r#"{"valid_until_ms":null}"#, None),
            ("{}", None),
            ("not json", None),
        ] {
            assert_eq!(valid_until_ms(body.as_bytes()), expected, "{body}");
        }
    }
}
