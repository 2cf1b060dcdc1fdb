//! What a score is made from, and the check that it can be.

use crate::limits::{
    ACCOUNT_AGE_MAX_DAYS, ADDRESS_DISTANCE_MAX_M, BASKET_MAX_MINOR, COUPON_SHARE_MAX_PERMILLE,
    DEVICE_AGE_MAX_HOURS, DISTINCT_CARDS_7D_MAX, FAILED_PAYMENTS_24H_MAX, HOUR_LOCAL_MAX,
    ORDERS_30D_MAX, REQUESTS_LAST_MINUTE_MAX,
};

/// What is about to be written.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Action {
    /// Placing an order.
    Order,
    /// Paying for an order.
    Payment,
    /// Claiming a coupon.
    CouponClaim,
    /// Redeeming a coupon.
    CouponRedemption,
    /// Buying in a flash sale.
    SalePurchase,
    /// Taking a seat in a group.
    GroupJoin,
}

impl Action {
    /// Every action.
    pub const ALL: [Self; 6] = [
        Self::Order,
        Self::Payment,
        Self::CouponClaim,
        Self::CouponRedemption,
        Self::SalePurchase,
        Self::GroupJoin,
    ];

    /// Its name in JSON and in a model.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Order => "order",
            Self::Payment => "payment",
            Self::CouponClaim => "coupon-claim",
            Self::CouponRedemption => "coupon-redemption",
            Self::SalePurchase => "sale-purchase",
            Self::GroupJoin => "group-join",
        }
    }

    /// Whether too little knowledge alone is a reason to ask for more proof: what is given away here is
    /// what bots come for.
    pub const fn needs_all_features(self) -> bool {
        match self {
            Self::CouponClaim | Self::CouponRedemption | Self::SalePurchase => true,
            Self::Order | Self::Payment | Self::GroupJoin => false,
        }
    }
}

