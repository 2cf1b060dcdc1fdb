//! The instances of each component, and the way a request takes to one of them.
//!
//! Invariants:
//! - at most as many requests of a component are in progress as its hint `max_requests` says, counted
//!   from their start to the end of their answer's body, whether or not the client still waits;
//! - a component has no more instances and bytes of bodies than its `share` of them;
//! - a request is answered or given up by its deadline, whatever the guest does;
//! - a guest that traps, hogs or loops takes down its own instance and nothing else.
//!
//! Start at [`Pool::call`]; `queue` says who takes a request and when another instance starts, `instance` is
//! the life of one, `meter` the budgets, `guest` the data of one instance.

mod background;
mod guest;
mod instance;
mod meter;
mod queue;

use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use futures::channel::oneshot;
use http::{HeaderValue, Request, Response};
use http_body::Body as _;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::time::{Instant, timeout, timeout_at};
use wasmtime::PoolConcurrencyLimitError;
use wasmtime::component::{Component, Linker};
use wasmtime_wasi_http::WasiBody;
use wasmtime_wasi_http::handler::{ExpirationError, TrapOrPanicError};
use wasmtime_wasi_http::p3::bindings::ServicePre;

pub(crate) use self::background::Background;
pub(crate) use self::guest::{Active, Guest, Shared};
use self::instance::InstancePlace;
use self::queue::{Answered, Job, Queue, TakenBy};
use crate::body::guarded;
use crate::metrics::ComponentLabel;
use crate::problem::Problem;
use crate::trace::TraceId;
use crate::{limits, manifest};

/// Whether a compiled component fits this host: a component that can be instantiated.
///
/// # Errors
/// Names the import that this host does not offer, or the export that is missing.
pub(crate) fn link(
    linker: &Linker<Guest>,
    compiled: &Component,
) -> wasmtime::Result<ServicePre<Guest>> {
    ServicePre::new(linker.instantiate_pre(compiled)?)
}

/// One component: its instances, and the bounds of what is asked of them.
pub(crate) struct Pool {
    instances: Arc<Instances>,
    places: Arc<Semaphore>,
    waiting: AtomicUsize,
}

impl Pool {
    /// Links a compiled component; starts no instance yet.
    ///
    /// # Errors
    /// Names the import that this host does not offer, or the export that is missing.
    pub(crate) fn new(
        linker: &Linker<Guest>,
        compiled: &Component,
        shared: Arc<Shared>,
    ) -> wasmtime::Result<Self> {
        let component = link(linker, compiled)?;
        let hints = &shared.component.hints;
        // More could only wait for an instance, and that is what the queue is for.
        let at_most = hints.max_instances.saturating_mul(hints.instance_concurrency);
        let places = Arc::new(Semaphore::new(hints.max_requests.min(at_most)));
        let threads = tokio::runtime::Handle::current().metrics().num_workers();
        let at_a_time = hints.instance_concurrency.min(hints.requests_per_instance);
        let queue = Queue::new(threads, at_a_time);
        let instance_places = Arc::new(Semaphore::new(hints.max_instances));
        let instances = Instances { shared, component, queue, places: instance_places };
        Ok(Self { instances: Arc::new(instances), places, waiting: AtomicUsize::new(0) })
    }

    /// The component as the manifest has it.
    pub(crate) fn component(&self) -> &manifest::Component {
        &self.instances.shared.component
    }

    /// Has an instance answer `request`. The body of the answer may still be on its way; it fails
    /// if the instance does.
    ///
    /// # Errors
    /// The problem to answer with; its cause is logged here.
    pub(crate) async fn call(
        &self,
        request: Request<WasiBody>,
        trace: TraceId,
        traceparent: HeaderValue,
    ) -> Result<Response<WasiBody>, Problem> {
        let request = self.hold_body(request)?;
        let place = Arc::new(self.place().await?);
        let deadline = Instant::now() + Duration::from_millis(self.component().hints.deadline_ms);
        let taken_by = TakenBy::default();
        let (answer, answered) = oneshot::channel();
        let job = Job {
            request,
            answer,
            place: Arc::clone(&place),
            deadline,
            traceparent,
            taken_by: Arc::clone(&taken_by),
        };
        match timeout_at(deadline, self.handle(job, answered)).await {
            Ok(Ok(response)) => Ok(response.map(|body| guarded(body, place))),
            Ok(Err(error)) => Err(self.explain(&error, trace, taken_by.get().copied())),
            Err(_) => Err(Problem::FunctionTimeout),
        }
    }

    /// Has an instance take a request. While no more may be started, those that are there are waited for.
    async fn handle(&self, job: Job, mut answered: oneshot::Receiver<Answered>) -> Answered {
        let Instances { queue, .. } = &*self.instances;
        let patience = Instant::now() + Duration::from_millis(self.component().hints.queue_wait_ms);
        let queued = Queued { queue, taken_by: Arc::clone(&job.taken_by) };
        let cut_off = |_| Err(TrapOrPanicError.into());
        self.instances.start(queue.push(job));
        while !queued.is_taken() {
            if let Ok(answer) = timeout(limits::START_PATIENCE, &mut answered).await {
                return answer.unwrap_or_else(cut_off);
            }
            self.instances.start(queue.look_again());
            let is_crowded = || !queue.is_starting() && self.instances.place().is_err();
            if Instant::now() >= patience && is_crowded() && !queued.is_taken() {
                return Err(TooManyInstances.into());
            }
        }
        answered.await.unwrap_or_else(cut_off)
    }

