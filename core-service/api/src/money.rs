//! Money: integer minor units of one ISO 4217 currency, with checked arithmetic and no floats.

use serde::{Deserialize, Deserializer, Serialize, Serializer, de};
use std::fmt;
use std::str::FromStr;

/// One million: rates (tax, discounts) are parts per million, so 8.875 % is 88 750.
pub const PPM: i64 = 1_000_000;

/// An ISO 4217 alphabetic code, such as `EUR` or `CNY`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Currency([u8; 3]);

/// The codes of ISO 4217's list one that have minor units: of January 2026, when Bulgaria had taken the euro. What is no
/// money (gold, tests, no currency) has none. Fund codes are there, because the list has them.
const LISTED: &str = "AED AFN ALL AMD AOA ARS AUD AWG AZN BAM BBD BDT BHD BIF BMD BND BOB BOV BRL BSD BTN BWP BYN BZD \
    CAD CDF CHE CHF CHW CLF CLP CNY COP COU CRC CUP CVE CZK DJF DKK DOP DZD EGP ERN ETB EUR FJD FKP GBP GEL GHS GIP \
    GMD GNF GTQ GYD HKD HNL HTG HUF IDR ILS INR IQD IRR ISK JMD JOD JPY KES KGS KHR KMF KPW KRW KWD KYD KZT LAK LBP \
    LKR LRD LSL LYD MAD MDL MGA MKD MMK MNT MOP MRU MUR MVR MWK MXN MXV MYR MZN NAD NGN NIO NOK NPR NZD OMR PAB PEN \
    PGK PHP PKR PLN PYG QAR RON RSD RUB RWF SAR SBD SCR SDG SEK SGD SHP SLE SOS SRD SSP STN SVC SYP SZL THB TJS TMT \
    TND TOP TRY TTD TWD TZS UAH UGX USD USN UYI UYU UYW UZS VED VES VND VUV WST XAD XAF XCD XCG XOF XPF YER ZAR ZMW \
    ZWG";

/// Why a piece of text is not a currency.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("a currency is three capital letters of ISO 4217, such as EUR")]
pub struct InvalidCurrency;

impl Currency {
    /// The code as text.
    pub fn as_str(&self) -> &str {
        // Only ASCII capitals ever get in.
        std::str::from_utf8(&self.0).unwrap_or("XXX")
    }

    /// Whether ISO 4217 lists it among those in use that have minor units. Asked of what is new: a currency that is
    /// withdrawn some day must still be read.
    pub fn is_listed(&self) -> bool {
        LISTED.split_ascii_whitespace().any(|code| code == self.as_str())
    }
}

impl FromStr for Currency {
    type Err = InvalidCurrency;

    fn from_str(text: &str) -> Result<Self, InvalidCurrency> {
        let bytes: [u8; 3] = text.as_bytes().try_into().map_err(|_| InvalidCurrency)?;
        if bytes.iter().all(u8::is_ascii_uppercase) {
            Ok(Self(bytes))
        } else {
            Err(InvalidCurrency)
        }
    }
}

impl fmt::Display for Currency {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl Serialize for Currency {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(self.as_str())
    }
}

impl<'de> Deserialize<'de> for Currency {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = std::borrow::Cow::<'de, str>::deserialize(deserializer)?;
        text.parse().map_err(de::Error::custom)
    }
}

#[cfg(feature = "openapi")]
impl utoipa::PartialSchema for Currency {
    fn schema() -> utoipa::openapi::RefOr<utoipa::openapi::schema::Schema> {
        utoipa::openapi::ObjectBuilder::new()
            .schema_type(utoipa::openapi::schema::Type::String)
            .description(Some("ISO 4217 alphabetic code"))
            .pattern(Some("^[A-Z]{3}$"))
            .into()
    }
}

#[cfg(feature = "openapi")]
impl utoipa::ToSchema for Currency {}

/// An amount left the range of `i64` minor units, or a sum mixed signs where it must not.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("the amount is out of range")]
pub struct AmountOutOfRange;

/// Adds amounts of one currency, refusing overflow.
pub fn sum(amounts_minor: impl IntoIterator<Item = i64>) -> Result<i64, AmountOutOfRange> {
    amounts_minor
        .into_iter()
        .try_fold(0_i64, |total, amount| total.checked_add(amount))
        .ok_or(AmountOutOfRange)
}

