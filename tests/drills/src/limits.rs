//! Every bound of the drills, in one place.

use std::ops::RangeInclusive;
use std::time::Duration;

/// How many cases of one broken rule are told.
pub const CASES_TOLD: usize = 5;
/// How often something is looked at that is waited for.
pub const POLL: Duration = Duration::from_millis(20);
/// How long the first start of the core may take.
pub const READY_WITHIN: Duration = Duration::from_secs(60);
/// How long the core may take to stop when it is asked to.
pub const STOP_WITHIN: Duration = Duration::from_secs(15);
/// The wait before a core that ended by itself is started again.
pub const CORE_RESTART_PAUSE: Duration = Duration::from_millis(100);
/// Lines of the core's log that a report shows.
pub const LOG_LINES: usize = 8;
/// How long one answer may take: longer than the core takes at most.
pub const ANSWER_WITHIN: Duration = Duration::from_secs(12);
/// For how long a request is tried before its key counts as unanswered.
pub const RETRY_WITHIN: Duration = Duration::from_secs(90);
/// The wait before a request is tried again, ms. Shorter than what Retry-After asks for: the drill presses.
pub const RETRY_PAUSE_MS: RangeInclusive<u64> = 50..=250;
/// How long a token of a diner holds, s: longer than any drill.
pub const TOKEN_S: i64 = 3_600;
/// Connections to the database.
pub const CONNECTIONS: u32 = 2;
/// How long the database may take to give a connection.
pub const ACQUIRE_WITHIN: Duration = Duration::from_secs(10);
/// How long the core's own audit may take.
pub const AUDIT_WITHIN: Duration = Duration::from_secs(60);
/// The wait before its report is asked for again.
pub const AUDIT_PAUSE: Duration = Duration::from_secs(1);
/// How often a progress line is printed.
pub const PROGRESS_EVERY: Duration = Duration::from_secs(3);

// The crash drill.

/// Stores of its catalogue.
pub const STORES: usize = 4;
/// Items of each store that never sell out, and the units of each.
pub const PLENTY_ITEMS: usize = 6;
/// See [`PLENTY_ITEMS`].
pub const PLENTY_UNITS: i64 = 1_000_000;
/// Units of the one item of each store that is always about to sell out.
pub const SCARCE_UNITS: i64 = 25;
/// Who orders: so many that nobody meets the limits to how fast one user may write or pay.
pub const DINERS: usize = 4_000;
/// The first so many of them order again and again without paying, until they hold all that they may.
pub const HOARDERS: usize = 20;
/// The most units that one of them may hold in unpaid orders: low enough to be met.
pub const HELD_UNITS: i64 = 20;
/// How long an order may stay unpaid, s: short, so that orders expire in the middle of the load.
pub const PAY_WITHIN_S: u32 = 6;
/// Pauses of a client between two orders, ms.
pub const THINK_MS: RangeInclusive<u64> = 0..=60;
/// After how long an impatient client hangs up and tries again, ms.
pub const IMPATIENT_MS: RangeInclusive<u64> = 1..=25;
/// The wait between a restart and the next kill, ms.
pub const KILL_GAP_MS: RangeInclusive<u64> = 300..=2_500;
/// For how long what was killed stays down, ms, unless it is started at once.
pub const KILL_PAUSE_MS: RangeInclusive<u64> = 100..=2_000;
/// Kills of a whole run and of a quick one.
pub const KILLS: usize = 24;
/// See [`KILLS`].
pub const KILLS_QUICK: usize = 6;
/// Orders of a whole run and of a quick one.
pub const ORDERS: usize = 20_000;
/// See [`ORDERS`].
pub const ORDERS_QUICK: usize = 2_000;
/// How long a load may take.
pub const LOAD_WITHIN: Duration = Duration::from_secs(20 * 60);
/// How long the core may take to close what was left unpaid and to settle all money, and in a quick run.
pub const QUIET_WITHIN: Duration = Duration::from_secs(120);
/// How long the final snapshot may be refused before the drill gives up.
pub const SNAPSHOT_WITHIN: Duration = Duration::from_secs(30);

// The Redis drill.

/// Units of the item of each round.
pub const SALE_UNITS: i64 = 2_000;
/// Buyers at once.
pub const SALE_CLIENTS: usize = 32;
/// Diners of the Redis drill.
pub const SALE_DINERS: usize = 500;
/// The most units that one of them may hold: all of a sale, so that the cap is never met.
pub const SALE_HELD_UNITS: i64 = 1_000_000;
/// How long an order of the sale may stay unpaid, s: longer than the drill.
pub const SALE_PAY_WITHIN_S: u32 = 3_600;
/// How long a sale may take until the last unit is sold, and the gate's counters may differ from the ledger after the
/// last kill: the time in which the gate has to heal.
pub const HEAL_WITHIN: Duration = Duration::from_secs(30);
/// The wait of a buyer who was told "sold out".
pub const SOLD_OUT_PAUSE: Duration = Duration::from_millis(20);
