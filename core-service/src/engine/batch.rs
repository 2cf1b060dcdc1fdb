//! One batch: one transaction.

use super::command::Command;
use super::operation::Wants;
use super::{Committed, Shared, WorkingSet, load, save};
use crate::db::{Db, DbError, Tx};
use std::sync::Arc;

/// A moment in a batch at which the world may end.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Step {
    /// The transaction has begun.
    Begun,
    /// The rows are loaded and locked.
    Loaded,
    /// The commands are decided.
    Decided,
    /// The changes are written.
    Saved,
    /// The transaction is committed; nobody has been answered.
    Committed,
}

/// Fails a batch at a step, as a crash or a lost connection there would; for simulation.
pub type FailPoint = Arc<dyn Fn(Step) -> Result<(), DbError> + Send + Sync>;

/// A batch that is decided and written, and will have happened once it is committed.
pub(super) struct Saved {
    tx: Tx,
    committed: Committed,
}

/// Loads, decides and saves. After an error none of it happened.
pub(super) async fn prepare(
    shared: &Shared,
    db: &Db,
    commands: &mut [Box<dyn Command>],
) -> Result<Saved, DbError> {
    let mut wants = Wants::default();
    for command in commands.iter() {
        command.wants(&mut wants);
    }
    // As many ids as a batch takes are there, or none is begun.
    shared.ids.check()?;
    let (dialect, mut tx) = (db.dialect(), db.write().await?);
    shared.pass(Step::Begun)?;
    let mut ledger = WorkingSet::new(shared.clock.now_ms(), Arc::clone(&shared.ids));
    load::load(&shared.catalog, dialect, &mut tx, wants, &mut ledger).await?;
    shared.pass(Step::Loaded)?;
    for command in commands.iter_mut() {
        command.decide(&mut ledger);
    }
    shared.pass(Step::Decided)?;
    let committed = ledger.committed();
    save::save(dialect, &shared.ids, &mut tx, ledger).await?;
    shared.pass(Step::Saved)?;
    Ok(Saved { tx, committed })
}

impl Saved {
    /// Makes it last, and tells of it. After an error it may have happened or not.
    pub(super) async fn commit(self, shared: &Shared) -> Result<(), DbError> {
        self.tx.commit().await?;
        shared.pass(Step::Committed)?;
        (shared.on_commit)(&self.committed);
        Ok(())
    }
}

impl Shared {
    fn pass(&self, step: Step) -> Result<(), DbError> {
        self.fail_point.as_ref().map_or(Ok(()), |fail_point| fail_point(step))
    }
}
