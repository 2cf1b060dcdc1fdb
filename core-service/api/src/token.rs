//! Bearer tokens: signed, short-lived JWTs (RFC 7519) with EdDSA over Ed25519 (RFC 8037) and a key id.
//!
//! The edge checks a token to refuse early; the core checks it again because only the core may grant.
//! Both call [`Verifier::verify`], which accepts one algorithm, so there is none to confuse, and which
//! takes the time as a parameter. Keys travel as a JWK set (RFC 7517) at `/.well-known/jwks.json`.

use crate::id::{StoreId, UserId};
use crate::members;
use crate::problem::ErrorCode;
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use ed25519_compact::PublicKey;
use jwt_compact::alg::Ed25519;
use jwt_compact::{AlgorithmExt as _, UntrustedToken};
use serde::de::IgnoredAny;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

/// The issuer and the audience of every token.
pub const ISSUER: &str = "tiffin";

/// The longest life a token may have, s. A verifier refuses longer ones, whoever signed them.
pub const MAX_LIFETIME_S: i64 = 3_600;

/// How far two clocks may disagree before a token is refused, ms.
pub const CLOCK_LEEWAY_MS: i64 = 5_000;

/// The longest token that is looked at, bytes.
pub const MAX_TOKEN_BYTES: usize = 4_096;

/// What a principal may do.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(rename_all = "lowercase")]
pub enum Role {
    /// Orders and pays for itself.
    Diner,
    /// Keeps the stores that its token names.
    Merchant,
    /// Runs the service.
    Admin,
    /// An edge node: it follows the feed.
    Edge,
}

/// Who is asking, as a verified token says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Principal {
    /// The subject.
    pub user_id: UserId,
    /// What it may do.
    pub roles: Vec<Role>,
    /// The stores it keeps, as a merchant.
    pub stores: Vec<StoreId>,
}

impl Principal {
    /// A principal that keeps no store.
    pub fn new(user_id: UserId, roles: &[Role]) -> Self {
        Self { user_id, roles: roles.to_vec(), stores: Vec::new() }
    }

    /// Whether it may act for a store: its merchant, or the core team.
    pub fn keeps(&self, store_id: StoreId) -> bool {
        self.has(Role::Admin) || (self.has(Role::Merchant) && self.stores.contains(&store_id))
    }

    /// Whether it has the role.
    pub fn has(&self, role: Role) -> bool {
        self.roles.contains(&role)
    }
}

/// The claims beside `exp`, `nbf` and `iat`, which the JWT library carries.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Claims {
    /// Always [`ISSUER`].
    pub iss: String,
    /// Always [`ISSUER`].
    pub aud: String,
    /// The subject.
    pub sub: UserId,
    /// What it may do.
    pub roles: Vec<Role>,
    /// The stores it keeps, as a merchant.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub stores: Vec<StoreId>,
}

/// A public key as a JWK.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct Jwk {
    /// Always `OKP`.
    pub kty: String,
    /// Always `Ed25519`.
    pub crv: String,
    /// Always `EdDSA`.
    pub alg: String,
    /// The key's id; a token names it in its header.
    pub kid: String,
    /// The public key, base64url without padding.
    pub x: String,
}

impl Jwk {
    /// Describes a public key.
    pub fn new(kid: impl Into<String>, key: &PublicKey) -> Self {
        Self {
            kty: "OKP".to_owned(),
            crv: "Ed25519".to_owned(),
            alg: "EdDSA".to_owned(),
            kid: kid.into(),
            x: URL_SAFE_NO_PAD.encode(key.as_ref()),
        }
    }
}

/// The keys that tokens may be signed with.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct Jwks {
    /// The keys.
    pub keys: Vec<Jwk>,
}

