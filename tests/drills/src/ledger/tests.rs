//! Each rule is broken once, and that rule alone says so.

use super::*;
use OrderState::{Cancelled, Closed, Paid, PendingPayment};

const ITEM: i64 = 1;
const USER: i64 = 9;
const CAP_UNITS: i64 = 5;

fn order(state: OrderState, units: i64) -> Order {
    let lines = BTreeMap::from([(ITEM, units)]);
    Order { user: USER, store: 3, state, total_minor: 100, lines }
}

fn payment(order: i64, has_refund: bool) -> Payment {
    let provider_keeps_minor = Some(if has_refund { 0 } else { 100 });
    let state = PaymentState::Captured;
    Payment {
        order,
        state,
        amount_minor: 100,
        has_refund,
        refunded: has_refund,
        provider_keeps_minor,
    }
}

/// Ten units: two reserved, one sold and one sold to an order that was cancelled later.
fn sound() -> Ledger {
    Ledger {
        stock: BTreeMap::from([(ITEM, Stock { on_hand: 8, available: 6, reserved: 2, sold: 2 })]),
        orders: BTreeMap::from([
            (1, order(PendingPayment, 2)),
            (2, order(Paid, 1)),
            (3, order(Cancelled, 1)),
            (4, order(Closed, 4)),
        ]),
        payments: BTreeMap::from([
            (1, payment(2, false)),
            (2, payment(3, true)),
            (3, payment(4, true)),
        ]),
        held_units: BTreeMap::from([(USER, 2), (10, 0)]),
        scopes: HashSet::new(),
    }
}

fn broken(change: impl FnOnce(&mut Ledger)) -> Violations {
    let mut ledger = sound();
    change(&mut ledger);
    let mut found = check(&ledger, &BTreeMap::from([(ITEM, 10)]), CAP_UNITS);
    found.merge(check_provider(&ledger));
    found
}

#[test]
fn a_sound_ledger_breaks_no_rule() {
    assert_eq!(broken(|_| {}), Violations::default());
    assert_eq!(sound().unsettled(), [1, 0, 0]);
}

#[test]
fn each_rule_is_broken_alone() {
    type Change = fn(&mut Ledger);
    let changes: [(&str, Change); 9] = [
        (STOCK, |ledger| ledger.stock.get_mut(&ITEM).unwrap().available = 7),
        (STOCK, |ledger| ledger.stock.clear()),
        (RESERVED, |ledger| {
            *ledger.stock.get_mut(&ITEM).unwrap() =
                Stock { on_hand: 8, available: 5, reserved: 3, sold: 2 };
        }),
        (SOLD, |ledger| {
            *ledger.stock.get_mut(&ITEM).unwrap() =
                Stock { on_hand: 7, available: 5, reserved: 2, sold: 3 };
        }),
        (HELD, |ledger| _ = ledger.held_units.insert(USER, 3)),
        (HELD, |ledger| _ = ledger.held_units.insert(10, 1)),
        (MONEY, |ledger| {
            let twice = Payment { provider_keeps_minor: Some(0), ..payment(2, false) };
            ledger.payments.insert(4, twice);
        }),
        (AMOUNT, |ledger| ledger.payments.get_mut(&1).unwrap().amount_minor = 99),
        (PROVIDER, |ledger| ledger.payments.get_mut(&3).unwrap().provider_keeps_minor = Some(100)),
    ];
    for (n, (rule, change)) in changes.into_iter().enumerate() {
        let found = broken(change);
        assert_eq!((found.count(rule), found.len()), (1, 1), "change {n}, {rule}: {found}");
    }
}

#[test]
fn a_lost_an_unpaid_and_a_held_order_are_noticed() {
    let found = broken(|ledger| _ = ledger.orders.remove(&2));
    assert!(found.count(SOLD) == 1 && found.count(AMOUNT) == 1, "{found}");
    let found = broken(|ledger| _ = ledger.payments.remove(&1));
    assert!(found.count(MONEY) == 1 && found.count(PROVIDER) == 1, "{found}");
    let found = broken(|ledger| {
        ledger.orders.insert(5, order(PendingPayment, CAP_UNITS));
    });
    assert!(found.count(CAP) == 1 && found.count(HELD) == 1 && found.count(RESERVED) == 1);
}
