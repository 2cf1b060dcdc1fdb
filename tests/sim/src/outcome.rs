//! What commands come to, as the engine says it and as the model knows it.

use crate::command::{Facts, Said};
use crate::shown::Shown;
use axum::response::IntoResponse as _;
use core_service::engine::{Done, Engine, Operation, Stop, SubmitError};
use core_service::gate::Fate;
use core_service::http::error::ApiError;
use core_service::idempotency::{Answer, Executed, Keyed};
use futures::FutureExt as _;
use tiffin_api::id::StoreId;
use tiffin_api::{ErrorCode, Problem};

/// What a command came to.
#[derive(Debug)]
pub(crate) struct Outcome {
    /// As the model knows it.
    pub(crate) said: Said,
    /// The answer's bytes, if it is one.
    pub(crate) body: Vec<u8>,
    /// What the gate is told of it, if the command passed one.
    pub(crate) fate: Option<Fate>,
}

/// A command that answers a client.
pub(crate) async fn answer<T: Shown, O: Operation<Output = Answer>>(
    engine: &Engine,
    lane: StoreId,
    keyed: Option<Keyed>,
    operation: O,
) -> Outcome {
    let Some(keyed) = keyed else {
        return match engine.submit(lane, operation).await {
            Ok(answer) => told::<T>(answer, false),
            Err(error) => Outcome::of_error(error),
        };
    };
    match engine.submit_keyed(lane, keyed, None, operation).await {
        Ok(Done::Fresh(answer)) => told::<T>(answer, false),
        Ok(Done::Replayed(answer)) => told::<T>(answer, true),
        Err(error) => Outcome::of_error(error),
    }
}

/// A command that passed the gate, which is told what the handlers tell it.
pub(crate) async fn gated<T: Shown, O: Operation<Output = Answer>>(
    engine: &Engine,
    lane: StoreId,
    keyed: Option<Keyed>,
    operation: O,
    sold_out: ErrorCode,
) -> Outcome {
    let done = match keyed {
        Some(keyed) => engine.submit_keyed(lane, keyed, None, operation).await,
        None => engine.submit(lane, operation).await.map(Done::Fresh),
    };
    let executed = done.map(Executed::from).map_err(ApiError::from);
    let fate = Some(Fate::of(&executed, sold_out));
    let outcome = match executed {
        Ok(Executed { answer, replayed }) => told::<T>(answer, replayed),
        Err(error) => Outcome::of_problem(error),
    };
    Outcome { fate, ..outcome }
}

/// What an answer says.
pub(crate) fn told<T: Shown>(answer: Answer, replayed: bool) -> Outcome {
    let body = answer.body;
    let facts = if answer.status < 400 {
        serde_json::from_slice::<T>(&body)
            .map(|shown| shown.facts(answer.status))
            .unwrap_or(Facts::Problem("unreadable"))
    } else {
        problem(&body)
    };
    let said = if facts.status() == answer.status {
        Said::Answer { replayed, facts }
    } else {
        Said::Answer { replayed, facts: Facts::Problem("wrong status") }
    };
    Outcome { said, body, fate: None }
}

fn problem(body: &[u8]) -> Facts {
    let code = serde_json::from_slice::<Problem>(body).map(|problem| problem.code);
    Facts::Problem(code.map_or("unreadable", ErrorCode::as_str))
}

pub(crate) fn flag(done: Result<bool, SubmitError>) -> Outcome {
    match done {
        Ok(flag) => Outcome::bare(Said::Flag(flag)),
        Err(error) => Outcome::of_error(error),
    }
}

impl Outcome {
    pub(crate) const fn bare(said: Said) -> Self {
        Self { said, body: Vec::new(), fate: None }
    }

    /// An error as its client sees it: the bytes are those of the core's own response.
    fn of_problem(error: ApiError) -> Self {
        match error.0.code {
            ErrorCode::Internal => return Self::bare(Said::Failed),
            ErrorCode::Unavailable => return Self::bare(Said::Unsettled),
            _ => {}
        }
        let body = axum::body::to_bytes(error.into_response().into_body(), usize::MAX);
        let body = body.now_or_never().and_then(Result::ok).unwrap_or_default().to_vec();
        Self { said: Said::Answer { replayed: false, facts: problem(&body) }, body, fate: None }
    }

    pub(crate) fn of_error(error: SubmitError) -> Self {
        match error {
            SubmitError::Stopped(Stop::Refused(refused)) => Self::of_problem(refused.into()),
            SubmitError::Stopped(Stop::Failed(_)) => Self::bare(Said::Failed),
            SubmitError::Panicked => Self::bare(Said::Panicked),
            SubmitError::Busy | SubmitError::Unsettled => Self::bare(Said::Unsettled),
        }
    }
}
