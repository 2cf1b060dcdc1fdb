//! The gate: refuses at the door what is surely sold out, so that a rush for the last units does not become a
//! rush for the ledger.
//!
//! It counts in the fast store what is left, ahead of the ledger: a request that enters takes its units at once
//! and gives them back if it comes to nothing. It refuses only what its counters say is gone, and only requests
//! that cannot have an answer from before ([`known`]): a retry of an order that succeeded is let through to that
//! answer. What it cannot judge it lets through.
//!
//! Invariants: the gate grants nothing, the ledger decides whatever it lets in; a counter that is wrong costs
//! trips to the ledger (too high) or sales until it is repaired (too low), never an oversold unit. Nobody has to
//! repair it: see [`repair`].

pub mod known;
mod meter;
pub mod repair;
pub mod store;

use crate::db::Db;
use crate::engine::{Committed, Left};
use crate::fast::guarded::{Drift, Guarded};
use crate::fast::{Admission, Admit, FastStore as _, GateTag};
use crate::http::error::ApiError;
use crate::idempotency::Executed;
use crate::inventory::StockMove;
use crate::limits;
use known::KnownKeys;
pub use meter::Meter;
use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use tiffin_api::ErrorCode;
use tiffin_api::id::UserId;
use tokio::sync::{mpsc, oneshot};
use tokio::time::Instant;
use tokio_util::task::TaskTracker;

/// Who wants how much of what.
#[derive(Debug, Clone)]
pub struct Request {
    /// The gate.
    pub tag: GateTag,
    /// Who.
    pub user: UserId,
    /// The scope of the request's idempotency key.
    pub scope: String,
    /// Units by item.
    pub wants: Vec<(i64, i64)>,
    /// The most units that the user may hold, these included.
    pub held_cap_units: i64,
}

/// What the gate says.
#[derive(Debug)]
pub enum Entry {
    /// Go on to the ledger.
    Pass(Pass),
    /// Nothing of this item is left.
    SoldOut(i64),
    /// The user holds too much.
    OverCap,
}

/// A request that is let in. Whoever has it says with [`Gate::leave`] what came of it; if that is not said
/// (its client went away), the gate counts itself as drifted.
#[derive(Debug)]
pub struct Pass {
    request: Request,
    took: Took,
    fast: Option<Arc<Guarded>>,
}

/// Whether a request's units were taken from the counters.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Took {
    /// They were.
    Yes,
    /// The gate could not judge. A call that timed out may have taken them all the same.
    Perhaps,
    /// The request was let through to the answer that it may have.
    No,
}

impl Drop for Pass {
    fn drop(&mut self) {
        if let Some(fast) = self.fast.take().filter(|_| self.took != Took::No) {
            fast.put_drift(drift(self.request.tag));
        }
    }
}

/// What came of a request that was let in.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Fate {
    /// The ledger gave it its units.
    Taken,
    /// It had no effect: it was refused, or its key was answered before.
    Undone,
    /// The ledger has not enough: the gate's counters are too high.
    SoldOut,
    /// It is not known.
    Unknown,
}

impl Fate {
    /// What an outcome of the engine says; `sold_out` is the refusal that says that the ledger has not enough.
    pub fn of(outcome: &Result<Executed, ApiError>, sold_out: ErrorCode) -> Self {
        match outcome {
            Ok(Executed { replayed: false, .. }) => Self::Taken,
            Ok(Executed { replayed: true, .. }) => Self::Undone,
            Err(ApiError(problem)) if problem.code == sold_out => Self::SoldOut,
            Err(ApiError(problem)) if problem.status < 500 => Self::Undone,
            Err(_) => Self::Unknown,
        }
    }
}

/// The gate of one core.
pub struct Gate {
    fast: Arc<Guarded>,
    db: Db,
    /// Idempotency keys that may have an answer.
    pub known: KnownKeys,
    /// Items that were sold out a moment ago: a rush for them does not reach the fast store either.
    sold_out: Mutex<BTreeMap<(GateTag, i64), Instant>>,
    /// Gates whose counters are being loaded.
    loading: Mutex<BTreeSet<GateTag>>,
    /// Orders that stopped waiting for their payment, on their way to the counters.
    left: mpsc::Sender<Tell>,
    /// What is being fetched from the ledger for the counters.
    fetching: TaskTracker,
    meter: Meter,
}

