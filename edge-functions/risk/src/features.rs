//! What a score is made from, and the check that it can be.

use crate::limits::{
    ACCOUNT_AGE_MAX_DAYS, ADDRESS_DISTANCE_MAX_M, BASKET_MAX_MINOR, COUPON_SHARE_MAX_PERMILLE,
    DEVICE_AGE_MAX_HOURS, DISTINCT_CARDS_7D_MAX, FAILED_PAYMENTS_24H_MAX, HOUR_LOCAL_MAX,
    ORDERS_30D_MAX, REQUESTS_LAST_MINUTE_MAX,
};
use serde_json::{Map, Value};

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
    /// Its name in JSON; empty for the whole body.
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

    /// Reads the features from a JSON document.
    pub fn from_json(document: &Value) -> Result<Self, Vec<Fault>> {
        let Value::Object(fields) = document else {
            return Err(vec![Fault::new("", "the body must be an object of features")]);
        };
        let mut faults = Vec::new();
        for name in fields.keys() {
            if name != "action" && !Feature::ALL.iter().any(|feature| feature.name() == name) {
                faults.push(Fault::new(name, "there is no such feature"));
            }
        }
        let action = read_action(fields).map_err(|fault| faults.push(fault)).ok();
        for feature in Feature::ALL {
            let value = fields.get(feature.name());
            if value.is_some_and(|value| !value.is_i64()) {
                faults.push(Fault::new(feature.name(), range(*feature)));
            }
        }
        let mut features =
            Self { action: action.unwrap_or(Action::Order), values: [None; Feature::ALL.len()] };
        let known = |feature: Feature| fields.get(feature.name()).and_then(Value::as_i64);
        for fault in features.fill(known) {
            // One that is there and no number was named above.
            if !faults.iter().any(|earlier| earlier.field == fault.field) {
                faults.push(fault);
            }
        }
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

fn read_action(fields: &Map<String, Value>) -> Result<Action, Fault> {
    let names = || Action::ALL.map(Action::as_str).join(", ");
    let Some(value) = fields.get("action") else {
        return Err(Fault::new("action", format!("is required; one of {}", names())));
    };
    let known = |action: &Action| value.as_str() == Some(action.as_str());
    Action::ALL
        .into_iter()
        .find(known)
        .ok_or_else(|| Fault::new("action", format!("must be one of {}", names())))
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn least() -> Value {
        json!({
            "action": "order", "account_age_days": 1, "orders_30d": 2, "requests_last_minute": 3,
            "basket_minor": 4, "hour_local": 5,
        })
    }

    fn with(name: &str, value: Value) -> Value {
        let mut document = least();
        document[name] = value;
        document
    }

    fn faulty(document: &Value) -> Vec<String> {
        let faults = Features::from_json(document).unwrap_err();
        faults.into_iter().map(|fault| fault.field).collect()
    }

    #[test]
    fn the_required_features_are_enough() {
        let features = Features::from_json(&least()).unwrap();
        assert_eq!(features.action(), Action::Order);
        assert_eq!(features.get(Feature::BasketMinor), Some(4));
        assert_eq!(features.get(Feature::DeviceAgeHours), None);
        assert!(!features.complete());
    }

    #[test]
    fn every_value_from_zero_to_its_maximum_is_taken_and_no_other() {
        for feature in Feature::ALL {
            for value in [0, feature.max()] {
                let features = Features::from_json(&with(feature.name(), value.into())).unwrap();
                assert_eq!(features.get(*feature), Some(value));
            }
            let wrong = [
                json!(-1),
                json!(feature.max() + 1),
                json!(1.5),
                json!(1.0),
                json!("1"),
                json!(null),
                json!(true),
                json!([1]),
                json!(u64::MAX),
            ];
            for value in wrong {
                assert_eq!(
                    faulty(&with(feature.name(), value.clone())),
                    [feature.name()],
                    "{value}"
                );
            }
        }
    }

    #[test]
    fn all_faults_are_named_at_once() {
        let document = json!({
            "action": "theft", "orders_30d": "many", "basket_minor": -5, "hour_local": 24,
            "device_age_hours": 1.5, "shoe_size": 43,
        });
        let mut fields = faulty(&document);
        fields.sort();
        assert_eq!(
            fields,
            [
                "account_age_days",
                "action",
                "basket_minor",
                "device_age_hours",
                "hour_local",
                "orders_30d",
                "requests_last_minute",
                "shoe_size",
            ]
        );
    }

    #[test]
    fn what_is_no_object_is_one_fault() {
        for document in [json!([]), json!(1), json!(null), json!("features")] {
            assert_eq!(faulty(&document), [""], "{document}");
        }
    }

    #[test]
    fn the_typed_door_checks_the_same_ranges() {
        let faults =
            Features::new(Action::Order, |feature| (feature == Feature::HourLocal).then_some(24));
        let fields: Vec<_> = faults.unwrap_err().into_iter().map(|fault| fault.field).collect();
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
