//! What the node counts, for `/metrics` on the admin listener.
//!
//! Labels come from the manifest or from closed sets, never from a client: the number of series is
//! bounded by the application.

mod application;
mod door;
mod versions;

use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicI64, AtomicU64};

use prometheus_client::encoding::EncodeLabelSet;
use prometheus_client::encoding::text::encode;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::metrics::histogram::Histogram;
use prometheus_client::registry::Registry;

use self::application::ApplicationMetrics;
use self::door::DoorMetrics;
use self::versions::VersionMetrics;
use crate::cache::Purge;
use crate::feed::FeedMetrics;
use crate::host::upstream::UpstreamMetrics;
use crate::known::KnownMetrics;

/// Upper bounds of the latency histogram: from a hit in instance memory to the longest deadline.
const LATENCY_BOUNDS_SECONDS: [f64; 13] =
    [0.000_25, 0.000_5, 0.001, 0.002_5, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 1.0, 5.0, 10.0];

/// One answered request.
#[derive(Debug, Clone, Hash, PartialEq, Eq, EncodeLabelSet)]
pub(crate) struct RequestLabels {
    /// The component's id, or `-` when the node answered.
    pub(crate) component: Arc<str>,
    /// The route as written, or `-`.
    pub(crate) route: Arc<str>,
    /// `2xx` and so on.
    pub(crate) status: &'static str,
}

/// A component by its id.
#[derive(Debug, Clone, Hash, PartialEq, Eq, EncodeLabelSet)]
pub(crate) struct ComponentLabel {
    /// The id.
    pub(crate) component: Arc<str>,
}

/// How an instance ended before its time.
#[derive(Debug, Clone, Hash, PartialEq, Eq, EncodeLabelSet)]
pub(crate) struct TrapLabels {
    /// The component's id.
    pub(crate) component: String,
    /// `cpu`, `memory`, `deadline` or `trap`.
    pub(crate) kind: &'static str,
}

/// How an outbound request ended.
#[derive(Debug, Clone, Hash, PartialEq, Eq, EncodeLabelSet)]
pub(crate) struct OutboundLabels {
    /// The component's id.
    pub(crate) component: String,
    /// `ok`, `denied`, or what failed.
    pub(crate) outcome: &'static str,
}

/// Why something of a client was refused.
#[derive(Debug, Clone, Hash, PartialEq, Eq, EncodeLabelSet)]
pub(crate) struct ClientRefusal {
    /// `rate`, `connections` or `uploads`.
    pub(crate) reason: &'static str,
}

/// How a request was spared.
#[derive(Debug, Clone, Hash, PartialEq, Eq, EncodeLabelSet)]
pub(crate) struct CollapseLabel {
    /// `flight` (shared one in progress) or `linger` (served by one just finished).
    pub(crate) kind: &'static str,
}

/// A key-value store.
#[derive(Debug, Clone, Hash, PartialEq, Eq, EncodeLabelSet)]
pub(crate) struct StoreLabel {
    /// The label.
    pub(crate) store: String,
}

/// What the cache did about a request.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum CacheOutcome {
    /// A fresh answer was there.
    Hit,
    /// A stale one was given.
    Stale,
    /// Another request's fetch served this one.
    Collapsed,
    /// A function was asked.
    Miss,
    /// It had nothing to do with the cache.
    Bypass,
}

impl CacheOutcome {
    const ALL: [Self; 5] = [Self::Hit, Self::Stale, Self::Collapsed, Self::Miss, Self::Bypass];

    /// In one word.
    pub(crate) const fn word(self) -> &'static str {
        match self {
            Self::Hit => "hit",
            Self::Stale => "stale",
            Self::Collapsed => "collapsed",
            Self::Miss => "miss",
            Self::Bypass => "bypass",
        }
    }
}

/// The same as a label.
#[derive(Debug, Clone, Hash, PartialEq, Eq, EncodeLabelSet)]
pub(crate) struct CacheLabel {
    /// The word.
    pub(crate) outcome: &'static str,
}

/// Counts by what the cache did. All series are there from the start, so that counting one is an addition.
pub(crate) struct CacheRequests {
    family: Family<CacheLabel, Counter>,
    by_outcome: [Counter; CacheOutcome::ALL.len()],
}

