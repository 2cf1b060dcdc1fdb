//! `POST /v1/orders/{id}/payments`: pays an order.
//!
//! The provider is asked between two transactions: the first writes the payment down, the second what the
//! provider said together with the answer for the Idempotency-Key. A crash in between leaves a payment in
//! PROCESSING; a retry with the same key finds it by its scope and asks the provider again under the same
//! payment id, so no money is taken twice.

use super::{apply, state, store};
use crate::app::App;
use crate::auth::Caller;
use crate::db::{Conn, DbError};
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
    let scope = keyed.scope.clone();
    let mut once = match Once::begin(&app, keyed).await? {
        Begun::Replay(response) => return Ok(response),
        Begun::Fresh(once) => once,
    };
    let payment = match write_down(&app, &mut once.tx, &principal, &order_id, &scope, body).await {
        Ok(payment) => payment,
        Err(ApiError(problem)) => return refuse(once, *problem, app.clock.now_ms()).await,
    };
    let held = once.commit_and_hold().await?;

    let decision = app.sandbox.charge(&payment).await;

    let mut once = held.resume(&app).await?;
    let now_ms = app.clock.now_ms();
    // A webhook may have been faster: go on from what the tables say now.
    let mut payment = reread(&mut once.tx, payment.id).await?;
    match decision {
        Ok(Some(said)) => {
            let (outcome, failure) = (said.outcome, said.failure);
            payment =
                apply::apply(&mut once.tx, &app.ids, payment, outcome, failure, now_ms).await?;
        }
        Ok(None) => {}
        // Whether money moved is unknown: the payment stays in PROCESSING until a webhook tells.
        Err(error) => {
            tracing::warn!(payment_id = %payment.id, %error, "the provider did not answer")
        }
    }
    once.finish(Answer::json(StatusCode::CREATED, &payment), now_ms).await
}

async fn refuse(once: Once, problem: Problem, now_ms: i64) -> Result<Response, ApiError> {
    match StatusCode::from_u16(problem.status) {
        Ok(status @ StatusCode::CONFLICT) => {
            once.finish(Answer::json(status, &problem), now_ms).await
        }
        _ => once.refuse(problem).await,
    }
}

/// Writes the payment down as PROCESSING, or finds it where an earlier try left it.
async fn write_down(
    app: &App,
    conn: &mut Conn,
    principal: &Principal,
    order_id: &str,
    scope: &str,
    body: CreatePayment,
) -> Result<Payment, ApiError> {
    let order = orders::http::find_visible(conn, principal, order_id).await?;
    if let Some(payment) = store::find_by_scope(conn, scope).await? {
        return Ok(payment);
    }
    let now_ms = app.clock.now_ms();
    if order.state != OrderState::PendingPayment || now_ms >= order.pay_by_ms {
        let detail = format!("an order that is {:?} takes no payment", order.state);
        return Err(Problem::new(ErrorCode::InvalidTransition, detail).into());
    }
    let before = store::of_order(conn, order.id).await?;
    if let Some(active) = before.iter().find(|payment| state::is_active(payment.state)) {
        let detail = format!("payment {} is {:?}", active.id, active.state);
        return Err(Problem::new(ErrorCode::PaymentInProgress, detail).into());
    }
    let payment = Payment {
        id: PaymentId::from_raw(app.ids.next()),
        order_id: order.id,
        state: PaymentState::Processing,
        version: 1,
        amount_minor: order.pricing.total_minor,
        currency: order.pricing.currency,
        method: body.method,
        failure: None,
        refunds: Vec::new(),
        created_at_ms: now_ms,
        updated_at_ms: now_ms,
    };
    store::insert(conn, &payment, scope).await?;
    Ok(payment)
}

async fn reread(conn: &mut Conn, id: PaymentId) -> Result<Payment, DbError> {
    let payment = store::find(conn, id).await?;
    payment.ok_or_else(|| DbError::inconsistent(format!("payment {id} was written and is gone")))
}
