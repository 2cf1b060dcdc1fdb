//! Every limit of the node, in one place. Units come last in each name.
//!
//! What a component may change for itself stands in its `tool.tiffin` hints; the `DEFAULT_` values
//! here apply when it says nothing, the `MAX_` values bound what it may ask for.

use std::time::Duration;

// --- one component -------------------------------------------------------------------------------

/// Linear memory of one instance, in MiB.
pub const DEFAULT_MEMORY_MB: u64 = 64;
/// The most an instance may ask for; also what the pooling allocator sets aside per slot.
pub const MAX_MEMORY_MB: u64 = 256;
/// Processor time an instance may burn since it last took a request.
pub const DEFAULT_CPU_BUDGET_MS: u64 = 500;
/// The most a component may ask for.
pub const MAX_CPU_BUDGET_MS: u64 = 10_000;
/// Wall time from a request's arrival to the guest's response head.
pub const DEFAULT_DEADLINE_MS: u64 = 10_000;
/// The most a component may ask for.
pub const MAX_DEADLINE_MS: u64 = 60_000;
/// Wall time from an outbound request to the first byte of its answer.
pub const DEFAULT_UPSTREAM_TIMEOUT_MS: u64 = 5_000;
/// The most a component may ask for.
pub const MAX_UPSTREAM_TIMEOUT_MS: u64 = 60_000;
/// Wall time from an outbound request to the last byte of its answer.
pub const DEFAULT_UPSTREAM_TOTAL_TIMEOUT_MS: u64 = 30_000;
/// The most a component may ask for.
pub const MAX_UPSTREAM_TOTAL_TIMEOUT_MS: u64 = 300_000;
/// Requests that one instance handles at a time.
pub const DEFAULT_INSTANCE_CONCURRENCY: usize = 16;
/// The most a component may ask for.
pub const MAX_INSTANCE_CONCURRENCY: usize = 128;
/// Requests after which an instance is replaced: bounds what a guest can leak.
pub const DEFAULT_REQUESTS_PER_INSTANCE: usize = 10_000;
/// The most a component may ask for.
pub const MAX_REQUESTS_PER_INSTANCE: usize = 1_000_000;
/// An instance without work is dropped after this long.
pub const DEFAULT_INSTANCE_IDLE_MS: u64 = 30_000;
/// The most a component may ask for.
pub const MAX_INSTANCE_IDLE_MS: u64 = 600_000;
/// How long an instance may go on after its last response, for refreshes in the background.
pub const POST_RETURN: Duration = Duration::from_secs(10);
/// How much longer than its deadline a request may occupy an instance: then the instance is torn
/// down, whether it is stuck or only has not noticed.
pub const DEADLINE_GRACE: Duration = Duration::from_millis(250);
/// Bytes of a version's name.
pub const MAX_VERSION_BYTES: usize = 64;
/// Headers of one message as a guest sees them, with their bookkeeping.
pub const MAX_FIELDS_BYTES: usize = 128 << 10;
/// Handles to host objects (requests, headers, bodies) that an instance may hold, beside those of its
/// requests. Each may be headers of the greatest size: this bounds what a guest keeps in the host's memory.
pub const RESOURCES_PER_INSTANCE: usize = 64;
/// Handles for each request that an instance may handle at a time.
pub const RESOURCES_PER_REQUEST: usize = 32;
/// The engine's own records (handles, tasks, streams, futures) for each of those.
pub const HANDLES_PER_RESOURCE: usize = 8;
/// Bytes that one call of a guest may hand to the host: a value of a store and more.
pub const MAX_HOST_CALL_BYTES: usize = 4 << 20;
/// Requests of one component in progress at a time.
pub const DEFAULT_COMPONENT_REQUESTS: usize = 256;
/// The most a component may ask for.
pub const MAX_COMPONENT_REQUESTS: usize = 1_024;
/// Requests of one component that wait for one of those places.
pub const DEFAULT_COMPONENT_QUEUE: usize = 1_024;
/// The most a component may ask for.
pub const MAX_COMPONENT_QUEUE: usize = 8_192;
/// How long a request waits for a place before it is told to come back.
pub const DEFAULT_QUEUE_WAIT_MS: u64 = 500;
/// The most a component may ask for.
pub const MAX_QUEUE_WAIT_MS: u64 = 10_000;
/// What such a request is told in `Retry-After`.
pub const RETRY_AFTER_SECONDS: u64 = 1;
/// After a component's instances last took a request, until further ones are started for those that wait:
/// with one for each thread, more are of use only if these are full or stuck.
pub const START_PATIENCE: Duration = Duration::from_millis(10);
/// How long an instance goes on to take requests before it lets go of its thread.
pub const BATCH_SLICE: Duration = Duration::from_millis(1);

