//! Whether a request's token verifies, by the core's public keys.

use crate::limits::{FIRST_BYTE_TIMEOUT_MS, KEYS_FRESH_MS, KEYS_REFETCH_EVERY_MS, KEYS_STALE_MS};
use http::header::{AUTHORIZATION, WWW_AUTHENTICATE};
use http::{HeaderMap, HeaderValue};
use tiffin_api::token::{Jwks, TokenError, Verifier, bearer};
use tiffin_api::{ErrorCode, Problem};
use tiffin_kit::answer::Answer;
use tiffin_kit::cache::{Content, Entry, Policy, Wanted};
use tiffin_kit::path;

/// How long the key set is believed.
pub const KEYS: Policy = Policy {
    cache: "tiffin-forward",
    fresh_ms: KEYS_FRESH_MS,
    // Never waited for once it is here: a write must not pay for a refresh.
    stale_while_revalidate_ms: KEYS_STALE_MS,
    stale_if_error_ms: KEYS_STALE_MS,
    absent_ms: 1_000,
    // There is always a key set: a core that has none is not the core.
    absent_codes: &[],
    absent: || *path::not_found(),
    first_byte_timeout_ms: FIRST_BYTE_TIMEOUT_MS,
    valid_until_ms: |_| None,
};

/// The key set, as something to fetch.
pub fn keys_wanted(traceparent: Option<HeaderValue>) -> Wanted {
    let target = "/.well-known/jwks.json".to_owned();
    Wanted {
        key: format!("{}:{target}", KEYS.cache),
        absent_key: None,
        known_key: None,
        target,
        tags: String::new(),
        stored: true,
        bounded: false,
        traceparent,
    }
}

/// The token of a request. The error is the answer to give.
pub fn token(headers: &HeaderMap) -> Result<&str, Box<Answer>> {
    let mut values = headers.get_all(AUTHORIZATION).iter();
    let token = match (values.next(), values.next()) {
        (Some(value), None) => value.to_str().ok().and_then(bearer),
        _ => None,
    };
    token.ok_or_else(|| {
        let detail = "send one header: Authorization: Bearer <token>";
        let answer = Answer::from(Problem::new(ErrorCode::Unauthenticated, detail));
        // No error code for a request that did not try (RFC 6750, section 3.1).
        Box::new(answer.with(WWW_AUTHENTICATE, "Bearer"))
    })
}

/// Why a token is not let through.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Refusal {
    /// The token does not verify.
    Token(TokenError),
    /// There are no keys to verify it with.
    NoKeys,
}

impl Refusal {
    /// The answer to give.
    pub fn into_answer(self) -> Answer {
        let error = match self {
            Self::NoKeys => {
                let detail = "tokens cannot be checked: the core's keys cannot be had";
                return Answer::unavailable(detail);
            }
            Self::Token(error) => error,
        };
        let challenge = format!("Bearer error=\"invalid_token\", error_description=\"{error}\"");
        Answer::from(Problem::new(error.into(), error.to_string()))
            .with(WWW_AUTHENTICATE, &challenge)
    }
}

/// Verifies a token by a fetched key set.
pub fn verify(keys: &Entry, token: &str, now_ms: i64) -> Result<(), Refusal> {
    let Content::Document(document) = &keys.content else { return Err(Refusal::NoKeys) };
    let jwks: Jwks = serde_json::from_slice(&document.body).map_err(|_| Refusal::NoKeys)?;
    Verifier::new(&jwks).verify(token, now_ms).map(|_| ()).map_err(Refusal::Token)
}

/// What to make of a token whose key is unknown here, once the key set was fetched anew for its sake;
/// `None` if it was not, because another did so a moment ago, is doing so, or the core failed.
///
/// Only a set of this very moment can tell a key that is not the core's from one that is newer than the
/// set. Everything else goes on to the core, which knows.
pub fn judge_unknown(refetched: Option<Result<(), Refusal>>) -> Result<(), Refusal> {
    match refetched {
        Some(Err(Refusal::Token(error))) => Err(Refusal::Token(error)),
        Some(Ok(()) | Err(Refusal::NoKeys)) | None => Ok(()),
    }
}

/// Whether an unknown key is a reason to fetch the key set anew: it may have been rotated, but a
/// forger can name keys at any rate.
pub fn may_refetch(last_ms: i64, now_ms: i64) -> bool {
    !(0..KEYS_REFETCH_EVERY_MS).contains(&now_ms.saturating_sub(last_ms))
}

#[cfg(test)]
mod tests {
    use super::*;
    use base64::Engine as _;
    use base64::engine::general_purpose::URL_SAFE_NO_PAD;
    use ed25519_compact::{KeyPair, Seed};
    use serde_json::json;
    use tiffin_api::token::Jwk;
    use tiffin_kit::cache::{Document, Lifetime};

    const NOW_S: i64 = 1_800_000_000;

    fn pair(seed: u8) -> KeyPair {
        KeyPair::from_seed(Seed::new([seed; 32]))
    }

    fn signed(kid: &str, by: &KeyPair, expires_s: i64) -> String {
        let encode = |value: serde_json::Value| URL_SAFE_NO_PAD.encode(value.to_string());
        let claims = json!({
            "iss": "tiffin", "aud": "tiffin", "sub": "7", "roles": ["diner"],
            "iat": NOW_S - 60, "exp": expires_s,
        });
        let message = format!("{}.{}", encode(json!({"alg": "EdDSA", "kid": kid})), encode(claims));
        let signature = by.sk.sign(message.as_bytes(), None);
        format!("{message}.{}", URL_SAFE_NO_PAD.encode(signature))
    }

