//! What the ledger says at one instant, and the rules that hold at every instant. Pure.

use crate::violations::Violations;
use std::collections::{BTreeMap, HashMap, HashSet};
use tiffin_api::order::OrderState;
use tiffin_api::payment::PaymentState;

/// A consistent snapshot of the tables, by raw ids.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Ledger {
    /// Stock by item.
    pub stock: BTreeMap<i64, Stock>,
    /// Orders by id.
    pub orders: BTreeMap<i64, Order>,
    /// Payments by id.
    pub payments: BTreeMap<i64, Payment>,
    /// Units that users are said to hold in unpaid orders.
    pub held_units: BTreeMap<i64, i64>,
    /// Scopes of recorded answers.
    pub scopes: HashSet<String>,
}

/// Units of an item.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Stock {
    /// Not sold yet.
    pub on_hand: i64,
    /// Free to be ordered.
    pub available: i64,
    /// In unpaid orders.
    pub reserved: i64,
    /// Ever sold.
    pub sold: i64,
}

/// An order.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Order {
    /// Who ordered.
    pub user: i64,
    /// Where.
    pub store: i64,
    /// Where it stands.
    pub state: OrderState,
    /// What it costs, minor units.
    pub total_minor: i64,
    /// Units by item.
    pub lines: BTreeMap<i64, i64>,
}

/// A payment and what became of its money.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Payment {
    /// Of which order.
    pub order: i64,
    /// Where it stands.
    pub state: PaymentState,
    /// How much, minor units.
    pub amount_minor: i64,
    /// Whether it has a refund, sent or not.
    pub has_refund: bool,
    /// Whether its refund went back.
    pub refunded: bool,
    /// What the provider took and did not give back, minor units; `None` if it never heard of the payment.
    pub provider_keeps_minor: Option<i64>,
}

/// Whether an order in this state was paid for: its units are sold. What is rejected or cancelled after that
/// stays sold, for a dish that was cooked does not return to the shelf.
pub const fn was_paid(state: OrderState) -> bool {
    match state {
        OrderState::PendingPayment | OrderState::Closed => false,
        OrderState::GroupWait
        | OrderState::Paid
        | OrderState::Accepted
        | OrderState::Rejected
        | OrderState::Preparing
        | OrderState::Ready
        | OrderState::Delivering
        | OrderState::Completed
        | OrderState::Cancelled => true,
    }
}

/// Whether an order in this state keeps its money.
const fn keeps_money(state: OrderState) -> bool {
    was_paid(state) && !matches!(state, OrderState::Rejected | OrderState::Cancelled)
}

/// The rule of the stock.
pub const STOCK: &str = "on_hand = available + reserved, on_hand + sold = initial, nothing below 0";
/// The rule of reserved units.
pub const RESERVED: &str = "reserved = units of orders that await their payment";
/// The rule of sold units.
pub const SOLD: &str = "sold = units of orders that were paid";
/// The rule of held units.
pub const HELD: &str = "held_units = units of a user's orders that await their payment";
/// The rule of the cap.
pub const CAP: &str = "no user holds more than the cap in unpaid orders";
/// The rule of an order's money.
pub const MONEY: &str =
    "an order keeps exactly one captured payment if it was paid, and none otherwise";
/// The rule of a payment's amount.
pub const AMOUNT: &str = "a payment is of its order's total";
/// The rule of the provider's money.
pub const PROVIDER: &str = "the provider keeps what orders keep, once all refunds are sent";

/// The rules that hold at every commit. `initial` has the units of each item at the start.
pub fn check(ledger: &Ledger, initial: &BTreeMap<i64, i64>, held_cap_units: i64) -> Violations {
    let mut found = Violations::default();
    check_stock(ledger, initial, &mut found);
    check_held(ledger, held_cap_units, &mut found);
    check_money(ledger, &mut found);
    found
}

