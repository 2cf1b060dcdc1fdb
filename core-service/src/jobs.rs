//! What happens without anybody asking: unpaid orders close, refunds are sent, old records are forgotten.
//!
//! Each job finds its work in the tables, so a crash loses none and a job that runs twice does nothing the
//! second time.

use crate::app::App;
use crate::db::DbError;
use crate::orders::settle::{self, MoveError};
use crate::orders::state::Move;
use crate::orders::store as orders;
use crate::{idempotency, limits, payments};
use std::sync::Arc;
use tokio_util::sync::CancellationToken;

/// Runs every job every [`limits::JOB_PERIOD`] until `stop`.
pub async fn run(app: Arc<App>, stop: CancellationToken) {
    let mut period = tokio::time::interval(limits::JOB_PERIOD);
    period.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
    loop {
        tokio::select! {
            () = stop.cancelled() => return,
            _ = period.tick() => {}
        }
        log("orders closed", close_overdue(&app).await);
        log("refunds sent", payments::refund::send_due(&app).await);
        log("idempotency records forgotten", forget_answers(&app).await);
    }
}

fn log(what: &'static str, outcome: Result<usize, DbError>) {
    match outcome {
        Ok(0) => {}
        Ok(count) => tracing::info!(count, "{what}"),
        Err(error) => tracing::error!(%error, "a job failed and will run again: {what}"),
    }
}

/// Closes the orders whose time to pay has passed; their stock is free again.
pub async fn close_overdue(app: &App) -> Result<usize, DbError> {
    let now_ms = app.clock.now_ms();
    let overdue = orders::overdue(&mut *app.db.read().await?, now_ms, limits::JOB_BATCH).await?;
    let mut closed = 0;
    for id in overdue {
        let mut tx = app.db.write().await?;
        let order = orders::get(&mut tx, id).await?;
        match settle::apply(&mut tx, &app.ids, order, Move::Close, now_ms).await {
            Ok(_) => {
                tx.commit().await?;
                closed += 1;
            }
            // It was paid between our look and our lock.
            Err(MoveError::Invalid(_)) => {}
            Err(MoveError::Db(error)) => return Err(error),
        }
    }
    Ok(closed)
}

/// Forgets answers that nobody may retry for any more.
async fn forget_answers(app: &App) -> Result<usize, DbError> {
    let before_ms = app.clock.now_ms() - limits::IDEMPOTENCY_KEEP_MS;
    let mut tx = app.db.write().await?;
    let forgotten = idempotency::store::forget(&mut tx, before_ms).await?;
    tx.commit().await?;
    Ok(usize::try_from(forgotten).unwrap_or(usize::MAX))
}
