//! How much of the core's time a request has left.
//!
//! A request may need the core twice: for the key set and for what it asks. Each step gets what the
//! steps before it have left of [`CORE_BUDGET_MS`], so that slow steps do not add up.

use crate::limits::{CONNECT_TIMEOUT_MS, CORE_BUDGET_MS, FIRST_BYTE_TIMEOUT_MS};

/// What is left.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Budget {
    left_ms: u64,
}

/// How long a step may take, ms.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Patience {
    /// Until there is a connection.
    pub connect_ms: u64,
    /// From then on until the answer begins, and between its parts.
    pub first_byte_ms: u64,
    /// In all.
    pub total_ms: u64,
}

impl Budget {
    /// The budget of a request that just came in.
    pub const fn new() -> Self {
        Self { left_ms: CORE_BUDGET_MS }
    }

    /// Notes that a step took so long.
    pub fn spend(&mut self, ms: u64) {
        self.left_ms = self.left_ms.saturating_sub(ms);
    }

    /// How long the next step may take. `None` if there is no time left for one.
    pub fn patience(self) -> Option<Patience> {
        let total_ms = self.left_ms;
        (total_ms > 0).then(|| Patience {
            connect_ms: CONNECT_TIMEOUT_MS.min(total_ms),
            first_byte_ms: FIRST_BYTE_TIMEOUT_MS.min(total_ms),
            total_ms,
        })
    }
}

impl Default for Budget {
    fn default() -> Self {
        Self::new()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn slow_steps_do_not_add_up() {
        let mut budget = Budget::new();
        for (spent_ms, expected) in [
            (0, Some((400, 1_100, 1_500))),
            (300, Some((400, 1_100, 1_200))),
            (900, Some((300, 300, 300))),
            (299, Some((1, 1, 1))),
            (1, None),
            (u64::MAX, None),
        ] {
            budget.spend(spent_ms);
            let patience =
                budget.patience().map(|it| (it.connect_ms, it.first_byte_ms, it.total_ms));
            assert_eq!(patience, expected, "after another {spent_ms}");
        }
    }
}