/// Why a token is refused.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum TokenError {
    /// It is not a JWT, or its claims are not those of a Tiffin token.
    #[error("the token is malformed")]
    Malformed,
    /// Its key id is none of ours: forged, or signed with a key newer than the key set.
    #[error("the token's key is unknown")]
    UnknownKey,
    /// It is signed with another algorithm or by somebody else.
    #[error("the token's signature does not verify")]
    BadSignature,
    /// It was valid once.
    #[error("the token has expired")]
    Expired,
    /// It is not valid yet, or was issued in the future.
    #[error("the token is not valid yet")]
    NotYetValid,
    /// It would live longer than [`MAX_LIFETIME_S`], or for ever.
    #[error("the token's lifetime is too long")]
    TooLongLived,
    /// It was issued by or for somebody else.
    #[error("the token was not issued for this service")]
    WrongAudience,
    /// It may be understood only by who knows an extension (RFC 7515, section 4.1.11), and none is known here.
    #[error("the token needs an extension that is not known here")]
    Critical,
}

impl From<TokenError> for ErrorCode {
    fn from(error: TokenError) -> Self {
        match error {
            TokenError::Expired => Self::TokenExpired,
            TokenError::Malformed
            | TokenError::UnknownKey
            | TokenError::BadSignature
            | TokenError::NotYetValid
            | TokenError::TooLongLived
            | TokenError::WrongAudience
            | TokenError::Critical => Self::Unauthenticated,
        }
    }
}

/// Checks tokens against a key set.
#[derive(Debug, Clone)]
pub struct Verifier {
    keys: Vec<(String, PublicKey)>,
}

impl Verifier {
    /// Takes the Ed25519 keys of a key set; others are passed over, as RFC 7517 asks.
    pub fn new(jwks: &Jwks) -> Self {
        let keys = jwks
            .keys
            .iter()
            .filter(|jwk| jwk.kty == "OKP" && jwk.crv == "Ed25519")
            .filter_map(|jwk| {
                let bytes = URL_SAFE_NO_PAD.decode(&jwk.x).ok()?;
                Some((jwk.kid.clone(), PublicKey::from_slice(&bytes).ok()?))
            })
            .collect();
        Self { keys }
    }

    /// Verifies the signature and the claims at `now_ms`.
    pub fn verify(&self, token: &str, now_ms: i64) -> Result<Principal, TokenError> {
        self.examine(token)?.at(now_ms).cloned()
    }

    /// Verifies everything but whether the token holds now: what was found can be kept and asked that again.
    pub fn examine(&self, token: &str) -> Result<Examined, TokenError> {
        if token.len() > MAX_TOKEN_BYTES {
            return Err(TokenError::Malformed);
        }
        check_parts(token)?;
        let untrusted = UntrustedToken::new(token).map_err(|_| TokenError::Malformed)?;
        let kid = untrusted.header().key_id.as_deref().ok_or(TokenError::UnknownKey)?;
        let (_, key) =
            self.keys.iter().find(|(known, _)| known == kid).ok_or(TokenError::UnknownKey)?;
        let token =
            Ed25519.validator::<Claims>(key).validate(&untrusted).map_err(|error| match error {
                jwt_compact::ValidationError::MalformedClaims(_) => TokenError::Malformed,
                _ => TokenError::BadSignature,
            })?;
        let claims = token.claims();
        if claims.custom.iss != ISSUER || claims.custom.aud != ISSUER {
            return Err(TokenError::WrongAudience);
        }
        let issued_ms = claims.issued_at.ok_or(TokenError::Malformed)?.timestamp_millis();
        let expires_ms = claims.expiration.ok_or(TokenError::TooLongLived)?.timestamp_millis();
        let from_ms =
            claims.not_before.map_or(issued_ms, |at| at.timestamp_millis()).max(issued_ms);
        if expires_ms.saturating_sub(issued_ms) > MAX_LIFETIME_S * 1_000 {
            return Err(TokenError::TooLongLived);
        }
        let Claims { sub, roles, stores, .. } = claims.custom.clone();
        Ok(Examined { principal: Principal { user_id: sub, roles, stores }, from_ms, expires_ms })
    }
}

