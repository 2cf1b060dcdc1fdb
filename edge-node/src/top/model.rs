//! From two moments of a node to what a person wants to see: rates, shares and percentiles of the time between them.
//!
//! Pure. A counter that went back began anew with a new process: what it shows now is what it grew by. With one moment
//! alone, the time is that since the node began, and is not known: rates are then left out and totals shown.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use super::openmetrics::{Kind, Labels, Metrics};

/// What the node said at one moment.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Snapshot {
    /// On the clock of the one who asks.
    pub(super) at: Duration,
    /// What `/readyz` says, in one line.
    pub(super) readiness: String,
    pub(super) metrics: Metrics,
}

/// What is shown.
#[derive(Debug, Clone, PartialEq, Default)]
pub(super) struct View {
    pub(super) readiness: String,
    /// Over all requests.
    pub(super) total: Traffic,
    pub(super) in_flight: f64,
    pub(super) connections: f64,
    /// Of the requests that the cache was asked about, those that no function had to answer.
    pub(super) hit_rate: Option<f64>,
    pub(super) routes: Vec<Route>,
    pub(super) components: Vec<Component>,
    /// All other families, by section.
    pub(super) sections: Vec<Section>,
}

/// How many and how fast.
#[derive(Debug, Clone, Copy, PartialEq, Default)]
pub(super) struct Traffic {
    /// In the time between; in all with one moment.
    pub(super) requests: f64,
    pub(super) requests_per_second: Option<f64>,
    /// Answered with 5xx, counted like `requests`.
    pub(super) errors: f64,
    pub(super) p50_seconds: Option<f64>,
    pub(super) p99_seconds: Option<f64>,
}

/// One route of one component.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Route {
    pub(super) route: String,
    pub(super) component: String,
    pub(super) requests: f64,
    pub(super) requests_per_second: Option<f64>,
    pub(super) errors: f64,
}

/// One component.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Component {
    pub(super) component: String,
    pub(super) traffic: Traffic,
    pub(super) instances: f64,
    /// Instances that ended before their time.
    pub(super) traps: f64,
    /// Requests refused as too many.
    pub(super) rejected: f64,
}

/// Families that belong together.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Section {
    pub(super) title: &'static str,
    pub(super) lines: Vec<Line>,
}

/// One number of such a family.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Line {
    /// The family without what all families begin with.
    pub(super) name: String,
    /// The values of its labels.
    pub(super) labels: String,
    /// A gauge's value, a counter's total, a histogram's mean.
    pub(super) value: f64,
    pub(super) per_second: Option<f64>,
}

/// The families with a place of their own in the view.
const PLACED: [&str; 8] = [
    "edge_requests",
    "edge_request_seconds",
    "edge_requests_in_flight",
    "edge_connections",
    "edge_instances_live",
    "edge_instances_started",
    "edge_traps",
    "edge_rejected",
];

/// Whose names begin so, in this order; the last takes the rest.
const SECTIONS: [(&str, &[&str]); 5] = [
    ("Cache", &["edge_cache_"]),
    ("Upstreams", &["edge_upstream", "edge_outbound", "edge_breaker"]),
    ("Feed", &["edge_feed", "edge_live", "edge_push"]),
    ("Key-value stores", &["edge_key_value"]),
    ("Other", &[""]),
];

/// What happened from `before` to `now`.
pub(super) fn view(before: Option<&Snapshot>, now: &Snapshot) -> View {
    let change = Change::new(before, now);
    let metrics = &now.metrics;
    let gauge = |name: &str| metrics.sum(name, |_| true).unwrap_or(0.0);
    let asked = ["hit", "stale", "collapsed", "miss"].map(|outcome| {
        change.counter("edge_cache_requests_total", |labels| is(labels, "outcome", outcome))
    });
    let [hit, stale, collapsed, miss] = asked;
    let spared = hit + stale + collapsed;
    View {
        readiness: now.readiness.clone(),
        total: change.traffic(|_| true),
        in_flight: gauge("edge_requests_in_flight"),
        connections: gauge("edge_connections"),
        hit_rate: (spared + miss > 0.0).then(|| spared / (spared + miss)),
        routes: routes(&change),
        components: components(&change),
        sections: sections(&change),
    }
}