/// `amount * numerator / denominator`, rounded half away from zero, without intermediate overflow.
///
/// `denominator` must be positive.
pub fn scale(amount_minor: i64, numerator: i64, denominator: i64) -> Result<i64, AmountOutOfRange> {
    debug_assert!(denominator > 0);
    let product = i128::from(amount_minor) * i128::from(numerator);
    let denominator = i128::from(denominator);
    let half = denominator / 2;
    let rounded =
        if product >= 0 { (product + half) / denominator } else { (product - half) / denominator };
    i64::try_from(rounded).map_err(|_| AmountOutOfRange)
}

/// Splits `total_minor` over `weights` so that the parts add up to it exactly.
///
/// The largest-remainder method (Hamilton): every part gets the floor of its share, the units left over
/// go to the largest remainders, ties to the earlier part. Weights that are all zero share equally from
/// the front. `total_minor` and every weight must not be negative.
pub fn allocate(total_minor: i64, weights: &[i64]) -> Vec<i64> {
    debug_assert!(total_minor >= 0 && weights.iter().all(|weight| *weight >= 0));
    if weights.is_empty() {
        return Vec::new();
    }
    let all_zero = weights.iter().all(|weight| *weight == 0);
    let weight_at = |index: usize| if all_zero { 1 } else { i128::from(weights[index]) };
    let weight_sum: i128 = (0..weights.len()).map(weight_at).sum();
    let total = i128::from(total_minor);

    let mut parts = Vec::with_capacity(weights.len());
    let mut remainders = Vec::with_capacity(weights.len());
    for index in 0..weights.len() {
        let share = total * weight_at(index);
        // A share never exceeds the total, so it fits back into i64.
        parts.push(i64::try_from(share / weight_sum).unwrap_or(total_minor));
        remainders.push((std::cmp::Reverse(share % weight_sum), index));
    }
    let handed_out: i64 = parts.iter().sum();
    let left = usize::try_from(total_minor - handed_out).unwrap_or(0);
    remainders.sort_unstable();
    for (_, index) in remainders.into_iter().take(left) {
        parts[index] += 1;
    }
    parts
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn only_currencies_in_use_are_listed() {
        let listed = |code: &str| code.parse::<Currency>().unwrap().is_listed();
        for code in ["EUR", "JPY", "KWD", "CNY", "SLE", "XOF", "XCG", "ZWG", "AED"] {
            assert!(listed(code), "{code}");
        }
        // Mistyped, of tests, no money, metals, units of account, withdrawn.
        for code in [
            "EUO", "USS", "AAA", "XTS", "XXX", "XAU", "XDR", "DEM", "HRK", "BGN", "ANG", "CUC",
            "SLL",
        ] {
            assert!(!listed(code), "{code}");
        }
        let codes: Vec<_> = LISTED.split_ascii_whitespace().collect();
        assert!(codes.is_sorted_by(|one, next| one < next), "each once, in order");
        assert!(codes.iter().all(|code| code.parse::<Currency>().is_ok()));
    }

    #[test]
    fn currencies_are_three_capitals() {
        for (text, valid) in
            [("EUR", true), ("eur", false), ("EU", false), ("EURO", false), ("€€€", false)]
        {
            assert_eq!(text.parse::<Currency>().is_ok(), valid, "{text}");
        }
    }

    #[test]
    fn scale_rounds_half_away_from_zero() {
        assert_eq!(scale(250, 10_000, PPM), Ok(3)); // 2.5
        assert_eq!(scale(-250, 10_000, PPM), Ok(-3));
        assert_eq!(scale(249, 10_000, PPM), Ok(2));
        assert_eq!(scale(i64::MAX, 2, 1), Err(AmountOutOfRange));
    }

    #[test]
    fn leftover_units_go_to_the_largest_remainders_first_line_first() {
        assert_eq!(allocate(100, &[1, 1, 1]), [34, 33, 33]);
        assert_eq!(allocate(1, &[1, 5, 5]), [0, 1, 0]);
        assert_eq!(allocate(5, &[0, 0]), [3, 2]);
        assert_eq!(allocate(5, &[]), Vec::<i64>::new());
    }

    proptest! {
        #[test]
        fn parts_add_up_and_stay_within_one_unit_of_their_share(
            total in 0_i64..1_000_000_000,
            weights in prop::collection::vec(0_i64..1_000_000, 1..20),
        ) {
            let parts = allocate(total, &weights);
            prop_assert_eq!(parts.iter().sum::<i64>(), total);
            let weight_sum: i64 = weights.iter().sum();
            if weight_sum > 0 {
                for (part, weight) in parts.iter().zip(&weights) {
                    let exact = i128::from(total) * i128::from(*weight);
                    let got = i128::from(*part) * i128::from(weight_sum);
                    prop_assert!((exact - got).abs() < i128::from(weight_sum));
                }
            }
        }
    }
}
