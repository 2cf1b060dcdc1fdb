//! The baselines' SQL: the rows that the core writes for an order, one by one or in bulk.
//!
//! Statements take portions of fixed sizes, so each is prepared once on a connection, whatever the batch.

use super::shop::Sale;
use core_service::db::outbox::{self, News, Topic};
use core_service::engine::catalog::StoreCatalog;
use core_service::idempotency::{Answer, Keyed};
use serde::Serialize;
use sqlx::mysql::{MySqlConnection, MySqlDatabaseError, MySqlPool};
use sqlx::{AssertSqlSafe, Executor as _, MySql, Row as _};
use std::collections::{BTreeMap, HashMap};
use tiffin_api::id::{ItemId, OrderId, StoreId, UserId};
use tiffin_api::import::ItemRow;
use tiffin_api::order::{Order, OrderState};
use tiffin_api::quote::{Fulfilment, Pricing};

/// The sizes of portions, the largest first.
const PORTIONS: [usize; 5] = [256, 64, 16, 4, 1];

/// `ER_LOCK_WAIT_TIMEOUT` and `ER_LOCK_DEADLOCK` (MySQL's server error reference).
const CONFLICTS: [u16; 2] = [1205, 1213];

type Query<'q> = sqlx::query::Query<'q, MySql, sqlx::mysql::MySqlArguments>;

/// What each connection is told first: the isolation that the core uses.
pub async fn prepare_session(conn: &mut MySqlConnection) -> Result<(), sqlx::Error> {
    conn.execute("SET SESSION TRANSACTION ISOLATION LEVEL READ COMMITTED").await?;
    Ok(())
}

/// Whether another transaction was in the way.
pub fn is_conflict(error: &sqlx::Error) -> bool {
    let sqlx::Error::Database(error) = error else { return false };
    let number = error.try_downcast_ref::<MySqlDatabaseError>().map(MySqlDatabaseError::number);
    number.is_some_and(|number| CONFLICTS.contains(&number))
}

/// Every store with its items.
pub async fn catalogue(pool: &MySqlPool) -> anyhow::Result<HashMap<StoreId, StoreCatalog>> {
    let mut items: HashMap<StoreId, BTreeMap<ItemId, ItemRow>> = HashMap::new();
    for row in sqlx::query("SELECT id, store_id, definition FROM items").fetch_all(pool).await? {
        let item = serde_json::from_str(row.try_get("definition")?)?;
        let store_items = items.entry(StoreId::from_raw(row.try_get("store_id")?)).or_default();
        store_items.insert(ItemId::from_raw(row.try_get("id")?), item);
    }
    let stores = sqlx::query("SELECT id, version, definition FROM stores").fetch_all(pool).await?;
    stores
        .iter()
        .map(|row| {
            let id = StoreId::from_raw(row.try_get("id")?);
            let store = serde_json::from_str(row.try_get("definition")?)?;
            let items = items.remove(&id).unwrap_or_default();
            Ok((id, StoreCatalog::new(row.try_get("version")?, store, items)))
        })
        .collect()
}

/// What is left of every item.
pub async fn all_stock(pool: &MySqlPool) -> Result<Vec<(i64, i64)>, sqlx::Error> {
    sqlx::query_as("SELECT item_id, available FROM stock").fetch_all(pool).await
}

/// What is left of an item, its row locked.
pub async fn available_locked(
    conn: &mut MySqlConnection,
    item_id: ItemId,
) -> Result<i64, sqlx::Error> {
    sqlx::query_scalar("SELECT available FROM stock WHERE item_id = ? FOR UPDATE")
        .bind(item_id.raw())
        .fetch_one(conn)
        .await
}

/// Reserves units of an item whose row is locked.
pub async fn reserve(
    conn: &mut MySqlConnection,
    item_id: ItemId,
    units: i64,
) -> Result<(), sqlx::Error> {
    sqlx::query(
        "UPDATE stock SET available = available - ?, reserved = reserved + ?, version = version + 1 \
         WHERE item_id = ?",
    )
    .bind(units)
    .bind(units)
    .bind(item_id.raw())
    .execute(conn)
    .await?;
    Ok(())
}

