//! What was answered, held against what the ledger says. Pure.

use super::journal::{Act, Basket, Entry};
use crate::http::Answer;
use crate::ledger::{Ledger, was_paid};
use crate::violations::Violations;
use std::collections::HashMap;
use tiffin_api::order::OrderState;
use tiffin_api::problem::ErrorCode;

/// The rule of an acknowledged order.
pub const ACKNOWLEDGED: &str = "every acknowledged order is there, as it was acknowledged";
/// The rule of an order that nobody was told of.
pub const ACCOUNTED: &str = "every order was acknowledged under exactly one key";
/// The rule of an answer's record.
pub const RECORDED: &str = "every answer but a refusal at the door is recorded under its key";
/// The rule of plausible answers.
pub const PLAUSIBLE: &str = "every request is answered with what its contract says";
/// The rule of states.
pub const STATE: &str = "an order stands where the answers about it left it";
/// The rule of retries.
pub const REPLAYED: &str = "every retried key gives its first answer, byte for byte";
/// The rule of quiet retries.
pub const NO_EFFECT: &str = "a retry has no effect";
/// The rule of the gate.
pub const AGAIN: &str = "what was refused at the door is decided anew, or refused again";
/// The rule of availability.
pub const ANSWERED: &str = "every key gets an answer";
/// The rule of twins.
pub const TWINS: &str = "one key that is sent twice at once has one answer";
/// The rule of 500s.
pub const DEFECT: &str = "a kill is told as 503, never as a defect (500)";
/// The rule of a core that stays.
pub const STAYS: &str = "a core that was ready does not end by itself";
/// The rule of coming back.
pub const RECOVERS: &str = "after every kill, requests succeed again";
/// The rule of settling.
pub const SETTLES: &str = "what was left unpaid, undecided or unsent is settled without help";

/// Whether a status and code is one that the contract of an act knows.
pub fn check_plausible(entry: &Entry) -> Violations {
    let allowed: &[ErrorCode] = match (&entry.act, entry.status) {
        (Act::Place(_) | Act::Pay(_), 201) | (Act::Cancel(_), 200) => return Violations::default(),
        (Act::Place(_), 409) => &[ErrorCode::OutOfStock, ErrorCode::HoldLimitReached],
        (Act::Pay(_), 409) => &[ErrorCode::InvalidTransition, ErrorCode::PaymentInProgress],
        (Act::Cancel(_), 409) => &[ErrorCode::InvalidTransition],
        _ => &[],
    };
    let mut found = Violations::default();
    let plausible = entry.code.is_some_and(|code| allowed.contains(&code));
    found.unless(plausible, PLAUSIBLE, || {
        format!("{} answered {} {:?}", shown(entry), entry.status, entry.code)
    });
    found
}

/// That orders which were acknowledged before the snapshot are in it.
pub fn check_present(ledger: &Ledger, acknowledged: &[i64]) -> Violations {
    let mut found = Violations::default();
    for id in acknowledged {
        found
            .unless(ledger.orders.contains_key(id), ACKNOWLEDGED, || format!("order {id} is lost"));
    }
    found
}

/// Everything that was answered, against the ledger at rest.
pub fn check_answers(ledger: &Ledger, entries: &[Entry]) -> Violations {
    let mut found = Violations::default();
    check_orders(ledger, entries, &mut found);
    check_states(ledger, entries, &mut found);
    for entry in entries {
        let recorded = ledger.scopes.contains(&entry.call.scope());
        found.unless(recorded || entry.may_be_unrecorded(), RECORDED, || shown(entry));
    }
    found
}

fn check_orders(ledger: &Ledger, entries: &[Entry], found: &mut Violations) {
    let mut keys: HashMap<i64, &Entry> = HashMap::new();
    for entry in entries {
        let (Some(id), Act::Place(basket)) = (entry.placed, &entry.act) else { continue };
        if let Some(other) = keys.insert(id, entry) {
            found.note(ACCOUNTED, format!("order {id}: {} and {}", shown(other), shown(entry)));
        }
        match ledger.orders.get(&id) {
            None => found.note(ACKNOWLEDGED, format!("order {id} of {} is lost", shown(entry))),
            Some(order) => {
                let same = order.user == entry.call.diner.id.raw()
                    && *basket == Basket { store: order.store, lines: order.lines.clone() };
                found.unless(same, ACKNOWLEDGED, || format!("{} is now {order:?}", shown(entry)));
            }
        }
    }
    for (id, order) in &ledger.orders {
        found.unless(keys.contains_key(id), ACCOUNTED, || {
            format!(
                "order {id} of user {}, {:?}, was acknowledged to nobody",
                order.user, order.state
            )
        });
    }
}

/// What was told is either where the order still is, or from where it could go on.
fn check_states(ledger: &Ledger, entries: &[Entry], found: &mut Violations) {
    for entry in entries.iter().filter(|entry| entry.status < 400) {
        let (id, told) = match (&entry.act, entry.told_state.as_deref()) {
            (Act::Pay(id) | Act::Cancel(id), Some(told)) => (id, told),
            _ => continue,
        };
        let Some(order) = ledger.orders.get(id) else {
            found.note(ACKNOWLEDGED, format!("order {id} of {} is lost", shown(entry)));
            continue;
        };
        let holds = match (&entry.act, told) {
            (Act::Cancel(_), "CLOSED") => order.state == OrderState::Closed,
            (Act::Cancel(_), "CANCELLED") => order.state == OrderState::Cancelled,
            // The money came too late for an order that had closed: it goes back.
            (Act::Pay(_), "CAPTURED") => was_paid(order.state) || order.state == OrderState::Closed,
            (Act::Pay(_), _) => true,
            _ => false,
        };
        let state = order.state;
        found.unless(holds, STATE, || format!("{} was told {told}; it is {state:?}", shown(entry)));
    }
}

/// A retry's answer against the first one.
pub fn check_replay(entry: &Entry, again: &Answer) -> Violations {
    let mut found = Violations::default();
    let same = again.status == entry.status && again.hash() == entry.hash;
    found.unless(same, REPLAYED, || {
        format!("{} answered {} first, and now {}", shown(entry), entry.status, again.shown())
    });
    found
}

/// That retries left the ledger alone.
pub fn check_untouched(before: &Ledger, after: &Ledger) -> Violations {
    let mut found = Violations::default();
    for (what, same) in [
        ("stock", before.stock == after.stock),
        ("orders", before.orders == after.orders),
        ("payments", before.payments == after.payments),
        ("held_units", before.held_units == after.held_units),
        ("idempotency", before.scopes == after.scopes),
    ] {
        found.unless(same, NO_EFFECT, || format!("{what} differ after every key was sent again"));
    }
    found
}

/// A request, for people.
pub fn shown(entry: &Entry) -> String {
    let call = &entry.call;
    format!("POST {} of user {}, key {}", call.path, call.diner.id, call.key)
}

#[cfg(test)]
mod tests;
