//! One instance: how it starts, which requests it takes, and when its time is over.
//!
//! An instance takes a request when all it has taken so far waits for something, so a batch of short ones
//! is worked off one by one without a pause; it lets go of its thread after
//! [`limits::BATCH_SLICE`]. Guests share the instance's one event loop: one that computes keeps the
//! others of the instance waiting, and a trap ends them all.
//!
//! A request's deadline is held three times over: by the caller (who answers 504 and goes on), by a timer
//! within the event loop (which makes the instance take no more requests), and by [`Life::poll_over`], asked
//! outside of that loop, which drops an instance that is stuck.

use std::future::poll_fn;
use std::pin::{Pin, pin};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Context, Poll, ready};
use std::time::Duration;

use futures::StreamExt as _;
use futures::stream::FuturesUnordered;
use tokio::sync::OwnedSemaphorePermit;
use tokio::task::coop::has_budget_remaining;
use tokio::time::{Instant, Sleep, sleep_until, timeout};
use wasmtime::component::{Accessor, Func};
use wasmtime::{AsContextMut as _, Store};
use wasmtime_wasi_http::WasiHttpView;
use wasmtime_wasi_http::handler::{Prepared, Proxy};

use super::meter::{self, CpuExceeded, MemoryExceeded};
use super::queue::Job;
use super::{Guest, Instances};
use crate::limits;
use crate::metrics::{ComponentLabel, TrapLabels};

/// Held while an instance lives.
pub(super) type InstancePlace = (OwnedSemaphorePermit, OwnedSemaphorePermit);

/// What an instance does.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Phase {
    /// Nothing is left to be done.
    Idle,
    /// It has requests to answer.
    Requests,
    /// All are answered, and guests go on.
    PostReturn,
}

/// An instance that has started.
pub(super) struct Instance {
    life: Arc<Life>,
    service: Proxy,
    /// The function that answers requests.
    handler: Func,
    held: Held,
}

/// Starts an instance.
///
/// # Errors
/// As the component's own start, which has to end within the deadline of a request.
pub(super) async fn start(
    instances: &Arc<Instances>,
    place: InstancePlace,
) -> wasmtime::Result<Instance> {
    let shared = &instances.shared;
    let mut store = Store::new(&shared.engine, Guest::new(shared));
    meter::attach(&mut store);
    let deadline = Duration::from_millis(shared.component.hints.deadline_ms);
    let cpu = store.data().meter.cpu().clone();
    let started = cpu.count(instances.component.instantiate_async(&mut store));
    let service = timeout(deadline, started)
        .await
        .map_err(|_| wasmtime::format_err!("the instance did not start in time"))??;
    let handler = *service.wasi_http_handler().func_handle().func();
    let life = Arc::new(Life::new(Arc::clone(instances)));
    let held = Held { life: Arc::clone(&life), store: Some(store), place: Some(place) };
    Ok(Instance { life, service: Proxy::P3(service), handler, held })
}

impl Instance {
    /// Takes requests until the instance's time is over, and takes it down.
    pub(super) async fn run(self) {
        let Self { life, service, handler, mut held } = self;
        let Some(store) = held.store.as_mut() else { return };
        let background = store.data().meter.place().clone();
        let cpu = store.data().meter.cpu().clone();
        let result = {
            let serve =
                async |accessor: &Accessor<Guest>| life.serve(accessor, &service, handler).await;
            let mut serving = pin!(store.run_concurrent(serve));
            let mut timer = pin!(sleep_until(life.due()));
            cpu.count(poll_fn(|cx| {
                let begin = Instant::now();
                loop {
                    if let Poll::Ready(served) = serving.as_mut().poll(cx) {
                        return Poll::Ready(served.and_then(|served| served));
                    }
                    // It waits, or gives way to others.
                    background.leave();
                    if let Poll::Ready(over) = life.poll_over(timer.as_mut(), cx) {
                        return Poll::Ready(over);
                    }
                    if life.has_rested.swap(true, Ordering::Relaxed) {
                        return Poll::Pending;
                    }
                    if begin.elapsed() > limits::BATCH_SLICE || !has_budget_remaining() {
                        cx.waker().wake_by_ref();
                        return Poll::Pending;
                    }
                }
            }))
            .await
        };
        held.end(result);
    }
}

