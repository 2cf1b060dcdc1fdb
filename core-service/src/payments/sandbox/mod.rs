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

use super::state::Decision;
use crate::db::{Db, DbError};
use std::time::Duration;
use tiffin_api::id::{PaymentId, RefundId};
use tiffin_api::payment::{Payment, PaymentMethod, ProviderEvent, ProviderOutcome};

/// The provider's name in paths and signatures.
pub const NAME: &str = "sandbox";

/// What the provider knows of a payment.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Status {
    /// Nothing: it was never asked to charge it.
    Unknown,
    /// It was asked, and has decided this, or nothing yet.
    Known(Option<Decision>),
}

/// Why the provider cannot do it.
#[derive(Debug, thiserror::Error)]
pub enum SandboxError {
    /// It does not know the payment, or took no money for it.
    #[error(
        "the sandbox holds no captured money for payment {0}, or sent it back under another id"
    )]
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
    /// answers what it decided before. `None` means that it has not decided.
    pub async fn charge(&self, payment: &Payment) -> Result<Option<Decision>, SandboxError> {
        let outcome = match payment.method {
            PaymentMethod::SandboxCapture => Some(ProviderOutcome::Captured),
            PaymentMethod::SandboxAuthorize => Some(ProviderOutcome::Authorized),
            PaymentMethod::SandboxFail => Some(ProviderOutcome::Failed),
            PaymentMethod::SandboxSilent => None,
        };
        let decision = store::remember(&self.db, payment, outcome).await?.map(decision);
        if let Some(decision) = &decision {
            self.announce(payment, decision);
        }
        Ok(decision)
    }

    /// What became of a payment.
    pub async fn status(&self, payment_id: PaymentId) -> Result<Status, SandboxError> {
        Ok(match store::find(&self.db, payment_id).await? {
            None => Status::Unknown,
            Some(known) => Status::Known(known.outcome.map(decision)),
        })
    }

    /// Gives a payment up: a hold is let go, a later charge is refused. What was captured or refused before
    /// stays so, and is what this answers.
    pub async fn void(&self, payment: &Payment) -> Result<Decision, SandboxError> {
        Ok(decision(store::void(&self.db, payment).await?))
    }

    /// Sends captured money back. The refund's id is the idempotency key: asked again, the sandbox does
    /// nothing more.
    pub async fn refund(
        &self,
        payment_id: PaymentId,
        refund_id: RefundId,
        amount_minor: i64,
    ) -> Result<(), SandboxError> {
        if store::refund(&self.db, payment_id, refund_id, amount_minor).await? {
            Ok(())
        } else {
            Err(SandboxError::NothingCaptured(payment_id))
        }
    }

    /// Real providers send a webhook for what they have answered already; so does the sandbox.
    fn announce(&self, payment: &Payment, decision: &Decision) {
        let Some(sender) = &self.sender else { return };
        let event = ProviderEvent {
            event_id: format!("evt-{}-{:?}", payment.id, decision.outcome),
            payment_id: payment.id,
            outcome: decision.outcome,
            amount_minor: payment.amount_minor,
            currency: payment.currency,
            failure: decision.failure.clone(),
        };
        if !sender.send(event, Duration::ZERO, 1) {
            tracing::warn!(payment_id = %payment.id, "too many webhooks are waiting; one is not sent");
        }
    }
}

/// An outcome with the sandbox's words for it.
fn decision(outcome: ProviderOutcome) -> Decision {
    let failed = outcome == ProviderOutcome::Failed;
    Decision { outcome, failure: failed.then(|| "the sandbox declines this payment".to_owned()) }
}