fn routes(change: &Change<'_>) -> Vec<Route> {
    let label = |labels: &Labels, name| labels.get(name).cloned().unwrap_or_default();
    let keys: BTreeSet<(String, String)> = (change.now.named("edge_requests_total"))
        .map(|sample| (label(&sample.labels, "component"), label(&sample.labels, "route")))
        .collect();
    let mut routes: Vec<Route> = (keys.into_iter())
        .map(|(component, route)| {
            let is_ours = |labels: &Labels| {
                is(labels, "component", &component) && is(labels, "route", &route)
            };
            let traffic = change.requests(is_ours);
            let Traffic { requests, requests_per_second, errors, .. } = traffic;
            Route { route, component, requests, requests_per_second, errors }
        })
        .collect();
    routes.sort_by(|one, other| other.requests.total_cmp(&one.requests));
    routes
}

fn components(change: &Change<'_>) -> Vec<Component> {
    let families = ["edge_requests_total", "edge_instances_started_total", "edge_rejected_total"];
    let ids: BTreeSet<String> = (families.iter())
        .flat_map(|family| change.now.named(family))
        .filter_map(|sample| sample.labels.get("component").cloned())
        .collect();
    (ids.into_iter())
        .map(|component| {
            let is_ours = |labels: &Labels| is(labels, "component", &component);
            Component {
                traffic: change.traffic(is_ours),
                instances: change.now.sum("edge_instances_live", is_ours).unwrap_or(0.0),
                traps: change.counter("edge_traps_total", is_ours),
                rejected: change.counter("edge_rejected_total", is_ours),
                component,
            }
        })
        .collect()
}

fn sections(change: &Change<'_>) -> Vec<Section> {
    let mut sections = SECTIONS.map(|(title, _)| Section { title, lines: Vec::new() });
    for (family, kind, samples) in change.now.families() {
        if PLACED.contains(&family) {
            continue;
        }
        let place = SECTIONS
            .iter()
            .position(|(_, prefixes)| prefixes.iter().any(|prefix| family.starts_with(prefix)));
        let section = &mut sections[place.unwrap_or(SECTIONS.len() - 1)];
        let name = family.strip_prefix("edge_").unwrap_or(family);
        let mut seen = BTreeSet::new();
        let mut lines = Vec::new();
        for sample in samples {
            let mut labels = sample.labels.clone();
            labels.remove("le");
            if !seen.insert(labels.clone()) {
                continue;
            }
            let same = |other: &Labels| *other == labels;
            let (value, per_second) = match kind {
                Kind::Counter => {
                    let name = format!("{family}_total");
                    let value = change.now.sum(&name, same).unwrap_or(sample.value);
                    (value, change.per_second(change.counter(&name, same)))
                }
                Kind::Histogram => {
                    let count = change.counter(&format!("{family}_count"), same);
                    let sum = change.counter(&format!("{family}_sum"), same);
                    (if count > 0.0 { sum / count } else { 0.0 }, change.per_second(count))
                }
                Kind::Gauge | Kind::Other => (sample.value, None),
            };
            let texts: Vec<&str> = labels.values().map(String::as_str).collect();
            let labels = texts.join(" ");
            lines.push(Line { name: name.to_owned(), labels, value, per_second });
        }
        // A node tells the series of a family in any order.
        lines.sort_by(|one, other| one.labels.cmp(&other.labels));
        section.lines.append(&mut lines);
    }
    sections.into_iter().filter(|section| !section.lines.is_empty()).collect()
}

fn is(labels: &Labels, name: &str, value: &str) -> bool {
    labels.get(name).is_some_and(|found| found == value)
}

/// Two moments.
struct Change<'a> {
    before: Option<&'a Metrics>,
    now: &'a Metrics,
    elapsed_seconds: Option<f64>,
}

