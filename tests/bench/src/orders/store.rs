//! The driver's SQL: what the ledger says after a measurement, and filling it with old orders.

use crate::limits;
use anyhow::Context as _;
use core_service::ids::EPOCH_MS;
use sqlx::mysql::{MySqlConnection, MySqlPool};
use sqlx::{AssertSqlSafe, Executor as _, Row as _};
use std::time::Instant;
use tiffin_api::id::{ItemId, StoreId};
use tokio::time::sleep;

/// How much of the ledger a measurement may have changed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Ledger {
    /// Orders.
    pub orders: i64,
    /// Units that are neither sold nor reserved, of all items.
    pub available: i64,
    /// Items whose units do not add up.
    pub broken: i64,
}

/// Something that can be ordered.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Item {
    /// Its store.
    pub store_id: StoreId,
    /// The item.
    pub id: ItemId,
}

/// Drops a database of ours.
pub async fn drop_database(pool: &MySqlPool, name: &str) -> Result<(), sqlx::Error> {
    pool.execute(AssertSqlSafe(format!("DROP DATABASE IF EXISTS {name}"))).await?;
    Ok(())
}

/// What the ledger says now.
pub async fn ledger(pool: &MySqlPool, database: &str) -> Result<Ledger, sqlx::Error> {
    let sql = format!(
        "SELECT (SELECT COUNT(*) FROM {database}.orders), \
         (SELECT CAST(SUM(available) AS SIGNED) FROM {database}.stock), \
         (SELECT COUNT(*) FROM {database}.stock WHERE on_hand <> available + reserved)"
    );
    let (orders, available, broken) = sqlx::query_as(AssertSqlSafe(sql)).fetch_one(pool).await?;
    Ok(Ledger { orders, available, broken })
}

/// Items whose `ref` begins so, by their `ref`.
pub async fn items(
    pool: &MySqlPool,
    database: &str,
    prefix: &str,
) -> Result<Vec<Item>, sqlx::Error> {
    let sql = format!(
        "SELECT store_id, id FROM {database}.items WHERE ref LIKE CONCAT(?, '%') ORDER BY ref, id"
    );
    let rows = sqlx::query(AssertSqlSafe(sql)).bind(prefix).fetch_all(pool).await?;
    rows.iter()
        .map(|row| {
            Ok(Item {
                store_id: StoreId::from_raw(row.try_get("store_id")?),
                id: ItemId::from_raw(row.try_get("id")?),
            })
        })
        .collect()
}

/// Statements that clients have sent to the server since its start, this one among them.
pub async fn questions(conn: &mut MySqlConnection) -> anyhow::Result<u64> {
    variable(conn, "SHOW GLOBAL STATUS LIKE 'Questions'").await?.parse().context("a count")
}

/// A variable of the server.
pub async fn setting(conn: &mut MySqlConnection, name: &str) -> anyhow::Result<String> {
    variable(conn, &format!("SHOW GLOBAL VARIABLES LIKE '{name}'")).await
}

async fn variable(conn: &mut MySqlConnection, show: &str) -> anyhow::Result<String> {
    // As text: prepared, it would be two statements.
    let row = sqlx::raw_sql(AssertSqlSafe(show)).fetch_one(conn).await.context(show.to_owned())?;
    Ok(row.try_get(1)?)
}

/// Adds completed orders of the past to a ledger whose only order is the model for them, until there are
/// `wanted` in all, or until `go_on`, which hears how many there are, says no; returns how many were added.
/// The rows are those that an order leaves: the order, its line, its payment, its key's record, its user's
/// held units.
pub async fn fill(
    pool: &MySqlPool,
    database: &str,
    wanted: u64,
    now_ms: i64,
    mut go_on: impl FnMut(u64) -> bool,
) -> anyhow::Result<u64> {
    // Two, because the server gives each connection one processor.
    let (mut one, mut other) = (pool.acquire().await?, pool.acquire().await?);
    run(&mut one, &[format!("USE {database}")]).await?;
    run(&mut other, &[format!("USE {database}")]).await?;
    let chunk = wanted.min(limits::FILL_CHUNK_ORDERS);
    let mut prepare = vec![
        "CREATE TABLE bench_numbers (n BIGINT NOT NULL PRIMARY KEY)".to_owned(),
        "INSERT INTO bench_numbers VALUES (0)".to_owned(),
        "CREATE TABLE bench_model AS SELECT * FROM orders LIMIT 1".to_owned(),
        "CREATE TABLE bench_answer AS SELECT * FROM idempotency LIMIT 1".to_owned(),
        "CREATE TABLE bench_line AS SELECT * FROM order_lines LIMIT 1".to_owned(),
    ];
    let doublings = std::iter::successors(Some(1), |numbers| Some(numbers * 2));
    prepare.extend(doublings.take_while(|numbers| *numbers < chunk).map(|numbers| {
        format!(
            "INSERT INTO bench_numbers SELECT n + {numbers} FROM bench_numbers \
             WHERE n + {numbers} < {chunk}"
        )
    }));
    run(&mut one, &prepare).await?;
    let mut added = 0;
    while added < wanted && go_on(added) {
        let count = chunk.min(wanted - added);
        let statements = fill_statements(added, count, wanted, now_ms);
        let (orders, rest) = statements.split_at(2);
        tokio::try_join!(run(&mut one, orders), run(&mut other, rest))?;
        added += count;
    }
    let sold = format!(
        "UPDATE stock SET sold = sold + {added} WHERE item_id = (SELECT item_id FROM bench_line)"
    );
    let clear = "DROP TABLE bench_numbers, bench_model, bench_answer, bench_line".to_owned();
    run(&mut one, &[sold, clear]).await?;
    // What was changed for these connections must not be met by the next ones to use them.
    one.close().await?;
    other.close().await?;
    Ok(added)
}

