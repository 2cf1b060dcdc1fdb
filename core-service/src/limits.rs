//! Every limit of the core, in one place: sizes, counts, times. Nothing here grows without one.

use std::time::Duration;

/// The largest body of a request, bytes. An import has [`IMPORT_BODY_BYTES`].
pub const BODY_BYTES: usize = 256 * 1024;
/// The largest import, bytes.
pub const IMPORT_BODY_BYTES: usize = 8 * 1024 * 1024;
/// The most stores that one import speaks of.
pub const IMPORT_STORES: usize = 2_000;
/// The most rows of one import.
pub const IMPORT_LINES: usize = 20_000;
/// At how many faults the search through an import ends.
pub const IMPORT_FAULTS: usize = 1_000;
/// The most imports that are worked on at once: each may hold a processor for a second.
pub const IMPORTS_AT_ONCE: usize = 1;
/// How long an import waits for another one to end.
pub const IMPORT_WAIT: Duration = Duration::from_secs(3);
/// How often an import is checked against the ledger anew because somebody else has edited it.
pub const IMPORT_TRIES: u32 = 3;
/// The most values in one list of a statement, and the most rows that one statement inserts; a power of two.
pub const STATEMENT_ROWS: usize = 256;
/// The most rows that one statement updates, each to its own values; a power of two. The database looks each
/// row up in a list of this length.
pub const UPDATE_ROWS: usize = 32;
/// Statements that a connection keeps prepared.
pub const DB_STATEMENTS: usize = 512;
/// Connections that write beside the engine's lanes, on MySQL; SQLite has one writer for everybody.
pub const DB_WRITERS: u32 = 8;
/// The most bad rows that one refusal of an import names; the count of the rest stands in its detail.
pub const IMPORT_ERRORS_LISTED: usize = 100;
/// The longest Idempotency-Key, bytes.
pub const IDEMPOTENCY_KEY_BYTES: usize = 255;
/// How long an answer is kept for its Idempotency-Key, ms.
pub const IDEMPOTENCY_KEEP_MS: i64 = 48 * 3_600 * 1_000;
/// The most keys that may be in flight at once in one process.
pub const IDEMPOTENCY_IN_FLIGHT: usize = 10_000;
/// The most stores or orders on one page.
pub const PAGE_MAX: u32 = 100;
/// Stores or orders on a page unless the client says otherwise.
pub const PAGE_DEFAULT: u32 = 50;
/// The most lines of one basket.
pub const BASKET_LINES: usize = 50;
/// The most units of one line.
pub const LINE_QUANTITY: u32 = 99;
/// The most options of one line.
pub const LINE_OPTIONS: usize = 32;
/// For how long a coupon may be used, at least, that comes back from an order which had been paid, ms.
pub const COUPON_BACK_LEAST_MS: i64 = 24 * 3_600 * 1_000;
/// The most coupons of one basket.
pub const COUPONS_PER_ORDER: usize = 5;
/// The most items, and the most sections, that the scope of a coupon lists.
pub const COUPON_SCOPE_ENTRIES: usize = 200;
/// The highest cap of a coupon's claims.
pub const COUPON_CLAIMS: i64 = 1_000_000_000;
/// The highest budget of a coupon template, minor units.
pub const COUPON_BUDGET_MINOR: i64 = 1_000_000_000_000;
/// The longest that a coupon may be used after its claim, ms.
pub const COUPON_VALID_MS: i64 = 5 * 366 * 24 * 3_600 * 1_000;
/// The longest wish for the kitchen, characters.
pub const NOTE_CHARS: usize = 500;
/// The highest price of one unit or option, minor units.
pub const PRICE_MINOR: i64 = 100_000_000;
/// How long a quote may be named in an order, ms.
pub const QUOTE_KEEP_MS: i64 = 10 * 60 * 1_000;
/// How long an order may stay unpaid, ms, unless configured otherwise.
pub const PAY_WITHIN_MS: i64 = 15 * 60 * 1_000;
/// The longest that may be configured, s.
pub const PAY_WITHIN_MOST_S: i64 = 24 * 3_600;
/// How far a webhook's time stamp may be off, ms.
pub const WEBHOOK_TOLERANCE_MS: i64 = 5 * 60 * 1_000;
/// The longest id of a provider's event, bytes.
pub const EVENT_ID_BYTES: usize = 128;
/// The longest reason for a refusal that is kept of a provider, characters.
pub const FAILURE_CHARS: usize = 255;
/// After how long a provider that has not decided about a payment is asked again, ms. Longer than a
/// request may take, so that nobody else is asking for the same payment.
pub const PAYMENT_ASK_AGAIN_MS: i64 = 30_000;
/// How long the sandbox waits for the core to take a webhook.
pub const WEBHOOK_SEND_TIMEOUT: Duration = Duration::from_secs(5);
/// How often the sandbox tries to deliver one webhook.
pub const WEBHOOK_TRIES: u32 = 5;
/// How long it waits before the second try; twice as long before each one after that.
pub const WEBHOOK_BACKOFF: Duration = Duration::from_millis(250);
/// The longest wait before a sandbox webhook, ms.
pub const SANDBOX_DELAY_MS: u64 = 10 * 60 * 1_000;
/// How often the sandbox repeats one webhook at most.
pub const SANDBOX_REPEATS: u32 = 20;
/// The most webhooks that the sandbox has waiting at once.
pub const SANDBOX_WAITING: usize = 256;
/// How long a request may take in all.
pub const REQUEST_TIMEOUT: Duration = Duration::from_secs(10);
/// How long a request waits for a database connection.
pub const DB_ACQUIRE_TIMEOUT: Duration = Duration::from_secs(5);
/// How long one statement may take, unless whole tables are read: longer than a wait for a lock, shorter than a
/// request.
pub const DB_STATEMENT_TIMEOUT: Duration = Duration::from_secs(8);
/// How long a connection may take on its way back to the others.
pub const DB_RETURN_TIMEOUT: Duration = Duration::from_secs(2);
/// How long SQLite waits for another process's lock.
pub const DB_BUSY_TIMEOUT: Duration = Duration::from_secs(5);
/// Connections that read.
pub const DB_READERS: u32 = 8;
/// The most connections of clients; others wait in the system's queue.
pub const CONNECTIONS: usize = 1_024;
/// The most requests in progress at once; others are told to try again.
pub const REQUESTS_IN_PROGRESS: usize = 512;
/// How long a client may take to send a request's head; also how long an idle connection is kept.
pub const HEAD_TIMEOUT: Duration = Duration::from_secs(10);
/// Headers of one request.
pub const HEADERS: usize = 100;
/// The largest head of a request, bytes.
pub const HEAD_BYTES: usize = 64 * 1024;
/// The wait after a connection could not be accepted.
pub const ACCEPT_PAUSE: Duration = Duration::from_millis(50);
/// What a refusal that may be retried says in Retry-After, s: at least, and if nobody knows better.
pub const RETRY_AFTER_S: u64 = 1;
/// What it says at most, s: the longest window of a limit.
pub const RETRY_AFTER_MOST_S: u64 = 60;
/// How long an edge may remember that something does not exist: it then asks once for a thousand
/// requests, s.
pub const ABSENCE_MAX_AGE_S: u64 = 5;
/// The most verified tokens that are kept.
pub const TOKENS_KEPT: u64 = 65_536;
/// How long the public keys may be kept, s.
pub const KEYS_MAX_AGE_S: u64 = 300;
/// How long a stop lets clients take in the answers that are ready.
pub const ANSWER_GRACE: Duration = Duration::from_millis(500);
/// How long a stop waits for the database to fold its log into the ledger.
pub const DB_CLOSE_TIMEOUT: Duration = Duration::from_secs(5);
/// How long a stop waits for requests that are being answered.
pub const SHUTDOWN_GRACE: Duration = Duration::from_secs(10);
/// How often the jobs look for work.
pub const JOB_PERIOD: Duration = Duration::from_secs(1);
/// For how long one core does the jobs, unless it renews that.
pub const JOBS_LEASE: Duration = Duration::from_secs(10);
/// The most rows that a job reads at once.
pub const JOB_BATCH: u32 = 100;
/// The wait before a failed refund is tried again, ms.
pub const REFUND_RETRY_MS: i64 = 30_000;
/// After how many rounds of the jobs old answers are forgotten.
pub const FORGET_EVERY_ROUNDS: u32 = 60;
/// How long a deal stays listed after its end, ms.
pub const DEAL_LISTED_AFTER_END_MS: i64 = 3_600 * 1_000;
/// How far ahead opening hours are computed, days: past the longest closure that exceptions can make.
pub const HOURS_AHEAD_DAYS: i32 = 410;
/// The latest instant that a request or a row may name, ms: the start of the year 3000.
pub const LATEST_MS: i64 = 32_503_680_000_000;
/// The most spans of weekly opening hours of one store.
pub const HOURS_SPANS: usize = 64;
/// The most dates on which a store's weekly hours do not hold.
pub const HOURS_EXCEPTIONS: usize = 400;
/// The most spans of one day, of a store or of an item.
pub const DAY_SPANS: usize = 12;
/// The longest `ref` or key of a row, characters.
pub const REF_CHARS: usize = 64;
/// The longest name, title or address, characters.
pub const NAME_CHARS: usize = 200;
/// The longest description of an item, characters.
pub const DESCRIPTION_CHARS: usize = 2_000;
/// The most delivery zones, and the most tax classes, of one store.
pub const STORE_PARTS: usize = 64;
/// The widest delivery zone, metres.
pub const ZONE_RADIUS_M: u32 = 200_000;
/// The most units of one item on hand.
pub const STOCK_UNITS: i64 = 1_000_000_000;
/// The most modifier groups of one item, and the most options of one group.
pub const MODIFIERS: usize = 64;
/// The longest that a deal runs, and the furthest from the import that it starts, seconds.
pub const DEAL_WINDOW_S: i64 = 366 * 24 * 3_600;
/// The most deals that one answer lists.
pub const DEALS_LISTED: u32 = 500;
/// How long the import command waits for the core's answer: a little longer than the core takes at most.
pub const IMPORT_TIMEOUT: Duration = REQUEST_TIMEOUT.saturating_add(Duration::from_secs(5));
/// How long the token lives that the import command signs for itself, s.
pub const IMPORT_TOKEN_S: i64 = 300;

