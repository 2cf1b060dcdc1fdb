//! Rows of stock and of held units.

use super::Stock;
use crate::db::bulk::{self, Value};
use crate::db::{Conn, DbError, Dialect};
use crate::engine::table::Table;
use sqlx::Row as _;
use tiffin_api::id::{ItemId, UserId};

/// Loads and locks the stock of items, by id.
pub async fn lock(
    conn: &mut Conn,
    dialect: Dialect,
    items: impl IntoIterator<Item = ItemId>,
    stock: &mut Table<ItemId, Stock>,
) -> Result<(), DbError> {
    let ending = format!(" ORDER BY item_id{}", dialect.for_update());
    let select = "SELECT item_id, on_hand, available, reserved, sold, version FROM stock";
    let ids = items.into_iter().map(ItemId::raw);
    for row in bulk::select_in(conn, select, "item_id", ids, &ending).await? {
        let read = Stock {
            on_hand: row.try_get("on_hand")?,
            available: row.try_get("available")?,
            reserved: row.try_get("reserved")?,
            sold: row.try_get("sold")?,
            version: row.try_get("version")?,
        };
        stock.load(ItemId::from_raw(row.try_get("item_id")?), read);
    }
    Ok(())
}

/// Writes what changed of the stock.
pub async fn save(conn: &mut Conn, stock: &Table<ItemId, Stock>) -> Result<(), DbError> {
    let columns = ["on_hand", "available", "reserved", "sold", "version"];
    let values = |stock: &Stock| {
        [stock.on_hand, stock.available, stock.reserved, stock.sold, stock.version].map(Value::Int)
    };
    let rows = stock.updated().map(|(id, stock)| (id.raw(), values(stock))).collect();
    bulk::update(conn, "stock", "item_id", columns, rows).await
}

/// Loads and locks the units that users hold, by user.
pub async fn lock_held(
    conn: &mut Conn,
    dialect: Dialect,
    users: impl IntoIterator<Item = UserId>,
    held: &mut Table<UserId, i64>,
) -> Result<(), DbError> {
    let ending = format!(" ORDER BY user_id{}", dialect.for_update());
    let select = "SELECT user_id, units FROM held_units";
    let ids = users.into_iter().map(UserId::raw);
    for row in bulk::select_in(conn, select, "user_id", ids, &ending).await? {
        held.load(UserId::from_raw(row.try_get("user_id")?), row.try_get("units")?);
    }
    Ok(())
}

/// Writes what changed of the held units. Rows that are new here may be another core's at the same moment: its
/// insert then fails or ours does, and the loser's batch is decided anew.
pub async fn save_held(
    conn: &mut Conn,
    dialect: Dialect,
    held: &Table<UserId, i64>,
) -> Result<(), DbError> {
    let row = |(user, units): (&UserId, &i64)| [Value::Int(user.raw()), Value::Int(*units)];
    let into = "held_units (user_id, units)";
    bulk::insert(conn, into, held.inserted().map(row).collect()).await?;
    let overwrite = dialect.on_conflict_update("user_id", &["units"]);
    bulk::insert_ending(conn, into, held.updated().map(row).collect(), &overwrite).await
}