/// Checks what the JWT library passes over. Members of header and claims stand once (RFC 7515, section 4; RFC 7519,
/// section 4): of two that differ, another reader may believe the other. And whatever `crit` is, it is refused: an
/// extension that it lists is not known here, and one that lists none, or what is no extension, is not allowed to be.
fn check_parts(token: &str) -> Result<(), TokenError> {
    let malformed = || TokenError::Malformed;
    let mut parts = token.split('.').map(|part| URL_SAFE_NO_PAD.decode(part).ok());
    let (header, claims) = (parts.next().flatten(), parts.next().flatten());
    let (header, claims) = (header.ok_or_else(malformed)?, claims.ok_or_else(malformed)?);
    for part in [&header, &claims] {
        if !matches!(members::doubled(part), Ok(None)) {
            return Err(TokenError::Malformed);
        }
    }
    let header: BTreeMap<String, IgnoredAny> =
        serde_json::from_slice(&header).map_err(|_| TokenError::Malformed)?;
    if header.contains_key("crit") { Err(TokenError::Critical) } else { Ok(()) }
}

/// A token whose signature is genuine.
#[derive(Debug, Clone)]
pub struct Examined {
    principal: Principal,
    from_ms: i64,
    expires_ms: i64,
}

impl Examined {
    /// The principal, if the token holds at `now_ms`.
    pub fn at(&self, now_ms: i64) -> Result<&Principal, TokenError> {
        if now_ms.saturating_add(CLOCK_LEEWAY_MS) < self.from_ms {
            return Err(TokenError::NotYetValid);
        }
        if now_ms.saturating_sub(CLOCK_LEEWAY_MS) >= self.expires_ms {
            return Err(TokenError::Expired);
        }
        Ok(&self.principal)
    }
}

/// The token in an `Authorization` header value (RFC 6750), if it is a bearer token.
pub fn bearer(authorization: &str) -> Option<&str> {
    let (scheme, token) = authorization.split_once(' ')?;
    let token = token.trim();
    (scheme.eq_ignore_ascii_case("bearer") && !token.is_empty()).then_some(token)
}

#[cfg(test)]
mod tests {
    use super::*;
    use ed25519_compact::{KeyPair, Seed};
    use serde_json::json;

    const NOW_S: i64 = 1_800_000_000;

    fn pair(seed: u8) -> KeyPair {
        KeyPair::from_seed(Seed::new([seed; 32]))
    }

    fn sign(header: &serde_json::Value, claims: &serde_json::Value, by: &KeyPair) -> String {
        let encode = |value: &serde_json::Value| URL_SAFE_NO_PAD.encode(value.to_string());
        let message = format!("{}.{}", encode(header), encode(claims));
        let signature = by.sk.sign(message.as_bytes(), None);
        format!("{message}.{}", URL_SAFE_NO_PAD.encode(signature))
    }

    fn claims() -> serde_json::Value {
        json!({
            "iss": "tiffin", "aud": "tiffin", "sub": "1001", "roles": ["diner"],
            "iat": NOW_S, "exp": NOW_S + 900,
        })
    }

    fn with(field: &str, value: serde_json::Value) -> serde_json::Value {
        let mut claims = claims();
        claims[field] = value;
        claims
    }

    #[test]
    fn a_token_is_accepted_only_whole_and_in_time() {
        let ours = pair(1);
        let verifier = Verifier::new(&Jwks { keys: vec![Jwk::new("k1", &ours.pk)] });
        let header = json!({"alg": "EdDSA", "kid": "k1"});
        let good = sign(&header, &claims(), &ours);
        let verify = |token: &str, now_s: i64| {
            verifier.verify(token, now_s * 1_000).map(|principal| principal.user_id.raw())
        };

        assert_eq!(verify(&good, NOW_S), Ok(1001));
        assert_eq!(verify(&good, NOW_S + 904), Ok(1001), "within the leeway");
        assert_eq!(verify(&good, NOW_S + 905), Err(TokenError::Expired));
        assert_eq!(verify(&good, NOW_S - 6), Err(TokenError::NotYetValid));
        assert_eq!(verify("", NOW_S), Err(TokenError::Malformed));
        assert_eq!(verify(&"a".repeat(5_000), NOW_S), Err(TokenError::Malformed));

        let unsigned = json!({"alg": "none", "kid": "k1"});
        let other_key = json!({"alg": "EdDSA", "kid": "k2"});
        let mut without_expiry = claims();
        without_expiry.as_object_mut().unwrap().remove("exp");
        let cases = [
            (sign(&header, &claims(), &pair(2)), TokenError::BadSignature),
            (sign(&unsigned, &claims(), &ours), TokenError::BadSignature),
            (sign(&other_key, &claims(), &ours), TokenError::UnknownKey),
            (sign(&header, &with("exp", json!(NOW_S + 3_601)), &ours), TokenError::TooLongLived),
            (sign(&header, &without_expiry, &ours), TokenError::TooLongLived),
            (sign(&header, &with("aud", json!("other")), &ours), TokenError::WrongAudience),
            (sign(&header, &with("sub", json!("x")), &ours), TokenError::Malformed),
            (sign(&header, &with("roles", json!(["root"])), &ours), TokenError::Malformed),
        ];
        for (token, expected) in cases {
            assert_eq!(verify(&token, NOW_S), Err(expected));
        }
    }

