//! The route table: every path of the core, readable in one place.

use crate::app::App;
use crate::http::error::ApiError;
use crate::http::{layers, openapi};
use crate::{audit, catalog, coupons, deals, feed, known_ids, limits, orders, payments, pricing};
use axum::extract::{DefaultBodyLimit, State};
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use axum::{Json, Router, middleware};
use http::header::{CACHE_CONTROL, CONTENT_TYPE};
use std::sync::Arc;
use tokio::sync::Semaphore;
use tower_http::catch_panic::CatchPanicLayer;
use utoipa_axum::router::OpenApiRouter;

/// Every route of the core. The sandbox provider's own routes exist only where it is switched on.
pub fn router(app: Arc<App>, with_sandbox: bool) -> Router {
    let (documented, mut openapi) = OpenApiRouter::with_openapi(openapi::start())
        .merge(catalog::routes())
        .merge(deals::routes())
        .merge(pricing::routes())
        .merge(orders::routes())
        .merge(payments::routes())
        .merge(coupons::routes())
        .merge(audit::routes())
        .split_for_parts();
    openapi::complete(&mut openapi);
    let openapi = Arc::new(openapi);

    let mut bounded = documented
        .route("/openapi.json", get(async move || Json(openapi.as_ref().clone())))
        .route("/.well-known/jwks.json", get(jwks))
        .route("/internal/known-ids", get(known_ids::http::read));
    if with_sandbox {
        bounded = bounded.merge(payments::sandbox::routes());
    }
    let places = Arc::new(Semaphore::new(limits::REQUESTS_IN_PROGRESS));
    // Whoever watches the core must get an answer when it is full, too.
    let watched = Router::new()
        .route("/healthz", get(async || "ok"))
        .route("/readyz", get(readyz))
        .route("/metrics", get(metrics));
    // A reader of the feed stays for an hour and has a place of its own.
    let followed = Router::new().route("/internal/feed", get(feed::http::follow));
    let routes = bounded
        .layer(middleware::from_fn_with_state(places, layers::admit))
        .merge(watched)
        .merge(followed)
        .fallback(layers::not_found)
        .method_not_allowed_fallback(layers::method_not_allowed)
        .layer(middleware::from_fn(layers::refuse_other_spellings))
        .layer(CatchPanicLayer::custom(layers::on_panic))
        .layer(DefaultBodyLimit::max(limits::BODY_BYTES))
        .layer(middleware::from_fn_with_state(app.clone(), layers::observe))
        .with_state(app);
    // Around the routes, since what a router's own layers change comes too late to route by.
    Router::new().fallback_service(routes).layer(middleware::from_fn(layers::canonicalize))
}

/// The public keys that tokens are checked with.
async fn jwks(State(app): State<Arc<App>>) -> Response {
    let kept = format!("public, max-age={}", limits::KEYS_MAX_AGE_S);
    ([(CACHE_CONTROL, kept)], Json(app.keys.jwks())).into_response()
}

/// Ready means that the ledger answers.
async fn readyz(State(app): State<Arc<App>>) -> Result<&'static str, ApiError> {
    app.db.ping().await.map_err(|error| {
        tracing::warn!(%error, "not ready");
        ApiError::unavailable("the ledger does not answer")
    })?;
    Ok("ready")
}

async fn metrics(State(app): State<Arc<App>>) -> Response {
    let kind = "application/openmetrics-text; version=1.0.0; charset=utf-8";
    app.metrics.look(&app.engine, &app.fast);
    ([(CONTENT_TYPE, kind)], app.metrics.render()).into_response()
}
