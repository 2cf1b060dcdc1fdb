//! The data of one instance, and what it shares with the others of its component.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use http::HeaderValue;
use tokio_util::sync::CancellationToken;
use wasmtime::Engine;
use wasmtime_wasi::{ResourceTable, WasiCtx, WasiCtxView, WasiView};
use wasmtime_wasi_http::{WasiHttpCtx, WasiHttpCtxView, WasiHttpView};

use super::background::{Background, Place};
use super::meter::Meter;
use crate::cache::Cache;
use crate::host::key_value::Stores;
use crate::host::outbound::{Network, Outbound};
use crate::host::output::{Listener, Output};
use crate::known::Known;
use crate::limits;
use crate::manifest::Component;
use crate::metrics::{ComponentLabel, Metrics};
use crate::share::Shares;
use crate::site::SiteLink;

/// What the instances of one component share.
pub(crate) struct Shared {
    /// The engine that runs them.
    pub(crate) engine: Engine,
    /// The component as the manifest has it.
    pub(crate) component: Component,
    /// The key-value stores of the application.
    pub(crate) stores: Arc<Stores>,
    /// What purges are asked of.
    pub(crate) cache: Arc<Cache>,
    /// Which ids exist.
    pub(crate) known: Arc<Known>,
    /// The way out.
    pub(crate) network: Arc<Network>,
    /// The way to the application's own components.
    pub(crate) site: SiteLink,
    /// What it may have of the node's pools.
    pub(crate) shares: Shares,
    /// Where its instances go on that compute for long.
    pub(crate) background: Background,
    /// Where everything is counted.
    pub(crate) metrics: Arc<Metrics>,
    /// Who hears what they write, beside the log.
    pub(crate) listener: Option<Listener>,
    /// The node is gone.
    pub(crate) stopped: CancellationToken,
}

/// The data of one instance.
pub(crate) struct Guest {
    pub(crate) shared: Arc<Shared>,
    pub(crate) table: ResourceTable,
    /// Handles of key-value stores that the guest holds.
    pub(crate) open_stores: usize,
    pub(super) meter: Meter,
    pub(super) active: Active,
    wasi: WasiCtx,
    http: WasiHttpCtx,
    outbound: Outbound,
}

impl Guest {
    pub(super) fn new(shared: &Arc<Shared>) -> Self {
        let component = &shared.component;
        let output = |stream| Output::new(&component.id, stream, shared.listener.clone());
        let wasi = WasiCtx::builder()
            .envs(&component.environment)
            .stdout(output("stdout"))
            .stderr(output("stderr"))
            .build();
        let memory_bytes = usize::try_from(component.hints.memory_mb << 20).unwrap_or(usize::MAX);
        let cpu_budget = Duration::from_millis(component.hints.cpu_budget_ms);
        let place = Place::new(&shared.background);
        let label = ComponentLabel { component: component.id.as_str().into() };
        let live_bytes = shared.metrics.instance_memory_bytes.get_or_create_owned(&label);
        let active = Active::default();
        let mut http = WasiHttpCtx::new();
        http.set_field_size_limit(limits::MAX_FIELDS_BYTES);
        Self {
            shared: Arc::clone(shared),
            table: ResourceTable::new(),
            open_stores: 0,
            meter: Meter::new(memory_bytes, cpu_budget, place, live_bytes),
            wasi,
            http,
            outbound: Outbound::new(Arc::clone(shared), active.clone()),
            active,
        }
    }
}

impl WasiView for Guest {
    fn ctx(&mut self) -> WasiCtxView<'_> {
        WasiCtxView { ctx: &mut self.wasi, table: &mut self.table }
    }
}

impl WasiHttpView for Guest {
    fn http(&mut self) -> WasiHttpCtxView<'_> {
        WasiHttpCtxView { hooks: &mut self.outbound, table: &mut self.table, ctx: &mut self.http }
    }
}

/// The requests that an instance has taken and not answered, by their `traceparent`.
#[derive(Debug, Clone, Default)]
pub(crate) struct Active(Arc<Mutex<Vec<HeaderValue>>>);

impl Active {
    /// Notes a request until the returned guard is dropped.
    pub(super) fn enter(&self, traceparent: HeaderValue) -> ActiveGuard {
        self.with(|active| active.push(traceparent.clone()));
        ActiveGuard { active: self.clone(), traceparent }
    }

    /// The `traceparent` of the only request, when there is exactly one. Of several, the host
    /// cannot tell which one an outbound request belongs to.
    pub(crate) fn only(&self) -> Option<HeaderValue> {
        self.with(|active| match active.as_slice() {
            [only] => Some(only.clone()),
            _ => None,
        })
    }

    fn with<R>(&self, use_list: impl FnOnce(&mut Vec<HeaderValue>) -> R) -> R {
        use_list(&mut self.0.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

/// Its drop says that the request is answered or given up.
#[derive(Debug)]
pub(super) struct ActiveGuard {
    active: Active,
    traceparent: HeaderValue,
}

impl Drop for ActiveGuard {
    fn drop(&mut self) {
        self.active.with(|active| {
            if let Some(index) = active.iter().position(|other| *other == self.traceparent) {
                active.swap_remove(index);
            }
        });
    }
}
