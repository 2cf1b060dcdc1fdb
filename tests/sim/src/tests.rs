//! The simulation held to its own promises: the same bytes from the same seed, every kind of trouble met, and
//! every broken rule noticed and made short.

use crate::history::{
    Act, Batch, Fault, Label, Line, Mishap, Place, Shelf, Step, Upset, What, Who, Wish,
};
use crate::rules::Memory;
use crate::run::{Plan, draw, replay};
use crate::shrink::shrink;
use crate::submit::Sabotage;
use std::collections::BTreeMap;
use tiffin_api::payment::{PaymentMethod, ProviderOutcome};

const PLAN: Plan = Plan { steps: 60, sabotage: None };

#[test]
fn a_seed_gives_the_same_bytes_twice_and_another_seed_others() {
    let first = draw(1, &PLAN).unwrap();
    assert!(first.violation.is_none(), "{:?}", first.violation);
    assert_eq!(draw(1, &PLAN).unwrap().log, first.log);
    assert_eq!(replay(1, &PLAN, &first.steps).unwrap().log, first.log, "played as it was drawn");
    assert_ne!(draw(2, &PLAN).unwrap().log, first.log);
}

#[test]
fn fifty_seeds_break_no_rule_and_meet_every_kind_of_trouble() {
    let mut seen = BTreeMap::new();
    for seed in 1..=50 {
        let played = draw(seed, &PLAN).unwrap();
        assert_eq!(played.violation, None, "seed {seed}");
        for (what, times) in played.seen {
            *seen.entry(what).or_insert(0_u64) += times;
        }
    }
    let faults = ["Begun", "Loaded", "Decided", "Saved", "Committed"]
        .into_iter()
        .flat_map(|at| ["crashed", "stumbled", "out"].map(|how| format!("fault: {how} at {at}")));
    let met = [
        "fault: killed while idle",
        "fault: crashed in the commit",
        "fault: a command panicked",
        "fault: the database refused a command",
        "fault: an answer was lost",
        "fault: a question to the provider was lost",
        "fault: an answer of the provider was lost",
        "fault: a webhook was Forged",
        "fault: a webhook was Old",
        "fault: a webhook contradicted its payment",
        "clock: back",
        "clock: forwards",
        "a request was sent again",
        "replayed",
        "a price was edited",
        "an order was placed",
        "let in by the gate",
        "turned away: sold out",
        "turned away: over the cap",
        "a sweep repaired a counter",
        "fast store: lost everything",
        "fast store: is gone",
        "fast store: is back",
        "fast store: counts too low",
        "fast store: counts below nothing",
        "fast store: counts otherwise",
        "fast store: miscounts what a user holds",
        "fast store: forgets a request",
        "fast store: takes a request for a repeated one",
        "fault: another core took a node over",
        "the core moved to another node",
        "closed by the job",
        "a payment went on where it stood",
        "a capture paid an order",
        "an order for nothing was paid",
        "a job's question brought news",
        "a webhook brought news",
        "a webhook was heard again",
        "a webhook was old news",
        "money came for an order that is Closed",
        "a refund failed",
        "a refund went back",
        "moved: Completed",
        "moved: Cancelled",
        "moved: Rejected",
        "moved where it was already",
        "a coupon was claimed",
        "a coupon was redeemed",
        "a coupon was used up",
        "a coupon came back",
        "a used coupon came back",
        "units came back",
        "units stayed sold",
        "a coupon expired",
        "a coupon was withdrawn",
        "refused: coupon-already-claimed",
        "refused: coupon-expired",
        "refused: coupon-first-order-only",
        "refused: coupon-locked",
        "refused: coupon-sold-out",
        "refused: coupon-voided",
        "refused: forbidden",
        "refused: hold-limit-reached",
        "refused: idempotency-key-reused",
        "refused: invalid-transition",
        "refused: order-not-found",
        "refused: out-of-stock",
        "refused: payment-in-progress",
        "refused: price-changed",
        "refused: store-closed",
        "refused: validation-failed",
    ];
    let calls = ["admit", "give_back", "load"]
        .into_iter()
        .flat_map(|call| ["Lost", "AnswerLost", "Late", "gone"].map(|how| (call, how)))
        .map(|(call, how)| format!("fast store: {call} was {how}"));
    let missed: Vec<String> = met
        .into_iter()
        .map(str::to_owned)
        .chain(faults)
        .chain(calls)
        .filter(|it| !seen.contains_key(it))
        .collect();
    assert!(missed.is_empty(), "never met: {missed:?}");
}

/// Requests that reach the engine at one moment, each under its label.
fn together(requests: &[(Label, What)]) -> Step {
    let act = |(label, what): &(Label, What)| Act::Request {
        label: *label,
        what: what.clone(),
        other_body: false,
        lost: false,
    };
    Step::Batch(Batch { acts: requests.iter().map(act).collect(), fault: Fault::None })
}

fn order(coupons: &[Label]) -> What {
    let (user, lines) = (1, vec![(0, 1), (1, 1), (2, 1)]);
    let coupons = coupons.to_vec();
    What::Place(Place { user, store: 0, lines, delivery: true, coupons, quote: None })
}

/// Plays steps from some starts, so that prices and stock do not hide what they show.
fn holds(steps: &[Step], met: &str) {
    let mut seen = 0;
    for seed in 1..=4 {
        let played = replay(seed, &PLAN, steps).unwrap();
        assert_eq!(played.violation, None, "seed {seed}");
        seen += played.seen.get(met).copied().unwrap_or(0);
    }
    assert!(seen > 0, "never met: {met}");
}

