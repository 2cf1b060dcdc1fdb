//! Which attempts are repeated, and how many repetitions an upstream bears.
//!
//! A request that may have reached an upstream is repeated only if it is safe (RFC 9110, section 9.2.1)
//! and has no body. One of which surely nothing was sent (no connection came about, or the connection gave
//! it back) is repeated whatever its method. Nothing is repeated once the head of an answer was seen.
//!
//! Repeating is load on top of load: each upstream has a budget that its requests fill a little and each
//! retry takes from. In an outage the budget is soon empty, and what is left is a fifth more requests.

use std::sync::atomic::{AtomicI64, Ordering};
use std::time::Duration;

use http::header::{CONTENT_LENGTH, TRANSFER_ENCODING};
use http::{HeaderMap, Method, Request};
use http_body::Body as _;
use wasmtime_wasi_http::WasiBody;

use crate::body::full;
use crate::limits;

const RETRY_MILLIS: i64 = 1_000;
const FULL_MILLIS: i64 = limits::MAX_RETRY_BUDGET * RETRY_MILLIS;

/// The retries that an upstream bears for now.
#[derive(Debug)]
pub(super) struct Budget {
    millis: AtomicI64,
}

impl Budget {
    /// A full one.
    pub(super) fn new() -> Self {
        Self { millis: AtomicI64::new(FULL_MILLIS) }
    }

    /// A request goes out.
    pub(super) fn deposit(&self) {
        let add = |millis| {
            (millis < FULL_MILLIS).then_some(FULL_MILLIS.min(millis + limits::RETRY_DEPOSIT_MILLIS))
        };
        // An error is a budget that was full: nothing is written then.
        let _ = self.millis.fetch_update(Ordering::Relaxed, Ordering::Relaxed, add);
    }

    /// A retry wants to go out. Says whether it may.
    pub(super) fn withdraw(&self) -> bool {
        let take = |millis| (millis >= RETRY_MILLIS).then_some(millis - RETRY_MILLIS);
        self.millis.fetch_update(Ordering::Relaxed, Ordering::Relaxed, take).is_ok()
    }
}

/// A pause before the same address is asked again: all of it is jitter. `random` is any number.
pub(super) fn pause(random: u64) -> Duration {
    Duration::from_millis(random % (limits::RETRY_PAUSE_MS + 1))
}

/// A request that can be sent again though it may have been sent.
pub(super) struct Replay {
    method: Method,
    headers: HeaderMap,
}

impl Replay {
    /// None if it must not be. The body of a request that announces none is taken away: it would not be sent.
    pub(super) fn of(request: &mut Request<WasiBody>) -> Option<Self> {
        let (method, headers) = (request.method(), request.headers());
        if !matches!(*method, Method::GET | Method::HEAD | Method::OPTIONS) {
            return None;
        }
        let length = headers.get(CONTENT_LENGTH);
        let announces_none = length.is_none_or(|length| length == "0")
            && !headers.contains_key(TRANSFER_ENCODING)
            && *method != Method::OPTIONS;
        if !announces_none && !request.body().is_end_stream() {
            return None;
        }
        let replay = Self { method: method.clone(), headers: headers.clone() };
        *request.body_mut() = full("");
        Some(replay)
    }

    /// The request once more; its URI is the caller's to set.
    pub(super) fn request(&self) -> Request<WasiBody> {
        let mut request = Request::new(full(""));
        *request.method_mut() = self.method.clone();
        request.headers_mut().clone_from(&self.headers);
        request
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use futures::stream;
    use http::{Method, Request};
    use http_body_util::{BodyExt as _, StreamBody};

    use super::{Budget, Replay, pause};
    use crate::body::full;
    use crate::limits;

    #[test]
    fn retries_are_a_fifth_of_the_requests_in_the_long_run() {
        let budget = Budget::new();
        let retries = |requests: usize| {
            (0..requests).filter(|_| {
                budget.deposit();
                budget.withdraw()
            })
        };
        // Full at first, then what is deposited.
        assert_eq!(retries(1_000).count(), 10 + 199);
        for _ in 0..1_000 {
            budget.deposit();
        }
        let in_a_row = (0..1_000).take_while(|_| budget.withdraw()).count();
        assert_eq!(in_a_row, 10, "a calm hour does not save up for a storm");
    }

    #[test]
    fn only_safe_requests_without_a_body_are_sent_twice() {
        for (method, header, is_streamed, expected) in [
            (Method::GET, None, false, true),
            (Method::GET, None, true, true),
            (Method::HEAD, Some(("content-length", "0")), true, true),
            (Method::GET, Some(("content-length", "2")), true, false),
            (Method::GET, Some(("transfer-encoding", "chunked")), true, false),
            (Method::OPTIONS, None, false, true),
            (Method::OPTIONS, None, true, false),
            (Method::POST, None, false, false),
            (Method::PUT, None, false, false),
            (Method::DELETE, None, false, false),
            (Method::TRACE, None, false, false),
        ] {
            let body = match is_streamed {
                true => StreamBody::new(stream::pending()).boxed_unsync(),
                false => full(""),
            };
            let mut builder = Request::builder().method(&method).header("x-kept", "1");
            if let Some((name, value)) = header {
                builder = builder.header(name, value);
            }
            let mut request = builder.body(body).unwrap();
            let replay = Replay::of(&mut request);
            assert_eq!(replay.is_some(), expected, "{method} {header:?} {is_streamed}");
            if let Some(replay) = replay {
                let again = replay.request();
                assert_eq!(
                    (again.method(), &again.headers()["x-kept"]),
                    (&method, &"1".parse().unwrap())
                );
            }
        }
    }

    #[test]
    fn a_pause_is_short() {
        for random in [0, 1, 50, 51, u64::MAX] {
            assert!(pause(random) <= Duration::from_millis(limits::RETRY_PAUSE_MS));
        }
    }
}
