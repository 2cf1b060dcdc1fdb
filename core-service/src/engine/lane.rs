//! A lane: takes what has gathered, has it done as one batch, and answers.

use super::command::Command;
use super::{Shared, SubmitError, batch};
use crate::db::{DbError, Failure};
use crate::limits;
use std::hash::{BuildHasher as _, Hasher as _, RandomState};
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::mpsc;
use tokio::time::{Instant, sleep};

type Batch = Vec<Box<dyn Command>>;

/// Works until the engine is gone and the queue is empty. There is no timer: a batch is what came while the
/// last one was committed, so an idle lane answers at once and a busy one gathers more.
pub(super) async fn run(shared: Arc<Shared>, mut queue: mpsc::Receiver<Box<dyn Command>>) {
    let mut gathered = Vec::with_capacity(limits::BATCH_COMMANDS);
    while queue.recv_many(&mut gathered, limits::BATCH_COMMANDS).await > 0 {
        let now = Instant::now();
        let (batch, stale): (Batch, Batch) = gathered
            .drain(..)
            .partition(|command| now.duration_since(command.entered()) < limits::LANE_WAIT);
        // Whoever sent them has given up or is about to.
        stale.into_iter().for_each(|command| command.fail(SubmitError::Busy));
        if !batch.is_empty() {
            settle(&shared, batch).await;
        }
    }
}

/// Does a batch and answers every command of it.
async fn settle(shared: &Shared, mut batch: Batch) {
    let Err(error) = commit(shared, &mut batch).await else {
        return batch.into_iter().for_each(Command::answer);
    };
    match error.failure() {
        Failure::Conflict | Failure::Unavailable => {
            tracing::warn!(%error, commands = batch.len(), "a batch was given up; its keys settle it");
            batch.into_iter().for_each(|command| command.fail(SubmitError::Unsettled));
        }
        // One of them cannot be written: each alone, so that it is nobody else's misfortune.
        Failure::Defect => {
            let alone = batch.len() == 1;
            for command in batch {
                let mut single = vec![command];
                let outcome = if alone {
                    Err(error_again(&error))
                } else {
                    commit(shared, &mut single).await
                };
                match outcome {
                    Ok(()) => single.into_iter().for_each(Command::answer),
                    Err(error) => single.into_iter().for_each(|command| fail(command, &error)),
                }
            }
        }
    }
}

fn fail(command: Box<dyn Command>, error: &DbError) {
    match error.failure() {
        Failure::Conflict | Failure::Unavailable => command.fail(SubmitError::Unsettled),
        Failure::Defect => command.fail(SubmitError::Stopped(error_again(error).into())),
    }
}

/// sqlx's errors cannot be cloned: what a second reader gets is the text.
fn error_again(error: &DbError) -> DbError {
    DbError::inconsistent(error.to_string())
}

/// Does a batch until it is committed, for as long as trying again may help. A commit whose outcome is
/// unknown is among what is tried again: the idempotency records say then whether it happened.
async fn commit(shared: &Shared, batch: &mut Batch) -> Result<(), DbError> {
    let started = Instant::now();
    let mut pause = limits::BATCH_BACKOFF;
    loop {
        let error = match batch::run(shared, batch).await {
            Ok(()) => {
                shared.meter.committed(batch.len(), started.elapsed());
                return Ok(());
            }
            Err(error) => error,
        };
        let patience = match error.failure() {
            Failure::Conflict | Failure::Unavailable => limits::BATCH_PATIENCE,
            Failure::Defect => Duration::ZERO,
        };
        if started.elapsed() + pause > patience {
            shared.meter.failed();
            return Err(error);
        }
        shared.meter.retried();
        tracing::debug!(%error, commands = batch.len(), "a batch is tried again");
        // Two cores that met each other must not meet again in step.
        let jitter = u32::from(RandomState::new().build_hasher().finish().to_ne_bytes()[0]);
        sleep(pause + limits::BATCH_BACKOFF * jitter / 0x100).await;
        pause = (pause * 2).min(limits::BATCH_BACKOFF_MOST);
    }
}
