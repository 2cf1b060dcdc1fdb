//! The API of coupons: templates are made and listed, coupons are claimed, read, tried on, redeemed and
//! withdrawn. What writes is a command ([`super::commands`]).

use super::commands::{
    ClaimCoupon, MakeTemplate, RedeemCoupon, VoidCoupon, invalid_unless_none, no_coupon,
    no_template,
};
use super::{store, terms, validate};
use crate::app::App;
use crate::auth::Caller;
use crate::db::DbError;
use crate::gate::{Entry, Fate};
use crate::http::error::{ApiError, PublicError};
use crate::http::etag;
use crate::http::extract::{IdempotencyKey, Json, PageQuery, Path, Query, Raw};
use crate::http::limit;
use crate::idempotency::{self, Executed, Keyed};
use crate::orders::http::lane_of as lane_of_order;
use axum::extract::State;
use axum::response::{IntoResponse, Response};
use http::header::CACHE_CONTROL;
use http::{HeaderMap, Uri};
use serde::Deserialize;
use std::sync::Arc;
use tiffin_api::coupon::{
    Coupon, CouponList, CouponTemplate, CouponTemplateList, CouponTerms, CouponValidation,
    RedeemCoupon as RedeemBody,
};
use tiffin_api::id::{CouponId, CouponTemplateId, StoreId};
use tiffin_api::order::Order;
use tiffin_api::quote::Basket;
use tiffin_api::token::Role;
use tiffin_api::{ErrorCode, Problem};
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

/// The routes of this module.
pub fn routes() -> OpenApiRouter<Arc<App>> {
    OpenApiRouter::new()
        .routes(routes!(make_template))
        .routes(routes!(list_templates))
        .routes(routes!(claim))
        .routes(routes!(list_own))
        .routes(routes!(try_on))
        .routes(routes!(redeem))
        .routes(routes!(void))
}

/// The lane in which a template's coupons are claimed: they meet in its counter, so they share a lane.
fn lane_of(template: CouponTemplateId) -> StoreId {
    StoreId::from_raw(template.raw())
}

/// Makes a template. Its terms stay as they are from then on; a `ref` is used once.
#[utoipa::path(
    post, path = "/v1/admin/coupon-templates", tag = "coupons", security(("bearer" = [])),
    params(("Idempotency-Key" = String, Header, description = "repeat it to retry; 48 h")),
    request_body = CouponTerms,
    responses(
        (status = 201, body = CouponTemplate),
        (status = 403, body = Problem, description = "forbidden"),
        (status = 404, body = Problem, description = "store-not-found"),
        (status = 409, body = Problem, description = "coupon-template-exists"),
        (status = 422, body = Problem, description = "validation-failed"),
    )
)]
async fn make_template(
    State(app): State<Arc<App>>,
    caller: Caller,
    uri: Uri,
    IdempotencyKey(key): IdempotencyKey,
    Json { value: terms, raw }: Json<CouponTerms>,
) -> Result<Executed, ApiError> {
    caller.require(Role::Admin)?;
    invalid_unless_none(terms::check(&terms))?;
    let keyed = Keyed::new(caller.0.user_id, uri.path(), &key, &raw);
    let id = CouponTemplateId::from_raw(app.mint()?);
    idempotency::execute(&app, lane_of(id), keyed, MakeTemplate { id, terms }).await
}

/// Whose templates are listed.
#[derive(Debug, Deserialize)]
struct OfStore {
    store_id: Option<StoreId>,
}

