//! `POST /v1/webhooks/payments/{provider}`: the provider tells what happened, signed.
//!
//! The event's id goes into the inbox in the transaction that applies it: a repeat changes nothing.

use super::state::Decision;
use super::{apply, sandbox, signature, store};
use crate::app::App;
use crate::http::error::ApiError;
use crate::http::extract::{Path, Raw};
use crate::limits;
use axum::extract::State;
use http::HeaderMap;
use serde::Serialize;
use std::sync::Arc;
use tiffin_api::payment::{Payment, ProviderEvent};
use tiffin_api::{ErrorCode, FieldError, Problem};
use utoipa::ToSchema;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

/// The routes of this module.
pub fn routes() -> OpenApiRouter<Arc<App>> {
    OpenApiRouter::new().routes(routes!(receive))
}

/// What became of a webhook.
#[derive(Debug, Serialize, ToSchema)]
struct Received {
    /// Whether it had been heard before.
    duplicate: bool,
}

/// Takes a provider's word about a payment. Repeats are quiet.
#[utoipa::path(
    post, path = "/v1/webhooks/payments/{provider}", tag = "payments",
    params(("provider" = String, Path), ("Tiffin-Signature" = String, Header)),
    request_body = ProviderEvent,
    responses(
        (status = 200, body = Received),
        (status = 401, body = Problem, description = "invalid-signature"),
        (status = 404, body = Problem, description = "payment-not-found"),
        (status = 422, body = Problem, description = "validation-failed"),
    )
)]
async fn receive(
    State(app): State<Arc<App>>,
    Path(provider): Path<String>,
    headers: HeaderMap,
    Raw(body): Raw,
) -> Result<axum::Json<Received>, ApiError> {
    let outcome = hear(&app, &provider, &headers, &body).await;
    app.metrics.webhook(match &outcome {
        Ok(Received { duplicate: false }) => "applied",
        Ok(Received { duplicate: true }) => "duplicate",
        Err(ApiError(problem)) => problem.code.as_str(),
    });
    outcome.map(axum::Json)
}

async fn hear(
    app: &App,
    provider: &str,
    headers: &HeaderMap,
    body: &[u8],
) -> Result<Received, ApiError> {
    if provider != sandbox::NAME {
        let detail = format!("the provider here is {:?}", sandbox::NAME);
        return Err(Problem::new(ErrorCode::RouteNotFound, detail).into());
    }
    let now_ms = app.clock.now_ms();
    let header = headers.get(signature::HEADER).and_then(|value| value.to_str().ok());
    signature::verify(&app.keys, provider, header, body, now_ms)
        .map_err(|error| Problem::new(ErrorCode::InvalidSignature, error.to_string()))?;
    let event: ProviderEvent = serde_json::from_slice(body)
        .map_err(|error| Problem::new(ErrorCode::MalformedJson, error.to_string()))?;

    let mut tx = app.db.write().await?;
    let payment = store::find(&mut tx, event.payment_id)
        .await?
        .ok_or_else(|| Problem::new(ErrorCode::PaymentNotFound, "no payment has this id"))?;
    check(&event, &payment)?;
    let fresh = store::hear(&mut tx, provider, &event.event_id, payment.id, now_ms).await?;
    if fresh {
        let said = Decision { outcome: event.outcome, failure: event.failure };
        apply::apply(&mut tx, &app.ids, payment, Some(said), now_ms).await?;
        tx.commit().await?;
    }
    Ok(Received { duplicate: !fresh })
}

/// A signed event that contradicts the payment is not applied: somebody has to look at it.
fn check(event: &ProviderEvent, payment: &Payment) -> Result<(), ApiError> {
    let mut errors = Vec::new();
    if event.event_id.is_empty() || event.event_id.len() > limits::EVENT_ID_BYTES {
        let detail = format!("an event id has 1 to {} bytes", limits::EVENT_ID_BYTES);
        errors.push(FieldError::at("/event_id", detail));
    }
    if event.amount_minor != payment.amount_minor || event.currency != payment.currency {
        let (amount, currency) = (payment.amount_minor, payment.currency);
        let detail = format!("the payment is one of {amount} {currency} (minor units)");
        errors.push(FieldError::at("/amount_minor", detail));
        tracing::error!(payment_id = %payment.id, ?event, "a webhook contradicts its payment");
    }
    if errors.is_empty() {
        return Ok(());
    }
    let detail = "the event contradicts the payment; it was not applied";
    Err(Problem::with_errors(ErrorCode::ValidationFailed, detail, errors).into())
}
