//! Coupons in the model: counted by looking at all of them, whatever counters the core keeps.

use super::{Coupon, Model};
use crate::command::{Facts, Key, Said};
use crate::history::{Label, Place};
use tiffin_api::coupon::CouponState as State;
use tiffin_api::order::OrderState;
use tiffin_api::payment::PaymentState;

/// Milliseconds of a day.
const DAY_MS: i64 = 24 * 3_600 * 1_000;

impl Model {
    pub(super) fn claim(&mut self, key: Key, kind: usize, user: i64, id: i64) -> Said {
        let now_ms = self.now_ms;
        let terms = &self.terms[kind];
        let count = |counts: &dyn Fn(&Coupon) -> bool| {
            let coupons = self.coupons.values().filter(|coupon| coupon.kind == kind);
            i64::try_from(coupons.filter(|coupon| counts(coupon)).count()).unwrap_or(i64::MAX)
        };
        let today =
            |coupon: &Coupon| coupon.claimed_at_ms.div_euclid(DAY_MS) == now_ms.div_euclid(DAY_MS);
        let own = count(&|coupon| coupon.user == user);
        let own_today = count(&|coupon| coupon.user == user && today(coupon));
        let has_all = terms.per_user.is_some_and(|cap| own >= cap)
            || terms.per_user_per_day.is_some_and(|cap| own_today >= cap);
        let all_gone = self.all_claimed(kind);
        let expires_at_ms = now_ms + terms.valid_for_ms;
        if has_all {
            return self.conflict(key, "coupon-already-claimed");
        }
        if all_gone {
            return self.conflict(key, "coupon-sold-out");
        }
        let coupon = Coupon {
            id,
            kind,
            user,
            state: State::Claimed,
            order: None,
            discount_minor: 0,
            claimed_at_ms: now_ms,
            expires_at_ms,
        };
        self.coupons.insert(key.label, coupon);
        self.saw("a coupon was claimed");
        self.record(key, Facts::Coupon { status: 201, id, state: State::Claimed })
    }

    /// Whether no more coupons of a kind may be claimed, by anybody.
    pub(super) fn all_claimed(&self, kind: usize) -> bool {
        let claimed = self.coupons.values().filter(|coupon| coupon.kind == kind).count();
        i64::try_from(claimed).unwrap_or(i64::MAX) >= self.terms[kind].total
    }

    pub(super) fn redeem(&mut self, key: Key, order: Label, coupon: Label) -> Said {
        let known = self.orders[&order].clone();
        if self.coupons[&coupon].order == Some(order) {
            let facts = self.facts_of(order, 200);
            return self.record(key, facts);
        }
        if known.state != OrderState::PendingPayment || self.now_ms >= known.pay_by_ms {
            return self.conflict(key, "invalid-transition");
        }
        let open = |state| !matches!(state, PaymentState::Failed | PaymentState::Canceled);
        if self.payments.values().any(|pay| pay.order == order && open(pay.state)) {
            return self.conflict(key, "payment-in-progress");
        }
        let held = self.coupons.iter().filter(|(_, held)| held.order == Some(order));
        let wanted: Vec<Label> = held.map(|(label, _)| *label).chain([coupon]).collect();
        let discounts = match self.discounts(known.user, Some(order), &known.place, &wanted) {
            Ok(discounts) => discounts,
            Err(code) => return self.coupon_refused(key, code),
        };
        if self.costs_of(&known.place) != known.costs_minor {
            return self.conflict(key, "price-changed");
        }
        let off_minor: i64 = discounts.iter().map(|(_, amount_minor)| amount_minor).sum();
        let row = self.orders.get_mut(&order).expect("the label was looked up");
        row.total_minor = row.costs_minor.iter().sum::<i64>() - off_minor;
        row.version += 1;
        self.lock_coupons(order, &discounts);
        self.saw("a coupon was redeemed");
        self.pay_if_free(order);
        let facts = self.facts_of(order, 200);
        self.record(key, facts)
    }

    pub(super) fn void(&mut self, key: Key, label: Label) -> Said {
        let coupon = self.coupons.get_mut(&label).expect("the label was looked up");
        if !matches!(coupon.state, State::Claimed | State::Voided) {
            return self.conflict(key, "invalid-transition");
        }
        coupon.state = State::Voided;
        let id = coupon.id;
        self.saw("a coupon was withdrawn");
        self.record(key, Facts::Coupon { status: 200, id, state: State::Voided })
    }

    pub(super) fn expire(&mut self, label: Label) -> Said {
        let now_ms = self.now_ms;
        let coupon = self.coupons.get_mut(&label).expect("the label was looked up");
        let over = coupon.state == State::Claimed && coupon.expires_at_ms <= now_ms;
        if over {
            coupon.state = State::Expired;
            self.saw("a coupon expired");
        }
        Said::Flag(over)
    }