/// The course of an instance's life: seen from within its event loop, and from outside.
struct Life {
    instances: Arc<Instances>,
    /// Counted over all components, for the log.
    number: u64,
    /// What it does, and since when; of requests, since the last was taken.
    phase: Mutex<(Phase, Instant)>,
    /// Whether it has waited, or given way, since it last took a request.
    has_rested: AtomicBool,
    /// The queue knows that it takes no more.
    has_retired: AtomicBool,
    /// A request was given up at its deadline: the instance takes no more.
    has_expired: Arc<AtomicBool>,
    /// The engine keeps so much for it that it takes no more.
    is_full: AtomicBool,
    was_stuck: AtomicBool,
}

impl Life {
    fn new(instances: Arc<Instances>) -> Self {
        let shared = &instances.shared;
        let label = ComponentLabel { component: shared.component.id.as_str().into() };
        shared.metrics.instances_started.get_or_create(&label).inc();
        shared.metrics.instances_live.get_or_create(&label).inc();
        instances.queue.started();
        static STARTED: AtomicU64 = AtomicU64::new(0);
        Self {
            instances,
            number: STARTED.fetch_add(1, Ordering::Relaxed),
            phase: Mutex::new((Phase::Idle, Instant::now())),
            has_rested: AtomicBool::new(true),
            has_retired: AtomicBool::new(false),
            has_expired: Arc::default(),
            is_full: AtomicBool::new(false),
            was_stuck: AtomicBool::new(false),
        }
    }

    /// The instance's event loop, as far as it is ours: takes requests while it may, and ends when it
    /// may take no more and nothing is left to be done.
    async fn serve(
        &self,
        accessor: &Accessor<Guest>,
        service: &Proxy,
        handler: Func,
    ) -> wasmtime::Result<()> {
        let queue = &self.instances.queue;
        let hints = &self.instances.shared.component.hints;
        let mut requests = FuturesUnordered::new();
        let (mut taken, mut goes_on, mut is_listed) = (0, true, false);
        poll_fn(|cx| {
            loop {
                while let Poll::Ready(Some(done)) = requests.poll_next_unpin(cx) {
                    match done {
                        Ok(is_answered) => goes_on &= is_answered,
                        Err(trap) => return Poll::Ready(Err(trap)),
                    }
                    if requests.is_empty() {
                        self.enter(Phase::PostReturn);
                    }
                }
                goes_on &= taken < hints.requests_per_instance;
                goes_on &= !self.is_full.load(Ordering::Relaxed);
                if !goes_on {
                    self.retire();
                }
                let can_call = accessor.poll_ready_for_concurrent_call(handler, cx).is_ready();
                let has_room = requests.len() < hints.instance_concurrency;
                if !(goes_on && can_call && has_room) {
                    if std::mem::take(&mut is_listed) {
                        self.instances.start(queue.withdraw(self.number));
                    }
                } else if self.has_rested.load(Ordering::Relaxed) {
                    if let Some(job) = queue.take(self.number, cx.waker()) {
                        taken += 1;
                        self.has_rested.store(false, Ordering::Relaxed);
                        self.enter(Phase::Requests);
                        match self.begin(accessor, service, job) {
                            Ok(request) => requests.push(request),
                            Err(error) => return Poll::Ready(Err(error)),
                        }
                        continue;
                    }
                    is_listed = true;
                }
                if !requests.is_empty() || accessor.poll_no_interesting_tasks(cx).is_pending() {
                    return Poll::Pending;
                }
                if !(goes_on && can_call) {
                    return Poll::Ready(Ok(()));
                }
                if self.phase().0 != Phase::Idle {
                    self.enter(Phase::Idle);
                }
                return Poll::Pending;
            }
        })
        .await
    }

