//! Features as a JSON document, and as the scorer takes them.
//!
//! Reading never stops at a fault: what is missing, or is not a number that the contract's type can hold, is
//! handed on as the greatest value of that type. It is beyond every range of the contract, so the scorer
//! names it along with all the others, and says what would be right.

use serde_json::{Map, Value};

/// What is about to be written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
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
    /// Not the scorer's own list: linked in here, that crate would bring its exports with it, and a scorer is whatever
    /// component `spin.toml` names. What both follow is the contract.
    const ALL: [(&str, Self); 6] = [
        ("order", Self::Order),
        ("payment", Self::Payment),
        ("coupon-claim", Self::CouponClaim),
        ("coupon-redemption", Self::CouponRedemption),
        ("sale-purchase", Self::SalePurchase),
        ("group-join", Self::GroupJoin),
    ];
}

/// The record of the contract, by its names in JSON; `wit/risk.wit` says what each means.
#[expect(missing_docs, reason = "the contract documents its fields")]
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Features {
    pub action: Action,
    pub account_age_days: u32,
    pub orders_30d: u32,
    pub requests_last_minute: u32,
    pub basket_minor: u64,
    pub hour_local: u32,
    pub failed_payments_24h: Option<u32>,
    pub distinct_cards_7d: Option<u32>,
    pub device_age_hours: Option<u32>,
    pub typical_basket_minor: Option<u64>,
    pub coupon_share_permille: Option<u32>,
    pub address_distance_m: Option<u32>,
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

/// A document that was read to its end.
#[derive(Debug)]
pub struct Document {
    /// What to ask the scorer.
    pub features: Features,
    /// What is wrong whatever the scorer says.
    pub faults: Vec<Fault>,
    /// Fields that must be there and are not.
    missing: Vec<&'static str>,
    /// Fields that are there and are no number of the contract.
    unreadable: Vec<&'static str>,
}

impl Document {
    /// Reads a document.
    ///
    /// # Errors
    /// It is no object, and so has no features.
    pub fn read(document: Value) -> Result<Self, Fault> {
        let Value::Object(fields) = document else {
            return Err(Fault::new("", "the body must be an object of features"));
        };
        let mut reader = Reader { fields, missing: Vec::new(), unreadable: Vec::new() };
        let action = reader.action();
        let features = Features {
            action: *action.as_ref().unwrap_or(&Action::Order),
            account_age_days: reader.required("account_age_days", u32::MAX),
            orders_30d: reader.required("orders_30d", u32::MAX),
            requests_last_minute: reader.required("requests_last_minute", u32::MAX),
            basket_minor: reader.required("basket_minor", u64::MAX),
            hour_local: reader.required("hour_local", u32::MAX),
            failed_payments_24h: reader.optional("failed_payments_24h", u32::MAX),
            distinct_cards_7d: reader.optional("distinct_cards_7d", u32::MAX),
            device_age_hours: reader.optional("device_age_hours", u32::MAX),
            typical_basket_minor: reader.optional("typical_basket_minor", u64::MAX),
            coupon_share_permille: reader.optional("coupon_share_permille", u32::MAX),
            address_distance_m: reader.optional("address_distance_m", u32::MAX),
        };
        let unknown = reader.fields.keys().map(|name| Fault::new(name, "there is no such feature"));
        let faults = unknown.chain(action.err()).collect();
        let Reader { missing, unreadable, .. } = reader;
        Ok(Self { features, faults, missing, unreadable })
    }

    /// All faults, given those that the scorer named.
    pub fn all_faults(&self, of_scorer: Vec<Fault>) -> Vec<Fault> {
        let mut faults = self.faults.clone();
        let said_of = |field: &str| of_scorer.iter().any(|fault| fault.field == field);
        // The ranges of a later scorer may be wider; what was not told is not scored all the same.
        let unsaid = (self.missing.iter().chain(&self.unreadable))
            .filter(|field| !said_of(field))
            .map(|field| Fault::new(field, "must be a whole number"))
            .collect::<Vec<_>>();
        for mut fault in of_scorer.into_iter().chain(unsaid) {
            if self.missing.contains(&fault.field.as_str()) {
                fault.detail = format!("is required; {}", fault.detail);
            }
            faults.push(fault);
        }
        faults
    }
}

/// The fields that were not read yet, and what became of the others.
struct Reader {
    fields: Map<String, Value>,
    missing: Vec<&'static str>,
    unreadable: Vec<&'static str>,
}

impl Reader {
    fn action(&mut self) -> Result<Action, Fault> {
        let names = || Action::ALL.map(|(name, _)| name).join(", ");
        let Some(value) = self.fields.remove("action") else {
            return Err(Fault::new("action", format!("is required; one of {}", names())));
        };
        let found = Action::ALL.into_iter().find(|(name, _)| value.as_str() == Some(name));
        found
            .map(|(_, action)| action)
            .ok_or_else(|| Fault::new("action", format!("must be one of {}", names())))
    }

    fn required<T: TryFrom<u64>>(&mut self, name: &'static str, beyond: T) -> T {
        if !self.fields.contains_key(name) {
            self.missing.push(name);
            return beyond;
        }
        self.optional(name, beyond).expect("it is there")
    }

    fn optional<T: TryFrom<u64>>(&mut self, name: &'static str, beyond: T) -> Option<T> {
        let value = self.fields.remove(name)?;
        let number = value.as_u64().and_then(|number| T::try_from(number).ok());
        if number.is_none() {
            self.unreadable.push(name);
        }
        Some(number.unwrap_or(beyond))
    }
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

    fn with(name: &str, value: Value) -> Document {
        let mut document = least();
        document[name] = value;
        Document::read(document).unwrap()
    }

    fn fields(faults: &[Fault]) -> Vec<&str> {
        faults.iter().map(|fault| fault.field.as_str()).collect()
    }

    #[test]
    fn the_actions_are_those_of_the_contract() {
        let contract = include_str!("../../../wit/risk.wit");
        let (_, cases) = contract.split_once("enum action {").unwrap();
        let (cases, _) = cases.split_once('}').unwrap();
        let cases = cases.lines().map(str::trim);
        let names: Vec<_> = cases.filter_map(|line| line.strip_suffix(',')).collect();
        assert_eq!(names, Action::ALL.map(|(name, _)| name));
    }

    #[test]
    fn every_feature_is_handed_on_under_its_own_name() {
        let document = json!({
            "action": "coupon-claim", "account_age_days": 1, "orders_30d": 2,
            "requests_last_minute": 3, "basket_minor": 1_000_000_000_000_u64, "hour_local": 5,
            "failed_payments_24h": 6, "distinct_cards_7d": 7, "device_age_hours": 8,
            "typical_basket_minor": 9, "coupon_share_permille": 10, "address_distance_m": 11,
        });
        let document = Document::read(document).unwrap();
        let features = Features {
            action: Action::CouponClaim,
            account_age_days: 1,
            orders_30d: 2,
            requests_last_minute: 3,
            basket_minor: 1_000_000_000_000,
            hour_local: 5,
            failed_payments_24h: Some(6),
            distinct_cards_7d: Some(7),
            device_age_hours: Some(8),
            typical_basket_minor: Some(9),
            coupon_share_permille: Some(10),
            address_distance_m: Some(11),
        };
        assert_eq!(document.features, features);
        assert_eq!(document.all_faults(Vec::new()), []);
        let least = Document::read(least()).unwrap().features;
        assert_eq!((least.hour_local, least.device_age_hours), (5, None));
    }

    #[test]
    fn what_is_no_number_of_the_contract_stands_beyond_every_range() {
        for value in [
            json!(-1),
            json!(1.5),
            json!(1.0),
            json!("1"),
            json!(null),
            json!(true),
            json!([1]),
            json!(u64::MAX),
        ] {
            let required = with("hour_local", value.clone());
            assert_eq!(required.features.hour_local, u32::MAX, "{value}");
            assert_eq!(fields(&required.all_faults(Vec::new())), ["hour_local"], "{value}");
            let optional = with("device_age_hours", value.clone());
            assert_eq!(optional.features.device_age_hours, Some(u32::MAX), "{value}");
            assert_eq!(fields(&optional.all_faults(Vec::new())), ["device_age_hours"], "{value}");
        }
    }

    #[test]
    fn all_faults_are_named_once_and_the_scorers_words_kept() {
        let document = json!({
            "action": "theft", "orders_30d": "many", "requests_last_minute": 1, "basket_minor": 5,
            "hour_local": 24, "shoe_size": 43,
        });
        let document = Document::read(document).unwrap();
        let of_scorer = ["account_age_days", "orders_30d", "hour_local"];
        let of_scorer = of_scorer.map(|field| Fault::new(field, "must be small")).to_vec();
        let faults = document.all_faults(of_scorer);
        assert_eq!(
            fields(&faults),
            ["shoe_size", "action", "account_age_days", "orders_30d", "hour_local"]
        );
        assert_eq!(faults[2].detail, "is required; must be small");
        assert_eq!(faults[3].detail, "must be small");
    }

    #[test]
    fn what_is_no_object_is_one_fault() {
        for document in [json!([]), json!(1), json!(null), json!("features")] {
            assert_eq!(Document::read(document.clone()).unwrap_err().field, "", "{document}");
        }
    }
}
