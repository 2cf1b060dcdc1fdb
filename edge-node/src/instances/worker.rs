//! What `ProxyHandler` asks of its host: how to start an instance, what it may take on, and when
//! its time is over.
//!
//! A request's deadline is held three times over: by the caller (who answers 504 and goes on), by
//! the future of `on_request_start` (which makes the instance take no more requests), and by
//! [`Lifetime`], polled outside the guest's event loop, which drops an instance that is stuck.
//!
//! An instance that takes no more requests still stands in `ProxyHandler`'s queue, and may be the one
//! that is woken for the next request: the wake is lost until the instance is dropped, which passes it
//! on. Two bounds keep that short. After an expiry the instance lives on for no longer than
//! [`limits::DEADLINE_GRACE`] once its other requests are done. And a request that nobody takes up
//! keeps its [`Turn`] for no longer than [`limits::DISPATCH_PATIENCE`], so that the next one wakes
//! another instance, which then takes up both: an instance can lose one wake only.

use std::fmt;
use std::future::Future;
use std::pin::Pin;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, OnceLock, PoisonError};
use std::task::{Context, Poll, ready};
use std::time::Duration;

use http::HeaderValue;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::time::{Instant, Sleep, sleep_until};
use wasmtime::component::GuestTaskId;
use wasmtime::{Store, StoreContextMut};
use wasmtime_wasi_http::WasiHttpView;
use wasmtime_wasi_http::handler::{
    HandlerState, Instance, ProxyPre, ShouldAccept, WorkerExpiration, WorkerState, WorkerStatus,
};

use super::background::Place;
use super::meter::{self, CpuExceeded, MemoryExceeded};
use super::{Guest, Shared};
use crate::limits;
use crate::metrics::{ComponentLabel, TrapLabels};

/// A request on its way to an instance.
pub(crate) struct Task {
    /// Its place among the requests in progress.
    pub(super) place: Arc<OwnedSemaphorePermit>,
    /// Its turn to be taken up; given back as soon as an instance has.
    pub(super) turn: Turn,
    /// When it is given up.
    pub(super) deadline: Instant,
    /// Its trace.
    pub(super) traceparent: HeaderValue,
    /// Told which instance took it, so that the log can name it.
    pub(super) taken_by: Arc<OnceLock<u64>>,
}

/// A request's turn to be taken up by an instance. Cloning shares it.
#[derive(Clone)]
pub(super) struct Turn(Arc<Mutex<Option<OwnedSemaphorePermit>>>);

impl Turn {
    pub(super) fn new(permit: OwnedSemaphorePermit) -> Self {
        Self(Arc::new(Mutex::new(Some(permit))))
    }

    /// Lets the next request have its turn. Later calls change nothing.
    pub(super) fn give_back(&self) {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).take();
    }
}

/// Starts instances of one component.
pub(super) struct Spawner {
    shared: Arc<Shared>,
    component: ProxyPre<Guest>,
    /// How many instances the component may have by its own hint.
    places: Arc<Semaphore>,
}

/// The component has as many instances as it may.
#[derive(Debug)]
pub(super) struct TooManyInstances;

impl fmt::Display for TooManyInstances {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "the component has as many instances as it may")
    }
}

impl std::error::Error for TooManyInstances {}

impl Spawner {
    pub(super) fn new(shared: Arc<Shared>, component: ProxyPre<Guest>) -> Self {
        let places = Arc::new(Semaphore::new(shared.component.hints.max_instances));
        Self { shared, component, places }
    }

    /// A place among the component's instances, and among all. Not waited for: meanwhile an instance
    /// that is there already may take up the request.
    fn place(&self) -> Result<InstancePlace, TooManyInstances> {
        let own = Arc::clone(&self.places).try_acquire_owned().map_err(|_| TooManyInstances)?;
        let shared = self.shared.shares.instances.try_acquire(1).ok_or(TooManyInstances)?;
        Ok((own, shared))
    }
}

/// Held while an instance lives.
type InstancePlace = (OwnedSemaphorePermit, OwnedSemaphorePermit);

impl HandlerState for Spawner {
    type StoreData = Guest;
    type WorkerExpiration = Lifetime;
    type WorkerState = Supervisor;

    async fn instantiate(&self) -> wasmtime::Result<Instance<Guest, Lifetime, Supervisor>> {
        let place = self.place()?;
        let mut store = Store::new(&self.shared.engine, Guest::new(&self.shared));
        meter::attach(&mut store);
        let deadline = Duration::from_millis(self.shared.component.hints.deadline_ms);
        let started = self.component.instantiate_async(&mut store);
        let proxy = tokio::time::timeout(deadline, started)
            .await
            .map_err(|_| wasmtime::format_err!("the instance did not start in time"))??;
        let background = store.data().meter.place().clone();
        let supervisor = Supervisor::new(Arc::clone(&self.shared), place);
        Ok(Instance {
            store,
            proxy,
            view: Guest::http,
            expiration: Lifetime::new(deadline, background, &supervisor),
            state: supervisor,
        })
    }
}

/// When an instance's time is over.
pub(super) struct Lifetime {
    request_limit: Duration,
    idle_limit: Duration,
    background: Place,
    was_stuck: Arc<AtomicBool>,
    has_expired: Arc<AtomicBool>,
    timer: Pin<Box<Sleep>>,
}

impl Lifetime {
    fn new(deadline: Duration, background: Place, supervisor: &Supervisor) -> Self {
        let request_limit = deadline + limits::DEADLINE_GRACE;
        let hints = &supervisor.shared.component.hints;
        let idle_limit = Duration::from_millis(hints.instance_idle_ms);
        let was_stuck = Arc::clone(&supervisor.was_stuck);
        let has_expired = Arc::clone(&supervisor.has_expired);
        let timer = Box::pin(sleep_until(Instant::now() + idle_limit));
        Self { request_limit, idle_limit, background, was_stuck, has_expired, timer }
    }
}

