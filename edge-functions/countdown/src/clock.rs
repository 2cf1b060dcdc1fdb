//! The core's clock as an edge knows it.
//!
//! The edge asks the core for the time now and then and measures the round trip, as NTP does (RFC 5905,
//! section 8, with the server's two stamps taken as one): the core read its clock half a round trip
//! after the request left, give or take half a round trip. Of the last few samples the one with the
//! least uncertainty counts; uncertainty grows with age, because clocks drift. An older sample that a new
//! one contradicts is dropped (a falseticker, RFC 5905, section 11.2.1): the core's clock was set, or
//! another host is the core now, and how certain the old sample once was says nothing any more.
//!
//! Invariants:
//! - Answers of one instance never go back, unless this host's clock was set back by more than
//!   [`HOLD_MAX_MS`].
//! - A step of this host's wall clock does not move the answers: it is seen against the monotonic clock,
//!   taken out of the offset, and the answers say that they are less certain until the next sample.
//! - An answer that is held for the sake of the first is said to be that much less certain.
//! - With the core gone, the last offset goes on, and its uncertainty grows.

use serde::{Deserialize, Serialize};

/// Samples that are kept.
const SAMPLES_MAX: usize = 8;
/// How fast two clocks may drift apart, parts per million; quartz is good for less than this.
const DRIFT_PPM: i64 = 50;
/// How often a sample is taken, ms.
const SAMPLE_EVERY_MS: i64 = 10_000;
/// How soon after a failed attempt the next is made while there is no sample at all, ms.
const FIRST_RETRY_MS: i64 = 1_000;
/// Wall and monotonic clock disagreeing by more than this since the last look is a step, ms; less is
/// the slewing of a well-kept clock.
const STEP_MIN_MS: i64 = 100;
/// By how much a new sample may set the answers back without the diners seeing it, ms.
const HOLD_MAX_MS: i64 = 1_000;
/// A persisted sample older than this tells nothing, ms.
const PERSISTED_MAX_AGE_MS: i64 = 24 * 3_600_000;

/// One look at both clocks of this host.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Instant {
    /// The wall clock, ms since the epoch. It may step.
    pub wall_ms: i64,
    /// The monotonic clock, ms since some moment in this instance's life.
    pub monotonic_ms: i64,
}

/// One comparison with the core's clock.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Sample {
    /// The core's clock minus this host's wall clock.
    pub offset_ms: i64,
    /// How far `offset_ms` may have been off when it was taken.
    pub uncertainty_ms: i64,
    /// When it was taken, on this host's wall clock.
    pub taken_at_ms: i64,
}

impl Sample {
    /// A sample from a request that left at `sent` and was answered at `received`, by a core that read
    /// `core_now_ms` on a clock that is good to `core_uncertainty_ms`.
    ///
    /// `None` if the wall clock stepped in between.
    pub fn new(
        sent: Instant,
        received: Instant,
        core_now_ms: i64,
        core_uncertainty_ms: i64,
    ) -> Option<Self> {
        let round_trip_ms = received.monotonic_ms.checked_sub(sent.monotonic_ms)?;
        let wall_trip_ms = received.wall_ms.checked_sub(sent.wall_ms)?;
        if round_trip_ms < 0 || wall_trip_ms.abs_diff(round_trip_ms) > STEP_MIN_MS.unsigned_abs() {
            return None;
        }
        let midpoint_ms = sent.wall_ms.checked_add(round_trip_ms / 2)?;
        // The last millisecond is for the clocks' own rounding.
        let half_ms = round_trip_ms / 2 + round_trip_ms % 2 + 1;
        Some(Self {
            offset_ms: core_now_ms.checked_sub(midpoint_ms)?,
            uncertainty_ms: half_ms.checked_add(core_uncertainty_ms.max(0))?,
            taken_at_ms: received.wall_ms,
        })
    }

    /// How far the offset may be off at `wall_ms`.
    fn uncertainty_at(&self, wall_ms: i64) -> i64 {
        let age_ms = wall_ms.saturating_sub(self.taken_at_ms).max(0);
        let drift_ms = age_ms.saturating_mul(DRIFT_PPM).saturating_add(999_999) / 1_000_000;
        self.uncertainty_ms.saturating_add(drift_ms)
    }

