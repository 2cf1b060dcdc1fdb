//! The decision to give a diner a coupon: a pure function of the template, what has been counted, and the
//! time.

#![warn(clippy::wildcard_enum_match_arm)]

use super::counter::{self, Counter, CounterKey};
use super::state::{Status, StoredCoupon};
use std::collections::BTreeMap;
use tiffin_api::coupon::{CouponTemplate, CouponTerms, Validity};
use tiffin_api::id::{CouponId, UserId};
use tiffin_api::{ErrorCode, Problem};

/// What the decision is made from.
#[derive(Debug)]
pub struct Facts<'a> {
    /// The template.
    pub template: &'a CouponTemplate,
    /// Who claims.
    pub user_id: UserId,
    /// The id that the coupon gets.
    pub coupon_id: CouponId,
    /// The counters of [`counter_keys`]; one that is missing stands at zero.
    pub counters: &'a BTreeMap<CounterKey, Counter>,
    /// The time of the decision.
    pub now_ms: i64,
}

/// A coupon that is given.
#[derive(Debug, PartialEq, Eq)]
pub struct Claimed {
    /// The coupon.
    pub coupon: StoredCoupon,
    /// The counters whose `claimed` goes up by one.
    pub counted: Vec<CounterKey>,
}

/// Why a claim is refused.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ClaimError {
    /// Too early.
    #[error("it can be claimed from {start_ms} (ms since 1970 in UTC) on")]
    NotStarted {
        /// When claims begin.
        start_ms: i64,
    },
    /// Too late.
    #[error("it could be claimed until {end_ms} (ms since 1970 in UTC)")]
    Ended {
        /// When claims ended.
        end_ms: i64,
    },
    /// All are gone.
    #[error("all {total} have been claimed")]
    SoldOut {
        /// How many there were.
        total: i64,
    },
    /// Today's are gone.
    #[error("today's {per_day} have been claimed; the next day begins at midnight in UTC")]
    SoldOutToday {
        /// How many there are in a day.
        per_day: i64,
    },
    /// The diner has as many as one may have.
    #[error("you have claimed {per_user} of it, which is as many as one may")]
    AlreadyClaimed {
        /// How many one may claim.
        per_user: i64,
    },
    /// The diner has as many as one may have in a day.
    #[error(
        "you have claimed {per_user_per_day} of it today; the next day begins at midnight in UTC"
    )]
    AlreadyClaimedToday {
        /// How many one may claim in a day.
        per_user_per_day: i64,
    },
}

impl ClaimError {
    /// The code of the problem.
    pub const fn code(&self) -> ErrorCode {
        match self {
            Self::NotStarted { .. } => ErrorCode::CouponNotStarted,
            Self::Ended { .. } => ErrorCode::CouponExpired,
            Self::SoldOut { .. } | Self::SoldOutToday { .. } => ErrorCode::CouponSoldOut,
            Self::AlreadyClaimed { .. } | Self::AlreadyClaimedToday { .. } => {
                ErrorCode::CouponAlreadyClaimed
            }
        }
    }
}

impl From<ClaimError> for Problem {
    fn from(error: ClaimError) -> Self {
        Self::new(error.code(), error.to_string())
    }
}

/// The counters that a claim of `template` by `user_id` at `now_ms` has to know.
pub fn counter_keys(template: &CouponTemplate, user_id: UserId, now_ms: i64) -> Vec<CounterKey> {
    counter::keys(template.id, &template.terms.caps, user_id, now_ms)
}

/// Gives the coupon or says why not.
pub fn decide(facts: &Facts<'_>) -> Result<Claimed, ClaimError> {
    let Facts { template, user_id, coupon_id, counters, now_ms } = *facts;
    let (valid_from_ms, expires_at_ms) = check_time(&template.terms, now_ms)?;
    let counted = counter_keys(template, user_id, now_ms);
    // The diner's own caps first: who has one wants to hear that, even when all are gone.
    for key in counted.iter().rev() {
        let claimed = counters.get(key).map_or(0, |counter| counter.claimed);
        if let Some(error) = spent_cap(&template.terms, *key, claimed) {
            return Err(error);
        }
    }
    let coupon = StoredCoupon {
        id: coupon_id,
        template_id: template.id,
        user_id,
        status: Status::Claimed,
        discount_minor: 0,
        claimed_at_ms: now_ms,
        valid_from_ms,
        expires_at_ms,
        updated_at_ms: now_ms,
        version: 1,
    };
    Ok(Claimed { coupon, counted })
}

/// From when until when a coupon that is claimed now may be used, if it can be claimed now.
fn check_time(terms: &CouponTerms, now_ms: i64) -> Result<(i64, i64), ClaimError> {
    let window = terms.claim_window;
    if now_ms < window.start_ms {
        return Err(ClaimError::NotStarted { start_ms: window.start_ms });
    }
    if now_ms >= window.end_ms {
        return Err(ClaimError::Ended { end_ms: window.end_ms });
    }
    match terms.validity {
        Validity::Relative { valid_for_ms } => Ok((now_ms, now_ms.saturating_add(valid_for_ms))),
        // Nobody is given what is over already.
        Validity::Absolute { end_ms, .. } if now_ms >= end_ms => Err(ClaimError::Ended { end_ms }),
        Validity::Absolute { start_ms, end_ms } => {
            Ok((start_ms.unwrap_or(now_ms).max(now_ms), end_ms))
        }
    }
}

/// The refusal, if the cap that this counter is for is reached.
fn spent_cap(terms: &CouponTerms, key: CounterKey, claimed: i64) -> Option<ClaimError> {
    let caps = &terms.caps;
    let (cap, error): (_, fn(i64) -> ClaimError) = match (key.user_id, key.day) {
        (None, None) => (caps.total, |total| ClaimError::SoldOut { total }),
        (None, Some(_)) => (caps.per_day, |per_day| ClaimError::SoldOutToday { per_day }),
        (Some(_), None) => (caps.per_user, |per_user| ClaimError::AlreadyClaimed { per_user }),
        (Some(_), Some(_)) => (caps.per_user_per_day, |per_user_per_day| {
            ClaimError::AlreadyClaimedToday { per_user_per_day }
        }),
    };
    cap.filter(|cap| claimed >= *cap).map(error)
}

#[cfg(test)]
mod tests;
