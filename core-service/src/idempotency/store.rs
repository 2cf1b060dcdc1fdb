//! Records of answers.

use super::{Answer, Keyed};
use crate::db::{Conn, DbError};
use sqlx::Row as _;

/// An answer that was given before.
#[derive(Debug)]
pub struct Recorded {
    /// The body it answered.
    pub body_hash: String,
    /// What was answered.
    pub answer: Answer,
}

/// The record of a scope.
pub async fn find(conn: &mut Conn, scope: &str) -> Result<Option<Recorded>, DbError> {
    let row = sqlx::query("SELECT body_hash, status, body FROM idempotency WHERE scope = ?")
        .bind(scope)
        .fetch_optional(conn)
        .await?;
    let Some(row) = row else { return Ok(None) };
    let status = u16::try_from(row.try_get::<i64, _>("status")?)
        .map_err(|_| DbError::inconsistent(format!("idempotency record {scope} has no status")))?;
    let answer = Answer { status, body: row.try_get("body")? };
    Ok(Some(Recorded { body_hash: row.try_get("body_hash")?, answer }))
}

/// Writes the record; a scope can be recorded once.
pub async fn save(
    conn: &mut Conn,
    keyed: &Keyed,
    answer: &Answer,
    now_ms: i64,
) -> Result<(), DbError> {
    sqlx::query(
        "INSERT INTO idempotency (scope, body_hash, status, body, created_at_ms) \
         VALUES (?, ?, ?, ?, ?)",
    )
    .bind(&keyed.scope)
    .bind(&keyed.body_hash)
    .bind(i64::from(answer.status))
    .bind(&answer.body)
    .bind(now_ms)
    .execute(conn)
    .await?;
    Ok(())
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
