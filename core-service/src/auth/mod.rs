//! Who is asking: the keys that sign tokens, and the check of a request's token.
//!
//! Start with [`keys::Keys`] for what lies on disk and [`Caller`] for what a handler asks for.

pub mod keys;

use crate::app::App;
use crate::http::error::ApiError;
use axum::extract::FromRequestParts;
use http::header::AUTHORIZATION;
use http::request::Parts;
use std::sync::Arc;
use tiffin_api::token::{self, Principal, Role, TokenError};
use tiffin_api::{ErrorCode, Problem};

/// The principal of a request whose token has been verified. A handler that takes this is private.
#[derive(Debug)]
pub struct Caller(pub Principal);

impl Caller {
    /// Refuses a principal that lacks the role.
    pub fn require(&self, role: Role) -> Result<(), ApiError> {
        if self.0.has(role) {
            return Ok(());
        }
        let detail = format!("this needs the role {role:?}; your token does not carry it");
        Err(Problem::new(ErrorCode::Forbidden, detail).into())
    }
}

impl FromRequestParts<Arc<App>> for Caller {
    type Rejection = ApiError;

    async fn from_request_parts(parts: &mut Parts, app: &Arc<App>) -> Result<Self, ApiError> {
        let token = parts
            .headers
            .get(AUTHORIZATION)
            .and_then(|value| value.to_str().ok())
            .and_then(token::bearer)
            .ok_or_else(|| {
                let detail = "send a token: Authorization: Bearer <token>";
                Problem::new(ErrorCode::Unauthenticated, detail)
            })?;
        let principal = app.keys.verifier().verify(token, app.clock.now_ms()).map_err(|error| {
            let code = match error {
                TokenError::Expired => ErrorCode::TokenExpired,
                TokenError::Malformed
                | TokenError::UnknownKey
                | TokenError::BadSignature
                | TokenError::NotYetValid
                | TokenError::TooLongLived
                | TokenError::WrongAudience => ErrorCode::Unauthenticated,
            };
            Problem::new(code, format!("{error}; ask for a new one"))
        })?;
        Ok(Self(principal))
    }
}
