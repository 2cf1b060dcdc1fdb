//! Rate limits in process: the same arithmetic as Redis's scripts.

use super::expiring::Expiring;
use crate::fast::{Allowance, Rate, TOKEN_PARTS, Window};
use crate::limits;

/// Every bucket and window of the process.
#[derive(Debug)]
pub(super) struct Rates {
    buckets: Expiring<String, Bucket>,
    windows: Expiring<String, Vec<(i64, String)>>,
}

#[derive(Debug, Clone, Copy)]
struct Bucket {
    level: i64,
    at_ms: i64,
}

impl Rates {
    pub(super) fn new() -> Self {
        Self {
            buckets: Expiring::new(limits::RATES_KEPT),
            windows: Expiring::new(limits::RATES_KEPT),
        }
    }

    /// `now_ms` is the caller's time, by which the limit counts; `clock_ms` ends what is forgotten.
    pub(super) fn take_token(
        &mut self,
        key: &str,
        rate: Rate,
        now_ms: i64,
        clock_ms: i64,
    ) -> Allowance {
        let full = rate.capacity_parts();
        let speed = rate.parts_per_ms();
        let key = key.to_owned();
        let mut bucket = match self.buckets.get(&key, clock_ms) {
            Some(bucket) => {
                let elapsed_ms = now_ms.saturating_sub(bucket.at_ms).max(0);
                let level = bucket.level.saturating_add(elapsed_ms.saturating_mul(speed)).min(full);
                Bucket { level, at_ms: bucket.at_ms.max(now_ms) }
            }
            None => Bucket { level: full, at_ms: now_ms },
        };
        let allowance = if bucket.level >= TOKEN_PARTS {
            bucket.level -= TOKEN_PARTS;
            Allowance::Allowed
        } else {
            Allowance::Denied { retry_after_ms: wait_ms(TOKEN_PARTS - bucket.level, speed) }
        };
        let keep_ms = wait_ms(full - bucket.level, speed).saturating_add(limits::RATE_SLACK_MS);
        self.buckets.set(key, bucket, clock_ms.saturating_add(keep_ms), clock_ms);
        allowance
    }

    /// See [`Rates::take_token`] for the two times.
    pub(super) fn slide(
        &mut self,
        key: &str,
        window: Window,
        now_ms: i64,
        unique_id: &str,
        clock_ms: i64,
    ) -> Allowance {
        let key = key.to_owned();
        let mut events = self.windows.remove(&key, clock_ms).unwrap_or_default();
        events.retain(|(at_ms, _)| *at_ms > now_ms.saturating_sub(window.window_ms));
        let limit = usize::try_from(window.limit).unwrap_or(usize::MAX);
        let allowance = if events.iter().any(|(_, id)| id == unique_id) {
            Allowance::Allowed
        } else if events.len() < limit {
            let event = (now_ms, unique_id.to_owned());
            let place = events.partition_point(|other| *other < event);
            events.insert(place, event);
            Allowance::Allowed
        } else {
            // Once the oldest that is in the way has left, this one fits.
            let in_the_way = events.get(events.len() - limit).map_or(now_ms, |(at_ms, _)| *at_ms);
            let leaves_ms = in_the_way.saturating_add(window.window_ms);
            Allowance::Denied { retry_after_ms: leaves_ms.saturating_sub(now_ms).max(1) }
        };
        if !events.is_empty() {
            let keep_ms = window.window_ms.saturating_add(limits::RATE_SLACK_MS);
            self.windows.set(key, events, clock_ms.saturating_add(keep_ms), clock_ms);
        }
        allowance
    }
}

/// How long `parts` take to come at `speed` parts a millisecond, rounded up.
fn wait_ms(parts: i64, speed: i64) -> i64 {
    parts / speed + i64::from(parts % speed != 0)
}
