//! The sandbox payment provider: it decides at once, never, or when it is told to, and it tells by signed
//! webhooks over HTTP, late or more than once on demand.
//!
//! It stands for somebody else's service: its memory is its own table ([`store`]), which nothing else
//! reads, and it speaks to the core only through its answers and `POST /v1/webhooks/payments/sandbox`.

mod http;
mod sender;
mod store;

pub use http::routes;
pub use sender::WebhookSender;

use crate::db::{Db, DbError};
use tiffin_api::id::PaymentId;
use tiffin_api::payment::{Payment, PaymentMethod, ProviderEvent, ProviderOutcome};

/// The provider's name in paths and signatures.
pub const NAME: &str = "sandbox";

/// What the provider decided.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Decision {
    /// What happened.
    pub outcome: ProviderOutcome,
    /// Why, if it was refused.
    pub failure: Option<String>,
}

/// Why the provider cannot do it.
#[derive(Debug, thiserror::Error)]
pub enum SandboxError {
    /// It does not know the payment, or took no money for it.
    #[error("the sandbox holds no captured money for payment {0}")]
    NothingCaptured(PaymentId),
    /// Its memory failed.
    #[error(transparent)]
    Db(#[from] DbError),
}

/// The sandbox.
pub struct Sandbox {
    db: Db,
    sender: Option<WebhookSender>,
}

impl Sandbox {
    /// A sandbox that sends no webhooks by itself.
    pub fn new(db: Db) -> Self {
        Self { db, sender: None }
    }

    /// A sandbox that sends its webhooks to the core.
    pub fn with_webhooks(db: Db, sender: WebhookSender) -> Self {
        Self { db, sender: Some(sender) }
    }

    /// Asks for the money of a payment. The payment's id is the idempotency key: asked again, the sandbox
    /// answers as before. `None` means that it has not decided.
    pub async fn charge(&self, payment: &Payment) -> Result<Option<Decision>, SandboxError> {
        let (outcome, failure) = match payment.method {
            PaymentMethod::SandboxCapture => (ProviderOutcome::Captured, None),
            PaymentMethod::SandboxAuthorize => (ProviderOutcome::Authorized, None),
            PaymentMethod::SandboxFail => {
                (ProviderOutcome::Failed, Some("the sandbox declines this method".to_owned()))
            }
            PaymentMethod::SandboxSilent => {
                store::remember(&self.db, payment, None).await?;
                return Ok(None);
            }
        };
        let outcome = store::remember(&self.db, payment, Some(outcome)).await?.unwrap_or(outcome);
        self.announce(payment, outcome, failure.clone());
        Ok(Some(Decision { outcome, failure }))
    }

    /// Sends captured money back; asked again for the same payment, it does nothing more.
    pub async fn refund(
        &self,
        payment_id: PaymentId,
        amount_minor: i64,
    ) -> Result<(), SandboxError> {
        if store::refund(&self.db, payment_id, amount_minor).await? {
            Ok(())
        } else {
            Err(SandboxError::NothingCaptured(payment_id))
        }
    }

    /// Real providers send a webhook for what they have answered already; so does the sandbox.
    fn announce(&self, payment: &Payment, outcome: ProviderOutcome, failure: Option<String>) {
        let Some(sender) = &self.sender else { return };
        let event = ProviderEvent {
            event_id: format!("evt-{}-{outcome:?}", payment.id),
            payment_id: payment.id,
            outcome,
            amount_minor: payment.amount_minor,
            currency: payment.currency,
            failure,
        };
        sender.send(event, std::time::Duration::ZERO, 1);
    }
}
