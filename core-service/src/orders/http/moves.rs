//! The moves of an order: one route each, all alike. Who may make which is decided here, what the state
//! allows by [`crate::orders::state`].

use super::find_visible;
use crate::app::App;
use crate::auth::Caller;
use crate::http::error::ApiError;
use crate::http::extract::{IdempotencyKey, Path, Raw};
use crate::idempotency::{Answer, Begun, Keyed, Once};
use crate::orders::settle::{self, MoveError};
use crate::orders::state::Move;
use crate::payments;
use axum::extract::State;
use axum::response::Response;
use http::{StatusCode, Uri};
use std::sync::Arc;
use tiffin_api::id::OrderId;
use tiffin_api::order::{Order, OrderState};
use tiffin_api::{ErrorCode, Problem};
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
    ($(#[$doc:meta])* $name:ident, $path:literal, $choose:expr) => {
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
            caller: Caller,
            uri: Uri,
            Path(id): Path<String>,
            IdempotencyKey(key): IdempotencyKey,
            Raw(body): Raw,
        ) -> Result<Response, ApiError> {
            let keyed = Keyed::new(caller.0.user_id, uri.path(), &key, &body);
            move_order(&app, &caller, &id, keyed, $choose).await
        }
    };
}

move_handler! {
    /// Takes an order back: unpaid it closes, paid it is cancelled and its money goes back. Once the
    /// merchant has accepted it, only the merchant or the core team can.
    cancel, "/v1/orders/{id}/cancel", cancel_move
}
move_handler! {
    /// The merchant takes a paid order on.
    accept, "/v1/orders/{id}/accept", |caller, order| staff_move(caller, order, Move::Accept)
}
move_handler! {
    /// The merchant refuses a paid order; its money goes back.
    reject, "/v1/orders/{id}/reject", |caller, order| staff_move(caller, order, Move::Reject)
}
move_handler! {
    /// The kitchen begins.
    prepare, "/v1/orders/{id}/prepare", |caller, order| staff_move(caller, order, Move::Prepare)
}
move_handler! {
    /// The order is ready to be fetched.
    ready, "/v1/orders/{id}/ready", |caller, order| staff_move(caller, order, Move::MarkReady)
}
move_handler! {
    /// A courier takes the order.
    dispatch, "/v1/orders/{id}/dispatch", |caller, order| staff_move(caller, order, Move::Dispatch)
}
move_handler! {
    /// The diner has the order.
    complete, "/v1/orders/{id}/complete", |caller, order| staff_move(caller, order, Move::Complete)
}

/// A move that only who keeps the store may make.
fn staff_move(caller: &Caller, order: &Order, wanted: Move) -> Result<Move, ApiError> {
    if caller.0.keeps(order.store_id) {
        return Ok(wanted);
    }
    let detail = "this needs a merchant's token that names the order's store";
    Err(Problem::new(ErrorCode::Forbidden, detail).into())
}

fn cancel_move(caller: &Caller, order: &Order) -> Result<Move, ApiError> {
    Ok(match order.state {
        // A repeat finds the order closed already, which is the quiet success that Close gives.
        OrderState::PendingPayment | OrderState::Closed => Move::Close,
        _ if caller.0.keeps(order.store_id) => Move::Revoke,
        _ => Move::Cancel,
    })
}

async fn move_order(
    app: &App,
    caller: &Caller,
    id: &str,
    keyed: Keyed,
    choose: impl FnOnce(&Caller, &Order) -> Result<Move, ApiError>,
) -> Result<Response, ApiError> {
    let mut once = match Once::begin(app, keyed).await? {
        Begun::Replay(response) => return Ok(response),
        Begun::Fresh(once) => once,
    };
    let now_ms = app.clock.now_ms();
    let order = find_visible(&mut once.tx, &caller.0, id).await?;
    let wanted = choose(caller, &order)?;
    match settle::apply(&mut once.tx, &app.ids, order, wanted, now_ms).await {
        Ok(mut order) => {
            order.payments = payments::store::of_order(&mut once.tx, order.id).await?;
            once.finish(Answer::json(StatusCode::OK, &order), now_ms).await
        }
        Err(MoveError::Invalid(error)) => {
            let problem = Problem::new(ErrorCode::InvalidTransition, error.to_string());
            once.refuse(problem, now_ms).await
        }
        Err(MoveError::Db(error)) => Err(error.into()),
    }
}
