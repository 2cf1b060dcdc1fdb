//! The fast store as the core uses it: one that is slow or gone is left alone, and something sensible is
//! answered in its place.
//!
//! | call | answer without the store |
//! |---|---|
//! | [`FastStore::admit`] | [`Admit::Unknown`]: go on without the gate |
//! | other moves of the gate | the error; the gate is noted as drifted, see [`Guarded::take_drift`] |
//! | limits | the in-process twin's: each core then counts for itself |
//! | leases | the error: whether somebody has it cannot be told, the caller decides |
//! | cache | the error, upon which [`super::cache::ReadCache`] loads |
//! | publish | the error; readers poll too |
//!
//! Invariant: a store that hangs costs at most [`limits::FAST_FAILURES`] calls in a row their
//! [`limits::FAST_TIMEOUT`], and after that nobody, until a probe in the background succeeds.

use super::Subscription;
use super::breaker::{Breaker, BreakerState, Verdict};
use super::memory::Memory;
use super::{Admission, Admit, Allowance, FastError, FastStore, GateTag, Rate, Reply, Window};
use crate::clock::Clock;
use crate::limits;
use bytes::Bytes;
use std::collections::BTreeSet;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;
use tokio::time::Instant;

/// A store with a breaker before it.
pub struct Guarded {
    primary: Arc<dyn FastStore>,
    /// Counts limits while the primary cannot.
    twin: Memory,
    breaker: Arc<Mutex<Breaker>>,
    failures: AtomicU64,
    drift: Mutex<Drift>,
}

/// Gates that missed a move, so that their counters differ from the ledger.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Drift {
    /// The gates.
    pub gates: BTreeSet<GateTag>,
    /// There were more than [`limits::FAST_DRIFTED_GATES`]: any gate may have missed one.
    pub everything: bool,
}

impl std::fmt::Debug for Guarded {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.debug_struct("Guarded").field("state", &self.state()).finish_non_exhaustive()
    }
}

impl Guarded {
    /// Guards `primary`.
    pub fn new(primary: Arc<dyn FastStore>, clock: Arc<dyn Clock>) -> Self {
        Self {
            primary,
            twin: Memory::new(clock),
            breaker: Arc::new(Mutex::new(Breaker::new())),
            failures: AtomicU64::new(0),
            drift: Mutex::default(),
        }
    }

    /// What happens to calls now. An open breaker stays so until somebody calls.
    pub fn state(&self) -> BreakerState {
        lock(&self.breaker).state()
    }

    /// Calls that the store failed so far, without those that were not made.
    pub fn failures(&self) -> u64 {
        self.failures.load(Ordering::Relaxed)
    }

    /// The gates that missed a move since the last time this was asked, to be repaired from the ledger once
    /// the store is back. Whoever cannot repair them puts them back with [`Guarded::put_drift`].
    pub fn take_drift(&self) -> Drift {
        std::mem::take(&mut *lock(&self.drift))
    }

    /// Notes gates as drifted.
    pub fn put_drift(&self, more: Drift) {
        let mut drift = lock(&self.drift);
        drift.gates.extend(more.gates);
        drift.everything |= more.everything;
        if drift.gates.len() > limits::FAST_DRIFTED_GATES {
            *drift = Drift { gates: BTreeSet::new(), everything: true };
        }
    }

    async fn call<T>(&self, primary: Reply<'_, T>) -> Result<T, FastError> {
        let verdict = lock(&self.breaker).ask(Instant::now());
        match verdict {
            Verdict::Pass => {}
            Verdict::Refuse => return Err(left_alone()),
            Verdict::RefuseAndProbe => {
                self.probe();
                return Err(left_alone());
            }
        }
        let answer = primary.await;
        // What the store answered out of protocol, it did answer.
        let failed = matches!(answer, Err(FastError::Timeout | FastError::Unavailable(_)));
        if failed {
            self.failures.fetch_add(1, Ordering::Relaxed);
        }
        let opened = lock(&self.breaker).report(!failed, Instant::now());
        if opened && let Err(error) = &answer {
            tracing::warn!(%error, "the fast store fails and is left alone for a while");
        }
        answer
    }

    /// A move of a gate: if it fails, the gate has drifted.
    async fn shift<T>(&self, tag: GateTag, primary: Reply<'_, T>) -> Result<T, FastError> {
        let answer = self.call(primary).await;
        if answer.is_err() {
            self.put_drift(Drift { gates: BTreeSet::from([tag]), everything: false });
        }
        answer
    }

