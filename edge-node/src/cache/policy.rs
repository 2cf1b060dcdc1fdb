//! Whether an answer is kept, and how long it is good for. Pure.
//!
//! RFC 9111 is asked of the crate http-cache-semantics; what it does not know, or sees differently from a shared
//! cache that functions write for, is decided here:
//!
//! - only what says how long it is fresh is kept: nothing is guessed from `Last-Modified`;
//! - an answer with `Set-Cookie` is never kept, one to a request with a `Cookie` only if it is `public`;
//! - `stale-while-revalidate` and `stale-if-error` (RFC 5861) hold unless `must-revalidate`, `proxy-revalidate` or
//!   `no-cache` says otherwise. `s-maxage` beside one of them does not: who writes both means both.
//!
//! An answer's age counts from before its fetch, and goes on from the `Age` that it came with: lifetimes of
//! caches behind this one do not add up.

use std::time::SystemTime;

use http::header::{AGE, AUTHORIZATION, CACHE_CONTROL, COOKIE, DATE, EXPIRES, SET_COOKIE, VARY};
use http::request::Parts;
use http::{HeaderMap, HeaderValue, Request, Response, StatusCode};
use http_cache_semantics::{CacheOptions, CachePolicy};

use super::date::http_date;
use super::directives::{CDN_CACHE_CONTROL, Directives, whole_seconds};

/// What an entry is good for at a moment, as far as time goes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Standing {
    /// To answer.
    Fresh,
    /// To answer while it is validated in the background.
    WhileRevalidate,
    /// To stand in if validating it fails.
    IfError,
    /// To be validated.
    Past,
}

/// Moments in an entry's life, in milliseconds of the cache's clock; those before it began are
/// negative.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Lifetime {
    /// When its age was zero.
    born_ms: i64,
    fresh_until_ms: i64,
    while_revalidate_until_ms: i64,
    if_error_until_ms: i64,
}

impl Lifetime {
    /// What it is good for.
    pub(super) fn standing(&self, now_ms: i64) -> Standing {
        if now_ms < self.fresh_until_ms {
            Standing::Fresh
        } else if now_ms < self.while_revalidate_until_ms {
            Standing::WhileRevalidate
        } else if now_ms < self.if_error_until_ms {
            Standing::IfError
        } else {
            Standing::Past
        }
    }

    /// For `Age`, in whole seconds.
    pub(super) fn age_s(&self, now_ms: i64) -> u64 {
        u64::try_from(now_ms.saturating_sub(self.born_ms)).unwrap_or(0) / 1_000
    }

    /// Freshness left in whole seconds; negative once it is stale.
    pub(super) fn ttl_s(&self, now_ms: i64) -> i64 {
        let left_ms = self.fresh_until_ms.saturating_sub(now_ms);
        // A stale entry must not round to zero, which would read as fresh.
        if left_ms <= 0 { left_ms.div_euclid(1_000).min(-1) } else { left_ms / 1_000 }
    }
}

/// How an answer is kept.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Keep {
    pub(super) lifetime: Lifetime,
    /// Requests with `Authorization` may have it too. Source: RFC 9111, section 3.5.
    pub(super) is_for_authorized: bool,
    /// Requests with a `Cookie` may have it too.
    pub(super) is_for_cookies: bool,
}

/// Why an answer is not kept; a token for `Cache-Status`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Refusal(pub(super) &'static str);

/// Judges the answer to a GET whose fetch started at `started_ms`, and that came at `received`.
///
/// # Errors
/// Why it is not kept.
pub(super) fn judge(
    request: &Parts,
    status: StatusCode,
    headers: &HeaderMap,
    started_ms: i64,
    received: SystemTime,
) -> Result<Keep, Refusal> {
    let directives = Directives::of(headers);
    let (is_public, is_authorized) =
        (directives.has("public"), request.headers.contains_key(AUTHORIZATION));
    let has_expires = headers.contains_key(EXPIRES) && !directives.is_targeted;
    let is_timed = is_limited(&directives) || has_expires;
    for (is_so, why) in [
        (headers.contains_key(SET_COOKIE), "set-cookie"),
        (directives.has("no-store"), "no-store"),
        (directives.has("private"), "private"),
        (directives.has("no-cache"), "no-cache"),
        (!is_timed, "no-lifetime"),
        (varies_by_all(headers), "vary"),
        (request.headers.contains_key(COOKIE) && !is_public, "cookie"),
    ] {
        if is_so {
            return Err(Refusal(why));
        }
    }
    let must_revalidate = ["must-revalidate", "proxy-revalidate"].map(|it| directives.has(it));
    let is_for_authorized = is_public || must_revalidate[0] || directives.has("s-maxage");
    let window = |name| match directives.seconds(name) {
        Some(seconds) if must_revalidate == [false, false] => ms(seconds),
        _ => 0,
    };
    let (swr_ms, sie_ms) = (window("stale-while-revalidate"), window("stale-if-error"));

    let policy = standard(request, status, headers, directives, received);
    if !policy.is_storable() {
        return Err(Refusal(if is_authorized { "authorization" } else { "status" }));
    }
    let fresh_ms = policy.time_to_live(received).as_millis();
    let fresh_ms = i64::try_from(fresh_ms).unwrap_or(i64::MAX / 4);
    let born_ms = started_ms.saturating_sub(ms(age_s(headers)));
    let fresh_until_ms = born_ms.saturating_add(fresh_ms);
    let lifetime = Lifetime {
        born_ms,
        fresh_until_ms,
        while_revalidate_until_ms: fresh_until_ms.saturating_add(swr_ms),
        if_error_until_ms: fresh_until_ms.saturating_add(swr_ms.max(sie_ms)),
    };
    // What nobody could ever be given is not kept for its validator alone: a function answers as fast.
    if lifetime.standing(started_ms) == Standing::Past {
        return Err(Refusal("no-lifetime"));
    }
    Ok(Keep { lifetime, is_for_authorized, is_for_cookies: is_public })
}

