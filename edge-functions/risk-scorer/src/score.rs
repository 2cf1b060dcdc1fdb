//! From features to a decision.

use crate::features::Features;
use crate::limits::{CHALLENGE_FROM, DENY_FROM, SCORE_MAX};
use crate::model::Model;

/// The reason of a challenge for want of features.
const MISSING_FEATURES: &str = "missing-features";

/// What should become of a write.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Decision {
    /// Let it pass.
    Allow,
    /// Ask for more proof.
    Challenge,
    /// Refuse it.
    Deny,
}

impl Decision {
    /// The decision that a score alone means.
    pub fn of_score(score: u32) -> Self {
        if score >= DENY_FROM {
            Self::Deny
        } else if score >= CHALLENGE_FROM {
            Self::Challenge
        } else {
            Self::Allow
        }
    }
}

/// What a scorer says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Assessment {
    /// 0 to [`SCORE_MAX`].
    pub score: u32,
    /// What should become of the write.
    pub decision: Decision,
    /// Codes of what speaks against it, the weightiest first.
    pub reasons: Vec<String>,
    /// SHA-256 of the model, hexadecimal.
    pub model_hash: String,
}

/// Scores features with a model.
pub fn assess(model: &Model, features: &Features) -> Assessment {
    let mut log_odds = model.start(features.action());
    let mut against = Vec::new();
    // Floating-point sums depend on their order: this one is the file's.
    for term in &model.terms {
        let (contribution, known) = term.contribution(features);
        log_odds += contribution;
        if known && contribution >= model.reason_min() {
            against.push((contribution, &term.reason));
        }
    }
    // The sort is stable: equals stay in the file's order.
    against.sort_by(|(one, _), (other, _)| other.total_cmp(one));
    let mut reasons: Vec<String> =
        against.into_iter().take(model.reasons_max).map(|(_, reason)| reason.clone()).collect();

    let score = logistic(log_odds);
    let mut decision = Decision::of_score(score);
    if !features.complete() && features.action().needs_all_features() {
        decision = decision.max(Decision::Challenge);
        reasons.push(MISSING_FEATURES.to_owned());
    }
    Assessment { score, decision, reasons, model_hash: model.hash.clone() }
}

