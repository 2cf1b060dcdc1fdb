//! What happens without anybody asking: unpaid orders close, undecided payments are asked about, refunds
//! are sent, coupons run out, old answers are forgotten.
//!
//! Each job finds its work in the tables, so a crash loses none, and work that is done twice has no effect
//! the second time. One row that cannot be handled is logged and does not hold up the others.

use crate::app::App;
use crate::db::{Conn, DbError};
use crate::engine::SubmitError;
use crate::fast::FastStore as _;
use crate::orders::moves::CloseUnpaid;
use crate::orders::store as orders;
use crate::payments::store as payments;
use crate::payments::{reconcile, refund};
use crate::{coupons, idempotency, limits};
use std::sync::Arc;
use tiffin_api::id::{OrderId, PaymentId, RefundId};
use tokio_util::sync::CancellationToken;

/// Runs every job every [`limits::JOB_PERIOD`] until `stop`.
pub async fn run(app: Arc<App>, stop: CancellationToken) {
    let owner = app.ids.next().to_string();
    let mut period = tokio::time::interval(limits::JOB_PERIOD);
    period.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
    for round in 0_u32.. {
        tokio::select! {
            () = stop.cancelled() => return,
            _ = period.tick() => {}
        }
        // Any core may do it and one is enough; twice does no harm, so whoever cannot tell does it.
        let ours = app.fast.lease("jobs", &owner, limits::JOBS_LEASE).await;
        if ours == Ok(false) {
            continue;
        }
        run_once(&app).await;
        if round.is_multiple_of(limits::FORGET_EVERY_ROUNDS)
            && let Err(error) = forget_answers(&app).await
        {
            tracing::error!(%error, "old answers could not be forgotten; it will be tried again");
        }
    }
}

/// One round of the jobs that settle orders and money.
pub async fn run_once(app: &App) {
    for job in [Job::CloseUnpaid, Job::AskProvider, Job::SendRefunds] {
        match job.run(app).await {
            Ok(0) => {}
            Ok(done) => tracing::info!(?job, done, "a job did its work"),
            Err(error) => tracing::error!(?job, %error, "a job failed and will run again"),
        }
    }
    match coupons::jobs::expire(app).await {
        Ok(0) => {}
        Ok(done) => tracing::info!(done, "coupons ran out"),
        Err(error) => tracing::error!(%error, "coupons are held up; it will be tried again"),
    }
}

#[derive(Debug, Clone, Copy)]
enum Job {
    CloseUnpaid,
    AskProvider,
    SendRefunds,
}

impl Job {
    /// Handles all that is due, page by page; returns how many rows it moved.
    async fn run(self, app: &App) -> Result<usize, DbError> {
        let now_ms = app.clock.now_ms();
        let mut moved = 0;
        let mut after = 0;
        loop {
            let page = self.due(&mut *app.db.read().await?, now_ms, after).await?;
            let Some(last) = page.last() else { return Ok(moved) };
            after = *last;
            for id in page {
                match self.handle(app, id).await {
                    Ok(did) => moved += usize::from(did),
                    Err(error) => tracing::error!(job = ?self, id, %error, "a row is held up"),
                }
            }
        }
    }

    async fn due(self, conn: &mut Conn, now_ms: i64, after: i64) -> Result<Vec<i64>, DbError> {
        match self {
            Self::CloseUnpaid => orders::overdue(conn, now_ms, after, limits::JOB_BATCH).await,
            Self::AskProvider => payments::to_ask(conn, now_ms, after, limits::JOB_BATCH).await,
            Self::SendRefunds => refund::due(conn, now_ms, after, limits::JOB_BATCH).await,
        }
    }

    async fn handle(self, app: &App, id: i64) -> Result<bool, SubmitError> {
        match self {
            Self::CloseUnpaid => close_unpaid(app, OrderId::from_raw(id)).await,
            Self::AskProvider => reconcile::ask(app, PaymentId::from_raw(id)).await,
            Self::SendRefunds => refund::send(app, RefundId::from_raw(id)).await,
        }
    }
}

/// Closes an order whose time to pay has passed; its stock is free again.
async fn close_unpaid(app: &App, id: OrderId) -> Result<bool, SubmitError> {
    let Some(lane) = orders::store_of(&mut *app.db.read().await?, id).await? else {
        return Ok(false);
    };
    app.engine.submit(lane, CloseUnpaid { id }).await
}

/// Forgets answers that nobody may retry for any more.
async fn forget_answers(app: &App) -> Result<(), DbError> {
    let before_ms = app.clock.now_ms() - limits::IDEMPOTENCY_KEEP_MS;
    while idempotency::store::forget(&app.db, before_ms).await? {}
    Ok(())
}
