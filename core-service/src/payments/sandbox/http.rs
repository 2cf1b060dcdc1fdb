//! The sandbox's own API, for whoever tests: `POST /sandbox/payments/{id}/webhooks`.
//!
//! It is not under `/v1`, so no edge lets anybody reach it, and it exists only where the core was started
//! with `--sandbox`.

use super::store;
use crate::app::App;
use crate::http::error::ApiError;
use crate::http::extract::{Json, Path};
use crate::limits;
use axum::Router;
use axum::extract::State;
use axum::routing::post;
use http::StatusCode;
use std::sync::Arc;
use std::time::Duration;
use tiffin_api::id::PaymentId;
use tiffin_api::payment::{ProviderEvent, ProviderOutcome, SandboxWebhook};
use tiffin_api::{ErrorCode, FieldError, Problem};

/// The routes of the sandbox.
pub fn routes() -> Router<Arc<App>> {
    Router::new().route("/sandbox/payments/{id}/webhooks", post(send))
}

/// Makes the sandbox decide and tell, after a while and as often as asked.
async fn send(
    State(app): State<Arc<App>>,
    Path(id): Path<String>,
    Json { value: ask, .. }: Json<SandboxWebhook>,
) -> Result<(StatusCode, axum::Json<ProviderEvent>), ApiError> {
    check(&ask)?;
    let not_found =
        || Problem::new(ErrorCode::PaymentNotFound, "the sandbox knows no such payment");
    let payment_id: PaymentId = id.parse().map_err(|_| not_found())?;
    let known = store::decide(&app.db, payment_id, ask.outcome).await?.ok_or_else(not_found)?;
    let failed = ask.outcome == ProviderOutcome::Failed;
    let event = ProviderEvent {
        event_id: format!("evt-{}", app.ids.next()),
        payment_id,
        outcome: ask.outcome,
        amount_minor: known.amount_minor,
        currency: known.currency,
        failure: failed.then(|| "the sandbox was told to decline".to_owned()),
    };
    let delay = Duration::from_millis(ask.delay_ms);
    let taken = app
        .sandbox
        .sender
        .as_ref()
        .is_some_and(|sender| sender.send(event.clone(), delay, ask.times));
    if !taken {
        let detail =
            "the sandbox sends too many webhooks already, or was given nowhere to send them";
        return Err(Problem::new(ErrorCode::Unavailable, detail).into());
    }
    Ok((StatusCode::ACCEPTED, axum::Json(event)))
}

fn check(ask: &SandboxWebhook) -> Result<(), ApiError> {
    let mut errors = Vec::new();
    if ask.delay_ms > limits::SANDBOX_DELAY_MS {
        let detail = format!("at most {} ms", limits::SANDBOX_DELAY_MS);
        errors.push(FieldError::at("/delay_ms", detail));
    }
    if !(1..=limits::SANDBOX_REPEATS).contains(&ask.times) {
        errors.push(FieldError::at("/times", format!("1 to {}", limits::SANDBOX_REPEATS)));
    }
    if errors.is_empty() {
        return Ok(());
    }
    let detail = "some fields are not valid";
    Err(Problem::with_errors(ErrorCode::ValidationFailed, detail, errors).into())
}
