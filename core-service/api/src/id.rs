//! Identifiers: one newtype per entity over a 63-bit snowflake, written as a decimal string in JSON.
//!
//! Strings, because a JavaScript number cannot hold 63 bits. The layout (41 bits of milliseconds since
//! 2026-01-01 UTC, 10 bits of node, 12 bits of sequence) is the core's business; here an id is opaque.

use serde::{Deserialize, Deserializer, Serialize, Serializer, de};
use std::fmt;
use std::str::FromStr;

/// Longest decimal form of a positive `i64`.
const MAX_DIGITS: usize = 19;

/// Why a piece of text is not an id.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("an id is 1 to 19 decimal digits without a sign or a leading zero")]
pub struct InvalidId;

fn parse(text: &str) -> Result<i64, InvalidId> {
    let canonical = !text.is_empty()
        && text.len() <= MAX_DIGITS
        && !text.starts_with('0')
        && text.bytes().all(|byte| byte.is_ascii_digit());
    if !canonical {
        return Err(InvalidId);
    }
    text.parse().map_err(|_| InvalidId)
}

macro_rules! ids {
    ($($(#[$doc:meta])* $name:ident,)*) => {$(
        $(#[$doc])*
        #[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub struct $name(i64);

        impl $name {
            /// Wraps a raw value as the database and the id generator know it.
            pub const fn from_raw(raw: i64) -> Self {
                Self(raw)
            }

            /// The raw value, for the database.
            pub const fn raw(self) -> i64 {
                self.0
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                fmt::Display::fmt(&self.0, f)
            }
        }

        impl FromStr for $name {
            type Err = InvalidId;

            fn from_str(text: &str) -> Result<Self, InvalidId> {
                parse(text).map(Self)
            }
        }

        impl Serialize for $name {
            fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
                serializer.collect_str(self)
            }
        }

        impl<'de> Deserialize<'de> for $name {
            fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
                let text = std::borrow::Cow::<'de, str>::deserialize(deserializer)?;
                text.parse().map_err(de::Error::custom)
            }
        }

        #[cfg(feature = "openapi")]
        impl utoipa::PartialSchema for $name {
            fn schema() -> utoipa::openapi::RefOr<utoipa::openapi::schema::Schema> {
                utoipa::openapi::ObjectBuilder::new()
                    .schema_type(utoipa::openapi::schema::Type::String)
                    .pattern(Some("^[1-9][0-9]{0,18}$"))
                    .into()
            }
        }

        #[cfg(feature = "openapi")]
        impl utoipa::ToSchema for $name {}
    )*};
}

ids! {
    /// A store.
    StoreId,
    /// A dish or another thing a store sells; the unit of stock.
    ItemId,
    /// A deal (flash sale).
    DealId,
    /// An order.
    OrderId,
    /// A payment: one try at collecting the money of an order.
    PaymentId,
    /// A refund of a captured payment.
    RefundId,
    /// What coupons are claimed from.
    CouponTemplateId,
    /// A coupon in a diner's hands.
    CouponId,
    /// A person or a program with an account: the subject of a token.
    UserId,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_canonical_decimal_form_is_an_id() {
        for (text, expected) in [
            ("1", Some(1)),
            ("9223372036854775807", Some(i64::MAX)),
            ("9223372036854775808", None),
            ("0", None),
            ("007", None),
            ("-1", None),
            ("+1", None),
            ("", None),
            (" 1", None),
            ("1e3", None),
            ("٣", None),
            ("12345678901234567890", None),
        ] {
            assert_eq!(text.parse::<StoreId>().ok().map(StoreId::raw), expected, "{text:?}");
        }
    }

    #[test]
    fn json_form_is_a_string() {
        let id = OrderId::from_raw(42);
        assert_eq!(serde_json::to_string(&id).unwrap(), "\"42\"");
        assert_eq!(serde_json::from_str::<OrderId>("\"42\"").unwrap(), id);
        assert!(serde_json::from_str::<OrderId>("42").is_err());
    }
}
