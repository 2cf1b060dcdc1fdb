//! Every limit that the programs share.

use std::time::Duration;

/// How long a line of the log that is no warning may wait for others.
pub const LOG_DELAY: Duration = Duration::from_millis(20);
/// Bytes of such lines after which they are written.
pub const LOG_BUFFER_BYTES: usize = 64 * 1024;
/// Lines that one place in a program may log in [`LOG_WINDOW`]; further ones are counted.
pub const LOG_LINES_PER_PLACE: u32 = 100;
/// How long those are counted together.
pub const LOG_WINDOW: Duration = Duration::from_secs(10);
