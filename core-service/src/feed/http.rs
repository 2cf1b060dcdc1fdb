//! `GET /internal/feed`: the feed as server-sent events, for edges and operators.

use super::reader::{Place, Reader};
use crate::app::App;
use crate::auth::Caller;
use crate::http::error::ApiError;
use crate::http::extract::Query;
use axum::body::{Body, Bytes};
use axum::extract::State;
use axum::response::{IntoResponse, Response};
use http::HeaderMap;
use http::header::{CACHE_CONTROL, CONTENT_TYPE};
use serde::Deserialize;
use std::convert::Infallible;
use std::sync::Arc;
use tiffin_api::token::Role;
use tiffin_api::{ErrorCode, Problem};
use tokio::sync::mpsc;

/// The header in which a client that comes back names the last id it has seen (WHATWG HTML, 9.2.4).
const LAST_EVENT_ID: &str = "last-event-id";

/// Where a client that has no [`LAST_EVENT_ID`] wants to begin.
#[derive(Debug, Deserialize)]
pub struct FollowQuery {
    after: Option<String>,
}

/// Streams the feed. The header wins over the query: a client that reconnects repeats its first URL.
pub async fn follow(
    State(app): State<Arc<App>>,
    caller: Caller,
    headers: HeaderMap,
    Query(query): Query<FollowQuery>,
) -> Result<Response, ApiError> {
    caller.require(Role::Admin).or_else(|_| caller.require(Role::Edge))?;
    let after = match headers.get(LAST_EVENT_ID) {
        Some(value) => Some(position(value.to_str().unwrap_or_default())?),
        None => query.after.as_deref().map(position).transpose()?,
    };
    let place = Place::take(&app)
        .ok_or_else(|| ApiError::unavailable("the feed has as many readers as it can"))?;
    let (reader, chunks) = Reader::open(Arc::clone(&app), place, after).await?;
    // Tracked, so that the ledger is not closed under a reader.
    app.tasks.spawn(reader.run());
    let headers = [(CONTENT_TYPE, "text/event-stream"), (CACHE_CONTROL, "no-store")];
    Ok((headers, Body::from_stream(stream(chunks))).into_response())
}

fn position(text: &str) -> Result<i64, ApiError> {
    match text.parse() {
        Ok(seq) if seq >= 0 => Ok(seq),
        _ => {
            let detail = "Last-Event-ID and after are the id of an event of this feed, 0 for all that is kept";
            Err(Problem::new(ErrorCode::BadRequest, detail).into())
        }
    }
}

fn stream(
    chunks: mpsc::Receiver<Bytes>,
) -> impl futures::Stream<Item = Result<Bytes, Infallible>> + Send + 'static {
    futures::stream::unfold(chunks, async |mut chunks| {
        chunks.recv().await.map(|chunk| (Ok(chunk), chunks))
    })
}
