//! A lane: takes what has gathered, has it done as one batch, and answers.
//!
//! On MySQL a batch is mostly waiting for the database, some fifteen times, and its clients wait for the batch. So a
//! lane has a thread and connections of its own there: its turns do not come after a few dozen requests each. And it
//! begins the next batch while the last one is being committed: the database frees a transaction's rows before it
//! waits for the disk, and whoever builds on them reaches the disk after them.

use super::batch::Saved;
use super::command::Command;
use super::{Shared, SubmitError, batch};
use crate::db::{Db, DbError, Dialect, Failure};
use crate::limits;
use std::hash::{BuildHasher as _, Hasher as _, RandomState};
use std::sync::Arc;
use std::thread;
use std::time::Duration;
use tokio::runtime;
use tokio::sync::mpsc;
use tokio::task::JoinSet;
use tokio::time::{Instant, sleep, timeout};

type Batch = Vec<Box<dyn Command>>;
type Queue = mpsc::Receiver<Box<dyn Command>>;

/// Starts a lane. It works until the engine is gone and the queue is empty.
pub(super) fn start(shared: Arc<Shared>, db: &Db, queue: Queue) {
    match db.dialect() {
        // Its one writer has a thread of its own, and nobody can begin before it has committed.
        Dialect::Sqlite => {
            let lane = Lane { shared, db: db.clone() };
            tokio::spawn(lane.work(queue));
        }
        Dialect::MySql => {
            let db = db.writing_apart(limits::LANE_CONNECTIONS);
            let lane = Arc::new(Lane { shared, db });
            let runtime = runtime::Builder::new_current_thread().enable_all().build();
            let runtime = runtime.expect("a runtime can be had where one runs already");
            thread::Builder::new()
                .name("lane".to_owned())
                .spawn(move || runtime.block_on(lane.work_ahead(queue)))
                .expect("a thread can be had for each lane");
        }
    }
}

/// What has gathered; none once the engine is gone. There is no timer: a batch is what came while the last one was
/// at work, so an idle lane answers at once and a busy one gathers more. May be dropped: nothing is lost.
async fn gather(queue: &mut Queue) -> Option<Batch> {
    loop {
        let mut gathered = Vec::with_capacity(limits::BATCH_COMMANDS);
        if queue.recv_many(&mut gathered, limits::BATCH_COMMANDS).await == 0 {
            return None;
        }
        let now = Instant::now();
        let (batch, stale): (Batch, Batch) = gathered
            .into_iter()
            .partition(|command| now.duration_since(command.entered()) < limits::LANE_WAIT);
        // Whoever sent them has given up or is about to.
        stale.into_iter().for_each(|command| command.fail(SubmitError::Busy));
        if !batch.is_empty() {
            return Some(batch);
        }
    }
}

/// A lane's ledger and what it shares with the others.
struct Lane {
    shared: Arc<Shared>,
    db: Db,
}

/// A batch that was tried and is not known to have happened.
struct Failed {
    batch: Batch,
    began: Instant,
    error: DbError,
}

impl Lane {
    /// Batch after batch.
    async fn work(self, mut queue: Queue) {
        while let Some(mut batch) = gather(&mut queue).await {
            let began = Instant::now();
            match self.try_once(&mut batch).await {
                Ok(()) => self.answer(batch, began),
                Err(error) => self.settle(Failed { batch, began, error }).await,
            }
        }
    }

    /// The next batch while the last one is committed.
    async fn work_ahead(self: Arc<Self>, mut queue: Queue) {
        // One at most.
        let mut committing: JoinSet<Result<(), Failed>> = JoinSet::new();
        loop {
            tokio::select! {
                Some(ended) = committing.join_next() => {
                    if let Ok(Err(failed)) = ended {
                        self.settle(failed).await;
                    }
                }
                batch = gather(&mut queue) => {
                    let Some(mut batch) = batch else { break };
                    let began = Instant::now();
                    let prepared = self.prepare(&mut batch).await;
                    let last = committing.join_next().await;
                    match prepared {
                        Ok(saved) => {
                            let lane = Arc::clone(&self);
                            committing.spawn(async move { lane.commit(saved, batch, began).await });
                        }
                        Err(error) => self.settle(Failed { batch, began, error }).await,
                    }
                    // Not before this batch is on its way: it holds rows that the last one needs again.
                    if let Some(Ok(Err(failed))) = last {
                        self.settle(failed).await;
                    }
                }
            }
        }
        while let Some(ended) = committing.join_next().await {
            if let Ok(Err(failed)) = ended {
                self.settle(failed).await;
            }
        }
        self.db.close_writer().await;
    }

