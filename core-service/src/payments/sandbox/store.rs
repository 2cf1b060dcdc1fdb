//! The sandbox's own memory.

use crate::db::code::{from_text, to_text};
use crate::db::{Db, DbError};
use sqlx::Row as _;
use tiffin_api::id::PaymentId;
use tiffin_api::money::Currency;
use tiffin_api::payment::{Payment, ProviderOutcome};

/// The word for a payment that is not decided.
const UNDECIDED: &str = "undecided";

/// A payment as the sandbox knows it.
#[derive(Debug)]
pub(super) struct Known {
    /// How much, minor units.
    pub(super) amount_minor: i64,
    /// In which currency.
    pub(super) currency: Currency,
}

/// Notes what is decided about a payment, unless it was decided before; returns the decision that stands.
pub(super) async fn remember(
    db: &Db,
    payment: &Payment,
    outcome: Option<ProviderOutcome>,
) -> Result<Option<ProviderOutcome>, DbError> {
    let mut tx = db.write().await?;
    let row = sqlx::query("SELECT outcome FROM sandbox_payments WHERE payment_id = ?")
        .bind(payment.id.raw())
        .fetch_optional(&mut *tx)
        .await?;
    if let Some(row) = row {
        return read_outcome(row.try_get("outcome")?);
    }
    sqlx::query(
        "INSERT INTO sandbox_payments (payment_id, outcome, amount_minor, currency, refunded_minor) \
         VALUES (?, ?, ?, ?, 0)",
    )
    .bind(payment.id.raw())
    .bind(outcome.map_or_else(|| UNDECIDED.to_owned(), to_text))
    .bind(payment.amount_minor)
    .bind(payment.currency.to_string())
    .execute(&mut *tx)
    .await?;
    tx.commit().await?;
    Ok(outcome)
}

fn read_outcome(word: String) -> Result<Option<ProviderOutcome>, DbError> {
    if word == UNDECIDED { Ok(None) } else { from_text(word).map(Some) }
}

/// Changes the decision about a payment that the sandbox knows.
pub(super) async fn decide(
    db: &Db,
    payment_id: PaymentId,
    outcome: ProviderOutcome,
) -> Result<Option<Known>, DbError> {
    let mut tx = db.write().await?;
    let row =
        sqlx::query("SELECT amount_minor, currency FROM sandbox_payments WHERE payment_id = ?")
            .bind(payment_id.raw())
            .fetch_optional(&mut *tx)
            .await?;
    let Some(row) = row else { return Ok(None) };
    sqlx::query("UPDATE sandbox_payments SET outcome = ? WHERE payment_id = ?")
        .bind(to_text(outcome))
        .bind(payment_id.raw())
        .execute(&mut *tx)
        .await?;
    tx.commit().await?;
    let currency = from_text(row.try_get("currency")?)?;
    Ok(Some(Known { amount_minor: row.try_get("amount_minor")?, currency }))
}

/// Sends money back once; false if none was captured.
pub(super) async fn refund(
    db: &Db,
    payment_id: PaymentId,
    amount_minor: i64,
) -> Result<bool, DbError> {
    let mut tx = db.write().await?;
    let row = sqlx::query(
        "SELECT refunded_minor FROM sandbox_payments WHERE payment_id = ? AND outcome = ?",
    )
    .bind(payment_id.raw())
    .bind(to_text(ProviderOutcome::Captured))
    .fetch_optional(&mut *tx)
    .await?;
    let Some(row) = row else { return Ok(false) };
    if row.try_get::<i64, _>("refunded_minor")? == 0 {
        sqlx::query("UPDATE sandbox_payments SET refunded_minor = ? WHERE payment_id = ?")
            .bind(amount_minor)
            .bind(payment_id.raw())
            .execute(&mut *tx)
            .await?;
        tx.commit().await?;
    }
    Ok(true)
}
