//! The admission gate in process: the same moves as Redis's scripts, each under one lock.

use super::expiring::Expiring;
use crate::fast::{Admission, Admit, GateTag, sum, totals};
use crate::limits;
use std::collections::HashMap;

/// The gates behind one lock.
#[derive(Debug)]
pub(super) struct Shard {
    left: HashMap<(GateTag, i64), i64>,
    held: Expiring<(GateTag, i64), i64>,
    seen: Expiring<(GateTag, String), ()>,
}

impl Shard {
    pub(super) fn new() -> Self {
        Self {
            left: HashMap::new(),
            held: Expiring::new(limits::GATE_REMEMBERED),
            seen: Expiring::new(limits::GATE_REMEMBERED),
        }
    }

    pub(super) fn admit(&mut self, admission: &Admission<'_>, now_ms: i64) -> Admit {
        let (tag, totals) = (admission.tag, totals(admission.wants));
        let seen = (tag, admission.request.to_owned());
        if self.seen.get(&seen, now_ms).is_some() {
            return Admit::Repeat;
        }
        let mut sold_out = None;
        for (item, units) in &totals {
            match self.left.get(&(tag, *item)) {
                None => return Admit::Unknown,
                Some(left) if left < units => {
                    sold_out = sold_out.or(Some(Admit::SoldOut { item: *item }));
                }
                Some(_) => {}
            }
        }
        if let Some(sold_out) = sold_out {
            return sold_out;
        }
        let units = sum(&totals);
        let held = self.held(tag, admission.user, now_ms).saturating_add(units);
        if held > admission.held_cap_units {
            return Admit::OverCap;
        }
        for (item, units) in totals {
            self.left.entry((tag, item)).and_modify(|left| *left -= units);
        }
        self.set_held(tag, admission.user, held, now_ms);
        self.seen.set(seen, (), now_ms.saturating_add(limits::GATE_SEEN_MS), now_ms);
        Admit::Admitted
    }

    pub(super) fn give_back(&mut self, admission: &Admission<'_>, now_ms: i64) -> bool {
        let seen = (admission.tag, admission.request.to_owned());
        if self.seen.remove(&seen, now_ms).is_none() {
            return false;
        }
        self.release(admission.tag, admission.user, admission.wants, now_ms);
        true
    }

    pub(super) fn release(&mut self, tag: GateTag, user: i64, items: &[(i64, i64)], now_ms: i64) {
        let totals = totals(items);
        for (item, units) in &totals {
            self.left.entry((tag, *item)).and_modify(|left| *left = left.saturating_add(*units));
        }
        self.settle(tag, user, sum(&totals), now_ms);
    }

    pub(super) fn settle(&mut self, tag: GateTag, user: i64, units: i64, now_ms: i64) {
        // What is not known to be held must not come to be by being settled.
        if let Some(held) = self.held.get(&(tag, user), now_ms) {
            let rest = held.saturating_sub(units);
            self.set_held(tag, user, rest, now_ms);
        }
    }

    pub(super) fn load(&mut self, tag: GateTag, left: &[(i64, i64)], overwrite: bool) {
        for (item, units) in left {
            let known = self.left.contains_key(&(tag, *item));
            let fits = known || self.left.len() < limits::GATE_COUNTERS;
            if fits && (overwrite || !known) {
                self.left.insert((tag, *item), *units);
            }
        }
    }

    pub(super) fn forget(&mut self, tag: GateTag, items: &[i64]) {
        for item in items {
            self.left.remove(&(tag, *item));
        }
    }

    pub(super) fn counters(&self, tag: GateTag, items: &[i64]) -> Vec<Option<i64>> {
        items.iter().map(|item| self.left.get(&(tag, *item)).copied()).collect()
    }

    pub(super) fn held(&self, tag: GateTag, user: i64, now_ms: i64) -> i64 {
        self.held.get(&(tag, user), now_ms).copied().unwrap_or(0)
    }

    pub(super) fn set_held(&mut self, tag: GateTag, user: i64, units: i64, now_ms: i64) {
        if units > 0 {
            let end_ms = now_ms.saturating_add(limits::GATE_HELD_MS);
            self.held.set((tag, user), units, end_ms, now_ms);
        } else {
            self.held.remove(&(tag, user), now_ms);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_user_holds_is_remembered_for_as_long_as_any_order_may_stay_unpaid() {
        let (mut shard, tag) = (Shard::new(), GateTag::Store(1));
        shard.load(tag, &[(5, 10)], true);
        let ask =
            |request| Admission { tag, user: 7, request, wants: &[(5, 2)], held_cap_units: 3 };
        assert_eq!(shard.admit(&ask("a"), 0), Admit::Admitted);
        let deadline_ms = limits::PAY_WITHIN_MOST_S * 1_000;
        assert_eq!(shard.held(tag, 7, deadline_ms), 2);
        assert_eq!(shard.admit(&ask("b"), deadline_ms), Admit::OverCap);
        assert_eq!(shard.held(tag, 7, limits::GATE_HELD_MS), 0, "and not for ever");
    }
}
