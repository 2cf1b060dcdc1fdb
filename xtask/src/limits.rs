//! Every bound of the developer commands, in one place.

use std::time::Duration;

#[cfg(test)]
pub(crate) use tiffin_services::limits::PROBE;

/// Time that `rustup target add` may take before the next way to a toolchain is tried.
pub(crate) const RUSTUP_ATTEMPT: Duration = Duration::from_secs(120);

/// How often a waiting loop looks again.
pub(crate) const POLL_INTERVAL: Duration = Duration::from_millis(25);

/// Time that the core or the edge may take to become ready; the edge compiles its components then.
pub(crate) const READY: Duration = Duration::from_secs(180);

/// Time that a program gets to stop before it is killed.
pub(crate) const STOP: Duration = Duration::from_secs(15);

/// Lines of a program's log that are shown when it ends unasked.
pub(crate) const LAST_WORDS_LINES: usize = 15;

/// Time to connect to one of our own programs.
pub(crate) const HTTP_CONNECT: Duration = Duration::from_secs(1);

/// Time between two pieces of an answer of one of our own programs.
pub(crate) const HTTP_ANSWER: Duration = Duration::from_secs(10);

/// The longest answer that is read, headers included.
pub(crate) const HTTP_ANSWER_BYTES: u64 = 8 * 1024 * 1024;

/// How often the edge's token for the feed is made anew; the core lets one hold for an hour.
pub(crate) const FEED_TOKEN_RENEWAL: Duration = Duration::from_secs(1_800);

/// How often a MariaDB or Redis that ended unasked is started again before we give up.
pub(crate) const DAEMON_RESTARTS: u32 = 20;

/// Simulated histories that a test run tries.
pub(crate) const TEST_SEEDS: u32 = 20;

/// Time that cargo may take to list test programs that are built already; much more than it needs,
/// because another cargo may be building.
pub(crate) const LIST_TESTS: Duration = Duration::from_secs(600);
