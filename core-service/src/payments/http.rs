//! `POST /v1/orders/{id}/payments`: pays an order.
//!
//! The provider is asked between two commands: the first writes the payment down, the second what the
//! provider said together with the answer for the Idempotency-Key. A crash in between leaves the payment
//! undecided. A retry with the same key finds it by its scope and asks again under the same payment id, so
//! no money is taken twice; and if nobody retries, [`reconcile`] settles it.

use super::commands::{Conclude, WriteDown, Written};
use super::reconcile;
use crate::app::App;
use crate::auth::Caller;
use crate::engine::Done;
use crate::http::error::ApiError;
use crate::http::extract::{IdempotencyKey, Json, Path};
use crate::http::limit;
use crate::idempotency::{self, Executed, Keyed};
use crate::orders;
use axum::extract::State;
use http::Uri;
use std::sync::Arc;
use tiffin_api::id::{OrderId, PaymentId};
use tiffin_api::order::OrderState;
use tiffin_api::payment::{CreatePayment, Payment, PaymentMethod};
use tiffin_api::token::Principal;
use tiffin_api::{ErrorCode, Problem};
use tracing::Instrument as _;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

/// The routes of this module.
pub fn routes() -> OpenApiRouter<Arc<App>> {
    OpenApiRouter::new().routes(routes!(create))
}

/// Pays an order. The amount comes from the order only.
#[utoipa::path(
    post, path = "/v1/orders/{id}/payments", tag = "payments", security(("bearer" = [])),
    params(("id" = OrderId, Path), ("Idempotency-Key" = String, Header)),
    request_body = CreatePayment,
    responses(
        (status = 201, body = Payment),
        (status = 404, body = Problem, description = "order-not-found"),
        (status = 409, body = Problem, description = "payment-in-progress, invalid-transition"),
        (status = 422, body = Problem, description = "validation-failed, idempotency-key-reused"),
        (status = 429, body = Problem, description = "rate-limited"),
    )
)]
async fn create(
    State(app): State<Arc<App>>,
    Caller(principal): Caller,
    uri: Uri,
    Path(order_id): Path<String>,
    IdempotencyKey(key): IdempotencyKey,
    Json { value: body, raw }: Json<CreatePayment>,
) -> Result<Executed, ApiError> {
    let keyed = Keyed::new(principal.user_id, uri.path(), &key, &raw);
    // In a task of its own: a client that goes away must not cut the ask from its answer.
    let paying = pay(Arc::clone(&app), principal, order_id, keyed, body.method);
    app.tasks.spawn(paying.in_current_span()).await.unwrap_or_else(|error| {
        tracing::error!(%error, "a payment was cut short; it will be reconciled");
        let detail = "the failure was logged; retry with the same Idempotency-Key";
        Err(Problem::new(ErrorCode::Internal, detail).into())
    })
}

async fn pay(
    app: Arc<App>,
    principal: Principal,
    order: String,
    keyed: Keyed,
    method: PaymentMethod,
) -> Result<Executed, ApiError> {
    let (order, lane) = orders::http::lane_of(&app, &order).await?;
    limit::payment(&app, principal.user_id, &keyed.scope).await?;
    let _claim = idempotency::claim(&app, &keyed)?;
    let id = PaymentId::from_raw(app.mint()?);
    let write_down = WriteDown { id, order, user: principal.user_id, method, keyed: keyed.clone() };
    let Written { payment, order } =
        match app.engine.submit_keyed(lane, keyed.clone(), None, write_down).await? {
            Done::Replayed(answer) => return Ok(Executed { answer, replayed: true }),
            Done::Fresh(written) => written,
        };

    let said = if order == OrderState::PendingPayment {
        app.sandbox.charge(&payment).await
    } else {
        // A retry that comes after the order has closed takes no money any more.
        reconcile::say(&app, &payment, order).await
    };
    let said = match said {
        Ok(said) => Some(said),
        // Whether money moved is unknown: the answer says so by the state, and a job asks again.
        Err(error) => {
            tracing::warn!(payment_id = %payment.id, %error, "the provider did not answer");
            None
        }
    };

    let conclude = Conclude { id: payment.id, said };
    Ok(match app.engine.submit_keyed(lane, keyed, None, conclude).await? {
        Done::Fresh(answer) => Executed { answer, replayed: false },
        Done::Replayed(answer) => Executed { answer, replayed: true },
    })
}
