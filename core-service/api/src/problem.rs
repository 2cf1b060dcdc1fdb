//! How a request is refused: RFC 9457 problem documents with stable codes.
//!
//! [`ErrorCode`] is the one owner of what a refusal means: its status, its title and whether the same
//! request may succeed later. Core and edge build their answers from it, so they cannot disagree.

use serde::{Deserialize, Serialize};

/// The media type of a problem document.
pub const CONTENT_TYPE: &str = "application/problem+json";

/// What a problem's `type` starts with; the code follows.
const TYPE_PREFIX: &str = "urn:tiffin:problem:";

macro_rules! error_codes {
    ($($(#[$doc:meta])* $variant:ident = $code:literal, $status:literal, $title:literal;)*) => {
        /// A stable reason for a refusal. Codes are never reused for another meaning.
        #[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
        #[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
        pub enum ErrorCode {
            $($(#[$doc])* #[serde(rename = $code)] $variant,)*
        }

        impl ErrorCode {
            /// Every code.
            pub const ALL: &'static [Self] = &[$(Self::$variant,)*];

            /// The code as it stands in a problem document.
            pub const fn as_str(self) -> &'static str {
                match self { $(Self::$variant => $code,)* }
            }

            /// The HTTP status of the refusal.
            pub const fn status(self) -> u16 {
                match self { $(Self::$variant => $status,)* }
            }

            /// One short sentence, the same for every occurrence.
            pub const fn title(self) -> &'static str {
                match self { $(Self::$variant => $title,)* }
            }
        }
    };
}

error_codes! {
    /// The path or query cannot be read.
    BadRequest = "bad-request", 400, "The request cannot be understood";
    /// The body is not the JSON it has to be.
    MalformedJson = "malformed-json", 400, "The body is not valid JSON for this request";
    /// The header is required here.
    IdempotencyKeyMissing = "idempotency-key-missing", 400, "This request needs an Idempotency-Key header";
    /// The header is empty, too long, or not printable ASCII.
    IdempotencyKeyInvalid = "idempotency-key-invalid", 400, "The Idempotency-Key is not valid";
    /// No token, or one that does not verify.
    Unauthenticated = "unauthenticated", 401, "A valid bearer token is needed";
    /// The token was valid once.
    TokenExpired = "token-expired", 401, "The token has expired";
    /// The signature of a webhook does not verify.
    InvalidSignature = "invalid-signature", 401, "The signature does not verify";
    /// The principal may not do this.
    Forbidden = "forbidden", 403, "You may not do this";
    /// No such route.
    RouteNotFound = "route-not-found", 404, "There is nothing at this path";
    /// No such store.
    StoreNotFound = "store-not-found", 404, "There is no such store";
    /// No such deal.
    DealNotFound = "deal-not-found", 404, "There is no such deal";
    /// No such order, or one of somebody else.
    OrderNotFound = "order-not-found", 404, "There is no such order";
    /// No such payment, or one of somebody else.
    PaymentNotFound = "payment-not-found", 404, "There is no such payment";
    /// No such coupon template.
    CouponTemplateNotFound = "coupon-template-not-found", 404, "There is no such coupon template";
    /// No such coupon, or one of somebody else.
    CouponNotFound = "coupon-not-found", 404, "There is no such coupon";
    /// The route exists, the method does not.
    MethodNotAllowed = "method-not-allowed", 405, "This method is not allowed here";
    /// Another request with the same key is being worked on.
    IdempotencyInFlight = "idempotency-in-flight", 409, "A request with this Idempotency-Key is in progress";
    /// Not enough units left.
    OutOfStock = "out-of-stock", 409, "Not enough is left";
    /// The quote no longer holds; the new total stands in the problem.
    PriceChanged = "price-changed", 409, "The price has changed since the quote";
    /// The store takes no orders now.
    StoreClosed = "store-closed", 409, "The store is closed now";
    /// The item is not sold, or not at this time of day.
    ItemUnavailable = "item-unavailable", 409, "The item is not available now";
    /// The state does not allow the move.
    InvalidTransition = "invalid-transition", 409, "The current state does not allow this";
    /// Too many units in one's unpaid orders.
    HoldLimitReached = "hold-limit-reached", 409, "You hold too much that is not paid";
    /// The order already has a payment under way or done.
    PaymentInProgress = "payment-in-progress", 409, "The order already has a payment";
    /// Another template has this `ref`.
    CouponTemplateExists = "coupon-template-exists", 409, "There is a coupon template with this ref";
    /// As many as there may be have been claimed, in all or today.
    CouponSoldOut = "coupon-sold-out", 409, "No coupons of this kind are left";
    /// The diner has as many as one may have, in all or today.
    CouponAlreadyClaimed = "coupon-already-claimed", 409, "You have claimed this coupon already";
    /// It cannot be claimed, or not be used, before a certain time.
    CouponNotStarted = "coupon-not-started", 409, "The coupon's time has not come yet";
    /// The coupon is held by another order.
    CouponLocked = "coupon-locked", 409, "The coupon is held by another order";
    /// The coupon has been used up.
    CouponUsed = "coupon-used", 409, "The coupon has been used";
    /// The diner has ordered before.
    CouponFirstOrderOnly = "coupon-first-order-only", 409, "The coupon is for a first order only";
    /// What the house spends on this kind of coupon is spent.
    CouponBudgetSpent = "coupon-budget-spent", 409, "The budget of this kind of coupon is spent";
    /// It can be claimed, or be used, no longer.
    CouponExpired = "coupon-expired", 410, "The coupon's time is over";
    /// The coupon was withdrawn.
    CouponVoided = "coupon-voided", 410, "The coupon was withdrawn";
    /// The body did not come in time.
    BodyTimeout = "body-timeout", 408, "The body did not come in time";
    /// The body is over the limit.
    BodyTooLarge = "body-too-large", 413, "The body is too large";
    /// Path and query are over the limit.
    TargetTooLong = "target-too-long", 414, "The request target is too long";
    /// The body is not in the media type it has to be.
    UnsupportedMediaType = "unsupported-media-type", 415, "The body has the wrong media type";
    /// One or more fields are wrong; `errors` names each.
    ValidationFailed = "validation-failed", 422, "Some fields are not valid";
    /// The key was used with another body.
    IdempotencyKeyReused = "idempotency-key-reused", 422, "This Idempotency-Key was used with another body";
    /// A choice of options breaks a modifier group's rule.
    ModifierInvalid = "modifier-invalid", 422, "The chosen options do not fit the item";
    /// Below the minimum of the store or the zone.
    MinimumNotMet = "minimum-not-met", 422, "The order is below the minimum";
    /// No delivery zone reaches the address.
    OutOfZone = "out-of-zone", 422, "The store does not deliver there";
    /// The coupon takes nothing off this basket: another store or currency, or none of its items.
    CouponNotApplicable = "coupon-not-applicable", 422, "The coupon does not fit this basket";
    /// What the coupon counts comes to less than it asks for.
    CouponMinimumNotMet = "coupon-minimum-not-met", 422, "The basket is below the coupon's minimum";
    /// Too many coupons of one category.
    CouponNotStackable = "coupon-not-stackable", 422, "These coupons cannot be used together";
    /// An import was refused whole; `errors` names each bad line.
    ImportRejected = "import-rejected", 422, "The import has bad rows; nothing was loaded";
    /// Too many requests of one client in a short time.
    RateLimited = "rate-limited", 429, "Too many requests; wait a moment";
    /// The client is slow with too many bodies at a time.
    TooManyUploads = "too-many-uploads", 429, "Too many request bodies of this client are on their way";
    /// Headers are over the limit.
    HeadersTooLarge = "headers-too-large", 431, "The headers are too large";
    /// A defect on our side. Sending the request again under its Idempotency-Key is safe, but unlikely to
    /// help.
    Internal = "internal", 500, "Something went wrong on our side";
    /// A function at the edge broke off. As with `internal`.
    FunctionFailed = "function-failed", 500, "The function failed";
    /// The core cannot be reached or is too busy; nothing was done, or a retry with the same key finds out.
    Unavailable = "unavailable", 503, "The service cannot answer right now";
    /// A function at the edge did not answer in time; what it asked for may have been done.
    FunctionTimeout = "function-timeout", 504, "The function did not answer in time";
}

impl ErrorCode {
    /// Whether the very same request may succeed later, with no change on either side: not after a defect,
    /// which a retry meets again.
    pub const fn retryable(self) -> bool {
        matches!(
            self,
            Self::IdempotencyInFlight
                | Self::RateLimited
                | Self::Unavailable
                | Self::BodyTimeout
                | Self::TooManyUploads
                | Self::FunctionTimeout
        )
    }
}

/// What is wrong with one field of a body, or one row of an import.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct FieldError {
    /// Where, as a JSON Pointer (RFC 6901) into the body or the row; empty for the whole of it.
    pub pointer: String,
    /// What is wrong and what would be right.
    pub detail: String,
    /// The line of an import, counted from 1.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub line: Option<u64>,
}

impl FieldError {
    /// An error at a JSON Pointer of the body.
    pub fn at(pointer: impl Into<String>, detail: impl Into<String>) -> Self {
        Self { pointer: pointer.into(), detail: detail.into(), line: None }
    }
}

/// The name of a member as a token of a JSON Pointer (RFC 6901, section 3).
pub fn pointer_token(name: &str) -> String {
    name.replace('~', "~0").replace('/', "~1")
}

/// A problem document (RFC 9457).
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct Problem {
    /// A URI that identifies the code: `urn:tiffin:problem:<code>`.
    #[serde(rename = "type")]
    pub kind: String,
    /// One short sentence, the same for every occurrence of the code.
    pub title: String,
    /// The HTTP status, repeated for readers that only see the body.
    pub status: u16,
    /// The stable code; programs decide by this field.
    pub code: ErrorCode,
    /// This occurrence: what happened and what to do next.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub detail: String,
    /// Whether the very same request may succeed later.
    pub retryable: bool,
    /// After how long it may, s, if that is known; `Retry-After` says the same.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub retry_after_s: Option<u64>,
    /// Each wrong field or row.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub errors: Vec<FieldError>,
    /// With `price-changed`: what the order costs now, minor units.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub total_minor: Option<i64>,
    /// With `price-changed`: a fresh quote at `total_minor`, to order with if the diner agrees.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub quote_id: Option<String>,
    /// What the occurrence is logged under, if whoever answers says it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub trace_id: Option<String>,
}

impl Problem {
    /// A problem with its code's title and status.
    pub fn new(code: ErrorCode, detail: impl Into<String>) -> Self {
        Self {
            kind: format!("{TYPE_PREFIX}{}", code.as_str()),
            title: code.title().to_owned(),
            status: code.status(),
            code,
            detail: detail.into(),
            retryable: code.retryable(),
            retry_after_s: None,
            errors: Vec::new(),
            total_minor: None,
            quote_id: None,
            trace_id: None,
        }
    }

    /// A problem that names each wrong field.
    pub fn with_errors(
        code: ErrorCode,
        detail: impl Into<String>,
        errors: Vec<FieldError>,
    ) -> Self {
        Self { errors, ..Self::new(code, detail) }
    }

    /// A problem that goes away after `retry_after_s`.
    pub fn for_a_while(code: ErrorCode, detail: impl Into<String>, retry_after_s: u64) -> Self {
        Self { retry_after_s: Some(retry_after_s), ..Self::new(code, detail) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::HashSet;

    #[test]
    fn codes_are_unique_kebab_case_and_errors() {
        let mut seen = HashSet::new();
        for code in ErrorCode::ALL {
            let text = code.as_str();
            assert!(seen.insert(text), "{text} stands twice");
            assert!(text.bytes().all(|b| b.is_ascii_lowercase() || b == b'-'), "{text}");
            assert!((400..600).contains(&code.status()), "{text}");
            assert_eq!(serde_json::to_value(code).unwrap(), text);
        }
    }

    #[test]
    fn a_problem_reads_back() {
        let problem = Problem::with_errors(
            ErrorCode::ValidationFailed,
            "one field",
            vec![FieldError::at("/lines/0/quantity", "must be 1 to 99")],
        );
        let text = serde_json::to_string(&problem).unwrap();
        assert!(text.contains("\"type\":\"urn:tiffin:problem:validation-failed\""), "{text}");
        assert_eq!(serde_json::from_str::<Problem>(&text).unwrap(), problem);
    }
}
