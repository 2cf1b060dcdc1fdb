//! `[component.X.tool.tiffin]`: what a component asks of this host. Spin ignores the table, so a
//! component must work without it.

use std::path::PathBuf;

use serde::Deserialize;

use crate::limits;

/// What the first version of a component is called beside a second one.
pub(crate) const STABLE_VERSION: &str = "stable";

/// The hints of one component; what it does not say has a default in `limits`. README.md lists them.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(crate) struct Hints {
    /// Requests that one instance handles at a time.
    pub(crate) instance_concurrency: usize,
    /// Linear memory of one instance, in MiB.
    pub(crate) memory_mb: u64,
    /// Processor time of one instance since it last took a request.
    pub(crate) cpu_budget_ms: u64,
    /// Wall time to the response head.
    pub(crate) deadline_ms: u64,
    /// Wall time to the first byte of an outbound answer.
    pub(crate) upstream_timeout_ms: u64,
    /// Wall time to the last byte of an outbound answer.
    pub(crate) upstream_total_timeout_ms: u64,
    /// Requests in progress at a time, over all instances.
    pub(crate) max_requests: usize,
    /// Requests that wait for one of those places; with 0, none does.
    pub(crate) max_queue: usize,
    /// How long they wait, before 503.
    pub(crate) queue_wait_ms: u64,
    /// Instances alive at a time.
    pub(crate) max_instances: usize,
    /// Requests after which an instance is replaced.
    pub(crate) requests_per_instance: usize,
    /// How long an instance without work is kept.
    pub(crate) instance_idle_ms: u64,
    /// Whether its answers go through the node's cache, which minds what they say of themselves.
    pub(crate) cache: bool,
    /// A second version to run beside it; taken out when the manifest is checked.
    pub(super) canary: Option<CanaryHint>,
}

/// `[component.X.tool.tiffin.canary]`: a second version, whose code alone is another.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct CanaryHint {
    /// Its file, relative to the manifest.
    pub(super) source: PathBuf,
    /// Its name.
    pub(super) version: String,
    /// Its share of the clients; none of them without it.
    #[serde(default)]
    pub(super) weight_percent: u8,
}

impl CanaryHint {
    fn check(&self) -> Result<(), String> {
        let (version, percent) = (&self.version, self.weight_percent);
        let is_plain = |c: char| c.is_ascii_alphanumeric() || matches!(c, '.' | '-' | '_');
        let has_length = (1..=limits::MAX_VERSION_BYTES).contains(&version.len());
        if version == STABLE_VERSION || !has_length || !version.chars().all(is_plain) {
            return Err(format!(
                "version must be 1 to {} letters, digits, dots, hyphens and underscores, and not {STABLE_VERSION:?}, \
                 which is the first version's name; not {version:?}",
                limits::MAX_VERSION_BYTES
            ));
        }
        if percent > 100 {
            return Err(format!("weight_percent must be from 0 to 100, not {percent}"));
        }
        Ok(())
    }
}

impl Default for Hints {
    fn default() -> Self {
        Self {
            instance_concurrency: limits::DEFAULT_INSTANCE_CONCURRENCY,
            memory_mb: limits::DEFAULT_MEMORY_MB,
            cpu_budget_ms: limits::DEFAULT_CPU_BUDGET_MS,
            deadline_ms: limits::DEFAULT_DEADLINE_MS,
            upstream_timeout_ms: limits::DEFAULT_UPSTREAM_TIMEOUT_MS,
            upstream_total_timeout_ms: limits::DEFAULT_UPSTREAM_TOTAL_TIMEOUT_MS,
            max_requests: limits::DEFAULT_COMPONENT_REQUESTS,
            max_queue: limits::DEFAULT_COMPONENT_QUEUE,
            queue_wait_ms: limits::DEFAULT_QUEUE_WAIT_MS,
            max_instances: limits::MAX_INSTANCES as usize,
            requests_per_instance: limits::DEFAULT_REQUESTS_PER_INSTANCE,
            instance_idle_ms: limits::DEFAULT_INSTANCE_IDLE_MS,
            cache: true,
            canary: None,
        }
    }
}

impl Hints {
    /// Reads and checks the table. Beside the hints it returns each field that is unknown, ill-typed or out of its range,
    /// with what is wrong with it; such a field keeps its default.
    pub(super) fn read(table: toml::Table) -> (Self, Vec<(String, String)>) {
        let mut bad = Vec::new();
        let mut good = toml::Table::new();
        // Field by field: each has a default, so each can be read by itself.
        for (field, value) in table {
            let alone = toml::Table::from_iter([(field.clone(), value.clone())]);
            match alone.try_into::<Self>().map_err(|error| error.message().to_owned()) {
                Ok(hints) => match hints.check_ranges() {
                    Ok(()) => {
                        good.insert(field, value);
                    }
                    Err(message) => bad.push((field, message)),
                },
                Err(message) => bad.push((field, message.replace('\n', " "))),
            }
        }
        (good.try_into().unwrap_or_default(), bad)
    }

    fn check_ranges(&self) -> Result<(), String> {
        let count = |count: usize| count as u64;
        for (value, least, most) in [
            (count(self.instance_concurrency), 1, count(limits::MAX_INSTANCE_CONCURRENCY)),
            (self.memory_mb, 1, limits::MAX_MEMORY_MB),
            (self.cpu_budget_ms, 1, limits::MAX_CPU_BUDGET_MS),
            (self.deadline_ms, 1, limits::MAX_DEADLINE_MS),
            (self.upstream_timeout_ms, 1, limits::MAX_UPSTREAM_TIMEOUT_MS),
            (self.upstream_total_timeout_ms, 1, limits::MAX_UPSTREAM_TOTAL_TIMEOUT_MS),
            (count(self.max_requests), 1, count(limits::MAX_COMPONENT_REQUESTS)),
            (count(self.max_queue), 0, count(limits::MAX_COMPONENT_QUEUE)),
            (self.queue_wait_ms, 1, limits::MAX_QUEUE_WAIT_MS),
            (count(self.max_instances), 1, limits::MAX_INSTANCES.into()),
            (count(self.requests_per_instance), 1, count(limits::MAX_REQUESTS_PER_INSTANCE)),
            (self.instance_idle_ms, 1, limits::MAX_INSTANCE_IDLE_MS),
        ] {
            if !(least..=most).contains(&value) {
                return Err(format!("must be from {least} to {most}, not {value}"));
            }
        }
        self.canary.as_ref().map_or(Ok(()), CanaryHint::check)
    }
}
