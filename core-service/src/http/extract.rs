//! How requests are read: every rejection is a problem document that says what would be right.

use super::error::ApiError;
use crate::limits;
use axum::body::Bytes;
use axum::extract::rejection::{BytesRejection, PathRejection, QueryRejection};
use axum::extract::{FromRequest, FromRequestParts, Request};
use http::header::CONTENT_TYPE;
use http::request::Parts;
use http::{HeaderMap, StatusCode};
use serde::de::DeserializeOwned;
use tiffin_api::{ErrorCode, FieldError, Problem, members};

/// The media type of every body but an import's.
const JSON: &str = "application/json";

/// Path parameters.
#[derive(Debug)]
pub struct Path<T>(pub T);

impl<T, S> FromRequestParts<S> for Path<T>
where
    T: DeserializeOwned + Send,
    S: Send + Sync,
{
    type Rejection = ApiError;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, ApiError> {
        axum::extract::Path::from_request_parts(parts, state)
            .await
            .map(|axum::extract::Path(value)| Self(value))
            .map_err(|rejection: PathRejection| {
                Problem::new(ErrorCode::RouteNotFound, rejection.body_text()).into()
            })
    }
}

/// Query parameters.
#[derive(Debug)]
pub struct Query<T>(pub T);

impl<T, S> FromRequestParts<S> for Query<T>
where
    T: DeserializeOwned,
    S: Send + Sync,
{
    type Rejection = ApiError;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, ApiError> {
        axum::extract::Query::from_request_parts(parts, state)
            .await
            .map(|axum::extract::Query(value)| Self(value))
            .map_err(|rejection: QueryRejection| {
                Problem::new(ErrorCode::BadRequest, rejection.body_text()).into()
            })
    }
}

/// A whole body within its limit.
#[derive(Debug)]
pub struct Raw(pub Bytes);

impl<S: Send + Sync> FromRequest<S> for Raw {
    type Rejection = ApiError;

    async fn from_request(request: Request, state: &S) -> Result<Self, ApiError> {
        Bytes::from_request(request, state).await.map(Self).map_err(|rejection: BytesRejection| {
            let code = if rejection.status() == StatusCode::PAYLOAD_TOO_LARGE {
                ErrorCode::BodyTooLarge
            } else {
                ErrorCode::BadRequest
            };
            Problem::new(code, rejection.body_text()).into()
        })
    }
}

/// A JSON body, with the bytes it was read from.
#[derive(Debug)]
pub struct Json<T> {
    /// What it says.
    pub value: T,
    /// As it came, for hashing.
    pub raw: Bytes,
}

impl<T, S> FromRequest<S> for Json<T>
where
    T: DeserializeOwned,
    S: Send + Sync,
{
    type Rejection = ApiError;

    async fn from_request(request: Request, state: &S) -> Result<Self, ApiError> {
        require_media_type(request.headers(), JSON)?;
        let Raw(raw) = Raw::from_request(request, state).await?;
        Ok(Self { value: read_json(&raw)?, raw })
    }
}

/// A JSON body that may be left out, with the bytes it was read from.
#[derive(Debug)]
pub struct OptionalJson<T> {
    /// What it says, if there is one.
    pub value: Option<T>,
    /// As it came, for hashing.
    pub raw: Bytes,
}

impl<T, S> FromRequest<S> for OptionalJson<T>
where
    T: DeserializeOwned,
    S: Send + Sync,
{
    type Rejection = ApiError;

    async fn from_request(request: Request, state: &S) -> Result<Self, ApiError> {
        let media_type = require_media_type(request.headers(), JSON);
        let Raw(raw) = Raw::from_request(request, state).await?;
        if raw.is_empty() {
            return Ok(Self { value: None, raw });
        }
        media_type?;
        Ok(Self { value: Some(read_json(&raw)?), raw })
    }
}

/// Reads a JSON body in which every member stands once.
pub fn read_json<T: DeserializeOwned>(raw: &[u8]) -> Result<T, ApiError> {
    let malformed = |error: serde_json::Error| {
        ApiError::from(Problem::new(ErrorCode::MalformedJson, error.to_string()))
    };
    if let Some(pointer) = members::doubled(raw).map_err(malformed)? {
        let errors = vec![FieldError::at(pointer, "stands twice")];
        let detail = "some fields are not valid";
        return Err(Problem::with_errors(ErrorCode::ValidationFailed, detail, errors).into());
    }
    serde_json::from_slice(raw).map_err(malformed)
}

/// Refuses a body of another media type; parameters such as `charset` do not matter.
pub fn require_media_type(headers: &HeaderMap, wanted: &str) -> Result<(), ApiError> {
    let given = headers
        .get(CONTENT_TYPE)
        .and_then(|value| value.to_str().ok())
        .map(|value| value.split(';').next().unwrap_or_default().trim());
    match given {
        Some(given) if given.eq_ignore_ascii_case(wanted) => Ok(()),
        _ => {
            let detail = format!("send the body as Content-Type: {wanted}");
            Err(Problem::new(ErrorCode::UnsupportedMediaType, detail).into())
        }
    }
}

/// The value of a required Idempotency-Key header.
#[derive(Debug)]
pub struct IdempotencyKey(pub String);

impl<S: Send + Sync> FromRequestParts<S> for IdempotencyKey {
    type Rejection = ApiError;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, ApiError> {
        let Some(value) = parts.headers.get("idempotency-key") else {
            let detail = "send a fresh Idempotency-Key (a UUID, say) and repeat it when you retry";
            return Err(Problem::new(ErrorCode::IdempotencyKeyMissing, detail).into());
        };
        let valid = |key: &&str| {
            (1..=limits::IDEMPOTENCY_KEY_BYTES).contains(&key.len())
                && key.bytes().all(|byte| byte.is_ascii_graphic())
        };
        match value.to_str().ok().filter(valid) {
            Some(key) => Ok(Self(key.to_owned())),
            None => {
                let most = limits::IDEMPOTENCY_KEY_BYTES;
                let detail = format!("a key is 1 to {most} printable ASCII characters, no spaces");
                Err(Problem::new(ErrorCode::IdempotencyKeyInvalid, detail).into())
            }
        }
    }
}

/// The page that a list is asked for.
#[derive(Debug, Default, serde::Deserialize)]
pub struct PageQuery {
    /// How many at most.
    pub limit: Option<u32>,
    /// The `next_cursor` of the page before.
    pub cursor: Option<String>,
}

impl PageQuery {
    /// How many to read, within [`limits::PAGE_MAX`].
    pub fn limit(&self) -> Result<u32, ApiError> {
        let limit = self.limit.unwrap_or(limits::PAGE_DEFAULT);
        if (1..=limits::PAGE_MAX).contains(&limit) {
            return Ok(limit);
        }
        let detail = format!("limit is 1 to {}", limits::PAGE_MAX);
        Err(Problem::new(ErrorCode::BadRequest, detail).into())
    }

    /// The id after which the page begins.
    pub fn cursor<T: std::str::FromStr>(&self) -> Result<Option<T>, ApiError> {
        let Some(text) = self.cursor.as_deref() else { return Ok(None) };
        match text.parse() {
            Ok(id) => Ok(Some(id)),
            Err(_) => {
                let detail = "cursor is the next_cursor of the page before, unchanged";
                Err(Problem::new(ErrorCode::BadRequest, detail).into())
            }
        }
    }
}
