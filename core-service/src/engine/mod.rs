//! The commit engine: every write that touches orders, stock, coupons, budgets and payments goes through here.
//!
//! A [`Operation`] is queued in a lane. A lane ([`lane`]) takes what has gathered while its last commit was
//! under way and does it in one transaction ([`batch`]): load and lock the rows that the commands name
//! ([`load`]), decide each command in the order of arrival over the [`WorkingSet`], write what changed in bulk
//! ([`save`]), commit, and only then answer each. So a hot row is locked once for hundreds of orders, and no
//! answer is ahead of its commit. While a batch is flushed to the disk, its lane is at the next one.
//!
//! Invariants: what one command did is undone if it is refused or panics, and the others go on; nothing is
//! answered with success before its commit; a commit whose outcome is unknown is settled by doing the batch
//! again, which finds the idempotency records that it left, if it did; a full lane refuses. Several cores may
//! run lanes over the same rows: the row locks, taken in one order (orders, coupons, their counters, held units,
//! stock, each by key), keep them right.

mod batch;
pub mod catalog;
mod command;
mod lane;
mod load;
mod meter;
mod operation;
mod save;
pub mod table;
mod working_set;

pub use batch::{FailPoint, Step};
pub use meter::Meter;
pub use operation::{Operation, Stop, Wants};
pub use working_set::{Committed, EventKey, Left, WorkingSet};

use crate::clock::Clock;
use crate::db::{Db, DbError, Dialect};
use crate::http::error::ApiError;
use crate::idempotency::in_flight::Claim;
use crate::idempotency::{Answer, Keyed};
use crate::ids::IdGenerator;
use crate::limits;
use catalog::CatalogCache;
use command::{Command, Submitted};
use std::sync::Arc;
use tiffin_api::id::StoreId;
use tokio::sync::{mpsc, oneshot};

/// What became of a command.
#[derive(Debug)]
pub enum Done<T> {
    /// It was decided now.
    Fresh(T),
    /// Its key was answered before; this is that answer.
    Replayed(Answer),
}

/// Why a command has no output.
#[derive(Debug)]
pub enum SubmitError {
    /// It was decided that it has no effect.
    Stopped(Stop),
    /// Its decision panicked: a defect. It has no effect.
    Panicked,
    /// The lane is full, or the command waited too long in it: nothing was done.
    Busy,
    /// The database failed us at the commit, so it may have an effect or not: a retry with the same key
    /// finds out.
    Unsettled,
}

impl std::fmt::Display for SubmitError {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Stopped(Stop::Refused(problem)) => write!(f, "refused: {}", problem.detail),
            Self::Stopped(Stop::Failed(error)) => error.fmt(f),
            Self::Panicked => f.write_str("its decision panicked"),
            Self::Busy => f.write_str("its lane is full"),
            Self::Unsettled => f.write_str("the ledger did not answer in time"),
        }
    }
}

impl From<DbError> for SubmitError {
    fn from(error: DbError) -> Self {
        Self::Stopped(error.into())
    }
}

impl From<Stop> for SubmitError {
    fn from(stop: Stop) -> Self {
        Self::Stopped(stop)
    }
}

impl From<SubmitError> for ApiError {
    fn from(error: SubmitError) -> Self {
        match error {
            SubmitError::Stopped(stop) => stop.into(),
            SubmitError::Panicked => Self::internal(),
            SubmitError::Busy => Self::unavailable("too many writes are waiting; nothing was done"),
            SubmitError::Unsettled => Self::unavailable("the ledger did not answer in time"),
        }
    }
}

/// What every lane works with.
pub(crate) struct Shared {
    clock: Arc<dyn Clock>,
    ids: Arc<IdGenerator>,
    catalog: CatalogCache,
    fail_point: Option<FailPoint>,
    /// Told of every commit, before anybody is answered.
    on_commit: Box<dyn Fn(&Committed) + Send + Sync>,
    meter: Meter,
}

/// The lanes. Dropping it ends them once what was queued is done.
pub struct Engine {
    lanes: Vec<mpsc::Sender<Box<dyn Command>>>,
    meter: Meter,
}

