//! The outbox, the feed, and the row that says which number was given last.

use crate::db::{Backend, Conn, Db, DbError, bulk, expect_one, outbox};
use crate::limits;
use sqlx::{QueryBuilder, Row as _};

/// A numbered pack: its news has the numbers `first_seq` to `seq`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NumberedPack {
    /// The number of its last news.
    pub seq: i64,
    /// The number of its first news.
    pub first_seq: i64,
    /// The news, as [`outbox::unpack`] reads it.
    pub payload: String,
    /// When, ms since the Unix epoch.
    pub created_at_ms: i64,
}

impl NumberedPack {
    /// The news numbered above `cursor`, with its numbers.
    pub fn above(&self, cursor: i64) -> Result<Vec<(i64, outbox::Packed<'_>)>, DbError> {
        let news = outbox::unpack(&self.payload)?;
        if i64::try_from(news.len()) != Ok(self.seq - self.first_seq + 1) {
            let (seq, first, found) = (self.seq, self.first_seq, news.len());
            let what = format!("the pack of {first} to {seq} holds {found} pieces of news");
            return Err(DbError::inconsistent(what));
        }
        Ok((self.first_seq..).zip(news).filter(|(seq, _)| *seq > cursor).collect())
    }
}

/// What a reader finds beyond its place, as of one moment.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Page {
    /// The last number given.
    pub head: i64,
    /// The packs whose last number is among the next [`limits::FEED_PAGE`], in order.
    pub packs: Vec<NumberedPack>,
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

/// The last number given, and whether packs wait for theirs.
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
        "SELECT seq, (SELECT first_seq FROM feed ORDER BY seq LIMIT 1) AS oldest \
         FROM feed_head WHERE id = 1",
    )
    .fetch_one(conn)
    .await?;
    Ok(Span { oldest: row.try_get("oldest")?, head: row.try_get("seq")? })
}

/// What there is beyond `cursor`. The pack of the next number is in it if it is kept: no pack is longer than a page.
pub async fn page(conn: &mut Conn, cursor: i64) -> Result<Page, DbError> {
    let rows = sqlx::query(
        "SELECT h.seq AS head, f.seq, f.first_seq, f.payload, f.created_at_ms FROM feed_head h \
         LEFT JOIN feed f ON f.seq > ? AND f.seq <= ? WHERE h.id = 1",
    )
    .bind(cursor)
    .bind(cursor.saturating_add(limits::FEED_PAGE))
    .fetch_all(conn)
    .await?;
    let mut page = Page { head: 0, packs: Vec::with_capacity(rows.len()) };
    for row in &rows {
        page.head = row.try_get("head")?;
        if let Some(seq) = row.try_get::<Option<i64>, _>("seq")? {
            page.packs.push(NumberedPack {
                seq,
                first_seq: row.try_get("first_seq")?,
                payload: row.try_get("payload")?,
                created_at_ms: row.try_get("created_at_ms")?,
            });
        }
    }
    // To sort them, MariaDB would copy all of it to a temporary table.
    page.packs.sort_unstable_by_key(|pack| pack.seq);
    Ok(page)
}

/// Moves up to [`limits::RELAY_BATCH`] packs from the outbox to the feed, in one transaction. Returns how many,
/// and the head after it.
///
/// The lock of the head's row comes first, so whoever waited for it reads the outbox as the one before left it.
/// The outbox is read without locks: rows of transactions that run are neither seen nor waited for. What the
/// packs say never leaves the database.
pub async fn number_waiting(db: &Db) -> Result<(i64, i64), DbError> {
    let mut tx = db.write().await?;
    let lock = match db.dialect().for_update() {
        "" => "SELECT seq FROM feed_head WHERE id = 1",
        _ => "SELECT seq FROM feed_head WHERE id = 1 FOR UPDATE",
    };
    let before: i64 = sqlx::query_scalar(lock).fetch_one(&mut *tx).await?;
    let waiting: Vec<(i64, i64)> =
        sqlx::query_as("SELECT id, events FROM outbox ORDER BY id LIMIT ?")
            .bind(limits::RELAY_BATCH)
            .fetch_all(&mut *tx)
            .await?;
    if waiting.is_empty() {
        return Ok((0, before));
    }
    let (ids, events): (Vec<i64>, Vec<i64>) = waiting.into_iter().unzip();
    let head = before + events.iter().sum::<i64>();
    number(&mut tx, &ids, before).await?;
    bulk::delete(&mut tx, "outbox", "id", &ids).await?;
    let done = sqlx::query("UPDATE feed_head SET seq = ? WHERE id = 1 AND seq = ?")
        .bind(head)
        .bind(before)
        .execute(&mut *tx)
        .await?;
    expect_one(&done, || format!("the feed's head was not {before} under its lock"))?;
    tx.commit().await?;
    Ok((i64::try_from(ids.len()).expect("a batch is small"), head))
}

/// Copies packs, at most [`limits::STATEMENT_ROWS`], to the feed, with the numbers after `before` in the order of
/// their ids.
async fn number(conn: &mut Conn, ids: &[i64], before: i64) -> Result<(), DbError> {
    let mut copy = QueryBuilder::<Backend>::new(
        "INSERT INTO feed (seq, first_seq, payload, created_at_ms) \
         SELECT p.last + ",
    );
    copy.push_bind(before).push(", p.last - p.events + 1 + ").push_bind(before);
    copy.push(
        ", p.payload, p.created_at_ms FROM ( \
           SELECT id, events, SUM(events) OVER (ORDER BY id) AS last, payload, created_at_ms \
           FROM outbox WHERE ",
    );
    bulk::push_in(&mut copy, "id", ids);
    copy.push(") p ORDER BY p.id");
    let done = copy.build().execute(conn).await?;
    bulk::expect_rows("outbox", done.rows_affected(), ids.len())
}

/// How much news waits for its number, counted in `most` packs at most.
pub async fn backlog(conn: &mut Conn, most: i64) -> Result<i64, DbError> {
    Ok(sqlx::query_scalar(
        "SELECT CAST(COALESCE(SUM(events), 0) AS SIGNED) \
         FROM (SELECT events FROM outbox LIMIT ?) AS waiting",
    )
    .bind(most)
    .fetch_one(conn)
    .await?)
}

/// Deletes a few of the oldest packs: those made before `before_ms` or numbered up to `up_to_seq` to their last
/// news, as far as no pack to be kept comes before them. Whether there may be more.
pub async fn prune(db: &Db, before_ms: i64, up_to_seq: i64) -> Result<bool, DbError> {
    let oldest: Vec<(i64, i64)> =
        sqlx::query_as("SELECT seq, created_at_ms FROM feed ORDER BY seq LIMIT ?")
            .bind(limits::FEED_PRUNE_PACKS)
            .fetch_all(&mut *db.read().await?)
            .await?;
    let gone = |row: &&(i64, i64)| row.0 <= up_to_seq || row.1 < before_ms;
    let Some((last, _)) = oldest.iter().take_while(gone).last() else { return Ok(false) };
    let mut tx = db.write().await?;
    sqlx::query("DELETE FROM feed WHERE seq <= ?").bind(*last).execute(&mut *tx).await?;
    tx.commit().await?;
    let read_all = oldest.last().is_some_and(|(read, _)| read == last);
    Ok(read_all && i64::try_from(oldest.len()) == Ok(limits::FEED_PRUNE_PACKS))
}
