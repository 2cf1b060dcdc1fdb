//! What goes to and comes from outside the core: questions to the provider, webhooks, refunds that are sent, and
//! the jobs' search for work.

use super::{Broken, World};
use crate::command::Command;
use crate::history::{Act, Batch, Fault, Label, Line, Seal, Step};
use crate::rules::{Violation, agree, event_id, hold};
use core_service::auth::keys::Keys;
use core_service::coupons::store as coupons;
use core_service::orders::store as orders;
use core_service::payments::{refund, sandbox, signature, store as payments};
use std::collections::BTreeSet;
use std::fmt::{self, Write as _};
use tiffin_api::coupon::CouponState;
use tiffin_api::id::PaymentId;
use tiffin_api::money::Currency;
use tiffin_api::order::OrderState;
use tiffin_api::payment::{PaymentState, ProviderEvent, ProviderOutcome, RefundState};

/// What a job finds to do: its name, the labels of orders or payments, and what it does about one.
type Due = (&'static str, Vec<Label>, fn(Label, Line) -> Act);

/// More rows than a history has.
const ALL: u32 = 10_000;
/// Out of the tolerance of a webhook's time stamp, ms.
const LONG_MS: i64 = 20 * 60 * 1_000;

impl World {
    /// Adds a line to the log.
    pub(crate) fn note(&mut self, line: fmt::Arguments<'_>) {
        writeln!(self.log, "{line}").expect("a string takes every line");
    }

    /// Sends a refund as the job does.
    pub(super) fn refund(&mut self, pay: Label, line: Line) -> Option<Command> {
        let payment = self.model.payments.get(&pay)?;
        let id = payment.id;
        if payment.refund.as_ref()?.state == RefundState::Succeeded {
            return None;
        }
        let refund = self.ledger.payments.get(&id)?.refund.as_ref()?.id;
        let succeeded = self.provider.refund(id, refund, line);
        self.count_line(line);
        Some(Command::Sent { pay, id: refund, succeeded })
    }

    /// Takes a webhook as far as the engine; one that is not rightly signed comes to its end here.
    pub(super) fn hear(
        &mut self,
        pay: Label,
        number: usize,
        seal: Seal,
    ) -> Result<Option<Command>, Violation> {
        let Some(id) = self.model.payments.get(&pay).map(|payment| payment.id) else {
            return Ok(None);
        };
        let Some(account) = self.provider.accounts.get(&id) else { return Ok(None) };
        let Some(outcome) = account.events.get(number).copied() else { return Ok(None) };
        let more_minor = i64::from(seal == Seal::OtherAmount);
        let failed = outcome == ProviderOutcome::Failed;
        let event = ProviderEvent {
            event_id: event_id(id, number),
            payment_id: PaymentId::from_raw(id),
            outcome,
            amount_minor: account.amount_minor + more_minor,
            currency: "EUR".parse::<Currency>().expect("a currency"),
            failure: failed.then(|| "declined".to_owned()),
        };
        let body = serde_json::to_vec(&event).expect("an event serialises");
        let forger = Keys::from_parts([8; 32], [9; 32]);
        let signer = if seal == Seal::Forged { &forger } else { &*self.desk.keys };
        let now_ms = self.model.now_ms;
        let at_ms = if seal == Seal::Old { now_ms - LONG_MS } else { now_ms };
        let header = signature::sign(signer, sandbox::NAME, &body, at_ms);
        let verified =
            signature::verify(&self.desk.keys, sandbox::NAME, Some(&header), &body, now_ms);
        let believed = matches!(seal, Seal::Good | Seal::OtherAmount);
        hold("only a rightly signed webhook is believed", verified.is_ok() == believed, || {
            format!("{seal:?}: {verified:?}")
        })?;
        if !believed {
            self.model.saw(format!("fault: a webhook was {seal:?}"));
            return Ok(None);
        }
        if seal == Seal::OtherAmount {
            self.model.saw("fault: a webhook contradicted its payment");
        }
        Ok(Some(Command::Hear { pay, number, event }))
    }

    /// The core asks the provider for the money of a payment.
    pub(super) fn ask(&mut self, pay: Label, line: Line) {
        let (Some(handler), Some(payment)) =
            (self.handlers.get_mut(&pay), self.model.payments.get(&pay))
        else {
            return;
        };
        let amount_minor = payment.amount_minor;
        if handler.said.is_none() {
            handler.said = Some(if handler.awaited {
                self.provider.charge(handler.id, amount_minor, handler.method, line)
            } else {
                self.provider.say(handler.id, amount_minor, false, line)
            });
            self.count_line(line);
        }
    }

    pub(super) fn count_line(&mut self, line: Line) {
        match line {
            Line::Good => {}
            Line::CutBefore => self.model.saw("fault: a question to the provider was lost"),
            Line::CutAfter => self.model.saw("fault: an answer of the provider was lost"),
        }
    }

    /// One round of the jobs, over a line to the provider: what the tables say is due has to be what the model says.
    pub(super) async fn jobs(&mut self, line: Line) -> Result<(), Broken> {
        for job in [Self::overdue, Self::to_ask, Self::to_refund, Self::to_expire] {
            let (name, due, act) = job(self);
            let found = self.due(name).await?;
            let labels = due.iter().copied();
            let ids: BTreeSet<i64> = labels
                .map(|label| match name {
                    "orders to close" => self.model.orders[&label].id,
                    "coupons to expire" => self.model.coupons[&label].id,
                    _ => self.model.payments[&label].id,
                })
                .collect();
            agree("a job finds what is due", name, found, ids)?;
            if !due.is_empty() {
                let acts = due.into_iter().map(|label| act(label, line)).collect();
                self.batch(&Batch { acts, fault: Fault::None }).await?;
            }
        }
        Ok(())
    }

    /// What the tables say is due: orders, or payments (for a refund, the payment whose money goes back).
    async fn due(&self, name: &str) -> anyhow::Result<BTreeSet<i64>> {
        let conn = &mut *self.life.db.read().await?;
        let now_ms = self.model.now_ms;
        let ids = match name {
            "orders to close" => orders::overdue(conn, now_ms, 0, ALL).await?,
            "coupons to expire" => coupons::overdue(conn, now_ms, 0, ALL).await?,
            "payments to ask about" => payments::to_ask(conn, now_ms, 0, ALL).await?,
            _ => {
                let refunds = refund::due(conn, now_ms, 0, ALL).await?;
                let payments = self.ledger.payments.iter().filter(|(_, payment)| {
                    payment.refund.as_ref().is_some_and(|refund| refunds.contains(&refund.id))
                });
                payments.map(|(id, _)| *id).collect()
            }
        };
        Ok(ids.into_iter().collect())
    }

    fn overdue(&self) -> Due {
        let now_ms = self.model.now_ms;
        let due = self.model.orders.iter().filter(|(_, order)| {
            order.state == OrderState::PendingPayment && order.pay_by_ms <= now_ms
        });
        ("orders to close", due.map(|(label, _)| *label).collect(), |order, _| Act::Close(order))
    }

    fn to_ask(&self) -> Due {
        use PaymentState::{Authorized, Created, Processing};
        let now_ms = self.model.now_ms;
        let due = self.model.payments.iter().filter(|(_, payment)| {
            let undecided = matches!(payment.state, Created | Processing | Authorized);
            undecided && payment.ask_at_ms <= now_ms
        });
        let due = due.map(|(label, _)| *label).collect();
        ("payments to ask about", due, Act::Reconcile)
    }

    fn to_refund(&self) -> Due {
        let now_ms = self.model.now_ms;
        let due = self.model.payments.iter().filter(|(_, payment)| {
            payment.refund.as_ref().is_some_and(|refund| {
                refund.state != RefundState::Succeeded && refund.retry_at_ms <= now_ms
            })
        });
        let due = due.map(|(label, _)| *label).collect();
        ("refunds to send", due, Act::Refund)
    }

    fn to_expire(&self) -> Due {
        let now_ms = self.model.now_ms;
        let due = self.model.coupons.iter().filter(|(_, coupon)| {
            coupon.state == CouponState::Claimed && coupon.expires_at_ms <= now_ms
        });
        let due = due.map(|(label, _)| *label).collect();
        ("coupons to expire", due, |coupon, _| Act::Expire(coupon))
    }

    /// Does the commands of a batch without any fault.
    pub(super) async fn calm(&mut self, acts: Vec<Act>) -> Result<(), Broken> {
        if acts.is_empty() {
            return Ok(());
        }
        self.step(&Step::Batch(Batch { acts, fault: Fault::None })).await
    }
}

/// A hash that is the same on every machine (FNV-1a, 64 bits).
pub(super) fn fnv(bytes: &[u8]) -> u64 {
    bytes.iter().fold(0xCBF2_9CE4_8422_2325, |hash, byte| {
        (hash ^ u64::from(*byte)).wrapping_mul(0x0000_0100_0000_01B3)
    })
}
