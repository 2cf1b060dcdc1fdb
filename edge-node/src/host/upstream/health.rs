//! Whether one address of an upstream is to be asked. Pure: the time is a parameter.
//!
//! Two witnesses are heard. Checks ask the address by themselves, and turn it off and on by a number of
//! answers in a row. Requests that fail in a row eject it for a while that grows each time; afterwards a
//! single failure ejects it again, and a single success forgets everything.

use crate::limits;

/// What is known of one address.
#[derive(Debug, Default)]
pub(super) struct Health {
    /// The checks' last word.
    is_down: bool,
    /// Checks in a row that say otherwise.
    contrary: u32,
    /// Requests that failed in a row.
    failures: u32,
    /// Ejections in a row.
    ejections: u32,
    ejected_until_ms: u64,
}

/// When an address may be asked again: at once, when it was ejected some day, or when a check says so.
pub(super) const NEVER_MS: u64 = u64::MAX;

impl Health {
    /// From when on it is to be asked; in the past if it is healthy, [`NEVER_MS`] while checks fail.
    pub(super) fn usable_from_ms(&self) -> u64 {
        if self.is_down { NEVER_MS } else { self.ejected_until_ms }
    }

    /// Whether a success would change anything.
    pub(super) fn is_troubled(&self) -> bool {
        self.failures > 0
    }

    /// A check was answered well, or not.
    pub(super) fn check(&mut self, is_passed: bool) {
        if is_passed != self.is_down {
            self.contrary = 0;
            return;
        }
        self.contrary += 1;
        let needed = if is_passed { limits::HEALTHY_AFTER } else { limits::UNHEALTHY_AFTER };
        if self.contrary >= needed {
            *self = Self { is_down: !is_passed, ..Self::default() };
        }
    }

    /// A request was answered well.
    pub(super) fn succeed(&mut self) {
        (self.failures, self.ejections, self.ejected_until_ms) = (0, 0, 0);
    }

    /// A request failed. Those still in progress at an ejection do not make it longer.
    pub(super) fn fail(&mut self, now_ms: u64) {
        if now_ms < self.ejected_until_ms {
            return;
        }
        self.failures += 1;
        if self.failures >= limits::EJECT_AFTER {
            self.failures = limits::EJECT_AFTER - 1;
            self.ejections = (self.ejections + 1).min(limits::MAX_EJECTION_STEPS);
            self.ejected_until_ms = now_ms + limits::EJECTION_MS * u64::from(self.ejections);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::{Health, NEVER_MS};

    #[derive(Debug, Clone, Copy)]
    enum Seen {
        Pass,
        Miss,
        Good,
        Bad,
    }
    use Seen::{Bad, Good, Miss, Pass};

    #[test]
    fn checks_and_requests_decide_by_what_they_say_in_a_row() {
        for (seen, expected) in [
            (vec![], 0),
            (vec![Miss, Miss], 0),
            (vec![Miss, Miss, Pass, Miss, Miss], 0),
            (vec![Miss, Miss, Miss], NEVER_MS),
            (vec![Miss, Miss, Miss, Pass], NEVER_MS),
            (vec![Miss, Miss, Miss, Pass, Miss, Pass], NEVER_MS),
            (vec![Miss, Miss, Miss, Pass, Pass], 0),
            // A request that gets through in a panic does not speak for the checks.
            (vec![Miss, Miss, Miss, Good], NEVER_MS),
            (vec![Bad, Bad, Bad, Bad], 0),
            (vec![Bad, Bad, Bad, Bad, Good, Bad], 0),
            (vec![Bad, Bad, Bad, Bad, Bad], 3_010),
            // Those in progress at the ejection.
            (vec![Bad, Bad, Bad, Bad, Bad, Bad, Bad, Bad], 3_010),
            (vec![Bad, Bad, Bad, Bad, Bad, Good], 0),
            (vec![Bad, Bad, Bad, Bad, Bad, Miss, Miss, Miss, Pass, Pass], 0),
        ] {
            let mut health = Health::default();
            for one in &seen {
                match one {
                    Pass => health.check(true),
                    Miss => health.check(false),
                    Good => health.succeed(),
                    Bad => health.fail(10),
                }
            }
            assert_eq!(health.usable_from_ms(), expected, "{seen:?}");
        }
    }

    #[test]
    fn who_fails_again_is_away_for_longer_until_a_success() {
        let mut health = Health::default();
        let mut now_ms = 0;
        (0..4).for_each(|_| health.fail(now_ms));
        for away_ms in [3_000, 6_000, 9_000, 12_000, 15_000, 15_000] {
            health.fail(now_ms);
            assert_eq!(health.usable_from_ms(), now_ms + away_ms);
            now_ms += away_ms;
        }
        health.succeed();
        assert!(!health.is_troubled());
        health.fail(now_ms);
        assert!(health.usable_from_ms() <= now_ms && health.is_troubled());
    }
}
