//! The one error a handler returns.
//!
//! A refusal is a [`Problem`] and says so itself. A failure of ours (the database, a defect) is logged
//! here, once, with everything we know, and answered with no detail but what to do next. What may go away
//! by itself (a busy database) is `503` with `Retry-After`; what needs a person is `500` without.

use crate::db::DbError;
use crate::limits;
use axum::response::{IntoResponse, Response};
use http::header::{CACHE_CONTROL, CONTENT_TYPE, RETRY_AFTER};
use http::{HeaderValue, StatusCode};
use std::sync::Arc;
use tiffin_api::{ErrorCode, Problem};

/// What to do when the core has no room or time.
const TRY_AGAIN: &str = "try again in a moment, with the same Idempotency-Key if you sent one";
/// What to do about a failure of ours.
const FAILED: &str = "the failure was logged; if you try again, use the same Idempotency-Key";

/// A refusal on its way out.
#[derive(Debug)]
pub struct ApiError(pub Box<Problem>);

impl ApiError {
    /// A failure of ours, which has been logged.
    pub fn internal() -> Self {
        Problem::new(ErrorCode::Internal, FAILED).into()
    }

    /// Nothing is wrong with the request, but it cannot be answered now.
    pub fn unavailable(why: &str) -> Self {
        Problem::new(ErrorCode::Unavailable, format!("{why}; {TRY_AGAIN}")).into()
    }
}

impl From<Problem> for ApiError {
    fn from(problem: Problem) -> Self {
        Self(Box::new(problem))
    }
}

impl From<DbError> for ApiError {
    fn from(error: DbError) -> Self {
        Self::from(Arc::new(error))
    }
}

impl From<Arc<DbError>> for ApiError {
    fn from(error: Arc<DbError>) -> Self {
        if error.is_transient() {
            tracing::warn!(%error, "the database is busy");
            return Self::unavailable("the service is busy");
        }
        tracing::error!(%error, "a request failed");
        Self::internal()
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
        if self.0.retryable {
            let wait_s = self.0.retry_after_s.unwrap_or(limits::RETRY_AFTER_S);
            headers.insert(RETRY_AFTER, HeaderValue::from(wait_s));
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
            let kept = format!("public, max-age={}", limits::ABSENCE_MAX_AGE_S);
            let kept = HeaderValue::try_from(kept).expect("digits are a header value");
            response.headers_mut().insert(CACHE_CONTROL, kept);
        }
        response
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_may_go_away_by_itself_is_worth_a_retry() {
        for (error, status, retry_after) in [
            (sqlx::Error::PoolTimedOut, 503, true),
            (sqlx::Error::PoolClosed, 503, true),
            (sqlx::Error::RowNotFound, 500, false),
        ] {
            let answer = ApiError::from(error).into_response();
            let told = answer.headers().contains_key(RETRY_AFTER);
            assert_eq!((answer.status().as_u16(), told), (status, retry_after));
        }
    }
}
