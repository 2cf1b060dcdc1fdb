//! The end of every history: faults stop, clients retry what they have no answer to, webhooks arrive, the clock
//! goes on and the jobs run. Then everything has to come to rest, and the gate to heal.

use super::{Broken, World};
use crate::history::{Act, Label, Line, Seal, Step, What};
use crate::rules::{Violation, agree, hold, stands};
use tiffin_api::order::OrderState;
use tiffin_api::payment::{PaymentState, ProviderOutcome, RefundState};

/// Rounds after which everything has to be at rest.
const ROUNDS: usize = 4;
/// Longer than a job waits before it asks or sends again, ms.
const LATER_MS: i64 = 31_000;

impl World {
    /// Brings everything to rest and checks that it is.
    pub(crate) async fn settle(&mut self) -> Result<(), Broken> {
        self.note(format_args!("settle"));
        self.fast.mend();
        for round in 0..ROUNDS {
            self.retry().await?;
            self.deliver_webhooks().await?;
            // At first past every deadline, also those that were set before the clock stepped back.
            let wait_ms = if round == 0 { self.longest_wait_ms() } else { LATER_MS };
            self.step(&Step::Clock(wait_ms)).await?;
            self.step(&Step::Jobs(Line::Good)).await?;
        }
        self.heal().await?;
        Ok(self.check_rest()?)
    }

    fn longest_wait_ms(&self) -> i64 {
        let orders = self.model.orders.values().map(|order| order.pay_by_ms);
        let payments = self.model.payments.values().flat_map(|payment| {
            let refund = payment.refund.as_ref().map(|refund| refund.retry_at_ms);
            [Some(payment.ask_at_ms), refund].into_iter().flatten()
        });
        let last_ms = orders.chain(payments).max().unwrap_or(0);
        (last_ms - self.model.now_ms).max(LATER_MS)
    }

    /// Clients send again what they have no answer to; handlers go on.
    async fn retry(&mut self) -> Result<(), Broken> {
        let waiting = self.requests.iter().filter(|(_, sent)| !sent.answered);
        let waiting = waiting.map(|(label, sent)| Act::Request {
            label: *label,
            what: sent.what.clone(),
            other_body: sent.other_body,
            lost: false,
        });
        self.calm(waiting.collect()).await?;
        let handlers: Vec<Label> = self.handlers.keys().copied().collect();
        for pay in &handlers {
            self.step(&Step::Ask(*pay, Line::Good)).await?;
        }
        self.calm(handlers.into_iter().map(Act::Conclude).collect()).await
    }

    async fn deliver_webhooks(&mut self) -> Result<(), Broken> {
        let mut acts = Vec::new();
        for (label, payment) in &self.model.payments {
            let Some(account) = self.provider.accounts.get(&payment.id) else { continue };
            let waiting = account.taken.iter().enumerate().filter(|(_, taken)| !**taken);
            acts.extend(waiting.map(|(number, _)| Act::Hear(*label, number, Seal::Good)));
        }
        self.calm(acts).await
    }

    fn check_rest(&self) -> Result<(), Violation> {
        const RULE: &str = "everything comes to rest";
        for (id, order) in &self.ledger.orders {
            let rests = order.state != OrderState::PendingPayment;
            hold(RULE, rests, || format!("order {id} is {:?}", order.state))?;
        }
        for (item, stock) in &self.ledger.stock {
            agree(RULE, &format!("what is reserved of item {item}"), stock.reserved, 0)?;
        }
        for (user, units) in &self.ledger.held {
            agree(RULE, &format!("what user {user} holds"), *units, 0)?;
        }
        for (id, payment) in &self.ledger.payments {
            use PaymentState::{Canceled, Captured, Failed};
            let decided = matches!(payment.state, Captured | Failed | Canceled);
            hold(RULE, decided, || format!("payment {id} is {:?}", payment.state))?;
            let refund = payment.refund.as_ref().map_or(RefundState::Succeeded, |it| it.state);
            agree(RULE, &format!("the refund of {id}"), refund, RefundState::Succeeded)?;
            self.check_books(*id, payment.state, payment.refund.as_ref().map(|it| it.id))?;
        }
        for (label, sent) in &self.requests {
            let known = match &sent.what {
                What::Place(place) => {
                    place.coupons.iter().all(|coupon| self.model.coupons.contains_key(coupon))
                }
                What::Claim(..) => true,
                What::Void(coupon) => self.model.coupons.contains_key(coupon),
                What::Redeem(order, coupon) => {
                    let coupons = &self.model.coupons;
                    self.model.orders.contains_key(order) && coupons.contains_key(coupon)
                }
                What::Move(order, ..) | What::Pay(order, _) => {
                    self.model.orders.contains_key(order)
                }
            };
            hold(RULE, sent.answered || !known, || format!("#{label} has no answer"))?;
        }
        let standing = self.ledger.orders.values().filter(|order| stands(order.state));
        let owed_minor: i64 = standing.map(|order| order.total_minor).sum();
        agree("the provider's books agree", "all money", self.provider.holds_minor(), owed_minor)
    }

    /// The provider has the payment as the ledger has it.
    fn check_books(
        &self,
        id: i64,
        state: PaymentState,
        refund: Option<i64>,
    ) -> Result<(), Violation> {
        const RULE: &str = "the provider's books agree";
        let account = self.provider.accounts.get(&id);
        let outcome = account.and_then(|account| account.outcome);
        let same = match state {
            PaymentState::Captured => outcome == Some(ProviderOutcome::Captured),
            PaymentState::Failed => outcome == Some(ProviderOutcome::Failed),
            PaymentState::Canceled => outcome == Some(ProviderOutcome::Canceled),
            PaymentState::Created | PaymentState::Processing | PaymentState::Authorized => false,
        };
        hold(RULE, same, || format!("payment {id} is {state:?}, the provider says {outcome:?}"))?;
        let sent = account.and_then(|account| account.refund);
        agree(RULE, &format!("the refund of payment {id}"), sent, refund)
    }
}