impl CacheRequests {
    fn new() -> Self {
        let family = Family::<CacheLabel, Counter>::default();
        let by_outcome = CacheOutcome::ALL
            .map(|it| family.get_or_create_owned(&CacheLabel { outcome: it.word() }));
        Self { family, by_outcome }
    }

    /// Counts a request.
    pub(crate) fn count(&self, outcome: CacheOutcome) {
        self.by_outcome[outcome as usize].inc();
    }
}

/// A purge.
#[derive(Debug, Clone, Hash, PartialEq, Eq, EncodeLabelSet)]
pub(crate) struct PurgeLabel {
    /// `soft` or `hard`.
    pub(crate) kind: &'static str,
}

impl PurgeLabel {
    /// The label of a kind.
    pub(crate) const fn new(kind: Purge) -> Self {
        let kind = match kind {
            Purge::Soft => "soft",
            Purge::Hard => "hard",
        };
        Self { kind }
    }
}

/// An operation on a key-value store.
#[derive(Debug, Clone, Hash, PartialEq, Eq, EncodeLabelSet)]
pub(crate) struct StoreOperation {
    /// Its name in the interface.
    pub(crate) operation: &'static str,
}

type Seconds = fn() -> Histogram;

/// Every series. Shared by all parts of one node.
pub(crate) struct Metrics {
    registry: Registry,
    /// The application and its reloads.
    pub(crate) application: ApplicationMetrics,
    /// Handshakes.
    pub(crate) door: DoorMetrics,
    /// Components with two versions.
    pub(crate) versions: VersionMetrics,
    /// Answered requests.
    pub(crate) requests: Family<RequestLabels, Counter>,
    /// Seconds from a request's head to the end of its answer.
    pub(crate) latency: Family<ComponentLabel, Histogram, Seconds>,
    /// Requests in progress.
    pub(crate) in_flight: Gauge,
    /// Open client connections.
    pub(crate) connections: Gauge,
    /// Instances started.
    pub(crate) instances_started: Family<ComponentLabel, Counter>,
    /// Instances alive.
    pub(crate) instances_live: Family<ComponentLabel, Gauge>,
    /// Instances that ended before their time.
    pub(crate) traps: Family<TrapLabels, Counter>,
    /// The linear memory of all instances alive.
    pub(crate) instance_memory_bytes: Family<ComponentLabel, Gauge>,
    /// The bytes of request bodies that are in the node.
    pub(crate) body_bytes: Gauge,
    /// Outbound requests in progress.
    pub(crate) outbound_in_flight: Family<ComponentLabel, Gauge>,
    /// Requests and connections refused because their client has too many.
    pub(crate) clients_refused: Family<ClientRefusal, Counter>,
    /// Clients whose rate is watched.
    pub(crate) rated_clients: Gauge,
    /// Requests refused because too many were in progress.
    pub(crate) rejected: Family<ComponentLabel, Counter>,
    /// The most linear memory that any instance held when it ended or last took a request.
    pub(crate) memory_high_water_bytes: Family<ComponentLabel, Gauge>,
    /// Outbound requests.
    pub(crate) outbound: Family<OutboundLabels, Counter>,
    /// Breakers, retries, connections and addresses.
    pub(crate) upstreams: UpstreamMetrics,
    /// Outbound requests that were spared.
    pub(crate) collapsed: Family<CollapseLabel, Counter>,
    /// Operations on key-value stores.
    pub(crate) store_operations: Family<StoreOperation, Counter>,
    /// Operations that a store did not answer.
    pub(crate) store_failures: Family<StoreLabel, Counter>,
    /// Requests that the cache was asked about.
    pub(crate) cache_requests: CacheRequests,
    /// Answers that the cache asked functions for.
    pub(crate) cache_fetches: Counter,
    /// Purges by tag and of everything.
    pub(crate) cache_purges: Family<PurgeLabel, Counter>,
    /// What all stored answers take in memory.
    pub(crate) cache_bytes: Gauge,
    /// URIs with stored answers.
    pub(crate) cache_entries: Gauge,
    /// How the feed fares.
    pub(crate) feed: FeedMetrics,
    /// The filter of known ids.
    pub(crate) known: KnownMetrics,
}