/// Lists templates whose coupons can be claimed now or later, by id.
///
/// Caps that concern the house alone (in all, per day, the budget) are left out. A page may be shorter than
/// `limit`, or empty, and still have a `next_cursor`.
#[utoipa::path(
    get, path = "/v1/coupon-templates", tag = "coupons",
    params(
        ("store_id" = Option<StoreId>, Query, description = "those of this store and of every store"),
        ("limit" = Option<u32>, Query), ("cursor" = Option<String>, Query),
    ),
    responses((status = 200, body = CouponTemplateList), (status = 304))
)]
async fn list_templates(
    State(app): State<Arc<App>>,
    Query(page): Query<PageQuery>,
    Query(OfStore { store_id }): Query<OfStore>,
    headers: HeaderMap,
) -> Result<Response, PublicError> {
    let limit = page.limit()?;
    let mut conn = app.db.read().await.map_err(ApiError::from)?;
    let found = store::list_templates(&mut conn, store_id, page.cursor()?, limit + 1).await;
    let mut templates = found.map_err(ApiError::from)?;
    let next_cursor = cut(&mut templates, limit, |template| template.id.to_string());
    let now_ms = app.clock.now_ms();
    templates.retain(|template| now_ms < template.terms.claim_window.end_ms);
    for template in &mut templates {
        let caps = &mut template.terms.caps;
        (caps.total, caps.per_day, caps.budget_minor) = (None, None, None);
    }
    let version = templates.iter().map(|template| template.version).max().unwrap_or(0);
    let list = CouponTemplateList { templates, next_cursor };
    Ok(etag::answer(&headers, version, etag::CACHE_PUBLIC, &list))
}

/// Cuts a page that was read with one row more than asked for; that row tells whether there is a next page.
fn cut<T>(rows: &mut Vec<T>, limit: u32, cursor: impl Fn(&T) -> String) -> Option<String> {
    let wanted = usize::try_from(limit).unwrap_or(usize::MAX);
    let more = rows.len() > wanted;
    rows.truncate(wanted);
    rows.last().filter(|_| more).map(cursor)
}

/// Claims a coupon.
#[utoipa::path(
    post, path = "/v1/coupon-templates/{id}/claims", tag = "coupons", security(("bearer" = [])),
    params(("id" = CouponTemplateId, Path), ("Idempotency-Key" = String, Header)),
    responses(
        (status = 201, body = Coupon),
        (status = 404, body = Problem, description = "coupon-template-not-found"),
        (status = 409, body = Problem,
         description = "coupon-sold-out, coupon-already-claimed, coupon-not-started"),
        (status = 410, body = Problem, description = "coupon-expired"),
        (status = 429, body = Problem, description = "rate-limited"),
    )
)]
async fn claim(
    State(app): State<Arc<App>>,
    Caller(principal): Caller,
    uri: Uri,
    Path(id): Path<String>,
    IdempotencyKey(key): IdempotencyKey,
    Raw(body): Raw,
) -> Result<Executed, ApiError> {
    let template: CouponTemplateId = id.parse().map_err(|_| no_template())?;
    let keyed = Keyed::new(principal.user_id, uri.path(), &key, &body);
    let id = CouponId::from_raw(app.mint()?);
    let claim = ClaimCoupon { id, template, user: principal.user_id };
    limit::write(&app, principal.user_id).await?;
    claim_gated(&app, keyed, claim).await
}

/// Has a coupon claimed, unless the gate knows that none are left.
async fn claim_gated(app: &App, keyed: Keyed, claim: ClaimCoupon) -> Result<Executed, ApiError> {
    let template = claim.template;
    let pass = match app.gate.enter(claim.at_gate(&keyed)).await {
        Entry::Pass(pass) => pass,
        Entry::SoldOut(_) | Entry::OverCap => {
            let detail = "all have been claimed";
            return Err(Problem::new(ErrorCode::CouponSoldOut, detail).into());
        }
    };
    let outcome = idempotency::execute(app, lane_of(template), keyed, claim).await;
    app.gate.leave(pass, Fate::of(&outcome, ErrorCode::CouponSoldOut)).await;
    outcome
}

/// One's own coupons, the newest first.
#[utoipa::path(
    get, path = "/v1/me/coupons", tag = "coupons", security(("bearer" = [])),
    params(("limit" = Option<u32>, Query), ("cursor" = Option<String>, Query)),
    responses((status = 200, body = CouponList))
)]
async fn list_own(
    State(app): State<Arc<App>>,
    Caller(principal): Caller,
    Query(page): Query<PageQuery>,
) -> Result<impl IntoResponse, ApiError> {
    let limit = page.limit()?;
    let mut conn = app.db.read().await?;
    let mut rows = store::list(&mut conn, principal.user_id, page.cursor()?, limit + 1).await?;
    let next_cursor = cut(&mut rows, limit, |coupon| coupon.id.to_string());
    let coupons = rows.iter().map(|coupon| coupon.view()).collect();
    Ok(([(CACHE_CONTROL, "private, no-store")], axum::Json(CouponList { coupons, next_cursor })))
}

