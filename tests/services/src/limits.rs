//! Every bound of the private services, in one place.

use std::ops::RangeInclusive;
use std::time::Duration;

/// Time that a question to a program (`id -u`) may take.
pub const PROBE: Duration = Duration::from_secs(30);

/// How often a waiting loop looks again.
pub(crate) const POLL_INTERVAL: Duration = Duration::from_millis(10);

/// Seconds that apt waits for another package manager to finish.
pub(crate) const APT_LOCK_SECONDS: u32 = 120;

/// Time that a new MariaDB data folder may take.
pub(crate) const MARIADB_INSTALL: Duration = Duration::from_secs(120);

/// Time that MariaDB may take to answer; after a crash it first replays its log.
pub(crate) const MARIADB_READY: Duration = Duration::from_secs(120);

/// Time that MariaDB gets to stop before it is killed.
pub(crate) const MARIADB_STOP: Duration = Duration::from_secs(30);

/// Time that Redis may take to answer.
pub(crate) const REDIS_READY: Duration = Duration::from_secs(20);

/// Time that Redis gets to stop before it is killed; it has nothing to save.
pub(crate) const REDIS_STOP: Duration = Duration::from_secs(5);

/// Time that one question whether a daemon answers may take.
pub(crate) const GREETING: Duration = Duration::from_secs(1);

/// Lines of a daemon's log that an error shows.
pub(crate) const LAST_WORDS_LINES: usize = 15;

/// Bytes from the end of a daemon's log among which those lines are looked for.
pub(crate) const LAST_WORDS_BYTES: u64 = 32 * 1024;

/// Ports for the daemons: below those that systems hand to outgoing connections (32768 and up on
/// Linux, 49152 and up elsewhere).
pub(crate) const PORTS: RangeInclusive<u16> = 21_000..=29_999;

/// How many ports are tried when another process snatches the chosen one.
pub(crate) const PORT_ATTEMPTS: u32 = 5;

/// How many folders `WhenInUse::NextFolder` tries.
pub(crate) const FOLDERS: u32 = 16;

/// Connections that MariaDB takes at once.
pub(crate) const MARIADB_CONNECTIONS: u32 = 400;