// --- all instances -------------------------------------------------------------------------------

/// One part in so many of each pool that all components share (instances, outbound requests, bytes of
/// bodies) is divided among them and kept for each; the rest is for whoever comes first.
pub const KEPT_PART: usize = 2;
/// Instances alive at a time, over all components. Their memory is reserved address space only.
pub const MAX_INSTANCES: u32 = 512;
/// Core instances, memories and tables of one component after linking.
pub const MAX_CORE_INSTANCES_PER_COMPONENT: u32 = 32;
/// Tables of one component.
pub const MAX_TABLES_PER_COMPONENT: u32 = 16;
/// Elements of one table.
pub const MAX_TABLE_ELEMENTS: usize = 20_000;
/// The host's own record of one core or component instance.
pub const MAX_INSTANCE_RECORD_BYTES: usize = 1 << 20;
/// Slots kept warm after use: the pool's resident memory when idle.
pub const MAX_WARM_SLOTS: u32 = 16;
/// Memory of a warm slot that is cleared in place instead of being given back.
pub const KEEP_RESIDENT_BYTES: usize = 256 << 10;
/// The native stack of one call into a guest.
pub const GUEST_STACK_BYTES: usize = 512 << 10;
/// Calls into guests at a time, each on a stack of its own: one that runs and one that waits for each
/// instance. A stack takes two of the memory mappings that Linux allows a process (65,530).
pub const MAX_GUEST_STACKS: u32 = 2 * MAX_INSTANCES;
/// How often a running guest is interrupted to have its budget checked.
pub const EPOCH_TICK: Duration = Duration::from_millis(2);
/// Processor time since its last request after which an instance runs in the background: it gives way
/// at each tick, and at least one thread is kept free of such instances.
pub const FOREGROUND_CPU: Duration = Duration::from_millis(2);
/// An instance with more memory than this is taken down aside, because giving back pages takes a while.
pub const SLOW_DROP_BYTES: usize = 8 << 20;
/// The greatest component file that is read.
pub const MAX_COMPONENT_FILE_BYTES: u64 = 64 << 20;
/// One line of a guest's output in the log; the rest of the line is cut.
pub const MAX_GUEST_LINE_BYTES: usize = 4_096;
/// Lines of output that one instance may log each second.
pub const MAX_GUEST_LINES_PER_SECOND: u32 = 200;

// --- the client's side ---------------------------------------------------------------------------