    fn probe(&self) {
        let (primary, breaker) = (self.primary.clone(), self.breaker.clone());
        tokio::spawn(async move {
            let succeeded = primary.ping().await.is_ok();
            lock(&breaker).probed(succeeded, Instant::now());
            if succeeded {
                tracing::info!("the fast store answers again");
            }
        });
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

fn left_alone() -> FastError {
    FastError::Unavailable("it failed lately and is left alone for a while".to_owned())
}

impl FastStore for Guarded {
    fn ping(&self) -> Reply<'_, ()> {
        Box::pin(self.call(self.primary.ping()))
    }

    fn admit<'a>(&'a self, admission: &'a Admission<'a>) -> Reply<'a, Admit> {
        Box::pin(async move {
            let answer = self.shift(admission.tag, self.primary.admit(admission)).await;
            Ok(answer.unwrap_or(Admit::Unknown))
        })
    }

    fn give_back<'a>(&'a self, admission: &'a Admission<'a>) -> Reply<'a, bool> {
        Box::pin(self.shift(admission.tag, self.primary.give_back(admission)))
    }

    fn release<'a>(&'a self, tag: GateTag, user: i64, items: &'a [(i64, i64)]) -> Reply<'a, ()> {
        Box::pin(self.shift(tag, self.primary.release(tag, user, items)))
    }

    fn settle(&self, tag: GateTag, user: i64, units: i64) -> Reply<'_, ()> {
        Box::pin(self.shift(tag, self.primary.settle(tag, user, units)))
    }

    fn load<'a>(&'a self, tag: GateTag, left: &'a [(i64, i64)], overwrite: bool) -> Reply<'a, ()> {
        Box::pin(self.call(self.primary.load(tag, left, overwrite)))
    }

    fn forget<'a>(&'a self, tag: GateTag, items: &'a [i64]) -> Reply<'a, ()> {
        Box::pin(self.shift(tag, self.primary.forget(tag, items)))
    }

    fn counters<'a>(&'a self, tag: GateTag, items: &'a [i64]) -> Reply<'a, Vec<Option<i64>>> {
        Box::pin(self.call(self.primary.counters(tag, items)))
    }

    fn held(&self, tag: GateTag, user: i64) -> Reply<'_, i64> {
        Box::pin(self.call(self.primary.held(tag, user)))
    }

    fn set_held(&self, tag: GateTag, user: i64, units: i64) -> Reply<'_, ()> {
        Box::pin(self.call(self.primary.set_held(tag, user, units)))
    }

    fn take_token<'a>(&'a self, key: &'a str, rate: Rate, now_ms: i64) -> Reply<'a, Allowance> {
        Box::pin(async move {
            match self.call(self.primary.take_token(key, rate, now_ms)).await {
                Ok(allowance) => Ok(allowance),
                Err(_) => self.twin.take_token(key, rate, now_ms).await,
            }
        })
    }

    fn slide<'a>(
        &'a self,
        key: &'a str,
        window: Window,
        now_ms: i64,
        unique_id: &'a str,
    ) -> Reply<'a, Allowance> {
        Box::pin(async move {
            match self.call(self.primary.slide(key, window, now_ms, unique_id)).await {
                Ok(allowance) => Ok(allowance),
                Err(_) => self.twin.slide(key, window, now_ms, unique_id).await,
            }
        })
    }

    fn lease<'a>(&'a self, name: &'a str, owner: &'a str, ttl: Duration) -> Reply<'a, bool> {
        Box::pin(self.call(self.primary.lease(name, owner, ttl)))
    }

    fn release_lease<'a>(&'a self, name: &'a str, owner: &'a str) -> Reply<'a, bool> {
        Box::pin(self.call(self.primary.release_lease(name, owner)))
    }

    fn cache_get<'a>(&'a self, key: &'a str) -> Reply<'a, Option<Bytes>> {
        Box::pin(self.call(self.primary.cache_get(key)))
    }

    fn cache_put<'a>(&'a self, key: &'a str, value: Bytes, ttl: Duration) -> Reply<'a, ()> {
        Box::pin(self.call(self.primary.cache_put(key, value, ttl)))
    }

    fn cache_drop<'a>(&'a self, key: &'a str) -> Reply<'a, ()> {
        Box::pin(self.call(self.primary.cache_drop(key)))
    }

    fn publish<'a>(&'a self, channel: &'a str, message: Bytes) -> Reply<'a, ()> {
        Box::pin(self.call(self.primary.publish(channel, message)))
    }

    fn subscribe(&self, channel: &str) -> Subscription {
        self.primary.subscribe(channel)
    }
}
