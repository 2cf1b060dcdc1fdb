//! `POST /v1/orders`.

use super::gated;
use crate::app::App;
use crate::auth::Caller;
use crate::http::error::ApiError;
use crate::http::extract::{IdempotencyKey, Json};
use crate::http::limit;
use crate::idempotency::{Executed, Keyed};
use crate::limits;
use crate::orders::create::Create;
use crate::pricing::quote_id;
use crate::pricing::state::check_shape;
use axum::extract::State;
use http::Uri;
use std::sync::Arc;
use tiffin_api::id::{OrderId, UserId};
use tiffin_api::order::{Order, PlaceOrder};
use tiffin_api::{ErrorCode, FieldError, Problem, written};

/// Places an order: reserves its stock, all or nothing, and awaits its payment. One that costs nothing is paid
/// in the same commit, without a payment.
#[utoipa::path(
    post, path = "/v1/orders", tag = "orders", security(("bearer" = [])),
    params(("Idempotency-Key" = String, Header, description = "repeat it to retry; 48 h")),
    request_body = PlaceOrder,
    responses(
        (status = 201, body = Order),
        (status = 409, body = Problem,
         description = "out-of-stock, price-changed, store-closed, item-unavailable, \
            hold-limit-reached, coupon-locked, coupon-used, coupon-not-started, \
            coupon-first-order-only, coupon-budget-spent"),
        (status = 410, body = Problem, description = "coupon-expired, coupon-voided"),
        (status = 404, body = Problem, description = "store-not-found, coupon-not-found"),
        (status = 422, body = Problem,
         description = "validation-failed, modifier-invalid, minimum-not-met, out-of-zone, \
            coupon-not-applicable, coupon-minimum-not-met, coupon-not-stackable, \
            idempotency-key-reused"),
        (status = 429, body = Problem, description = "rate-limited"),
    )
)]
pub(super) async fn create(
    State(app): State<Arc<App>>,
    Caller(principal): Caller,
    uri: Uri,
    IdempotencyKey(key): IdempotencyKey,
    Json { value: body, raw }: Json<PlaceOrder>,
) -> Result<Executed, ApiError> {
    check(&body)?;
    let keyed = Keyed::new(principal.user_id, uri.path(), &key, &raw);
    let outcome = place(&app, principal.user_id, keyed, body).await;
    app.metrics.order(match &outcome {
        Ok(Executed { replayed: true, .. }) => "replayed",
        Ok(Executed { replayed: false, .. }) => "placed",
        Err(ApiError(problem)) => problem.code.as_str(),
    });
    outcome
}

/// Refuses what can be refused without the ledger.
fn check(body: &PlaceOrder) -> Result<(), ApiError> {
    check_shape(&body.basket).map_err(Problem::from)?;
    // An empty one is none.
    let Some(note) = body.note.as_deref().filter(|note| !note.is_empty()) else { return Ok(()) };
    let unfit = match written::check(note) {
        Ok(()) if note.chars().count() <= limits::NOTE_CHARS => return Ok(()),
        Ok(()) => format!("a note has at most {} characters", limits::NOTE_CHARS),
        Err(unfit) => unfit.to_string(),
    };
    let errors = vec![FieldError::at("/note", unfit)];
    let detail = "some fields are not valid";
    Err(Problem::with_errors(ErrorCode::ValidationFailed, detail, errors).into())
}

async fn place(
    app: &App,
    user: UserId,
    keyed: Keyed,
    body: PlaceOrder,
) -> Result<Executed, ApiError> {
    let quoted = body.quote_id.as_deref().map(|id| quote_id::read(&app.keys, &body.basket, id));
    limit::write(app, user).await?;
    let create = Create {
        id: OrderId::from_raw(app.mint()?),
        user,
        quoted,
        pay_within_ms: app.settings.pay_within_ms,
        held_units_cap: app.settings.held_units_cap,
        keys: Arc::clone(&app.keys),
        body,
    };
    gated::place(app, keyed, create).await
}