// Ids and the feed.

/// How long a node's lease runs, and how far ahead ids are reserved, ms. See `ids::lease`.
pub const NODE_LEASE_MS: i64 = 30_000;
/// The end of what is reserved, left to those who began before the lease could not be renewed any more, ms:
/// each holds 4,096 ids.
pub const NODE_SPARE_MS: i64 = 10_000;
/// How often a lease is renewed: a stop's grace later there is still time left.
pub const NODE_RENEW: Duration = Duration::from_secs(5);
/// The wait before a renewal that failed is tried again, and between any two.
pub const NODE_RETRY: Duration = Duration::from_millis(500);
/// The longest that a cold edit may take from its begin to its commit, ms: longer than its request may, so that only a
/// core that was paused meets it.
pub const EDIT_MOST_MS: i64 = 60_000;
/// How long before any core's clock ids count as settled, ms: those that will ever exist are committed by then. Much
/// longer than [`EDIT_MOST_MS`] and a commit on its way, and than clocks of cores that start are apart.
pub const KNOWN_IDS_SETTLED_MS: i64 = 3_600 * 1_000;
/// How far ahead of any core's clock ids may be minted while an answer about known ids is in use, ms. Most ids that are
/// made up at random lie further ahead.
pub const KNOWN_IDS_AHEAD_MS: i64 = 30 * 24 * 3_600 * 1_000;
/// How long an answer about known ids serves those who ask for it.
pub const KNOWN_IDS_KEEP: Duration = Duration::from_secs(10);
/// The most ids of one kind that edges are told; 1.2 MB for each million. Above it they ask about each.
pub const KNOWN_IDS_MOST: usize = 500_000;
/// Ids that are read at once for it.
pub const KNOWN_IDS_PAGE: u32 = 5_000;
/// What a core that stops leaves reserved for work that outlived its grace, ms.
pub const NODE_LEFT_MS: i64 = 50;
/// How often a core that starts tries to be faster than others that start.
pub const NODE_TRIES: usize = 64;
/// The most news that one row of the outbox packs. A piece of news takes 100 to 200 bytes there, so a full pack
/// about 50 KB. Not above [`FEED_PAGE`], or readers could not read what was packed.
pub const OUTBOX_PACK_EVENTS: usize = 256;
/// The most packs that the relay numbers in one transaction; no more than [`STATEMENT_ROWS`].
pub const RELAY_BATCH: i64 = 128;
/// The least wait between two rounds of the relay, unless the first was full: what is committed meanwhile
/// shares one transaction.
pub const RELAY_GAP: Duration = Duration::from_millis(25);
/// How often the relay looks when nobody rings; also how soon this core sees what another one has numbered.
pub const RELAY_POLL: Duration = Duration::from_millis(100);
/// The wait after a round that failed.
pub const RELAY_RETRY: Duration = Duration::from_millis(500);
/// How often the news that waits for its number is counted, and in how many packs at most.
pub const RELAY_MEASURE: Duration = Duration::from_secs(5);
/// See [`RELAY_MEASURE`].
pub const RELAY_BACKLOG_COUNTED: i64 = 100_000;
/// How long news stays in the feed, ms.
pub const FEED_KEEP_MS: i64 = 24 * 3_600 * 1_000;
/// How much news stays in the feed, the rest of the oldest pack aside.
pub const FEED_KEEP_EVENTS: i64 = 1_000_000;
/// How often the feed is pruned.
pub const FEED_PRUNE_PERIOD: Duration = Duration::from_secs(10);
/// The most packs that one transaction prunes.
pub const FEED_PRUNE_PACKS: i64 = 256;
/// The wait between two such transactions.
pub const FEED_PRUNE_PAUSE: Duration = Duration::from_millis(20);
/// The most readers of the feed at once.
pub const FEED_READERS: usize = 64;
/// How many numbers beyond its place a reader looks at once: it takes the whole packs among them. As text for its
/// client that is about 150 KB.
pub const FEED_PAGE: i64 = 512;
/// Pages that wait for one reader's client.
pub const FEED_CHUNKS: usize = 2;
/// After how long without news a reader is told that the connection still stands.
pub const FEED_HEARTBEAT: Duration = Duration::from_secs(10);
/// The wait before a reader tries again to read the tables, and before a client should come back.
pub const FEED_RETRY: Duration = Duration::from_secs(1);
/// How long a client may take nothing before it loses its place.
pub const FEED_STALL: Duration = Duration::from_secs(30);
/// How long one connection lasts: no longer than its token might have. The client comes back with a new one.
pub const FEED_CONNECTION: Duration = Duration::from_secs(3_600);