    fn entry(content: Content) -> Entry {
        Entry { content, lifetime: Lifetime::of_document(&KEYS, 0, 0, None), stamp: None }
    }

    fn keys(body: Vec<u8>) -> Entry {
        entry(Content::Document(Document {
            etag: String::new(),
            content_type: String::new(),
            content_language: None,
            body: body.into(),
        }))
    }

    fn status(refusal: Refusal) -> (u16, ErrorCode) {
        let answer = refusal.into_answer();
        let problem: Problem = serde_json::from_slice(&answer.body).unwrap();
        (answer.status.as_u16(), problem.code)
    }

    #[test]
    fn a_token_verifies_by_the_cores_keys_only() {
        let ours = pair(1);
        let jwks = Jwks { keys: vec![Jwk::new("k1", &ours.pk)] };
        let set = keys(serde_json::to_vec(&jwks).unwrap());
        let verify = |token: &str| verify(&set, token, NOW_S * 1_000);

        assert_eq!(verify(&signed("k1", &ours, NOW_S + 60)), Ok(()));
        let expired = verify(&signed("k1", &ours, NOW_S - 6)).unwrap_err();
        assert_eq!(status(expired), (401, ErrorCode::TokenExpired));
        let forged = verify(&signed("k1", &pair(2), NOW_S + 60)).unwrap_err();
        assert_eq!(status(forged), (401, ErrorCode::Unauthenticated));
        let rotated = verify(&signed("k2", &ours, NOW_S + 60)).unwrap_err();
        assert_eq!(rotated, Refusal::Token(TokenError::UnknownKey));
    }

    #[test]
    fn a_token_that_needs_an_extension_is_refused() {
        let ours = pair(1);
        let set = keys(serde_json::to_vec(&Jwks { keys: vec![Jwk::new("k1", &ours.pk)] }).unwrap());
        let encode = |value: serde_json::Value| URL_SAFE_NO_PAD.encode(value.to_string());
        let header = json!({"alg": "EdDSA", "kid": "k1", "crit": ["tiffin-x"], "tiffin-x": true});
        let rest = signed("k1", &ours, NOW_S + 60);
        let claims = rest.split('.').nth(1).unwrap();
        let message = format!("{}.{claims}", encode(header));
        let signature = URL_SAFE_NO_PAD.encode(ours.sk.sign(message.as_bytes(), None));
        let refused = verify(&set, &format!("{message}.{signature}"), NOW_S * 1_000).unwrap_err();
        assert_eq!(refused, Refusal::Token(TokenError::Critical));
        assert_eq!(status(refused), (401, ErrorCode::Unauthenticated));
    }

    #[test]
    fn without_keys_nothing_is_said_about_a_token() {
        for set in [entry(Content::Absent), keys(b"<html>".to_vec())] {
            let refusal = verify(&set, "token", 0).unwrap_err();
            assert_eq!(status(refusal), (503, ErrorCode::Unavailable));
        }
    }

    #[test]
    fn a_refused_token_is_told_how_rfc_6750_says() {
        let answer = Refusal::Token(TokenError::Expired).into_answer();
        let challenge = answer.headers[WWW_AUTHENTICATE].to_str().unwrap();
        assert!(challenge.starts_with("Bearer error=\"invalid_token\""), "{challenge}");
    }

    #[test]
    fn a_request_has_one_bearer_token() {
        for (values, expected) in [
            (&["Bearer abc"][..], Some("abc")),
            (&[], None),
            (&["Basic abc"], None),
            (&["Bearer abc", "Bearer abc"], None),
        ] {
            let mut headers = HeaderMap::new();
            for value in values {
                headers.append(AUTHORIZATION, HeaderValue::from_static(value));
            }
            let found = token(&headers);
            assert_eq!(found.as_ref().ok().copied(), expected, "{values:?}");
            if let Err(answer) = found {
                assert_eq!(answer.status.as_u16(), 401);
                assert_eq!(answer.headers[WWW_AUTHENTICATE], "Bearer");
            }
        }
    }

    #[test]
    fn an_unknown_key_is_refused_only_by_a_set_of_this_moment() {
        for (refetched, refused) in [
            (None, false),
            (Some(Ok(())), false),
            (Some(Err(Refusal::NoKeys)), false),
            (Some(Err(Refusal::Token(TokenError::UnknownKey))), true),
            (Some(Err(Refusal::Token(TokenError::Expired))), true),
        ] {
            assert_eq!(judge_unknown(refetched).is_err(), refused, "{refetched:?}");
        }
    }

    #[test]
    fn unknown_keys_refetch_the_set_now_and_then() {
        let now_ms = NOW_S * 1_000;
        for (last_ms, expected) in [
            (0, true),
            (now_ms, false),
            (now_ms - KEYS_REFETCH_EVERY_MS + 1, false),
            (now_ms - KEYS_REFETCH_EVERY_MS, true),
            (now_ms + 1, true),
        ] {
            assert_eq!(may_refetch(last_ms, now_ms), expected, "{last_ms}");
        }
    }
}
