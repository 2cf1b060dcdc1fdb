//! The relay: it gives the outbox's news its numbers, and forgets numbered news after a while.
//!
//! Under load it works at most once each [`limits::RELAY_GAP`] and takes all that has gathered; only a batch
//! that was full is followed by another at once. So it costs a fixed number of transactions, not one for each
//! commit.

use super::{CHANNEL, Feed, heard, store};
use crate::app::App;
use crate::db::DbError;
use crate::fast::FastStore as _;
use crate::limits;
use std::sync::Arc;
use tokio::time::{Instant, sleep, timeout};
use tokio_util::sync::CancellationToken;

/// Numbers news, listens to what other cores number and prunes the feed until `stop`; then it lets the readers go
/// and ends its round.
pub async fn run(app: Arc<App>, stop: CancellationToken) {
    let close = async {
        stop.cancelled().await;
        app.feed.close();
    };
    tokio::join!(number(&app, &stop), heard::listen(&app, &stop), prune(&app, &stop), close);
}

async fn number(app: &App, stop: &CancellationToken) {
    let mut failing = false;
    let mut measured: Option<Instant> = None;
    while !stop.is_cancelled() {
        let round = run_once(app).await;
        match &round {
            Ok(_) if failing => tracing::info!("the relay works again"),
            Err(error) if !failing => tracing::warn!(%error, "the relay failed; trying on"),
            Ok(_) | Err(_) => {}
        }
        failing = round.is_err();
        if measured.is_none_or(|at| at.elapsed() >= limits::RELAY_MEASURE) {
            measured = Some(Instant::now());
            measure(app).await;
        }
        if !round.is_ok_and(|full| full) {
            stop.run_until_cancelled(pause(&app.feed, failing)).await;
        }
    }
}

async fn pause(feed: &Feed, failing: bool) {
    if failing {
        return sleep(limits::RELAY_RETRY).await;
    }
    sleep(limits::RELAY_GAP).await;
    _ = timeout(limits::RELAY_POLL, feed.rung()).await;
}

/// Numbers what waits, at most [`limits::RELAY_BATCH`] packs, and wakes the readers, those of other cores too, and
/// this core's also for what another one has numbered. Whether there may be more.
pub async fn run_once(app: &App) -> Result<bool, DbError> {
    let (mut head, waiting) = store::look(&mut *app.db.read().await?).await?;
    let mut moved = 0;
    if waiting {
        (moved, head) = store::number_waiting(&app.db).await?;
    }
    app.feed.show(head);
    app.metrics.feed.head.set(head);
    if moved > 0
        && let Err(error) = app.fast.publish(CHANNEL, head.to_string().into()).await
    {
        tracing::debug!(%error, "the other cores will see by themselves what was numbered");
    }
    Ok(moved == limits::RELAY_BATCH)
}

async fn measure(app: &App) {
    let counted =
        async { store::backlog(&mut *app.db.read().await?, limits::RELAY_BACKLOG_COUNTED).await };
    match counted.await {
        Ok(backlog) => _ = app.metrics.feed.backlog.set(backlog),
        Err(error) => tracing::debug!(%error, "the outbox could not be counted"),
    }
}

async fn prune(app: &App, stop: &CancellationToken) {
    loop {
        if stop.run_until_cancelled(sleep(limits::FEED_PRUNE_PERIOD)).await.is_none() {
            return;
        }
        if let Err(error) = prune_once(app, stop).await {
            tracing::warn!(%error, "the feed could not be pruned; it will be tried again");
        }
    }
}

/// Forgets all that is too old or too much, in small steps with room for others between them.
pub(super) async fn prune_once(app: &App, stop: &CancellationToken) -> Result<(), DbError> {
    let before_ms = app.clock.now_ms() - limits::FEED_KEEP_MS;
    let up_to_seq = store::span(&mut *app.db.read().await?).await?.head - limits::FEED_KEEP_EVENTS;
    while store::prune(&app.db, before_ms, up_to_seq).await? && !stop.is_cancelled() {
        sleep(limits::FEED_PRUNE_PAUSE).await;
    }
    Ok(())
}