// The fast store (gate, limits, leases, cache, news); see `fast`.

/// How long one call of the fast store may take: shorter than what it saves.
pub const FAST_TIMEOUT: Duration = Duration::from_millis(50);
/// How long a connection to Redis may take to come about. No call waits for it longer than
/// [`FAST_TIMEOUT`].
pub const FAST_CONNECT_TIMEOUT: Duration = Duration::from_secs(1);
/// How long sent bytes may stay unacknowledged by Redis's machine before the connection is given up
/// (on Linux; elsewhere the system decides).
pub const FAST_UNACKNOWLEDGED: Duration = Duration::from_secs(2);
/// After how much silence a connection to Redis is checked for life, and how often after that.
pub const FAST_KEEPALIVE: Duration = Duration::from_secs(5);
/// Commands that may wait for Redis at once in one process; others wait for a place, within their time.
pub const FAST_COMMANDS_WAITING: usize = 2_048;
/// How many calls in a row fail before the fast store is left alone.
pub const FAST_FAILURES: u32 = 5;
/// How long it is left alone before it is tried again.
pub const FAST_OPEN: Duration = Duration::from_secs(1);
/// The most gates of which lost updates are remembered one by one; beyond that all count as touched.
pub const FAST_DRIFTED_GATES: usize = 1_000;
/// How long the gate remembers a request, ms.
pub const GATE_SEEN_MS: i64 = 10 * 60 * 1_000;
/// How long the gate remembers a user's held units after the last admission, ms: an hour longer than any order may
/// stay unpaid, in which the jobs close it.
pub const GATE_HELD_MS: i64 = (PAY_WITHIN_MOST_S + 3_600) * 1_000;
/// Gates in process are spread over this many locks.
pub const GATE_SHARDS: usize = 16;
/// The most requests, and the most users, that the gates behind one lock in process remember.
pub const GATE_REMEMBERED: usize = 65_536;
/// The most counters of the gates behind one lock in process; what does not fit goes on without a gate.
pub const GATE_COUNTERS: usize = 65_536;
/// The most token buckets, and the most sliding windows, in process.
pub const RATES_KEPT: usize = 65_536;
/// How much longer than needed a rate is remembered, ms: clocks of two machines differ.
pub const RATE_SLACK_MS: i64 = 60_000;
/// The most leases in process.
pub const LEASES_KEPT: usize = 4_096;
/// The most cached values in process.
pub const CACHE_VALUES: usize = 1_024;
/// The largest value that is cached, bytes; larger ones are loaded each time. A menu of 500 dishes fits.
pub const CACHE_VALUE_BYTES: usize = 256 * 1024;
/// How long a version of a menu is kept for those who read it; nothing in it gets old.
pub const MENU_KEEP: Duration = Duration::from_secs(600);
/// By how much a cached value's life is shortened at random, in percent: what was loaded together does
/// not end together.
pub const CACHE_JITTER_PERCENT: u64 = 10;
/// How long one process may keep the others from loading the same value.
pub const CACHE_LEASE: Duration = Duration::from_secs(2);
/// How long a load waits for another process's load before it goes on by itself.
pub const CACHE_WAIT: Duration = Duration::from_millis(200);
/// How often it looks meanwhile.
pub const CACHE_POLL: Duration = Duration::from_millis(10);
/// Messages that wait for one subscriber; beyond that it hears of a gap instead.
pub const NEWS_WAITING: usize = 1_024;
/// At how many channels in process those that nobody listens to any more are swept out.
pub const NEWS_CHANNELS: usize = 1_024;
/// The wait before a lost subscription is tried again.
pub const NEWS_RECONNECT: Duration = Duration::from_millis(200);

