//! `POST /v1/orders`: loads, decides, saves, and answers for the Idempotency-Key.

use crate::app::App;
use crate::auth::Caller;
use crate::catalog::store::load_for_pricing;
use crate::catalog::{item_served_at, store_open_at};
use crate::db::Conn;
use crate::http::error::ApiError;
use crate::http::extract::{IdempotencyKey, Json};
use crate::idempotency::{Answer, Begun, Keyed, Once};
use crate::limits;
use crate::orders::place::{self, Facts, PlaceError};
use crate::orders::{settle, store};
use crate::pricing::http::name_price;
use crate::pricing::quote_id;
use crate::pricing::state::check_shape;
use axum::extract::State;
use axum::response::Response;
use http::{StatusCode, Uri};
use std::sync::Arc;
use tiffin_api::id::{OrderId, UserId};
use tiffin_api::order::{Order, OrderState, PlaceOrder};
use tiffin_api::{ErrorCode, FieldError, Problem};

/// Places an order: reserves its stock, all or nothing, and awaits its payment.
#[utoipa::path(
    post, path = "/v1/orders", tag = "orders", security(("bearer" = [])),
    params(("Idempotency-Key" = String, Header, description = "repeat it to retry; 48 h")),
    request_body = PlaceOrder,
    responses(
        (status = 201, body = Order),
        (status = 409, body = Problem,
         description = "out-of-stock, price-changed, store-closed, item-unavailable"),
        (status = 422, body = Problem,
         description = "validation-failed, modifier-invalid, minimum-not-met, out-of-zone, \
            idempotency-key-reused"),
    )
)]
pub(super) async fn create(
    State(app): State<Arc<App>>,
    Caller(principal): Caller,
    uri: Uri,
    IdempotencyKey(key): IdempotencyKey,
    Json { value: body, raw }: Json<PlaceOrder>,
) -> Result<Response, ApiError> {
    check(&body)?;
    let keyed = Keyed::new(principal.user_id, uri.path(), &key, &raw);
    let mut once = match Once::begin(&app, keyed).await? {
        Begun::Replay(response) => {
            app.metrics.order("replayed");
            return Ok(response);
        }
        Begun::Fresh(once) => once,
    };
    let now_ms = app.clock.now_ms();
    match place_order(&app, &mut once.tx, principal.user_id, body, now_ms).await {
        Ok(order) => {
            let response = once.finish(Answer::json(StatusCode::CREATED, &order), now_ms).await?;
            app.metrics.order("placed");
            Ok(response)
        }
        Err(ApiError(problem)) => {
            app.metrics.order(problem.code.as_str());
            once.refuse(*problem, now_ms).await
        }
    }
}

/// Refuses what can be refused before the one writing transaction is taken up.
fn check(body: &PlaceOrder) -> Result<(), ApiError> {
    check_shape(&body.basket).map_err(Problem::from)?;
    match &body.note {
        Some(note) if note.chars().count() > limits::NOTE_CHARS => {
            let detail = format!("a note has at most {} characters", limits::NOTE_CHARS);
            let errors = vec![FieldError::at("/note", detail)];
            let detail = "some fields are not valid";
            Err(Problem::with_errors(ErrorCode::ValidationFailed, detail, errors).into())
        }
        _ => Ok(()),
    }
}

/// Loads, decides, saves. Nothing is written unless the order is taken.
async fn place_order(
    app: &App,
    conn: &mut Conn,
    user_id: UserId,
    body: PlaceOrder,
    now_ms: i64,
) -> Result<Order, ApiError> {
    let PlaceOrder { basket, quote_id, note } = body;
    let item_ids: Vec<_> = basket.lines.iter().map(|line| line.item_id).collect();
    let data = load_for_pricing(conn, basket.store_id, &item_ids).await?.ok_or_else(|| {
        Problem::new(ErrorCode::StoreNotFound, "the stores are listed at /v1/stores")
    })?;
    let available = store::available(conn, data.items.keys().copied()).await?;
    let not_served: Vec<_> = data
        .items
        .iter()
        .filter(|(_, item)| !item_served_at(&data.store, item, now_ms))
        .map(|(id, _)| *id)
        .collect();
    let facts = Facts {
        store: &data.store,
        items: &data.items,
        available: &available,
        open: store_open_at(&data.store, now_ms),
        not_served: &not_served,
        now_ms,
    };
    let quoted = quote_id.map(|id| quote_id::read(&app.keys, &basket, &id));
    let placed = place::decide(&facts, &basket, quoted).map_err(|error| match error {
        PlaceError::PriceChanged(ref pricing) => {
            let mut problem = Problem::new(ErrorCode::PriceChanged, error.to_string());
            problem.total_minor = Some(pricing.total_minor);
            problem.quote_id = Some(name_price(app, &basket, (**pricing).clone()).quote_id);
            problem
        }
        other => problem_of(other),
    })?;
    let order = Order {
        id: OrderId::from_raw(app.ids.next()),
        version: 1,
        state: OrderState::PendingPayment,
        store_id: basket.store_id,
        user_id,
        fulfilment: basket.fulfilment,
        pricing: placed.pricing,
        note,
        created_at_ms: now_ms,
        updated_at_ms: now_ms,
        pay_by_ms: now_ms + app.pay_within_ms,
        payments: Vec::new(),
    };
    store::move_stock(conn, &placed.holds, store::StockMove::Reserve).await?;
    store::insert(conn, &order, &placed.holds).await?;
    settle::publish(conn, &app.ids, &order, now_ms).await?;
    Ok(order)
}

fn problem_of(error: PlaceError) -> Problem {
    let detail = error.to_string();
    match error {
        PlaceError::Price(error) => error.into(),
        PlaceError::Quote(_) => {
            let errors = vec![FieldError::at("/quote_id", detail)];
            Problem::with_errors(ErrorCode::ValidationFailed, "some fields are not valid", errors)
        }
        PlaceError::PriceChanged(_) => Problem::new(ErrorCode::PriceChanged, detail),
        PlaceError::StoreClosed => Problem::new(ErrorCode::StoreClosed, detail),
        PlaceError::NotServed(_) => Problem::new(ErrorCode::ItemUnavailable, detail),
        PlaceError::OutOfStock { .. } => Problem::new(ErrorCode::OutOfStock, detail),
    }
}
