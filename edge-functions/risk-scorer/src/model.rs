//! The model: a logistic regression whose weights stand in a versioned data file.
//!
//! The file is part of the component and is known by its SHA-256. All its numbers are integers, so that
//! no reader of decimal fractions can make two platforms differ.

use crate::features::{Action, Feature, Features};
use crate::limits::{REASONS_MAX, TERMS_MAX, WEIGHT_MAX_MILLI};
use serde::Deserialize;
use sha2::{Digest as _, Sha256};
use std::collections::BTreeMap;
use std::sync::LazyLock;

/// The model in use, as it was trained.
pub const FILE: &[u8] = include_bytes!("../model/logistic-v1.json");

static CURRENT: LazyLock<Model> = LazyLock::new(|| {
    // A test reads the same bytes: a component with another file than a good one is never built.
    Model::parse(FILE).expect("the model file is well-formed")
});

/// What a term looks at.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Input {
    /// A feature as it is.
    Feature(Feature),
    /// The basket in thousandths of the principal's typical one.
    BasketRatioPermille,
}

impl Input {
    fn named(name: &str) -> Option<Self> {
        if name == "basket_ratio_permille" {
            return Some(Self::BasketRatioPermille);
        }
        Feature::ALL.iter().find(|feature| feature.name() == name).copied().map(Self::Feature)
    }

    /// Its value, if the features tell it.
    pub fn value(self, features: &Features) -> Option<i64> {
        match self {
            Self::Feature(feature) => features.get(feature),
            Self::BasketRatioPermille => {
                let basket_minor = features.get(Feature::BasketMinor)?;
                match features.get(Feature::TypicalBasketMinor)? {
                    // Without earlier orders there is nothing to be unusual against.
                    0 => Some(1_000),
                    typical_minor => Some(basket_minor.saturating_mul(1_000) / typical_minor),
                }
            }
        }
    }
}

/// How a value becomes a number from 0 to 1.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase", deny_unknown_fields)]
pub enum Shape {
    /// 0 at `from`, 1 at `to`, straight in between, flat beyond. `from` may be the greater one.
    Ramp {
        /// Where it begins.
        from: i64,
        /// Where it ends.
        to: i64,
    },
    /// 1 from `from` to `to`, both included, else 0.
    Window {
        /// The first value inside.
        from: i64,
        /// The last value inside.
        to: i64,
    },
}

impl Shape {
    /// The number for a value.
    pub fn apply(self, value: i64) -> f64 {
        match self {
            Self::Ramp { from, to } => {
                let inside = value.clamp(from.min(to), from.max(to));
                exact(inside - from) / exact(to - from)
            }
            Self::Window { from, to } => f64::from(u8::from((from..=to).contains(&value))),
        }
    }
}

/// An integer as a float. Exact: features, weights and shapes are far below 2^53, which
/// [`Model::parse`] and the features' ranges see to.
fn exact(value: i64) -> f64 {
    value as f64
}

/// One summand of the regression.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Term {
    /// The stable code of what it speaks of.
    pub reason: String,
    /// What it looks at.
    pub input: Input,
    weight_milli: i64,
    shape: Shape,
    missing_permille: i64,
}

impl Term {
    /// What it adds to the log odds, and whether that comes from a value that is known.
    pub fn contribution(&self, features: &Features) -> (f64, bool) {
        let value = self.input.value(features);
        let share = value.map_or_else(
            || exact(self.missing_permille) / 1_000.0,
            |value| self.shape.apply(value),
        );
        (exact(self.weight_milli) / 1_000.0 * share, value.is_some())
    }
}

/// A checked model.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Model {
    /// SHA-256 of its file, hexadecimal.
    pub hash: String,
    /// The summands, in the order in which they are summed.
    pub terms: Vec<Term>,
    /// The most reasons that are named.
    pub reasons_max: usize,
    bias_milli: i64,
    action_milli: BTreeMap<Action, i64>,
    reason_min_milli: i64,
}

/// Why a file is no model.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ModelError(pub String);

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct File {
    name: String,
    version: u32,
    bias_milli: i64,
    action_milli: BTreeMap<String, i64>,
    terms: Vec<FileTerm>,
    reason_min_milli: i64,
    reasons_max: usize,
}

#[derive(Deserialize)]
struct FileTerm {
    reason: String,
    input: String,
    weight_milli: i64,
    #[serde(default)]
    missing_permille: i64,
    #[serde(flatten)]
    shape: Shape,
}

impl Model {
    /// The model in use.
    pub fn current() -> &'static Self {
        &CURRENT
    }

    /// Reads and checks a model file.
    pub fn parse(file: &[u8]) -> Result<Self, ModelError> {
        let hash = sha256_hex(file);
        let file: File =
            serde_json::from_slice(file).map_err(|error| ModelError(error.to_string()))?;
        let refuse = |detail: String| Err(ModelError(detail));
        if file.name != "logistic" || file.version != 1 {
            return refuse(format!("no reader for {} version {}", file.name, file.version));
        }
        let mut action_milli = BTreeMap::new();
        for action in Action::ALL {
            let Some(shift_milli) = file.action_milli.get(action.as_str()) else {
                return refuse(format!("action {} is missing", action.as_str()));
            };
            action_milli.insert(action, *shift_milli);
        }
        if action_milli.len() != file.action_milli.len() {
            return refuse("an action is unknown".to_owned());
        }
        if file.terms.len() > TERMS_MAX || file.reasons_max > REASONS_MAX {
            return refuse("too many terms or reasons".to_owned());
        }
        let shifts = action_milli.values().chain([&file.bias_milli, &file.reason_min_milli]);
        let weights = file.terms.iter().map(|term| &term.weight_milli);
        if shifts.chain(weights).any(|milli| milli.abs() > WEIGHT_MAX_MILLI) {
            return refuse(format!("a weight is beyond {WEIGHT_MAX_MILLI} thousandths"));
        }
        Ok(Self {
            hash,
            terms: file.terms.into_iter().map(term).collect::<Result<_, _>>()?,
            reasons_max: file.reasons_max,
            bias_milli: file.bias_milli,
            action_milli,
            reason_min_milli: file.reason_min_milli,
        })
    }

    /// The log odds before any term.
    pub fn start(&self, action: Action) -> f64 {
        let shift_milli = self.action_milli.get(&action).copied().unwrap_or_default();
        exact(self.bias_milli + shift_milli) / 1_000.0
    }

    /// The least contribution that is named as a reason.
    pub fn reason_min(&self) -> f64 {
        exact(self.reason_min_milli) / 1_000.0
    }
}

