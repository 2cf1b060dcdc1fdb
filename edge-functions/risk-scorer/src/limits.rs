//! Every limit of the scorer. Units come last in each name.

/// The greatest weight, bias or shift that a model may have, thousandths. Beyond, one feature decides
/// alone.
pub const WEIGHT_MAX_MILLI: i64 = 10_000;
/// The most terms that a model may have.
pub const TERMS_MAX: usize = 64;
/// The most reasons that an assessment may name.
pub const REASONS_MAX: usize = 16;

/// The greatest score.
pub const SCORE_MAX: u32 = 1_000;
/// From this score on a write is challenged.
pub const CHALLENGE_FROM: u32 = 400;
/// From this score on a write is refused.
pub const DENY_FROM: u32 = 700;

/// The oldest account, days: a hundred years.
pub const ACCOUNT_AGE_MAX_DAYS: i64 = 36_500;
/// The most orders in 30 days.
pub const ORDERS_30D_MAX: i64 = 10_000;
/// The most requests in a minute.
pub const REQUESTS_LAST_MINUTE_MAX: i64 = 100_000;
/// The greatest basket, minor units.
pub const BASKET_MAX_MINOR: i64 = 1_000_000_000_000;
/// The last hour of the day.
pub const HOUR_LOCAL_MAX: i64 = 23;
/// The most failed payments in a day.
pub const FAILED_PAYMENTS_24H_MAX: i64 = 1_000;
/// The most cards in a week.
pub const DISTINCT_CARDS_7D_MAX: i64 = 1_000;
/// The oldest device, hours: a hundred years.
pub const DEVICE_AGE_MAX_HOURS: i64 = 876_000;
/// All orders, thousandths.
pub const COUPON_SHARE_MAX_PERMILLE: i64 = 1_000;
/// The greatest distance on Earth, metres.
pub const ADDRESS_DISTANCE_MAX_M: i64 = 20_040_000;
