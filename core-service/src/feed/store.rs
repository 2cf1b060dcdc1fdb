//! The outbox, the feed, and the row that says which number was given last.

use crate::db::{Conn, Db, DbError, Row, bulk, expect_one};
use crate::limits;
use sqlx::Row as _;

/// A numbered row.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Numbered {
    /// Its number.
    pub seq: i64,
    /// What kind of news.
    pub topic: String,
    /// Of which entity.
    pub subject_id: i64,
    /// What, as JSON.
    pub payload: String,
    /// When, ms since the Unix epoch.
    pub created_at_ms: i64,
}

/// Which numbers can be read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Span {
    /// The lowest one kept; `None` if none is.
    pub oldest: Option<i64>,
    /// The last one given.
    pub head: i64,
}

impl Span {
    /// Whether a reader that has seen everything up to `cursor` has missed what is no longer kept, or comes
    /// from another ledger.
    pub fn misses(self, cursor: i64) -> bool {
        let next_is_gone = self.oldest.is_none_or(|oldest| oldest > cursor + 1);
        cursor > self.head || (cursor < self.head && next_is_gone)
    }
}

/// The last number given, and whether rows wait for theirs.
pub async fn look(conn: &mut Conn) -> Result<(i64, bool), DbError> {
    let row = sqlx::query(
        "SELECT seq, (SELECT COUNT(*) FROM (SELECT id FROM outbox LIMIT 1) AS first_row) AS waiting \
         FROM feed_head WHERE id = 1",
    )
    .fetch_one(conn)
    .await?;
    Ok((row.try_get("seq")?, row.try_get::<i64, _>("waiting")? > 0))
}

/// Which numbers can be read.
pub async fn span(conn: &mut Conn) -> Result<Span, DbError> {
    let row = sqlx::query(
        "SELECT seq, (SELECT MIN(seq) FROM feed) AS oldest FROM feed_head WHERE id = 1",
    )
    .fetch_one(conn)
    .await?;
    Ok(Span { oldest: row.try_get("oldest")?, head: row.try_get("seq")? })
}

/// The rows above `cursor`, at most `rows` of them, in order.
pub async fn page(conn: &mut Conn, cursor: i64, rows: i64) -> Result<Vec<Numbered>, DbError> {
    let rows = sqlx::query(
        "SELECT seq, topic, subject_id, payload, created_at_ms FROM feed \
         WHERE seq > ? ORDER BY seq LIMIT ?",
    )
    .bind(cursor)
    .bind(rows)
    .fetch_all(conn)
    .await?;
    rows.iter().map(|row| numbered(row, row.try_get("seq")?)).collect()
}

fn numbered(row: &Row, seq: i64) -> Result<Numbered, DbError> {
    Ok(Numbered {
        seq,
        topic: row.try_get("topic")?,
        subject_id: row.try_get("subject_id")?,
        payload: row.try_get("payload")?,
        created_at_ms: row.try_get("created_at_ms")?,
    })
}

/// Moves up to [`limits::RELAY_BATCH`] rows from the outbox to the feed, in one transaction. Returns how many,
/// and the head after it.
///
/// The lock of the head's row comes first, so whoever waited for it reads the outbox as the one before left it.
/// The outbox is read without locks: rows of transactions that run are neither seen nor waited for.
pub async fn number_waiting(db: &Db) -> Result<(usize, i64), DbError> {
    let mut tx = db.write().await?;
    let lock = match db.dialect().for_update() {
        "" => "SELECT seq FROM feed_head WHERE id = 1",
        _ => "SELECT seq FROM feed_head WHERE id = 1 FOR UPDATE",
    };
    let before: i64 = sqlx::query_scalar(lock).fetch_one(&mut *tx).await?;
    let waiting = sqlx::query(
        "SELECT id, topic, subject_id, payload, created_at_ms FROM outbox ORDER BY id LIMIT ?",
    )
    .bind(limits::RELAY_BATCH)
    .fetch_all(&mut *tx)
    .await?;
    if waiting.is_empty() {
        return Ok((0, before));
    }
    let ids = waiting.iter().map(|row| row.try_get("id")).collect::<Result<Vec<i64>, _>>()?;
    let rows = waiting
        .iter()
        .zip(before + 1..)
        .map(|(row, seq)| {
            let Numbered { seq, topic, subject_id, payload, created_at_ms } = numbered(row, seq)?;
            Ok([seq.into(), topic.into(), subject_id.into(), payload.into(), created_at_ms.into()])
        })
        .collect::<Result<Vec<_>, DbError>>()?;
    let head = before + i64::try_from(rows.len()).expect("a batch is counted in an i64");
    bulk::insert(&mut tx, "feed (seq, topic, subject_id, payload, created_at_ms)", rows).await?;
    bulk::delete(&mut tx, "outbox", "id", &ids).await?;
    let done = sqlx::query("UPDATE feed_head SET seq = ? WHERE id = 1 AND seq = ?")
        .bind(head)
        .bind(before)
        .execute(&mut *tx)
        .await?;
    expect_one(&done, || format!("the feed's head was not {before} under its lock"))?;
    tx.commit().await?;
    Ok((ids.len(), head))
}

/// How many rows wait for their number, counted up to `most`.
pub async fn backlog(conn: &mut Conn, most: i64) -> Result<i64, DbError> {
    Ok(sqlx::query_scalar("SELECT COUNT(*) FROM (SELECT id FROM outbox LIMIT ?) AS waiting")
        .bind(most)
        .fetch_one(conn)
        .await?)
}

/// Deletes a few of the oldest rows: those made before `before_ms` or numbered up to `up_to_seq`, as far as no
/// row to be kept comes before them. Whether there may be more.
pub async fn prune(db: &Db, before_ms: i64, up_to_seq: i64) -> Result<bool, DbError> {
    let oldest: Vec<(i64, i64)> =
        sqlx::query_as("SELECT seq, created_at_ms FROM feed ORDER BY seq LIMIT ?")
            .bind(limits::FEED_PRUNE_ROWS)
            .fetch_all(&mut *db.read().await?)
            .await?;
    let gone = |row: &&(i64, i64)| row.0 <= up_to_seq || row.1 < before_ms;
    let Some((last, _)) = oldest.iter().take_while(gone).last() else { return Ok(false) };
    let mut tx = db.write().await?;
    sqlx::query("DELETE FROM feed WHERE seq <= ?").bind(*last).execute(&mut *tx).await?;
    tx.commit().await?;
    let read_all = oldest.last().is_some_and(|(read, _)| read == last);
    Ok(read_all && i64::try_from(oldest.len()) == Ok(limits::FEED_PRUNE_ROWS))
}
