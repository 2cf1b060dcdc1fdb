//! Records of answers.

use super::Answer;
use crate::db::bulk::{self, Value};
use crate::db::{Conn, DbError};
use crate::engine::table::Table;
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

/// Writes new records.
pub async fn save(
    conn: &mut Conn,
    answers: &Table<String, Recorded>,
    now_ms: i64,
) -> Result<(), DbError> {
    let row = |(scope, recorded): (&String, &Recorded)| {
        [
            Value::from(scope.as_str()),
            recorded.body_hash.as_str().into(),
            i64::from(recorded.answer.status).into(),
            recorded.answer.body.clone().into(),
            now_ms.into(),
        ]
    };
    let into = "idempotency (scope, body_hash, status, body, created_at_ms)";
    bulk::insert(conn, into, answers.inserted().map(row).collect()).await
}

/// Scopes of records written before `before_ms`.
pub async fn older_than(
    conn: &mut Conn,
    before_ms: i64,
    limit: u32,
) -> Result<Vec<String>, DbError> {
    let scopes =
        sqlx::query_scalar("SELECT scope FROM idempotency WHERE created_at_ms < ? LIMIT ?")
            .bind(before_ms)
            .bind(i64::from(limit))
            .fetch_all(conn)
            .await?;
    Ok(scopes)
}

/// Forgets a record.
pub async fn forget(conn: &mut Conn, scope: &str) -> Result<(), DbError> {
    sqlx::query("DELETE FROM idempotency WHERE scope = ?").bind(scope).execute(conn).await?;
    Ok(())
}
