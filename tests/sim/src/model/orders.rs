//! Orders in the model: who gets the units, and which moves there are.

use super::{Model, Order};
use crate::command::{Command, Facts, Key, Said};
use crate::history::{Label, Place, Who, Wish};
use crate::setup::{DAY, DELIVERY_FEE_MINOR, MINUTE_MS};
use std::collections::BTreeMap;
use tiffin_api::order::OrderState as State;

/// Minutes of a day.
const DAY_MINUTES: i64 = 24 * 60;

/// Every move after payment that is allowed, who may make it, and whether only at one way of handing over.
const MOVES: &[(State, Wish, Who, Option<bool>, State)] = &[
    (State::Paid, Wish::Cancel, Who::Diner, None, State::Cancelled),
    (State::Paid, Wish::Recall, Who::Diner, None, State::Cancelled),
    (State::Paid, Wish::Cancel, Who::Keeper, None, State::Cancelled),
    (State::Paid, Wish::Recall, Who::Keeper, None, State::Cancelled),
    (State::Accepted, Wish::Cancel, Who::Keeper, None, State::Cancelled),
    (State::Accepted, Wish::Recall, Who::Keeper, None, State::Cancelled),
    (State::Preparing, Wish::Cancel, Who::Keeper, None, State::Cancelled),
    (State::Preparing, Wish::Recall, Who::Keeper, None, State::Cancelled),
    (State::Ready, Wish::Cancel, Who::Keeper, None, State::Cancelled),
    (State::Ready, Wish::Recall, Who::Keeper, None, State::Cancelled),
    (State::Delivering, Wish::Cancel, Who::Keeper, None, State::Cancelled),
    (State::Delivering, Wish::Recall, Who::Keeper, None, State::Cancelled),
    (State::Paid, Wish::Accept, Who::Keeper, None, State::Accepted),
    (State::Paid, Wish::Reject, Who::Keeper, None, State::Rejected),
    (State::Accepted, Wish::Prepare, Who::Keeper, None, State::Preparing),
    (State::Preparing, Wish::Ready, Who::Keeper, None, State::Ready),
    (State::Ready, Wish::Dispatch, Who::Keeper, Some(true), State::Delivering),
    (State::Ready, Wish::Complete, Who::Keeper, Some(false), State::Completed),
    (State::Delivering, Wish::Complete, Who::Keeper, None, State::Completed),
];

/// Where a wish leads once an order is paid.
const fn goal(wish: Wish) -> State {
    match wish {
        Wish::Cancel | Wish::Recall => State::Cancelled,
        Wish::Accept => State::Accepted,
        Wish::Reject => State::Rejected,
        Wish::Prepare => State::Preparing,
        Wish::Ready => State::Ready,
        Wish::Dispatch => State::Delivering,
        Wish::Complete => State::Completed,
    }
}

/// Units by dish.
fn units_of(place: &Place) -> BTreeMap<usize, i64> {
    let mut units = BTreeMap::new();
    for (dish, wanted) in &place.lines {
        *units.entry(*dish).or_insert(0) += i64::from(*wanted);
    }
    units
}

impl Model {
    /// What each line and the delivery cost now, minor units.
    pub(super) fn costs_of(&self, place: &Place) -> Vec<i64> {
        let cost =
            |(dish, units): &(usize, u32)| self.dishes[*dish].price_minor * i64::from(*units);
        let fee_minor = if place.delivery { DELIVERY_FEE_MINOR } else { 0 };
        place.lines.iter().map(cost).chain([fee_minor]).collect()
    }

    fn open(&self, store: usize) -> bool {
        let minute = self.now_ms.div_euclid(MINUTE_MS).rem_euclid(DAY_MINUTES);
        store == 0 || (DAY.0..DAY.1).contains(&minute)
    }

    fn too_few(&self, units: &BTreeMap<usize, i64>) -> bool {
        units.iter().any(|(dish, wanted)| self.dishes[*dish].free() < *wanted)
    }

    /// Whether what a command wants is sold out now.
    pub(crate) fn sold_out(&self, command: &Command) -> bool {
        match command {
            Command::Place { place, .. } => self.too_few(&units_of(place)),
            Command::Claim { kind, .. } => self.all_claimed(*kind),
            _ => false,
        }
    }

    /// Whether its user would hold more than the cap.
    pub(crate) fn over_cap(&self, command: &Command) -> bool {
        let Command::Place { place, .. } = command else { return false };
        self.held_by(place.user) + units_of(place).values().sum::<i64>() > self.held_units_cap
    }

