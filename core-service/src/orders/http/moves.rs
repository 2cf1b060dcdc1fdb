//! The moves of an order: one route each, all alike. [`crate::orders::moves`] decides them.

use super::lane_of;
use crate::app::App;
use crate::auth::Caller;
use crate::http::error::ApiError;
use crate::http::extract::{IdempotencyKey, OptionalJson, Path, Raw};
use crate::idempotency::{self, Executed, Keyed};
use crate::orders::moves::{MoveOrder, Wish};
use crate::orders::state::Move;
use axum::extract::State;
use http::Uri;
use std::sync::Arc;
use tiffin_api::Problem;
use tiffin_api::id::OrderId;
use tiffin_api::order::{CancelOrder, Order};
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

/// The routes of this module.
pub(super) fn routes() -> OpenApiRouter<Arc<App>> {
    OpenApiRouter::new()
        .routes(routes!(cancel))
        .routes(routes!(accept))
        .routes(routes!(reject))
        .routes(routes!(prepare))
        .routes(routes!(ready))
        .routes(routes!(dispatch))
        .routes(routes!(complete))
}

/// Declares the handler of one move of an order.
macro_rules! move_handler {
    ($(#[$doc:meta])* $name:ident, $path:literal, $wish:expr) => {
        $(#[$doc])*
        #[utoipa::path(
            post, path = $path, tag = "orders", security(("bearer" = [])),
            params(("id" = OrderId, Path), ("Idempotency-Key" = String, Header)),
            responses(
                (status = 200, body = Order),
                (status = 403, body = Problem, description = "forbidden"),
                (status = 404, body = Problem, description = "order-not-found"),
                (status = 409, body = Problem, description = "invalid-transition"),
            )
        )]
        async fn $name(
            State(app): State<Arc<App>>,
            Caller(principal): Caller,
            uri: Uri,
            Path(id): Path<String>,
            IdempotencyKey(key): IdempotencyKey,
            Raw(body): Raw,
        ) -> Result<Executed, ApiError> {
            let keyed = Keyed::new(principal.user_id, uri.path(), &key, &body);
            let (id, lane) = lane_of(&app, &id).await?;
            let move_order = MoveOrder { id, principal, wish: $wish };
            idempotency::execute(&app, lane, keyed, move_order).await
        }
    };
}

/// Takes an order back: unpaid it closes, paid it is cancelled and its money and coupons go back. Once the
/// merchant has accepted it, only the merchant or the core team can, and `restock` says whether its units can be
/// sold again.
#[utoipa::path(
    post, path = "/v1/orders/{id}/cancel", tag = "orders", security(("bearer" = [])),
    params(("id" = OrderId, Path), ("Idempotency-Key" = String, Header)),
    request_body = Option<CancelOrder>,
    responses(
        (status = 200, body = Order),
        (status = 404, body = Problem, description = "order-not-found"),
        (status = 409, body = Problem, description = "invalid-transition"),
        (status = 422, body = Problem, description = "validation-failed, idempotency-key-reused"),
    )
)]
async fn cancel(
    State(app): State<Arc<App>>,
    Caller(principal): Caller,
    uri: Uri,
    Path(id): Path<String>,
    IdempotencyKey(key): IdempotencyKey,
    OptionalJson { value, raw }: OptionalJson<CancelOrder>,
) -> Result<Executed, ApiError> {
    let keyed = Keyed::new(principal.user_id, uri.path(), &key, &raw);
    let (id, lane) = lane_of(&app, &id).await?;
    let CancelOrder { restock } = value.unwrap_or_default();
    let move_order = MoveOrder { id, principal, wish: Wish::TakeBack { restock } };
    idempotency::execute(&app, lane, keyed, move_order).await
}

move_handler! {
    /// The merchant takes a paid order on.
    accept, "/v1/orders/{id}/accept", Wish::Staff(Move::Accept)
}
move_handler! {
    /// The merchant refuses a paid order; its money, coupons and units go back.
    reject, "/v1/orders/{id}/reject", Wish::Staff(Move::Reject)
}
move_handler! {
    /// The kitchen begins.
    prepare, "/v1/orders/{id}/prepare", Wish::Staff(Move::Prepare)
}
move_handler! {
    /// The order is ready to be fetched.
    ready, "/v1/orders/{id}/ready", Wish::Staff(Move::MarkReady)
}
move_handler! {
    /// A courier takes the order.
    dispatch, "/v1/orders/{id}/dispatch", Wish::Staff(Move::Dispatch)
}
move_handler! {
    /// The diner has the order.
    complete, "/v1/orders/{id}/complete", Wish::Staff(Move::Complete)
}
