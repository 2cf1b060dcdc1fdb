//! What a request for the time or for deals means, and how it is answered.

use http::request::Parts;
use http::{HeaderValue, header};
use tiffin_api::deal::Deal;
use tiffin_api::id::DealId;
use tiffin_api::time::TimeAnswer;
use tiffin_api::{ErrorCode, Problem};
use tiffin_kit::answer::{Answer, require_read};
use tiffin_kit::cache::{Content, Fetched, Policy, Wanted, known_key};
use tiffin_kit::lang::{self, Choice};
use tiffin_kit::limits::READ_FIRST_BYTE_TIMEOUT_MS;
use tiffin_kit::path;
use tiffin_kit::query::Query;

use crate::clock::Reading;

/// The name of this cache.
const CACHE: &str = "tiffin-countdown";

/// How long definitions of deals are believed. They say nothing about now, so that nothing in them
/// ends by itself.
pub const POLICY: Policy = Policy {
    cache: CACHE,
    fresh_ms: 5_000,
    stale_while_revalidate_ms: 60_000,
    stale_if_error_ms: 24 * 3_600_000,
    absent_ms: 5_000,
    absent_codes: &[ErrorCode::DealNotFound],
    absent: deal_not_found,
    first_byte_timeout_ms: READ_FIRST_BYTE_TIMEOUT_MS,
    valid_until_ms: |_| None,
};

/// What is asked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Plan {
    /// The time.
    Time,
    /// Definitions of deals, as the core tells them.
    Definitions(Definitions),
    /// A deal's countdown.
    Countdown(DealId),
}

/// Which definitions, in which language.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Definitions {
    /// One deal, or all.
    deal: Option<DealId>,
    language: Choice,
}

