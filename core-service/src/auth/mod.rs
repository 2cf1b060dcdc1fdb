//! Who is asking: the keys that sign tokens, and the check of a request's token.
//!
//! Start with [`keys::Keys`] for what lies on disk and [`Caller`] for what a handler asks for; [`tokens`] keeps
//! what was verified lately.

pub mod keys;
pub mod tokens;

use crate::app::App;
use crate::http::error::ApiError;
use axum::extract::FromRequestParts;
use axum::response::{IntoResponse, Response};
use http::HeaderValue;
use http::header::{AUTHORIZATION, WWW_AUTHENTICATE};
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

/// Why a request has no principal.
#[derive(Debug)]
pub enum AuthError {
    /// It carries no bearer token.
    Missing,
    /// Its token does not verify.
    Invalid(TokenError),
}

impl IntoResponse for AuthError {
    /// The challenge names an error only where a token was sent (RFC 6750, section 3.1).
    fn into_response(self) -> Response {
        let (problem, challenge) = match self {
            Self::Missing => {
                let detail = "send a token: Authorization: Bearer <token>";
                (Problem::new(ErrorCode::Unauthenticated, detail), "Bearer")
            }
            Self::Invalid(error) => {
                let detail = format!("{error}; ask for a new one");
                (Problem::new(error.into(), detail), "Bearer error=\"invalid_token\"")
            }
        };
        let mut response = ApiError::from(problem).into_response();
        response.headers_mut().insert(WWW_AUTHENTICATE, HeaderValue::from_static(challenge));
        response
    }
}

impl FromRequestParts<Arc<App>> for Caller {
    type Rejection = AuthError;

    async fn from_request_parts(parts: &mut Parts, app: &Arc<App>) -> Result<Self, AuthError> {
        let token = parts
            .headers
            .get(AUTHORIZATION)
            .and_then(|value| value.to_str().ok())
            .and_then(token::bearer)
            .ok_or(AuthError::Missing)?;
        let now_ms = app.clock.now_ms();
        app.tokens.verify(&app.keys, token, now_ms).map(Self).map_err(AuthError::Invalid)
    }
}