/// What RFC 9111 says, of an answer whose age is zero.
fn standard(
    request: &Parts,
    status: StatusCode,
    headers: &HeaderMap,
    directives: Directives,
    received: SystemTime,
) -> CachePolicy {
    let mut asked = Request::new(());
    asked.method_mut().clone_from(&request.method);
    asked.uri_mut().clone_from(&request.uri);
    // What the client wishes of caches is advice, and this one does not take it (RFC 9111, section 5.2.1):
    // else every reload in a browser were a fetch.
    if let Some(authorization) = request.headers.get(AUTHORIZATION) {
        asked.headers_mut().insert(AUTHORIZATION, authorization.clone());
    }
    let mut answer = Response::new(());
    *answer.status_mut() = status;
    let kept = answer.headers_mut();
    kept.clone_from(headers);
    for name in [AGE, CDN_CACHE_CONTROL, EXPIRES] {
        kept.remove(name);
    }
    let directives = match expires_s(headers, received) {
        Some(seconds) if !directives.is_targeted && !is_limited(&directives) => {
            directives.with("max-age", seconds)
        }
        _ => directives,
    };
    // The crate takes it for a lifetime of zero; it only forbids what is stale, and is minded above.
    kept.insert(CACHE_CONTROL, directives.without("proxy-revalidate").to_header());
    let options = CacheOptions { shared: true, cache_heuristic: 0.0, ..CacheOptions::default() };
    CachePolicy::new_options(&asked, &answer, received, options)
}

/// Whether a directive says how long it is fresh; then `Expires` says nothing.
fn is_limited(directives: &Directives) -> bool {
    directives.has("max-age") || directives.has("s-maxage")
}

/// The lifetime that `Expires` gives: none without one, zero with one that is no date or of which two are at odds.
fn expires_s(headers: &HeaderMap, received: SystemTime) -> Option<u64> {
    let moment = |value: &HeaderValue| http_date(value.to_str().ok()?.trim(), received);
    let mut expires = headers.get_all(EXPIRES).iter().map(moment);
    let (first, mut others) = (expires.next()?, expires);
    let date = headers.get(DATE).and_then(moment).unwrap_or(received);
    let first = first.filter(|first| others.all(|other| other == Some(*first)));
    Some(first.and_then(|end| end.duration_since(date).ok()).map_or(0, |left| left.as_secs()))
}

/// The `Age` of an answer, zero without a sound one. Of several the first counts. Source: RFC 9111, section 5.1.
fn age_s(headers: &HeaderMap) -> u64 {
    let lines = headers.get_all(AGE).iter().map(|line| line.to_str().unwrap_or("-"));
    let mut ages = lines.flat_map(|line| line.split(',')).map(str::trim);
    ages.find(|age| !age.is_empty()).and_then(whole_seconds).unwrap_or(0)
}

fn varies_by_all(headers: &HeaderMap) -> bool {
    let values = headers.get_all(VARY).iter();
    values.filter_map(|value| value.to_str().ok()).any(|v| v.split(',').any(|n| n.trim() == "*"))
}

fn ms(seconds: u64) -> i64 {
    i64::try_from(seconds.saturating_mul(1_000)).unwrap_or(i64::MAX / 4)
}

#[cfg(test)]
mod tests {
    use std::time::{Duration, SystemTime};

    use http::{HeaderMap, HeaderName, Request, StatusCode};

    use super::{Keep, Refusal, Standing, judge};