    /// Counts the body, if it is there already, among those that the component makes wait.
    fn hold_body(&self, request: Request<WasiBody>) -> Result<Request<WasiBody>, Problem> {
        let bytes = u32::try_from(request.body().size_hint().lower()).unwrap_or(u32::MAX);
        if bytes == 0 {
            return Ok(request);
        }
        let held = self.instances.shared.shares.body_bytes.try_acquire(bytes);
        let held = held.ok_or_else(|| self.reject())?;
        Ok(request.map(|body| guarded(body, held)))
    }

    /// A place among the requests in progress, or the news that there is none.
    async fn place(&self) -> Result<OwnedSemaphorePermit, Problem> {
        if let Ok(place) = Arc::clone(&self.places).try_acquire_owned() {
            return Ok(place);
        }
        let waiting = Waiting::join(&self.waiting);
        let hints = &self.component().hints;
        if waiting.0 < hints.max_queue {
            let place = Arc::clone(&self.places).acquire_owned();
            if let Ok(place) = timeout(Duration::from_millis(hints.queue_wait_ms), place).await {
                return Ok(place.expect("the semaphore is never closed"));
            }
        }
        Err(self.reject())
    }

    fn reject(&self) -> Problem {
        let label = ComponentLabel { component: self.component().id.as_str().into() };
        self.instances.shared.metrics.rejected.get_or_create(&label).inc();
        Problem::Overloaded
    }

    fn explain(&self, error: &wasmtime::Error, trace: TraceId, instance: Option<u64>) -> Problem {
        if error.downcast_ref::<ExpirationError>().is_some() {
            return Problem::FunctionTimeout;
        }
        if is_crowded(error) {
            return self.reject();
        }
        let component = &self.component().id;
        let error = format!("{error:#}");
        tracing::warn!(%component, instance, trace_id = %trace, error, "function failed");
        Problem::FunctionFailed
    }
}

/// Whether a request failed because there may be no more instances.
fn is_crowded(error: &wasmtime::Error) -> bool {
    error.downcast_ref::<TooManyInstances>().is_some()
        || error.downcast_ref::<PoolConcurrencyLimitError>().is_some()
}

/// The instances of one component.
struct Instances {
    shared: Arc<Shared>,
    component: ServicePre<Guest>,
    queue: Queue,
    /// How many the component may have by its own hint.
    places: Arc<Semaphore>,
}

impl Instances {
    /// Starts as many instances as the queue wants, if there is place for them. If not, there may be later:
    /// whoever waits looks again.
    fn start(self: &Arc<Self>, wanted: usize) {
        let starts: Vec<_> = (0..wanted).map(|_| Start(Arc::clone(self))).collect();
        // None while the runtime is being taken down.
        let Ok(runtime) = tokio::runtime::Handle::try_current() else { return };
        for start in starts {
            let Ok(place) = self.place() else { return };
            runtime.spawn(start.run(place));
        }
    }

    /// A place among the component's instances, and among all.
    fn place(&self) -> Result<InstancePlace, TooManyInstances> {
        let own = Arc::clone(&self.places).try_acquire_owned().map_err(|_| TooManyInstances)?;
        let shared = self.shared.shares.instances.try_acquire(1).ok_or(TooManyInstances)?;
        Ok((own, shared))
    }
}

/// The component has as many instances as it may.
#[derive(Debug)]
struct TooManyInstances;

impl fmt::Display for TooManyInstances {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "the component has as many instances as it may")
    }
}

impl std::error::Error for TooManyInstances {}

/// An instance that the queue wants. Its drop tells the queue that it is started no more.
struct Start(Arc<Instances>);

impl Start {
    async fn run(self, place: InstancePlace) {
        let instances = Arc::clone(&self.0);
        let started = instance::start(&instances, place).await;
        drop(self);
        let error = match started {
            Ok(instance) => return instance.run().await,
            Err(error) => error,
        };
        if let Some(job) = instances.queue.give_up_one() {
            // A caller that left needs no answer.
            job.answer.send(Err(error)).ok();
            instances.start(instances.queue.look_again());
        } else {
            let component = &instances.shared.component.id;
            tracing::warn!(component, error = format!("{error:#}"), "instance did not start");
        }
    }
}

impl Drop for Start {
    fn drop(&mut self) {
        self.0.queue.start_is_over();
    }
}

/// A request in the queue. Its drop takes it out again, if nobody has taken it.
struct Queued<'a> {
    queue: &'a Queue,
    taken_by: TakenBy,
}

impl Queued<'_> {
    fn is_taken(&self) -> bool {
        self.taken_by.get().is_some()
    }
}

impl Drop for Queued<'_> {
    fn drop(&mut self) {
        if !self.is_taken() {
            self.queue.forget(&self.taken_by);
        }
    }
}

/// One of the requests that wait for a place, and how many there were before it.
struct Waiting<'a>(usize, &'a AtomicUsize);

impl<'a> Waiting<'a> {
    fn join(count: &'a AtomicUsize) -> Self {
        Self(count.fetch_add(1, Ordering::Relaxed), count)
    }
}

impl Drop for Waiting<'_> {
    fn drop(&mut self) {
        self.1.fetch_sub(1, Ordering::Relaxed);
    }
}