impl Engine {
    /// Starts the lanes. `on_commit` is told of every commit before anybody is answered; it must not block.
    pub fn start(
        db: Db,
        clock: Arc<dyn Clock>,
        ids: Arc<IdGenerator>,
        on_commit: impl Fn(&Committed) + Send + Sync + 'static,
    ) -> Self {
        Self::start_with(db, clock, ids, Box::new(on_commit), None)
    }

    /// Starts lanes that fail where they are told to; for simulation.
    pub fn start_failing(
        db: Db,
        clock: Arc<dyn Clock>,
        ids: Arc<IdGenerator>,
        on_commit: impl Fn(&Committed) + Send + Sync + 'static,
        fail_point: FailPoint,
    ) -> Self {
        Self::start_with(db, clock, ids, Box::new(on_commit), Some(fail_point))
    }

    fn start_with(
        db: Db,
        clock: Arc<dyn Clock>,
        ids: Arc<IdGenerator>,
        on_commit: Box<dyn Fn(&Committed) + Send + Sync>,
        fail_point: Option<FailPoint>,
    ) -> Self {
        let lanes = match db.dialect() {
            // There is one writer: a second lane would only make the batches smaller.
            Dialect::Sqlite => 1,
            Dialect::MySql => limits::LANES,
        };
        let (catalog, meter) = (CatalogCache::default(), Meter::default());
        let counted = meter.clone();
        let shared = Arc::new(Shared { clock, ids, catalog, fail_point, on_commit, meter });
        let start = |_| {
            let (sender, queue) = mpsc::channel(limits::LANE_QUEUE);
            lane::start(Arc::clone(&shared), &db, queue);
            sender
        };
        Self { lanes: (0..lanes).map(start).collect(), meter: counted }
    }

    /// Has an operation done in the lane of a store, and waits for its commit.
    pub async fn submit<O: Operation>(
        &self,
        store: StoreId,
        operation: O,
    ) -> Result<O::Output, SubmitError> {
        match self.enter(store, None, None, operation).await? {
            Done::Fresh(output) => Ok(output),
            Done::Replayed(_) => unreachable!("only a key has an answer from before"),
        }
    }

    /// Has an operation done for an Idempotency-Key, unless the key has an answer already. The claim is kept
    /// until then, also if nobody waits any more.
    pub async fn submit_keyed<O: Operation>(
        &self,
        store: StoreId,
        keyed: Keyed,
        claim: Option<Claim>,
        operation: O,
    ) -> Result<Done<O::Output>, SubmitError> {
        self.enter(store, Some(keyed), claim, operation).await
    }

    async fn enter<O: Operation>(
        &self,
        store: StoreId,
        keyed: Option<Keyed>,
        claim: Option<Claim>,
        operation: O,
    ) -> Result<Done<O::Output>, SubmitError> {
        let (reply, answer) = oneshot::channel();
        let command = Box::new(Submitted::new(operation, keyed, claim, reply));
        self.lane(store).try_send(command).map_err(|_| SubmitError::Busy)?;
        // A lane that ends without an answer died in the middle of it.
        answer.await.unwrap_or(Err(SubmitError::Unsettled))
    }

    fn lane(&self, store: StoreId) -> &mpsc::Sender<Box<dyn Command>> {
        // Snowflakes that were minted together differ in their low bits and share them with those of other
        // moments: multiply, and take what the high bits say (Knuth, TAOCP vol. 3, 6.4).
        let mixed = store.raw().cast_unsigned().wrapping_mul(0x9E37_79B9_7F4A_7C15) >> 32;
        let lanes = self.lanes.len();
        &self.lanes[usize::try_from(mixed).unwrap_or(0) % lanes]
    }

    /// What is counted of the work.
    pub const fn meter(&self) -> &Meter {
        &self.meter
    }

    /// Commands that wait, in all lanes.
    pub fn waiting(&self) -> usize {
        self.lanes.iter().map(|lane| lane.max_capacity() - lane.capacity()).sum()
    }
}
