//! What happens before a request: handshakes.

use prometheus_client::encoding::EncodeLabelSet;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::registry::Registry;

#[derive(Debug, Clone, Hash, PartialEq, Eq, EncodeLabelSet)]
struct HandshakeLabel {
    outcome: &'static str,
}

/// The series of this module.
#[derive(Default)]
pub(crate) struct DoorMetrics {
    handshakes: Family<HandshakeLabel, Counter>,
}

impl DoorMetrics {
    pub(super) fn register(&self, registry: &mut Registry) {
        registry.register("edge_tls_handshakes", "TLS handshakes", self.handshakes.clone());
    }

    /// A handshake is `done`, has `failed`, or came to its `timeout`.
    pub(crate) fn count_handshake(&self, outcome: &'static str) {
        self.handshakes.get_or_create(&HandshakeLabel { outcome }).inc();
    }
}