    /// Signs parts as they stand.
    fn sign_texts(header: &str, claims: &str, by: &KeyPair) -> String {
        let message =
            format!("{}.{}", URL_SAFE_NO_PAD.encode(header), URL_SAFE_NO_PAD.encode(claims));
        let signature = by.sk.sign(message.as_bytes(), None);
        format!("{message}.{}", URL_SAFE_NO_PAD.encode(signature))
    }

    #[test]
    fn a_token_that_calls_something_critical_is_refused() {
        let ours = pair(1);
        let verifier = Verifier::new(&Jwks { keys: vec![Jwk::new("k1", &ours.pk)] });
        for crit in [
            json!(["exp"]),
            json!(["http://example.com/x"]),
            json!(["b64"]),
            json!(["alg"]),
            json!(["x", "x"]),
            json!([]),
            json!(null),
            json!("x"),
            json!(false),
            json!({}),
            json!([7]),
        ] {
            let mut header = json!({"alg": "EdDSA", "kid": "k1", "b64": true, "x": 1, "exp": 1});
            assert!(verifier.verify(&sign(&header, &claims(), &ours), NOW_S * 1_000).is_ok());
            header["crit"] = crit.clone();
            let token = sign(&header, &claims(), &ours);
            assert_eq!(verifier.verify(&token, NOW_S * 1_000), Err(TokenError::Critical), "{crit}");
            assert_eq!(ErrorCode::from(TokenError::Critical), ErrorCode::Unauthenticated);
        }
        // A claim of that name is any claim.
        let header = json!({"alg": "EdDSA", "kid": "k1"});
        let token = sign(&header, &with("crit", json!(["x"])), &ours);
        assert!(verifier.verify(&token, NOW_S * 1_000).is_ok());
    }

    #[test]
    fn members_of_a_token_stand_once() {
        let ours = pair(1);
        let verifier = Verifier::new(&Jwks { keys: vec![Jwk::new("k1", &ours.pk)] });
        let (header, claims) = (r#"{"alg":"EdDSA","kid":"k1"}"#, claims().to_string());
        let verify = |header: &str, claims: &str| {
            verifier.verify(&sign_texts(header, claims, &ours), NOW_S * 1_000).map(|_| ())
        };
        assert_eq!(verify(header, &claims), Ok(()));
        let twice = |text: &str, more: &str| format!("{{{more},{}", &text[1..]);
        for more in
            [r#""kid":"k1""#, r#""alg":"EdDSA""#, r#""x":1,"x":1"#, r#""cr\u0069t":[],"crit":[]"#]
        {
            assert_eq!(verify(&twice(header, more), &claims), Err(TokenError::Malformed), "{more}");
        }
        assert_eq!(
            verify(&twice(header, r#""cr\u0069t":["x"]"#), &claims),
            Err(TokenError::Critical)
        );
        for more in
            [r#""sub":"1002""#, r#""roles":["admin"]"#, r#""exp":1"#, r#""extra":1,"extra":2"#]
        {
            assert_eq!(verify(header, &twice(&claims, more)), Err(TokenError::Malformed), "{more}");
        }
    }

    #[test]
    fn only_bearer_credentials_carry_a_token() {
        for (value, expected) in [
            ("Bearer abc", Some("abc")),
            ("bearer  abc ", Some("abc")),
            ("Basic abc", None),
            ("Bearer ", None),
            ("Bearer", None),
        ] {
            assert_eq!(bearer(value), expected, "{value:?}");
        }
    }
}
