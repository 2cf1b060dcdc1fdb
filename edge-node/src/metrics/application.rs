//! Which application is served, and how its reloads ended.

use std::sync::atomic::AtomicI64;

use prometheus_client::encoding::EncodeLabelSet;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::registry::Registry;

use crate::site::Identity;

#[derive(Debug, Clone, Hash, PartialEq, Eq, EncodeLabelSet)]
struct ApplicationLabels {
    name: String,
    version: String,
}

#[derive(Debug, Clone, Hash, PartialEq, Eq, EncodeLabelSet)]
struct ReloadLabels {
    what: &'static str,
    outcome: &'static str,
}

/// The series of this module.
#[derive(Default)]
pub(crate) struct ApplicationMetrics {
    served: Family<ApplicationLabels, Gauge<i64, AtomicI64>>,
    generation: Gauge<i64, AtomicI64>,
    reloads: Family<ReloadLabels, Counter>,
}

impl ApplicationMetrics {
    pub(super) fn register(&self, registry: &mut Registry) {
        registry.register("edge_application", "The one that is served", self.served.clone());
        registry.register(
            "edge_application_generation",
            "Counted from 1, by one for each reload that changed something",
            self.generation.clone(),
        );
        registry.register("edge_reloads", "Reloads by how they ended", self.reloads.clone());
    }

    /// Another application serves from now on.
    pub(crate) fn serve(&self, identity: &Identity) {
        let Identity { application, version, generation } = identity;
        let labels = ApplicationLabels { name: application.clone(), version: version.clone() };
        self.served.clear();
        self.served.get_or_create(&labels).set(1);
        self.generation.set(i64::try_from(*generation).unwrap_or(i64::MAX));
    }

    /// A reload of the `application` or the `certificate` ended as `reloaded`, `unchanged` or `failed`.
    pub(crate) fn count_reload(&self, what: &'static str, outcome: &'static str) {
        self.reloads.get_or_create(&ReloadLabels { what, outcome }).inc();
    }
}
