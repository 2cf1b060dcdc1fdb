//! Payments, refunds and what the sandbox provider can be told to do.

use crate::id::{OrderId, PaymentId, RefundId};
use crate::money::Currency;
use serde::{Deserialize, Serialize};

/// Where a payment stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(rename_all = "SCREAMING_SNAKE_CASE")]
pub enum PaymentState {
    /// Written down; what the provider says is not known yet.
    Created,
    /// The provider knows of it and has not decided.
    Processing,
    /// The money is held.
    Authorized,
    /// The money is ours.
    Captured,
    /// The provider refused.
    Failed,
    /// Given up before capture.
    Canceled,
}

/// Where a refund stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(rename_all = "SCREAMING_SNAKE_CASE")]
pub enum RefundState {
    /// To be sent to the provider.
    Pending,
    /// The money went back.
    Succeeded,
    /// The provider refused; it is tried again.
    Failed,
}

/// What the sandbox does with a payment; a real provider has cards here.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(rename_all = "snake_case")]
pub enum PaymentMethod {
    /// Authorises and captures at once.
    SandboxCapture,
    /// Authorises; capture comes when the sandbox is told to.
    SandboxAuthorize,
    /// Declines.
    SandboxFail,
    /// Stays undecided until the sandbox is told to send a webhook.
    SandboxSilent,
}

/// The body of `POST /v1/orders/{id}/payments`. The amount comes from the order only.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct CreatePayment {
    /// How to pay.
    pub method: PaymentMethod,
}

/// A payment.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct Payment {
    /// Its id; also the provider's idempotency key.
    pub id: PaymentId,
    /// The order it pays.
    pub order_id: OrderId,
    /// Where it stands.
    pub state: PaymentState,
    /// Grows by one with every move.
    pub version: i64,
    /// The order's total when the payment was made, minor units.
    pub amount_minor: i64,
    /// Its currency.
    pub currency: Currency,
    /// How it is paid.
    pub method: PaymentMethod,
    /// Why it failed, in the provider's words.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub failure: Option<String>,
    /// Refunds of it, the oldest first.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub refunds: Vec<Refund>,
    /// When it was made.
    pub created_at_ms: i64,
    /// When it last moved.
    pub updated_at_ms: i64,
}

/// A refund.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct Refund {
    /// Its id; also the provider's idempotency key.
    pub id: RefundId,
    /// Where it stands.
    pub state: RefundState,
    /// How much goes back, minor units.
    pub amount_minor: i64,
    /// When it was queued.
    pub created_at_ms: i64,
    /// When it last moved.
    pub updated_at_ms: i64,
}

/// What happened to a payment, in the provider's words.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(rename_all = "snake_case")]
pub enum ProviderOutcome {
    /// The money is held.
    Authorized,
    /// The money moved.
    Captured,
    /// It was refused.
    Failed,
    /// The hold was let go.
    Canceled,
}

/// A webhook: what a provider posts to `/v1/webhooks/payments/{provider}`, signed.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct ProviderEvent {
    /// The provider's id of the event; a repeat carries the same one.
    pub event_id: String,
    /// The payment, by the id that was sent as its idempotency key.
    pub payment_id: PaymentId,
    /// What happened.
    pub outcome: ProviderOutcome,
    /// The amount it happened to, minor units.
    pub amount_minor: i64,
    /// Its currency.
    pub currency: Currency,
    /// Why, if it was refused.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub failure: Option<String>,
}

/// The body of `POST /sandbox/payments/{id}/webhooks`: makes the sandbox send webhooks on demand.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct SandboxWebhook {
    /// What to say.
    pub outcome: ProviderOutcome,
    /// How long to wait first, ms: a late webhook.
    #[serde(default)]
    pub delay_ms: u64,
    /// How often to send the same event: a repeated webhook.
    #[serde(default = "once")]
    pub times: u32,
}

const fn once() -> u32 {
    1
}
