//! Successes and failures over a sliding window of time. Pure: the time is a parameter.
//!
//! The window is a ring of buckets, each of a tenth of its length: what leaves it leaves by tenths.

const BUCKETS: usize = 10;

/// How many succeeded and failed.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) struct Counts {
    /// Good ones.
    pub(super) succeeded: u32,
    /// Bad ones.
    pub(super) failed: u32,
}

/// The ring.
#[derive(Debug)]
pub(super) struct Window {
    bucket_ms: u64,
    buckets: [Counts; BUCKETS],
    /// The number of the newest bucket since the beginning of time.
    newest: u64,
}

impl Window {
    /// An empty window.
    pub(super) fn new(length_ms: u64) -> Self {
        let bucket_ms = (length_ms / BUCKETS as u64).max(1);
        Self { bucket_ms, buckets: [Counts::default(); BUCKETS], newest: 0 }
    }

    /// Counts one. A time before that of an earlier call counts as the later one.
    pub(super) fn record(&mut self, is_failure: bool, now_ms: u64) {
        self.advance(now_ms);
        let bucket = self.bucket(self.newest);
        let count = if is_failure { &mut bucket.failed } else { &mut bucket.succeeded };
        *count = count.saturating_add(1);
    }

    /// What the window holds.
    pub(super) fn counts(&mut self, now_ms: u64) -> Counts {
        self.advance(now_ms);
        self.buckets.iter().fold(Counts::default(), |sum, bucket| Counts {
            succeeded: sum.succeeded.saturating_add(bucket.succeeded),
            failed: sum.failed.saturating_add(bucket.failed),
        })
    }

    /// Forgets everything.
    pub(super) fn clear(&mut self) {
        self.buckets = [Counts::default(); BUCKETS];
    }

    fn advance(&mut self, now_ms: u64) {
        let now = now_ms / self.bucket_ms;
        let passed = now.saturating_sub(self.newest).min(BUCKETS as u64);
        self.newest = self.newest.max(now);
        for back in 0..passed {
            *self.bucket(self.newest - back) = Counts::default();
        }
    }

    fn bucket(&mut self, number: u64) -> &mut Counts {
        let index = usize::try_from(number % BUCKETS as u64).expect("it is less than ten");
        &mut self.buckets[index]
    }
}

#[cfg(test)]
mod tests {
    use super::{Counts, Window};

    #[test]
    fn what_is_older_than_the_window_has_left_it() {
        let mut window = Window::new(1_000);
        for (now_ms, is_failure, succeeded, failed) in [
            (0, false, 1, 0),
            (50, true, 1, 1),
            (999, true, 1, 2),
            // The first tenth is over.
            (1_000, false, 1, 1),
            // A late caller with an early time counts as now.
            (400, true, 1, 2),
            (1_899, true, 1, 3),
            (1_900, true, 1, 3),
            (9_000_000, false, 1, 0),
        ] {
            window.record(is_failure, now_ms);
            let counts = window.counts(now_ms);
            assert_eq!(counts, Counts { succeeded, failed }, "at {now_ms}");
        }
        assert_eq!(window.counts(9_002_000), Counts::default());
        window.record(true, 9_002_000);
        window.clear();
        assert_eq!(window.counts(9_002_000), Counts::default());
    }
}