impl<'a> Change<'a> {
    fn new(before: Option<&'a Snapshot>, now: &'a Snapshot) -> Self {
        let elapsed = before.map(|before| now.at.saturating_sub(before.at).as_secs_f64());
        Self {
            before: before.map(|before| &before.metrics),
            now: &now.metrics,
            elapsed_seconds: elapsed.filter(|seconds| *seconds > 0.0),
        }
    }

    /// What a counter grew by, summed over the series that `wanted` accepts.
    fn counter(&self, name: &str, wanted: impl Fn(&Labels) -> bool) -> f64 {
        let grown = |sample: &super::openmetrics::Sample| {
            let before = self.before.and_then(|it| it.sum(name, |labels| *labels == sample.labels));
            match before {
                Some(before) if before <= sample.value => sample.value - before,
                Some(_) | None => sample.value,
            }
        };
        self.now
            .named(name)
            .filter(|sample| wanted(&sample.labels))
            .map(grown)
            .fold(0.0, |sum, one| sum + one)
    }

    fn per_second(&self, grown: f64) -> Option<f64> {
        self.elapsed_seconds.map(|seconds| grown / seconds)
    }

    fn requests(&self, wanted: impl Fn(&Labels) -> bool) -> Traffic {
        let requests = self.counter("edge_requests_total", &wanted);
        let errors = self
            .counter("edge_requests_total", |labels| wanted(labels) && is(labels, "status", "5xx"));
        let requests_per_second = self.per_second(requests);
        Traffic { requests, requests_per_second, errors, p50_seconds: None, p99_seconds: None }
    }

    fn traffic(&self, wanted: impl Fn(&Labels) -> bool) -> Traffic {
        let buckets = self.buckets(&wanted);
        let traffic = self.requests(wanted);
        let quantile = |share| quantile(&buckets, share);
        Traffic { p50_seconds: quantile(0.5), p99_seconds: quantile(0.99), ..traffic }
    }

    /// The buckets of the time between, by their upper bounds, each with all below it.
    fn buckets(&self, wanted: impl Fn(&Labels) -> bool) -> Vec<(f64, f64)> {
        let name = "edge_request_seconds_bucket";
        let bounds: BTreeMap<String, f64> = (self.now.named(name))
            .filter_map(|sample| sample.labels.get("le"))
            .filter_map(|bound| Some((bound.clone(), bound.parse().ok()?)))
            .collect();
        let mut buckets: Vec<(f64, f64)> = (bounds.into_iter())
            .map(|(text, bound)| {
                (bound, self.counter(name, |labels| is(labels, "le", &text) && wanted(labels)))
            })
            .collect();
        buckets.sort_by(|one, other| one.0.total_cmp(&other.0));
        buckets
    }
}

