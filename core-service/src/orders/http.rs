//! The API of orders.

use super::place::{self, Facts, PlaceError};
use super::settle::{self, MoveError};
use super::state::Move;
use super::store;
use crate::app::App;
use crate::auth::Caller;
use crate::catalog::store::load_for_pricing;
use crate::catalog::{item_served_at, store_open_at};
use crate::db::Conn;
use crate::http::error::ApiError;
use crate::http::extract::{IdempotencyKey, Json, PageQuery, Path, Query, Raw};
use crate::idempotency::{Answer, Begun, Keyed, Once};
use crate::limits;
use crate::payments;
use crate::pricing::http::name_price;
use crate::pricing::quote_id;
use crate::pricing::state::check_shape;
use axum::extract::State;
use axum::response::{IntoResponse, Response};
use http::header::CACHE_CONTROL;
use http::{StatusCode, Uri};
use sqlx::Connection as _;
use std::sync::Arc;
use tiffin_api::id::{OrderId, UserId};
use tiffin_api::order::{Order, OrderList, OrderState, PlaceOrder};
use tiffin_api::token::Principal;
use tiffin_api::{ErrorCode, FieldError, Problem};
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

/// The routes of this module.
pub fn routes() -> OpenApiRouter<Arc<App>> {
    OpenApiRouter::new()
        .routes(routes!(create, list))
        .routes(routes!(read))
        .routes(routes!(cancel))
        .routes(routes!(accept))
        .routes(routes!(reject))
        .routes(routes!(prepare))
        .routes(routes!(ready))
        .routes(routes!(dispatch))
        .routes(routes!(complete))
}

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
async fn create(
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

/// One's own orders, the newest first.
#[utoipa::path(
    get, path = "/v1/orders", tag = "orders", security(("bearer" = [])),
    params(("limit" = Option<u32>, Query), ("cursor" = Option<String>, Query)),
    responses((status = 200, body = OrderList))
)]
async fn list(
    State(app): State<Arc<App>>,
    Caller(principal): Caller,
    Query(page): Query<PageQuery>,
) -> Result<impl IntoResponse, ApiError> {
    let limit = page.limit()?;
    let mut conn = app.db.read().await?;
    // One more than asked for tells whether there is a next page.
    let mut orders = store::list(&mut conn, principal.user_id, page.cursor()?, limit + 1).await?;
    let wanted = usize::try_from(limit).unwrap_or(usize::MAX);
    let more = orders.len() > wanted;
    orders.truncate(wanted);
    let next_cursor = orders.last().filter(|_| more).map(|order| order.id.to_string());
    Ok(([(CACHE_CONTROL, "private, no-store")], axum::Json(OrderList { orders, next_cursor })))
}

/// An order with its payments, for the diner who placed it, the merchant, and the core team.
#[utoipa::path(
    get, path = "/v1/orders/{id}", tag = "orders", security(("bearer" = [])),
    params(("id" = OrderId, Path)),
    responses((status = 200, body = Order), (status = 404, body = Problem, description = "order-not-found"))
)]
async fn read(
    State(app): State<Arc<App>>,
    Caller(principal): Caller,
    Path(id): Path<String>,
) -> Result<impl IntoResponse, ApiError> {
    let mut conn = app.db.read().await?;
    // One snapshot: an order that awaits money beside its captured payment would be a riddle.
    let mut snapshot = conn.begin().await?;
    let mut order = find_visible(&mut snapshot, &principal, &id).await?;
    order.payments = payments::store::of_order(&mut snapshot, order.id).await?;
    Ok(([(CACHE_CONTROL, "private, no-store")], axum::Json(order)))
}

fn not_found() -> Problem {
    Problem::new(ErrorCode::OrderNotFound, "your orders are listed at /v1/orders")
}

async fn find(conn: &mut Conn, id: &str) -> Result<Order, ApiError> {
    let id: OrderId = id.parse().map_err(|_| not_found())?;
    Ok(store::find(conn, id).await?.ok_or_else(not_found)?)
}

/// One's own order. Somebody else's is not found, so that ids tell nothing.
pub async fn find_own(conn: &mut Conn, principal: &Principal, id: &str) -> Result<Order, ApiError> {
    let order = find(conn, id).await?;
    if order.user_id == principal.user_id { Ok(order) } else { Err(not_found().into()) }
}

