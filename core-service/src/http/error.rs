//! The one error a handler returns.
//!
//! A refusal is a [`Problem`] and says so itself. A failure of ours (the database, a defect) is logged
//! here, once, with everything we know, and answered with no detail but what to do next. What is worth a
//! retry is `503` with `Retry-After`.

use crate::db::DbError;
use axum::response::{IntoResponse, Response};
use http::header::{CACHE_CONTROL, CONTENT_TYPE, RETRY_AFTER, WWW_AUTHENTICATE};
use http::{HeaderValue, StatusCode};
use tiffin_api::{ErrorCode, Problem};

/// How long an edge may remember that something does not exist: it then asks once for a thousand requests.
const ABSENCE_CACHE_CONTROL: HeaderValue = HeaderValue::from_static("public, max-age=5");
/// Seconds after which a retry makes sense.
const RETRY_AFTER_S: HeaderValue = HeaderValue::from_static("1");

/// A refusal on its way out.
#[derive(Debug)]
pub struct ApiError(pub Box<Problem>);

impl From<Problem> for ApiError {
    fn from(problem: Problem) -> Self {
        Self(Box::new(problem))
    }
}

impl From<DbError> for ApiError {
    fn from(error: DbError) -> Self {
        if let DbError::Sqlx(sqlx::Error::PoolTimedOut) = error {
            tracing::warn!("the database has no connection free");
            let detail = "the service is busy; try again with the same Idempotency-Key";
            return Problem::new(ErrorCode::Unavailable, detail).into();
        }
        tracing::error!(%error, "a request failed");
        let detail = "the failure was logged; a retry with the same Idempotency-Key is safe";
        Problem::new(ErrorCode::Internal, detail).into()
    }
}

impl From<sqlx::Error> for ApiError {
    fn from(error: sqlx::Error) -> Self {
        DbError::from(error).into()
    }
}

impl IntoResponse for ApiError {
    fn into_response(self) -> Response {
        let body = serde_json::to_vec(&self.0).expect("a problem always serialises");
        let status =
            StatusCode::from_u16(self.0.status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
        let mut response = (status, body).into_response();
        let headers = response.headers_mut();
        headers.insert(CONTENT_TYPE, HeaderValue::from_static(tiffin_api::problem::CONTENT_TYPE));
        headers.insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
        if status == StatusCode::UNAUTHORIZED {
            let challenge = HeaderValue::from_static("Bearer error=\"invalid_token\"");
            headers.insert(WWW_AUTHENTICATE, challenge);
        }
        if self.0.retryable {
            headers.insert(RETRY_AFTER, RETRY_AFTER_S);
        }
        response
    }
}

/// The refusal of a public read. It is an [`ApiError`] whose `404` may be cached for a moment; what is
/// private, or was written, must never use it.
#[derive(Debug)]
pub struct PublicError(ApiError);

impl<E: Into<ApiError>> From<E> for PublicError {
    fn from(error: E) -> Self {
        Self(error.into())
    }
}

impl IntoResponse for PublicError {
    fn into_response(self) -> Response {
        let mut response = self.0.into_response();
        if response.status() == StatusCode::NOT_FOUND {
            response.headers_mut().insert(CACHE_CONTROL, ABSENCE_CACHE_CONTROL);
        }
        response
    }
}
