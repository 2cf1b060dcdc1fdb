//! What the gate counts of its answers.

use super::{Entry, Took};
use prometheus_client::encoding::EncodeLabelSet;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::registry::Registry;

/// The gate's counters; clones count together.
#[derive(Debug, Clone, Default)]
pub struct Meter(Family<Labels, Counter>);

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct Labels {
    outcome: &'static str,
}

impl Meter {
    /// Lets a registry show them.
    pub fn register(&self, registry: &mut Registry) {
        let help = "Requests at the gate: admitted, repeated (an answer may exist), unjudged (no counter or no \
             fast store), or refused as sold-out or over-cap";
        registry.register("gate_entries", help, self.0.clone());
    }

    pub(super) fn count(&self, entry: &Entry) {
        let outcome = match entry {
            Entry::Pass(pass) => match pass.took {
                Took::Yes => "admitted",
                Took::Perhaps => "unjudged",
                Took::No => "repeated",
            },
            Entry::SoldOut(_) => "sold-out",
            Entry::OverCap => "over-cap",
        };
        self.0.get_or_create(&Labels { outcome }).inc();
    }
}
