//! The API of orders: [`create`] places one, [`moves`] takes it from state to state, and here they are read.

mod create;
mod gated;
mod moves;

use super::moves::not_found;
use super::store;
use crate::app::App;
use crate::auth::Caller;
use crate::db::Conn;
use crate::http::error::ApiError;
use crate::http::extract::{PageQuery, Path, Query};
use crate::payments;
use axum::extract::State;
use axum::response::IntoResponse;
use http::header::CACHE_CONTROL;
use std::sync::Arc;
use tiffin_api::Problem;
use tiffin_api::id::{OrderId, StoreId};
use tiffin_api::order::{Order, OrderList};
use tiffin_api::token::Principal;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

/// The routes of this module.
pub fn routes() -> OpenApiRouter<Arc<App>> {
    OpenApiRouter::new()
        .routes(routes!(create::create, list))
        .routes(routes!(read))
        .merge(moves::routes())
}

/// One's own orders, the newest first.
#[utoipa::path(
    get, path = "/v1/orders", tag = "orders", security(("bearer" = [])),
    params(("limit" = Option<u32>, Query), ("cursor" = Option<String>, Query)),
    responses((status = 200, body = OrderList))
)]
async fn list(
    State(app): State<Arc<App>>,
    Caller(principal): Caller,
    Query(page): Query<PageQuery>,
) -> Result<impl IntoResponse, ApiError> {
    let limit = page.limit()?;
    let mut conn = app.db.read().await?;
    // One more than asked for tells whether there is a next page.
    let mut orders = store::list(&mut conn, principal.user_id, page.cursor()?, limit + 1).await?;
    let wanted = usize::try_from(limit).unwrap_or(usize::MAX);
    let more = orders.len() > wanted;
    orders.truncate(wanted);
    let next_cursor = orders.last().filter(|_| more).map(|order| order.id.to_string());
    Ok(([(CACHE_CONTROL, "private, no-store")], axum::Json(OrderList { orders, next_cursor })))
}

/// An order with its payments, for the diner who placed it, the merchant, and the core team.
#[utoipa::path(
    get, path = "/v1/orders/{id}", tag = "orders", security(("bearer" = [])),
    params(("id" = OrderId, Path)),
    responses((status = 200, body = Order), (status = 404, body = Problem, description = "order-not-found"))
)]
async fn read(
    State(app): State<Arc<App>>,
    Caller(principal): Caller,
    Path(id): Path<String>,
) -> Result<impl IntoResponse, ApiError> {
    let mut conn = app.db.read().await?;
    // One snapshot: an order that awaits money beside its captured payment would be a riddle.
    let mut snapshot = conn.begin().await?;
    let mut order = find_visible(&mut snapshot, &principal, &id).await?;
    order.payments = payments::store::of_order(&mut snapshot, order.id).await?;
    Ok(([(CACHE_CONTROL, "private, no-store")], axum::Json(order)))
}

/// The lane of an order: its store. Who may see the order is decided in the lane, over its locked row.
pub async fn lane_of(app: &App, id: &str) -> Result<(OrderId, StoreId), ApiError> {
    let id: OrderId = id.parse().map_err(|_| not_found())?;
    let store = store::store_of(&mut *app.db.read().await?, id).await?;
    Ok((id, store.ok_or_else(not_found)?))
}

/// An order that the principal may see: one's own, or one of a store that one keeps.
async fn find_visible(conn: &mut Conn, principal: &Principal, id: &str) -> Result<Order, ApiError> {
    let id: OrderId = id.parse().map_err(|_| not_found())?;
    let order = store::find(conn, id).await?.ok_or_else(not_found)?;
    let visible = order.user_id == principal.user_id || principal.keeps(order.store_id);
    if visible { Ok(order) } else { Err(not_found().into()) }
}
