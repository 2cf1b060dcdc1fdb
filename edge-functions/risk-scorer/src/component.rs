//! The adapter: `tiffin:risk/scorer`.

use crate::features::{self, Feature, Features};
use crate::model::Model;
use crate::score;

#[expect(unsafe_code, reason = "generated from wit/risk.wit: the canonical ABI is raw pointers")]
mod bindings {
    spin_sdk::wit_bindgen::generate!({
        path: "../../wit/risk.wit",
        world: "risk-scorer",
        runtime_path: "::spin_sdk::wit_bindgen::rt",
    });

    export!(Scorer with_types_in self);

    pub(super) struct Scorer;
}

use bindings::exports::tiffin::risk::scorer;

impl scorer::Guest for bindings::Scorer {
    fn score(features: scorer::Features) -> Result<scorer::Assessment, Vec<scorer::FieldError>> {
        let action = action(features.action);
        let features = Features::new(action, |feature| value(&features, feature))
            .map_err(|faults| faults.into_iter().map(field_error).collect::<Vec<_>>())?;
        let assessment = score::assess(Model::current(), &features);
        Ok(scorer::Assessment {
            score: assessment.score,
            decision: decision(assessment.decision),
            reasons: assessment.reasons,
            model_hash: assessment.model_hash,
        })
    }
}

fn action(action: scorer::Action) -> features::Action {
    match action {
        scorer::Action::Order => features::Action::Order,
        scorer::Action::Payment => features::Action::Payment,
        scorer::Action::CouponClaim => features::Action::CouponClaim,
        scorer::Action::CouponRedemption => features::Action::CouponRedemption,
        scorer::Action::SalePurchase => features::Action::SalePurchase,
        scorer::Action::GroupJoin => features::Action::GroupJoin,
    }
}

fn decision(decision: score::Decision) -> scorer::Decision {
    match decision {
        score::Decision::Allow => scorer::Decision::Allow,
        score::Decision::Challenge => scorer::Decision::Challenge,
        score::Decision::Deny => scorer::Decision::Deny,
    }
}

fn value(features: &scorer::Features, feature: Feature) -> Option<i64> {
    // Beyond `i64` is beyond every range as well.
    let wide = |value: u64| i64::try_from(value).unwrap_or(i64::MAX);
    match feature {
        Feature::AccountAgeDays => Some(features.account_age_days.into()),
        Feature::Orders30d => Some(features.orders_thirty_days.into()),
        Feature::RequestsLastMinute => Some(features.requests_last_minute.into()),
        Feature::BasketMinor => Some(wide(features.basket_minor)),
        Feature::HourLocal => Some(features.hour_local.into()),
        Feature::FailedPayments24h => features.failed_payments_day.map(i64::from),
        Feature::DistinctCards7d => features.distinct_cards_week.map(i64::from),
        Feature::DeviceAgeHours => features.device_age_hours.map(i64::from),
        Feature::TypicalBasketMinor => features.typical_basket_minor.map(wide),
        Feature::CouponSharePermille => features.coupon_share_permille.map(i64::from),
        Feature::AddressDistanceM => features.address_distance_m.map(i64::from),
    }
}

fn field_error(fault: features::Fault) -> scorer::FieldError {
    scorer::FieldError { field: fault.field, detail: fault.detail }
}