// The commit engine.

/// Lanes that commit in parallel, on MySQL.
pub const LANES: usize = 4;
/// Writing connections of one lane there: for the batch that is being committed and for the next one.
pub const LANE_CONNECTIONS: u32 = 2;
/// The most commands that wait in one lane; a full one refuses.
pub const LANE_QUEUE: usize = 1_024;
/// The most commands of one batch.
pub const BATCH_COMMANDS: usize = 512;
/// How long a command may wait in its lane before it is begun: no longer than its client waits.
pub const LANE_WAIT: Duration = Duration::from_secs(5);
/// How long one try of a batch may take up to its commit, which has [`DB_STATEMENT_TIMEOUT`].
pub const BATCH_TRY: Duration = DB_STATEMENT_TIMEOUT;
/// For how long a batch is tried again while the database is busy or gone.
pub const BATCH_PATIENCE: Duration = Duration::from_secs(4);
/// The wait before a batch is tried again; it doubles with each try.
pub const BATCH_BACKOFF: Duration = Duration::from_millis(5);
/// The longest wait before a batch is tried again.
pub const BATCH_BACKOFF_MOST: Duration = Duration::from_millis(250);
/// The most stores whose menus are kept parsed.
pub const CATALOG_STORES: usize = 1_024;
/// The most units that a user may hold in unpaid orders, unless configured otherwise.
pub const HELD_UNITS: i64 = 500;