/// Open client connections.
pub const MAX_CONNECTIONS: usize = 10_000;
/// Open connections of one client (an address, or an IPv6 /64), unless it is a trusted proxy.
pub const MAX_CONNECTIONS_PER_CLIENT: usize = 2_500;
/// Clients whose rate is watched each by itself; when there are more, all share
/// [`MAX_CLIENT_GROUPS`] until some have been quiet.
pub const MAX_RATED_CLIENTS: usize = 1 << 16;
/// Groups of clients, by a keyed hash, that share one rate when there are too many.
pub const MAX_CLIENT_GROUPS: u64 = 1 << 12;
/// Requests after which it is looked whether clients can be forgotten.
pub const RATED_CLIENTS_SWEEP: u32 = 1_024;
/// How long the node waits after a connection could not be accepted.
pub const ACCEPT_PAUSE: Duration = Duration::from_millis(50);
/// Headers of one request.
pub const MAX_HEADERS: usize = 100;
/// Bytes of one request's head: request line and headers.
pub const MAX_HEAD_BYTES: usize = 32 << 10;
/// Headers that are parsed at all; beyond, a request is refused without a problem's body.
pub const MAX_PARSED_HEADERS: usize = 4 * MAX_HEADERS;
/// Bytes of a head that are parsed at all.
pub const MAX_PARSED_HEAD_BYTES: usize = 2 * MAX_HEAD_BYTES;
/// Bytes of `tracestate` that are passed on. Source: W3C Trace Context, section 3.3.1.5.
pub const MAX_TRACESTATE_BYTES: usize = 512;
/// Bytes of a request target.
pub const MAX_TARGET_BYTES: usize = 8 << 10;
/// How long a client may take to send a request's head; also how long an idle connection is kept.
pub const HEAD_READ_TIMEOUT: Duration = Duration::from_secs(30);
/// How long a client that has asked and ended its side of the connection is waited for as if it had not: it may only have
/// said that it asks no more, or have gone.
pub const HALF_CLOSE_PATIENCE: Duration = Duration::from_secs(5);
/// Bytes of a request's head that the express lane reads; each connection holds as many. A longer one, and all that
/// follow it, go the long way.
pub const EXPRESS_INPUT_BYTES: usize = 4 << 10;
/// Headers of a request that the express lane reads.
pub const MAX_EXPRESS_HEADERS: usize = 32;
/// Bytes of a certificate's file, or its key's.
pub const MAX_PEM_BYTES: u64 = 1 << 20;
/// How long a TLS handshake may take.
pub const HANDSHAKE_TIMEOUT: Duration = Duration::from_secs(10);
/// Requests of one HTTP/2 connection in progress at a time.
pub const MAX_HTTP2_STREAMS: u32 = 100;
/// Bytes of a head that are decoded at all, as HTTP/2 counts them: with 32 for each header.
pub const MAX_HTTP2_HEAD_BYTES: u32 = 64 << 10;
/// Bytes of the table that a client compresses its heads with.
pub const MAX_HTTP2_TABLE_BYTES: u32 = 4 << 10;
/// Bytes of one HTTP/2 request body that a client may send ahead.
pub const HTTP2_STREAM_WINDOW_BYTES: u32 = 64 << 10;
/// The same for all bodies of one connection.
pub const HTTP2_CONNECTION_WINDOW_BYTES: u32 = 256 << 10;
/// Bytes of one HTTP/2 answer that wait to be sent.
pub const MAX_HTTP2_SEND_BYTES: usize = 64 << 10;
/// Requests that a client may take back before they were looked at; one more ends its connection
/// ("rapid reset", CVE-2023-44487).
pub const MAX_HTTP2_PENDING_RESETS: usize = 20;
/// Streams that the node may have to reset for a client's errors; one more ends its connection.
pub const MAX_HTTP2_ERROR_RESETS: usize = 128;
/// Frames of one HTTP/2 connection that carry nothing (PING, SETTINGS, PRIORITY, WINDOW_UPDATE, empty DATA, unknown ones) before
/// it is ended, and the most that it may save up.
pub const MAX_HTTP2_SPARE_FRAMES: u32 = 500;
/// Such frames that each request allows.
pub const HTTP2_SPARE_FRAMES_PER_REQUEST: u32 = 8;
/// Such frames that each second allows.
pub const HTTP2_SPARE_FRAMES_PER_SECOND: u32 = 20;
/// Bytes of answers that allow one such frame.
pub const HTTP2_BYTES_PER_SPARE_FRAME: usize = 256;
/// How often an HTTP/2 client is asked whether it is there.
pub const CLIENT_PING_INTERVAL: Duration = Duration::from_secs(20);
/// How long it may take to answer.
pub const CLIENT_PING_TIMEOUT: Duration = Duration::from_secs(10);
/// How long an HTTP/2 connection is kept without requests.
pub const HTTP2_IDLE: Duration = HEAD_READ_TIMEOUT;
/// How long it may take to close once it was told to.
pub const HTTP2_FAREWELL: Duration = Duration::from_secs(5);
/// How often an HTTP/2 connection is looked at for all this.
pub const CONNECTION_CHECK: Duration = Duration::from_secs(2);
/// How long a client may take nothing of its answer before it is cut off: while it holds the answer
/// it also holds a place among its component's requests.
pub const WRITE_STALL: Duration = Duration::from_secs(10);
/// Bytes of one request body.
pub const MAX_REQUEST_BODY_BYTES: u64 = 1 << 20;
/// How long a request body may take from its head to its end.
pub const REQUEST_BODY_TIMEOUT: Duration = Duration::from_secs(5);
/// Bytes of all request bodies that are being read, wait for a guest or are read by one.
pub const MAX_BODIES_BYTES: usize = 128 << 20;
/// A body that has not come after this long counts among its client's slow ones.
pub const SLOW_BODY_AFTER: Duration = Duration::from_millis(100);
/// Slow bodies of one client (an address, or an IPv6 /64) at a time: at their greatest they take half
/// of all the bytes.
pub const MAX_SLOW_BODIES_PER_CLIENT: usize = 64;
/// How long a client of the admin listener may take to send a request.
pub const ADMIN_READ_TIMEOUT: Duration = Duration::from_secs(5);
/// What is read and thrown away of a body that is refused, so that the client sees the answer.
pub const MAX_DRAIN_BYTES: u64 = 16 << 20;
/// How long that may take.
pub const DRAIN_TIMEOUT: Duration = Duration::from_secs(2);
/// How long a browser may remember what a preflight was told.
pub const CORS_MAX_AGE: Duration = Duration::from_secs(600);
/// How long requests in progress may take to finish after a signal to stop.
pub const SHUTDOWN_DEADLINE: Duration = Duration::from_secs(10);

