//! A circuit breaker: after failures in a row the service behind it is left alone for a while, then probed.
//!
//! Pure: whoever holds it tells it the time and what happened.

use crate::limits;
use tokio::time::Instant;

/// What the breaker does with calls, for metrics and logs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum BreakerState {
    /// Calls pass.
    Closed,
    /// Calls are refused at once.
    Open,
    /// Calls are refused at once while one probe finds out whether they would succeed again.
    Probing,
}

/// What to do with a call.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Verdict {
    Pass,
    Refuse,
    /// Refuse it, and send a probe whose outcome goes to [`Breaker::probed`].
    RefuseAndProbe,
}

/// The breaker; closed at first.
#[derive(Debug)]
pub(super) struct Breaker(State);

#[derive(Debug, Clone, Copy)]
enum State {
    Closed { failures: u32 },
    Open { until: Instant },
    Probing { until: Instant },
}

impl Breaker {
    pub(super) fn new() -> Self {
        Self(State::Closed { failures: 0 })
    }

    pub(super) fn state(&self) -> BreakerState {
        match self.0 {
            State::Closed { .. } => BreakerState::Closed,
            State::Open { .. } => BreakerState::Open,
            State::Probing { .. } => BreakerState::Probing,
        }
    }

    pub(super) fn ask(&mut self, now: Instant) -> Verdict {
        match self.0 {
            State::Closed { .. } => Verdict::Pass,
            // A probe that never came back counts as failed.
            State::Open { until } | State::Probing { until } if until <= now => {
                self.0 = State::Probing { until: now + limits::FAST_OPEN };
                Verdict::RefuseAndProbe
            }
            State::Open { .. } | State::Probing { .. } => Verdict::Refuse,
        }
    }

    /// The outcome of a call that passed. Whether this opened the breaker.
    pub(super) fn report(&mut self, succeeded: bool, now: Instant) -> bool {
        // A call that set out before the breaker opened says nothing new.
        let State::Closed { failures } = self.0 else { return false };
        let failures = if succeeded { 0 } else { failures + 1 };
        let opens = failures >= limits::FAST_FAILURES;
        self.0 = if opens {
            State::Open { until: now + limits::FAST_OPEN }
        } else {
            State::Closed { failures }
        };
        opens
    }

    /// The outcome of a probe.
    pub(super) fn probed(&mut self, succeeded: bool, now: Instant) {
        self.0 = if succeeded {
            State::Closed { failures: 0 }
        } else {
            State::Open { until: now + limits::FAST_OPEN }
        };
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::Duration;

    fn opened(now: Instant) -> Breaker {
        let mut breaker = Breaker::new();
        for failure in 1..=limits::FAST_FAILURES {
            assert_eq!(breaker.ask(now), Verdict::Pass);
            assert_eq!(breaker.report(false, now), failure == limits::FAST_FAILURES);
        }
        breaker
    }

    #[test]
    fn it_opens_after_failures_in_a_row_only() {
        let now = Instant::now();
        let mut breaker = Breaker::new();
        for _ in 0..10 {
            for _ in 1..limits::FAST_FAILURES {
                breaker.report(false, now);
            }
            breaker.report(true, now);
        }
        assert_eq!(breaker.state(), BreakerState::Closed);
        assert_eq!(opened(now).ask(now), Verdict::Refuse);
    }

    #[test]
    fn one_probe_at_a_time_decides() {
        let now = Instant::now();
        let mut breaker = opened(now);
        let later = now + limits::FAST_OPEN;
        assert_eq!(breaker.ask(later - Duration::from_millis(1)), Verdict::Refuse);
        assert_eq!(breaker.ask(later), Verdict::RefuseAndProbe);
        assert_eq!(breaker.ask(later), Verdict::Refuse);
        // The late outcome of an old call decides nothing.
        assert!(!breaker.report(true, later));
        assert_eq!(breaker.state(), BreakerState::Probing);
        breaker.probed(false, later);
        assert_eq!(breaker.state(), BreakerState::Open);
        assert_eq!(breaker.ask(later + limits::FAST_OPEN), Verdict::RefuseAndProbe);
        breaker.probed(true, later + limits::FAST_OPEN);
        assert_eq!(breaker.ask(later + limits::FAST_OPEN), Verdict::Pass);
    }

    #[test]
    fn a_probe_that_never_came_back_is_sent_again() {
        let now = Instant::now();
        let mut breaker = opened(now);
        let later = now + limits::FAST_OPEN;
        assert_eq!(breaker.ask(later), Verdict::RefuseAndProbe);
        assert_eq!(breaker.ask(later + limits::FAST_OPEN), Verdict::RefuseAndProbe);
    }
}