macro_rules! features {
    ($($(#[$doc:meta])* $variant:ident = $name:literal, $need:ident, 0..=$max:expr;)*) => {
        /// A number that a score is made from. Each is a whole number from zero.
        #[derive(Debug, Clone, Copy, PartialEq, Eq)]
        pub enum Feature {
            $($(#[$doc])* $variant,)*
        }

        impl Feature {
            /// Every feature.
            pub const ALL: &'static [Self] = &[$(Self::$variant,)*];

            /// Its name in JSON and in a model.
            pub const fn name(self) -> &'static str {
                match self { $(Self::$variant => $name,)* }
            }

            /// The greatest value it may have.
            pub const fn max(self) -> i64 {
                match self { $(Self::$variant => $max,)* }
            }

            /// Whether there is no score without it.
            pub const fn required(self) -> bool {
                match self { $(Self::$variant => features!(@ $need),)* }
            }
        }
    };
    (@ required) => { true };
    (@ optional) => { false };
}

features! {
    /// Days since the account was made.
    AccountAgeDays = "account_age_days", required, 0..=ACCOUNT_AGE_MAX_DAYS;
    /// Orders completed in the last 30 days.
    Orders30d = "orders_30d", required, 0..=ORDERS_30D_MAX;
    /// Requests by the principal in the last 60 seconds.
    RequestsLastMinute = "requests_last_minute", required, 0..=REQUESTS_LAST_MINUTE_MAX;
    /// What the basket comes to, minor units; zero if there is none.
    BasketMinor = "basket_minor", required, 0..=BASKET_MAX_MINOR;
    /// The hour of the day where the store is.
    HourLocal = "hour_local", required, 0..=HOUR_LOCAL_MAX;
    /// Payments that failed in the last 24 hours.
    FailedPayments24h = "failed_payments_24h", optional, 0..=FAILED_PAYMENTS_24H_MAX;
    /// Different cards tried in the last 7 days.
    DistinctCards7d = "distinct_cards_7d", optional, 0..=DISTINCT_CARDS_7D_MAX;
    /// Hours since the device was first seen with this account.
    DeviceAgeHours = "device_age_hours", optional, 0..=DEVICE_AGE_MAX_HOURS;
    /// The median basket of the principal's orders, minor units; zero if there are none.
    TypicalBasketMinor = "typical_basket_minor", optional, 0..=BASKET_MAX_MINOR;
    /// How many of the principal's orders used a coupon, thousandths.
    CouponSharePermille = "coupon_share_permille", optional, 0..=COUPON_SHARE_MAX_PERMILLE;
    /// From the address to the nearest that the principal has used before, metres.
    AddressDistanceM = "address_distance_m", optional, 0..=ADDRESS_DISTANCE_MAX_M;
}

/// A field that keeps features from being scored.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Fault {
    /// Its name in JSON.
    pub field: String,
    /// What is wrong and what would be right.
    pub detail: String,
}

impl Fault {
    fn new(field: &str, detail: impl Into<String>) -> Self {
        Self { field: field.to_owned(), detail: detail.into() }
    }
}

/// Features that can be scored: every required one is there, and each is in its range.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Features {
    action: Action,
    values: [Option<i64>; Feature::ALL.len()],
}

impl Features {
    /// Checks the features that `value_of` tells. All faults are named, not only the first.
    pub fn new(
        action: Action,
        value_of: impl Fn(Feature) -> Option<i64>,
    ) -> Result<Self, Vec<Fault>> {
        let mut features = Self { action, values: [None; Feature::ALL.len()] };
        let faults = features.fill(value_of);
        if faults.is_empty() { Ok(features) } else { Err(faults) }
    }

    fn fill(&mut self, value_of: impl Fn(Feature) -> Option<i64>) -> Vec<Fault> {
        let mut faults = Vec::new();
        for (slot, feature) in self.values.iter_mut().zip(Feature::ALL) {
            *slot = value_of(*feature);
            match *slot {
                None if feature.required() => {
                    let detail = format!("is required; {}", range(*feature));
                    faults.push(Fault::new(feature.name(), detail));
                }
                Some(value) if !(0..=feature.max()).contains(&value) => {
                    faults.push(Fault::new(feature.name(), range(*feature)));
                }
                None | Some(_) => {}
            }
        }
        faults
    }

    /// What is about to be written.
    pub fn action(&self) -> Action {
        self.action
    }

    /// The value of a feature, if it is known.
    pub fn get(&self, wanted: Feature) -> Option<i64> {
        Feature::ALL
            .iter()
            .zip(&self.values)
            .find(|(feature, _)| **feature == wanted)
            .and_then(|(_, value)| *value)
    }

    /// Whether nothing is missing.
    pub fn complete(&self) -> bool {
        self.values.iter().all(Option::is_some)
    }
}

fn range(feature: Feature) -> String {
    format!("must be a whole number from 0 to {}", feature.max())
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A value that each feature may have.
    fn each(feature: Feature) -> Option<i64> {
        feature.required().then_some(5)
    }

    fn faulty(value_of: impl Fn(Feature) -> Option<i64>) -> Vec<String> {
        let faults = Features::new(Action::Order, value_of).unwrap_err();
        faults.into_iter().map(|fault| fault.field).collect()
    }

    #[test]
    fn the_required_features_are_enough() {
        let features = Features::new(Action::Order, each).unwrap();
        assert_eq!(features.action(), Action::Order);
        assert_eq!(features.get(Feature::BasketMinor), Some(5));
        assert_eq!(features.get(Feature::DeviceAgeHours), None);
        assert!(!features.complete());
    }

    #[test]
    fn every_value_from_zero_to_its_maximum_is_taken_and_no_other() {
        for feature in Feature::ALL {
            let with =
                |value| move |other| if other == *feature { Some(value) } else { each(other) };
            for value in [0, feature.max()] {
                let features = Features::new(Action::Order, with(value)).unwrap();
                assert_eq!(features.get(*feature), Some(value));
            }
            // What stands for a value that the contract's type cannot hold is beyond every range.
            for value in [-1, feature.max() + 1, u32::MAX.into(), i64::MAX] {
                let is_basket = feature.max() > i64::from(u32::MAX);
                if !(is_basket && value == i64::from(u32::MAX)) {
                    assert_eq!(faulty(with(value)), [feature.name()], "{value}");
                }
            }
        }
    }

    #[test]
    fn all_faults_are_named_at_once() {
        let fields = faulty(|feature| (feature == Feature::HourLocal).then_some(24));
        assert_eq!(
            fields,
            [
                "account_age_days",
                "orders_30d",
                "requests_last_minute",
                "basket_minor",
                "hour_local"
            ]
        );
    }
}
