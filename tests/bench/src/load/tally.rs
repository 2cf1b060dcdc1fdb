//! What is counted: outcomes over the whole load, and throughput and latency within the window.

use super::Window;
use super::response::Outcome;
use crate::limits;
use crate::report::round;
use hdrhistogram::Histogram;
use std::collections::BTreeMap;
use std::time::{Duration, Instant};

/// Digits of a latency that are kept.
const SIGNIFICANT_DIGITS: u8 = 3;

/// What one measurement found.
pub struct Tally {
    from: Instant,
    to: Instant,
    latency: Histogram<u64>,
    in_window: [u64; 2],
    all: [u64; 2],
    unanswered: u64,
    errors: BTreeMap<String, u64>,
}

impl Tally {
    /// For a load that begins at `start`.
    pub fn new(start: Instant, window: Window) -> Self {
        let latency = Histogram::new_with_bounds(1, limits::LATENCY_US, SIGNIFICANT_DIGITS);
        Self {
            from: start + window.warm_up,
            to: start + window.total(),
            latency: latency.expect("the bounds are constants that fit"),
            in_window: [0; 2],
            all: [0; 2],
            unanswered: 0,
            errors: BTreeMap::new(),
        }
    }

    /// Counts a request that is about to be sent; an answer or a failure follows.
    pub fn begin(&mut self) {
        self.unanswered += 1;
    }

    /// Counts an answer. Its latency is `since` the moment that the caller takes as its beginning; it
    /// counts towards the window that `at` lies in.
    pub fn answer(&mut self, outcome: Outcome, since: Instant, now: Instant, at: Instant) {
        let kind = match outcome {
            Outcome::Granted => 0,
            Outcome::Refused => 1,
            Outcome::Wrong(what) => return self.fail(what),
        };
        self.unanswered -= 1;
        self.all[kind] += 1;
        if (self.from..self.to).contains(&at) {
            self.in_window[kind] += 1;
            self.latency.saturating_record(micros(now.duration_since(since)));
        }
    }

    /// Counts a failure.
    pub fn fail(&mut self, what: String) {
        self.unanswered -= 1;
        *self.errors.entry(what).or_default() += 1;
    }

    /// The figures.
    pub fn figures(&self) -> Figures {
        let seconds = self.to.duration_since(self.from).as_secs_f64();
        let rate = |count: u64| round(count as f64 / seconds, 1);
        let mut errors = self.errors.clone();
        if self.unanswered > 0 {
            errors.insert("no answer in time".to_owned(), self.unanswered);
        }
        let at = |quantile| round(self.latency.value_at_quantile(quantile) as f64 / 1_000.0, 3);
        Figures {
            granted: self.all[0],
            refused: self.all[1],
            granted_per_s: rate(self.in_window[0]),
            refused_per_s: rate(self.in_window[1]),
            p50_ms: at(0.5),
            p99_ms: at(0.99),
            p999_ms: at(0.999),
            max_ms: round(self.latency.max() as f64 / 1_000.0, 3),
            errors,
        }
    }
}

/// The figures of one measurement.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Figures {
    /// Requests that were granted, those outside of the window too.
    pub granted: u64,
    /// Requests that were refused, likewise.
    pub refused: u64,
    /// Requests granted a second, in the window.
    pub granted_per_s: f64,
    /// Requests refused a second, in the window.
    pub refused_per_s: f64,
    /// The median latency, ms.
    pub p50_ms: f64,
    /// 99 of 100 answers came within, ms.
    pub p99_ms: f64,
    /// 999 of 1,000 answers came within, ms.
    pub p999_ms: f64,
    /// The slowest answer, ms.
    pub max_ms: f64,
    /// Answers that should not have been, and how many of each.
    pub errors: BTreeMap<String, u64>,
}

fn micros(duration: Duration) -> u64 {
    u64::try_from(duration.as_micros()).unwrap_or(limits::LATENCY_US)
}

#[cfg(test)]
mod tests {
    use super::*;

    const WINDOW: Window = Window::of_ms(1_000, 2_000);

    #[test]
    fn quantiles_are_those_of_the_answers_in_the_window() {
        let start = Instant::now();
        let mut tally = Tally::new(start, WINDOW);
        // 1,000 answers of 1 to 1,000 ms, all at one moment in the window.
        let now = start + Duration::from_millis(1_500);
        for ms in 1..=1_000 {
            tally.begin();
            tally.answer(Outcome::Granted, now - Duration::from_millis(ms), now, now);
        }
        let figures = tally.figures();
        assert_eq!(figures.granted_per_s, 500.0);
        for (found, expected) in [
            (figures.p50_ms, 500.0),
            (figures.p99_ms, 990.0),
            (figures.p999_ms, 999.0),
            (figures.max_ms, 1_000.0),
        ] {
            assert!((found - expected).abs() <= expected / 500.0, "{found} is not {expected}");
        }
    }

    #[test]
    fn answers_outside_of_the_window_count_for_the_ledger_alone() {
        let start = Instant::now();
        let mut tally = Tally::new(start, WINDOW);
        for at_ms in [0, 999, 1_000, 2_999, 3_000, 9_000] {
            let now = start + Duration::from_millis(at_ms);
            for outcome in [Outcome::Granted, Outcome::Refused, Outcome::of_status(503)] {
                tally.begin();
                tally.answer(outcome, start, now, now);
            }
        }
        tally.begin();
        let figures = tally.figures();
        assert_eq!((figures.granted, figures.refused), (6, 6));
        assert_eq!((figures.granted_per_s, figures.refused_per_s), (1.0, 1.0));
        let errors = [("no answer in time".to_owned(), 1), ("status 503".to_owned(), 6)];
        assert_eq!(figures.errors, BTreeMap::from(errors));
    }

    #[test]
    fn a_latency_beyond_the_bound_is_kept_at_the_bound() {
        let start = Instant::now();
        let mut tally = Tally::new(start, Window { warm_up: Duration::ZERO, ..WINDOW });
        let now = start + Duration::from_secs(1);
        let Some(long_ago) = now.checked_sub(Duration::from_secs(600)) else { return };
        tally.begin();
        tally.answer(Outcome::Granted, long_ago, now, now);
        let found = tally.figures().max_ms;
        assert!((60_000.0..60_100.0).contains(&found), "{found}");
    }
}