    /// Whether both can be true at `wall_ms`: their intervals have a moment in common.
    fn agrees_with(&self, other: &Self, wall_ms: i64) -> bool {
        let reach_ms = self.uncertainty_at(wall_ms).saturating_add(other.uncertainty_at(wall_ms));
        self.offset_ms.abs_diff(other.offset_ms) <= reach_ms.unsigned_abs()
    }

    /// Takes a step of the wall clock since it was taken out of it.
    ///
    /// Either clock may be the one that jumped (a machine that slept stops its monotonic clock on some
    /// systems), so that the whole step becomes uncertainty.
    fn take_out(&mut self, step_ms: i64) {
        self.offset_ms = self.offset_ms.saturating_sub(step_ms);
        self.taken_at_ms = self.taken_at_ms.saturating_add(step_ms);
        self.uncertainty_ms = self.uncertainty_ms.saturating_add(step_ms.saturating_abs());
    }
}

/// By how much the wall clock stepped from one look to another, if it did.
fn step_between(from: Instant, to: Instant) -> Option<i64> {
    let wall_ms = to.wall_ms.saturating_sub(from.wall_ms);
    let step_ms = wall_ms.saturating_sub(to.monotonic_ms.saturating_sub(from.monotonic_ms));
    (step_ms.saturating_abs() > STEP_MIN_MS).then_some(step_ms)
}

/// What time it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Reading {
    /// The core's clock, as well as it is known, ms since the epoch.
    pub now_ms: i64,
    /// How far that may be off; `None` if the core's clock was never heard.
    pub uncertainty_ms: Option<i64>,
}

/// Whether to ask the core for the time.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Need {
    /// Not yet.
    Nothing,
    /// Yes, but nobody should wait for it.
    Background,
    /// Yes, before answering: nothing is known.
    Now,
}

/// The core's clock as this instance knows it.
#[derive(Debug)]
pub struct CoreClock {
    samples: Vec<Sample>,
    last_look: Option<Instant>,
    /// When the core was last asked, on the monotonic clock.
    last_attempt_ms: Option<i64>,
    /// When the core last failed to answer, on the monotonic clock.
    last_failure_ms: Option<i64>,
    last_answer_ms: i64,
}

impl CoreClock {
    /// A clock that knows nothing.
    pub const fn new() -> Self {
        Self {
            samples: Vec::new(),
            last_look: None,
            last_attempt_ms: None,
            last_failure_ms: None,
            last_answer_ms: i64::MIN,
        }
    }

    /// Whether a sample is known.
    pub fn is_set(&self) -> bool {
        !self.samples.is_empty()
    }

    /// Whether to ask the core. Whoever gets another answer than [`Need::Nothing`] makes the attempt,
    /// and tells [`Self::add`] or [`Self::fail`] how it went.
    ///
    /// While nothing is known everybody asks, since an answer without the core's time is worth little.
    pub fn need(&mut self, at: Instant) -> Need {
        self.look(at);
        let (since, every_ms, need) = if self.is_set() {
            (self.last_attempt_ms, SAMPLE_EVERY_MS, Need::Background)
        } else {
            (self.last_failure_ms, FIRST_RETRY_MS, Need::Now)
        };
        if since.is_some_and(|since_ms| at.monotonic_ms.saturating_sub(since_ms) < every_ms) {
            return Need::Nothing;
        }
        self.last_attempt_ms = Some(at.monotonic_ms);
        need
    }

    /// Notes that the core did not answer.
    pub fn fail(&mut self, at: Instant) {
        self.last_failure_ms = Some(at.monotonic_ms);
    }

    /// Takes a new sample in, from an exchange that ended at `received`, and drops what it contradicts.
    pub fn add(&mut self, mut sample: Sample, received: Instant, at: Instant) {
        self.look(at);
        if let Some(step_ms) = step_between(received, at) {
            sample.take_out(step_ms);
        }
        self.samples.retain(|older| older.agrees_with(&sample, at.wall_ms));
        if self.samples.len() >= SAMPLES_MAX {
            self.samples.remove(0);
        }
        self.samples.push(sample);
    }

