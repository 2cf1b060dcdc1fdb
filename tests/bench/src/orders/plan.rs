//! How much is measured.

use crate::limits;
use crate::load::Window;
use anyhow::bail;
use std::time::Duration;

/// The scenarios and their extent.
#[derive(Debug, Clone)]
pub struct Plan {
    /// Whether this is a quick run.
    pub quick: bool,
    /// Client counts of the sweep.
    pub clients: &'static [usize],
    /// Rounds of each comparison.
    pub rounds: u32,
    /// One measurement of throughput.
    pub window: Window,
    /// One measurement of latency.
    pub latency_window: Window,
    /// Whether the sweep over client counts is made.
    pub sweep: bool,
    /// Whether latency is measured.
    pub latency: bool,
    /// Whether refusals are measured.
    pub sold_out: bool,
    /// Whether two replicas are compared with one.
    pub replicas: bool,
    /// Whether a large table is compared with a small one.
    pub growth: bool,
}

const SCENARIOS: [&str; 5] = ["sweep", "latency", "sold-out", "replicas", "growth"];
const fn window(warm_up_ms: u64, measure_ms: u64) -> Window {
    Window {
        warm_up: Duration::from_millis(warm_up_ms),
        measure: Duration::from_millis(measure_ms),
    }
}

impl Plan {
    /// A whole or a quick run of all scenarios, or of those named.
    pub fn new(quick: bool, only: &[String]) -> anyhow::Result<Self> {
        if let Some(unknown) = only.iter().find(|name| !SCENARIOS.contains(&name.as_str())) {
            bail!("--only {unknown}: the scenarios are {}", SCENARIOS.join(", "));
        }
        let wanted = |name: &str| only.is_empty() || only.iter().any(|one| one == name);
        Ok(Self {
            quick,
            clients: if quick { limits::CLIENTS_QUICK } else { limits::CLIENTS },
            rounds: if quick { 2 } else { 3 },
            window: if quick { window(400, 1_200) } else { window(1_000, 4_000) },
            latency_window: if quick { window(1_000, 4_000) } else { window(2_000, 15_000) },
            sweep: wanted("sweep"),
            latency: wanted("latency"),
            sold_out: wanted("sold-out"),
            replicas: wanted("replicas"),
            growth: wanted("growth"),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ratios_are_formed_at_a_client_count_that_is_measured() {
        for quick in [false, true] {
            let plan = Plan::new(quick, &[]).unwrap();
            assert!(plan.clients.contains(&limits::RATIO_CLIENTS));
            assert!(plan.sweep && plan.growth);
        }
    }

    #[test]
    fn a_misspelt_scenario_is_named() {
        let error = Plan::new(true, &["latnecy".to_owned()]).unwrap_err().to_string();
        assert!(error.contains("latnecy") && error.contains("latency"), "{error}");
        let plan = Plan::new(true, &["growth".to_owned()]).unwrap();
        assert!(plan.growth && !plan.sweep);
    }
}
