//! Every bound of the benchmark, in one place.

use std::time::Duration;

/// The client counts of a whole run.
pub const CLIENTS: &[usize] = &[1, 8, 64, 256, 512];
/// The client counts of a quick run.
pub const CLIENTS_QUICK: &[usize] = &[1, 64, 256];
/// The client count at which ratios are formed.
pub const RATIO_CLIENTS: usize = 256;
/// The items of the wide catalogue, and the stores that they are spread over.
pub const WIDE_ITEMS: usize = 1_000;
/// See [`WIDE_ITEMS`].
pub const WIDE_STORES: usize = 20;
/// Units of every item but the one that sells out.
pub const HUGE_STOCK_UNITS: i64 = 1_000_000_000;
/// Units of each item that sells out.
pub const SCARCE_STOCK_UNITS: i64 = 100;
/// Items that sell out: one for each round.
pub const SCARCE_ITEMS: usize = 8;
/// Orders in the small table before the growth scenario's load.
pub const SMALL_TABLE_ORDERS: u64 = 1_000;
/// Orders in the large one.
pub const LARGE_TABLE_ORDERS: u64 = 1_000_000;
/// How long a server may take to write to the disk what filling has left in its memory.
pub const SETTLE_WITHIN: Duration = Duration::from_secs(6);
/// Pages that wait to be written when it counts as done: what an idle server leaves lying.
pub const SETTLED_PAGES: u64 = 4_096;
/// Orders that one statement of the filling writes.
pub const FILL_CHUNK_ORDERS: u64 = 100_000;
/// The share of the peak throughput at which latency is judged.
pub const LATENCY_LOAD: f64 = 0.7;
/// Connections of the open loop: more than are ever busy unless the system falls behind.
pub const OPEN_CONNECTIONS: usize = 384;
/// Buyers whose tokens every server has seen before; each request takes the next one, and after the last
/// the first again. Few enough for a server to remember them all.
pub const BUYERS_KNOWN: usize = 10_000;
/// Buyers whose tokens no server has seen: more than one measurement has requests.
pub const BUYERS_FRESH: usize = 100_000;
/// Connections over which a server is shown every token.
pub const GREETING_CONNECTIONS: usize = 64;
/// The units that a buyer may hold in unpaid orders: nobody pays here, so it must not bound the run.
pub const HELD_UNITS: u32 = 1_000_000;
/// After how long tokens are signed anew; they hold for an hour.
pub const TOKENS_RENEWED_AFTER: Duration = Duration::from_secs(45 * 60);
/// How long a quick run may take until its last measurement begins.
pub const QUICK_BUDGET: Duration = Duration::from_secs(165);
/// How long one answer may take.
pub const ANSWER_WITHIN: Duration = Duration::from_secs(15);
/// The largest answer that is read, bytes.
pub const ANSWER_BYTES: usize = 64 * 1024;
/// What one read from a connection may bring at first, bytes: a menu and its head.
pub const FIRST_READ_BYTES: usize = 16 * 1024;
/// Headers of one answer.
pub const ANSWER_HEADERS: usize = 32;
/// The wait before a client whose connection failed connects again.
pub const RECONNECT_PAUSE: Duration = Duration::from_millis(50);
/// The longest latency that is told apart, µs.
pub const LATENCY_US: u64 = 60_000_000;
/// How long a program may take to start.
pub const READY_WITHIN: Duration = Duration::from_secs(30);
/// How long a program may take to stop by itself.
pub const STOP_WITHIN: Duration = Duration::from_secs(15);
/// The same after a failure, when nobody waits for a result.
pub const STOP_AFTER_FAILURE_WITHIN: Duration = Duration::from_secs(3);
/// How long an asynchronous writer may take to catch up.
pub const DRAIN_WITHIN: Duration = Duration::from_secs(120);
/// How often something is looked at that is waited for.
pub const POLL: Duration = Duration::from_millis(20);
/// Orders that the asynchronous baseline may owe to the database; at the bound, clients wait. Enough for full
/// batches of all its writers: more would only put off the writing until after a measurement.
pub const OWED_ORDERS: usize = 2 * WRITERS * WRITER_BATCH;
/// Orders of one transaction of its writers.
pub const WRITER_BATCH: usize = 512;
/// Its writers.
pub const WRITERS: usize = 2;
/// How long it remembers an Idempotency-Key, ms: as long as the core does.
pub const REMEMBER_MS: i64 = 48 * 3_600 * 1_000;
/// How long Redis may take to answer.
pub const REDIS_WITHIN: Duration = Duration::from_secs(5);
/// How long a transaction waits for a connection or for its commit.
pub const ACQUIRE_WITHIN: Duration = Duration::from_secs(10);
/// How often a transaction that met a deadlock is tried.
pub const TRIES: u32 = 5;
/// Pool sizes that a whole run tries for the row-lock baseline.
pub const POOLS: &[u32] = &[8, 16, 32, 64];
/// Its pool in a quick run: the best of a whole one on two processors.
pub const POOL_QUICK: u32 = 32;
/// How long an order of a baseline may stay unpaid, ms; nothing closes them.
pub const PAY_WITHIN_MS: i64 = 15 * 60 * 1_000;
/// How long the core's orders may stay unpaid, s: longer than any run, so that none closes in it.
pub const CORE_PAY_WITHIN_S: u32 = 86_400;

