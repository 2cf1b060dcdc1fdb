//! What is counted of the known ids, for `/metrics`.

use prometheus_client::encoding::EncodeLabelSet;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::registry::Registry;

#[derive(Debug, Clone, Hash, PartialEq, Eq, EncodeLabelSet)]
struct AnswerLabel {
    answer: &'static str,
}

/// The series of this module.
#[derive(Default)]
pub(crate) struct KnownMetrics {
    ids: Gauge,
    as_of_s: Gauge,
    fetches: Counter,
    failures: Counter,
    answers: Family<AnswerLabel, Counter>,
}

impl KnownMetrics {
    /// Adds the series to those of the node.
    pub(crate) fn register(&self, r: &mut Registry) {
        r.register("edge_known_ids", "Ids in the filter; 0 if there is none", self.ids.clone());
        let help = "When the core read them, seconds since 1970; 0 if there is no filter";
        r.register("edge_known_ids_timestamp_seconds", help, self.as_of_s.clone());
        r.register("edge_known_ids_fetches", "Filters taken up", self.fetches.clone());
        r.register("edge_known_ids_failures", "Filters not to be had", self.failures.clone());
        let help = "Ids asked about: no spares a trip, maybe costs one";
        r.register("edge_known_ids_answers", help, self.answers.clone());
    }

    pub(super) fn answered(&self, denied: bool) {
        let answer = if denied { "no" } else { "maybe" };
        self.answers.get_or_create(&AnswerLabel { answer }).inc();
    }

    pub(super) fn learned(&self, ids: usize, as_of_ms: i64) {
        self.ids.set(i64::try_from(ids).unwrap_or(i64::MAX));
        self.as_of_s.set(as_of_ms.div_euclid(1_000));
        self.fetches.inc();
    }

    pub(super) fn dropped(&self) {
        self.ids.set(0);
        self.as_of_s.set(0);
    }

    pub(super) fn failed(&self) {
        self.failures.inc();
    }
}