/// The longest that a node may go on serving after it said that it will stop.
pub const MAX_DRAIN_DELAY: Duration = Duration::from_secs(300);

// --- reloads -------------------------------------------------------------------------------------

/// How often watched files are looked at; a change is taken up when it has stood still for as long.
pub const WATCH_INTERVAL: Duration = Duration::from_secs(1);
/// How long an application that was replaced is kept for what is still in progress in it: the longest
/// deadline, and what may follow an answer.
pub const RETIRED_SITE: Duration = Duration::from_millis(MAX_DEADLINE_MS + 15_000);

// --- the upstream's side -------------------------------------------------------------------------

/// How long a connection to an upstream may take.
pub const CONNECT_TIMEOUT: Duration = Duration::from_secs(1);
/// How long the head start of an address's first family is, before the other is tried beside it. Source: RFC 8305, section 8.
pub const HAPPY_EYEBALLS: Duration = Duration::from_millis(250);
/// How long the next piece of an upstream's body may take.
pub const UPSTREAM_BODY_IDLE: Duration = Duration::from_secs(5);
/// Bytes of one upstream body.
pub const MAX_UPSTREAM_BODY_BYTES: u64 = 8 << 20;
/// Idle connections kept per upstream.
pub const MAX_IDLE_PER_UPSTREAM: usize = 64;
/// How long an idle connection to an upstream is kept; less than an upstream keeps it, so that no request
/// is written to a connection that is just being closed.
pub const UPSTREAM_IDLE: Duration = Duration::from_secs(5);
/// How often an idle HTTP/2 connection is asked whether it still lives, and how long it may take to say so.
pub const HTTP2_PING_EVERY: Duration = Duration::from_secs(5);
/// See [`HTTP2_PING_EVERY`].
pub const HTTP2_PING_TIMEOUT: Duration = Duration::from_secs(3);
/// Upstreams that are remembered beside the configured ones: a wildcard in an allow-list names any number.
pub const MAX_UPSTREAMS: u64 = 1_024;
/// How long such an upstream is remembered after its last request.
pub const UPSTREAM_MEMORY: Duration = Duration::from_secs(600);
/// Upstreams with series of their own among the metrics; the rest are counted together.
pub const MAX_NAMED_UPSTREAMS: usize = 64;
/// Addresses of one configured upstream.
pub const MAX_ENDPOINTS: usize = 16;
/// Bytes of the bundle of certificate authorities.
pub const MAX_CA_BUNDLE_BYTES: u64 = 8 << 20;
/// Retries of one request, over all addresses of its upstream.
pub const MAX_RETRIES: u32 = 2;
/// The pause before a retry at the same address is random, from nothing to this.
pub const RETRY_PAUSE_MS: u64 = 50;
/// What each request adds to its upstream's budget of retries, in thousandths of a retry: a fifth more
/// load at most, however many fail.
pub const RETRY_DEPOSIT_MILLIS: i64 = 200;
/// Retries that the budget holds when it is full, as it is at the start.
pub const MAX_RETRY_BUDGET: i64 = 10;
/// The window over which a breaker counts.
pub const BREAKER_WINDOW_MS: u64 = 10_000;
/// Requests in the window below which a breaker does not open: a few failures prove nothing.
pub const BREAKER_MIN_CALLS: u32 = 20;
/// The share of failures, in percent, at which it opens.
pub const BREAKER_FAILURE_PERCENT: u32 = 50;
/// How long it stays open, and up to a quarter longer, so that nodes do not come back as one.
pub const BREAKER_OPEN_MS: u64 = 2_000;
/// The longest that an upstream's options may ask for.
pub const MAX_BREAKER_OPEN_MS: u64 = 60_000;
/// Requests let through half-open at a time; as many successes close the breaker.
pub const BREAKER_PROBES: u32 = 3;
/// A connection that a guest gave up sooner says nothing about the upstream.
pub const BLAME_CONNECT_AFTER: Duration = Duration::from_millis(250);
/// An answer that a guest gave up sooner says nothing about the upstream.
pub const BLAME_HEAD_AFTER: Duration = Duration::from_millis(750);
/// How often an address is checked, unless its upstream's options say otherwise; a tenth more or less.
pub const HEALTH_EVERY_MS: u64 = 2_000;
/// The range of that.
pub const HEALTH_EVERY_RANGE_MS: [u64; 2] = [50, 600_000];
/// How long a check may take.
pub const HEALTH_TIMEOUT: Duration = Duration::from_secs(1);
/// Bytes of a check's answer that are read, so that its connection can be used again.
pub const MAX_HEALTH_BODY_BYTES: u64 = 16 << 10;
/// Checks that fail in a row until an address is unhealthy.
pub const UNHEALTHY_AFTER: u32 = 3;
/// Checks that pass in a row until it is healthy again.
pub const HEALTHY_AFTER: u32 = 2;
/// Requests that fail in a row until an address is ejected, whatever its checks say.
pub const EJECT_AFTER: u32 = 5;
/// How long it is ejected: so much for each time in a row.
pub const EJECTION_MS: u64 = 3_000;
/// How often in a row that grows.
pub const MAX_EJECTION_STEPS: u32 = 5;
/// Outbound requests in progress, over all components.
pub const MAX_OUTBOUND_REQUESTS: usize = 1_024;
/// The greatest answer that is shared by collapsed requests; a greater one is fetched by each.
pub const MAX_COLLAPSED_BODY_BYTES: u64 = 1 << 20;
/// How long a finished public answer serves requests that had missed the guest's own caches.
pub const COLLAPSE_LINGER_MS: u64 = 500;
/// Bytes of finished answers kept for that time.
pub const MAX_LINGER_BYTES: u64 = 16 << 20;
/// How long a flight may take to bring its whole answer.
pub const FLIGHT_TIMEOUT: Duration = Duration::from_secs(30);
/// Flights in progress at a time; beyond, requests are not collapsed.
pub const MAX_FLIGHTS: usize = 4_096;

