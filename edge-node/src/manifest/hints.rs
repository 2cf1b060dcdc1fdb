//! `[component.X.tool.tiffin]`: what a component asks of this host. Spin ignores the table, so a
//! component must work without it.

use serde::Deserialize;

use crate::limits;

/// The hints of one component; what it does not say has a default in `limits`.
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
        let concurrency = self.instance_concurrency as u64;
        for (value, max) in [
            (concurrency, limits::MAX_INSTANCE_CONCURRENCY as u64),
            (self.memory_mb, limits::MAX_MEMORY_MB),
            (self.cpu_budget_ms, limits::MAX_CPU_BUDGET_MS),
            (self.deadline_ms, limits::MAX_DEADLINE_MS),
            (self.upstream_timeout_ms, limits::MAX_UPSTREAM_TIMEOUT_MS),
            (self.upstream_total_timeout_ms, limits::MAX_UPSTREAM_TOTAL_TIMEOUT_MS),
        ] {
            if value == 0 || value > max {
                return Err(format!("must be from 1 to {max}, not {value}"));
            }
        }
        Ok(())
    }
}
