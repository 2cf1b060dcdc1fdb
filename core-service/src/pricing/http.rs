//! `POST /v1/quotes`.

use super::quote_id::{self, Quoted};
use super::state::{self, PriceError};
use crate::app::App;
use crate::catalog::store::load_for_pricing;
use crate::http::error::ApiError;
use crate::http::extract::Json;
use crate::limits;
use axum::extract::State;
use http::header::CACHE_CONTROL;
use std::sync::Arc;
use tiffin_api::quote::{Basket, Pricing, Quote};
use tiffin_api::{ErrorCode, FieldError, Problem};
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

/// The routes of this module.
pub fn routes() -> OpenApiRouter<Arc<App>> {
    OpenApiRouter::new().routes(routes!(quote))
}

/// Prices a basket without coupons; the answer names the price for ten minutes. A basket with coupons is
/// priced by `POST /v1/coupons/validate`, which knows whose they are.
#[utoipa::path(
    post, path = "/v1/quotes", tag = "quotes",
    request_body = Basket,
    responses(
        (status = 200, body = Quote),
        (status = 404, body = Problem, description = "store-not-found"),
        (status = 422, body = Problem,
         description = "validation-failed, modifier-invalid, minimum-not-met, out-of-zone"),
    )
)]
async fn quote(
    State(app): State<Arc<App>>,
    Json { value: basket, .. }: Json<Basket>,
) -> Result<impl axum::response::IntoResponse, ApiError> {
    state::check_shape(&basket).map_err(Problem::from)?;
    if !basket.coupon_ids.is_empty() {
        let detail = "a basket with coupons is priced by POST /v1/coupons/validate";
        return Err(Problem::from(PriceError::Invalid(vec![FieldError::at(
            "/coupon_ids",
            detail,
        )]))
        .into());
    }
    let items: Vec<_> = basket.lines.iter().map(|line| line.item_id).collect();
    let mut conn = app.db.read().await?;
    let data = load_for_pricing(&mut conn, basket.store_id, &items).await?.ok_or_else(|| {
        Problem::new(ErrorCode::StoreNotFound, "the stores are listed at /v1/stores")
    })?;
    let pricing = state::price(&data.store, &data.items, &basket).map_err(Problem::from)?;
    let quote = name_price(&app, &basket, pricing);
    Ok(([(CACHE_CONTROL, "no-store")], axum::Json(quote)))
}

/// Gives a price its id.
pub fn name_price(app: &App, basket: &Basket, pricing: Pricing) -> Quote {
    let expires_at_ms = app.clock.now_ms() + limits::QUOTE_KEEP_MS;
    let quoted = Quoted { total_minor: pricing.total_minor, expires_at_ms };
    Quote { quote_id: quote_id::mint(&app.keys, basket, quoted), expires_at_ms, pricing }
}
