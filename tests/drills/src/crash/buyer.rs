//! A client of the load: places orders, pays some, takes some back, leaves some to expire; sends some keys
//! twice at once, and hangs up early now and then.

use super::checks;
use super::journal::{Act, Basket, Entry, Journal};
use crate::http::{Answer, Call, Diner};
use crate::limits;
use crate::world::World;
use bytes::Bytes;
use serde_json::json;
use std::collections::BTreeMap;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;
use tiffin_fixtures::random::Random;

/// What all clients share.
pub struct Load {
    /// Where they buy.
    pub world: World,
    /// What they were told.
    pub journal: Journal,
    /// Whether it is over.
    pub over: AtomicBool,
    keys: AtomicU64,
}

impl Load {
    /// A load that has not begun.
    pub fn new(world: World) -> Self {
        let (journal, over, keys) = (Journal::default(), AtomicBool::new(false), AtomicU64::new(0));
        Self { world, journal, over, keys }
    }

    fn call(&self, diner: &Diner, path: String, body: Bytes) -> Call {
        let key = format!("drill-{}", self.keys.fetch_add(1, Ordering::Relaxed));
        Call { diner: diner.clone(), path, key, body }
    }
}

/// Of 100 keys, so many are sent twice at once, and so many by somebody who hangs up and tries again.
const TWINS_PERCENT: u64 = 3;
/// See [`TWINS_PERCENT`].
const IMPATIENT_PERCENT: u64 = 8;
/// Of 100 orders, so many are for the item that is about to sell out.
const SCARCE_PERCENT: u64 = 12;
/// Of 100 orders, so many are placed by diners who never pay.
const HOARDED_PERCENT: u64 = 2;

/// What a client does with an order that it has placed. The numbers are parts of 100.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Plan {
    Pay,
    FailThenPay,
    Cancel,
    PayThenCancel,
    PayWhileCancelling,
    PayAtTheLastMoment,
    Leave,
}

const PLANS: [(Plan, u64); 7] = [
    (Plan::Pay, 45),
    (Plan::FailThenPay, 6),
    (Plan::Cancel, 14),
    (Plan::PayThenCancel, 10),
    (Plan::PayWhileCancelling, 10),
    (Plan::PayAtTheLastMoment, 1),
    (Plan::Leave, 14),
];

fn draw_plan(random: &mut Random) -> Plan {
    let mut place = random.within(1..=100);
    for (plan, parts) in PLANS {
        if place <= parts {
            return plan;
        }
        place -= parts;
    }
    Plan::Leave
}

/// Buys until the load is over.
pub async fn run(load: &Load, mut random: Random) {
    while !load.over.load(Ordering::Relaxed) {
        let hoarded = random.percent(HOARDED_PERCENT);
        let (hoarders, others) = load.world.diners.split_at(limits::HOARDERS);
        let who = if hoarded { hoarders } else { others };
        let diner = &who[random.index(who.len())];
        let placed = place(load, diner, &mut random).await;
        if let Some(order) = placed.filter(|_| !hoarded) {
            go_on(load, diner, order, &mut random).await;
        }
        let pause_ms = random.within(limits::THINK_MS);
        tokio::time::sleep(Duration::from_millis(pause_ms)).await;
    }
}

async fn place(load: &Load, diner: &Diner, random: &mut Random) -> Option<i64> {
    let basket = draw_basket(load, random);
    let lines: Vec<_> = basket
        .lines
        .iter()
        .map(|(item, units)| json!({"item_id": item.to_string(), "quantity": units, "options": []}))
        .collect();
    let body = json!({
        "store_id": basket.store.to_string(), "fulfilment": {"kind": "pickup"}, "lines": lines,
    });
    let call = load.call(diner, "/v1/orders".to_owned(), body.to_string().into());
    tell(load, call, Act::Place(basket), random).await
}

fn draw_basket(load: &Load, random: &mut Random) -> Basket {
    let items = &load.world.items;
    let store = items[random.index(items.len())].store;
    let scarce = random.percent(SCARCE_PERCENT);
    let of_store: Vec<_> = items
        .iter()
        .filter(|item| item.store == store && (item.units == limits::SCARCE_UNITS) == scarce)
        .collect();
    let mut lines = BTreeMap::new();
    for _ in 0..random.within(1..=3) {
        let item = of_store[random.index(of_store.len())];
        lines.insert(item.id, if scarce { 1 } else { i64::from(random.percent(30)) + 1 });
    }
    Basket { store, lines }
}

