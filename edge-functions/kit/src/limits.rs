//! Every limit of what the functions share. Units come last in each name.

/// The longest request path that is read, bytes.
pub const PATH_MAX_BYTES: usize = 1_024;
/// The most segments a request path may have.
pub const PATH_MAX_SEGMENTS: usize = 16;
/// The longest query that is read, bytes.
pub const QUERY_MAX_BYTES: usize = 2_048;
/// The most parameters a query may have.
pub const QUERY_MAX_PARAMETERS: usize = 32;
/// The longest `traceparent` that is passed on, bytes; version 00 has 55.
pub const TRACEPARENT_MAX_BYTES: usize = 128;

/// Entries in the memory of one instance, the small negative ones included.
pub const MEMORY_MAX_ENTRIES: usize = 4_096;
/// Bodies and keys in the memory of one instance, bytes.
pub const MEMORY_MAX_BYTES: usize = 8 << 20;
/// The greatest value that the key-value store takes, bytes.
pub const STORED_VALUE_MAX_BYTES: usize = 1_000_000;
/// Slots for negative entries in the key-value store. It has no eviction of its own on every host, so
/// that ids which a client invents must not each leave a key behind; they share these instead.
pub const ABSENT_SLOTS: u64 = 1 << 16;
/// Refreshes in the background that one instance has under way at a time.
pub const BACKGROUND_REFRESHES_MAX: usize = 64;

/// The greatest body of the core that is read, bytes.
pub const CORE_BODY_MAX_BYTES: usize = 4 << 20;
/// How long a connection to the core may take, ms.
pub const CORE_CONNECT_TIMEOUT_MS: u64 = 500;
/// How long the core may take to begin its answer to a public read, ms.
pub const READ_FIRST_BYTE_TIMEOUT_MS: u64 = 2_000;
/// How long the core may take for its whole answer to a public read, from the connection on, ms.
pub const READ_TOTAL_TIMEOUT_MS: u64 = 5_000;
/// After the core failed to answer, how long nobody waits for it who has a stale entry, ms. A core that
/// hangs then costs one diner in a while the timeout, not each of them.
pub const CORE_FAILING_MS: i64 = 30_000;
/// How often the core is asked in the background during that time, ms.
pub const CORE_PROBE_EVERY_MS: i64 = 1_000;
/// What a diner is told in `Retry-After` while the core cannot be reached, s.
pub const RETRY_AFTER_S: u32 = 2;

/// How far a lifetime is stretched or shrunk at random, thousandths.
pub const JITTER_PERMILLE: u64 = 100;
/// An entry from further in the future than this was stored before the clock was set back, ms.
pub const CLOCK_STEP_MAX_MS: i64 = 60_000;
