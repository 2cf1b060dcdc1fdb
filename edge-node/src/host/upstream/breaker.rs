//! The circuit breaker of one upstream. Pure: time and chance are parameters.
//!
//! Closed, it counts over a window and opens when too large a share fails. Open, it refuses, so that an
//! upstream in trouble is left alone and nobody waits for it. After a while it is half-open: a few
//! requests probe; if all of them succeed it closes, and the first that fails opens it again.
//!
//! Invariant: what was let through in one phase is not counted in a later one. An answer that comes late
//! says how the upstream was, not how it is.

use super::window::Window;

/// When a breaker opens and closes.
#[derive(Debug, Clone, Copy)]
pub(super) struct Rules {
    /// The length of the window.
    pub(super) window_ms: u64,
    /// It does not open on fewer requests in the window.
    pub(super) min_calls: u32,
    /// It opens at this share of failures, in percent.
    pub(super) failure_percent: u32,
    /// How long it stays open, and up to a quarter longer.
    pub(super) open_ms: u64,
    /// Requests that probe at a time, and successes that close it.
    pub(super) probes: u32,
}

/// Where it stands, in one word.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Phase {
    /// Everything passes.
    Closed,
    /// Nothing passes.
    Open,
    /// A few pass, to see.
    HalfOpen,
}

impl Phase {
    /// The metric's label.
    pub(super) const fn word(self) -> &'static str {
        match self {
            Self::Closed => "closed",
            Self::Open => "open",
            Self::HalfOpen => "half-open",
        }
    }
}

/// What a request is told.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Admission {
    /// It may go.
    Call,
    /// It may go, and decides with others whether the breaker closes. The number is that of the half-open phase.
    Probe(u32),
    /// It may not.
    Refused,
}

/// How an admitted request ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Outcome {
    /// The upstream answered.
    Success,
    /// The upstream failed.
    Failure,
    /// It says nothing about the upstream.
    Neutral,
}

#[derive(Debug)]
enum State {
    Closed,
    Open { until_ms: u64 },
    HalfOpen { in_progress: u32, succeeded: u32 },
}

/// A breaker.
#[derive(Debug)]
pub(super) struct Breaker {
    rules: Rules,
    window: Window,
    state: State,
    /// Counts the half-open phases.
    generation: u32,
}

impl Breaker {
    /// A closed one.
    pub(super) fn new(rules: Rules) -> Self {
        let window = Window::new(rules.window_ms);
        Self { rules, window, state: State::Closed, generation: 0 }
    }

    /// Where it stands.
    pub(super) fn phase(&self) -> Phase {
        match self.state {
            State::Closed => Phase::Closed,
            State::Open { .. } => Phase::Open,
            State::HalfOpen { .. } => Phase::HalfOpen,
        }
    }

    /// Whether a request may go. Whoever was admitted is to be settled.
    pub(super) fn admit(&mut self, now_ms: u64) -> Admission {
        if let State::Open { until_ms } = self.state
            && until_ms <= now_ms
        {
            self.generation = self.generation.wrapping_add(1);
            self.state = State::HalfOpen { in_progress: 0, succeeded: 0 };
        }
        match &mut self.state {
            State::Closed => Admission::Call,
            State::Open { .. } => Admission::Refused,
            State::HalfOpen { in_progress, succeeded } => {
                if *in_progress + *succeeded >= self.rules.probes {
                    return Admission::Refused;
                }
                *in_progress += 1;
                Admission::Probe(self.generation)
            }
        }
    }

    /// Learns how an admitted request ended. `random` is any number, for the jitter.
    pub(super) fn settle(
        &mut self,
        admission: Admission,
        outcome: Outcome,
        now_ms: u64,
        random: u64,
    ) {
        match (&mut self.state, admission) {
            (State::Closed, Admission::Call) => {
                if outcome == Outcome::Neutral {
                    return;
                }
                self.window.record(outcome == Outcome::Failure, now_ms);
                if outcome == Outcome::Failure && self.is_bad(now_ms) {
                    self.open(now_ms, random);
                }
            }
            (State::HalfOpen { in_progress, succeeded }, Admission::Probe(generation))
                if generation == self.generation =>
            {
                *in_progress -= 1;
                match outcome {
                    Outcome::Neutral => {}
                    Outcome::Failure => self.open(now_ms, random),
                    Outcome::Success => {
                        *succeeded += 1;
                        if *succeeded >= self.rules.probes {
                            self.state = State::Closed;
                        }
                    }
                }
            }
            // Let through in an earlier phase.
            (State::Closed | State::Open { .. } | State::HalfOpen { .. }, _) => {}
        }
    }

    fn is_bad(&mut self, now_ms: u64) -> bool {
        let counts = self.window.counts(now_ms);
        let (failed, all) =
            (u64::from(counts.failed), u64::from(counts.failed) + u64::from(counts.succeeded));
        all >= u64::from(self.rules.min_calls)
            && failed * 100 >= all * u64::from(self.rules.failure_percent)
    }