async fn go_on(load: &Load, diner: &Diner, order: i64, random: &mut Random) {
    match draw_plan(random) {
        Plan::Pay => pay(load, diner, order, "sandbox_capture", random).await,
        Plan::FailThenPay => {
            pay(load, diner, order, "sandbox_fail", random).await;
            pay(load, diner, order, "sandbox_capture", random).await;
        }
        Plan::Cancel => cancel(load, diner, order, random).await,
        Plan::PayThenCancel => {
            pay(load, diner, order, "sandbox_capture", random).await;
            cancel(load, diner, order, random).await;
        }
        Plan::PayWhileCancelling => {
            let mut other = random.branch(1);
            let paying = pay(load, diner, order, "sandbox_capture", random);
            futures::join!(paying, cancel(load, diner, order, &mut other));
        }
        Plan::PayAtTheLastMoment => {
            let almost = Duration::from_secs(limits::PAY_WITHIN_S.into());
            let early = Duration::from_millis(random.within(0..=200));
            tokio::time::sleep(almost.saturating_sub(early)).await;
            pay(load, diner, order, "sandbox_capture", random).await;
        }
        Plan::Leave => {}
    }
}

async fn pay(load: &Load, diner: &Diner, order: i64, method: &str, random: &mut Random) {
    let body = json!({ "method": method }).to_string().into();
    let call = load.call(diner, format!("/v1/orders/{order}/payments"), body);
    tell(load, call, Act::Pay(order), random).await;
}

async fn cancel(load: &Load, diner: &Diner, order: i64, random: &mut Random) {
    let call = load.call(diner, format!("/v1/orders/{order}/cancel"), "{}".into());
    tell(load, call, Act::Cancel(order), random).await;
}

/// Sends a call until it is answered, and writes the answer down; the order that it placed.
async fn tell(load: &Load, call: Call, act: Act, random: &mut Random) -> Option<i64> {
    let http = &load.world.http;
    if random.percent(IMPATIENT_PERCENT) {
        let patience = Duration::from_millis(random.within(limits::IMPATIENT_MS));
        // Whatever came of it, the key finds out.
        _ = http.once(&call, patience).await;
    }
    let settled = if random.percent(TWINS_PERCENT) {
        let mut other = random.branch(2);
        let (one, two) = futures::join!(http.settle(&call, random), http.settle(&call, &mut other));
        if let (Some(one), Some(two)) = (&one, &two) {
            note_twins(load, &call, &act, &one.answer, &two.answer);
        }
        // The one that placed an order, if the other was turned away at the door.
        if two.as_ref().is_some_and(|two| two.answer.status < 400) { two } else { one }
    } else {
        http.settle(&call, random).await
    };
    let Some(settled) = settled else {
        let told = format!("POST {}, key {}", call.path, call.key);
        load.journal.pages().violations.note(checks::ANSWERED, told);
        return None;
    };
    let entry = Entry::new(call, act, &settled.answer);
    let found = checks::check_plausible(&entry);
    let placed = entry.placed;
    load.journal.note(entry, &settled);
    load.journal.pages().violations.merge(found);
    placed
}

/// Twins have one answer, unless one was turned away at the door, which is no answer to the key.
fn note_twins(load: &Load, call: &Call, act: &Act, one: &Answer, two: &Answer) {
    let at_door =
        |answer: &Answer| Entry::new(call.clone(), act.clone(), answer).may_be_unrecorded();
    if one != two && !at_door(one) && !at_door(two) {
        let told = format!("key {}: {} and {}", call.key, one.shown(), two.shown());
        load.journal.pages().violations.note(checks::TWINS, told);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn plans_come_as_often_as_they_should() {
        assert_eq!(PLANS.iter().map(|(_, parts)| parts).sum::<u64>(), 100);
        let mut random = Random::seeded(3);
        let drawn: Vec<_> = (0..10_000).map(|_| draw_plan(&mut random)).collect();
        for (plan, parts) in PLANS {
            let count = drawn.iter().filter(|drawn| **drawn == plan).count();
            let wanted = usize::try_from(parts * 100).unwrap();
            assert!(count.abs_diff(wanted) < 100 + wanted / 5, "{plan:?}: {count}, not {wanted}");
        }
    }
}
