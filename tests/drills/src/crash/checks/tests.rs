//! Each rule is broken once, and that rule says so.

use super::*;
use crate::http::{Call, Diner};
use crate::ledger::Order;
use bytes::Bytes;
use serde_json::{Value, json};
use std::collections::BTreeMap;
use tiffin_api::id::UserId;
use tiffin_api::problem::Problem;

const USER: i64 = 7;

fn basket() -> Basket {
    Basket { store: 3, lines: BTreeMap::from([(1, 2)]) }
}

fn call(key: &str) -> Call {
    let diner = Diner { id: UserId::from_raw(USER), token: "t".into() };
    Call { diner, path: "/v1/orders".to_owned(), key: key.to_owned(), body: Bytes::new() }
}

fn answer(status: u16, body: &Value) -> Answer {
    Answer { status, body: body.to_string().into() }
}

fn refused(code: ErrorCode) -> Answer {
    let body = serde_json::to_vec(&Problem::new(code, "")).unwrap().into();
    Answer { status: code.status(), body }
}

fn placed(key: &str, order: i64) -> Entry {
    let told = answer(201, &json!({"id": order.to_string(), "state": "PENDING_PAYMENT"}));
    Entry::new(call(key), Act::Place(basket()), &told)
}

fn cancelled(key: &str, order: i64, told: &str) -> Entry {
    Entry::new(call(key), Act::Cancel(order), &answer(200, &json!({"state": told})))
}

fn ledger(entries: &[Entry], orders: &[(i64, OrderState)]) -> Ledger {
    let order = |state| {
        let lines = basket().lines;
        Order { user: USER, store: 3, state, total_minor: 5, lines }
    };
    Ledger {
        orders: orders.iter().map(|(id, state)| (*id, order(*state))).collect(),
        scopes: entries.iter().map(|entry| entry.call.scope()).collect(),
        ..Ledger::default()
    }
}

#[test]
fn acknowledged_orders_are_all_there_and_no_others() {
    let entries = [placed("a", 1), placed("b", 2), cancelled("c", 2, "CLOSED")];
    let sound = ledger(&entries, &[(1, OrderState::Paid), (2, OrderState::Closed)]);
    assert_eq!(check_answers(&sound, &entries), Violations::default());
    assert_eq!(check_present(&sound, &[1, 2]), Violations::default());
    assert_eq!(check_present(&sound, &[1, 3]).count(ACKNOWLEDGED), 1);

    let lost = ledger(&entries, &[(2, OrderState::Closed)]);
    assert_eq!(check_answers(&lost, &entries).count(ACKNOWLEDGED), 1);
    let twice = ledger(&entries, &[1, 2, 3].map(|id| (id, OrderState::Closed)));
    assert_eq!(check_answers(&twice, &entries).count(ACCOUNTED), 1);
    let shared = [placed("a", 1), placed("b", 1)];
    let one = ledger(&shared, &[(1, OrderState::Paid)]);
    assert_eq!(check_answers(&one, &shared).count(ACCOUNTED), 1);

    let mut other = ledger(&entries, &[(1, OrderState::Paid), (2, OrderState::Closed)]);
    other.orders.get_mut(&1).unwrap().lines.insert(1, 3);
    assert_eq!(check_answers(&other, &entries).count(ACKNOWLEDGED), 1);
}

#[test]
fn answers_have_records_and_refusals_at_the_door_need_none() {
    let sold_out = Entry::new(call("a"), Act::Place(basket()), &refused(ErrorCode::OutOfStock));
    let too_late = Entry::new(call("b"), Act::Pay(1), &refused(ErrorCode::InvalidTransition));
    let empty = ledger(&[], &[]);
    assert!(check_answers(&empty, &[sold_out]).is_empty());
    assert_eq!(check_answers(&empty, &[too_late]).count(RECORDED), 1);
}

#[test]
fn states_go_on_and_never_back() {
    for (entry, state, holds) in [
        (cancelled("a", 1, "CLOSED"), OrderState::Closed, true),
        (cancelled("a", 1, "CLOSED"), OrderState::Paid, false),
        (cancelled("a", 1, "CANCELLED"), OrderState::Cancelled, true),
        (cancelled("a", 1, "CANCELLED"), OrderState::Paid, false),
        (cancelled("a", 1, "PAID"), OrderState::Paid, false),
    ] {
        let entries = [placed("p", 1), entry];
        let found = check_answers(&ledger(&entries, &[(1, state)]), &entries);
        assert_eq!(found.is_empty(), holds, "{state:?}: {found}");
    }
    let captured = answer(201, &json!({"state": "CAPTURED"}));
    let paid = Entry::new(call("b"), Act::Pay(1), &captured);
    let entries = [placed("p", 1), paid];
    let unpaid = ledger(&entries, &[(1, OrderState::PendingPayment)]);
    assert_eq!(check_answers(&unpaid, &entries).count(STATE), 1);
}

#[test]
fn a_replay_differs_by_one_byte_or_by_its_status() {
    let first = answer(201, &json!({"id": "1"}));
    let entry = Entry::new(call("a"), Act::Place(basket()), &first);
    assert!(check_replay(&entry, &first).is_empty());
    let other_body = answer(201, &json!({"id": "2"}));
    let other_status = Answer { status: 200, ..first };
    for again in [other_body, other_status] {
        assert_eq!(check_replay(&entry, &again).count(REPLAYED), 1);
    }
}

#[test]
fn a_retry_that_leaves_a_trace_is_noticed() {
    let before = ledger(&[], &[(1, OrderState::Paid)]);
    assert!(check_untouched(&before, &before.clone()).is_empty());
    let after = ledger(&[placed("a", 2)], &[(1, OrderState::Paid), (2, OrderState::Closed)]);
    assert_eq!(check_untouched(&before, &after).count(NO_EFFECT), 2);
}

#[test]
fn an_answer_outside_the_contract_is_noticed() {
    for (act, said, plausible) in [
        (Act::Place(basket()), refused(ErrorCode::OutOfStock), true),
        (Act::Place(basket()), refused(ErrorCode::StoreClosed), false),
        (Act::Pay(1), refused(ErrorCode::OrderNotFound), false),
        (Act::Pay(1), refused(ErrorCode::PaymentInProgress), true),
        (Act::Cancel(1), refused(ErrorCode::PaymentInProgress), false),
        (Act::Cancel(1), answer(201, &json!({})), false),
        (Act::Cancel(1), answer(200, &json!({})), true),
        (Act::Place(basket()), answer(413, &json!("not a problem")), false),
    ] {
        let entry = Entry::new(call("a"), act, &said);
        assert_eq!(check_plausible(&entry).is_empty(), plausible, "{}", said.shown());
    }
}