    async fn commit(&self, saved: Saved, batch: Batch, began: Instant) -> Result<(), Failed> {
        match saved.commit(&self.shared).await {
            Ok(()) => {
                self.answer(batch, began);
                Ok(())
            }
            Err(error) => Err(Failed { batch, began, error }),
        }
    }

    async fn try_once(&self, batch: &mut Batch) -> Result<(), DbError> {
        self.prepare(batch).await?.commit(&self.shared).await
    }

    /// All of a batch but its commit, within its time: each statement has a limit, but there are many.
    async fn prepare(&self, batch: &mut Batch) -> Result<Saved, DbError> {
        let prepared = batch::prepare(&self.shared, &self.db, batch);
        timeout(limits::BATCH_TRY, prepared).await.unwrap_or(Err(DbError::TooSlow))
    }

    /// Tries a batch until it is committed, for as long as that may help. A commit whose outcome is unknown is
    /// among what is tried again: the idempotency records say then whether it happened.
    async fn try_again(
        &self,
        batch: &mut Batch,
        began: Instant,
        mut error: DbError,
    ) -> Result<(), DbError> {
        let mut pause = limits::BATCH_BACKOFF;
        loop {
            let patience = match error.failure() {
                Failure::Conflict | Failure::Unavailable => limits::BATCH_PATIENCE,
                Failure::Defect => Duration::ZERO,
            };
            if began.elapsed() + pause > patience {
                self.shared.meter.failed();
                return Err(error);
            }
            self.shared.meter.retried();
            tracing::debug!(%error, commands = batch.len(), "a batch is tried again");
            // Two cores that met each other must not meet again in step.
            let jitter = u32::from(RandomState::new().build_hasher().finish().to_ne_bytes()[0]);
            sleep(pause + limits::BATCH_BACKOFF * jitter / 0x100).await;
            pause = (pause * 2).min(limits::BATCH_BACKOFF_MOST);
            match self.try_once(batch).await {
                Ok(()) => return Ok(()),
                Err(again) => error = again,
            }
        }
    }

    /// Does a batch after all, or tells every command of it.
    async fn settle(&self, failed: Failed) {
        let Failed { mut batch, began, error } = failed;
        let Err(error) = self.try_again(&mut batch, began, error).await else {
            return self.answer(batch, began);
        };
        match error.failure() {
            Failure::Conflict | Failure::Unavailable => {
                tracing::warn!(%error, commands = batch.len(), "a batch was given up; its keys settle it");
                batch.into_iter().for_each(|command| fail(command, &error));
            }
            Failure::Defect if batch.len() == 1 => {
                batch.into_iter().for_each(|command| fail(command, &error));
            }
            // One of them cannot be written: each alone, so that it is nobody else's misfortune.
            Failure::Defect => {
                for command in batch {
                    self.settle_alone(command).await;
                }
            }
        }
    }

    async fn settle_alone(&self, command: Box<dyn Command>) {
        let (mut single, began) = (vec![command], Instant::now());
        let outcome = match self.try_once(&mut single).await {
            Ok(()) => Ok(()),
            Err(error) => self.try_again(&mut single, began, error).await,
        };
        match outcome {
            Ok(()) => self.answer(single, began),
            Err(error) => single.into_iter().for_each(|command| fail(command, &error)),
        }
    }

    /// Tells every command of a batch that is committed.
    fn answer(&self, batch: Batch, began: Instant) {
        self.shared.meter.committed(batch.len(), began.elapsed());
        batch.into_iter().for_each(Command::answer);
    }
}

fn fail(command: Box<dyn Command>, error: &DbError) {
    command.fail(match error.failure() {
        Failure::Conflict | Failure::Unavailable => SubmitError::Unsettled,
        // sqlx's errors cannot be cloned: what a second reader gets is the text.
        Failure::Defect => SubmitError::Stopped(DbError::inconsistent(error.to_string()).into()),
    });
}
