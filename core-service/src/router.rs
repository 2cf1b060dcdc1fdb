//! The route table: every path of the core, readable in one place.

use crate::app::App;
use crate::http::layers;
use crate::{catalog, deals, limits, orders, payments, pricing};
use axum::extract::{DefaultBodyLimit, State};
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use axum::{Json, Router, middleware};
use http::StatusCode;
use http::header::{CACHE_CONTROL, CONTENT_TYPE};
use std::sync::Arc;
use tower_http::catch_panic::CatchPanicLayer;
use utoipa::openapi::security::{HttpAuthScheme, HttpBuilder, SecurityScheme};
use utoipa::{Modify, OpenApi};
use utoipa_axum::router::OpenApiRouter;

#[derive(OpenApi)]
#[openapi(
    info(
        title = "Tiffin core",
        description = "Menus, quotes, orders and payments. Amounts are integers in minor units; ids are \
            decimal strings; instants are milliseconds since the Unix epoch. Refusals are RFC 9457 \
            problem documents with a stable `code`.",
        license(name = "MIT OR Apache-2.0")
    ),
    modifiers(&BearerToken)
)]
struct ApiDoc;

struct BearerToken;

impl Modify for BearerToken {
    fn modify(&self, openapi: &mut utoipa::openapi::OpenApi) {
        let scheme = HttpBuilder::new().scheme(HttpAuthScheme::Bearer).bearer_format("JWT").build();
        openapi
            .components
            .get_or_insert_default()
            .add_security_scheme("bearer", SecurityScheme::Http(scheme));
    }
}

/// Every route of the core. The sandbox provider's own routes exist only where it is switched on.
pub fn router(app: Arc<App>, with_sandbox: bool) -> Router {
    let (documented, openapi) = OpenApiRouter::with_openapi(ApiDoc::openapi())
        .merge(catalog::routes())
        .merge(deals::routes())
        .merge(pricing::routes())
        .merge(orders::routes())
        .merge(payments::routes())
        .split_for_parts();
    let openapi = Arc::new(openapi);

    let mut router = documented
        .route("/openapi.json", get(async move || Json(openapi.as_ref().clone())))
        .route("/.well-known/jwks.json", get(jwks))
        .route("/healthz", get(async || "ok"))
        .route("/readyz", get(readyz))
        .route("/metrics", get(metrics));
    if with_sandbox {
        router = router.merge(payments::sandbox::routes());
    }
    router
        .fallback(layers::not_found)
        .method_not_allowed_fallback(layers::method_not_allowed)
        .layer(CatchPanicLayer::custom(layers::on_panic))
        .layer(DefaultBodyLimit::max(limits::BODY_BYTES))
        .layer(middleware::from_fn_with_state(app.clone(), layers::observe))
        .with_state(app)
}

/// The public keys that tokens are checked with.
async fn jwks(State(app): State<Arc<App>>) -> Response {
    ([(CACHE_CONTROL, "public, max-age=300")], Json(app.keys.jwks())).into_response()
}

/// Ready means that the ledger answers.
async fn readyz(State(app): State<Arc<App>>) -> StatusCode {
    match app.db.read().await {
        Ok(_) => StatusCode::OK,
        Err(_) => StatusCode::SERVICE_UNAVAILABLE,
    }
}

async fn metrics(State(app): State<Arc<App>>) -> Response {
    let kind = "application/openmetrics-text; version=1.0.0; charset=utf-8";
    ([(CONTENT_TYPE, kind)], app.metrics.render()).into_response()
}
