//! The instances of each component, and the way a request takes to one of them.
//!
//! wasmtime-wasi-http's `ProxyHandler` starts, reuses and drops instances but knows no
//! backpressure; [`Pool`] puts it there. Invariants:
//! - at most [`limits::MAX_COMPONENT_REQUESTS`] requests of a component are in progress, counted
//!   from their start to the end of their answer's body, whether or not the client still waits;
//! - a request is answered or given up by its deadline, whatever the guest does;
//! - a guest that traps, hogs or loops takes down its own instance and nothing else.
//!
//! Start at [`Pool::call`]; `worker` is what `ProxyHandler` asks of us, `meter` the budgets, `guest`
//! the data of one instance.

mod guest;
mod meter;
mod worker;

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use http::{HeaderValue, Request, Response};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::time::{Instant, timeout, timeout_at};
use wasmtime::PoolConcurrencyLimitError;
use wasmtime::component::{Component, Linker};
use wasmtime_wasi_http::WasiBody;
use wasmtime_wasi_http::handler::{ExpirationError, InstantiationError, ProxyHandler, ProxyPre};
use wasmtime_wasi_http::p3::bindings::ServicePre;

pub(crate) use self::guest::{Active, Guest, Shared};
use self::worker::Spawner;
pub(crate) use self::worker::Task;
use self::worker::Turn;
use crate::body::guarded;
use crate::metrics::ComponentLabel;
use crate::problem::Problem;
use crate::trace::TraceId;
use crate::{limits, manifest};

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
        let service = ServicePre::new(linker.instantiate_pre(compiled)?)?;
        let spawner = Spawner::new(Arc::clone(&shared), ProxyPre::P3(service));
        Ok(Self {
            shared,
            handler: ProxyHandler::new(spawner),
            places: Arc::new(Semaphore::new(limits::MAX_COMPONENT_REQUESTS)),
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
            let mut handled = std::pin::pin!(self.handler.handle(task, request));
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

    /// A place among the requests in progress, or the news that there is none.
    async fn place(&self) -> Result<OwnedSemaphorePermit, Problem> {
        if let Ok(place) = Arc::clone(&self.places).try_acquire_owned() {
            return Ok(place);
        }
        let waiting = Waiting::join(&self.waiting);
        if waiting.0 < limits::MAX_COMPONENT_QUEUE {
            let place = Arc::clone(&self.places).acquire_owned();
            if let Ok(place) = timeout(limits::QUEUE_WAIT, place).await {
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
        if let Some(failed) = error.downcast_ref::<InstantiationError<Task>>()
            && failed.error.downcast_ref::<PoolConcurrencyLimitError>().is_some()
        {
            return self.reject();
        }
        let component = &self.shared.component.id;
        let error = format!("{error:#}");
        tracing::warn!(%component, instance, trace_id = %trace, error, "function failed");
        Problem::FunctionFailed
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
