//! Why a coupon does not help a basket: one list for orders, redemptions and validations, so that a diner
//! who asks first hears what an order would hear.

#![warn(clippy::wildcard_enum_match_arm)]

use tiffin_api::id::CouponId;
use tiffin_api::{ErrorCode, Problem};

/// Why.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Refusal {
    /// There is none, or it is somebody else's.
    #[error("you have no such coupon; yours are listed at /v1/me/coupons")]
    NotFound,
    /// Its time has not come.
    #[error("it may be used from {valid_from_ms} (ms since 1970 in UTC) on")]
    NotStarted {
        /// When it comes.
        valid_from_ms: i64,
    },
    /// Its time is over.
    #[error("it could be used until {expires_at_ms} (ms since 1970 in UTC)")]
    Expired {
        /// When it ended.
        expires_at_ms: i64,
    },
    /// It was withdrawn.
    #[error("it was withdrawn")]
    Voided,
    /// Another order holds it.
    #[error("another order holds it; it comes back if that order closes unpaid")]
    Locked,
    /// It was used up.
    #[error("it was used up by an order that was paid")]
    Used,
    /// It is another store's.
    #[error("it holds at another store")]
    OtherStore,
    /// Its amounts are in another currency.
    #[error("its currency is not the store's")]
    OtherCurrency,
    /// None of its items are in the basket.
    #[error("the basket has none of the items that it is for")]
    OutOfScope,
    /// It would take off nothing.
    #[error("there is nothing left in the basket that it could take something off")]
    TakesNothing,
    /// What it counts is worth too little.
    #[error(
        "what it counts comes to {in_scope_minor}, and has to come to {minimum_minor} (minor units)"
    )]
    MinimumNotMet {
        /// What the lines in scope come to before discounts.
        in_scope_minor: i64,
        /// What they have to come to.
        minimum_minor: i64,
    },
    /// The diner has ordered before.
    #[error("it is for a first order, and you have another")]
    NotFirstOrder,
    /// Too many of its category.
    #[error("an order may use {per_order} of the category {category:?}")]
    NotStackable {
        /// The category.
        category: String,
        /// How many are allowed.
        per_order: u32,
    },
    /// Its template has no money left for it.
    #[error("what was set aside for coupons of this kind is spent")]
    BudgetSpent,
}

impl Refusal {
    /// The code of the problem.
    pub const fn code(&self) -> ErrorCode {
        match self {
            Self::NotFound => ErrorCode::CouponNotFound,
            Self::NotStarted { .. } => ErrorCode::CouponNotStarted,
            Self::Expired { .. } => ErrorCode::CouponExpired,
            Self::Voided => ErrorCode::CouponVoided,
            Self::Locked => ErrorCode::CouponLocked,
            Self::Used => ErrorCode::CouponUsed,
            Self::OtherStore | Self::OtherCurrency | Self::OutOfScope | Self::TakesNothing => {
                ErrorCode::CouponNotApplicable
            }
            Self::MinimumNotMet { .. } => ErrorCode::CouponMinimumNotMet,
            Self::NotFirstOrder => ErrorCode::CouponFirstOrderOnly,
            Self::NotStackable { .. } => ErrorCode::CouponNotStackable,
            Self::BudgetSpent => ErrorCode::CouponBudgetSpent,
        }
    }
}

/// A coupon that does not help, and why.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("coupon {coupon_id}: {why}")]
pub struct CouponRefused {
    /// The coupon.
    pub coupon_id: CouponId,
    /// Why.
    pub why: Refusal,
}

impl From<CouponRefused> for Problem {
    fn from(refused: CouponRefused) -> Self {
        Self::new(refused.why.code(), refused.to_string())
    }
}
