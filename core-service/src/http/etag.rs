//! Strong validators (RFC 9110, section 8.8): the ETag is a hash of the very bytes that are sent.

use super::lang::AskedLang;
use axum::response::{IntoResponse, Response};
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use http::header::{CACHE_CONTROL, CONTENT_TYPE, ETAG, IF_NONE_MATCH};
use http::{HeaderMap, HeaderValue, StatusCode};
use serde::Serialize;
use sha2::{Digest as _, Sha256};
use tiffin_api::text::Lang;

/// Bytes of the hash that stand in an ETag.
const TAG_BYTES: usize = 12;
/// How long caches keep what the public reads: fresh for seconds, shown stale for a minute while it is
/// fetched again, and for a day while the core is away.
pub const CACHE_PUBLIC: &str = "public, max-age=5, stale-while-revalidate=60, stale-if-error=86400";

/// Answers a public read, [`CACHE_PUBLIC`] and labelled with how it came by its language; `lang` is
/// absent where the document holds more than one.
pub fn answer_public<T: Serialize>(
    request: &HeaderMap,
    asked: AskedLang,
    lang: Option<Lang>,
    version: i64,
    document: &T,
) -> Response {
    let mut response = answer(request, version, CACHE_PUBLIC, document);
    asked.label(&mut response, lang);
    response
}

/// Answers a conditional GET: the document with its ETag, or `304` if the client has it already. The
/// version leads the ETag, so that a person who reads a log sees which edit was served.
pub fn answer<T: Serialize>(
    request: &HeaderMap,
    version: i64,
    cache_control: &'static str,
    document: &T,
) -> Response {
    let body = serde_json::to_vec(document).expect("wire documents always serialise");
    let hash = URL_SAFE_NO_PAD.encode(&Sha256::digest(&body)[..TAG_BYTES]);
    let tag = format!("\"{version}-{hash}\"");
    let mut response = if matches(request, &tag) {
        StatusCode::NOT_MODIFIED.into_response()
    } else {
        ([(CONTENT_TYPE, "application/json")], body).into_response()
    };
    let headers = response.headers_mut();
    headers.insert(CACHE_CONTROL, HeaderValue::from_static(cache_control));
    if let Ok(tag) = HeaderValue::from_str(&tag) {
        headers.insert(ETAG, tag);
    }
    response
}

/// Whether If-None-Match names the tag; the comparison is weak, as RFC 9110 13.1.2 asks.
fn matches(request: &HeaderMap, tag: &str) -> bool {
    request
        .get_all(IF_NONE_MATCH)
        .iter()
        .filter_map(|value| value.to_str().ok())
        .flat_map(|value| value.split(','))
        .map(str::trim)
        .any(|candidate| candidate == "*" || candidate.trim_start_matches("W/") == tag)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_known_tag_gets_304_and_any_other_the_document() {
        let plain = answer(&HeaderMap::new(), 3, "no-cache", &"menu");
        let tag = plain.headers()[ETAG].to_str().unwrap().to_owned();
        assert!(tag.starts_with("\"3-"), "{tag}");
        for (value, status) in [
            (tag.clone(), 304),
            (format!("\"x\", W/{tag}"), 304),
            ("*".to_owned(), 304),
            ("\"x\"".to_owned(), 200),
        ] {
            let request =
                HeaderMap::from_iter([(IF_NONE_MATCH, HeaderValue::from_str(&value).unwrap())]);
            assert_eq!(answer(&request, 3, "no-cache", &"menu").status(), status, "{value}");
        }
    }
}