/// The value below which `share` of the observations are, as if they lay evenly in each bucket; in the last one, its lower
/// bound. As Prometheus's `histogram_quantile` has it.
fn quantile(buckets: &[(f64, f64)], share: f64) -> Option<f64> {
    let total = buckets.last()?.1;
    if total <= 0.0 {
        return None;
    }
    let rank = share * total;
    let index = buckets.iter().position(|(_, below)| *below >= rank)?;
    let (bound, below) = buckets[index];
    let (lower, before) = if index == 0 { (0.0, 0.0) } else { buckets[index - 1] };
    if bound.is_infinite() {
        return Some(lower);
    }
    let inside = below - before;
    Some(if inside > 0.0 { lower + (bound - lower) * (rank - before) / inside } else { bound })
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::{Snapshot, quantile, view};
    use crate::top::openmetrics::Metrics;

    fn snapshot(seconds: u64, text: &str) -> Snapshot {
        let at = Duration::from_secs(seconds);
        Snapshot { at, readiness: "ready".to_owned(), metrics: Metrics::parse(text) }
    }

    fn requests(ok: u64, failed: u64, hits: u64, quick: u64, all: u64) -> String {
        format!(
            "# TYPE edge_requests counter\n\
             edge_requests_total{{component=\"menu\",route=\"/v1\",status=\"2xx\"}} {ok}\n\
             edge_requests_total{{component=\"menu\",route=\"/v1\",status=\"5xx\"}} {failed}\n\
             # TYPE edge_request_seconds histogram\n\
             edge_request_seconds_bucket{{le=\"0.1\",component=\"menu\"}} {quick}\n\
             edge_request_seconds_bucket{{le=\"1.0\",component=\"menu\"}} {all}\n\
             edge_request_seconds_bucket{{le=\"+Inf\",component=\"menu\"}} {all}\n\
             # TYPE edge_cache_requests counter\n\
             edge_cache_requests_total{{outcome=\"hit\"}} {hits}\n\
             edge_cache_requests_total{{outcome=\"miss\"}} 10\n\
             edge_cache_requests_total{{outcome=\"bypass\"}} 1000\n"
        )
    }

    #[test]
    fn rates_are_of_the_time_between() {
        let before = snapshot(10, &requests(100, 1, 10, 50, 101));
        let now = snapshot(12, &requests(180, 21, 40, 100, 201));
        let shown = view(Some(&before), &now);
        assert_eq!((shown.total.requests, shown.total.errors), (100.0, 20.0));
        assert_eq!(shown.total.requests_per_second, Some(50.0));
        assert_eq!(shown.hit_rate, Some(1.0), "30 hits and no miss since");
        assert_eq!(shown.total.p50_seconds, Some(0.1));
        let p99 = shown.components[0].traffic.p99_seconds.unwrap();
        assert!((p99 - 0.982).abs() < 1e-9, "{p99}");
        let route = &shown.routes[0];
        assert_eq!((route.route.as_str(), route.requests_per_second), ("/v1", Some(50.0)));
    }

    #[test]
    fn one_moment_shows_totals_and_a_new_process_begins_anew() {
        let now = snapshot(12, &requests(180, 20, 30, 100, 200));
        let alone = view(None, &now);
        assert_eq!((alone.total.requests, alone.total.requests_per_second), (200.0, None));
        assert_eq!(alone.hit_rate, Some(0.75));
        let later = snapshot(13, &requests(5, 0, 1, 5, 5));
        assert_eq!(view(Some(&now), &later).total.requests, 5.0);
        assert_eq!(view(None, &snapshot(1, "")).total, Default::default());
    }

    #[test]
    fn every_other_family_is_shown_in_its_section() {
        let text = |total: u64| {
            format!(
                "# TYPE edge_feed_live gauge\nedge_feed_live 1\n\
                 # TYPE edge_upstream_breaker gauge\nedge_upstream_breaker{{upstream=\"core:1\"}} 2\n\
                 # TYPE edge_new counter\nedge_new_total{{a=\"x\",b=\"y\"}} {total}\n\
                 # TYPE edge_feed_delay_seconds histogram\nedge_feed_delay_seconds_sum {total}\n\
                 edge_feed_delay_seconds_count 4\nedge_feed_delay_seconds_bucket{{le=\"+Inf\"}} 4\n"
            )
        };
        let shown = view(Some(&snapshot(1, &text(10))), &snapshot(3, &text(20)));
        let lines: Vec<String> = (shown.sections.iter())
            .flat_map(|section| section.lines.iter().map(move |line| (section.title, line)))
            .map(|(title, it)| {
                format!("{title}: {} {} {} {:?}", it.name, it.labels, it.value, it.per_second)
            })
            .collect();
        assert_eq!(
            lines,
            [
                "Upstreams: upstream_breaker core:1 2 None",
                "Feed: feed_delay_seconds  0 Some(0.0)",
                "Feed: feed_live  1 None",
                "Other: new x y 20 Some(5.0)",
            ]
        );
    }

    #[test]
    fn quantiles_are_those_of_prometheus() {
        let buckets = [(0.1, 10.0), (0.2, 10.0), (0.4, 30.0), (f64::INFINITY, 40.0)];
        for (share, expected) in [(0.125, 0.05), (0.25, 0.1), (0.5, 0.3), (0.75, 0.4), (0.99, 0.4)]
        {
            let found = quantile(&buckets, share).unwrap();
            assert!((found - expected).abs() < 1e-9, "{share}: {found}");
        }
        assert_eq!(quantile(&[(f64::INFINITY, 0.0)], 0.5), None);
        assert_eq!(quantile(&[], 0.5), None);
    }
}