// --- the key-value store -------------------------------------------------------------------------

/// Bytes of one key, as in Spin.
pub const MAX_KEY_BYTES: usize = 256;
/// Bytes of one value, as in Spin.
pub const MAX_VALUE_BYTES: usize = 1 << 20;
/// Bytes of one store in memory, keys and values and their bookkeeping; the least recently used go first.
pub const MAX_STORE_BYTES: u64 = 64 << 20;
/// What one entry costs beside its key and value.
pub const STORE_ENTRY_OVERHEAD_BYTES: usize = 96;
/// From this size on, a stored value or answer makes room for itself before its writer goes on. moka
/// else evicts when it next finds the time, and some hundred writes may run ahead of that.
pub const EVICT_AT_ONCE_BYTES: usize = 64 << 10;
/// Stores that one instance may hold open.
pub const MAX_OPEN_STORES: usize = 256;
/// Bytes of keys that one listing returns.
pub const MAX_LISTED_BYTES: usize = 4 << 20;
/// How long one operation on a store outside the node's memory may take.
pub const STORE_TIMEOUT: Duration = Duration::from_secs(2);
/// Bytes of one SQLite store; a write beyond is refused, as what is there was meant to stay.
pub const MAX_STORE_FILE_BYTES: u64 = 1 << 30;
/// How long a statement waits for another process that writes to the same SQLite file.
pub const STORE_BUSY_TIMEOUT: Duration = Duration::from_secs(1);
/// Connections that read one SQLite store; one more writes.
pub const MAX_STORE_READERS: u32 = 2;
/// How long a connection to a Redis store may take.
pub const STORE_CONNECT_TIMEOUT: Duration = Duration::from_secs(1);
/// Commands that wait to be written to a Redis store.
pub const MAX_STORE_COMMANDS: usize = 256;
/// Keys that Redis looks at in one step of a listing.
pub const STORE_SCAN_KEYS: usize = 1_000;

