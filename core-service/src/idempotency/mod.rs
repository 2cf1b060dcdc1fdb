//! Exactly once for the client: the first answer to an Idempotency-Key is the answer to every retry.
//!
//! The record is written in the business transaction, so an effect without its record, or a record
//! without its effect, cannot survive a crash. A key belongs to one principal, method and route; the same
//! key with another body is refused. Refusals before execution (validation, overload) leave no record.
//!
//! A handler calls [`execute`], or [`claim`] and the engine itself if it has to ask somebody in between.

pub mod in_flight;
pub mod store;

use crate::app::App;
use crate::engine::{Done, Operation};
use crate::hex;
use crate::http::error::ApiError;
use axum::response::{IntoResponse, Response};
use http::header::{CACHE_CONTROL, CONTENT_TYPE};
use http::{HeaderName, HeaderValue, StatusCode};
use in_flight::Claim;
use serde::Serialize;
use sha2::{Digest as _, Sha256};
use tiffin_api::id::{StoreId, UserId};
use tiffin_api::{ErrorCode, Problem};

const REPLAYED: HeaderName = HeaderName::from_static("idempotent-replayed");

/// Which request a key stands for.
#[derive(Debug, Clone)]
pub struct Keyed {
    /// SHA-256 over principal, method, route and key, hexadecimal.
    pub scope: String,
    /// SHA-256 over the body, hexadecimal.
    pub body_hash: String,
}

impl Keyed {
    /// Names a request. `route` is the path as it was called: it holds the entity's id.
    pub fn new(principal: UserId, route: &str, key: &str, body: &[u8]) -> Self {
        let mut scope = Sha256::new();
        // POST is the only method that takes a key.
        for part in [principal.to_string().as_str(), "POST", route, key] {
            scope.update((part.len() as u64).to_be_bytes());
            scope.update(part);
        }
        Self {
            scope: hex::encode(&scope.finalize()),
            body_hash: hex::encode(&Sha256::digest(body)),
        }
    }

    /// Refuses a key that stood for another body before.
    pub fn require_same_body(&self, body_hash: &str) -> Result<(), Problem> {
        if self.body_hash == body_hash {
            return Ok(());
        }
        let detail = "use a fresh key for a different request";
        Err(Problem::new(ErrorCode::IdempotencyKeyReused, detail))
    }
}

/// An answer's status and bytes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Answer {
    /// The HTTP status.
    pub status: u16,
    /// The body, JSON.
    pub body: Vec<u8>,
}

impl Answer {
    /// A document with its status.
    pub fn json<T: Serialize>(status: StatusCode, document: &T) -> Self {
        let body = serde_json::to_vec(document).expect("wire documents always serialise");
        Self { status: status.as_u16(), body }
    }

    /// The answer over HTTP; `replayed` says that it was given before.
    pub fn into_response(self, replayed: bool) -> Response {
        let status = StatusCode::from_u16(self.status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
        let kind = if status.is_success() {
            "application/json"
        } else {
            tiffin_api::problem::CONTENT_TYPE
        };
        let headers = [(CONTENT_TYPE, kind), (CACHE_CONTROL, "no-store")];
        let mut response = (status, headers, self.body).into_response();
        if replayed {
            response.headers_mut().insert(REPLAYED, HeaderValue::from_static("true"));
        }
        response
    }
}

/// Has an operation done once for its key, and answers.
pub async fn execute<O: Operation<Output = Answer>>(
    app: &App,
    lane: StoreId,
    keyed: Keyed,
    operation: O,
) -> Result<Executed, ApiError> {
    let claim = claim(app, &keyed)?;
    Ok(app.engine.submit_keyed(lane, keyed, Some(claim), operation).await?.into())
}

/// What [`execute`] did.
#[derive(Debug)]
pub struct Executed {
    /// The answer to the key.
    pub answer: Answer,
    /// Whether it was given before.
    pub replayed: bool,
}

impl From<Done<Answer>> for Executed {
    fn from(done: Done<Answer>) -> Self {
        match done {
            Done::Fresh(answer) => Self { answer, replayed: false },
            Done::Replayed(answer) => Self { answer, replayed: true },
        }
    }
}

impl IntoResponse for Executed {
    fn into_response(self) -> Response {
        self.answer.into_response(self.replayed)
    }
}

/// Keeps twins away while a key is worked on: 409 if somebody works on it already.
pub fn claim(app: &App, keyed: &Keyed) -> Result<Claim, ApiError> {
    app.in_flight.claim(&keyed.scope).map_err(|refusal| {
        let (code, detail) = match refusal {
            in_flight::Refusal::InFlight => {
                (ErrorCode::IdempotencyInFlight, "wait for it, then retry to read its answer")
            }
            in_flight::Refusal::Full => {
                (ErrorCode::Unavailable, "too many writes are in progress; nothing was done")
            }
        };
        Problem::new(code, detail).into()
    })
}
