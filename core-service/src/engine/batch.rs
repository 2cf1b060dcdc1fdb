//! One batch: one transaction.

use super::command::Command;
use super::operation::Wants;
use super::{Shared, WorkingSet, load, save};
use crate::db::DbError;
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

/// Loads, decides, saves and commits. After an error none of it happened, unless the error came with the commit:
/// then it may have.
pub(super) async fn run(shared: &Shared, commands: &mut [Box<dyn Command>]) -> Result<(), DbError> {
    let pass = |step| shared.fail_point.as_ref().map_or(Ok(()), |fail_point| fail_point(step));
    let mut wants = Wants::default();
    for command in commands.iter() {
        command.wants(&mut wants);
    }
    // As many ids as a batch takes are there, or none is begun.
    shared.ids.check()?;
    let mut tx = shared.db.write().await?;
    pass(Step::Begun)?;
    let mut ledger = WorkingSet::new(shared.clock.now_ms(), Arc::clone(&shared.ids));
    load::load(shared, &mut tx, wants, &mut ledger).await?;
    pass(Step::Loaded)?;
    for command in commands.iter_mut() {
        command.decide(&mut ledger);
    }
    pass(Step::Decided)?;
    let committed = ledger.committed();
    save::save(shared, &mut tx, ledger).await?;
    pass(Step::Saved)?;
    tx.commit().await?;
    pass(Step::Committed)?;
    (shared.on_commit)(&committed);
    Ok(())
}