/// Brings a filled ledger to where selling would have brought it: the indexes among whose rows new orders land are
/// in memory, and not only the last rows of the filling; and those are on the disk.
pub async fn settle(pool: &MySqlPool, database: &str) -> anyhow::Result<()> {
    let mut conn = pool.acquire().await?;
    let deadline = Instant::now() + limits::SETTLE_WITHIN;
    while dirty_pages(&mut conn).await? > limits::SETTLED_PAGES && Instant::now() < deadline {
        sleep(limits::POLL).await;
    }
    let indexes = [
        ("orders", "orders_by_user"),
        ("orders", "orders_by_deadline"),
        ("idempotency", "scope"),
        ("held_units", "PRIMARY"),
    ];
    let count = indexes.map(|(table, index)| {
        format!("SELECT COUNT(*) FROM {database}.{table} FORCE INDEX ({index})")
    });
    run(&mut conn, &count).await
}

async fn dirty_pages(conn: &mut MySqlConnection) -> anyhow::Result<u64> {
    let show = "SHOW GLOBAL STATUS LIKE 'Innodb_buffer_pool_pages_dirty'";
    variable(conn, show).await?.parse().context("a count")
}

async fn run(conn: &mut MySqlConnection, statements: &[String]) -> anyhow::Result<()> {
    for sql in statements {
        let done = conn.execute(AssertSqlSafe(sql.clone())).await;
        done.with_context(|| sql.clone())?;
    }
    Ok(())
}

/// Five orders of each user. Keys and users grow with the orders' ids, so that the rows come in the order
/// of every index and are quickly written; their values are spread over the whole range, so that new
/// orders land anywhere among them.
fn fill_statements(start: u64, count: u64, wanted: u64, now_ms: i64) -> [String; 5] {
    /// The past ends an hour ago, so that no id of now is among it.
    const AGO_MS: i64 = 3_600_000;
    /// Bits below the milliseconds of an id.
    const ID_LOW_BITS: u32 = 22;
    let created_ms = now_ms - AGO_MS;
    let first_id = (created_ms - EPOCH_MS) << ID_LOW_BITS;
    let user_step = super::request::USER_SPACE / wanted;
    let scope_step = (1_u64 << 40) / wanted;
    let source = "FROM bench_numbers b CROSS JOIN";
    let within = format!("WHERE b.n < {count}");
    let n = format!("(b.n + {start})");
    let id = format!("{first_id} + {n} * 64");
    let user = format!("({n} DIV 5) * 5 * {user_step} + 1");
    [
        format!(
            "INSERT INTO orders (id, store_id, user_id, state, version, currency, total_minor, snapshot, \
             created_at_ms, updated_at_ms, pay_by_ms) SELECT {id}, m.store_id, {user}, 'COMPLETED', 6, \
             m.currency, m.total_minor, m.snapshot, {created_ms}, {created_ms}, {created_ms} + 900000 \
             {source} bench_model m {within} ORDER BY b.n"
        ),
        format!(
            "INSERT INTO order_lines (order_id, line_no, item_id, quantity) SELECT {id}, 1, m.item_id, 1 \
             {source} bench_line m {within} ORDER BY b.n"
        ),
        format!(
            "INSERT INTO payments (id, scope, body_hash, ask_at_ms, order_id, state, version, amount_minor, \
             currency, method, created_at_ms, updated_at_ms) SELECT {id} + 1, \
             CONCAT(LPAD(HEX({n} * {scope_step}), 10, '0'), REPEAT('F', 54)), REPEAT('0', 64), 0, {id}, \
             'CAPTURED', 3, m.total_minor, m.currency, 'sandbox', {created_ms}, {created_ms} \
             {source} bench_model m {within} ORDER BY b.n"
        ),
        format!(
            "INSERT INTO idempotency (id, scope, body_hash, status, body) SELECT {id}, \
             CONCAT(LOWER(LPAD(HEX({n} * {scope_step}), 10, '0')), REPEAT('f', 54)), m.body_hash, \
             m.status, m.body {source} bench_answer m {within} ORDER BY b.n"
        ),
        format!(
            "INSERT IGNORE INTO held_units (user_id, units) SELECT {user}, 0 \
             FROM bench_numbers b {within} AND {n} % 5 = 0 ORDER BY b.n"
        ),
    ]
}