/// What is sent to the task that tells the counters.
enum Tell {
    /// An order stopped waiting for its payment.
    Left(Left),
    /// Say when everything before this is told.
    Flush(oneshot::Sender<()>),
}

impl std::fmt::Debug for Gate {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.debug_struct("Gate").field("fast", &self.fast).finish_non_exhaustive()
    }
}

impl Gate {
    /// A gate over a fast store. Must be called within a tokio runtime.
    pub fn start(fast: Arc<Guarded>, db: Db) -> Arc<Self> {
        let (left, mut queue) = mpsc::channel(limits::GATE_QUEUE);
        let teller = Arc::clone(&fast);
        tokio::spawn(async move {
            while let Some(next) = queue.recv().await {
                match next {
                    Tell::Left(left) => tell(&teller, &left).await,
                    // Whoever asked may have gone.
                    Tell::Flush(told) => _ = told.send(()),
                }
            }
        });
        let fetching = TaskTracker::new();
        // It takes tasks all the same, and whoever waits hears of every moment without one.
        fetching.close();
        Arc::new(Self {
            fast,
            db,
            known: KnownKeys::default(),
            sold_out: Mutex::default(),
            loading: Mutex::default(),
            left,
            fetching,
            meter: Meter::default(),
        })
    }

    /// Waits until what the gate has begun by itself is done: orders that are told to the counters, figures that
    /// are fetched from the ledger. Before a core ends, so that its commits do not leave the counters behind.
    pub async fn settled(&self) {
        let (told, until_told) = oneshot::channel();
        if self.left.send(Tell::Flush(told)).await.is_ok() {
            // The sender is dropped untold only with the runtime.
            _ = until_told.await;
        }
        self.fetching.wait().await;
    }

    /// What is counted of the gate's answers.
    pub const fn meter(&self) -> &Meter {
        &self.meter
    }

    /// Asks for admission.
    pub async fn enter(self: &Arc<Self>, request: Request) -> Entry {
        let entry = self.judge(request).await;
        self.meter.count(&entry);
        entry
    }

    async fn judge(self: &Arc<Self>, request: Request) -> Entry {
        if let Some(item) = self.noted_sold_out(&request) {
            return self.refuse(request, Entry::SoldOut(item));
        }
        let admission = Admission {
            tag: request.tag,
            user: request.user.raw(),
            request: &request.scope,
            wants: &request.wants,
            held_cap_units: request.held_cap_units,
        };
        let admit = self.fast.admit(&admission).await.unwrap_or(Admit::Unknown);
        match admit {
            Admit::Admitted => self.pass(request, Took::Yes),
            Admit::Repeat => self.pass(request, Took::No),
            Admit::Unknown => {
                self.load_soon(&request);
                self.pass(request, Took::Perhaps)
            }
            Admit::SoldOut { item } => {
                self.note_sold_out(request.tag, item);
                self.refuse(request, Entry::SoldOut(item))
            }
            Admit::OverCap => {
                // The user's next try must not fail over a count that has gone astray.
                self.correct_held_soon(&request);
                self.refuse(request, Entry::OverCap)
            }
        }
    }

    /// Says what came of a request that was let in.
    pub async fn leave(&self, mut pass: Pass, fate: Fate) {
        pass.fast = None;
        if pass.took == Took::No {
            return;
        }
        let request = &pass.request;
        let admission = Admission {
            tag: request.tag,
            user: request.user.raw(),
            request: &request.scope,
            wants: &request.wants,
            held_cap_units: request.held_cap_units,
        };
        match fate {
            Fate::Taken if pass.took == Took::Yes => {}
            // A call that fails notes the gate as drifted by itself.
            Fate::Undone => _ = self.fast.give_back(&admission).await,
            Fate::SoldOut => {
                _ = self.fast.give_back(&admission).await;
                self.reload(request.tag, &request.wants).await;
            }
            // The ledger has moved, and the counters perhaps not.
            Fate::Taken | Fate::Unknown => self.fast.put_drift(drift(request.tag)),
        }
    }

