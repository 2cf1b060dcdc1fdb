//! The instances of each component, and the way a request takes to one of them.
//!
//! wasmtime-wasi-http's `ProxyHandler` starts, reuses and drops instances but knows no
//! backpressure; [`Pool`] puts it there. Invariants:
//! - at most as many requests of a component are in progress as its hint `max_requests` says, counted
//!   from their start to the end of their answer's body, whether or not the client still waits;
//! - a component has no more instances and bytes of bodies than its `share` of them;
//! - a request is answered or given up by its deadline, whatever the guest does;
//! - a guest that traps, hogs or loops takes down its own instance and nothing else.
//!
//! Start at [`Pool::call`]; `worker` is what `ProxyHandler` asks of us, `meter` the budgets, `guest`
//! the data of one instance.

mod background;
mod guest;
mod meter;
mod worker;

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, OnceLock, PoisonError};
use std::time::Duration;

use http::{HeaderValue, Request, Response};
use http_body::Body as _;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::time::{Instant, sleep, timeout, timeout_at};
use wasmtime::PoolConcurrencyLimitError;
use wasmtime::component::{Component, Linker};
use wasmtime_wasi_http::WasiBody;
use wasmtime_wasi_http::handler::{ExpirationError, InstantiationError, ProxyHandler, ProxyPre};
use wasmtime_wasi_http::p3::bindings::ServicePre;

pub(crate) use self::background::Background;
pub(crate) use self::guest::{Active, Guest, Shared};
pub(crate) use self::worker::Task;
use self::worker::Turn;
use self::worker::{Spawner, TooManyInstances};
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

/// All instances of one component.
pub(crate) struct Pool {
    shared: Arc<Shared>,
    handler: ProxyHandler<Spawner>,
    places: Arc<Semaphore>,
    waiting: AtomicUsize,
    dispatch: Arc<Semaphore>,
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
        let service = link(linker, compiled)?;
        let hints = &shared.component.hints;
        // More could only wait for an instance, and that is what the queue is for.
        let at_most = hints.max_instances.saturating_mul(hints.instance_concurrency);
        let places = Arc::new(Semaphore::new(hints.max_requests.min(at_most)));
        let spawner = Spawner::new(Arc::clone(&shared), ProxyPre::P3(service));
        Ok(Self {
            shared,
            handler: ProxyHandler::new(spawner),
            places,
            waiting: AtomicUsize::new(0),
            dispatch: Arc::new(Semaphore::new(limits::DISPATCH_WIDTH)),
        })
    }

    /// The component as the manifest has it.
    pub(crate) fn component(&self) -> &manifest::Component {
        &self.shared.component
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
        let deadline_ms = self.shared.component.hints.deadline_ms;
        let deadline = Instant::now() + Duration::from_millis(deadline_ms);
        let taken_by = Arc::new(OnceLock::new());
        let answered = timeout_at(deadline, async {
            let dispatch = Arc::clone(&self.dispatch).acquire_owned().await;
            let dispatch = dispatch.expect("the semaphore is never closed");
            let taken_by = Arc::clone(&taken_by);
            let turn = Turn::new(dispatch);
            let place = Arc::clone(&place);
            let task = Task { place, turn: turn.clone(), deadline, traceparent, taken_by };
            let mut handled = std::pin::pin!(self.handle(task, request));
            if let Ok(answer) = timeout(limits::DISPATCH_PATIENCE, &mut handled).await {
                return answer;
            }
            turn.give_back();
            handled.await
        })
        .await;
        match answered {
            Ok(Ok(response)) => Ok(response.map(|body| guarded(body, place))),
            Ok(Err(error)) => Err(self.explain(&error, trace, taken_by.get().copied())),
            Err(_) => Err(Problem::FunctionTimeout),
        }
    }

    /// Hands a request to an instance. While no more may be started, those that are there are waited for.
    async fn handle(
        &self,
        mut task: Task,
        mut request: Request<WasiBody>,
    ) -> Result<Response<WasiBody>, wasmtime::Error> {
        let patience = Instant::now() + Duration::from_millis(self.component().hints.queue_wait_ms);
        loop {
            let error = match self.handler.handle(task, request).await {
                Ok(response) => return Ok(response),
                Err(error) => error,
            };
            if !is_crowded(&error) || Instant::now() >= patience {
                return Err(error);
            }
            let refused = error.downcast::<InstantiationError<Task>>()?;
            task = refused.request_data;
            request = refused.request.into_inner().unwrap_or_else(PoisonError::into_inner);
            sleep(limits::INSTANCE_RETRY).await;
        }
    }

    /// Counts the body, if it is there already, among those that the component makes wait.
    fn hold_body(&self, request: Request<WasiBody>) -> Result<Request<WasiBody>, Problem> {
        let bytes = u32::try_from(request.body().size_hint().lower()).unwrap_or(u32::MAX);
        if bytes == 0 {
            return Ok(request);
        }
        let held = self.shared.shares.body_bytes.try_acquire(bytes);
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
        let label = ComponentLabel { component: self.shared.component.id.as_str().into() };
        self.shared.metrics.rejected.get_or_create(&label).inc();
        Problem::Overloaded
    }

    fn explain(&self, error: &wasmtime::Error, trace: TraceId, instance: Option<u64>) -> Problem {
        if error.downcast_ref::<ExpirationError>().is_some() {
            return Problem::FunctionTimeout;
        }
        if is_crowded(error) {
            return self.reject();
        }
        let component = &self.shared.component.id;
        let error = format!("{error:#}");
        tracing::warn!(%component, instance, trace_id = %trace, error, "function failed");
        Problem::FunctionFailed
    }
}

/// Whether a request failed because there may be no more instances.
fn is_crowded(error: &wasmtime::Error) -> bool {
    error.downcast_ref::<InstantiationError<Task>>().is_some_and(|failed| {
        failed.error.downcast_ref::<TooManyInstances>().is_some()
            || failed.error.downcast_ref::<PoolConcurrencyLimitError>().is_some()
    })
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
