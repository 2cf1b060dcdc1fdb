//! Payments in the model: the provider's word that money moved is always believed, and money that nobody wants
//! goes back.

use super::{Model, Payment, Refund};
use crate::command::{Facts, Key, Said};
use crate::history::Label;
use core_service::payments::state::Decision;
use tiffin_api::order::OrderState;
use tiffin_api::payment::{PaymentState as State, ProviderEvent, ProviderOutcome, RefundState};

/// After how long the provider is asked about a payment, and a refund is sent again, ms.
const AGAIN_MS: i64 = 30_000;

impl Model {
    pub(super) fn write_down(&mut self, key: Key, order: Label, id: i64) -> Said {
        let (state, pay_by_ms) = (self.orders[&order].state, self.orders[&order].pay_by_ms);
        if let Some(known) = self.payments.get(&key.label) {
            if known.other_body != key.other_body {
                return self.refuse("idempotency-key-reused");
            }
            let (id, known) = (known.id, known.state);
            self.saw("a payment went on where it stood");
            return Said::Written { id, state: known, order: state };
        }
        if state != OrderState::PendingPayment || self.now_ms >= pay_by_ms {
            return self.conflict(key, "invalid-transition");
        }
        let busy = |pay: &Payment| {
            pay.order == order && !matches!(pay.state, State::Failed | State::Canceled)
        };
        if self.payments.values().any(busy) {
            return self.conflict(key, "payment-in-progress");
        }
        let payment = Payment {
            id,
            order,
            other_body: key.other_body,
            amount_minor: self.orders[&order].total_minor,
            state: State::Created,
            version: 1,
            ask_at_ms: self.now_ms + AGAIN_MS,
            refund: None,
            news: 0,
        };
        self.payments.insert(key.label, payment);
        self.saw("a payment was written down");
        Said::Written { id, state: State::Created, order: state }
    }

    pub(super) fn conclude(&mut self, key: Key, said: Option<&Option<Decision>>) -> Said {
        if let Some(said) = said {
            self.hear_of(key.label, said.as_ref().map(|decision| decision.outcome));
        }
        let pay = &self.payments[&key.label];
        let (id, state, amount_minor) = (pay.id, pay.state, pay.amount_minor);
        let refund = pay.refund.as_ref().map(|refund| refund.state);
        self.record(key, Facts::Payment { id, state, amount_minor, refund })
    }

    pub(super) fn reconcile(&mut self, pay: Label, said: Option<&Option<Decision>>) -> Said {
        let ask_at_ms = self.now_ms + AGAIN_MS;
        self.payments.get_mut(&pay).expect("the label was looked up").ask_at_ms = ask_at_ms;
        let news = said
            .is_some_and(|said| self.hear_of(pay, said.as_ref().map(|decision| decision.outcome)));
        if news {
            self.saw("a job's question brought news");
        }
        Said::Flag(news)
    }

    pub(super) fn hear(&mut self, pay: Label, number: usize, event: &ProviderEvent) -> Said {
        if event.amount_minor != self.payments[&pay].amount_minor {
            return self.refuse("validation-failed");
        }
        if !self.heard.insert((pay, number)) {
            self.saw("a webhook was heard again");
            return Said::Flag(true);
        }
        let news = self.hear_of(pay, Some(event.outcome));
        self.saw(if news { "a webhook brought news" } else { "a webhook was old news" });
        Said::Flag(false)
    }

    pub(super) fn sent(&mut self, pay: Label, succeeded: bool) -> Said {
        let retry_at_ms = self.now_ms + AGAIN_MS;
        let payment = self.payments.get_mut(&pay).expect("the label was looked up");
        let refund = payment.refund.as_mut().expect("it was looked up");
        if refund.state == RefundState::Succeeded {
            return Said::Flag(false);
        }
        refund.state = if succeeded { RefundState::Succeeded } else { RefundState::Failed };
        refund.retry_at_ms = retry_at_ms;
        payment.news += 1;
        self.saw(if succeeded { "a refund went back" } else { "a refund failed" });
        Said::Flag(succeeded)
    }

    /// Applies the provider's word; whether it was news.
    fn hear_of(&mut self, pay: Label, said: Option<ProviderOutcome>) -> bool {
        let payment = self.payments.get_mut(&pay).expect("the label was looked up");
        let target = match (said, payment.state) {
            (_, State::Captured) => None,
            (Some(ProviderOutcome::Captured), _) => Some(State::Captured),
            (None, State::Created) => Some(State::Processing),
            (None, _) | (Some(_), State::Failed | State::Canceled) => None,
            (Some(ProviderOutcome::Authorized), State::Authorized) => None,
            (Some(ProviderOutcome::Authorized), _) => Some(State::Authorized),
            (Some(ProviderOutcome::Failed), _) => Some(State::Failed),
            (Some(ProviderOutcome::Canceled), _) => Some(State::Canceled),
        };
        let Some(target) = target else { return false };
        payment.state = target;
        payment.version += 1;
        payment.news += 1;
        let (order, amount_minor) = (payment.order, payment.amount_minor);
        if target == State::Captured {
            let known = &self.orders[&order];
            let fits = amount_minor == known.total_minor;
            if known.state == OrderState::PendingPayment && !fits {
                self.saw("money came for an order that has another price");
                self.refund(pay);
            } else if known.state == OrderState::PendingPayment {
                self.pay(order);
                self.saw("a capture paid an order");
            } else {
                self.saw(format!(
                    "money came for an order that is {:?}",
                    self.orders[&order].state
                ));
                self.refund(pay);
            }
        }
        true
    }

    /// An order has closed: what is undecided of its money is asked about at once.
    pub(super) fn give_up_payments(&mut self, order: Label) {
        for pay in self.payments.values_mut().filter(|pay| pay.order == order) {
            if !matches!(pay.state, State::Failed | State::Canceled) {
                pay.ask_at_ms = self.now_ms;
            }
        }
    }

    /// An order ends after it was paid.
    pub(super) fn refund_order(&mut self, order: Label) {
        let captured = |pay: &Payment| pay.order == order && pay.state == State::Captured;
        let due = self.payments.iter().filter(|(_, pay)| captured(pay) && pay.refund.is_none());
        let due: Vec<Label> = due.map(|(label, _)| *label).collect();
        due.into_iter().for_each(|pay| self.refund(pay));
    }

    fn refund(&mut self, pay: Label) {
        let now_ms = self.now_ms;
        let payment = self.payments.get_mut(&pay).expect("the label was looked up");
        if payment.amount_minor > 0 {
            payment.refund = Some(Refund { state: RefundState::Pending, retry_at_ms: now_ms });
            payment.news += 1;
        }
    }
}