    pub(super) fn place(&mut self, key: Key, id: i64, place: &Place) -> Said {
        let discounts = match self.discounts(place.user, None, place, &place.coupons) {
            Ok(discounts) => discounts,
            Err(code) => return self.coupon_refused(key, code),
        };
        let units = units_of(place);
        if !self.open(place.store) {
            return self.conflict(key, "store-closed");
        }
        if self.too_few(&units) {
            return self.conflict(key, "out-of-stock");
        }
        if self.held_by(place.user) + units.values().sum::<i64>() > self.held_units_cap {
            return self.conflict(key, "hold-limit-reached");
        }
        let costs_minor = self.costs_of(place);
        let off_minor: i64 = discounts.iter().map(|(_, amount_minor)| amount_minor).sum();
        let total_minor = costs_minor.iter().sum::<i64>() - off_minor;
        if place.quote.is_some_and(|(total, until)| total != total_minor || until <= self.now_ms) {
            return self.conflict(key, "price-changed");
        }
        for (dish, wanted) in &units {
            self.dishes[*dish].reserved += wanted;
        }
        let (user, place) = (place.user, place.clone());
        let (state, version) = (State::PendingPayment, 1);
        let pay_by_ms = self.now_ms + self.pay_within_ms;
        let order = Order {
            id,
            user,
            units,
            place,
            costs_minor,
            total_minor,
            state,
            version,
            pay_by_ms,
            units_back: false,
        };
        self.orders.insert(key.label, order);
        self.lock_coupons(key.label, &discounts);
        self.saw("an order was placed");
        self.pay_if_free(key.label);
        let facts = self.facts_of(key.label, 201);
        self.record(key, facts)
    }

    pub(super) fn move_order(&mut self, key: Key, order: Label, who: Who, wish: Wish) -> Said {
        let (state, delivery) = (self.orders[&order].state, self.orders[&order].place.delivery);
        if who == Who::Stranger {
            return self.refuse("order-not-found");
        }
        let takes_back = matches!(wish, Wish::Cancel | Wish::Recall);
        if who == Who::Diner && !takes_back {
            return self.refuse("forbidden");
        }
        let unpaid = matches!(state, State::PendingPayment | State::Closed);
        if takes_back && unpaid {
            self.close(order);
        } else if state != goal(wish) {
            let allowed = MOVES.iter().find(|(from, made, by, handing, _)| {
                (*from, *made, *by) == (state, wish, who) && handing.is_none_or(|it| it == delivery)
            });
            let Some((.., to)) = allowed else { return self.conflict(key, "invalid-transition") };
            self.go(order, *to);
            if matches!(to, State::Rejected | State::Cancelled) {
                self.undo(order, state == State::Paid || wish == Wish::Recall);
            }
            self.saw(format!("moved: {to:?}"));
        } else {
            self.saw("moved where it was already");
        }
        let facts = self.facts_of(order, 200);
        self.record(key, facts)
    }

    pub(super) fn close_unpaid(&mut self, order: Label) -> Said {
        let over = self.orders[&order].pay_by_ms <= self.now_ms;
        let closes = over && self.orders[&order].state == State::PendingPayment;
        if closes {
            self.close(order);
            self.saw("closed by the job");
        }
        Said::Flag(closes)
    }

    fn close(&mut self, order: Label) {
        if self.orders[&order].state != State::PendingPayment {
            return;
        }
        for (dish, units) in &self.orders[&order].units {
            self.dishes[*dish].reserved -= units;
        }
        self.go(order, State::Closed);
        self.give_coupons_back(order);
        self.give_up_payments(order);
        self.saw("closed unpaid");
    }

    /// The order's money is here, or there is none to wait for.
    pub(super) fn pay(&mut self, order: Label) {
        for (dish, units) in &self.orders[&order].units {
            self.dishes[*dish].reserved -= units;
            self.dishes[*dish].sold += units;
        }
        self.go(order, State::Paid);
        self.use_coupons_up(order);
    }

    /// An order that costs nothing waits for no money.
    pub(super) fn pay_if_free(&mut self, order: Label) {
        if self.orders[&order].total_minor == 0 {
            self.pay(order);
            self.saw("an order for nothing was paid");
        }
    }

    fn go(&mut self, order: Label, to: State) {
        let moved = self.orders.get_mut(&order).expect("the label was looked up");
        moved.state = to;
        moved.version += 1;
    }

    /// A paid order came to nothing: its money and coupons go back, and its units unless the kitchen had begun.
    fn undo(&mut self, order: Label, untouched: bool) {
        self.refund_order(order);
        self.hand_coupons_back(order);
        let row = self.orders.get_mut(&order).expect("the label was looked up");
        row.units_back = untouched;
        if untouched {
            for (dish, units) in &row.units {
                self.dishes[*dish].sold -= units;
            }
        }
        self.saw(if untouched { "units came back" } else { "units stayed sold" });
    }

    pub(super) fn facts_of(&self, label: Label, status: u16) -> Facts {
        let order = &self.orders[&label];
        let mut payments: Vec<_> =
            self.payments.values().filter(|pay| pay.order == label).collect();
        payments.sort_by_key(|pay| pay.id);
        let shown = payments
            .into_iter()
            .map(|pay| (pay.id, pay.state, pay.refund.as_ref().map(|refund| refund.state)));
        Facts::Order {
            status,
            id: order.id,
            state: order.state,
            version: order.version,
            total_minor: order.total_minor,
            payments: shown.collect(),
        }
    }
}
