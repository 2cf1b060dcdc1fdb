//! Orders and what they hold.
//!
//! Reads run on any connection. [`lock`] and [`save`] are the commit engine's: what is saved was locked in the
//! same transaction, so a row that is not there any more means that the tables contradict each other.

use super::state::came_to_nothing;
use crate::db::bulk::{self, Value};
use crate::db::code::{from_text, to_text};
use crate::db::{Conn, DbError, Dialect, Row};
use crate::engine::table::Table;
use serde::{Deserialize, Serialize};
use sqlx::Row as _;
use std::collections::{BTreeMap, BTreeSet};
use tiffin_api::id::{ItemId, OrderId, StoreId, UserId};
use tiffin_api::order::{Order, OrderState};
use tiffin_api::quote::{Fulfilment, Pricing};

/// What an order holds of the stock: units by item.
pub type Holds = BTreeMap<ItemId, i64>;

/// The select of what [`read_order`] reads, then the given ending.
macro_rules! select_orders {
    ($ending:literal) => {
        concat!(
            "SELECT id, store_id, user_id, state, version, snapshot, created_at_ms, updated_at_ms, ",
            "pay_by_ms, units_back FROM orders",
            $ending
        )
    };
}

/// What an order keeps as it was decided.
#[derive(Serialize, Deserialize)]
struct Snapshot {
    fulfilment: Fulfilment,
    pricing: Pricing,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    note: Option<String>,
}

fn read_order(row: &Row) -> Result<Order, DbError> {
    let snapshot: Snapshot = serde_json::from_str(row.try_get("snapshot")?)?;
    Ok(Order {
        id: OrderId::from_raw(row.try_get("id")?),
        version: row.try_get("version")?,
        state: from_text(row.try_get("state")?)?,
        store_id: StoreId::from_raw(row.try_get("store_id")?),
        user_id: UserId::from_raw(row.try_get("user_id")?),
        fulfilment: snapshot.fulfilment,
        pricing: snapshot.pricing,
        note: snapshot.note,
        created_at_ms: row.try_get("created_at_ms")?,
        updated_at_ms: row.try_get("updated_at_ms")?,
        pay_by_ms: row.try_get("pay_by_ms")?,
        units_back: row.try_get::<i64, _>("units_back")? != 0,
        payments: Vec::new(),
    })
}

/// An order, without its payments.
pub async fn find(conn: &mut Conn, id: OrderId) -> Result<Option<Order>, DbError> {
    let row =
        sqlx::query(select_orders!(" WHERE id = ?")).bind(id.raw()).fetch_optional(conn).await?;
    row.as_ref().map(read_order).transpose()
}

/// An order that another row refers to.
pub async fn get(conn: &mut Conn, id: OrderId) -> Result<Order, DbError> {
    let order = find(conn, id).await?;
    order.ok_or_else(|| DbError::inconsistent(format!("order {id} is referred to and missing")))
}

/// A user's orders before `before`, the newest first.
pub async fn list(
    conn: &mut Conn,
    user_id: UserId,
    before: Option<OrderId>,
    limit: u32,
) -> Result<Vec<Order>, DbError> {
    let rows =
        sqlx::query(select_orders!(" WHERE user_id = ? AND id < ? ORDER BY id DESC LIMIT ?"))
            .bind(user_id.raw())
            .bind(before.map_or(i64::MAX, OrderId::raw))
            .bind(i64::from(limit))
            .fetch_all(conn)
            .await?;
    rows.iter().map(read_order).collect()
}

/// Orders whose time to pay has passed, by id after `after`.
pub async fn overdue(
    conn: &mut Conn,
    now_ms: i64,
    after: i64,
    limit: u32,
) -> Result<Vec<i64>, DbError> {
    let ids = sqlx::query_scalar(
        "SELECT id FROM orders WHERE state = ? AND pay_by_ms <= ? AND id > ? ORDER BY id LIMIT ?",
    )
    .bind(to_text(OrderState::PendingPayment))
    .bind(now_ms)
    .bind(after)
    .bind(i64::from(limit))
    .fetch_all(conn)
    .await?;
    Ok(ids)
}

/// The store of an order: it names the lane.
pub async fn store_of(conn: &mut Conn, id: OrderId) -> Result<Option<StoreId>, DbError> {
    let store: Option<i64> = sqlx::query_scalar("SELECT store_id FROM orders WHERE id = ?")
        .bind(id.raw())
        .fetch_optional(conn)
        .await?;
    Ok(store.map(StoreId::from_raw))
}