    fn open(&mut self, now_ms: u64, random: u64) {
        let jitter_ms = random % (self.rules.open_ms / 4 + 1);
        self.state = State::Open { until_ms: now_ms + self.rules.open_ms + jitter_ms };
        self.window.clear();
    }
}

#[cfg(test)]
mod tests {
    use super::{Admission, Breaker, Outcome, Phase, Rules};
    use Admission::{Call, Probe, Refused};
    use Outcome::{Failure, Neutral, Success};

    const RULES: Rules =
        Rules { window_ms: 1_000, min_calls: 4, failure_percent: 50, open_ms: 100, probes: 2 };

    fn settled(outcomes: &[(Outcome, u64)]) -> Breaker {
        let mut breaker = Breaker::new(RULES);
        for (outcome, now_ms) in outcomes {
            assert_eq!(breaker.admit(*now_ms), Call);
            breaker.settle(Call, *outcome, *now_ms, 0);
        }
        breaker
    }

    #[test]
    fn it_opens_when_enough_of_enough_fail_within_the_window() {
        for (outcomes, phase) in [
            (vec![(Failure, 0); 3], Phase::Closed),
            (vec![(Failure, 0); 4], Phase::Open),
            (vec![(Success, 0), (Success, 0), (Failure, 0), (Failure, 0)], Phase::Open),
            (vec![(Success, 0), (Success, 0), (Success, 0), (Failure, 0)], Phase::Closed),
            (vec![(Neutral, 0), (Failure, 0), (Failure, 0), (Failure, 0)], Phase::Closed),
            // The first two have left the window.
            (vec![(Failure, 0), (Failure, 0), (Failure, 1_000), (Failure, 1_000)], Phase::Closed),
            (vec![(Failure, 0), (Failure, 500), (Failure, 600), (Failure, 999)], Phase::Open),
        ] {
            assert_eq!(settled(&outcomes).phase(), phase, "{outcomes:?}");
        }
    }

    enum Step {
        Admits(Admission),
        Settles(Admission, Outcome),
        Stands(Phase),
    }

    #[test]
    fn half_open_it_probes_then_closes_or_opens_again() {
        use Step::{Admits, Settles, Stands};
        let opened = vec![(Failure, 0); 4];
        for (name, steps) in [
            ("refuses for its time", vec![(99, Admits(Refused)), (99, Stands(Phase::Open))]),
            (
                "closes after as many successes as probes, which do not exceed their number",
                vec![
                    (100, Admits(Probe(1))),
                    (100, Admits(Probe(1))),
                    (100, Admits(Refused)),
                    (110, Settles(Probe(1), Success)),
                    (110, Admits(Refused)),
                    (120, Settles(Probe(1), Success)),
                    (120, Stands(Phase::Closed)),
                    (120, Admits(Call)),
                    // What had failed before is forgotten.
                    (120, Settles(Call, Failure)),
                    (120, Stands(Phase::Closed)),
                ],
            ),
            (
                "opens again at the first failure, and the other probe's end changes nothing",
                vec![
                    (100, Admits(Probe(1))),
                    (100, Admits(Probe(1))),
                    (110, Settles(Probe(1), Failure)),
                    (110, Stands(Phase::Open)),
                    (209, Admits(Refused)),
                    (210, Admits(Probe(2))),
                    (211, Settles(Probe(1), Success)),
                    (211, Admits(Probe(2))),
                    (211, Admits(Refused)),
                ],
            ),
            (
                "gives the place of a probe that says nothing to another",
                vec![
                    (100, Admits(Probe(1))),
                    (100, Admits(Probe(1))),
                    (110, Settles(Probe(1), Neutral)),
                    (110, Admits(Probe(1))),
                    (110, Admits(Refused)),
                ],
            ),
            (
                "does not count what was let through when it was closed",
                vec![
                    (50, Settles(Call, Success)),
                    (50, Stands(Phase::Open)),
                    (100, Admits(Probe(1))),
                    (100, Settles(Call, Failure)),
                    (100, Stands(Phase::HalfOpen)),
                ],
            ),
        ] {
            let mut breaker = settled(&opened);
            for (now_ms, step) in steps {
                match step {
                    Admits(admission) => {
                        assert_eq!(breaker.admit(now_ms), admission, "{name}, at {now_ms}");
                    }
                    Settles(admission, outcome) => breaker.settle(admission, outcome, now_ms, 0),
                    Stands(phase) => assert_eq!(breaker.phase(), phase, "{name}, at {now_ms}"),
                }
            }
        }
    }

    #[test]
    fn it_stays_open_for_up_to_a_quarter_longer() {
        for (random, until_ms) in [(0, 100), (25, 125), (26, 100), (u64::MAX, 100 + u64::MAX % 26)]
        {
            let mut breaker = settled(&[(Failure, 0); 3]);
            breaker.settle(Call, Failure, 0, random);
            assert_eq!(breaker.admit(until_ms - 1), Refused, "{random}");
            assert_eq!(breaker.admit(until_ms), Probe(1), "{random}");
        }
    }
}
