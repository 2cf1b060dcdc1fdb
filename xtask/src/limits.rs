//! Every bound of the developer commands, in one place.

use std::time::Duration;

/// Time that `rustup target add` may take before the next way to a toolchain is tried.
pub(crate) const RUSTUP_ATTEMPT: Duration = Duration::from_secs(120);

/// Time that a question to a program (`rustc -vV`, `id -u`) may take.
pub(crate) const PROBE: Duration = Duration::from_secs(30);

/// Seconds that apt waits for another package manager to finish.
pub(crate) const APT_LOCK_SECONDS: u32 = 120;

/// How often a waiting loop looks again.
pub(crate) const POLL_INTERVAL: Duration = Duration::from_millis(25);
