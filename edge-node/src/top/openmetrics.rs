//! From OpenMetrics text to numbers (<https://prometheus.io/docs/specs/om/open_metrics_spec/>).
//!
//! What is no sample is passed over: a node of another version may say more than this one understands.

use std::collections::BTreeMap;

/// The labels of a sample, by name.
pub(super) type Labels = BTreeMap<String, String>;

/// What `# TYPE` says of a family.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    Counter,
    Gauge,
    Histogram,
    Other,
}

/// One number.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Sample {
    /// With its suffix: `_total`, `_bucket`.
    pub(super) name: String,
    pub(super) labels: Labels,
    pub(super) value: f64,
}

/// All numbers of one moment.
#[derive(Debug, Clone, Default, PartialEq)]
pub(super) struct Metrics {
    kinds: BTreeMap<String, Kind>,
    samples: Vec<Sample>,
}

impl Metrics {
    /// Reads a text.
    pub(super) fn parse(text: &str) -> Self {
        let mut metrics = Self::default();
        for line in text.lines() {
            if let Some(comment) = line.strip_prefix("# TYPE ") {
                if let Some((family, kind)) = comment.split_once(' ') {
                    let kind = match kind.trim() {
                        "counter" => Kind::Counter,
                        "gauge" => Kind::Gauge,
                        "histogram" => Kind::Histogram,
                        _ => Kind::Other,
                    };
                    metrics.kinds.insert(family.to_owned(), kind);
                }
            } else if !line.starts_with('#')
                && let Some(sample) = parse_sample(line)
            {
                metrics.samples.push(sample);
            }
        }
        metrics
    }

    /// The samples of this name.
    pub(super) fn named<'a>(&'a self, name: &'a str) -> impl Iterator<Item = &'a Sample> {
        self.samples.iter().filter(move |sample| sample.name == name)
    }

    /// The sum of the samples of this name whose labels `wanted` accepts; none if there is no such sample.
    pub(super) fn sum(&self, name: &str, wanted: impl Fn(&Labels) -> bool) -> Option<f64> {
        self.named(name)
            .filter(|sample| wanted(&sample.labels))
            .map(|sample| sample.value)
            .reduce(|sum, value| sum + value)
    }

    /// The families in the order of their names, with their samples.
    pub(super) fn families(&self) -> impl Iterator<Item = (&str, Kind, Vec<&Sample>)> {
        self.kinds.iter().map(|(family, kind)| {
            let is_of = |sample: &&Sample| {
                let suffix = sample.name.strip_prefix(family.as_str());
                suffix.is_some_and(|suffix| {
                    matches!(suffix, "" | "_total" | "_bucket" | "_sum" | "_count")
                })
            };
            (family.as_str(), *kind, self.samples.iter().filter(is_of).collect())
        })
    }
}

/// `name{label="value",…} value`, and what may follow: a time stamp, an exemplar.
fn parse_sample(line: &str) -> Option<Sample> {
    let name_end = line.find(['{', ' '])?;
    let (name, rest) = line.split_at(name_end);
    let (labels, rest) = match rest.strip_prefix('{') {
        Some(rest) => parse_labels(rest)?,
        None => (Labels::new(), rest),
    };
    let value = rest.split_whitespace().next()?.parse().ok()?;
    Some(Sample { name: name.to_owned(), labels, value })
}

/// The labels up to the closing brace, and what comes after it.
fn parse_labels(mut rest: &str) -> Option<(Labels, &str)> {
    let mut labels = Labels::new();
    loop {
        rest = rest.trim_start_matches([',', ' ']);
        if let Some(rest) = rest.strip_prefix('}') {
            return Some((labels, rest));
        }
        let (name, quoted) = rest.split_once("=\"")?;
        let mut value = String::new();
        let mut characters = quoted.char_indices();
        loop {
            match characters.next()? {
                (end, '"') => {
                    rest = &quoted[end + 1..];
                    break;
                }
                (_, '\\') => value.push(match characters.next()?.1 {
                    'n' => '\n',
                    other => other,
                }),
                (_, other) => value.push(other),
            }
        }
        labels.insert(name.to_owned(), value);
    }
}

#[cfg(test)]
mod tests {
    use super::{Kind, Metrics};

    #[test]
    fn samples_are_read_and_strange_lines_passed_over() {
        let metrics = Metrics::parse(
            "# HELP a Help with \"quotes\" and {braces}.\n# TYPE a counter\n\
             a_total{route=\"/a,}\",path=\"q\\\"\\\\\\n\"} 3 1700000000 # {trace=\"x\"} 1\n\
             a_total{} 4\n# TYPE b gauge\nb -1.5e3\nb{x=\"1\"} +Inf\n\
             broken{x=\"1 2\nbroken\nbroken{} x\n\n# EOF\n",
        );
        let values: Vec<_> = metrics.named("a_total").map(|sample| sample.value).collect();
        assert_eq!(values, [3.0, 4.0]);
        let labels = &metrics.named("a_total").next().unwrap().labels;
        assert_eq!((labels["route"].as_str(), labels["path"].as_str()), ("/a,}", "q\"\\\n"));
        assert_eq!(metrics.sum("b", |labels| labels.is_empty()), Some(-1_500.0));
        assert_eq!(metrics.sum("b", |_| true), Some(f64::INFINITY));
        assert_eq!(metrics.sum("broken", |_| true), None);
        let families: Vec<_> =
            metrics.families().map(|(name, kind, samples)| (name, kind, samples.len())).collect();
        assert_eq!(families, [("a", Kind::Counter, 2), ("b", Kind::Gauge, 2)]);
    }
}
