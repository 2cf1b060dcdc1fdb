//! The HTTP door: `POST /v1/risk/score`.

use crate::document::{Document, Fault, Features};
use http::Method;
use http::request::Parts;
use serde::Serialize;
use serde::de::{Deserializer as _, IgnoredAny, MapAccess, Visitor};
use std::collections::BTreeSet;
use std::fmt;
use tiffin_api::{ErrorCode, FieldError, Problem};
use tiffin_kit::answer::{Answer, JSON, is_of_type};
use tiffin_kit::path;

/// Checks everything about a request but its body. The error is the answer to give.
pub fn check(request: &Parts) -> Result<(), Box<Answer>> {
    let segments = path::segments(request.uri.path())?;
    if segments != ["v1", "risk", "score"] {
        return Err(path::not_found().into());
    }
    if request.method != Method::POST {
        return Err(Box::new(match request.method {
            Method::OPTIONS => Answer::options("POST, OPTIONS"),
            _ => Answer::method_not_allowed("POST"),
        }));
    }
    if !is_of_type(&request.headers, JSON) {
        let detail = format!("send the features as {JSON}");
        return Err(Box::new(Problem::new(ErrorCode::UnsupportedMediaType, detail)).into());
    }
    Ok(())
}

/// What should become of a write.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Decision {
    /// Let it pass.
    Allow,
    /// Ask for more proof.
    Challenge,
    /// Refuse it.
    Deny,
}

/// What the scorer says.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Assessment {
    /// 0 to 1000.
    pub score: u32,
    /// What should become of the write.
    pub decision: Decision,
    /// Codes of what speaks against it, the weightiest first.
    pub reasons: Vec<String>,
    /// SHA-256 of the model, hexadecimal.
    pub model_hash: String,
}

/// The answer to a body, by the scorer `score`.
pub fn answer(
    body: &[u8],
    score: impl FnOnce(&Features) -> Result<Assessment, Vec<Fault>>,
) -> Answer {
    let document = match serde_json::from_slice(body) {
        Ok(document) => document,
        Err(error) => {
            return Problem::new(ErrorCode::MalformedJson, error.to_string()).into();
        }
    };
    let twice = |field| Fault { field, detail: "is there more than once".to_owned() };
    let mut faults: Vec<Fault> = repeated_fields(body).into_iter().map(twice).collect();
    match Document::read(document) {
        Ok(document) => {
            let scored = score(&document.features);
            let of_scorer = scored.as_ref().err().cloned().unwrap_or_default();
            faults.extend(document.all_faults(of_scorer));
            if let (Ok(assessment), []) = (&scored, faults.as_slice()) {
                return Answer::json(assessment);
            }
        }
        Err(fault) => faults.push(fault),
    }
    let detail = "nothing was scored; errors names each field to correct";
    let errors = faults.into_iter().map(field_error).collect();
    Problem::with_errors(ErrorCode::ValidationFailed, detail, errors).into()
}

/// The fields that an object names more than once. Readers of JSON differ in which of them they take
/// (RFC 8259, section 4), so that none can be scored.
fn repeated_fields(body: &[u8]) -> BTreeSet<String> {
    struct Fields;

    impl<'de> Visitor<'de> for Fields {
        type Value = BTreeSet<String>;

        fn expecting(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
            formatter.write_str("an object of features")
        }

        fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Self::Value, A::Error> {
            let (mut seen, mut repeated) = (BTreeSet::new(), BTreeSet::new());
            while let Some((field, IgnoredAny)) = map.next_entry::<String, _>()? {
                if !seen.insert(field.clone()) {
                    repeated.insert(field);
                }
            }
            Ok(repeated)
        }
    }

    // What is no object at all has no fields, and is refused for that.
    serde_json::Deserializer::from_slice(body).deserialize_map(Fields).unwrap_or_default()
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
    use http::header::CONTENT_TYPE;

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

    /// A scorer that finds nothing wrong.
    fn calm(_: &Features) -> Result<Assessment, Vec<Fault>> {
        let (decision, model_hash) = (Decision::Allow, "ab".repeat(32));
        Ok(Assessment { score: 7, decision, reasons: Vec::new(), model_hash })
    }

    fn problem(body: &str) -> Problem {
        serde_json::from_slice(&answer(body.as_bytes(), calm).body).unwrap()
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
    fn a_field_that_is_there_twice_is_refused_by_name() {
        let body = r#"{"action":"order","account_age_days":9,"orders_30d":0,"basket_minor":0,
            "requests_last_minute":0,"hour_local":0,"account_age_days":9,"\u0061ction":"order"}"#;
        let problem = problem(body);
        assert_eq!(problem.code, ErrorCode::ValidationFailed);
        let pointers: Vec<_> = problem.errors.iter().map(|error| error.pointer.as_str()).collect();
        assert_eq!(pointers, ["/account_age_days", "/action"]);
    }

    #[test]
    fn the_scorers_words_are_the_answer() {
        let body = r#"{"action":"order","account_age_days":0,"orders_30d":0,
            "requests_last_minute":0,"basket_minor":0,"hour_local":0}"#;
        let answered = answer(body.as_bytes(), calm);
        assert_eq!(answered.status.as_u16(), 200);
        assert_eq!(answered.headers["cache-control"], "no-store");
        let expected = format!(
            r#"{{"score":7,"decision":"allow","reasons":[],"model_hash":"{}"}}"#,
            "ab".repeat(32)
        );
        assert_eq!(answered.body, expected);
        let strict = |_: &Features| {
            Err(vec![Fault { field: "hour_local".to_owned(), detail: "is late".to_owned() }])
        };
        let refused = answer(body.as_bytes(), strict);
        assert_eq!(refused.status.as_u16(), 422);
        let problem: Problem = serde_json::from_slice(&refused.body).unwrap();
        assert_eq!(problem.errors[0].pointer, "/hour_local");
    }
}