impl WorkerExpiration for Lifetime {
    fn poll(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        status: WorkerStatus,
        start: std::time::Instant,
    ) -> Poll<()> {
        // It is polled when the instance has let go of its thread.
        self.background.leave();
        let limit = match status {
            WorkerStatus::Idle => self.idle_limit,
            WorkerStatus::Requests => self.request_limit,
            WorkerStatus::PostReturn if self.has_expired.load(Ordering::Relaxed) => {
                limits::DEADLINE_GRACE
            }
            WorkerStatus::PostReturn => limits::POST_RETURN,
        };
        let due = Instant::from_std(start + limit);
        if self.timer.deadline() != due {
            self.timer.as_mut().reset(due);
        }
        ready!(self.timer.as_mut().poll(cx));
        self.was_stuck.store(status != WorkerStatus::Idle, Ordering::Relaxed);
        Poll::Ready(())
    }
}

/// What one instance may take on; also its obituary.
pub(super) struct Supervisor {
    shared: Arc<Shared>,
    /// Counted over all components, for the log.
    number: u64,
    was_stuck: Arc<AtomicBool>,
    /// A request was given up at its deadline: the instance takes no more.
    has_expired: Arc<AtomicBool>,
    /// The engine keeps so much for it that it is to end.
    is_full: AtomicBool,
    place: Arc<InstancePlace>,
}

impl Supervisor {
    fn new(shared: Arc<Shared>, place: InstancePlace) -> Self {
        let label = ComponentLabel { component: shared.component.id.as_str().into() };
        shared.metrics.instances_started.get_or_create(&label).inc();
        shared.metrics.instances_live.get_or_create(&label).inc();
        static STARTED: AtomicU64 = AtomicU64::new(0);
        let number = STARTED.fetch_add(1, Ordering::Relaxed);
        Self {
            shared,
            number,
            was_stuck: Arc::default(),
            has_expired: Arc::default(),
            is_full: AtomicBool::new(false),
            place: Arc::new(place),
        }
    }

    fn kind_of(&self, error: &wasmtime::Error) -> &'static str {
        if error.downcast_ref::<CpuExceeded>().is_some() {
            "cpu"
        } else if error.downcast_ref::<MemoryExceeded>().is_some() {
            "memory"
        } else if self.was_stuck.load(Ordering::Relaxed) {
            "deadline"
        } else {
            "trap"
        }
    }
}

impl WorkerState for Supervisor {
    type StoreData = Guest;
    type RequestData = Task;

    fn should_accept_request(&self, concurrent_count: usize, total_count: usize) -> ShouldAccept {
        let hints = &self.shared.component.hints;
        let is_full = self.is_full.load(Ordering::Relaxed);
        if is_full || total_count >= hints.requests_per_instance {
            ShouldAccept::Never
        } else if concurrent_count >= hints.instance_concurrency {
            ShouldAccept::No
        } else {
            ShouldAccept::Yes
        }
    }

    fn on_request_start(
        &self,
        mut store: StoreContextMut<'_, Guest>,
        task: Task,
        _: GuestTaskId,
    ) -> Pin<Box<dyn Future<Output = ()> + 'static + Send + Sync>> {
        // What a request leaves to be done after its answer is not counted among those in progress, and
        // the next requests come first: an instance that is never idle would meet the engine's limit, and trap.
        let most = meter::max_records(&self.shared.component.hints) / 2;
        if store.concurrent_state_table_size() > most {
            self.is_full.store(true, Ordering::Relaxed);
        }
        let guest = store.data_mut();
        guest.meter.refill();
        let active = guest.active.enter(task.traceparent);
        task.taken_by.get_or_init(|| self.number);
        task.turn.give_back();
        let place = task.place;
        let has_expired = Arc::clone(&self.has_expired);
        Box::pin(async move {
            sleep_until(task.deadline).await;
            has_expired.store(true, Ordering::Relaxed);
            drop((active, place));
        })
    }

    fn drop(&self, store: Store<Guest>, result: Result<(), wasmtime::Error>) {
        let component = &self.shared.component.id;
        let label = ComponentLabel { component: component.as_str().into() };
        let metrics = &self.shared.metrics;
        metrics.instances_live.get_or_create(&label).dec();
        let memory_bytes = store.data().meter.memory_bytes();
        let high_water = metrics.memory_high_water_bytes.get_or_create_owned(&label);
        let bytes = i64::try_from(memory_bytes).unwrap_or(i64::MAX);
        high_water.set(high_water.get().max(bytes));
        take_down(store, memory_bytes, Arc::clone(&self.place));
        let Err(error) = result else { return };
        // When the node stops, instances are cut off: nothing went wrong with them.
        if self.shared.stopped.is_cancelled() {
            return;
        }
        let kind = self.kind_of(&error);
        let labels = TrapLabels { component: component.clone(), kind };
        metrics.traps.get_or_create(&labels).inc();
        tracing::warn!(
            component,
            instance = self.number,
            kind,
            memory_bytes,
            error = format!("{error:#}"),
            "instance ended"
        );
    }
}

/// Drops the store and then its place. Giving back the pages of a big one takes milliseconds, in which
/// the thread would serve nobody.
fn take_down(store: Store<Guest>, memory_bytes: usize, place: Arc<InstancePlace>) {
    let drop_all = move || {
        drop(store);
        drop(place);
    };
    match tokio::runtime::Handle::try_current() {
        Ok(runtime) if memory_bytes > limits::SLOW_DROP_BYTES => {
            runtime.spawn_blocking(drop_all);
        }
        Ok(_) | Err(_) => drop_all(),
    }
}