#[test]
fn an_order_that_closes_in_the_same_batch_is_no_other_order() {
    let first_order_only = What::Claim(2, 1);
    let steps = [
        together(&[(1, order(&[])), (2, first_order_only)]),
        together(&[(3, What::Move(1, Who::Diner, Wish::Cancel)), (4, order(&[2]))]),
    ];
    holds(&steps, "a coupon was locked");
}

#[test]
fn a_closed_order_does_not_use_the_coupon_that_it_gave_back() {
    let steps = [
        together(&[(1, What::Claim(1, 1))]),
        together(&[(2, order(&[1]))]),
        together(&[(3, What::Move(2, Who::Diner, Wish::Cancel))]),
        together(&[(4, What::Redeem(2, 1))]),
    ];
    holds(&steps, "refused: invalid-transition");
}

#[test]
fn money_of_another_amount_than_the_price_goes_back() {
    let steps = [
        together(&[(1, order(&[])), (2, What::Claim(1, 1))]),
        together(&[(3, What::Pay(1, PaymentMethod::SandboxFail))]),
        Step::Ask(3, Line::Good),
        Step::Batch(Batch { acts: vec![Act::Conclude(3)], fault: Fault::None }),
        together(&[(4, What::Redeem(1, 2))]),
        Step::Decide(3, ProviderOutcome::Captured),
    ];
    holds(&steps, "money came for an order that has another price");
}

#[test]
fn a_retry_finds_its_answer_when_all_is_sold_and_the_gate_remembers_nothing() {
    let all = Shelf::Dish(0);
    let steps = [
        together(&[(1, order(&[]))]),
        Step::Fast(Upset::Emptied),
        Step::Fast(Upset::Counter(all, 0)),
        together(&[(1, order(&[])), (2, order(&[]))]),
    ];
    holds(&steps, "replayed");
    holds(&steps, "turned away: sold out");
}

#[test]
fn a_store_that_was_gone_is_found_back_and_a_wrong_counter_set_right() {
    let steps = [
        together(&[(1, order(&[]))]),
        Step::Repair,
        Step::Fast(Upset::Gone),
        together(&[(2, order(&[])), (3, order(&[]))]),
        together(&[(4, What::Move(1, Who::Diner, Wish::Cancel))]),
        Step::Repair,
        Step::Fast(Upset::Counter(Shelf::Kind(1), -3)),
        Step::Fast(Upset::Back),
    ];
    holds(&steps, "a sweep repaired a counter");
    holds(&steps, "fast store: give_back was gone");
}

/// Breaks a rule until a history shows it; returns the rule, and how many steps the shortest one has.
fn caught(sabotage: Sabotage) -> (&'static str, usize) {
    let plan = Plan { sabotage: Some(sabotage), ..PLAN };
    for seed in 1..=50 {
        let played = draw(seed, &plan).unwrap();
        if played.violation.is_some() {
            let short = shrink(seed, &plan, played).unwrap();
            let again = replay(seed, &plan, &short.steps).unwrap();
            assert_eq!(again.violation, short.violation, "the short history shows it again");
            return (short.violation.expect("it was broken").rule, short.steps.len());
        }
    }
    panic!("{sabotage:?} went unnoticed");
}

#[test]
fn an_order_without_its_key_is_noticed() {
    let (rule, steps) = caught(Sabotage::ForgetKeys);
    assert_eq!(rule, "the ledger agrees with the model");
    assert!(steps <= 2, "{steps}");
}

#[test]
fn stock_that_a_closed_order_keeps_is_noticed() {
    let (rule, steps) = caught(Sabotage::LeakStock);
    assert_eq!(rule, "reserved stock is that of unpaid orders");
    assert!(steps <= 3, "{steps}");
}

#[test]
fn a_webhook_that_is_heard_twice_is_noticed() {
    let (rule, steps) = caught(Sabotage::HearAgain);
    assert_eq!(rule, "the ledger agrees with the model");
    assert!(steps <= 6, "{steps}");
}

#[test]
fn a_refund_that_never_went_out_is_noticed() {
    let (_, steps) = caught(Sabotage::DropRefunds);
    assert!(steps <= 10, "{steps}");
}

#[test]
fn a_gate_that_nobody_repairs_is_noticed() {
    let (rule, steps) = caught(Sabotage::LeaveGate);
    assert_eq!(rule, "the gate heals");
    assert!(steps <= 1, "{steps}");
}

#[test]
fn a_gate_that_refuses_known_keys_is_noticed() {
    let (rule, steps) = caught(Sabotage::RefuseKnown);
    assert_eq!(rule, "nobody is kept from an answer");
    assert!(steps <= 4, "{steps}");
}

#[test]
fn a_call_to_the_fast_store_may_take_effect_when_nobody_waits_any_more() {
    let late = Upset::Calls { after: 0, calls: 1, how: Mishap::Late };
    let steps = [
        together(&[(1, order(&[]))]),
        Step::Repair,
        Step::Fast(late),
        together(&[(2, order(&[]))]),
    ];
    holds(&steps, "fast store: admit was Late");
}

#[test]
fn an_id_that_repeats_is_noticed() {
    let mut memory = Memory::default();
    assert_eq!([1, 2].map(|id| memory.mint(id)), [Ok(()), Ok(())]);
    assert_eq!(memory.mint(1).unwrap_err().rule, "ids never repeat");
}