// The gate.

/// Orders that wait to be told to the gate's counters; what does not fit is found by the sweep.
pub const GATE_QUEUE: usize = 4_096;
/// How long a refusal of the fast store holds for everybody who asks this core for the same item.
pub const GATE_NOTE: Duration = Duration::from_millis(100);
/// The most items of which that is noted.
pub const GATE_NOTES: usize = 10_000;
/// The most gates whose counters are loaded at once.
pub const GATE_LOADS: usize = 16;
/// How often the gate is repaired and compared with the ledger.
pub const GATE_REPAIR: Duration = Duration::from_secs(2);
/// How long one that is due may wait for the engine to have little to do.
pub const AUDIT_PATIENCE: Duration = Duration::from_secs(3_600);
/// For how long it looks at what the engine does.
pub const AUDIT_LOOK: Duration = Duration::from_secs(5);
/// The most commands in that time that count as little.
pub const AUDIT_QUIET_COMMANDS: u64 = 250;
/// For how long one core does so, unless it renews that.
pub const GATE_REPAIR_LEASE: Duration = Duration::from_secs(10);
/// Rows of stock that one step of a comparison reads.
pub const GATE_SWEEP_ROWS: u32 = 500;
/// Idempotency keys that the gate can tell from unknown ones, at least; 1.2 MB for each million.
pub const KNOWN_KEYS: u64 = 2_000_000;
/// The same, at most.
pub const KNOWN_KEYS_MOST: u64 = 64_000_000;
/// How often it takes an unknown key for a known one.
pub const KNOWN_FALSE_POSITIVES: f64 = 0.01;
/// Records that it reads at once.
pub const KNOWN_PAGE: u32 = 5_000;
/// How often it looks for what other cores have recorded.
pub const KNOWN_FOLLOW: Duration = Duration::from_secs(1);
/// How far it looks back: for clocks that differ, and commits that took long.
pub const KNOWN_OVERLAP: Duration = Duration::from_secs(5);
/// How fast one user may write before it is counted for all cores.
pub const WRITES_UNCOUNTED: crate::fast::Rate = crate::fast::Rate::per_second(20, 5);
/// How fast one user may write: so many at once, and so many every second.
pub const WRITES_PER_USER: crate::fast::Rate = crate::fast::Rate::per_second(100, 50);
/// How many payments a user may try in any minute.
pub const PAYMENTS_PER_USER: crate::fast::Window =
    crate::fast::Window { limit: 60, window_ms: 60_000 };