// --- the shared cache ----------------------------------------------------------------------------

/// Memory of all stored answers, as the process takes it; what is used least goes first.
pub const MAX_CACHE_BYTES: u64 = 256 << 20;
/// Bytes of one stored body; a longer one is passed on as it comes. Each fetch in progress may hold as much.
pub const MAX_CACHED_BODY_BYTES: usize = 1 << 20;
/// What the map around the entries costs for each of its keys: its nodes, locks and counters. Measured.
pub const CACHE_SLOT_OVERHEAD_BYTES: usize = 240;
/// After a body as long as that was stored, what is too much goes at once, and not a batch later.
pub const MIN_BODY_BYTES_TO_TIDY: usize = 16 << 10;
/// Variants of one URI; the one stored first goes first.
pub const MAX_CACHE_VARIANTS: usize = 16;
/// Headers that one answer may vary by; one that names more is not stored.
pub const MAX_VARY_NAMES: usize = 8;
/// Tags of one answer; one with more is not stored, because it could not be purged by all of them.
pub const MAX_TAGS_PER_ENTRY: usize = 32;
/// Slots that tags share by hash; at 15,000 tags in use one purge in five reaches a stranger.
pub const TAG_SLOTS: usize = 1 << 16;
/// How long the rest of a body may take that is to be stored; a slower one is passed on as it comes.
pub const FILL_BODY_TIMEOUT: Duration = Duration::from_secs(5);
/// Fetches that others may join, in progress at a time; beyond, each fetches for itself.
pub const MAX_CACHE_FLIGHTS: usize = 4_096;
/// How long a request waits for fetches of others, in all, before it goes by itself.
pub const COLLAPSE_PATIENCE: Duration = Duration::from_secs(5);
/// How many fetches of others a request waits for in a row: one may bring another variant, or be purged.
pub const MAX_JOINS: usize = 3;
/// Slots for keys whose answers are not to be shared.
pub const UNSHARED_SLOTS: usize = 1 << 16;
/// How long such a key is remembered.
pub const UNSHARED_MEMORY_MS: i64 = 10_000;
/// After a function failed, how long nobody waits for it who has a stale answer.
pub const FAILURE_MEMORY_MS: i64 = 1_000;
/// Refreshes in the background in progress at a time.
pub const MAX_REFRESHES: usize = 256;
/// A shorter body is not compressed.
pub const MIN_COMPRESSED_BODY_BYTES: usize = 512;
/// Bodies that are compressed at a time; beyond, they are sent as they are.
pub const MAX_COMPRESSORS: usize = 4;
/// Bytes of the admin listener's token.
pub const MAX_ADMIN_TOKEN_BYTES: usize = 4 << 10;
/// Bytes of one purge on the admin listener.
pub const MAX_PURGE_BYTES: usize = 64 << 10;