    /// Takes a sample in that another instance left behind, if it tells anything.
    pub fn restore(&mut self, sample: Sample, at: Instant) {
        let age_ms = at.wall_ms.saturating_sub(sample.taken_at_ms);
        if !self.is_set() && (0..=PERSISTED_MAX_AGE_MS).contains(&age_ms) {
            self.add(sample, at, at);
        }
    }

    /// The sample that counts at a moment: the least uncertain, the later of equals.
    pub fn best(&self, wall_ms: i64) -> Option<Sample> {
        let newest_first = self.samples.iter().rev();
        newest_first.min_by_key(|sample| sample.uncertainty_at(wall_ms)).copied()
    }

    /// What time it is.
    pub fn read(&mut self, at: Instant) -> Reading {
        self.look(at);
        let best = self.best(at.wall_ms);
        let offset_ms = best.map_or(0, |sample| sample.offset_ms);
        let now_ms = at.wall_ms.saturating_add(offset_ms);
        // A better sample may say that the answers so far ran ahead by a little: wait for it.
        let ahead_ms = self.last_answer_ms.saturating_sub(now_ms);
        let held_ms = if (1..=HOLD_MAX_MS).contains(&ahead_ms) { ahead_ms } else { 0 };
        let now_ms = now_ms.saturating_add(held_ms);
        self.last_answer_ms = now_ms;
        let uncertainty_ms =
            best.map(|sample| sample.uncertainty_at(at.wall_ms).saturating_add(held_ms));
        Reading { now_ms, uncertainty_ms }
    }

    /// Looks for a step of the wall clock since the last look, and takes it out of what is known. The
    /// next sample is then due at once.
    fn look(&mut self, at: Instant) {
        let Some(last) = self.last_look.replace(at) else { return };
        let Some(step_ms) = step_between(last, at) else { return };
        for sample in &mut self.samples {
            sample.take_out(step_ms);
        }
        self.last_attempt_ms = None;
    }
}

