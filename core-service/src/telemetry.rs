//! The core's metrics, in the OpenMetrics text format.

use crate::catalog::menus::Menus;
use crate::engine::{self, Engine};
use crate::fast::breaker::BreakerState;
use crate::fast::guarded::Guarded;
use crate::gate;
use crate::gate::repair::Swept;
use http::Method;
use prometheus_client::encoding::EncodeLabelSet;
use prometheus_client::encoding::text::encode;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::metrics::histogram::Histogram;
use prometheus_client::registry::Registry;
use std::time::Duration;
use tiffin_api::audit::AuditReport;

/// Upper bounds of the latency buckets, s.
const LATENCY_BUCKETS_S: [f64; 10] = [0.001, 0.002, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 1.0, 5.0];

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct RequestLabels {
    method: &'static str,
    route: String,
    status: u16,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct RouteLabels {
    route: String,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct OutcomeLabels {
    outcome: &'static str,
}

/// How the feed is doing.
#[derive(Debug, Default)]
pub struct FeedMetrics {
    /// The last number given.
    pub head: Gauge,
    /// Rows that wait for their number.
    pub backlog: Gauge,
    /// Connections that read it.
    pub readers: Gauge,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct CheckLabels {
    check: String,
}

/// What the audits found.
#[derive(Default)]
struct Audits {
    violations: Family<CheckLabels, Gauge>,
    last_ms: Gauge,
    last_clean_ms: Gauge,
}

impl Audits {
    fn register(&self, registry: &mut Registry) {
        let help = "Violations that this core's last audit found";
        registry.register("audit_violations", help, self.violations.clone());
        let help = "When this core's last audit began, ms since 1970 in UTC; 0 for never";
        registry.register("audit_last_ms", help, self.last_ms.clone());
        let help = "When this core's last audit without violations began, ms; 0 for never";
        registry.register("audit_last_clean_ms", help, self.last_clean_ms.clone());
    }
}

/// What is not counted where it happens, but looked at when somebody asks.
#[derive(Default)]
struct Looks {
    lane_depth: Gauge,
    fast_open: Gauge,
    fast_failures: Gauge,
}

impl Looks {
    fn register(&self, registry: &mut Registry) {
        let help = "Commands that wait in the engine's lanes";
        registry.register("engine_waiting", help, self.lane_depth.clone());
        let help = "Whether the fast store is left alone (1) or used (0)";
        registry.register("fast_store_open", help, self.fast_open.clone());
        let help = "Calls that the fast store has failed since the start";
        registry.register("fast_store_failures", help, self.fast_failures.clone());
    }
}

/// The core's metrics.
pub struct Metrics {
    registry: Registry,
    requests: Family<RequestLabels, Counter>,
    latency: Family<RouteLabels, Histogram>,
    orders: Family<OutcomeLabels, Counter>,
    webhooks: Family<OutcomeLabels, Counter>,
    gate_off: Gauge,
    gate_repaired: Counter,
    /// How the feed is doing.
    pub feed: FeedMetrics,
    audits: Audits,
    looks: Looks,
}

impl Default for Metrics {
    fn default() -> Self {
        let mut registry = Registry::with_prefix("tiffin_core");
        let requests = Family::<RequestLabels, Counter>::default();
        let latency = Family::<RouteLabels, Histogram>::new_with_constructor(|| {
            Histogram::new(LATENCY_BUCKETS_S)
        });
        let orders = Family::<OutcomeLabels, Counter>::default();
        let webhooks = Family::<OutcomeLabels, Counter>::default();
        registry.register("requests", "Requests answered", requests.clone());
        registry.register("request_seconds", "Time to answer", latency.clone());
        registry.register("orders", "Orders by what became of the request", orders.clone());
        registry.register("webhooks", "Payment webhooks by what became of them", webhooks.clone());
        let (gate_off, gate_repaired) = (Gauge::default(), Counter::default());
        let help = "Counters of the gate that differed from the ledger at the last comparison";
        registry.register("gate_drift", help, gate_off.clone());
        let help = "Counters of the gate that were set to what the ledger has";
        registry.register("gate_repairs", help, gate_repaired.clone());
        let feed = FeedMetrics::default();
        registry.register("feed_head", "The last number given in the feed", feed.head.clone());
        registry.register("outbox_backlog", "News without a number yet", feed.backlog.clone());
        registry.register("feed_readers", "Connections that read the feed", feed.readers.clone());
        let (audits, looks) = (Audits::default(), Looks::default());
        audits.register(&mut registry);
        looks.register(&mut registry);
        Self {
            registry,
            requests,
            latency,
            orders,
            webhooks,
            gate_off,
            gate_repaired,
            feed,
            audits,
            looks,
        }
    }
}

impl Metrics {
    /// Shows what the engine, the gate and the menus count, too.
    #[must_use]
    pub fn watching(mut self, engine: &engine::Meter, gate: &gate::Meter, menus: &Menus) -> Self {
        engine.register(&mut self.registry);
        gate.register(&mut self.registry);
        menus.register(&mut self.registry);
        self
    }

    /// Counts one answer.
    pub fn observe_request(&self, method: &Method, route: &str, status: u16, elapsed: Duration) {
        let (method, route) = (method_label(method), route.to_owned());
        self.latency
            .get_or_create(&RouteLabels { route: route.clone() })
            .observe(elapsed.as_secs_f64());
        self.requests.get_or_create(&RequestLabels { method, route, status }).inc();
    }

    /// Counts one request to place an order by its outcome: `placed`, `replayed` or a problem's code.
    pub fn order(&self, outcome: &'static str) {
        self.orders.get_or_create(&OutcomeLabels { outcome }).inc();
    }

    /// Counts one webhook by its outcome: `applied`, `duplicate` or a problem's code.
    pub fn webhook(&self, outcome: &'static str) {
        self.webhooks.get_or_create(&OutcomeLabels { outcome }).inc();
    }

    /// Notes what a comparison of the gate with the ledger found.
    pub fn gate_swept(&self, swept: Swept) {
        self.gate_off.set(i64::try_from(swept.off).unwrap_or(i64::MAX));
        self.gate_repaired.inc_by(swept.repaired);
    }

    /// Notes what an audit found.
    pub fn audited(&self, report: &AuditReport) {
        for check in &report.checks {
            let labels = CheckLabels { check: check.check.clone() };
            let violations = i64::try_from(check.violations).unwrap_or(i64::MAX);
            self.audits.violations.get_or_create(&labels).set(violations);
        }
        self.audits.last_ms.set(report.as_of_ms);
        if report.clean {
            self.audits.last_clean_ms.set(report.as_of_ms);
        }
    }

    /// Looks at what is not counted where it happens.
    pub fn look(&self, engine: &Engine, fast: &Guarded) {
        let count = |count: u64| i64::try_from(count).unwrap_or(i64::MAX);
        self.looks.lane_depth.set(count(engine.waiting() as u64));
        self.looks.fast_failures.set(count(fast.failures()));
        self.looks.fast_open.set(match fast.state() {
            BreakerState::Closed => 0,
            BreakerState::Open | BreakerState::Probing => 1,
        });
    }

    /// The metrics as OpenMetrics text.
    pub fn render(&self) -> String {
        let mut text = String::new();
        match encode(&mut text, &self.registry) {
            Ok(()) => text,
            Err(error) => {
                tracing::error!(%error, "metrics could not be written");
                String::new()
            }
        }
    }
}

/// A client may send any word as its method: the standard nine have a series, all others share one.
fn method_label(method: &Method) -> &'static str {
    match *method {
        Method::GET => "GET",
        Method::HEAD => "HEAD",
        Method::POST => "POST",
        Method::PUT => "PUT",
        Method::DELETE => "DELETE",
        Method::CONNECT => "CONNECT",
        Method::OPTIONS => "OPTIONS",
        Method::TRACE => "TRACE",
        Method::PATCH => "PATCH",
        _ => "other",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn invented_methods_share_one_series() {
        let metrics = Metrics::default();
        for method in ["POST", "BREW", "WHEN"] {
            let method = Method::from_bytes(method.as_bytes()).unwrap();
            metrics.observe_request(&method, "/", 405, Duration::ZERO);
        }
        let text = metrics.render();
        let series: Vec<_> =
            text.lines().filter(|line| line.starts_with("tiffin_core_requests_total")).collect();
        assert_eq!(series.len(), 2, "{series:?}");
        assert!(
            series.iter().any(|line| line.contains("other") && line.ends_with(" 2")),
            "{series:?}"
        );
    }
}
