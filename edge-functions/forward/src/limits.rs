//! Every limit of the forward function. Units come last in each name.

/// The greatest body that is passed on, bytes.
pub const BODY_MAX_BYTES: usize = 256 << 10;
/// The most header lines of a request.
pub const HEADERS_MAX: usize = 64;
/// All header lines of a request together, bytes.
pub const HEADERS_MAX_BYTES: usize = 16 << 10;
/// The longest query that is passed on, bytes.
pub const QUERY_MAX_BYTES: usize = 2_048;

/// How long one request may keep the core busy in all, ms: the key set, the connection, the answer's
/// head and its last byte together. A diner who orders hears "try again" within two seconds of having
/// sent the order, whatever the core does; the rest of the two seconds is for the edge itself. The time
/// that the client takes to send its body does not count.
pub const CORE_BUDGET_MS: u64 = 1_500;
/// How long a connection to the core may take, ms; less if less of the budget is left.
pub const CONNECT_TIMEOUT_MS: u64 = 400;
/// How long the core may then take to begin its answer, and between any two parts of it, ms; less if
/// less of the budget is left.
pub const FIRST_BYTE_TIMEOUT_MS: u64 = 1_100;

/// How long the key set is fresh, ms.
pub const KEYS_FRESH_MS: u64 = 5 * 60_000;
/// How long after that it is still used, ms. The core checks tokens again, so that an old key here
/// grants nothing.
pub const KEYS_STALE_MS: u64 = 24 * 3_600_000;
/// How often at most the key set is fetched anew because a token names an unknown key, ms.
pub const KEYS_REFETCH_EVERY_MS: i64 = 10_000;