impl Default for CoreClock {
    fn default() -> Self {
        Self::new()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(wall_ms: i64, monotonic_ms: i64) -> Instant {
        Instant { wall_ms, monotonic_ms }
    }

    /// A moment at which wall and monotonic clock are in step, `ms` after the start.
    fn after(ms: i64) -> Instant {
        at(1_000_000 + ms, 50 + ms)
    }

    fn sample(offset_ms: i64, uncertainty_ms: i64, taken: Instant) -> Sample {
        Sample { offset_ms, uncertainty_ms, taken_at_ms: taken.wall_ms }
    }

    #[test]
    fn the_offset_is_taken_at_half_the_round_trip() {
        for (sent, received, core_now_ms, core_uncertainty_ms, expected) in [
            (after(0), after(0), 1_000_500, 0, Some((500, 1))),
            (after(0), after(20), 1_000_510, 0, Some((500, 11))),
            (after(0), after(21), 1_000_510, 0, Some((500, 12))),
            (after(0), after(20), 999_010, 3, Some((-1_000, 14))),
            (after(0), after(20), 999_010, -3, Some((-1_000, 11))),
            // The wall clock stepped during the exchange, forth and back.
            (at(1_000, 0), at(1_200, 20), 0, 0, None),
            (at(1_000, 0), at(800, 20), 0, 0, None),
            // Monotonic clocks do not go back; if one does, nothing it says is used.
            (at(1_000, 20), at(1_000, 10), 0, 0, None),
            (at(0, 0), at(0, 0), i64::MIN, 0, Some((i64::MIN, 1))),
            (at(1, 0), at(1, 0), i64::MIN, 0, None),
        ] {
            let sample = Sample::new(sent, received, core_now_ms, core_uncertainty_ms);
            let found = sample.map(|sample| (sample.offset_ms, sample.uncertainty_ms));
            assert_eq!(found, expected, "{sent:?} {received:?} {core_now_ms}");
        }
    }

    #[test]
    fn the_true_time_is_always_within_the_uncertainty() {
        // However the round trip splits into there and back, the bound must hold.
        let true_offset_ms = 777;
        for there_ms in 0..60 {
            for back_ms in 0..60 {
                let (sent, received) = (after(0), after(there_ms + back_ms));
                let core_now_ms = after(there_ms).wall_ms + true_offset_ms;
                let sample = Sample::new(sent, received, core_now_ms, 0).unwrap();
                let off_ms = (sample.offset_ms - true_offset_ms).abs();
                assert!(off_ms <= sample.uncertainty_ms, "{there_ms} {back_ms}");
            }
        }
    }

    #[test]
    fn without_a_sample_the_own_clock_is_all_there_is() {
        let reading = CoreClock::new().read(after(0));
        assert_eq!(reading, Reading { now_ms: 1_000_000, uncertainty_ms: None });
    }

    #[test]
    fn the_least_uncertain_sample_counts_until_it_has_aged() {
        let mut clock = CoreClock::new();
        clock.add(sample(100, 5, after(0)), after(0), after(0));
        clock.add(sample(103, 8, after(0)), after(0), after(0));
        assert_eq!(clock.read(after(0)), Reading { now_ms: 1_000_100, uncertainty_ms: Some(5) });
        // 50 ppm of 100 s are 5 ms.
        let later = clock.read(after(100_000));
        assert_eq!(later, Reading { now_ms: 1_100_100, uncertainty_ms: Some(10) });
        clock.add(sample(104, 9, after(100_000)), after(100_000), after(100_000));
        let newer = clock.read(after(100_000));
        assert_eq!(newer, Reading { now_ms: 1_100_104, uncertainty_ms: Some(9) });
    }

    #[test]
    fn only_the_last_samples_are_kept() {
        let mut clock = CoreClock::new();
        clock.add(sample(1, 1, after(0)), after(0), after(0));
        for _ in 0..SAMPLES_MAX {
            clock.add(sample(2, 9, after(0)), after(0), after(0));
        }
        assert_eq!(clock.best(after(0).wall_ms).map(|sample| sample.offset_ms), Some(2));
    }

    #[test]
    fn answers_do_not_go_back_when_a_better_sample_comes() {
        let mut clock = CoreClock::new();
        clock.add(sample(100, 50, after(0)), after(0), after(0));
        assert_eq!(clock.read(after(0)).now_ms, 1_000_100);
        clock.add(sample(80, 2, after(0)), after(0), after(0));
        let held = Reading { now_ms: 1_000_100, uncertainty_ms: Some(2 + 1 + 15) };
        assert_eq!(clock.read(after(5)), held, "15 ms ahead of what is known, and says so");
        assert_eq!(clock.read(after(20)).now_ms, 1_000_100, "caught up");
        assert_eq!(clock.read(after(25)).now_ms, 1_000_105);
    }

    #[test]
    fn a_new_sample_beats_those_it_contradicts() {
        // The core's clock was set, or another host is the core now; the old sample was a lucky one.
        for stepped_ms in [60_100, -59_900] {
            let mut clock = CoreClock::new();
            clock.add(sample(100, 2, after(0)), after(0), after(0));
            clock.add(sample(101, 3, after(5)), after(5), after(5));
            let at = after(10_000);
            clock.add(sample(stepped_ms, 40, at), at, at);
            let expected = Reading { now_ms: at.wall_ms + stepped_ms, uncertainty_ms: Some(40) };
            assert_eq!(clock.read(at), expected, "offset {stepped_ms}");
        }
        // So it is with what another instance left behind.
        let mut clock = CoreClock::new();
        clock.restore(sample(100, 2, after(0)), after(0));
        clock.add(sample(5_000, 40, after(10)), after(10), after(10));
        assert_eq!(clock.read(after(10)).now_ms, after(10).wall_ms + 5_000);
        // Intervals that only touch are no contradiction; the better sample still counts.
        for (offset_ms, expected_ms) in [(142, 100), (143, 143), (58, 100), (57, 57)] {
            let mut clock = CoreClock::new();
            clock.add(sample(100, 2, after(0)), after(0), after(0));
            clock.add(sample(offset_ms, 40, after(0)), after(0), after(0));
            let best = clock.best(after(0).wall_ms).map(|sample| sample.offset_ms);
            assert_eq!(best, Some(expected_ms), "offset {offset_ms}");
        }
    }

    #[test]
    fn a_step_after_the_exchange_is_taken_out_of_its_sample_too() {
        for step_ms in [60_000, -60_000] {
            let mut clock = CoreClock::new();
            clock.add(sample(100, 5, after(0)), after(0), after(0));
            let stepped = at(after(20).wall_ms + step_ms, after(20).monotonic_ms);
            clock.add(sample(100, 4, after(10)), after(10), stepped);
            let expected = Reading { now_ms: 1_000_120, uncertainty_ms: Some(4 + 60_000 + 1) };
            assert_eq!(clock.read(stepped), expected, "step of {step_ms}");
        }
    }

    #[test]
    fn a_step_of_the_wall_clock_is_taken_out() {
        for step_ms in [3_600_000, -3_600_000, 101, -101] {
            let mut clock = CoreClock::new();
            clock.add(sample(100, 5, after(0)), after(0), after(0));
            assert_eq!(clock.need(after(0)), Need::Background);
            assert_eq!(clock.read(after(10)).now_ms, 1_000_110);
            let stepped = at(after(20).wall_ms + step_ms, after(20).monotonic_ms);
            let reading = clock.read(stepped);
            assert_eq!(reading.now_ms, 1_000_120, "step of {step_ms}");
            assert_eq!(reading.uncertainty_ms, Some(5 + step_ms.abs() + 1), "step of {step_ms}");
            assert_eq!(clock.need(stepped), Need::Background, "a new sample is due at once");
        }
        let mut clock = CoreClock::new();
        clock.add(sample(100, 5, after(0)), after(0), after(0));
        let slewed = at(after(20).wall_ms + 100, after(20).monotonic_ms);
        assert_eq!(clock.read(slewed).uncertainty_ms, Some(6), "no step");
    }

    #[test]
    fn the_core_is_waited_for_only_while_nothing_is_known() {
        let mut clock = CoreClock::new();
        assert_eq!(clock.need(after(0)), Need::Now);
        assert_eq!(clock.need(after(1)), Need::Now, "nobody answers without the time");
        clock.fail(after(10));
        for (ms, expected) in [(11, Need::Nothing), (1_009, Need::Nothing), (1_010, Need::Now)] {
            assert_eq!(clock.need(after(ms)), expected, "unset, at {ms}");
        }
        clock.add(sample(0, 5, after(1_100)), after(1_100), after(1_100));
        for (ms, expected) in [
            (1_100, Need::Nothing),
            (11_009, Need::Nothing),
            (11_010, Need::Background),
            (11_011, Need::Nothing),
            (21_010, Need::Background),
        ] {
            assert_eq!(clock.need(after(ms)), expected, "set, at {ms}");
        }
    }

    #[test]
    fn a_persisted_sample_counts_if_it_is_from_the_near_past() {
        for (taken_at_ms, expected) in [
            (1_000_000, true),
            (1_000_000 - PERSISTED_MAX_AGE_MS, true),
            (1_000_000 - PERSISTED_MAX_AGE_MS - 1, false),
            (1_000_001, false),
        ] {
            let mut clock = CoreClock::new();
            let sample = Sample { offset_ms: 7, uncertainty_ms: 1, taken_at_ms };
            clock.restore(sample, after(0));
            assert_eq!(clock.is_set(), expected, "taken at {taken_at_ms}");
        }
        let mut clock = CoreClock::new();
        clock.add(sample(1, 9, after(0)), after(0), after(0));
        clock.restore(sample(2, 1, after(0)), after(0));
        assert_eq!(clock.read(after(0)).now_ms, 1_000_001, "own samples are better");
    }
}
