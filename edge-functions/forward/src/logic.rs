//! The core's answer on its way back, and what is said if there is none.

use crate::headers;
use bytes::Bytes;
use http::header::{CACHE_CONTROL, CONTENT_TYPE, HeaderName};
use http::{HeaderMap, Method, StatusCode};
use tiffin_api::problem;
use tiffin_kit::answer::Answer;

const IDEMPOTENCY_KEY: HeaderName = HeaderName::from_static("idempotency-key");

/// The client's answer from the core's. `None` if the core did not speak for itself: a server error
/// without a problem document comes from something in between, or from a core that is falling over.
pub fn pass_back(status: StatusCode, headers: &HeaderMap, body: Bytes) -> Option<Answer> {
    let content_type = headers.get(CONTENT_TYPE).and_then(|value| value.to_str().ok());
    let is_problem = content_type.is_some_and(|value| value.starts_with(problem::CONTENT_TYPE));
    if status.is_server_error() && !is_problem {
        return None;
    }
    let answer = Answer { status, headers: headers::to_client(headers), body };
    if answer.headers.contains_key(CACHE_CONTROL) {
        return Some(answer);
    }
    Some(answer.with(CACHE_CONTROL, "private, no-store"))
}

/// The answer when the core gave none. It may have done what was asked.
pub fn unavailable(method: &Method, request_headers: &HeaderMap) -> Answer {
    Answer::unavailable(if method.is_safe() {
        "the core did not answer; try again"
    } else if request_headers.contains_key(IDEMPOTENCY_KEY) {
        "the core did not answer; a retry with the same Idempotency-Key is safe"
    } else {
        "the core did not answer, and it is not known whether it acted; \
         a retry with the same Idempotency-Key is safe where one is taken"
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use http::HeaderValue;
    use tiffin_api::{ErrorCode, Problem};

    fn typed(content_type: &'static str) -> HeaderMap {
        HeaderMap::from_iter([(CONTENT_TYPE, HeaderValue::from_static(content_type))])
    }

    fn passed(status: u16, content_type: &'static str) -> Option<Answer> {
        let status = StatusCode::from_u16(status).unwrap();
        pass_back(status, &typed(content_type), Bytes::from_static(b"{}"))
    }

    #[test]
    fn what_the_core_says_itself_is_passed_back_whole() {
        for (status, content_type) in [
            (201, "application/json"),
            (404, "application/problem+json"),
            (409, "text/plain"),
            (503, "application/problem+json"),
        ] {
            let answer = passed(status, content_type).unwrap();
            assert_eq!(answer.status.as_u16(), status);
            assert_eq!(&answer.body[..], b"{}");
            assert_eq!(answer.headers[CACHE_CONTROL], "private, no-store");
        }
        for status in [500, 502, 503, 504] {
            assert_eq!(passed(status, "text/html"), None, "{status}");
        }
    }

    #[test]
    fn the_cores_own_cache_rules_stand() {
        let mut headers = typed("application/json");
        headers.insert(CACHE_CONTROL, HeaderValue::from_static("public, max-age=300"));
        let answer = pass_back(StatusCode::OK, &headers, Bytes::new()).unwrap();
        assert_eq!(answer.headers[CACHE_CONTROL], "public, max-age=300");
    }

    #[test]
    fn a_dead_core_is_told_with_what_to_do() {
        let keyed = HeaderMap::from_iter([(IDEMPOTENCY_KEY, HeaderValue::from_static("k"))]);
        for (method, headers, says) in [
            (Method::POST, &keyed, "a retry with the same Idempotency-Key is safe"),
            (Method::POST, &HeaderMap::new(), "it is not known whether it acted"),
            (Method::GET, &HeaderMap::new(), "try again"),
        ] {
            let answer = unavailable(&method, headers);
            assert_eq!(answer.status, StatusCode::SERVICE_UNAVAILABLE);
            assert_eq!(answer.headers["retry-after"], "2");
            let problem: Problem = serde_json::from_slice(&answer.body).unwrap();
            assert_eq!(problem.code, ErrorCode::Unavailable);
            assert!(problem.detail.contains(says), "{}", problem.detail);
        }
    }
}
