//! The server around a baseline: the core's connections, limits, extractors, log line and counters.

use super::shop::{Purchase, Shop};
use super::{Design, ServerArgs};
use anyhow::Context as _;
use axum::Router;
use axum::extract::{DefaultBodyLimit, FromRequestParts, MatchedPath, Request, State};
use axum::middleware::{self, Next};
use axum::response::{IntoResponse, Response};
use axum::routing::{get, post};
use core_service::auth::AuthError;
use core_service::http::error::ApiError;
use core_service::http::extract::{IdempotencyKey, Json};
use core_service::http::{layers, server};
use core_service::idempotency::{Answer, Keyed};
use core_service::limits;
use http::header::{AUTHORIZATION, CACHE_CONTROL, CONTENT_TYPE};
use http::request::Parts;
use http::{StatusCode, Uri};
use std::io::Read as _;
use std::sync::Arc;
use std::time::Instant;
use tiffin_api::order::PlaceOrder;
use tiffin_api::token::{self, Principal};
use tokio::net::TcpListener;
use tokio::sync::Semaphore;
use tokio_util::sync::CancellationToken;
use tower_http::catch_panic::CatchPanicLayer;
use tracing::Instrument as _;

struct Shared<D> {
    shop: Arc<Shop>,
    design: D,
}

/// Answers until standard input ends.
pub async fn serve<D: Design>(args: &ServerArgs, shop: Arc<Shop>, design: D) -> anyhow::Result<()> {
    let listener = TcpListener::bind(args.listen)
        .await
        .with_context(|| format!("cannot listen on {}", args.listen))?;
    let stop = CancellationToken::new();
    if args.exit_on_stdin_close {
        let stop = stop.clone();
        std::thread::spawn(move || {
            let mut buffer = [0_u8; 64];
            while std::io::stdin().read(&mut buffer).is_ok_and(|read| read > 0) {}
            stop.cancel();
        });
    }
    server::serve(listener, router(shop, design), stop).await;
    Ok(())
}

/// The layers are those of the core's router, in its order.
fn router<D: Design>(shop: Arc<Shop>, design: D) -> Router {
    let shared = Arc::new(Shared { shop: Arc::clone(&shop), design });
    let places = Arc::new(Semaphore::new(limits::REQUESTS_IN_PROGRESS));
    Router::new()
        .route("/v1/orders", post(create::<D>))
        .layer(middleware::from_fn_with_state(places, layers::admit))
        .merge(Router::new().route("/readyz", get(async || "ready")))
        .fallback(layers::not_found)
        .method_not_allowed_fallback(layers::method_not_allowed)
        .layer(CatchPanicLayer::custom(layers::on_panic))
        .layer(DefaultBodyLimit::max(limits::BODY_BYTES))
        .layer(middleware::from_fn_with_state(shop, observe))
        .with_state(shared)
}

async fn create<D: Design>(
    State(shared): State<Arc<Shared<D>>>,
    Buyer(principal): Buyer,
    uri: Uri,
    IdempotencyKey(key): IdempotencyKey,
    Json { value: body, raw }: Json<PlaceOrder>,
) -> Result<Response, ApiError> {
    let Shared { shop, design } = shared.as_ref();
    shop.check(&body)?;
    let keyed = Keyed::new(principal.user_id, uri.path(), &key, &raw);
    let now_ms = shop.clock.now_ms();
    let purchase = Purchase { user_id: principal.user_id, body, keyed, now_ms };
    let answered = design.buy(shop, purchase).await;
    shop.metrics.order(match &answered {
        Ok(answer) if answer.status == StatusCode::CREATED.as_u16() => "placed",
        Ok(_) => "out-of-stock",
        Err(ApiError(problem)) => problem.code.as_str(),
    });
    answered.map(respond)
}

fn respond(answer: Answer) -> Response {
    let status = StatusCode::from_u16(answer.status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
    let kind =
        if status.is_success() { "application/json" } else { tiffin_api::problem::CONTENT_TYPE };
    (status, [(CONTENT_TYPE, kind), (CACHE_CONTROL, "no-store")], answer.body).into_response()
}

/// The principal of a request, verified as the core does.
struct Buyer(Principal);

impl<D: Design> FromRequestParts<Arc<Shared<D>>> for Buyer {
    type Rejection = AuthError;

    async fn from_request_parts(
        parts: &mut Parts,
        shared: &Arc<Shared<D>>,
    ) -> Result<Self, AuthError> {
        let header = parts.headers.get(AUTHORIZATION).and_then(|value| value.to_str().ok());
        let token = header.and_then(token::bearer).ok_or(AuthError::Missing)?;
        let shop = &shared.shop;
        let verified = shop.tokens.verify(&shop.keys, token, shop.clock.now_ms());
        verified.map(Self).map_err(AuthError::Invalid)
    }
}

/// The deadline, span, count and log line that the core gives each request.
async fn observe(State(shop): State<Arc<Shop>>, request: Request, next: Next) -> Response {
    let started = Instant::now();
    let trace_id = format!("{:032x}", shop.ids.next());
    let (method, path) = (request.method().clone(), request.uri().path().to_owned());
    let route = request.extensions().get::<MatchedPath>();
    let route = route.map_or("unmatched", |matched| matched.as_str()).to_owned();
    let span = tracing::info_span!("request", trace_id);
    let answer = tokio::time::timeout(limits::REQUEST_TIMEOUT, next.run(request).instrument(span));
    let response = answer
        .await
        .unwrap_or_else(|_| ApiError::unavailable("the request took too long").into_response());
    let (status, elapsed) = (response.status().as_u16(), started.elapsed());
    shop.metrics.observe_request(&method, &route, status, elapsed);
    let duration_us = u64::try_from(elapsed.as_micros()).unwrap_or(u64::MAX);
    tracing::info!(trace_id, %method, path, route, status, duration_us, "request");
    response
}
