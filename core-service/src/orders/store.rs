//! Orders and the stock they hold.
//!
//! Every function runs on the caller's transaction. Guarded writes check the rows they touched: a guard
//! that fails here means that the tables contradict what was read a moment ago in the same transaction.

use crate::db::code::{from_text, to_text};
use crate::db::{Conn, DbError, Row, expect_one};
use serde::{Deserialize, Serialize};
use sqlx::Row as _;
use std::collections::BTreeMap;
use tiffin_api::id::{ItemId, OrderId, StoreId, UserId};
use tiffin_api::order::{Order, OrderState};
use tiffin_api::quote::{Fulfilment, Pricing};

/// A query for whole orders: the columns that [`read_order`] reads, then the given condition.
macro_rules! select_orders {
    ($condition:literal) => {
        sqlx::query(concat!(
            "SELECT id, store_id, user_id, state, version, snapshot, created_at_ms, updated_at_ms, ",
            "pay_by_ms FROM orders ",
            $condition
        ))
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
        payments: Vec::new(),
    })
}

/// An order, without its payments.
pub async fn find(conn: &mut Conn, id: OrderId) -> Result<Option<Order>, DbError> {
    let row = select_orders!("WHERE id = ?").bind(id.raw()).fetch_optional(conn).await?;
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
    let rows = select_orders!("WHERE user_id = ? AND id < ? ORDER BY id DESC LIMIT ?")
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

/// Writes a new order and what it holds.
pub async fn insert(
    conn: &mut Conn,
    order: &Order,
    holds: &BTreeMap<ItemId, i64>,
) -> Result<(), DbError> {
    let snapshot = Snapshot {
        fulfilment: order.fulfilment,
        pricing: order.pricing.clone(),
        note: order.note.clone(),
    };
    sqlx::query(
        "INSERT INTO orders (id, store_id, user_id, state, version, currency, total_minor, snapshot, \
         created_at_ms, updated_at_ms, pay_by_ms) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
    )
    .bind(order.id.raw())
    .bind(order.store_id.raw())
    .bind(order.user_id.raw())
    .bind(to_text(order.state))
    .bind(order.version)
    .bind(order.pricing.currency.to_string())
    .bind(order.pricing.total_minor)
    .bind(serde_json::to_string(&snapshot)?)
    .bind(order.created_at_ms)
    .bind(order.updated_at_ms)
    .bind(order.pay_by_ms)
    .execute(&mut *conn)
    .await?;
    for (line_no, (item_id, quantity)) in (1_i64..).zip(holds) {
        sqlx::query(
            "INSERT INTO order_lines (order_id, line_no, item_id, quantity) VALUES (?, ?, ?, ?)",
        )
        .bind(order.id.raw())
        .bind(line_no)
        .bind(item_id.raw())
        .bind(quantity)
        .execute(&mut *conn)
        .await?;
    }
    Ok(())
}

/// Writes an order's new state; `order` carries the version it was read with plus one.
pub async fn save_move(conn: &mut Conn, order: &Order) -> Result<(), DbError> {
    let done = sqlx::query(
        "UPDATE orders SET state = ?, version = ?, updated_at_ms = ? WHERE id = ? AND version = ?",
    )
    .bind(to_text(order.state))
    .bind(order.version)
    .bind(order.updated_at_ms)
    .bind(order.id.raw())
    .bind(order.version - 1)
    .execute(conn)
    .await?;
    expect_one(&done, || format!("order {} moved under our lock", order.id))
}

/// What an order holds or held, each item once.
pub async fn holds(conn: &mut Conn, id: OrderId) -> Result<BTreeMap<ItemId, i64>, DbError> {
    let rows = sqlx::query("SELECT item_id, quantity FROM order_lines WHERE order_id = ?")
        .bind(id.raw())
        .fetch_all(conn)
        .await?;
    rows.iter()
        .map(|row| Ok((ItemId::from_raw(row.try_get("item_id")?), row.try_get("quantity")?)))
        .collect()
}

/// How many units of each item are neither sold nor reserved.
pub async fn available(
    conn: &mut Conn,
    items: impl IntoIterator<Item = ItemId>,
) -> Result<BTreeMap<ItemId, i64>, DbError> {
    let mut available = BTreeMap::new();
    for item_id in items {
        let row = sqlx::query("SELECT available FROM stock WHERE item_id = ?")
            .bind(item_id.raw())
            .fetch_optional(&mut *conn)
            .await?;
        if let Some(row) = row {
            available.insert(item_id, row.try_get("available")?);
        }
    }
    Ok(available)
}

/// A move of stock. Each keeps on_hand = available + reserved.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum StockMove {
    /// available -> reserved, when an order is placed.
    Reserve,
    /// reserved -> available, when an order closes unpaid.
    Release,
    /// reserved -> gone, when an order is paid.
    Commit,
}

/// Moves the stock that an order holds.
pub async fn move_stock(
    conn: &mut Conn,
    holds: &BTreeMap<ItemId, i64>,
    stock_move: StockMove,
) -> Result<(), DbError> {
    for (item_id, quantity) in holds {
        let query = match stock_move {
            StockMove::Reserve => sqlx::query(
                "UPDATE stock SET available = available - ?, reserved = reserved + ?, \
                 version = version + 1 WHERE item_id = ? AND available >= ?",
            ),
            StockMove::Release => sqlx::query(
                "UPDATE stock SET reserved = reserved - ?, available = available + ?, \
                 version = version + 1 WHERE item_id = ? AND reserved >= ?",
            ),
            StockMove::Commit => sqlx::query(
                "UPDATE stock SET reserved = reserved - ?, on_hand = on_hand - ?, \
                 version = version + 1 WHERE item_id = ? AND reserved >= ?",
            ),
        };
        let done = query
            .bind(quantity)
            .bind(quantity)
            .bind(item_id.raw())
            .bind(quantity)
            .execute(&mut *conn)
            .await?;
        expect_one(&done, || format!("cannot {stock_move:?} {quantity} of item {item_id}"))?;
    }
    Ok(())
}
