//! The sandbox's own memory.

use crate::db::code::{from_text, to_text};
use crate::db::{Conn, Db, DbError};
use sqlx::Row as _;
use tiffin_api::id::{PaymentId, RefundId};
use tiffin_api::money::Currency;
use tiffin_api::payment::{Payment, ProviderOutcome};

/// The word for a payment that is not decided.
const UNDECIDED: &str = "undecided";

/// A payment as the sandbox knows it.
#[derive(Debug)]
pub(super) struct Known {
    /// What was decided, if anything was.
    pub(super) outcome: Option<ProviderOutcome>,
    /// How much, minor units.
    pub(super) amount_minor: i64,
    /// In which currency.
    pub(super) currency: Currency,
    /// The refund that was made of it, if one was.
    refund_id: Option<i64>,
}

/// What the sandbox knows of a payment.
pub(super) async fn find(db: &Db, payment_id: PaymentId) -> Result<Option<Known>, DbError> {
    read(&mut *db.read().await?, payment_id).await
}

async fn read(conn: &mut Conn, payment_id: PaymentId) -> Result<Option<Known>, DbError> {
    let row = sqlx::query(
        "SELECT outcome, amount_minor, currency, refund_id FROM sandbox_payments \
         WHERE payment_id = ?",
    )
    .bind(payment_id.raw())
    .fetch_optional(conn)
    .await?;
    let Some(row) = row else { return Ok(None) };
    let word: String = row.try_get("outcome")?;
    Ok(Some(Known {
        outcome: if word == UNDECIDED { None } else { Some(from_text(word)?) },
        amount_minor: row.try_get("amount_minor")?,
        currency: from_text(row.try_get("currency")?)?,
        refund_id: row.try_get("refund_id")?,
    }))
}

async fn insert(
    conn: &mut Conn,
    payment: &Payment,
    outcome: Option<ProviderOutcome>,
) -> Result<(), DbError> {
    sqlx::query(
        "INSERT INTO sandbox_payments (payment_id, outcome, amount_minor, currency, refunded_minor) \
         VALUES (?, ?, ?, ?, 0)",
    )
    .bind(payment.id.raw())
    .bind(outcome.map_or_else(|| UNDECIDED.to_owned(), to_text))
    .bind(payment.amount_minor)
    .bind(payment.currency.to_string())
    .execute(conn)
    .await?;
    Ok(())
}

async fn update(
    conn: &mut Conn,
    payment_id: PaymentId,
    outcome: ProviderOutcome,
) -> Result<(), DbError> {
    sqlx::query("UPDATE sandbox_payments SET outcome = ? WHERE payment_id = ?")
        .bind(to_text(outcome))
        .bind(payment_id.raw())
        .execute(conn)
        .await?;
    Ok(())
}

/// Notes what is decided about a payment, unless it is known already; returns the decision that stands.
pub(super) async fn remember(
    db: &Db,
    payment: &Payment,
    outcome: Option<ProviderOutcome>,
) -> Result<Option<ProviderOutcome>, DbError> {
    let mut tx = db.write().await?;
    if let Some(known) = read(&mut tx, payment.id).await? {
        return Ok(known.outcome);
    }
    insert(&mut tx, payment, outcome).await?;
    tx.commit().await?;
    Ok(outcome)
}

/// Changes the decision about a payment that the sandbox knows; money that was captured stays captured.
pub(super) async fn decide(
    db: &Db,
    payment_id: PaymentId,
    outcome: ProviderOutcome,
) -> Result<Option<Known>, DbError> {
    let mut tx = db.write().await?;
    let known = read(&mut tx, payment_id).await?;
    if known.as_ref().is_some_and(|known| known.outcome != Some(ProviderOutcome::Captured)) {
        update(&mut tx, payment_id, outcome).await?;
        tx.commit().await?;
    }
    Ok(known)
}

/// Gives a payment up, unless it ended before; returns how it ended.
pub(super) async fn void(db: &Db, payment: &Payment) -> Result<ProviderOutcome, DbError> {
    let mut tx = db.write().await?;
    match read(&mut tx, payment.id).await? {
        Some(Known { outcome: Some(ended), .. }) if ended != ProviderOutcome::Authorized => {
            return Ok(ended);
        }
        Some(_) => update(&mut tx, payment.id, ProviderOutcome::Canceled).await?,
        None => insert(&mut tx, payment, Some(ProviderOutcome::Canceled)).await?,
    }
    tx.commit().await?;
    Ok(ProviderOutcome::Canceled)
}

/// Sends money back once; false if none was captured or another refund took it.
pub(super) async fn refund(
    db: &Db,
    payment_id: PaymentId,
    refund_id: RefundId,
    amount_minor: i64,
) -> Result<bool, DbError> {
    let mut tx = db.write().await?;
    match read(&mut tx, payment_id).await? {
        Some(Known { outcome: Some(ProviderOutcome::Captured), refund_id: None, .. }) => {}
        known => {
            let before = known.and_then(|known| known.refund_id);
            return Ok(before == Some(refund_id.raw()));
        }
    }
    sqlx::query(
        "UPDATE sandbox_payments SET refund_id = ?, refunded_minor = ? WHERE payment_id = ?",
    )
    .bind(refund_id.raw())
    .bind(amount_minor)
    .bind(payment_id.raw())
    .execute(&mut *tx)
    .await?;
    tx.commit().await?;
    Ok(true)
}
