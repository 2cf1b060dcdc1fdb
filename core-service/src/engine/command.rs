//! A command on its way through a lane: an operation, the key it stands under, and whoever waits for it.

use super::operation::{Operation, Stop, Wants};
use super::{Done, SubmitError, WorkingSet};
use crate::idempotency::in_flight::Claim;
use crate::idempotency::store::Recorded;
use crate::idempotency::{Answer, Keyed};
use http::StatusCode;
use std::panic::{AssertUnwindSafe, catch_unwind};
use tiffin_api::Problem;
use tokio::sync::oneshot;
use tokio::time::Instant;

/// A command of any operation.
pub(super) trait Command: Send {
    /// When it came.
    fn entered(&self) -> Instant;

    /// Names the rows it needs.
    fn wants(&self, wants: &mut Wants);

    /// Decides it; the working set then holds its changes, or none.
    fn decide(&mut self, ledger: &mut WorkingSet);

    /// Tells whoever waits, after the commit.
    fn answer(self: Box<Self>);

    /// Tells whoever waits that it came to nothing, as far as we know.
    fn fail(self: Box<Self>, error: SubmitError);
}

/// A command of one operation.
pub(super) struct Submitted<O: Operation> {
    operation: O,
    keyed: Option<Keyed>,
    /// Keeps twins away until the answer, also when the client is gone.
    claim: Option<Claim>,
    entered: Instant,
    decided: Option<Result<Done<O::Output>, SubmitError>>,
    reply: oneshot::Sender<Result<Done<O::Output>, SubmitError>>,
}

impl<O: Operation> Submitted<O> {
    pub(super) fn new(
        operation: O,
        keyed: Option<Keyed>,
        claim: Option<Claim>,
        reply: oneshot::Sender<Result<Done<O::Output>, SubmitError>>,
    ) -> Self {
        let entered = Instant::now();
        Self { operation, keyed, claim, entered, decided: None, reply }
    }

    /// Frees the key and tells whoever waits, in this order: who has an answer may ask again at once.
    fn tell(self, decided: Result<Done<O::Output>, SubmitError>) {
        drop(self.claim);
        // Nobody waits any more if the client has gone; the effect and its record stand.
        _ = self.reply.send(decided);
    }

    /// The answer that the key has already, or a decision.
    fn settle(&self, ledger: &mut WorkingSet) -> Result<Done<O::Output>, SubmitError> {
        let Some(keyed) = &self.keyed else {
            return self.operation.decide(ledger).map(Done::Fresh).map_err(SubmitError::Stopped);
        };
        if let Some(recorded) = ledger.answers.get(&keyed.scope) {
            keyed.require_same_body(&recorded.body_hash).map_err(Stop::Refused)?;
            return Ok(Done::Replayed(recorded.answer.clone()));
        }
        let output = self.operation.decide(ledger)?;
        if let Some(answer) = O::record(&output) {
            record(ledger, keyed, answer.clone());
        }
        Ok(Done::Fresh(output))
    }
}

impl<O: Operation> Command for Submitted<O> {
    fn entered(&self) -> Instant {
        self.entered
    }

    fn wants(&self, wants: &mut Wants) {
        if let Some(keyed) = &self.keyed {
            wants.scopes.insert(keyed.scope.clone());
        }
        self.operation.wants(wants);
    }

    fn decide(&mut self, ledger: &mut WorkingSet) {
        let decided = catch_unwind(AssertUnwindSafe(|| self.settle(ledger)))
            // The panic itself was logged by the panic hook.
            .unwrap_or(Err(SubmitError::Panicked));
        match &decided {
            Ok(_) => ledger.keep(),
            Err(error) => {
                ledger.undo();
                if let (Some(keyed), Some((status, problem))) = (&self.keyed, verdict_of(error)) {
                    record(ledger, keyed, Answer::json(status, problem));
                    ledger.keep();
                }
            }
        }
        self.decided = Some(decided);
    }

    fn answer(mut self: Box<Self>) {
        let decided = self.decided.take().unwrap_or(Err(SubmitError::Busy));
        self.tell(decided);
    }

    fn fail(self: Box<Self>, error: SubmitError) {
        self.tell(Err(error));
    }
}

/// A refusal that was decided on the state of the tables, as things are (409) or for good (410): it is recorded like
/// any answer. Others were not executed and leave no record, so a corrected request may use the same key.
fn verdict_of(error: &SubmitError) -> Option<(StatusCode, &Problem)> {
    match error {
        SubmitError::Stopped(Stop::Refused(problem)) => [StatusCode::CONFLICT, StatusCode::GONE]
            .into_iter()
            .find(|status| status.as_u16() == problem.status)
            .map(|status| (status, problem)),
        SubmitError::Stopped(Stop::Failed(_))
        | SubmitError::Panicked
        | SubmitError::Busy
        | SubmitError::Unsettled => None,
    }
}

fn record(ledger: &mut WorkingSet, keyed: &Keyed, answer: Answer) {
    let recorded = Recorded { body_hash: keyed.body_hash.clone(), answer };
    ledger.answers.insert(keyed.scope.clone(), recorded);
}
