//! The leases of node numbers. `lease_until_ms` is on the database's clock, `minted_until_ms` on the cores'.

use crate::db::{Conn, Db, DbError, Dialect};
use crate::limits;
use sqlx::{AssertSqlSafe, Row as _};

/// A node number that was leased at some time.
#[derive(Debug)]
pub struct NodeRow {
    /// The number.
    pub node: i64,
    /// Who has or had it.
    pub owner: String,
    /// How long its lease still runs, ms; 0 or less once it has ended.
    pub left_ms: i64,
    /// No id minted on it carries this instant or a later one, ms since the Unix epoch.
    pub minted_until_ms: i64,
}

/// A lease as its owner writes it.
#[derive(Debug, Clone, Copy)]
pub struct Terms<'a> {
    /// Who writes it.
    pub owner: &'a str,
    /// From now on, by the database's clock, ms.
    pub lease_ms: i64,
    /// What is reserved, ms since the Unix epoch.
    pub minted_until_ms: i64,
}

/// Every number that was ever leased, in order.
pub async fn all(conn: &mut Conn, dialect: Dialect) -> Result<Vec<NodeRow>, DbError> {
    let now = dialect.now_ms();
    let text = format!(
        "SELECT node, owner, lease_until_ms - {now} AS left_ms, minted_until_ms FROM nodes ORDER BY node"
    );
    let rows = sqlx::query(AssertSqlSafe(text)).fetch_all(conn).await?;
    let read = |row: sqlx::any::AnyRow| {
        Ok(NodeRow {
            node: row.try_get("node")?,
            owner: row.try_get("owner")?,
            left_ms: row.try_get("left_ms")?,
            minted_until_ms: row.try_get("minted_until_ms")?,
        })
    };
    rows.into_iter().map(read).collect()
}

/// Which instants the ids of running cores may carry, ms since the Unix epoch.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Minting {
    /// No core goes on below this instant.
    pub floor_ms: i64,
    /// Nobody has reserved this instant or a later one.
    pub reserved_ms: i64,
}

/// The instants of all nodes that were leased in the last `lately_ms`, by the database's clock; `None` if none was.
pub async fn minting(db: &Db, lately_ms: i64) -> Result<Option<Minting>, DbError> {
    let now = db.dialect().now_ms();
    let text = format!(
        "SELECT MIN(minted_until_ms) AS lowest, MAX(minted_until_ms) AS highest FROM nodes \
         WHERE lease_until_ms > {now} - ?"
    );
    let row =
        sqlx::query(AssertSqlSafe(text)).bind(lately_ms).fetch_one(&mut *db.read().await?).await?;
    let (lowest, highest): (Option<i64>, Option<i64>) =
        (row.try_get("lowest")?, row.try_get("highest")?);
    Ok(lowest.zip(highest).map(|(lowest, highest)| Minting {
        // A row is written with what its core's clock shows, and a lease more.
        floor_ms: lowest - limits::NODE_LEASE_MS,
        reserved_ms: highest,
    }))
}

/// Takes a number that nobody ever had. Fails as a conflict if somebody else is faster.
pub async fn take_new(
    conn: &mut Conn,
    dialect: Dialect,
    node: i64,
    terms: Terms<'_>,
) -> Result<(), DbError> {
    let now = dialect.now_ms();
    let text = format!(
        "INSERT INTO nodes (node, owner, lease_until_ms, minted_until_ms) VALUES (?, ?, {now} + ?, ?)"
    );
    sqlx::query(AssertSqlSafe(text))
        .bind(node)
        .bind(terms.owner)
        .bind(terms.lease_ms)
        .bind(terms.minted_until_ms)
        .execute(conn)
        .await?;
    Ok(())
}

/// Takes over a number whose lease has ended, exactly as it was read: nobody else has taken it and its last
/// owner has not reserved more since. Whether that was still so.
pub async fn take_over(
    conn: &mut Conn,
    dialect: Dialect,
    found: &NodeRow,
    terms: Terms<'_>,
) -> Result<bool, DbError> {
    let now = dialect.now_ms();
    let text = format!(
        "UPDATE nodes SET owner = ?, lease_until_ms = {now} + ?, minted_until_ms = ? \
         WHERE node = ? AND owner = ? AND minted_until_ms = ? AND lease_until_ms <= {now}"
    );
    let done = sqlx::query(AssertSqlSafe(text))
        .bind(terms.owner)
        .bind(terms.lease_ms)
        .bind(terms.minted_until_ms)
        .bind(found.node)
        .bind(&found.owner)
        .bind(found.minted_until_ms)
        .execute(conn)
        .await?;
    Ok(done.rows_affected() == 1)
}

/// Writes an owner's lease anew, to renew or to end it. Whether the number is still its own.
pub async fn rewrite(
    conn: &mut Conn,
    dialect: Dialect,
    node: i64,
    terms: Terms<'_>,
) -> Result<bool, DbError> {
    let now = dialect.now_ms();
    let text = format!(
        "UPDATE nodes SET lease_until_ms = {now} + ?, minted_until_ms = ? WHERE node = ? AND owner = ?"
    );
    let done = sqlx::query(AssertSqlSafe(text))
        .bind(terms.lease_ms)
        .bind(terms.minted_until_ms)
        .bind(node)
        .bind(terms.owner)
        .execute(conn)
        .await?;
    Ok(done.rows_affected() == 1)
}
