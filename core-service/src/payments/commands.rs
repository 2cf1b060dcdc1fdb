//! The commands that write payments. Nobody outside is asked here: the provider's word comes along.

use super::apply::{apply, missing};
use super::state::{self, Decision};
use super::{refund, store::PaymentRow};
use crate::db::code::to_text;
use crate::engine::{Operation, Stop, Wants, WorkingSet};
use crate::idempotency::{Answer, Keyed};
use crate::limits;
use crate::orders::moves::not_found;
use http::StatusCode;
use tiffin_api::id::{OrderId, PaymentId, UserId};
use tiffin_api::order::{Order, OrderState};
use tiffin_api::payment::{Payment, PaymentMethod, PaymentState, ProviderEvent};
use tiffin_api::{ErrorCode, FieldError, Problem};

/// Writes a payment down before the provider is asked, or finds it where an earlier try left it.
pub struct WriteDown {
    /// The new payment's id.
    pub id: PaymentId,
    /// The order to be paid.
    pub order: OrderId,
    /// Who pays: only one's own orders.
    pub user: UserId,
    /// How.
    pub method: PaymentMethod,
    /// The request, under which the payment is found again.
    pub keyed: Keyed,
}

/// A payment in the tables, and its order's state.
#[derive(Debug)]
pub struct Written {
    /// The payment.
    pub payment: Payment,
    /// Where its order stands.
    pub order: OrderState,
}

impl Operation for WriteDown {
    type Output = Written;

    fn wants(&self, wants: &mut Wants) {
        wants.orders.insert(self.order);
    }

    fn decide(&self, ledger: &mut WorkingSet) -> Result<Written, Stop> {
        let order = ledger.orders.get(&self.order).filter(|order| order.user_id == self.user);
        let order = order.ok_or_else(not_found)?;
        let state = order.state;
        if let Some(row) = ledger.payments_of(self.order).find(|row| row.scope == self.keyed.scope)
        {
            self.keyed.require_same_body(&row.body_hash)?;
            return Ok(Written { payment: row.payment.clone(), order: state });
        }
        let payment = self.payment(order, ledger)?;
        let row = PaymentRow {
            payment: payment.clone(),
            scope: self.keyed.scope.clone(),
            body_hash: self.keyed.body_hash.clone(),
            ask_at_ms: ledger.now_ms + limits::PAYMENT_ASK_AGAIN_MS,
        };
        ledger.payments.insert(self.id, row);
        Ok(Written { payment, order: state })
    }
}

impl WriteDown {
    /// The payment, of the whole order, if the order takes one now.
    fn payment(&self, order: &Order, ledger: &WorkingSet) -> Result<Payment, Problem> {
        if order.state != OrderState::PendingPayment {
            let detail = format!("an order that is {} takes no payment", to_text(order.state));
            return Err(Problem::new(ErrorCode::InvalidTransition, detail));
        }
        let now_ms = ledger.now_ms;
        if now_ms >= order.pay_by_ms {
            let detail = "the time to pay is over and the order is about to close; order again";
            return Err(Problem::new(ErrorCode::InvalidTransition, detail));
        }
        let mut before = ledger.payments_of(self.order).map(|row| &row.payment);
        if let Some(active) = before.find(|payment| state::is_active(payment.state)) {
            let detail = format!("payment {} is {}", active.id, to_text(active.state));
            return Err(Problem::new(ErrorCode::PaymentInProgress, detail));
        }
        Ok(Payment {
            id: self.id,
            order_id: self.order,
            state: PaymentState::Created,
            version: 1,
            amount_minor: order.pricing.total_minor,
            currency: order.pricing.currency,
            method: self.method,
            failure: None,
            refunds: Vec::new(),
            created_at_ms: now_ms,
            updated_at_ms: now_ms,
        })
    }
}

/// What the provider answered to our ask: applies it and answers the request.
pub struct Conclude {
    /// Which payment.
    pub id: PaymentId,
    /// What was said; `None` if whether money moved is unknown. The inner `None` says that the provider has not
    /// decided.
    pub said: Option<Option<Decision>>,
}

impl Operation for Conclude {
    type Output = Answer;

    fn wants(&self, wants: &mut Wants) {
        wants.payments.insert(self.id);
    }

    fn decide(&self, ledger: &mut WorkingSet) -> Result<Answer, Stop> {
        // A webhook may have been faster: this goes on from what the tables say now.
        if let Some(said) = &self.said {
            apply(ledger, self.id, said.as_ref())?;
        }
        let row = ledger.payments.get(&self.id).ok_or_else(|| missing(self.id))?;
        Ok(Answer::json(StatusCode::CREATED, &refund::with_refunds(ledger, row)))
    }

    fn record(output: &Answer) -> Option<&Answer> {
        Some(output)
    }
}

/// What the provider answered when a job asked it again; the output says whether that was news.
pub struct Reconcile {
    /// Which payment.
    pub id: PaymentId,
    /// What was said, as in [`Conclude`].
    pub said: Option<Option<Decision>>,
}

impl Operation for Reconcile {
    type Output = bool;

    fn wants(&self, wants: &mut Wants) {
        wants.payments.insert(self.id);
    }

    fn decide(&self, ledger: &mut WorkingSet) -> Result<bool, Stop> {
        let ask_at_ms = ledger.now_ms + limits::PAYMENT_ASK_AGAIN_MS;
        let row = ledger.payments.get_mut(&self.id).ok_or_else(|| missing(self.id))?;
        row.ask_at_ms = ask_at_ms;
        match &self.said {
            Some(said) => Ok(apply(ledger, self.id, said.as_ref())?),
            None => Ok(false),
        }
    }
}

/// Takes a provider's webhook; the output says whether it had been heard before.
pub struct Hear {
    /// Who sent it.
    pub provider: String,
    /// What it says; its signature has been verified.
    pub event: ProviderEvent,
}

impl Operation for Hear {
    type Output = bool;

    fn wants(&self, wants: &mut Wants) {
        wants.events.insert((self.provider.clone(), self.event.event_id.clone()));
        wants.payments.insert(self.event.payment_id);
    }

    fn decide(&self, ledger: &mut WorkingSet) -> Result<bool, Stop> {
        let event = &self.event;
        let row = ledger.payments.get(&event.payment_id).ok_or_else(unknown_payment)?;
        self.check(&row.payment)?;
        let key = (self.provider.clone(), event.event_id.clone());
        if ledger.inbox.get(&key).is_some() {
            return Ok(true);
        }
        ledger.inbox.insert(key, event.payment_id);
        let said = Decision { outcome: event.outcome, failure: event.failure.clone() };
        apply(ledger, event.payment_id, Some(&said))?;
        Ok(false)
    }
}

impl Hear {
    /// A signed event that contradicts the payment is not applied: somebody has to look at it.
    fn check(&self, payment: &Payment) -> Result<(), Problem> {
        let event = &self.event;
        if event.amount_minor == payment.amount_minor && event.currency == payment.currency {
            return Ok(());
        }
        tracing::error!(payment_id = %payment.id, ?event, "a webhook contradicts its payment");
        let (amount, currency) = (payment.amount_minor, payment.currency);
        let detail = format!("the payment is one of {amount} {currency} (minor units)");
        let errors = vec![FieldError::at("/amount_minor", detail)];
        let detail = "the event contradicts the payment; it was not applied";
        Err(Problem::with_errors(ErrorCode::ValidationFailed, detail, errors))
    }
}

/// No payment has the id that a webhook names.
pub(super) fn unknown_payment() -> Problem {
    Problem::new(ErrorCode::PaymentNotFound, "no payment has this id")
}