/// Reads a request. The error is the answer to give.
pub fn plan(request: &Parts) -> Result<Plan, Box<Answer>> {
    enum Route<'a> {
        Time,
        Deals,
        Deal(&'a str),
        Countdown(&'a str),
    }
    let segments = path::segments(request.uri.path())?;
    let segments: Vec<&str> = segments.iter().map(AsRef::as_ref).collect();
    let route = match segments[..] {
        ["v1", "time"] => Route::Time,
        ["v1", "deals"] => Route::Deals,
        ["v1", "deals", id] => Route::Deal(id),
        ["v1", "deals", id, "countdown"] => Route::Countdown(id),
        _ => return Err(path::not_found().into()),
    };
    require_read(&request.method)?;
    let query = Query::parse(request.uri.query(), &["lang"])?;
    let language = lang::choose(&query, &request.headers)?;
    Ok(match route {
        Route::Time => Plan::Time,
        Route::Deals => Plan::Definitions(Definitions { deal: None, language }),
        Route::Deal(id) => Plan::Definitions(Definitions { deal: Some(deal_id(id)?), language }),
        Route::Countdown(id) => Plan::Countdown(deal_id(id)?),
    })
}

/// What is no id names no deal: that needs no asking.
fn deal_id(text: &str) -> Result<DealId, Box<Problem>> {
    text.parse().map_err(|_| Box::new(deal_not_found()))
}

fn deal_not_found() -> Problem {
    Problem::new(ErrorCode::DealNotFound, "no deal has this id")
}

impl Plan {
    /// What to fetch for it, if anything.
    pub fn wanted(self, traceparent: Option<HeaderValue>) -> Option<Wanted> {
        let (deal, lang) = match self {
            Self::Time => return None,
            Self::Definitions(Definitions { deal, language }) => (deal, language.lang),
            // A countdown has no words, so that one language serves all.
            Self::Countdown(id) => (Some(id), lang::DEFAULT),
        };
        let path = deal.map_or_else(|| "/v1/deals".to_owned(), |id| format!("/v1/deals/{id}"));
        let target = format!("{path}?lang={}", lang.as_str());
        Some(Wanted {
            key: format!("{CACHE}:{target}"),
            absent_key: deal.map(|_| format!("{CACHE}:{path}:absent")),
            known_key: deal.map(|id| known_key("deal", id)),
            target,
            tags: tags(deal),
            stored: true,
            bounded: false,
            traceparent,
        })
    }
}

/// The tags by which the definition of a deal, or of all, can be purged.
fn tags(deal: Option<DealId>) -> String {
    deal.map_or_else(|| "deals".to_owned(), |id| format!("deal:{id} deals"))
}

impl Definitions {
    /// The answer from what was fetched.
    pub fn answer(self, fetched: Fetched, now_ms: i64) -> Answer {
        let mut answer = fetched.into_answer(&POLICY, &tags(self.deal), now_ms);
        if answer.status.is_success() && !answer.headers.contains_key(header::CONTENT_LANGUAGE) {
            answer = answer.with(header::CONTENT_LANGUAGE, self.language.lang.as_str());
        }
        if self.language.negotiated {
            answer = answer.with(header::VARY, "Accept-Language");
        }
        answer
    }
}

/// The time.
pub fn time(reading: Reading) -> Answer {
    let Reading { now_ms, uncertainty_ms } = reading;
    Answer::json(&TimeAnswer { now_ms, uncertainty_ms })
}

/// The countdown of the deal that was fetched, at the time read. `cached_at_ms` is this host's own
/// clock, by which the cache counts.
pub fn countdown(fetched: &Fetched, reading: Reading, cached_at_ms: i64) -> Answer {
    let answer = match &fetched.entry.content {
        Content::Absent => deal_not_found().into(),
        Content::Document(document) => match serde_json::from_slice::<Deal>(&document.body) {
            Ok(deal) => Answer::json(&deal.countdown_at(reading.now_ms, reading.uncertainty_ms)),
            // The core speaks a newer version of the contract than this function.
            Err(_) => Answer::unavailable("the core's definition of this deal cannot be read here"),
        },
    };
    fetched.annotate(answer, CACHE, cached_at_ms)
}

#[cfg(test)]
mod tests {
    use super::*;
    use http::{Method, Request};
    use std::sync::Arc;
    use tiffin_api::deal::{Countdown, DealPhase, DealStatus, WARMING_MS};
    use tiffin_api::id::{ItemId, StoreId};
    use tiffin_kit::cache::{Document, Entry, Lifetime, Status};

    const START_MS: i64 = 10_000_000;
    const END_MS: i64 = 20_000_000;

    fn request(method: Method, uri: &str) -> Parts {
        Request::builder().method(method).uri(uri).body(()).unwrap().into_parts().0
    }

    fn read(uri: &str) -> Result<Option<String>, ErrorCode> {
        match plan(&request(Method::GET, uri)) {
            Ok(plan) => Ok(plan.wanted(None).map(|wanted| wanted.target)),
            Err(answer) => Err(serde_json::from_slice::<Problem>(&answer.body).unwrap().code),
        }
    }

    #[test]
    fn each_route_asks_for_the_definition_it_needs() {
        for (uri, target) in [
            ("/v1/time", Ok(None)),
            ("/v1/deals", Ok(Some("/v1/deals?lang=en"))),
            ("/v1/deals?lang=zh", Ok(Some("/v1/deals?lang=zh"))),
            ("/v1/deals/7?lang=zh", Ok(Some("/v1/deals/7?lang=zh"))),
            ("/v1/deals/7/countdown?lang=zh", Ok(Some("/v1/deals/7?lang=en"))),
            ("/v1/deals/x", Err(ErrorCode::DealNotFound)),
            ("/v1/deals/0/countdown", Err(ErrorCode::DealNotFound)),
            ("/v1/deals/7/purchases", Err(ErrorCode::RouteNotFound)),
            ("/v1/deals/%", Err(ErrorCode::BadRequest)),
            ("/v1/deals?lang=fr", Err(ErrorCode::BadRequest)),
            ("/v1/deals/7/countdown?lang=en&lang=en", Err(ErrorCode::BadRequest)),
        ] {
            assert_eq!(read(uri), target.map(|target| target.map(str::to_owned)), "{uri}");
        }
        let answer = plan(&request(Method::PUT, "/v1/time")).unwrap_err();
        assert_eq!(answer.status.as_u16(), 405);
    }

    #[test]
    fn that_a_deal_does_not_exist_is_one_fact_for_all_its_routes() {
        let absent = |uri| {
            let plan = plan(&request(Method::GET, uri)).unwrap();
            plan.wanted(None).and_then(|wanted| wanted.absent_key)
        };
        assert!(absent("/v1/deals/7").is_some());
        assert_eq!(absent("/v1/deals/7"), absent("/v1/deals/7/countdown"));
        assert_eq!(absent("/v1/deals/7"), absent("/v1/deals/7?lang=zh"));
        assert_eq!(absent("/v1/deals"), None);

        let known = |uri| {
            let plan = plan(&request(Method::GET, uri)).unwrap();
            plan.wanted(None).and_then(|wanted| wanted.known_key)
        };
        let key = Some("tiffin:known:deal:7".to_owned());
        assert_eq!((known("/v1/deals/7"), known("/v1/deals/7/countdown")), (key.clone(), key));
        assert_eq!(known("/v1/deals"), None);
    }

    fn fetched(body: &[u8]) -> Fetched {
        let content = Content::Document(Document {
            etag: "\"1\"".to_owned(),
            content_type: "application/json".to_owned(),
            content_language: None,
            body: body.to_vec().into(),
        });
        let lifetime = Lifetime::of_document(&POLICY, 0, 100, None);
        let status = Status::Hit { failure: None };
        Fetched { entry: Arc::new(Entry { content, lifetime, stamp: None }), status }
    }

    fn deal() -> Vec<u8> {
        serde_json::to_vec(&Deal {
            id: DealId::from_raw(7),
            store_id: StoreId::from_raw(1),
            item_id: ItemId::from_raw(2),
            title: "Noodle hour".to_owned(),
            price_minor: 500,
            currency: "EUR".parse().unwrap(),
            start_ms: START_MS,
            end_ms: END_MS,
            status: DealStatus::Scheduled,
            version: 3,
        })
        .unwrap()
    }

    #[test]
    fn a_countdown_is_computed_from_a_cached_definition_to_the_millisecond() {
        let fetched = fetched(&deal());
        for (now_ms, phase) in [
            (START_MS - WARMING_MS - 1, DealPhase::Scheduled),
            (START_MS - WARMING_MS, DealPhase::Warming),
            (START_MS - 1, DealPhase::Warming),
            (START_MS, DealPhase::Running),
            (END_MS - 1, DealPhase::Running),
            (END_MS, DealPhase::Ended),
        ] {
            let reading = Reading { now_ms, uncertainty_ms: Some(4) };
            let answer = countdown(&fetched, reading, 90_000);
            let countdown: Countdown = serde_json::from_slice(&answer.body).unwrap();
            assert_eq!((countdown.server_now_ms, countdown.phase), (now_ms, phase));
            assert_eq!((countdown.uncertainty_ms, countdown.version), (Some(4), 3));
            assert_eq!(answer.headers[header::CACHE_CONTROL], "no-store");
            assert!(!answer.headers.contains_key("cdn-cache-control"), "it holds what time it is");
            assert_eq!(answer.headers["cache-status"], "tiffin-countdown; hit; ttl=-85");
        }
    }

    #[test]
    fn a_definition_carries_the_tags_of_what_it_shows() {
        for (uri, tags) in [("/v1/deals", "deals"), ("/v1/deals/7", "deal:7 deals")] {
            let Ok(Plan::Definitions(definitions)) = plan(&request(Method::GET, uri)) else {
                panic!("{uri} asks for definitions")
            };
            let answer = definitions.answer(fetched(&deal()), 0);
            assert_eq!(answer.headers["surrogate-key"], tags, "{uri}");
        }
    }

    #[test]
    fn a_definition_that_cannot_be_read_is_not_guessed_at() {
        let reading = Reading { now_ms: 0, uncertainty_ms: None };
        let answer = countdown(&fetched(b"{}"), reading, 0);
        assert_eq!(answer.status.as_u16(), 503);
    }

    #[test]
    fn the_time_is_never_kept() {
        let answer = time(Reading { now_ms: 5, uncertainty_ms: None });
        assert_eq!(&answer.body[..], b"{\"now_ms\":5}");
        assert_eq!(answer.headers[header::CACHE_CONTROL], "no-store");
        assert!(!answer.headers.contains_key("cdn-cache-control"));
        let answer = time(Reading { now_ms: 5, uncertainty_ms: Some(2) });
        assert_eq!(&answer.body[..], b"{\"now_ms\":5,\"uncertainty_ms\":2}");
    }
}