// --- the configuration ---------------------------------------------------------------------------

/// Errors of shape that are shown of one file.
pub const MAX_DIAGNOSTICS: usize = 100;

// --- the feed ------------------------------------------------------------------------------------

/// Bytes of one line of the feed; a longer one is skipped, and its news counts as missed.
pub const MAX_FEED_LINE_BYTES: usize = 64 << 10;
/// Bytes of one event's data.
pub const MAX_FEED_EVENT_BYTES: usize = 128 << 10;
/// Bytes of one line that are skipped before the connection is given up.
pub const MAX_FEED_SKIPPED_BYTES: usize = 8 << 20;
/// Bytes of one token for the feed. Source: the core reads no longer ones.
pub const MAX_FEED_TOKEN_BYTES: usize = 4_096;
/// How long a connection to a core may take.
pub const FEED_CONNECT_TIMEOUT: Duration = Duration::from_secs(2);
/// How long the core may take from there to its greeting.
pub const FEED_GREETING_TIMEOUT: Duration = Duration::from_secs(5);
/// How long the feed may be silent. The core sends a sign of life each ten seconds; a peer that misses two is dead.
pub const FEED_IDLE: Duration = Duration::from_secs(25);
/// Events in a row that cannot be read before the connection is given up, and tried again after a wait.
pub const MAX_FEED_UNREAD: u32 = 20;
/// The longest wait before the first new try, after a connection that had been good.
pub const FEED_FIRST_RETRY: Duration = Duration::from_millis(100);
/// The longest wait between two tries, however many have failed.
pub const FEED_MAX_RETRY: Duration = Duration::from_secs(10);

/// Bytes of the core's answer about known ids: two kinds of half a million ids take 1.6 MB.
pub const MAX_KNOWN_IDS_BYTES: usize = 4 << 20;
/// How long that answer may take.
pub const KNOWN_IDS_TIMEOUT: Duration = Duration::from_secs(15);
/// The longest wait before it is fetched again. Newer ids cost a trip anyway, so there is no hurry.
pub const KNOWN_IDS_REFRESH: Duration = Duration::from_secs(300);
/// The longest wait after a first failure; it doubles with each further one.
pub const KNOWN_IDS_FIRST_RETRY: Duration = Duration::from_secs(1);
/// How long it may be used. Source: the core's promise about ids to come, which it makes for a day.
pub const KNOWN_IDS_LIFE: Duration = Duration::from_secs(24 * 3_600);
/// Bytes of a key by which a guest asks the node itself.
pub const MAX_NODE_KEY_BYTES: usize = 4 << 10;

// --- watching a node -----------------------------------------------------------------------------

/// How long `top` waits between two questions.
pub const TOP_INTERVAL: Duration = Duration::from_secs(1);
/// How long both answers may take.
pub const TOP_TIMEOUT: Duration = Duration::from_secs(2);
/// Bytes of one of them.
pub const MAX_TOP_BYTES: usize = 8 << 20;
/// Moments that rates are taken over.
pub const TOP_MOMENTS: usize = 5;
/// How soon the thread that reads keys notices that nobody wants them any more.
pub const TOP_EVENT_WAIT: Duration = Duration::from_millis(200);

/// Lines of functions that the tests' harness keeps of one application.
pub const MAX_TESTED_LINES: usize = 10_000;

/// How long the tests' harness waits for a line. It is there in milliseconds; a busy machine may take its time.
pub const TESTED_LINE_WAIT: Duration = Duration::from_secs(10);
