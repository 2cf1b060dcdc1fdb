//! Records of answers.

use super::Answer;
use crate::db::bulk::{self, Value};
use crate::db::{Conn, Db, DbError};
use crate::engine::table::Table;
use crate::{ids, limits};
use sqlx::Row as _;
use std::collections::BTreeSet;

/// An answer that was given before.
#[derive(Debug, Clone)]
pub struct Recorded {
    /// The body it answered.
    pub body_hash: String,
    /// What was answered.
    pub answer: Answer,
}

/// Loads the records of scopes. They need no lock: a record is written once, and two that are written at
/// the same moment meet at the primary key.
pub async fn load(
    conn: &mut Conn,
    scopes: &BTreeSet<String>,
    answers: &mut Table<String, Recorded>,
) -> Result<(), DbError> {
    let select = "SELECT scope, body_hash, status, body FROM idempotency";
    let scopes = scopes.iter().map(String::as_str);
    for row in bulk::select_in(conn, select, "scope", scopes, "").await? {
        let scope: String = row.try_get("scope")?;
        let status = u16::try_from(row.try_get::<i64, _>("status")?);
        let no_status =
            |_| DbError::inconsistent(format!("idempotency record {scope} has no status"));
        let answer = Answer { status: status.map_err(no_status)?, body: row.try_get("body")? };
        let recorded = Recorded { body_hash: row.try_get("body_hash")?, answer };
        answers.load(scope, recorded);
    }
    Ok(())
}

/// Writes new records, each under an id that `mint` gives: a snowflake.
pub async fn save(
    conn: &mut Conn,
    answers: &Table<String, Recorded>,
    mint: impl Fn() -> i64,
) -> Result<(), DbError> {
    let row = |(scope, recorded): (&String, &Recorded)| {
        [
            mint().into(),
            Value::from(scope.as_str()),
            recorded.body_hash.as_str().into(),
            i64::from(recorded.answer.status).into(),
            recorded.answer.body.clone().into(),
        ]
    };
    let into = "idempotency (id, scope, body_hash, status, body)";
    bulk::insert(conn, into, answers.inserted().map(row).collect()).await
}

/// Forgets a few of the oldest records, as far as they were written before `before_ms`. Whether there may be more.
pub async fn forget(db: &Db, before_ms: i64) -> Result<bool, DbError> {
    let select = "SELECT id FROM idempotency WHERE id < ? ORDER BY id LIMIT ?";
    let old: Vec<i64> = sqlx::query_scalar(select)
        .bind(ids::lowest_at(before_ms))
        .bind(i64::from(limits::JOB_BATCH))
        .fetch_all(&mut *db.read().await?)
        .await?;
    let Some(last) = old.last() else { return Ok(false) };
    let mut tx = db.write().await?;
    sqlx::query("DELETE FROM idempotency WHERE id <= ?").bind(last).execute(&mut *tx).await?;
    tx.commit().await?;
    Ok(u32::try_from(old.len()) == Ok(limits::JOB_BATCH))
}