/// An order that the principal may see: one's own, or one of a store that one keeps.
async fn find_visible(conn: &mut Conn, principal: &Principal, id: &str) -> Result<Order, ApiError> {
    let order = find(conn, id).await?;
    let visible = order.user_id == principal.user_id || principal.keeps(order.store_id);
    if visible { Ok(order) } else { Err(not_found().into()) }
}

/// Declares the handler of one move of an order.
macro_rules! move_handler {
    ($(#[$doc:meta])* $name:ident, $path:literal, $choose:expr) => {
        $(#[$doc])*
        #[utoipa::path(
            post, path = $path, tag = "orders", security(("bearer" = [])),
            params(("id" = OrderId, Path), ("Idempotency-Key" = String, Header)),
            responses(
                (status = 200, body = Order),
                (status = 403, body = Problem, description = "forbidden"),
                (status = 404, body = Problem, description = "order-not-found"),
                (status = 409, body = Problem, description = "invalid-transition"),
            )
        )]
        async fn $name(
            State(app): State<Arc<App>>,
            caller: Caller,
            uri: Uri,
            Path(id): Path<String>,
            IdempotencyKey(key): IdempotencyKey,
            Raw(body): Raw,
        ) -> Result<Response, ApiError> {
            let keyed = Keyed::new(caller.0.user_id, uri.path(), &key, &body);
            move_order(&app, &caller, &id, keyed, $choose).await
        }
    };
}

move_handler! {
    /// Takes an order back: unpaid it closes, paid it is cancelled and its money goes back. Once the
    /// merchant has accepted it, only the merchant or the core team can.
    cancel, "/v1/orders/{id}/cancel", cancel_move
}
move_handler! {
    /// The merchant takes a paid order on.
    accept, "/v1/orders/{id}/accept", |caller, order| staff_move(caller, order, Move::Accept)
}
move_handler! {
    /// The merchant refuses a paid order; its money goes back.
    reject, "/v1/orders/{id}/reject", |caller, order| staff_move(caller, order, Move::Reject)
}
move_handler! {
    /// The kitchen begins.
    prepare, "/v1/orders/{id}/prepare", |caller, order| staff_move(caller, order, Move::Prepare)
}
move_handler! {
    /// The order is ready to be fetched.
    ready, "/v1/orders/{id}/ready", |caller, order| staff_move(caller, order, Move::MarkReady)
}
move_handler! {
    /// A courier takes the order.
    dispatch, "/v1/orders/{id}/dispatch", |caller, order| staff_move(caller, order, Move::Dispatch)
}
move_handler! {
    /// The diner has the order.
    complete, "/v1/orders/{id}/complete", |caller, order| staff_move(caller, order, Move::Complete)
}

/// A move that only who keeps the store may make.
fn staff_move(caller: &Caller, order: &Order, wanted: Move) -> Result<Move, ApiError> {
    if caller.0.keeps(order.store_id) {
        return Ok(wanted);
    }
    let detail = "this needs a merchant's token that names the order's store";
    Err(Problem::new(ErrorCode::Forbidden, detail).into())
}

fn cancel_move(caller: &Caller, order: &Order) -> Result<Move, ApiError> {
    Ok(match order.state {
        // A repeat finds the order closed already, which is the quiet success that Close gives.
        OrderState::PendingPayment | OrderState::Closed => Move::Close,
        _ if caller.0.keeps(order.store_id) => Move::Revoke,
        _ => Move::Cancel,
    })
}

async fn move_order(
    app: &App,
    caller: &Caller,
    id: &str,
    keyed: Keyed,
    choose: impl FnOnce(&Caller, &Order) -> Result<Move, ApiError>,
) -> Result<Response, ApiError> {
    let mut once = match Once::begin(app, keyed).await? {
        Begun::Replay(response) => return Ok(response),
        Begun::Fresh(once) => once,
    };
    let now_ms = app.clock.now_ms();
    let order = find_visible(&mut once.tx, &caller.0, id).await?;
    let wanted = choose(caller, &order)?;
    match settle::apply(&mut once.tx, &app.ids, order, wanted, now_ms).await {
        Ok(mut order) => {
            order.payments = payments::store::of_order(&mut once.tx, order.id).await?;
            once.finish(Answer::json(StatusCode::OK, &order), now_ms).await
        }
        Err(MoveError::Invalid(error)) => {
            let problem = Problem::new(ErrorCode::InvalidTransition, error.to_string());
            once.refuse(problem, now_ms).await
        }
        Err(MoveError::Db(error)) => Err(error.into()),
    }
}
