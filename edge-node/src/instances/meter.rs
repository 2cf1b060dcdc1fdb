//! The budgets of one instance: linear memory and processor time.
//!
//! Processor time is the time that guest code holds a thread, taken at each crossing between guest
//! and host and checked at each epoch tick; it counts from the last request that the instance took.
//! Time spent waiting in the host is not the guest's; time that the system gives to other processes
//! is, so budgets are to be generous. A guest over budget traps: its instance ends, and no other.

use std::fmt;
use std::time::{Duration, Instant};

use wasmtime::{CallHook, ResourceLimiter, Store, UpdateDeadline};

use super::Guest;
use crate::limits;

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

/// What one instance has used, and may use.
#[derive(Debug)]
pub(super) struct Meter {
    memory_limit_bytes: usize,
    memory_bytes: usize,
    cpu_budget: Duration,
    cpu_used: Duration,
    /// Since when guest code has been running; none while the host works or waits.
    running_since: Option<Instant>,
}

impl Meter {
    pub(super) fn new(memory_limit_bytes: usize, cpu_budget: Duration) -> Self {
        let (memory_bytes, cpu_used, running_since) = (0, Duration::ZERO, None);
        Self { memory_limit_bytes, memory_bytes, cpu_budget, cpu_used, running_since }
    }

    /// Linear memory never shrinks: what it is now is also the most it was.
    pub(super) fn memory_bytes(&self) -> usize {
        self.memory_bytes
    }

    /// A new request: the budget begins anew.
    pub(super) fn refill(&mut self) {
        self.cpu_used = Duration::ZERO;
    }

    fn cross(&mut self, hook: CallHook) {
        match hook {
            CallHook::CallingWasm | CallHook::ReturningFromHost => {
                self.running_since = Some(Instant::now());
            }
            CallHook::ReturningFromWasm | CallHook::CallingHost => {
                self.cpu_used += self.running_since.take().map_or(Duration::ZERO, |t| t.elapsed());
            }
        }
    }

    fn check_cpu(&self) -> Result<(), CpuExceeded> {
        if self.cpu_used > self.cpu_budget {
            return Err(CpuExceeded { budget: self.cpu_budget });
        }
        Ok(())
    }
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

/// Puts the meter to work on a new store.
pub(super) fn attach(store: &mut Store<Guest>) {
    store.limiter(|guest| &mut guest.meter);
    store.call_hook(|mut store, hook| {
        store.data_mut().meter.cross(hook);
        Ok(())
    });
    // At each tick a running guest gives way to other tasks of the thread.
    store.set_epoch_deadline(1);
    store.epoch_deadline_callback(|store| {
        store.data().meter.check_cpu()?;
        Ok(UpdateDeadline::Yield(1))
    });
}
