//! `GET /internal/known-ids`, for edges and operators.

use crate::app::App;
use crate::auth::Caller;
use crate::http::error::ApiError;
use axum::extract::State;
use axum::response::{IntoResponse, Response};
use http::header::{CACHE_CONTROL, CONTENT_TYPE};
use std::sync::Arc;
use tiffin_api::token::Role;

/// Answers with [`tiffin_api::known_ids::KnownIds`].
pub async fn read(State(app): State<Arc<App>>, caller: Caller) -> Result<Response, ApiError> {
    caller.require(Role::Admin).or_else(|_| caller.require(Role::Edge))?;
    let headers = [(CONTENT_TYPE, "application/json"), (CACHE_CONTROL, "no-store")];
    Ok((headers, super::answer(&app).await?).into_response())
}