    /// Hears of a commit, before anybody is answered.
    pub fn committed(&self, committed: &Committed) {
        for scope in &committed.scopes {
            self.known.insert(scope);
        }
        for left in &committed.left {
            if self.left.try_send(Tell::Left(left.clone())).is_err() {
                self.fast.put_drift(drift(GateTag::Store(left.store.raw())));
            }
        }
    }

    /// What is refused, unless its key may have an answer: then the ledger gives it.
    fn refuse(&self, request: Request, refusal: Entry) -> Entry {
        if self.known.may_contain(&request.scope) { self.pass(request, Took::No) } else { refusal }
    }

    fn pass(&self, request: Request, took: Took) -> Entry {
        // From here on the key may get an answer: its retry must not be refused while the engine is at it, nor
        // after a commit of which this process does not hear.
        self.known.insert(&request.scope);
        Entry::Pass(Pass { request, took, fast: Some(Arc::clone(&self.fast)) })
    }

    fn noted_sold_out(&self, request: &Request) -> Option<i64> {
        let notes = lock(&self.sold_out);
        if notes.is_empty() {
            return None;
        }
        let now = Instant::now();
        let items = request.wants.iter().map(|(item, _)| *item);
        items
            .into_iter()
            .find(|item| notes.get(&(request.tag, *item)).is_some_and(|end| now < *end))
    }

    fn note_sold_out(&self, tag: GateTag, item: i64) {
        let mut notes = lock(&self.sold_out);
        let now = Instant::now();
        if notes.len() >= limits::GATE_NOTES {
            notes.retain(|_, end| now < *end);
        }
        if notes.len() < limits::GATE_NOTES {
            notes.insert((tag, item), now + limits::GATE_NOTE);
        }
    }

    /// Brings counters that are missing from the ledger. Requests go on without them until then.
    fn load_soon(self: &Arc<Self>, request: &Request) {
        let tag = request.tag;
        {
            let mut loading = lock(&self.loading);
            if loading.len() >= limits::GATE_LOADS || !loading.insert(tag) {
                return;
            }
        }
        let (gate, items) = (Arc::clone(self), items(&request.wants));
        self.fetching.spawn(async move {
            match store::left(&gate.db, tag, &items).await {
                Ok(left) => _ = gate.fast.load(tag, &left, false).await,
                Err(error) => tracing::warn!(%error, ?tag, "the gate's counters could not be read"),
            }
            lock(&gate.loading).remove(&tag);
        });
    }

    /// Sets counters to what the ledger has.
    async fn reload(&self, tag: GateTag, wants: &[(i64, i64)]) {
        let reloaded = match store::left(&self.db, tag, &items(wants)).await {
            Ok(left) => self.fast.load(tag, &left, true).await.is_ok(),
            Err(_) => false,
        };
        if !reloaded {
            self.fast.put_drift(drift(tag));
        }
    }

    fn correct_held_soon(self: &Arc<Self>, request: &Request) {
        let (gate, tag, user) = (Arc::clone(self), request.tag, request.user);
        self.fetching.spawn(async move {
            if let Ok(units) = store::held_at(&gate.db, tag, user).await {
                _ = gate.fast.set_held(tag, user.raw(), units).await;
            }
        });
    }
}

/// Tells the counters about an order that no longer waits for its payment, or of which units came back.
async fn tell(fast: &Guarded, left: &Left) {
    let tag = GateTag::Store(left.store.raw());
    let items: Vec<_> = left.holds.iter().map(|(item, units)| (item.raw(), *units)).collect();
    // A call that fails notes the gate as drifted by itself.
    _ = match left.stock_move {
        StockMove::Release => fast.release(tag, left.user.raw(), &items).await,
        StockMove::Commit => {
            let units = items.iter().map(|(_, units)| units).sum();
            fast.settle(tag, left.user.raw(), units).await
        }
        // Nobody holds what was sold.
        StockMove::Return => fast.release(tag, crate::fast::NOBODY, &items).await,
        StockMove::Reserve => Ok(()),
    };
}

fn items(wants: &[(i64, i64)]) -> BTreeSet<i64> {
    wants.iter().map(|(item, _)| *item).collect()
}

fn drift(tag: GateTag) -> Drift {
    Drift { gates: BTreeSet::from([tag]), everything: false }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
