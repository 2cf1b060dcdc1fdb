//! The API of deals, and the core's clock.

use super::state::view;
use super::store::{self, Offer};
use crate::app::App;
use crate::http::error::{ApiError, PublicError};
use crate::http::etag;
use crate::http::extract::Path;
use crate::http::lang::AskedLang;
use crate::limits;
use axum::extract::State;
use axum::response::{IntoResponse, Response};
use http::HeaderMap;
use http::header::CACHE_CONTROL;
use std::sync::Arc;
use tiffin_api::deal::{Countdown, Deal, DealList};
use tiffin_api::id::DealId;
use tiffin_api::text::Lang;
use tiffin_api::time::TimeAnswer;
use tiffin_api::{ErrorCode, Problem};
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

/// The core's clock is the one that counts: it is off by nothing.
const UNCERTAINTY_MS: Option<i64> = Some(0);

/// The routes of this module.
pub fn routes() -> OpenApiRouter<Arc<App>> {
    OpenApiRouter::new()
        .routes(routes!(list))
        .routes(routes!(read))
        .routes(routes!(countdown))
        .routes(routes!(time))
}

fn deal_not_found() -> ApiError {
    Problem::new(ErrorCode::DealNotFound, "the deals are listed at /v1/deals").into()
}

/// A deal; what is not an id names none.
async fn find(app: &App, id: &str) -> Result<Offer, ApiError> {
    let id: DealId = id.parse().map_err(|_| deal_not_found())?;
    let mut conn = app.db.read().await?;
    store::find(&mut conn, id).await?.ok_or_else(deal_not_found)
}

/// Lists the deals that have not ended long ago, by start.
///
/// A deal stays listed for an hour after its end. At most 500 deals are listed: where there are more,
/// those that start last are left out until earlier ones leave the list. Each stays readable at its own
/// path.
#[utoipa::path(
    get, path = "/v1/deals", tag = "deals",
    params(("lang" = Option<Lang>, Query, description = "else Accept-Language, else each store's own")),
    responses((status = 200, body = DealList), (status = 304))
)]
async fn list(
    State(app): State<Arc<App>>,
    asked: AskedLang,
    headers: HeaderMap,
) -> Result<Response, PublicError> {
    let after_ms = app.clock.now_ms() - limits::DEAL_LISTED_AFTER_END_MS;
    let mut conn = app.db.read().await?;
    let offers = store::list(&mut conn, after_ms).await?;
    let deals: Vec<Deal> = offers
        .iter()
        .map(|offer| view(&offer.deal, offer.currency, asked.unwrap_or(offer.lang)))
        .collect();
    let version = deals.iter().map(|deal| deal.version).max().unwrap_or(0);
    Ok(etag::answer_public(&headers, asked, None, version, &DealList { deals }))
}

/// Reads a deal's definition.
#[utoipa::path(
    get, path = "/v1/deals/{id}", tag = "deals",
    params(
        ("id" = DealId, Path),
        ("lang" = Option<Lang>, Query, description = "else Accept-Language, else the store's own"),
    ),
    responses(
        (status = 200, body = Deal), (status = 304),
        (status = 404, body = Problem, description = "deal-not-found"),
    )
)]
async fn read(
    State(app): State<Arc<App>>,
    Path(id): Path<String>,
    asked: AskedLang,
    headers: HeaderMap,
) -> Result<Response, PublicError> {
    let Offer { deal, currency, lang } = find(&app, &id).await?;
    let lang = asked.unwrap_or(lang);
    let document = view(&deal, currency, lang);
    Ok(etag::answer_public(&headers, asked, Some(lang), document.version, &document))
}

/// Reads a deal's phase now.
#[utoipa::path(
    get, path = "/v1/deals/{id}/countdown", tag = "deals",
    params(("id" = DealId, Path)),
    responses(
        (status = 200, body = Countdown),
        (status = 404, body = Problem, description = "deal-not-found"),
    )
)]
async fn countdown(
    State(app): State<Arc<App>>,
    Path(id): Path<String>,
) -> Result<impl IntoResponse, PublicError> {
    let Offer { deal, currency, lang } = find(&app, &id).await?;
    let countdown = view(&deal, currency, lang).countdown_at(app.clock.now_ms(), UNCERTAINTY_MS);
    Ok(([(CACHE_CONTROL, "no-store")], axum::Json(countdown)))
}

/// Tells the time.
#[utoipa::path(get, path = "/v1/time", tag = "deals", responses((status = 200, body = TimeAnswer)))]
async fn time(State(app): State<Arc<App>>) -> impl IntoResponse {
    let answer = TimeAnswer { now_ms: app.clock.now_ms(), uncertainty_ms: UNCERTAINTY_MS };
    ([(CACHE_CONTROL, "no-store")], axum::Json(answer))
}

#[cfg(test)]
mod tests;
