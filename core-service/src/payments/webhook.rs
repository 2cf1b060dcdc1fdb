//! `POST /v1/webhooks/payments/{provider}`: the provider tells what happened, signed.
//!
//! The event's id goes into the inbox in the transaction that applies it: a repeat changes nothing.

use super::commands::{Hear, unknown_payment};
use super::{sandbox, signature, store};
use crate::app::App;
use crate::http::error::ApiError;
use crate::http::extract::{Path, Raw, read_json};
use crate::limits;
use axum::extract::State;
use http::HeaderMap;
use serde::Serialize;
use std::sync::Arc;
use tiffin_api::payment::ProviderEvent;
use tiffin_api::{ErrorCode, FieldError, Problem, written};
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
    let event: ProviderEvent = read_json(body)?;
    check(&event)?;
    let lane = store::lane_of(&mut *app.db.read().await?, event.payment_id).await?;
    let lane = lane.ok_or_else(unknown_payment)?;
    let hear = Hear { provider: provider.to_owned(), event };
    Ok(Received { duplicate: app.engine.submit(lane, hear).await? })
}

/// Refuses what cannot stand in the inbox.
fn check(event: &ProviderEvent) -> Result<(), ApiError> {
    let id = &event.event_id;
    if (1..=limits::EVENT_ID_BYTES).contains(&id.len()) && written::check(id).is_ok() {
        return Ok(());
    }
    let most = limits::EVENT_ID_BYTES;
    let detail = format!("an event id has 1 to {most} bytes, and characters that can be shown");
    let errors = vec![FieldError::at("/event_id", detail)];
    let detail = "the event was not applied";
    Err(Problem::with_errors(ErrorCode::ValidationFailed, detail, errors).into())
}