// --- the edge --------------------------------------------------------------------------------------

/// Connections of an open loop, and clients of an outage: a node's share of one processor.
pub const EDGE_CONNECTIONS: usize = 64;
/// Clients of a closed loop that each server is tried with; it is then measured with those that suit it best. A server
/// with one thread of events wants few, one with a thread for each connection wants many, so that some can always run.
pub const EDGE_CLIENTS: &[usize] = &[64, 256];
/// Clients that ask all at once.
pub const EDGE_CROWD: usize = 256;
/// Rounds of each comparison, whole and quick.
pub const EDGE_ROUNDS: u32 = 5;
/// See [`EDGE_ROUNDS`].
pub const EDGE_ROUNDS_QUICK: u32 = 2;
/// The share of the slowest system's throughput at which latency is judged: all at the same rate.
pub const EDGE_LATENCY_LOAD: f64 = 0.6;
/// A processor that is busy for this share of the time is what bounds the throughput.
pub const SATURATED: f64 = 0.9;
/// Other programs that take this share of the servers' processor are worth a word.
pub const DISTURBED: f64 = 0.05;
/// How long what is measured as a hit is fresh, s: longer than any run.
pub const HIT_TTL_S: u32 = 86_400;
/// How long what has to expire is fresh, s.
pub const SHORT_TTL_S: u32 = 1;
/// How long a stale answer may stand in, s.
pub const STALE_IF_ERROR_S: u32 = 600;
/// How long the origin takes for what a crowd asks for, ms: all of them have come by then.
pub const CROWD_DELAY_MS: u64 = 100;
/// Keys that a crowd asks for when nothing is there, and again when it has expired.
pub const CROWDS: u32 = 5;
/// The same of a quick run.
pub const CROWDS_QUICK: u32 = 2;
/// Keys that are cached when the origin goes away.
pub const OUTAGE_KEYS: usize = 20;
/// How long it is away.
pub const OUTAGE: Duration = Duration::from_secs(5);
/// The same of a quick run.
pub const OUTAGE_QUICK: Duration = Duration::from_secs(2);
/// Purges whose visibility is timed.
pub const PURGES: usize = 500;
/// The same of a quick run.
pub const PURGES_QUICK: usize = 100;
/// Clients that ask while it is.
pub const PURGE_CLIENTS: usize = 8;
/// Time between a purge and the next.
pub const PURGE_PAUSE: Duration = Duration::from_millis(5);
/// How long a crowd asks while purges come.
pub const PURGE_CROWD_FOR: Duration = Duration::from_secs(5);
/// The same of a quick run.
pub const PURGE_CROWD_FOR_QUICK: Duration = Duration::from_secs(2);
/// Edits at the core whose visibility at the edge is timed.
pub const EDITS: i64 = 300;
/// The same of a quick run.
pub const EDITS_QUICK: i64 = 60;
/// Starts that are timed.
pub const STARTS: usize = 11;
/// The same of a quick run.
pub const STARTS_QUICK: usize = 5;
/// How often a starting node is asked whether it answers.
pub const START_POLL: Duration = Duration::from_millis(1);
/// How long a host may take to start: it may have to compile first, and unoptimised ones take long.
pub const EDGE_READY_WITHIN: Duration = Duration::from_secs(120);
/// How long a peer may take to say its version.
pub const PEER_VERSION_WITHIN: Duration = Duration::from_secs(10);