    const START_MS: i64 = 1_000_000;

    type Lines<'a> = &'a [(&'a str, &'a str)];

    fn headers(lines: Lines<'_>) -> HeaderMap {
        let pair = |(name, value): &(&str, &str)| {
            (name.parse::<HeaderName>().unwrap(), value.parse().unwrap())
        };
        lines.iter().map(pair).collect()
    }

    fn judged(asked: Lines<'_>, status: u16, answered: Lines<'_>) -> Result<Keep, Refusal> {
        let mut request = Request::get("http://host/path").body(()).unwrap().into_parts().0;
        request.headers = headers(asked);
        let received = SystemTime::UNIX_EPOCH + Duration::from_secs(1_700_000_000);
        let status = StatusCode::from_u16(status).unwrap();
        judge(&request, status, &headers(answered), START_MS, received)
    }

    #[test]
    fn what_is_never_kept() {
        let fresh = ("cache-control", "max-age=60");
        let public = ("cache-control", "public, max-age=60");
        let authorization = ("authorization", "Bearer x");
        let cookie = ("cookie", "a=b");
        let table: &[(Lines<'_>, u16, Lines<'_>, Option<&str>)] = &[
            (&[], 200, &[fresh], None),
            (&[], 200, &[], Some("no-lifetime")),
            (&[], 200, &[("cache-control", "public")], Some("no-lifetime")),
            (&[], 200, &[("last-modified", "Sun, 06 Nov 1994 08:49:37 GMT")], Some("no-lifetime")),
            (&[], 200, &[("cache-control", "max-age=0")], Some("no-lifetime")),
            (&[], 200, &[fresh, ("age", "60")], Some("no-lifetime")),
            (&[], 200, &[("cache-control", "No-Store, max-age=60")], Some("no-store")),
            (&[], 200, &[("cache-control", "private, max-age=60")], Some("private")),
            (&[], 200, &[("cache-control", "no-cache, max-age=60")], Some("no-cache")),
            (&[], 200, &[public, ("set-cookie", "a=b")], Some("set-cookie")),
            (&[], 200, &[fresh, ("vary", "accept, *")], Some("vary")),
            (&[], 206, &[fresh], Some("status")),
            (&[], 500, &[fresh], Some("status")),
            (&[], 503, &[public], Some("status")),
            (&[], 400, &[public], Some("status")),
            (&[], 404, &[fresh], None),
            (&[], 410, &[fresh], None),
            (&[], 301, &[fresh], None),
            (&[], 302, &[fresh], None),
            (&[cookie], 200, &[fresh], Some("cookie")),
            (&[cookie], 200, &[public], None),
            (&[authorization], 200, &[fresh], Some("authorization")),
            (&[authorization], 200, &[public], None),
            (&[authorization], 200, &[("cache-control", "s-maxage=60")], None),
            (&[authorization], 200, &[("cache-control", "max-age=60, must-revalidate")], None),
            // What a client wishes changes nothing.
            (&[("cache-control", "no-store"), ("pragma", "no-cache")], 200, &[fresh], None),
        ];
        for (asked, status, answered, refusal) in table {
            let judged = judged(asked, *status, answered);
            assert_eq!(judged.err().map(|it| it.0), *refusal, "{asked:?} {status} {answered:?}");
        }
    }