    /// What coupons take off a basket, or the first reason why one does not.
    pub(super) fn discounts(
        &self,
        user: i64,
        order: Option<Label>,
        place: &Place,
        wanted: &[Label],
    ) -> Result<Vec<(Label, i64)>, &'static str> {
        let mut wanted: Vec<(Label, &Coupon)> =
            wanted.iter().map(|label| (*label, &self.coupons[label])).collect();
        wanted.sort_by_key(|(_, coupon)| coupon.id);
        for (_, coupon) in &wanted {
            self.may_use(user, order, coupon)?;
        }
        wanted
            .sort_by_key(|(_, coupon)| (self.terms[coupon.kind].amount_minor.is_none(), coupon.id));
        let costs_minor = self.costs_of(place);
        let (fee_minor, dishes_minor) = match costs_minor.split_last() {
            Some((fee_minor, dishes)) => (*fee_minor, dishes.iter().sum::<i64>()),
            None => (0, 0),
        };
        let (mut left_minor, mut fee_left_minor) = (dishes_minor, fee_minor);
        let (mut categories, mut discounts) = (Vec::new(), Vec::new());
        for (label, coupon) in wanted {
            let terms = &self.terms[coupon.kind];
            if categories.contains(&terms.category) {
                return Err("coupon-not-stackable");
            }
            if dishes_minor < terms.minimum_minor {
                return Err("coupon-minimum-not-met");
            }
            let from =
                if terms.amount_minor.is_some() { &mut left_minor } else { &mut fee_left_minor };
            let amount_minor = terms.amount_minor.unwrap_or(i64::MAX).min(*from);
            if amount_minor == 0 {
                return Err("coupon-not-applicable");
            }
            let others = self.coupons.values().filter(|other| {
                other.kind == coupon.kind && (order.is_none() || other.order != order)
            });
            let spent_minor: i64 = others.map(|other| other.discount_minor).sum();
            if terms.budget_minor.is_some_and(|budget| spent_minor + amount_minor > budget) {
                return Err("coupon-budget-spent");
            }
            *from -= amount_minor;
            categories.push(terms.category);
            discounts.push((label, amount_minor));
        }
        Ok(discounts)
    }

    /// What a basket costs now, if its coupons help, minor units.
    pub(crate) fn total_of(&self, place: &Place) -> i64 {
        let discounts = self.discounts(place.user, None, place, &place.coupons).unwrap_or_default();
        let off_minor: i64 = discounts.iter().map(|(_, amount_minor)| amount_minor).sum();
        self.costs_of(place).iter().sum::<i64>() - off_minor
    }

    fn may_use(
        &self,
        user: i64,
        order: Option<Label>,
        coupon: &Coupon,
    ) -> Result<(), &'static str> {
        if coupon.user != user {
            return Err("coupon-not-found");
        }
        let held = order.is_some() && coupon.state == State::Locked && coupon.order == order;
        match coupon.state {
            _ if held => {}
            State::Locked => return Err("coupon-locked"),
            State::Used => return Err("coupon-used"),
            State::Voided => return Err("coupon-voided"),
            State::Expired => return Err("coupon-expired"),
            State::Claimed | State::Unclaimed if coupon.expires_at_ms <= self.now_ms => {
                return Err("coupon-expired");
            }
            State::Claimed | State::Unclaimed if self.now_ms < coupon.claimed_at_ms => {
                return Err("coupon-not-started");
            }
            State::Claimed | State::Unclaimed => {}
        }
        let other = self.orders.iter().any(|(label, other)| {
            let void = matches!(
                other.state,
                OrderState::Closed | OrderState::Rejected | OrderState::Cancelled
            );
            other.user == user && !void && Some(*label) != order
        });
        if self.terms[coupon.kind].first_order && other {
            return Err("coupon-first-order-only");
        }
        Ok(())
    }

    /// A coupon does not help: what was decided on the state of things is kept.
    pub(super) fn coupon_refused(&mut self, key: Key, code: &'static str) -> Said {
        match code {
            "coupon-locked"
            | "coupon-used"
            | "coupon-not-started"
            | "coupon-first-order-only"
            | "coupon-budget-spent"
            | "coupon-expired"
            | "coupon-voided" => self.conflict(key, code),
            _ => self.refuse(code),
        }
    }

    pub(super) fn lock_coupons(&mut self, order: Label, discounts: &[(Label, i64)]) {
        for (label, amount_minor) in discounts {
            let coupon = self.coupons.get_mut(label).expect("it was looked up");
            coupon.state = State::Locked;
            coupon.order = Some(order);
            coupon.discount_minor = *amount_minor;
            self.saw("a coupon was locked");
        }
    }

    pub(super) fn use_coupons_up(&mut self, order: Label) {
        for coupon in self.coupons.values_mut().filter(|coupon| coupon.order == Some(order)) {
            coupon.state = State::Used;
            *self.seen.entry("a coupon was used up".to_owned()).or_default() += 1;
        }
    }

    pub(super) fn give_coupons_back(&mut self, order: Label) {
        for coupon in self.coupons.values_mut().filter(|coupon| coupon.order == Some(order)) {
            let over = coupon.expires_at_ms <= self.now_ms;
            coupon.state = if over { State::Expired } else { State::Claimed };
            coupon.order = None;
            coupon.discount_minor = 0;
            *self.seen.entry("a coupon came back".to_owned()).or_default() += 1;
        }
    }

    pub(super) fn hand_coupons_back(&mut self, order: Label) {
        let least_ms = self.now_ms + DAY_MS;
        for coupon in self.coupons.values_mut().filter(|coupon| coupon.order == Some(order)) {
            coupon.state = State::Claimed;
            coupon.order = None;
            coupon.discount_minor = 0;
            coupon.expires_at_ms = coupon.expires_at_ms.max(least_ms);
            *self.seen.entry("a used coupon came back".to_owned()).or_default() += 1;
        }
    }
}