    /// Calls the guest. The future says whether it answered in time.
    fn begin<'a>(
        &self,
        accessor: &'a Accessor<Guest>,
        service: &'a Proxy,
        job: Job,
    ) -> wasmtime::Result<impl Future<Output = wasmtime::Result<bool>> + Send + use<'a>> {
        let Job { request, answer, place, deadline, traceparent, taken_by: _ } = job;
        let prepared = accessor.with(|mut access| {
            let mut store = access.as_context_mut();
            // What a request leaves to be done after its answer is not counted among those in progress:
            // an instance that is never idle could meet the engine's limit, and trap.
            let most = meter::max_records(&self.instances.shared.component.hints) / 2;
            if store.concurrent_state_table_size() > most {
                self.is_full.store(true, Ordering::Relaxed);
            }
            let guest = store.data_mut();
            guest.meter.refill();
            let active = guest.active.enter(traceparent);
            Prepared::new(store, service, request, Guest::http, answer)
                .map(|prepared| (prepared, active))
        });
        let (prepared, active) = prepared?;
        let has_expired = Arc::clone(&self.has_expired);
        Ok(prepared.run(accessor, async move {
            sleep_until(deadline).await;
            has_expired.store(true, Ordering::Relaxed);
            drop((active, place));
        }))
    }

    /// When the instance is over, should it do no more than what it does now.
    fn due(&self) -> Instant {
        let hints = &self.instances.shared.component.hints;
        let (phase, since) = self.phase();
        since
            + match phase {
                Phase::Idle => Duration::from_millis(hints.instance_idle_ms),
                Phase::Requests => {
                    Duration::from_millis(hints.deadline_ms) + limits::DEADLINE_GRACE
                }
                Phase::PostReturn if self.has_expired.load(Ordering::Relaxed) => {
                    limits::DEADLINE_GRACE
                }
                Phase::PostReturn => limits::POST_RETURN,
            }
    }

    /// Whether the instance has gone on for too long.
    fn poll_over(
        &self,
        mut timer: Pin<&mut Sleep>,
        cx: &mut Context<'_>,
    ) -> Poll<wasmtime::Result<()>> {
        let due = self.due();
        if timer.deadline() != due {
            timer.as_mut().reset(due);
        }
        ready!(timer.poll(cx));
        if self.phase().0 == Phase::Idle {
            return Poll::Ready(Ok(()));
        }
        self.was_stuck.store(true, Ordering::Relaxed);
        Poll::Ready(Err(wasmtime::format_err!("guest timed out")))
    }

    /// Lets others take what it was woken for. Later calls change nothing.
    fn retire(&self) {
        if !self.has_retired.swap(true, Ordering::Relaxed) {
            self.instances.start(self.instances.queue.retire(self.number));
        }
    }

    fn enter(&self, phase: Phase) {
        *self.phase.lock().unwrap_or_else(PoisonError::into_inner) = (phase, Instant::now());
    }

    fn phase(&self) -> (Phase, Instant) {
        *self.phase.lock().unwrap_or_else(PoisonError::into_inner)
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

    /// Counts and logs an end that was no part of the plan.
    fn mourn(&self, error: &wasmtime::Error, memory_bytes: usize) {
        let shared = &self.instances.shared;
        // When the node stops, instances are cut off: nothing went wrong with them.
        if shared.stopped.is_cancelled() {
            return;
        }
        let (component, kind) = (&shared.component.id, self.kind_of(error));
        shared
            .metrics
            .traps
            .get_or_create(&TrapLabels { component: component.clone(), kind })
            .inc();
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

/// What is held for an instance: its store, and its place among the others.
struct Held {
    life: Arc<Life>,
    store: Option<Store<Guest>>,
    place: Option<InstancePlace>,
}

impl Held {
    /// Takes the instance down.
    fn end(&mut self, result: wasmtime::Result<()>) {
        let Some(store) = self.store.take() else { return };
        let instances = &self.life.instances;
        let shared = &instances.shared;
        let label = ComponentLabel { component: shared.component.id.as_str().into() };
        shared.metrics.instances_live.get_or_create(&label).dec();
        let memory_bytes = store.data().meter.memory_bytes();
        let high_water = shared.metrics.memory_high_water_bytes.get_or_create_owned(&label);
        let bytes = i64::try_from(memory_bytes).unwrap_or(i64::MAX);
        high_water.set(high_water.get().max(bytes));
        take_down(store, memory_bytes, self.place.take());
        if let Err(error) = result {
            self.life.mourn(&error, memory_bytes);
        }
        self.life.retire();
        // There may have been no place for one before.
        instances.start(instances.queue.look_again());
    }
}

impl Drop for Held {
    /// The host's own code has panicked, or stops.
    fn drop(&mut self) {
        self.end(Err(wasmtime::format_err!("the instance was cut off")));
    }
}

/// Drops the store and then its place. Giving back the pages of a big one takes milliseconds, in which
/// the thread would serve nobody.
fn take_down(store: Store<Guest>, memory_bytes: usize, place: Option<InstancePlace>) {
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
