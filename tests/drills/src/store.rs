//! The drills' SQL: the ledger as its tables have it, read behind the core's back in one snapshot.

use crate::ledger::{Ledger, Order, Payment, Stock};
use crate::limits;
use anyhow::{Context as _, Result};
use serde::de::DeserializeOwned;
use sqlx::mysql::{MySqlConnection, MySqlPool, MySqlPoolOptions, MySqlRow};
use sqlx::{Executor as _, Row as _};
use std::collections::BTreeMap;
use std::time::Instant;

/// Something that can be ordered.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Item {
    /// The item.
    pub id: i64,
    /// Its store.
    pub store: i64,
    /// Its `ref`.
    pub name: String,
    /// Units at the start.
    pub units: i64,
}

/// Connections to a database; made when they are needed.
pub fn pool(url: &str) -> Result<MySqlPool> {
    let options = MySqlPoolOptions::new().max_connections(limits::CONNECTIONS);
    Ok(options.acquire_timeout(limits::ACQUIRE_WITHIN).connect_lazy(url)?)
}

/// Every item, by store and `ref`.
pub async fn items(pool: &MySqlPool) -> Result<Vec<Item>> {
    let rows = sqlx::query(
        "SELECT i.id, i.store_id, i.ref, s.on_hand FROM items i JOIN stock s ON s.item_id = i.id \
         ORDER BY i.store_id, i.ref",
    )
    .fetch_all(pool)
    .await?;
    let item = |row: &MySqlRow| -> Result<Item, sqlx::Error> {
        let [id, store, units] = integers(row, ["id", "store_id", "on_hand"])?;
        Ok(Item { id, store, name: row.try_get("ref")?, units })
    };
    Ok(rows.iter().map(item).collect::<Result<_, _>>()?)
}

/// A snapshot, tried again while the database is down.
pub async fn snapshot(pool: &MySqlPool) -> Result<Ledger> {
    let deadline = Instant::now() + limits::SNAPSHOT_WITHIN;
    loop {
        match try_snapshot(pool).await {
            Err(_) if Instant::now() < deadline => tokio::time::sleep(limits::POLL).await,
            outcome => return outcome.context("cannot read the ledger"),
        }
    }
}

/// A snapshot: every query sees the same instant.
pub async fn try_snapshot(pool: &MySqlPool) -> Result<Ledger> {
    let mut conn = pool.acquire().await?;
    // A transaction that the pool does not know of must not be met by the next query.
    conn.close_on_drop();
    conn.execute("START TRANSACTION WITH CONSISTENT SNAPSHOT").await?;
    let mut ledger = Ledger::default();
    read_stock(&mut conn, &mut ledger).await?;
    read_orders(&mut conn, &mut ledger).await?;
    read_payments(&mut conn, &mut ledger).await?;
    let scopes = sqlx::query_scalar("SELECT scope FROM idempotency").fetch_all(&mut *conn).await?;
    ledger.scopes = scopes.into_iter().collect();
    Ok(ledger)
}

async fn read_stock(conn: &mut MySqlConnection, ledger: &mut Ledger) -> Result<()> {
    let select = "SELECT item_id, on_hand, available, reserved, sold FROM stock";
    for row in sqlx::query(select).fetch_all(&mut *conn).await? {
        let columns = ["item_id", "on_hand", "available", "reserved", "sold"];
        let [item, on_hand, available, reserved, sold] = integers(&row, columns)?;
        ledger.stock.insert(item, Stock { on_hand, available, reserved, sold });
    }
    for row in sqlx::query("SELECT user_id, units FROM held_units").fetch_all(&mut *conn).await? {
        let [user, units] = integers(&row, ["user_id", "units"])?;
        ledger.held_units.insert(user, units);
    }
    Ok(())
}

async fn read_orders(conn: &mut MySqlConnection, ledger: &mut Ledger) -> Result<()> {
    let select = "SELECT id, user_id, store_id, total_minor, state FROM orders";
    for row in sqlx::query(select).fetch_all(&mut *conn).await? {
        let columns = ["id", "user_id", "store_id", "total_minor"];
        let [id, user, store, total_minor] = integers(&row, columns)?;
        let state = word(&row, "state")?;
        ledger.orders.insert(id, Order { user, store, state, total_minor, lines: BTreeMap::new() });
    }
    let select = "SELECT order_id, item_id, quantity FROM order_lines";
    for row in sqlx::query(select).fetch_all(&mut *conn).await? {
        let [order, item, quantity] = integers(&row, ["order_id", "item_id", "quantity"])?;
        let order = ledger.orders.get_mut(&order).context("a line has no order")?;
        *order.lines.entry(item).or_default() += quantity;
    }
    Ok(())
}

async fn read_payments(conn: &mut MySqlConnection, ledger: &mut Ledger) -> Result<()> {
    let select = "SELECT p.id, p.order_id, p.amount_minor, p.state, r.state AS refund, s.outcome, \
                  s.amount_minor AS taken_minor, s.refunded_minor \
                  FROM payments p LEFT JOIN refunds r ON r.payment_id = p.id \
                  LEFT JOIN sandbox_payments s ON s.payment_id = p.id";
    for row in sqlx::query(select).fetch_all(&mut *conn).await? {
        let [id, order, amount_minor] = integers(&row, ["id", "order_id", "amount_minor"])?;
        let refund: Option<String> = row.try_get("refund")?;
        let outcome: Option<String> = row.try_get("outcome")?;
        let took = outcome.is_some_and(|outcome| outcome.eq_ignore_ascii_case("captured"));
        let taken_minor: Option<i64> = row.try_get("taken_minor")?;
        let returned_minor: Option<i64> = row.try_get("refunded_minor")?;
        let kept = |taken: i64| if took { taken - returned_minor.unwrap_or(0) } else { 0 };
        let payment = Payment {
            order,
            state: word(&row, "state")?,
            amount_minor,
            has_refund: refund.is_some(),
            refunded: refund.as_deref() == Some("SUCCEEDED"),
            provider_keeps_minor: taken_minor.map(kept),
        };
        ledger.payments.insert(id, payment);
    }
    Ok(())
}

fn integers<const N: usize>(row: &MySqlRow, columns: [&str; N]) -> Result<[i64; N], sqlx::Error> {
    let mut values = [0; N];
    for (value, column) in values.iter_mut().zip(columns) {
        *value = row.try_get(column)?;
    }
    Ok(values)
}

/// A state, as it is written on the wire and in the tables.
fn word<T: DeserializeOwned>(row: &MySqlRow, column: &str) -> Result<T> {
    let text: String = row.try_get(column)?;
    serde_json::from_value(text.clone().into()).with_context(|| format!("{column} is {text:?}"))
}
