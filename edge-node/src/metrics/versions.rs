//! Requests by version, of components that have two: is the second one worse?

use std::sync::Arc;

use prometheus_client::encoding::EncodeLabelSet;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::histogram::Histogram;
use prometheus_client::registry::Registry;

use super::{LATENCY_BOUNDS_SECONDS, Seconds};

#[derive(Debug, Clone, Hash, PartialEq, Eq, EncodeLabelSet)]
struct VersionLabels {
    component: Arc<str>,
    version: Arc<str>,
}

#[derive(Debug, Clone, Hash, PartialEq, Eq, EncodeLabelSet)]
struct AnswerLabels {
    component: Arc<str>,
    version: Arc<str>,
    status: &'static str,
}

/// The series of this module.
pub(crate) struct VersionMetrics {
    requests: Family<AnswerLabels, Counter>,
    latency: Family<VersionLabels, Histogram, Seconds>,
}

impl VersionMetrics {
    pub(super) fn new() -> Self {
        let seconds: Seconds = || Histogram::new(LATENCY_BOUNDS_SECONDS);
        Self { requests: Family::default(), latency: Family::new_with_constructor(seconds) }
    }

    pub(super) fn register(&self, registry: &mut Registry) {
        let requests = "Answered requests of components with two versions";
        registry.register("edge_version_requests", requests, self.requests.clone());
        let latency = "Time to the end of their answers";
        registry.register("edge_version_request_seconds", latency, self.latency.clone());
    }

    /// Counts a request with the class of its status.
    pub(crate) fn count(
        &self,
        component: &Arc<str>,
        version: &Arc<str>,
        status: &'static str,
        seconds: f64,
    ) {
        let (component, version) = (Arc::clone(component), Arc::clone(version));
        let labels = VersionLabels { component, version };
        self.latency.get_or_create(&labels).observe(seconds);
        let VersionLabels { component, version } = labels;
        self.requests.get_or_create(&AnswerLabels { component, version, status }).inc();
    }
}
