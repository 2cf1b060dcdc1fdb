//! How long to wait before a core or an upstream is tried again.

use std::hash::{BuildHasher as _, RandomState};
use std::time::Duration;

/// `first`, doubled so many times, and `longest` at most.
pub(crate) fn doubled(first: Duration, times: u32, longest: Duration) -> Duration {
    first.saturating_mul(2_u32.saturating_pow(times)).min(longest)
}

/// Shortened at random by up to a half, so that the nodes of a core do not ask as one.
pub(crate) fn shrunk(pause: Duration) -> Duration {
    let random = u32::try_from(random() % 1_000).unwrap_or(0);
    pause * (500 + random / 2) / 1_000
}

/// Any number: for jitter, not for secrets. Each state of the standard library's hasher is random.
pub(crate) fn random() -> u64 {
    RandomState::new().hash_one(())
}
