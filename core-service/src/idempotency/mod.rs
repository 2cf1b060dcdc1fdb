//! Exactly once for the client: the first answer to an Idempotency-Key is the answer to every retry.
//!
//! The record is written in the business transaction, so an effect without its record, or a record
//! without its effect, cannot survive a crash. A key belongs to one principal, method and route; the same
//! key with another body is refused. Refusals before execution (validation, overload) leave no record.
//!
//! A handler reads: [`Once::begin`] → decide and save on `once.tx` → [`Once::finish`].

pub mod in_flight;
pub mod store;

use crate::app::App;
use crate::db::Tx;
use crate::hex;
use crate::http::error::ApiError;
use axum::response::{IntoResponse, Response};
use http::header::{CACHE_CONTROL, CONTENT_TYPE};
use http::{HeaderName, HeaderValue, StatusCode};
use in_flight::Claim;
use serde::Serialize;
use sha2::{Digest as _, Sha256};
use store::Recorded;
use tiffin_api::id::UserId;
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
    pub fn require_same_body(&self, body_hash: &str) -> Result<(), ApiError> {
        if self.body_hash == body_hash {
            return Ok(());
        }
        let detail = "use a fresh key for a different request";
        Err(Problem::new(ErrorCode::IdempotencyKeyReused, detail).into())
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

    fn into_response(self, replayed: bool) -> Response {
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

/// What [`Once::begin`] found.
pub enum Begun {
    /// The request was answered before; this is its answer.
    Replay(Response),
    /// Nobody has answered it yet.
    Fresh(Once),
}

/// A request that is being executed for the first time. Dropped, it leaves nothing behind.
pub struct Once {
    /// The business transaction; the record joins it.
    pub tx: Tx,
    keyed: Keyed,
    _claim: Claim,
}

impl Once {
    /// Begins the business transaction, unless the key was answered before (replay), is being worked on
    /// (409), or was used with another body (422).
    pub async fn begin(app: &App, keyed: Keyed) -> Result<Begun, ApiError> {
        let claim = claim(app, &keyed)?;
        let mut tx = app.db.write().await?;
        match store::find(&mut tx, &keyed.scope).await? {
            Some(recorded) => Ok(Begun::Replay(replay(recorded, &keyed)?)),
            None => Ok(Begun::Fresh(Self { tx, keyed, _claim: claim })),
        }
    }

    /// The request.
    pub fn keyed(&self) -> &Keyed {
        &self.keyed
    }

    /// Records the answer, commits, and only then lets the answer out.
    pub async fn finish(mut self, answer: Answer, now_ms: i64) -> Result<Response, ApiError> {
        store::save(&mut self.tx, &self.keyed, &answer, now_ms).await?;
        self.tx.commit().await?;
        Ok(answer.into_response(false))
    }

    /// Ends with a refusal; nothing may have been saved but what stays true without the effect. A conflict
    /// was decided on the state of the tables and is recorded like any answer. Anything else was not
    /// executed: it leaves no record, so a corrected request may use the same key.
    pub async fn refuse(self, problem: Problem, now_ms: i64) -> Result<Response, ApiError> {
        match StatusCode::from_u16(problem.status) {
            Ok(status @ StatusCode::CONFLICT) => {
                self.finish(Answer::json(status, &problem), now_ms).await
            }
            _ => {
                self.tx.rollback().await?;
                Err(problem.into())
            }
        }
    }

    /// Commits what has been saved so far and keeps the claim, for a request that must ask somebody else
    /// before it can answer. [`Resumable::resume`] begins the second transaction.
    pub async fn commit_and_hold(self) -> Result<Resumable, ApiError> {
        self.tx.commit().await?;
        Ok(Resumable { keyed: self.keyed, claim: self._claim })
    }
}

/// A request between its two transactions.
pub struct Resumable {
    keyed: Keyed,
    claim: Claim,
}

impl Resumable {
    /// Begins the transaction that will record the answer.
    pub async fn resume(self, app: &App) -> Result<Once, ApiError> {
        Ok(Once { tx: app.db.write().await?, keyed: self.keyed, _claim: self.claim })
    }
}

fn claim(app: &App, keyed: &Keyed) -> Result<Claim, ApiError> {
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

fn replay(recorded: Recorded, keyed: &Keyed) -> Result<Response, ApiError> {
    keyed.require_same_body(&recorded.body_hash)?;
    Ok(recorded.answer.into_response(true))
}
