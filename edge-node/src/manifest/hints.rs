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
            cache: true,
        }
    }
}

impl Hints {
    /// Reads and checks the table.
    ///
    /// # Errors
    /// The unknown or ill-typed field, or the one that is out of its range.
    pub(super) fn read(table: toml::Table) -> Result<Self, String> {
        let hints: Self = table.try_into().map_err(|e: toml::de::Error| e.message().to_owned())?;
        let concurrency = hints.instance_concurrency as u64;
        for (name, value, max) in [
            ("instance_concurrency", concurrency, limits::MAX_INSTANCE_CONCURRENCY as u64),
            ("memory_mb", hints.memory_mb, limits::MAX_MEMORY_MB),
            ("cpu_budget_ms", hints.cpu_budget_ms, limits::MAX_CPU_BUDGET_MS),
            ("deadline_ms", hints.deadline_ms, limits::MAX_DEADLINE_MS),
            ("upstream_timeout_ms", hints.upstream_timeout_ms, limits::MAX_UPSTREAM_TIMEOUT_MS),
        ] {
            if value == 0 || value > max {
                return Err(format!("{name} must be from 1 to {max}, not {value}"));
            }
        }
        Ok(hints)
    }
}
