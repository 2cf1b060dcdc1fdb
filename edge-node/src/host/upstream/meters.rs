//! What is counted about upstreams.

use std::sync::Arc;

use prometheus_client::encoding::EncodeLabelSet;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::registry::Registry;

/// An upstream by its origin, or `other`.
#[derive(Debug, Clone, Hash, PartialEq, Eq, EncodeLabelSet)]
pub(super) struct UpstreamLabel {
    pub(super) upstream: Arc<str>,
}

/// An upstream and the phase of its breaker.
#[derive(Debug, Clone, Hash, PartialEq, Eq, EncodeLabelSet)]
pub(super) struct BreakerLabels {
    pub(super) upstream: Arc<str>,
    /// `closed`, `open` or `half-open`.
    pub(super) state: &'static str,
}

/// One address of a configured upstream.
#[derive(Debug, Clone, Hash, PartialEq, Eq, EncodeLabelSet)]
pub(super) struct EndpointLabels {
    pub(super) upstream: Arc<str>,
    pub(super) address: Arc<str>,
}

/// What became of the wish to try again.
#[derive(Debug, Clone, Hash, PartialEq, Eq, EncodeLabelSet)]
pub(super) struct RetryLabels {
    pub(super) upstream: Arc<str>,
    /// `retried`, or `over-budget`.
    pub(super) outcome: &'static str,
}

/// The series of all upstreams.
#[derive(Default)]
pub(crate) struct UpstreamMetrics {
    /// Breakers by where they stand.
    pub(super) breakers: Family<BreakerLabels, Gauge>,
    /// How often one came to stand there.
    pub(super) breaker_transitions: Family<BreakerLabels, Counter>,
    /// Retries.
    pub(super) retries: Family<RetryLabels, Counter>,
    /// Connections opened.
    pub(super) connections: Family<UpstreamLabel, Counter>,
    /// Whether the checks of an address pass.
    pub(super) healthy: Family<EndpointLabels, Gauge>,
    /// Addresses ejected because requests failed in a row.
    pub(super) ejections: Family<EndpointLabels, Counter>,
    /// Requests sent though no address was healthy.
    pub(super) panics: Family<UpstreamLabel, Counter>,
}

impl UpstreamMetrics {
    /// Makes them part of what the node tells.
    pub(crate) fn register(&self, registry: &mut Registry) {
        let r = registry;
        r.register("edge_upstream_breakers", "Circuit breakers by state", self.breakers.clone());
        r.register(
            "edge_upstream_breaker_transitions",
            "Circuit breakers that came to a state",
            self.breaker_transitions.clone(),
        );
        r.register("edge_upstream_retries", "Retries by what became of them", self.retries.clone());
        r.register("edge_upstream_connections", "Connections opened", self.connections.clone());
        r.register(
            "edge_upstream_healthy",
            "Whether an address passes its checks",
            self.healthy.clone(),
        );
        r.register("edge_upstream_ejections", "Addresses ejected", self.ejections.clone());
        r.register(
            "edge_upstream_panics",
            "Requests sent though no address was healthy",
            self.panics.clone(),
        );
    }
}