/// How many orders of some users count as such (see [`super::state::counts_as_order`]), for those who have any.
pub async fn standing(
    conn: &mut Conn,
    users: BTreeSet<UserId>,
) -> Result<BTreeMap<UserId, i64>, DbError> {
    let ids = users.into_iter().map(UserId::raw);
    let select = "SELECT user_id, COUNT(*) AS standing FROM orders";
    let ending = " AND state NOT IN ('REJECTED', 'CLOSED', 'CANCELLED') GROUP BY user_id";
    let rows = bulk::select_in(conn, select, "user_id", ids, ending).await?;
    let read =
        |row: &Row| Ok((UserId::from_raw(row.try_get("user_id")?), row.try_get("standing")?));
    rows.iter().map(read).collect()
}

/// Loads and locks orders, by id.
pub async fn lock(
    conn: &mut Conn,
    dialect: Dialect,
    ids: &BTreeSet<OrderId>,
    orders: &mut Table<OrderId, Order>,
) -> Result<(), DbError> {
    let ids = ids.iter().map(|id| id.raw());
    let ending = format!(" ORDER BY id{}", dialect.for_update());
    for row in bulk::select_in(conn, select_orders!(""), "id", ids, &ending).await? {
        let order = read_order(&row)?;
        orders.load(order.id, order);
    }
    Ok(())
}

/// Loads what orders hold.
pub async fn load_holds(
    conn: &mut Conn,
    orders: impl Iterator<Item = &OrderId>,
    holds: &mut Table<OrderId, Holds>,
) -> Result<(), DbError> {
    let select = "SELECT order_id, item_id, quantity FROM order_lines";
    let ids = orders.map(|id| id.raw());
    let mut found: BTreeMap<OrderId, Holds> = BTreeMap::new();
    for row in bulk::select_in(conn, select, "order_id", ids, "").await? {
        let order = found.entry(OrderId::from_raw(row.try_get("order_id")?)).or_default();
        order.insert(ItemId::from_raw(row.try_get("item_id")?), row.try_get("quantity")?);
    }
    found.into_iter().for_each(|(id, held)| holds.load(id, held));
    Ok(())
}

/// Writes new orders with what they hold, and the moves of others.
pub async fn save(
    conn: &mut Conn,
    orders: &Table<OrderId, Order>,
    holds: &Table<OrderId, Holds>,
) -> Result<(), DbError> {
    let into = "orders (id, store_id, user_id, state, version, currency, total_minor, snapshot, \
                created_at_ms, updated_at_ms, pay_by_ms)";
    let rows: Vec<_> =
        orders.inserted().map(|(_, order)| columns(order)).collect::<Result<_, _>>()?;
    bulk::insert(conn, into, rows).await?;
    let lines = holds.inserted().flat_map(|(order, holds)| {
        (1_i64..).zip(holds).map(|(line_no, (item, quantity))| {
            [order.raw(), line_no, item.raw(), *quantity].map(Value::Int)
        })
    });
    let into = "order_lines (order_id, line_no, item_id, quantity)";
    bulk::insert(conn, into, lines.collect()).await?;

    let moved = orders.updated().map(|(id, order)| {
        let state = to_text(order.state).into();
        // The move that brings an order to nothing gives its coupons back, and no move comes after it.
        let coupons_back = i64::from(came_to_nothing(order.state)).into();
        let units_back = i64::from(order.units_back).into();
        let (version, updated_at_ms) = (order.version.into(), order.updated_at_ms.into());
        (id.raw(), [state, version, updated_at_ms, coupons_back, units_back])
    });
    let columns = ["state", "version", "updated_at_ms", "coupons_back", "units_back"];
    bulk::update(conn, "orders", "id", columns, moved.collect()).await?;

    // Nothing but a coupon changes a price.
    let priced = orders.updated().filter(|(_, order)| !order.pricing.discounts.is_empty());
    let priced = priced.map(|(id, order)| {
        Ok((id.raw(), [order.pricing.total_minor.into(), snapshot(order)?.into()]))
    });
    let rows = priced.collect::<Result<_, DbError>>()?;
    bulk::update(conn, "orders", "id", ["total_minor", "snapshot"], rows).await
}

fn snapshot(order: &Order) -> Result<String, DbError> {
    let snapshot = Snapshot {
        fulfilment: order.fulfilment,
        pricing: order.pricing.clone(),
        note: order.note.clone(),
    };
    Ok(serde_json::to_string(&snapshot)?)
}

fn columns(order: &Order) -> Result<[Value; 11], DbError> {
    Ok([
        order.id.raw().into(),
        order.store_id.raw().into(),
        order.user_id.raw().into(),
        to_text(order.state).into(),
        order.version.into(),
        order.pricing.currency.to_string().into(),
        order.pricing.total_minor.into(),
        snapshot(order)?.into(),
        order.created_at_ms.into(),
        order.updated_at_ms.into(),
        order.pay_by_ms.into(),
    ])
}