fn check_stock(ledger: &Ledger, initial: &BTreeMap<i64, i64>, found: &mut Violations) {
    let (mut reserved, mut sold) = (HashMap::<i64, i64>::new(), HashMap::<i64, i64>::new());
    for order in ledger.orders.values() {
        for (item, units) in &order.lines {
            if order.state == OrderState::PendingPayment {
                *reserved.entry(*item).or_default() += units;
            } else if was_paid(order.state) {
                *sold.entry(*item).or_default() += units;
            }
        }
    }
    for (item, units) in initial {
        let Some(stock) = ledger.stock.get(item) else {
            found.note(STOCK, format!("item {item} is gone"));
            continue;
        };
        let adds_up = stock.on_hand == stock.available + stock.reserved
            && stock.on_hand + stock.sold == *units
            && stock.available >= 0
            && stock.reserved >= 0;
        found.unless(adds_up, STOCK, || format!("item {item}: {stock:?}, initially {units}"));
        for (rule, said, counted) in [
            (RESERVED, stock.reserved, reserved.get(item).copied().unwrap_or(0)),
            (SOLD, stock.sold, sold.get(item).copied().unwrap_or(0)),
        ] {
            let told = || format!("item {item}: the row says {said}, its orders {counted}");
            found.unless(said == counted, rule, told);
        }
    }
}

fn check_held(ledger: &Ledger, cap_units: i64, found: &mut Violations) {
    let mut held = HashMap::<i64, i64>::new();
    let waiting = |order: &&Order| order.state == OrderState::PendingPayment;
    for order in ledger.orders.values().filter(waiting) {
        *held.entry(order.user).or_default() += order.lines.values().sum::<i64>();
    }
    let users: HashSet<_> = held.keys().chain(ledger.held_units.keys()).collect();
    for user in users {
        let counted = held.get(user).copied().unwrap_or(0);
        let said = ledger.held_units.get(user).copied().unwrap_or(0);
        let told = || format!("user {user}: the row says {said}, the orders {counted}");
        found.unless(said == counted, HELD, told);
        let told = || format!("user {user} holds {counted}, the cap is {cap_units}");
        found.unless(counted <= cap_units, CAP, told);
    }
}

fn check_money(ledger: &Ledger, found: &mut Violations) {
    let mut kept = HashMap::<i64, usize>::new();
    for (id, payment) in &ledger.payments {
        if payment.state == PaymentState::Captured && !payment.has_refund {
            *kept.entry(payment.order).or_default() += 1;
        }
        let total = ledger.orders.get(&payment.order).map(|order| order.total_minor);
        let told =
            || format!("payment {id} is of {}, its order of {total:?}", payment.amount_minor);
        found.unless(total == Some(payment.amount_minor), AMOUNT, told);
    }
    for (id, order) in &ledger.orders {
        let kept = kept.get(id).copied().unwrap_or(0);
        let told = || format!("order {id} is {:?} and keeps {kept} payments", order.state);
        found.unless(kept == usize::from(keeps_money(order.state)), MONEY, told);
    }
}

/// The rule that holds only once every refund was sent: the provider's books and ours agree, order by order.
pub fn check_provider(ledger: &Ledger) -> Violations {
    let mut found = Violations::default();
    let mut kept = HashMap::<i64, i64>::new();
    for payment in ledger.payments.values() {
        *kept.entry(payment.order).or_default() += payment.provider_keeps_minor.unwrap_or(0);
    }
    for (id, order) in &ledger.orders {
        let kept_minor = kept.get(id).copied().unwrap_or(0);
        let due_minor = if keeps_money(order.state) { order.total_minor } else { 0 };
        let told = || {
            let state = order.state;
            format!("order {id} is {state:?}: the provider keeps {kept_minor}, due are {due_minor}")
        };
        found.unless(kept_minor == due_minor, PROVIDER, told);
    }
    found
}

impl Ledger {
    /// What is still on its way: orders that await their payment, payments without a decision, unsent refunds.
    pub fn unsettled(&self) -> [usize; 3] {
        let undecided = |state| {
            matches!(
                state,
                PaymentState::Created | PaymentState::Processing | PaymentState::Authorized
            )
        };
        let waiting = |order: &&Order| order.state == OrderState::PendingPayment;
        [
            self.orders.values().filter(waiting).count(),
            self.payments.values().filter(|payment| undecided(payment.state)).count(),
            self.payments
                .values()
                .filter(|payment| payment.has_refund && !payment.refunded)
                .count(),
        ]
    }
}

#[cfg(test)]
mod tests;
