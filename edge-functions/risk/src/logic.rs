//! The HTTP door: `POST /v1/risk/score`.

use crate::features::{Fault, Features};
use crate::model::Model;
use crate::score::assess;
use http::header::CONTENT_TYPE;
use http::request::Parts;
use http::{HeaderMap, Method};
use tiffin_api::{ErrorCode, FieldError, Problem};
use tiffin_kit::answer::{Answer, JSON};
use tiffin_kit::path;

/// Checks everything about a request but its body. The error is the answer to give.
pub fn check(request: &Parts) -> Result<(), Box<Answer>> {
    let segments = path::segments(request.uri.path())?;
    if segments != ["v1", "risk", "score"] {
        return Err(path::not_found().into());
    }
    if request.method != Method::POST {
        return Err(Box::new(Answer::method_not_allowed("POST")));
    }
    if !is_json(&request.headers) {
        let detail = format!("send the features as {JSON}");
        return Err(Box::new(Problem::new(ErrorCode::UnsupportedMediaType, detail)).into());
    }
    Ok(())
}

fn is_json(headers: &HeaderMap) -> bool {
    let content_type = headers.get(CONTENT_TYPE).and_then(|value| value.to_str().ok());
    let essence = content_type.and_then(|value| value.split(';').next()).map(str::trim);
    essence.is_some_and(|essence| essence.eq_ignore_ascii_case(JSON))
}

/// The answer to a body.
pub fn answer(body: &[u8]) -> Answer {
    let document = match serde_json::from_slice(body) {
        Ok(document) => document,
        Err(error) => {
            return Problem::new(ErrorCode::MalformedJson, error.to_string()).into();
        }
    };
    match Features::from_json(&document) {
        Ok(features) => Answer::json(&assess(Model::current(), &features)),
        Err(faults) => {
            let detail = "nothing was scored; errors names each field to correct";
            let errors = faults.into_iter().map(field_error).collect();
            Problem::with_errors(ErrorCode::ValidationFailed, detail, errors).into()
        }
    }
}

fn field_error(Fault { field, detail }: Fault) -> FieldError {
    if field.is_empty() {
        return FieldError::at("", detail);
    }
    // The two characters that a JSON Pointer escapes (RFC 6901, section 3).
    let token = field.replace('~', "~0").replace('/', "~1");
    FieldError::at(format!("/{token}"), detail)
}

#[cfg(test)]
mod tests {
    use super::*;
    use http::Request;

    fn refused(method: &str, uri: &str, content_type: Option<&str>) -> Option<u16> {
        let mut builder = Request::builder().method(method).uri(uri);
        if let Some(value) = content_type {
            builder = builder.header(CONTENT_TYPE, value);
        }
        let (request, ()) = builder.body(()).unwrap().into_parts();
        check(&request).err().map(|answer| answer.status.as_u16())
    }

    #[test]
    fn only_json_posted_to_the_one_route_is_read() {
        let json = Some("application/json");
        for (method, uri, content_type, expected) in [
            ("POST", "/v1/risk/score", json, None),
            ("POST", "/v1/risk/score", Some("Application/JSON; charset=utf-8"), None),
            ("POST", "/v1/risk/score", Some("text/plain"), Some(415)),
            ("POST", "/v1/risk/score", Some("application/jsonl"), Some(415)),
            ("POST", "/v1/risk/score", None, Some(415)),
            ("GET", "/v1/risk/score", json, Some(405)),
            ("POST", "/v1/risk", json, Some(404)),
            ("POST", "/v1/risk/%zz", json, Some(400)),
        ] {
            assert_eq!(refused(method, uri, content_type), expected, "{method} {uri}");
        }
    }

    fn problem(body: &str) -> Problem {
        serde_json::from_slice(&answer(body.as_bytes()).body).unwrap()
    }

    #[test]
    fn what_is_no_json_is_malformed_and_what_is_no_features_invalid() {
        for body in ["", "{", "{\"action\":}", "nonsense", "{} {}"] {
            assert_eq!(problem(body).code, ErrorCode::MalformedJson, "{body}");
        }
        let deep = "[".repeat(10_000);
        assert_eq!(problem(&deep).code, ErrorCode::MalformedJson);
        let problem = problem("{\"action\":\"order\",\"a/b~\":1}");
        assert_eq!(problem.code, ErrorCode::ValidationFailed);
        assert_eq!(problem.errors.len(), 6);
        assert_eq!(problem.errors[0].pointer, "/a~1b~0");
        assert_eq!(problem.errors[1].pointer, "/account_age_days");
    }

    #[test]
    fn a_score_is_told_with_its_model() {
        let body = r#"{"action":"order","account_age_days":0,"orders_30d":0,
            "requests_last_minute":0,"basket_minor":0,"hour_local":0}"#;
        let answer = answer(body.as_bytes());
        assert_eq!(answer.status.as_u16(), 200);
        assert_eq!(answer.headers["cache-control"], "no-store");
        let value: serde_json::Value = serde_json::from_slice(&answer.body).unwrap();
        assert_eq!(value["model_hash"], Model::current().hash);
        assert!(value["score"].is_u64() && value["reasons"].is_array());
    }
}
