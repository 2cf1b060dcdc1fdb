//! The payment provider: somebody else's service, which does not die when the core does.
//!
//! It keeps its own books. Asked twice under one id it does nothing more; what it decides by itself it tells
//! by webhooks, which it repeats until they were taken.

use crate::history::Line;
use core_service::payments::state::Decision;
use std::collections::BTreeMap;
use tiffin_api::payment::{PaymentMethod, ProviderOutcome};

/// What the provider knows of a payment.
#[derive(Debug, Clone)]
pub(crate) struct Account {
    /// What was decided last.
    pub(crate) outcome: Option<ProviderOutcome>,
    /// The amount, minor units.
    pub(crate) amount_minor: i64,
    /// The refund that took the money back, by its id.
    pub(crate) refund: Option<i64>,
    /// Everything that was ever decided: the webhooks.
    pub(crate) events: Vec<ProviderOutcome>,
    /// Which of them the core has taken.
    pub(crate) taken: Vec<bool>,
}

/// The provider's books, by payment id.
#[derive(Debug, Clone, Default)]
pub(crate) struct Provider {
    /// What it knows.
    pub(crate) accounts: BTreeMap<i64, Account>,
}

/// What came over a line: `None` if the answer did not.
pub(crate) type Heard = Option<Option<Decision>>;

impl Provider {
    /// Asks for the money of a payment.
    pub(crate) fn charge(
        &mut self,
        id: i64,
        amount_minor: i64,
        method: PaymentMethod,
        line: Line,
    ) -> Heard {
        if line == Line::CutBefore {
            return None;
        }
        let outcome = match method {
            PaymentMethod::SandboxCapture => Some(ProviderOutcome::Captured),
            PaymentMethod::SandboxAuthorize => Some(ProviderOutcome::Authorized),
            PaymentMethod::SandboxFail => Some(ProviderOutcome::Failed),
            PaymentMethod::SandboxSilent => None,
        };
        let new = || {
            let mut account = Account::new(amount_minor);
            if let Some(outcome) = outcome {
                account.decide(outcome);
            }
            account
        };
        let known = self.accounts.entry(id).or_insert_with(new).outcome.map(decision);
        (line == Line::Good).then_some(known)
    }

    /// Asks what became of a payment that its order awaits; has any other given up.
    pub(crate) fn say(&mut self, id: i64, amount_minor: i64, awaited: bool, line: Line) -> Heard {
        if line == Line::CutBefore {
            return None;
        }
        let known = self.accounts.get(&id).map(|account| account.outcome);
        let said = match known {
            Some(outcome) if awaited => outcome,
            _ => Some(self.void(id, amount_minor)),
        };
        (line == Line::Good).then(|| said.map(decision))
    }

    fn void(&mut self, id: i64, amount_minor: i64) -> ProviderOutcome {
        let account = self.accounts.entry(id).or_insert_with(|| Account::new(amount_minor));
        match account.outcome {
            Some(ended) if ended != ProviderOutcome::Authorized => ended,
            _ => {
                account.outcome = Some(ProviderOutcome::Canceled);
                ProviderOutcome::Canceled
            }
        }
    }

    /// Sends captured money back; true if the core is told so.
    pub(crate) fn refund(&mut self, id: i64, refund: i64, line: Line) -> bool {
        let Some(account) = self.accounts.get_mut(&id) else { return false };
        if line == Line::CutBefore || account.outcome != Some(ProviderOutcome::Captured) {
            return false;
        }
        let taken_by = *account.refund.get_or_insert(refund);
        taken_by == refund && line == Line::Good
    }

    /// Decides by itself. What was captured or given up stays so; a refused payer may try again and succeed.
    pub(crate) fn decide(&mut self, id: i64, outcome: ProviderOutcome) -> bool {
        let Some(account) = self.accounts.get_mut(&id) else { return false };
        let open = match account.outcome {
            None => true,
            Some(ProviderOutcome::Authorized) => outcome != ProviderOutcome::Authorized,
            Some(ProviderOutcome::Failed) => outcome == ProviderOutcome::Captured,
            Some(ProviderOutcome::Captured | ProviderOutcome::Canceled) => false,
        };
        if open {
            account.decide(outcome);
        }
        open
    }

    /// Money that was captured and did not go back, minor units.
    pub(crate) fn holds_minor(&self) -> i64 {
        let kept = self.accounts.values().filter(|account| {
            account.outcome == Some(ProviderOutcome::Captured) && account.refund.is_none()
        });
        kept.map(|account| account.amount_minor).sum()
    }
}

impl Account {
    fn new(amount_minor: i64) -> Self {
        Self { outcome: None, amount_minor, refund: None, events: Vec::new(), taken: Vec::new() }
    }

    fn decide(&mut self, outcome: ProviderOutcome) {
        self.outcome = Some(outcome);
        self.events.push(outcome);
        self.taken.push(false);
    }
}

fn decision(outcome: ProviderOutcome) -> Decision {
    let failed = outcome == ProviderOutcome::Failed;
    Decision { outcome, failure: failed.then(|| "declined".to_owned()) }
}
