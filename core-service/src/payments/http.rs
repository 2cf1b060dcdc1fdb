//! `POST /v1/orders/{id}/payments`: pays an order.
//!
//! The provider is asked between two transactions: the first writes the payment down, the second what the
//! provider said together with the answer for the Idempotency-Key. A crash in between leaves the payment
//! undecided. A retry with the same key finds it by its scope and asks again under the same payment id, so
//! no money is taken twice; and if nobody retries, [`reconcile`] settles it.

use super::{apply, reconcile, state, store};
use crate::app::App;
use crate::auth::Caller;
use crate::db::code::to_text;
use crate::http::error::ApiError;
use crate::http::extract::{IdempotencyKey, Json, Path};
use crate::idempotency::{Answer, Begun, Keyed, Once};
use crate::orders;
use axum::extract::State;
use axum::response::Response;
use http::{StatusCode, Uri};
use std::sync::Arc;
use tiffin_api::id::{OrderId, PaymentId};
use tiffin_api::order::OrderState;
use tiffin_api::payment::{CreatePayment, Payment, PaymentState};
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
    )
)]
async fn create(
    State(app): State<Arc<App>>,
    Caller(principal): Caller,
    uri: Uri,
    Path(order_id): Path<String>,
    IdempotencyKey(key): IdempotencyKey,
    Json { value: body, raw }: Json<CreatePayment>,
) -> Result<Response, ApiError> {
    let keyed = Keyed::new(principal.user_id, uri.path(), &key, &raw);
    // In a task of its own: a client that goes away must not cut the ask from its answer.
    let paying = pay(Arc::clone(&app), principal, order_id, keyed, body);
    app.tasks.spawn(paying.in_current_span()).await.unwrap_or_else(|error| {
        tracing::error!(%error, "a payment was cut short; it will be reconciled");
        let detail = "the failure was logged; retry with the same Idempotency-Key";
        Err(Problem::new(ErrorCode::Internal, detail).into())
    })
}

async fn pay(
    app: Arc<App>,
    principal: Principal,
    order_id: String,
    keyed: Keyed,
    body: CreatePayment,
) -> Result<Response, ApiError> {
    let mut once = match Once::begin(&app, keyed).await? {
        Begun::Replay(response) => return Ok(response),
        Begun::Fresh(once) => once,
    };
    let Written { payment, order } =
        match write_down(&app, &mut once, &principal, &order_id, body).await {
            Ok(written) => written,
            Err(ApiError(problem)) => return once.refuse(*problem, app.clock.now_ms()).await,
        };
    let held = once.commit_and_hold().await?;

    let said = if order == OrderState::PendingPayment {
        app.sandbox.charge(&payment).await
    } else {
        // A retry that comes after the order has closed takes no money any more.
        reconcile::say(&app, &payment, order).await
    };

    let mut once = held.resume(&app).await?;
    let now_ms = app.clock.now_ms();
    // A webhook may have been faster: go on from what the tables say now.
    let mut payment = store::get(&mut once.tx, payment.id).await?;
    match said {
        Ok(said) => payment = apply::apply(&mut once.tx, &app.ids, payment, said, now_ms).await?,
        // Whether money moved is unknown: the answer says so by the state, and a job asks again.
        Err(error) => {
            tracing::warn!(payment_id = %payment.id, %error, "the provider did not answer")
        }
    }
    once.finish(Answer::json(StatusCode::CREATED, &payment), now_ms).await
}

/// A payment in the tables, and its order's state.
struct Written {
    payment: Payment,
    order: OrderState,
}

/// Writes the payment down, or finds it where an earlier try left it.
async fn write_down(
    app: &App,
    once: &mut Once,
    principal: &Principal,
    order_id: &str,
    body: CreatePayment,
) -> Result<Written, ApiError> {
    let keyed = once.keyed().clone();
    let conn = &mut *once.tx;
    let order = orders::http::find_own(conn, principal, order_id).await?;
    if let Some((payment, body_hash)) = store::find_by_scope(conn, &keyed.scope).await? {
        keyed.require_same_body(&body_hash)?;
        return Ok(Written { payment, order: order.state });
    }
    let now_ms = app.clock.now_ms();
    if order.state != OrderState::PendingPayment {
        let detail = format!("an order that is {} takes no payment", to_text(order.state));
        return Err(Problem::new(ErrorCode::InvalidTransition, detail).into());
    }
    if now_ms >= order.pay_by_ms {
        let detail = "the time to pay is over and the order is about to close; order again";
        return Err(Problem::new(ErrorCode::InvalidTransition, detail).into());
    }
    let before = store::of_order(conn, order.id).await?;
    if let Some(active) = before.iter().find(|payment| state::is_active(payment.state)) {
        let detail = format!("payment {} is {}", active.id, to_text(active.state));
        return Err(Problem::new(ErrorCode::PaymentInProgress, detail).into());
    }
    let payment = Payment {
        id: PaymentId::from_raw(app.ids.next()),
        order_id: order.id,
        state: PaymentState::Created,
        version: 1,
        amount_minor: order.pricing.total_minor,
        currency: order.pricing.currency,
        method: body.method,
        failure: None,
        refunds: Vec::new(),
        created_at_ms: now_ms,
        updated_at_ms: now_ms,
    };
    store::insert(conn, &payment, &keyed).await?;
    Ok(Written { payment, order: order.state })
}
