//! The simulation held to its own promises: the same bytes from the same seed, every kind of trouble met, and
//! every broken rule noticed and made short.

use crate::run::{Plan, draw, replay};
use crate::shrink::shrink;
use crate::submit::Sabotage;
use std::collections::BTreeMap;

const PLAN: Plan = Plan { steps: 50, sabotage: None };

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
        "closed by the job",
        "a payment went on where it stood",
        "a capture paid an order",
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
    let missed: Vec<String> = met
        .into_iter()
        .map(str::to_owned)
        .chain(faults)
        .filter(|it| !seen.contains_key(it))
        .collect();
    assert!(missed.is_empty(), "never met: {missed:?}");
}

/// Breaks a rule until a history shows it; returns the rule, and how many steps the shortest one has.
fn caught(sabotage: Sabotage) -> (&'static str, usize) {
    let plan = Plan { sabotage: Some(sabotage), ..PLAN };
    for seed in 1..=10 {
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