fn sha256_hex(bytes: &[u8]) -> String {
    Sha256::digest(bytes).iter().map(|byte| format!("{byte:02x}")).collect()
}

fn term(term: FileTerm) -> Result<Term, ModelError> {
    let FileTerm { reason, input, weight_milli, missing_permille, shape } = term;
    let refuse = |detail: &str| Err(ModelError(format!("term {reason}: {detail}")));
    let Some(input) = Input::named(&input) else { return refuse("unknown input") };
    if !(0..=1_000).contains(&missing_permille) {
        return refuse("missing_permille must be from 0 to 1000");
    }
    let (from, to, sound) = match shape {
        Shape::Ramp { from, to } => (from, to, from != to),
        Shape::Window { from, to } => (from, to, from <= to),
    };
    let in_range = |bound: i64| (0..=crate::limits::BASKET_MAX_MINOR).contains(&bound);
    if !sound || !in_range(from) || !in_range(to) {
        return refuse("its shape has no extent or is out of range");
    }
    if reason.is_empty() || !reason.bytes().all(|byte| byte.is_ascii_lowercase() || byte == b'-') {
        return refuse("its reason must be lower-case words joined by hyphens");
    }
    Ok(Term { reason, input, weight_milli, shape, missing_permille })
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::HashSet;

    #[test]
    fn the_model_in_use_is_the_file_that_its_hash_names() {
        let model = Model::parse(FILE).unwrap();
        assert_eq!(model.hash, sha256_hex(FILE));
        assert_eq!(*Model::current(), model);
        let reasons: HashSet<_> = model.terms.iter().map(|term| &term.reason).collect();
        assert_eq!(reasons.len(), model.terms.len(), "a reason names one term");
    }

    #[test]
    fn shapes_are_flat_beyond_their_ends() {
        let rising = Shape::Ramp { from: 10, to: 60 };
        let falling = Shape::Ramp { from: 30, to: 0 };
        let window = Shape::Window { from: 1, to: 5 };
        for (shape, value, expected) in [
            (rising, 0, 0.0),
            (rising, 10, 0.0),
            (rising, 35, 0.5),
            (rising, 60, 1.0),
            (rising, i64::MAX, 1.0),
            (falling, 0, 1.0),
            (falling, 15, 0.5),
            (falling, 30, 0.0),
            (falling, 900, 0.0),
            (window, 0, 0.0),
            (window, 1, 1.0),
            (window, 5, 1.0),
            (window, 6, 0.0),
        ] {
            let got = shape.apply(value);
            assert!((got - expected).abs() < f64::EPSILON, "{shape:?} {value}: {got}");
        }
    }

    #[test]
    fn a_broken_model_is_refused() {
        let good = String::from_utf8(FILE.to_vec()).unwrap();
        for (from, to) in [
            ("\"version\": 1", "\"version\": 2"),
            ("\"name\": \"logistic\"", "\"name\": \"forest\""),
            ("\"order\": 0,", ""),
            ("\"order\": 0,", "\"order\": 0, \"theft\": 1,"),
            ("\"weight_milli\": 1200", "\"weight_milli\": 12000"),
            ("\"weight_milli\": 1200", "\"weight_milli\": 1.2"),
            ("\"from\": 30, \"to\": 0", "\"from\": 30, \"to\": 30"),
            ("\"from\": 30, \"to\": 0", "\"from\": 30, \"to\": -1"),
            ("\"window\": { \"from\": 1,", "\"window\": { \"from\": 6,"),
            ("\"input\": \"orders_30d\"", "\"input\": \"orders\""),
            ("\"missing_permille\": 500", "\"missing_permille\": 1001"),
            ("\"reason\": \"new-device\"", "\"reason\": \"New device\""),
            ("\"reasons_max\": 5", "\"reasons_max\": 500"),
            ("\"window\"", "\"box\""),
            ("{\n", "[\n"),
        ] {
            let broken = good.replacen(from, to, 1);
            assert_ne!(broken, good, "{from} stands in the file");
            assert!(Model::parse(broken.as_bytes()).is_err(), "{from} → {to}");
        }
    }

    #[test]
    fn the_basket_is_measured_against_the_typical_one() {
        let ratio = |basket: i64, typical: Option<i64>| {
            let features = Features::new(Action::Order, |feature| match feature {
                Feature::BasketMinor => Some(basket),
                Feature::TypicalBasketMinor => typical,
                other => other.required().then_some(0),
            });
            Input::BasketRatioPermille.value(&features.unwrap())
        };
        assert_eq!(ratio(3_000, Some(2_000)), Some(1_500));
        assert_eq!(ratio(3_000, Some(0)), Some(1_000), "no earlier orders");
        assert_eq!(ratio(3_000, None), None);
        assert_eq!(ratio(Feature::BasketMinor.max(), Some(1)), Some(1_000_000_000_000_000));
    }
}