/// Records an answer under the id of the order that was asked for; false if the key has one already.
pub async fn record(
    conn: &mut MySqlConnection,
    id: OrderId,
    keyed: &Keyed,
    answer: &Answer,
) -> Result<bool, sqlx::Error> {
    match insert(conn, IDEMPOTENCY, &[(id, keyed, answer)], bind_record).await {
        Ok(()) => Ok(true),
        Err(sqlx::Error::Database(error)) if error.is_unique_violation() => Ok(false),
        Err(error) => Err(error),
    }
}

/// The body and answer that a key stands for.
pub async fn recorded(
    pool: &MySqlPool,
    scope: &str,
) -> Result<Option<(String, Answer)>, sqlx::Error> {
    let row = sqlx::query("SELECT body_hash, status, body FROM idempotency WHERE scope = ?")
        .bind(scope)
        .fetch_optional(pool)
        .await?;
    let Some(row) = row else { return Ok(None) };
    let status = u16::try_from(row.try_get::<i64, _>("status")?).unwrap_or_default();
    Ok(Some((row.try_get("body_hash")?, Answer { status, body: row.try_get("body")? })))
}

/// Writes a batch and its stock in one transaction.
pub async fn write_batch(pool: &MySqlPool, sales: &[Sale]) -> Result<(), sqlx::Error> {
    let mut tx = pool.begin().await?;
    let records: Vec<_> =
        sales.iter().map(|sale| (sale.order.id, &sale.keyed, &sale.answer)).collect();
    insert(&mut tx, IDEMPOTENCY, &records, bind_record).await?;
    insert_sales(&mut tx, sales).await?;
    let mut taken = BTreeMap::new();
    for (item_id, units) in sales.iter().flat_map(|sale| &sale.holds) {
        *taken.entry(*item_id).or_insert(0_i64) += units;
    }
    let taken: Vec<_> = taken.into_iter().collect();
    insert(&mut tx, STOCK, &taken, |query, (item_id, units)| {
        query.bind(item_id.raw()).bind(*units).bind(*units)
    })
    .await?;
    tx.commit().await
}

/// Writes orders, their lines, their news, and what their users hold.
pub async fn insert_sales(conn: &mut MySqlConnection, sales: &[Sale]) -> Result<(), sqlx::Error> {
    insert(conn, ORDERS, sales, bind_order).await?;
    let lines: Vec<_> = sales
        .iter()
        .flat_map(|sale| {
            (1_i64..).zip(&sale.holds).map(|(line_no, line)| (sale.order.id, line_no, line))
        })
        .collect();
    insert(conn, LINES, &lines, |query, (order_id, line_no, (item_id, quantity))| {
        query.bind(order_id.raw()).bind(*line_no).bind(item_id.raw()).bind(**quantity)
    })
    .await?;
    let packs: Vec<_> = sales.chunks(core_service::limits::OUTBOX_PACK_EVENTS).collect();
    insert(conn, OUTBOX, &packs, bind_pack).await?;
    let mut held: BTreeMap<UserId, i64> = BTreeMap::new();
    for sale in sales {
        *held.entry(sale.order.user_id).or_default() += sale.holds.values().sum::<i64>();
    }
    let held: Vec<_> = held.into_iter().collect();
    insert(conn, HELD, &held, |query, (user_id, units)| query.bind(user_id.raw()).bind(*units))
        .await
}

/// What the core keeps of an order as it was decided.
#[derive(Serialize)]
struct Snapshot<'a> {
    fulfilment: &'a Fulfilment,
    pricing: &'a Pricing,
    #[serde(skip_serializing_if = "Option::is_none")]
    note: Option<&'a str>,
}

/// What the core's outbox says of an order.
#[derive(Serialize)]
struct OrderChanged {
    state: OrderState,
    version: i64,
    store_id: StoreId,
}

/// An `INSERT` for any number of rows.
#[derive(Clone, Copy)]
struct Insert {
    into: &'static str,
    row: &'static str,
    ending: &'static str,
}

