//! `[component.X.tool.tiffin]`: what a component asks of this host. Spin ignores the table, so a
//! component must work without it.

use serde::Deserialize;

use crate::limits;

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
        Ok(())
    }
}