    #[test]
    fn lifetimes_come_from_the_nearest_word_and_go_on_from_the_age() {
        let expires = ("expires", "Tue, 14 Nov 2023 22:14:20 GMT");
        let date = ("date", "Tue, 14 Nov 2023 22:13:20 GMT");
        let table: &[(Lines<'_>, i64)] = &[
            (&[("cache-control", "max-age=60")], 60),
            (&[("cache-control", "max-age=60, s-maxage=7")], 7),
            (&[("cache-control", "max-age=60"), expires, date], 60),
            (&[expires, date], 60),
            (&[("cache-control", "max-age=60"), ("cdn-cache-control", "max-age=600")], 600),
            (&[expires, ("cdn-cache-control", "max-age=600")], 600),
            (&[("cache-control", "no-store"), ("cdn-cache-control", "max-age=9")], 9),
            (&[("cache-control", "max-age=60, proxy-revalidate")], 60),
            (&[("cache-control", "MAX-AGE=60")], 60),
            (&[("cache-control", "max-age=5"), ("age", "4")], 1),
            (&[("expires", "Tuesday, 14-Nov-23 22:14:27 GMT"), date], 67),
            (&[("expires", "Tue Nov 14 22:14:28 2023"), date], 68),
            (&[expires, expires, date], 60),
            // Without a date of its own it is of the moment in which it came.
            (&[expires], 60),
            (&[expires, ("date", "today")], 60),
        ];
        for (answered, fresh_s) in table {
            let lifetime = judged(&[], 200, answered).unwrap().lifetime;
            let end_ms = START_MS + fresh_s * 1_000;
            assert_eq!(lifetime.standing(end_ms - 1), Standing::Fresh, "{answered:?}");
            assert_ne!(lifetime.standing(end_ms), Standing::Fresh, "{answered:?}");
            assert_eq!((lifetime.ttl_s(START_MS), lifetime.ttl_s(end_ms)), (*fresh_s, -1));
        }
        let aged = judged(&[], 200, &[("cache-control", "max-age=5"), ("age", "4")]).unwrap();
        assert_eq!(aged.lifetime.age_s(START_MS), 4);
        assert_eq!(aged.lifetime.age_s(START_MS + 2_999), 6);
    }

    #[test]
    fn an_expires_that_is_no_date_is_past() {
        let expires = ("expires", "Tue, 14 Nov 2023 22:14:20 GMT");
        for answered in [
            &[("expires", "0")][..],
            &[("expires", "Tue, 14  Nov  2033 22:14:20 GMT")],
            &[("expires", "Tue, 14 Nov 2033 22:14:20 CET")],
            &[("expires", "Tue, 14 Nov 2023 22:13:20 GMT")],
            &[expires, ("expires", "Tue, 14 Nov 2033 22:14:20 GMT")],
            &[expires, ("expires", "never")],
            &[expires, ("cache-control", "max-age=soon")],
        ] {
            let judged = judged(&[], 200, answered);
            assert_eq!(judged.err(), Some(Refusal("no-lifetime")), "{answered:?}");
        }
    }

    #[test]
    fn of_several_ages_the_first_counts() {
        let control = ("cache-control", "max-age=900");
        for (answered, expected) in [
            (&[control, ("age", "600, 0")][..], 600),
            (&[control, ("age", "0, 600")], 0),
            (&[control, ("age", ", 600 ,1")], 600),
            (&[control, ("age", "600"), ("age", "1")], 600),
            (&[control, ("age", "1"), ("age", "600")], 1),
            (&[control, ("age", "old, 600")], 0),
            (&[control, ("age", "600.5")], 0),
            (&[control, ("age", "-600")], 0),
            (&[control, ("age", "+600")], 0),
            (&[control, ("age", "\"600\"")], 0),
        ] {
            let lifetime = judged(&[], 200, answered).unwrap().lifetime;
            assert_eq!(lifetime.age_s(START_MS), expected, "{answered:?}");
        }
        for age in ["900", "900, 1", "2147483648", "99999999999999999999999"] {
            assert!(judged(&[], 200, &[control, ("age", age)]).is_err(), "{age}");
        }
    }

    #[test]
    fn stale_windows_follow_freshness_unless_forbidden() {
        use Standing::{IfError, Past, WhileRevalidate};
        let both = "max-age=5, stale-while-revalidate=10, stale-if-error=60";
        let table: &[(&str, [Standing; 3])] = &[
            (both, [WhileRevalidate, IfError, Past]),
            ("max-age=5, stale-while-revalidate=20", [WhileRevalidate, WhileRevalidate, Past]),
            ("max-age=5, stale-if-error=60", [IfError, IfError, Past]),
            ("max-age=5", [Past, Past, Past]),
            ("max-age=5, stale-while-revalidate", [Past, Past, Past]),
            (
                "max-age=5, must-revalidate, stale-while-revalidate=9, stale-if-error=60",
                [Past, Past, Past],
            ),
            ("max-age=5, proxy-revalidate, stale-if-error=60", [Past, Past, Past]),
            ("s-maxage=5, stale-if-error=60", [IfError, IfError, Past]),
        ];
        for (text, expected) in table {
            let lifetime = judged(&[], 200, &[("cache-control", text)]).unwrap().lifetime;
            let at = |after_s: i64| lifetime.standing(START_MS + 5_000 + after_s * 1_000);
            assert_eq!([at(0), at(19), at(60)], *expected, "{text}");
        }
        // Stale when it comes, as a function's own cache may send it while its upstream is gone.
        let stale = judged(&[], 200, &[("cache-control", both), ("age", "20")]).unwrap();
        assert_eq!(stale.lifetime.standing(START_MS), IfError);
    }

    #[test]
    fn who_may_share_an_answer() {
        for (text, authorized, cookies) in [
            ("max-age=5", false, false),
            ("max-age=5, public", true, true),
            ("s-maxage=5", true, false),
            ("max-age=5, must-revalidate", true, false),
        ] {
            let keep = judged(&[], 200, &[("cache-control", text)]).unwrap();
            assert_eq!((keep.is_for_authorized, keep.is_for_cookies), (authorized, cookies));
        }
    }
}