impl Metrics {
    /// All series at zero.
    pub(crate) fn new() -> Self {
        let mut metrics = Self {
            registry: Registry::default(),
            application: ApplicationMetrics::default(),
            door: DoorMetrics::default(),
            versions: VersionMetrics::new(),
            requests: Family::default(),
            latency: Family::new_with_constructor(|| Histogram::new(LATENCY_BOUNDS_SECONDS)),
            in_flight: Gauge::<i64, AtomicI64>::default(),
            connections: Gauge::<i64, AtomicI64>::default(),
            instances_started: Family::default(),
            instances_live: Family::default(),
            traps: Family::default(),
            instance_memory_bytes: Family::default(),
            body_bytes: Gauge::default(),
            outbound_in_flight: Family::default(),
            clients_refused: Family::default(),
            rated_clients: Gauge::default(),
            rejected: Family::default(),
            memory_high_water_bytes: Family::default(),
            outbound: Family::default(),
            upstreams: UpstreamMetrics::default(),
            collapsed: Family::default(),
            store_operations: Family::<StoreOperation, Counter<u64, AtomicU64>>::default(),
            store_failures: Family::default(),
            cache_requests: CacheRequests::new(),
            cache_fetches: Counter::default(),
            cache_purges: Family::default(),
            cache_bytes: Gauge::default(),
            cache_entries: Gauge::default(),
            feed: FeedMetrics::default(),
            known: KnownMetrics::default(),
        };
        metrics.register();
        metrics
    }

    fn register(&mut self) {
        let r = &mut self.registry;
        self.application.register(r);
        self.door.register(r);
        self.versions.register(r);
        r.register("edge_requests", "Answered requests", self.requests.clone());
        r.register("edge_request_seconds", "Time to the end of an answer", self.latency.clone());
        r.register("edge_requests_in_flight", "Requests in progress", self.in_flight.clone());
        r.register("edge_connections", "Open client connections", self.connections.clone());
        r.register("edge_instances_started", "Instances started", self.instances_started.clone());
        r.register("edge_instances_live", "Instances alive", self.instances_live.clone());
        r.register("edge_traps", "Instances ended before their time", self.traps.clone());
        r.register("edge_rejected", "Requests refused as too many", self.rejected.clone());
        let help = "Requests and connections refused as too many of one client";
        r.register("edge_clients_refused", help, self.clients_refused.clone());
        let help = "Clients whose rate is watched";
        r.register("edge_rated_clients", help, self.rated_clients.clone());
        let help = "Linear memory of the instances alive";
        r.register("edge_instance_memory_bytes", help, self.instance_memory_bytes.clone());
        r.register("edge_body_bytes", "Request bodies in the node", self.body_bytes.clone());
        let help = "Outbound requests in progress";
        r.register("edge_outbound_in_flight", help, self.outbound_in_flight.clone());
        r.register(
            "edge_instance_memory_high_water_bytes",
            "The most linear memory that an instance held",
            self.memory_high_water_bytes.clone(),
        );
        r.register("edge_outbound_requests", "Outbound requests", self.outbound.clone());
        self.upstreams.register(r);
        r.register("edge_outbound_collapsed", "Outbound requests spared", self.collapsed.clone());
        r.register(
            "edge_key_value_operations",
            "Operations on key-value stores",
            self.store_operations.clone(),
        );
        r.register(
            "edge_key_value_failures",
            "Operations that a store did not answer",
            self.store_failures.clone(),
        );
        r.register(
            "edge_cache_requests",
            "Requests by what the cache did",
            self.cache_requests.family.clone(),
        );
        r.register("edge_cache_fetches", "Answers asked of functions", self.cache_fetches.clone());
        r.register("edge_cache_purges", "Purges", self.cache_purges.clone());
        r.register("edge_cache_stored_bytes", "Memory of stored answers", self.cache_bytes.clone());
        r.register("edge_cache_uris", "URIs with stored answers", self.cache_entries.clone());
        self.feed.register(r);
        self.known.register(r);
    }

    /// The OpenMetrics text.
    ///
    /// # Errors
    /// When a metric cannot be written, which the library reserves the right to.
    pub(crate) fn text(&self) -> Result<String, fmt::Error> {
        let mut text = String::new();
        encode(&mut text, &self.registry)?;
        Ok(text)
    }
}

impl Default for Metrics {
    fn default() -> Self {
        Self::new()
    }
}