/// The logistic function in thousandths, rounded down. `libm` is written in Rust, so that every
/// platform computes the same bits.
fn logistic(log_odds: f64) -> u32 {
    let probability = 1.0 / (1.0 + libm::exp(-log_odds));
    let scaled = libm::floor(probability * f64::from(SCORE_MAX)).clamp(0.0, f64::from(SCORE_MAX));
    #[expect(
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        reason = "a whole number from 0 to SCORE_MAX"
    )]
    let score = scaled as u32;
    score
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::features::{Action, Feature};
    use serde_json::{Value, json};

    fn assess_json(document: &Value) -> Assessment {
        let is_meant = |action: &Action| document["action"] == action.as_str();
        let action = Action::ALL.into_iter().find(is_meant).unwrap();
        let value_of = |feature: Feature| document.get(feature.name()).and_then(Value::as_i64);
        assess(Model::current(), &Features::new(action, value_of).unwrap())
    }

    fn regular() -> Value {
        json!({
            "action": "order", "account_age_days": 400, "orders_30d": 8, "requests_last_minute": 4,
            "basket_minor": 2400, "hour_local": 19, "failed_payments_24h": 0,
            "distinct_cards_7d": 1, "device_age_hours": 5000, "typical_basket_minor": 2200,
            "coupon_share_permille": 100, "address_distance_m": 0,
        })
    }

    fn changed(changes: &[(&str, Value)]) -> Value {
        let mut document = regular();
        for (name, value) in changes {
            document[*name] = value.clone();
        }
        document
    }

    #[test]
    fn scores_are_exactly_these() {
        let newcomer = [
            ("account_age_days", json!(0)),
            ("orders_30d", json!(0)),
            ("device_age_hours", json!(0)),
            ("typical_basket_minor", json!(0)),
            ("coupon_share_permille", json!(0)),
        ];
        let mut claim = newcomer.to_vec();
        claim.push(("action", json!("coupon-claim")));
        let mut thief = newcomer.to_vec();
        thief.extend([
            ("failed_payments_24h", json!(5)),
            ("distinct_cards_7d", json!(5)),
            ("requests_last_minute", json!(45)),
            ("hour_local", json!(3)),
        ]);
        let splurge = [("basket_minor", json!(13_200)), ("address_distance_m", json!(105_000))];
        // Log odds of -3, -0.5, -0.2, 5 and -1.6, worked out by hand from the model file.
        let table: [(Value, u32, Decision, &[&str]); 5] = [
            (regular(), 47, Decision::Allow, &[]),
            (
                changed(&newcomer),
                377,
                Decision::Allow,
                &["new-account", "new-device", "no-order-history"],
            ),
            (
                changed(&claim),
                450,
                Decision::Challenge,
                &["new-account", "new-device", "no-order-history"],
            ),
            (
                changed(&thief),
                993,
                Decision::Deny,
                &["failed-payments", "many-cards", "request-burst", "new-account", "new-device"],
            ),
            (changed(&splurge), 167, Decision::Allow, &["basket-above-usual", "distant-address"]),
        ];
        for (document, score, decision, reasons) in table {
            let got = assess_json(&document);
            let expected = Assessment {
                score,
                decision,
                reasons: reasons.iter().map(|reason| (*reason).to_owned()).collect(),
                model_hash: Model::current().hash.clone(),
            };
            assert_eq!(got, expected, "{document}");
        }
    }

    #[test]
    fn more_of_what_is_suspicious_never_lowers_a_score() {
        use Feature::*;
        for (feature, rises) in [
            (FailedPayments24h, true),
            (DistinctCards7d, true),
            (RequestsLastMinute, true),
            (BasketMinor, true),
            (CouponSharePermille, true),
            (AddressDistanceM, true),
            (AccountAgeDays, false),
            (Orders30d, false),
            (DeviceAgeHours, false),
            (TypicalBasketMinor, false),
        ] {
            let mut steps: Vec<i64> = (0..60).map(|step| 1_i64 << (step % 40)).collect();
            steps.extend(1..200);
            steps.push(feature.max());
            steps.retain(|value| (1..=feature.max()).contains(value));
            steps.sort_unstable();
            if !rises {
                steps.reverse();
            }
            let scores: Vec<u32> = steps
                .iter()
                .map(|value| assess_json(&changed(&[(feature.name(), json!(value))])).score)
                .collect();
            assert!(scores.is_sorted(), "{}: {scores:?}", feature.name());
            assert!(scores.first() < scores.last(), "{} counts", feature.name());
        }
    }

    #[test]
    fn thresholds_are_sharp() {
        for (score, decision) in [
            (0, Decision::Allow),
            (399, Decision::Allow),
            (400, Decision::Challenge),
            (699, Decision::Challenge),
            (700, Decision::Deny),
            (1_000, Decision::Deny),
        ] {
            assert_eq!(Decision::of_score(score), decision, "{score}");
        }
    }

    #[test]
    fn any_log_odds_give_a_score_in_range() {
        let table =
            [(f64::NEG_INFINITY, 0), (-1e9, 0), (0.0, 500), (1e9, 1_000), (f64::INFINITY, 1_000)];
        for (log_odds, score) in table {
            assert_eq!(logistic(log_odds), score, "{log_odds}");
        }
    }

    #[test]
    fn a_missing_feature_challenges_coupon_and_sale_writes_only() {
        for action in Action::ALL {
            let mut document = changed(&[("action", json!(action.as_str()))]);
            assert_eq!(assess_json(&document).decision, Decision::Allow, "{action:?}, complete");
            document.as_object_mut().unwrap().remove("device_age_hours");
            let got = assess_json(&document);
            let missing = got.reasons.iter().any(|reason| reason == MISSING_FEATURES);
            let challenged = got.decision == Decision::Challenge;
            let expected = matches!(
                action,
                Action::CouponClaim | Action::CouponRedemption | Action::SalePurchase
            );
            assert_eq!((challenged, missing), (expected, expected), "{action:?}");
        }
    }
}