/// Prices a basket with those of its coupons that help it, and says why the others do not. Nothing is held: an
/// order with the quote may still find a coupon gone.
#[utoipa::path(
    post, path = "/v1/coupons/validate", tag = "coupons", security(("bearer" = [])),
    request_body = Basket,
    responses(
        (status = 200, body = CouponValidation),
        (status = 404, body = Problem, description = "store-not-found"),
        (status = 422, body = Problem,
         description = "validation-failed, modifier-invalid, minimum-not-met, out-of-zone"),
    )
)]
async fn try_on(
    State(app): State<Arc<App>>,
    Caller(principal): Caller,
    Json { value: basket, .. }: Json<Basket>,
) -> Result<impl IntoResponse, ApiError> {
    let validation = validate::validate(&app, principal.user_id, &basket).await?;
    Ok(([(CACHE_CONTROL, "no-store")], axum::Json(validation)))
}

/// Lets one's own unpaid order use a coupon; answers the order at its new price. An order with a payment under
/// way keeps its price.
#[utoipa::path(
    post, path = "/v1/coupons/{id}/redemptions", tag = "coupons", security(("bearer" = [])),
    params(("id" = CouponId, Path), ("Idempotency-Key" = String, Header)),
    request_body = RedeemBody,
    responses(
        (status = 200, body = Order),
        (status = 404, body = Problem, description = "coupon-not-found, order-not-found"),
        (status = 409, body = Problem,
         description = "coupon-locked, coupon-used, coupon-not-started, coupon-first-order-only, \
            coupon-budget-spent, invalid-transition, payment-in-progress, price-changed"),
        (status = 410, body = Problem, description = "coupon-expired, coupon-voided"),
        (status = 422, body = Problem,
         description = "validation-failed, coupon-not-applicable, coupon-minimum-not-met, \
            coupon-not-stackable, idempotency-key-reused"),
        (status = 429, body = Problem, description = "rate-limited"),
    )
)]
async fn redeem(
    State(app): State<Arc<App>>,
    Caller(principal): Caller,
    uri: Uri,
    Path(id): Path<String>,
    IdempotencyKey(key): IdempotencyKey,
    Json { value: RedeemBody { order_id }, raw }: Json<RedeemBody>,
) -> Result<Executed, ApiError> {
    let coupon: CouponId = id.parse().map_err(|_| no_coupon())?;
    let keyed = Keyed::new(principal.user_id, uri.path(), &key, &raw);
    limit::write(&app, principal.user_id).await?;
    let (order, store) = lane_of_order(&app, &order_id.to_string()).await?;
    let redeem = RedeemCoupon { coupon, order, store, user: principal.user_id };
    idempotency::execute(&app, store, keyed, redeem).await
}

/// Withdraws a coupon that no order holds. What has been used stays used.
#[utoipa::path(
    post, path = "/v1/admin/coupons/{id}/void", tag = "coupons", security(("bearer" = [])),
    params(("id" = CouponId, Path), ("Idempotency-Key" = String, Header)),
    responses(
        (status = 200, body = Coupon),
        (status = 403, body = Problem, description = "forbidden"),
        (status = 404, body = Problem, description = "coupon-not-found"),
        (status = 409, body = Problem, description = "invalid-transition"),
    )
)]
async fn void(
    State(app): State<Arc<App>>,
    caller: Caller,
    uri: Uri,
    Path(id): Path<String>,
    IdempotencyKey(key): IdempotencyKey,
    Raw(body): Raw,
) -> Result<Executed, ApiError> {
    caller.require(Role::Admin)?;
    let id: CouponId = id.parse().map_err(|_| no_coupon())?;
    let keyed = Keyed::new(caller.0.user_id, uri.path(), &key, &body);
    let template = template_of(&app, id).await?.ok_or_else(no_coupon)?;
    idempotency::execute(&app, lane_of(template), keyed, VoidCoupon { id }).await
}

async fn template_of(app: &App, id: CouponId) -> Result<Option<CouponTemplateId>, DbError> {
    let found = store::of_ids(&mut *app.db.read().await?, &[id]).await?;
    Ok(found.first().map(|coupon| coupon.template_id))
}
