//! How much of a template has been given away: counted beside the coupons, so that a claim reads a few
//! rows however many coupons there are.
//!
//! A counter's `claimed` is the number of coupons of its template (of its diner, of its day), whatever has
//! become of them. `spent_minor` is kept by the template's own counter alone: the sum of `discount_minor`
//! of its coupons, which is 0 for those that no order holds or has used.

use std::fmt;
use tiffin_api::coupon::Caps;
use tiffin_api::id::{CouponTemplateId, UserId};

const DAY_MS: i64 = 24 * 3_600 * 1_000;
/// Stands for everybody, and for all days.
const EVERYBODY: i64 = 0;
const EVER: i64 = -1;

/// Which counter. As text it is `template:user:day`, its primary key.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct CounterKey {
    /// The template.
    pub template_id: CouponTemplateId,
    /// The diner, or everybody.
    pub user_id: Option<UserId>,
    /// Days since 1970-01-01 in UTC, or all of them.
    pub day: Option<i64>,
}

impl CounterKey {
    /// The one that every template has, and the only one that counts money.
    pub const fn total(template_id: CouponTemplateId) -> Self {
        Self { template_id, user_id: None, day: None }
    }

    /// The user's column: 0 for everybody.
    pub fn user_column(&self) -> i64 {
        self.user_id.map_or(EVERYBODY, UserId::raw)
    }

    /// The day's column: -1 for all days.
    pub fn day_column(&self) -> i64 {
        self.day.unwrap_or(EVER)
    }

    /// From its columns.
    pub fn from_columns(template_id: i64, user_id: i64, day: i64) -> Self {
        Self {
            template_id: CouponTemplateId::from_raw(template_id),
            user_id: (user_id != EVERYBODY).then(|| UserId::from_raw(user_id)),
            day: (day != EVER).then_some(day),
        }
    }
}

impl fmt::Display for CounterKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}:{}", self.template_id, self.user_column(), self.day_column())
    }
}

/// What has been counted; all zero where there is no row yet.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Counter {
    /// Coupons claimed.
    pub claimed: i64,
    /// What they take off orders, minor units.
    pub spent_minor: i64,
}

/// The day of an instant: whole days since 1970-01-01 in UTC.
pub const fn day_of(now_ms: i64) -> i64 {
    now_ms.div_euclid(DAY_MS)
}

/// The counters that a claim reads and raises: the template's own, and one for each cap that needs it.
pub fn keys(
    template_id: CouponTemplateId,
    caps: &Caps,
    user_id: UserId,
    now_ms: i64,
) -> Vec<CounterKey> {
    let total = CounterKey::total(template_id);
    let (user_id, day) = (Some(user_id), Some(day_of(now_ms)));
    let capped = [
        (caps.per_day, CounterKey { day, ..total }),
        (caps.per_user, CounterKey { user_id, ..total }),
        (caps.per_user_per_day, CounterKey { user_id, day, ..total }),
    ];
    let needed = capped.into_iter().filter(|(cap, _)| cap.is_some()).map(|(_, key)| key);
    [total].into_iter().chain(needed).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    const TEMPLATE: CouponTemplateId = CouponTemplateId::from_raw(5);

    #[test]
    fn a_key_reads_back_from_its_columns_and_names_its_row() {
        let user_id = UserId::from_raw(7);
        let caps = Caps {
            per_day: Some(1),
            per_user: Some(1),
            per_user_per_day: Some(1),
            ..Caps::default()
        };
        let keys = keys(TEMPLATE, &caps, user_id, 2 * DAY_MS);
        let names: Vec<_> = keys.iter().map(ToString::to_string).collect();
        assert_eq!(names, ["5:0:-1", "5:0:2", "5:7:-1", "5:7:2"]);
        for key in keys {
            let columns = (key.template_id.raw(), key.user_column(), key.day_column());
            assert_eq!(CounterKey::from_columns(columns.0, columns.1, columns.2), key);
        }
    }

    #[test]
    fn without_caps_only_the_template_counts() {
        let keys = keys(TEMPLATE, &Caps::default(), UserId::from_raw(7), 0);
        assert_eq!(keys, [CounterKey::total(TEMPLATE)]);
    }

    #[test]
    fn days_change_at_midnight_in_utc() {
        assert_eq!((day_of(-1), day_of(0), day_of(DAY_MS - 1), day_of(DAY_MS)), (-1, 0, 0, 1));
    }
}