// The audit.

/// How often one core of a ledger audits it unasked.
pub const AUDIT_PERIOD: Duration = Duration::from_secs(5 * 60);
/// For how long one core does so, unless it renews that: longer than the period, so that it can.
pub const AUDIT_LEASE: Duration = Duration::from_secs(7 * 60);
/// How long an audit may take: less than its period.
pub const AUDIT_TIMEOUT: Duration = Duration::from_secs(4 * 60);
/// How long a request waits for its audit: less than [`REQUEST_TIMEOUT`].
pub const AUDIT_ANSWER: Duration = Duration::from_secs(8);
/// The most examples that a check gives of what it found.
pub const AUDIT_EXAMPLES: usize = 10;
/// Of how many orders, the newest, an audit reads the snapshots and the news.
pub const AUDIT_SNAPSHOTS: u32 = 100_000;
/// How much later than the oldest news that is kept an order must have been changed for its news to be there as well,
/// ms: clocks differ, and news is numbered some time after it was made.
pub const AUDIT_NEWS_SLACK_MS: i64 = 60_000;
/// Orders that an audit reads at once to compare them with their news.
pub const AUDIT_NEWS_ORDERS: i64 = 5_000;
/// Packs of news that an audit reads at once: about 3 MB of full ones.
pub const AUDIT_NEWS_PACKS: i64 = 64;
/// After how long a counter of the gate that is off is looked at again: by then what missed a move was
/// loaded anew.
pub const AUDIT_GATE_PAUSE: Duration = Duration::from_millis(2_500);
/// The most counters that are looked at again.
pub const AUDIT_GATE_SUSPECTS: usize = 10_000;

const _: () = assert!(HOURS_AHEAD_DAYS as usize >= HOURS_EXCEPTIONS + 9);
const _: () = assert!(OUTBOX_PACK_EVENTS as i64 <= FEED_PAGE);
const _: () = assert!(EDIT_MOST_MS * 10 < KNOWN_IDS_SETTLED_MS);
const _: () = assert!(REQUEST_TIMEOUT.as_millis() < EDIT_MOST_MS as u128);
const _: () = assert!(RELAY_BATCH <= STATEMENT_ROWS as i64);
const _: () = assert!(DB_BUSY_TIMEOUT.as_millis() < DB_STATEMENT_TIMEOUT.as_millis());
const _: () = assert!(DB_STATEMENT_TIMEOUT.as_millis() < REQUEST_TIMEOUT.as_millis());