const IDEMPOTENCY: Insert = Insert {
    into: "idempotency (id, scope, body_hash, status, body)",
    row: "(?, ?, ?, ?, ?)",
    ending: "",
};
const ORDERS: Insert = Insert {
    into: "orders (id, store_id, user_id, state, version, currency, total_minor, snapshot, \
           created_at_ms, updated_at_ms, pay_by_ms)",
    row: "(?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
    ending: "",
};
const LINES: Insert = Insert {
    into: "order_lines (order_id, line_no, item_id, quantity)",
    row: "(?, ?, ?, ?)",
    ending: "",
};
const OUTBOX: Insert =
    Insert { into: "outbox (id, events, payload, created_at_ms)", row: "(?, ?, ?, ?)", ending: "" };
const HELD: Insert = Insert {
    into: "held_units (user_id, units)",
    row: "(?, ?)",
    ending: " ON DUPLICATE KEY UPDATE units = units + VALUES(units)",
};
/// Every item has a row: the new one is only a way to say the numbers.
const STOCK: Insert = Insert {
    into: "stock (item_id, on_hand, available, reserved, version)",
    row: "(?, ?, 0, ?, 1)",
    ending: " ON DUPLICATE KEY UPDATE available = available - VALUES(reserved), \
             reserved = reserved + VALUES(reserved), version = version + 1",
};

async fn insert<T>(
    conn: &mut MySqlConnection,
    statement: Insert,
    rows: &[T],
    bind: impl for<'q> Fn(Query<'q>, &'q T) -> Query<'q>,
) -> Result<(), sqlx::Error> {
    let mut rest = rows;
    for portion in PORTIONS {
        while rest.len() >= portion {
            let (now, later) = rest.split_at(portion);
            rest = later;
            let sql = statement.text(portion);
            let query = sqlx::query(AssertSqlSafe(sql));
            now.iter().fold(query, &bind).execute(&mut *conn).await?;
        }
    }
    Ok(())
}

impl Insert {
    fn text(self, rows: usize) -> String {
        let values = vec![self.row; rows].join(", ");
        format!("INSERT INTO {} VALUES {values}{}", self.into, self.ending)
    }
}

fn bind_record<'q>(
    query: Query<'q>,
    (id, keyed, answer): &'q (OrderId, &Keyed, &Answer),
) -> Query<'q> {
    query
        .bind(id.raw())
        .bind(&keyed.scope)
        .bind(&keyed.body_hash)
        .bind(i64::from(answer.status))
        .bind(&answer.body)
}

fn bind_order<'q>(query: Query<'q>, sale: &'q Sale) -> Query<'q> {
    let order = &sale.order;
    let Order { fulfilment, pricing, note, .. } = order;
    let snapshot = Snapshot { fulfilment, pricing, note: note.as_deref() };
    let snapshot = serde_json::to_string(&snapshot).expect("wire documents always serialise");
    query
        .bind(order.id.raw())
        .bind(order.store_id.raw())
        .bind(order.user_id.raw())
        .bind("PENDING_PAYMENT")
        .bind(order.version)
        .bind(order.pricing.currency.to_string())
        .bind(order.pricing.total_minor)
        .bind(snapshot)
        .bind(order.created_at_ms)
        .bind(order.updated_at_ms)
        .bind(order.pay_by_ms)
}

/// The news of all sales in one row, as the core packs a batch's.
fn bind_pack<'q>(query: Query<'q>, sales: &'q &[Sale]) -> Query<'q> {
    let news_of = |sale: &Sale| {
        let Order { id, state, version, store_id, .. } = sale.order;
        let news = OrderChanged { state, version, store_id };
        News::new(Topic::OrderChanged, id.raw(), &news).expect("wire documents always serialise")
    };
    let news: Vec<_> = sales.iter().map(news_of).collect();
    let first = &sales[0];
    query
        .bind(first.news_id)
        .bind(i64::try_from(news.len()).expect("a batch is small"))
        .bind(outbox::pack(&news))
        .bind(first.order.created_at_ms)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn portions_make_up_every_batch_with_few_statements() {
        for rows in 0..=600 {
            let (mut rest, mut statements) = (rows, 0);
            for portion in PORTIONS {
                statements += rest / portion;
                rest %= portion;
            }
            assert_eq!(rest, 0);
            assert!(statements <= 14, "{rows} rows take {statements} statements");
        }
        assert_eq!(
            HELD.text(2),
            "INSERT INTO held_units (user_id, units) VALUES (?, ?), (?, ?) \
             ON DUPLICATE KEY UPDATE units = units + VALUES(units)"
        );
    }
}
