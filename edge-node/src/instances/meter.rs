//! The budgets of one instance: linear memory and processor time.
//!
//! Processor time is the time that the instance holds a thread, from each poll's begin to its end, checked
//! at each epoch tick; it counts from the last request that the instance took. What the host does at the
//! guest's call counts too, but for time spent waiting; so does time that the system gives to other
//! processes, so budgets are to be generous. A guest over budget traps: its instance ends, and no other.
//! One that computes for longer than most goes on in the `background`.

use std::fmt;
use std::future::poll_fn;
use std::pin::pin;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use prometheus_client::metrics::gauge::Gauge;
use wasmtime::{ResourceLimiter, Store, UpdateDeadline};

use super::Guest;
use super::background::Place;
use crate::limits;
use crate::manifest::Hints;

/// The guest asked for more linear memory than it may have.
#[derive(Debug)]
pub(super) struct MemoryExceeded {
    limit_bytes: usize,
}

impl fmt::Display for MemoryExceeded {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "the guest asked for more than {} bytes of memory", self.limit_bytes)
    }
}

impl std::error::Error for MemoryExceeded {}

/// The guest burned more processor time than it may.
#[derive(Debug)]
pub(super) struct CpuExceeded {
    budget: Duration,
}

impl fmt::Display for CpuExceeded {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "the guest ran for more than {} ms", self.budget.as_millis())
    }
}

impl std::error::Error for CpuExceeded {}

/// The processor time of one instance. Cloning shares it.
#[derive(Debug, Clone)]
pub(super) struct CpuClock(Arc<Mutex<CpuTime>>);

#[derive(Debug)]
struct CpuTime {
    /// Up to `since`.
    used: Duration,
    /// When the instance got the thread that it holds.
    since: Instant,
}

impl CpuClock {
    fn new() -> Self {
        Self(Arc::new(Mutex::new(CpuTime { used: Duration::ZERO, since: Instant::now() })))
    }

    /// Counts the time of each of the future's polls.
    pub(super) async fn count<F: Future>(&self, future: F) -> F::Output {
        let mut future = pin!(future);
        poll_fn(|cx| {
            self.time().since = Instant::now();
            let polled = future.as_mut().poll(cx);
            let used = self.used();
            self.time().used = used;
            polled
        })
        .await
    }

    /// What was used, asked while the instance holds a thread.
    fn used(&self) -> Duration {
        let time = self.time();
        time.used + time.since.elapsed()
    }

    fn reset(&self) {
        *self.time() = CpuTime { used: Duration::ZERO, since: Instant::now() };
    }

    fn time(&self) -> MutexGuard<'_, CpuTime> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// What one instance has used, and may use.
#[derive(Debug)]
pub(super) struct Meter {
    memory_limit_bytes: usize,
    memory_bytes: usize,
    cpu_budget: Duration,
    cpu: CpuClock,
    place: Place,
    /// Linear memory of all instances of the component.
    live_bytes: Gauge,
}

impl Meter {
    pub(super) fn new(
        memory_limit_bytes: usize,
        cpu_budget: Duration,
        place: Place,
        live_bytes: Gauge,
    ) -> Self {
        let (memory_bytes, cpu) = (0, CpuClock::new());
        Self { memory_limit_bytes, memory_bytes, cpu_budget, cpu, place, live_bytes }
    }

    /// This instance's place among those that compute for long.
    pub(super) fn place(&self) -> &Place {
        &self.place
    }

    /// To be told when the instance holds a thread.
    pub(super) fn cpu(&self) -> &CpuClock {
        &self.cpu
    }

    /// Linear memory never shrinks: what it is now is also the most it was.
    pub(super) fn memory_bytes(&self) -> usize {
        self.memory_bytes
    }

    /// A new request: the budget begins anew.
    pub(super) fn refill(&mut self) {
        self.cpu.reset();
    }

    /// What becomes of a guest that runs at a tick. After a wait the first tick comes at once, so a guest
    /// that has hardly run goes on.
    fn tick(&self) -> Result<UpdateDeadline, CpuExceeded> {
        let used = self.cpu.used();
        if used > self.cpu_budget {
            return Err(CpuExceeded { budget: self.cpu_budget });
        }
        if used < limits::FOREGROUND_CPU {
            return Ok(UpdateDeadline::Continue(1));
        }
        Ok(UpdateDeadline::YieldCustom(1, self.place.turn()))
    }
}

impl Drop for Meter {
    fn drop(&mut self) {
        self.live_bytes.dec_by(gauge_value(self.memory_bytes));
    }
}

fn gauge_value(bytes: usize) -> i64 {
    i64::try_from(bytes).unwrap_or(i64::MAX)
}

impl ResourceLimiter for Meter {
    fn memory_growing(
        &mut self,
        current: usize,
        desired: usize,
        _maximum: Option<usize>,
    ) -> wasmtime::Result<bool> {
        let total = self.memory_bytes + desired.saturating_sub(current);
        if total > self.memory_limit_bytes {
            return Err(MemoryExceeded { limit_bytes: self.memory_limit_bytes }.into());
        }
        self.live_bytes.inc_by(gauge_value(total - self.memory_bytes));
        self.memory_bytes = total;
        Ok(true)
    }

    fn table_growing(
        &mut self,
        _current: usize,
        desired: usize,
        _maximum: Option<usize>,
    ) -> wasmtime::Result<bool> {
        Ok(desired <= limits::MAX_TABLE_ELEMENTS)
    }
}

/// Host objects that an instance may hold.
fn max_resources(hints: &Hints) -> usize {
    limits::RESOURCES_PER_INSTANCE + limits::RESOURCES_PER_REQUEST * hints.instance_concurrency
}

/// Records that the engine may keep for an instance.
pub(super) fn max_records(hints: &Hints) -> usize {
    limits::HANDLES_PER_RESOURCE * max_resources(hints)
}

/// Puts the meter to work on a new store.
pub(super) fn attach(store: &mut Store<Guest>) {
    store.limiter(|guest| &mut guest.meter);
    // Not only what a guest computes, also what it has the host keep for it.
    let hints = &store.data().shared.component.hints;
    let (resources, records) = (max_resources(hints), max_records(hints));
    store.data_mut().table.set_max_capacity(resources);
    store.set_max_component_handles(records);
    if let Some(table) = store.concurrent_resource_table() {
        table.set_max_capacity(records);
    }
    store.set_hostcall_fuel(limits::MAX_HOST_CALL_BYTES);
    store.set_epoch_deadline(1);
    store.epoch_deadline_callback(|store| Ok(store.data().meter.tick()?));
}
