//! Payments: one capture per order, whatever the provider says, how often, and in what order.

use crate::support::{Core, DINER, text};
use core_service::limits;
use serde_json::{Value, json};
use tiffin_api::token::Role;

fn event(id: &str, payment: &Value, outcome: &str) -> Value {
    json!({
        "event_id": id, "payment_id": payment["id"], "outcome": outcome,
        "amount_minor": payment["amount_minor"], "currency": payment["currency"],
    })
}

#[tokio::test]
async fn a_capture_pays_the_order_and_commits_its_stock() {
    let core = Core::start().await;
    let order = core.tea_order().await;
    let tea = text(&order["lines"][0]["item_id"]).to_owned();
    assert_eq!(core.stock(&tea).await, (1000, 998, 2));
    let payment = core.pay(&order, "sandbox_capture").await.expect(201);
    assert_eq!(payment["state"], "CAPTURED");
    assert_eq!(payment["amount_minor"], order["total_minor"]);
    let paid = core.order(&order["id"]).await;
    assert_eq!(paid["state"], "PAID");
    assert_eq!(paid["payments"][0]["id"], payment["id"]);
    assert_eq!(core.stock(&tea).await, (998, 998, 0));
    core.pay(&order, "sandbox_capture").await.problem(409, "invalid-transition");
}

#[tokio::test]
async fn a_retried_payment_is_the_same_payment() {
    let core = Core::start().await;
    let order = core.tea_order().await;
    let path = format!("/v1/orders/{}/payments", text(&order["id"]));
    let body = json!({"method": "sandbox_capture"});
    let post = || core.post_as(DINER, &[Role::Diner], &path, "pay", &body);
    let (first, second) = (post().await, post().await);
    first.expect(201);
    assert_eq!(first.bytes, second.bytes);
    assert_eq!(core.count("SELECT COUNT(*) FROM payments").await, 1);
}

#[tokio::test]
async fn a_declined_payment_leaves_room_for_another_try() {
    let core = Core::start().await;
    let order = core.tea_order().await;
    let failed = core.pay(&order, "sandbox_fail").await.expect(201);
    assert_eq!(failed["state"], "FAILED");
    assert_eq!(failed["failure"], "the sandbox declines this payment");
    assert_eq!(core.order(&order["id"]).await["state"], "PENDING_PAYMENT");
    assert_eq!(core.pay(&order, "sandbox_capture").await.expect(201)["state"], "CAPTURED");
}

#[tokio::test]
async fn an_undecided_payment_blocks_another_until_its_webhook_comes() {
    let core = Core::start().await;
    let order = core.tea_order().await;
    let payment = core.pay(&order, "sandbox_silent").await.expect(201);
    assert_eq!(payment["state"], "PROCESSING");
    core.pay(&order, "sandbox_capture").await.problem(409, "payment-in-progress");
    let ask = json!({"outcome": "captured", "delay_ms": 20, "times": 3});
    core.sandbox(&payment, &ask).await.expect(202);
    let paid = core.until(&order["id"], |order| order["state"] == "PAID").await;
    assert_eq!(paid["version"], 2);
    // The repeats were heard and changed nothing.
    assert_eq!(core.count("SELECT COUNT(*) FROM webhook_inbox").await, 1);
}

#[tokio::test]
async fn an_authorised_payment_is_captured_later() {
    let core = Core::start().await;
    let order = core.tea_order().await;
    let payment = core.pay(&order, "sandbox_authorize").await.expect(201);
    assert_eq!(payment["state"], "AUTHORIZED");
    assert_eq!(core.order(&order["id"]).await["state"], "PENDING_PAYMENT");
    core.sandbox(&payment, &json!({"outcome": "captured"})).await.expect(202);
    core.until(&order["id"], |order| order["state"] == "PAID").await;
}

#[tokio::test]
async fn webhooks_may_come_twice_and_out_of_order() {
    let core = Core::start().await;
    let order = core.tea_order().await;
    let payment = core.pay(&order, "sandbox_silent").await.expect(201);
    let send = |event: Value| {
        let signature = core.sign_webhook(&event);
        let core = &core;
        async move { core.webhook(&event, &signature).await.expect(200)["duplicate"].clone() }
    };
    assert_eq!(send(event("e1", &payment, "captured")).await, false);
    assert_eq!(send(event("e1", &payment, "captured")).await, true);
    assert_eq!(send(event("e2", &payment, "authorized")).await, false);
    assert_eq!(send(event("e3", &payment, "failed")).await, false);
    let paid = core.order(&order["id"]).await;
    assert_eq!((paid["state"].as_str(), paid["version"].as_i64()), (Some("PAID"), Some(2)));
    assert_eq!(paid["payments"][0]["state"], "CAPTURED");
}

#[tokio::test]
async fn forged_and_contradicting_webhooks_change_nothing() {
    let core = Core::start().await;
    let order = core.tea_order().await;
    let payment = core.pay(&order, "sandbox_silent").await.expect(201);
    let genuine = event("e1", &payment, "captured");
    let signature = core.sign_webhook(&genuine);
    let mut other_body = genuine.clone();
    other_body["event_id"] = json!("e2");
    for (body, signature) in
        [(&other_body, signature.as_str()), (&genuine, "t=1,v1=00"), (&genuine, "nonsense")]
    {
        core.webhook(body, signature).await.problem(401, "invalid-signature");
    }
    let mut cheaper = genuine.clone();
    cheaper["amount_minor"] = json!(1);
    core.webhook(&cheaper, &core.sign_webhook(&cheaper)).await.problem(422, "validation-failed");
    let mut unknown = genuine.clone();
    unknown["payment_id"] = json!("42");
    core.webhook(&unknown, &core.sign_webhook(&unknown)).await.problem(404, "payment-not-found");
    core.clock.advance(limits::WEBHOOK_TOLERANCE_MS + 1);
    core.webhook(&genuine, &signature).await.problem(401, "invalid-signature");
    assert_eq!(core.order(&order["id"]).await["payments"][0]["state"], "PROCESSING");
    assert_eq!(core.count("SELECT COUNT(*) FROM webhook_inbox").await, 0);
}

#[tokio::test]
async fn money_for_a_closed_order_goes_back_and_the_order_stays_closed() {
    let core = Core::start().await;
    let order = core.tea_order().await;
    let payment = core.pay(&order, "sandbox_silent").await.expect(201);
    core.clock.advance(limits::PAY_WITHIN_MS);
    core.run_jobs().await;
    assert_eq!(core.order(&order["id"]).await["state"], "CLOSED");

    core.sandbox(&payment, &json!({"outcome": "captured"})).await.expect(202);
    let late = |order: &Value| order["payments"][0]["state"] == "CAPTURED";
    let order = core.until(&order["id"], late).await;
    assert_eq!(order["state"], "CLOSED");
    assert_eq!(order["payments"][0]["refunds"][0]["state"], "PENDING");
    core.run_jobs().await;
    let order = core.order(&order["id"]).await;
    assert_eq!(order["payments"][0]["refunds"][0]["state"], "SUCCEEDED");
    assert_eq!(core.count("SELECT refunded_minor FROM sandbox_payments").await, 600);
}

#[tokio::test]
async fn a_paid_order_that_is_cancelled_gets_its_money_back_once() {
    let core = Core::start().await;
    let order = core.tea_order().await;
    core.pay(&order, "sandbox_capture").await.expect(201);
    let path = format!("/v1/orders/{}/cancel", text(&order["id"]));
    for _ in 0..2 {
        assert_eq!(core.post(&path, &json!({})).await.expect(200)["state"], "CANCELLED");
        core.run_jobs().await;
    }
    let order = core.order(&order["id"]).await;
    let refunds = order["payments"][0]["refunds"].as_array().unwrap();
    assert_eq!(refunds.len(), 1);
    assert_eq!(refunds[0]["state"], "SUCCEEDED");
    assert_eq!(refunds[0]["amount_minor"], order["total_minor"]);
}

/// What a crash leaves between the two transactions of a payment, after or before the provider was asked:
/// written down, never answered.
async fn cut_short(core: &Core, provider_was_asked: bool) {
    core.tamper(&[
        "DELETE FROM idempotency WHERE scope IN (SELECT scope FROM payments)",
        "UPDATE payments SET state = 'CREATED', version = 1",
        "UPDATE orders SET state = 'PENDING_PAYMENT', version = 1",
        "UPDATE stock SET on_hand = on_hand + 2, reserved = reserved + 2, sold = 0 WHERE sold = 2",
        "UPDATE held_units SET units = 2",
    ])
    .await;
    if !provider_was_asked {
        core.tamper(&["DELETE FROM sandbox_payments"]).await;
    }
}

#[tokio::test]
async fn a_payment_that_nobody_retries_is_asked_about() {
    let core = Core::start().await;
    let order = core.tea_order().await;
    core.pay(&order, "sandbox_capture").await.expect(201);
    core.until_heard(1).await;
    cut_short(&core, true).await;
    core.run_jobs().await;
    assert_eq!(core.order(&order["id"]).await["state"], "PENDING_PAYMENT", "not asked too soon");
    core.clock.advance(limits::PAYMENT_ASK_AGAIN_MS);
    core.run_jobs().await;
    let paid = core.order(&order["id"]).await;
    assert_eq!(
        (&paid["state"], &paid["payments"][0]["state"]),
        (&json!("PAID"), &json!("CAPTURED"))
    );
}

#[tokio::test]
async fn a_payment_the_provider_never_heard_of_is_given_up() {
    let core = Core::start().await;
    let order = core.tea_order().await;
    core.pay(&order, "sandbox_capture").await.expect(201);
    core.until_heard(1).await;
    cut_short(&core, false).await;
    core.clock.advance(limits::PAYMENT_ASK_AGAIN_MS);
    core.run_jobs().await;
    let open = core.order(&order["id"]).await;
    assert_eq!(open["payments"][0]["state"], "CANCELED");
    assert_eq!(core.pay(&order, "sandbox_capture").await.expect(201)["state"], "CAPTURED");
}

#[tokio::test]
async fn a_retry_after_the_order_has_closed_takes_no_money() {
    let core = Core::start().await;
    let order = core.tea_order().await;
    let path = format!("/v1/orders/{}/payments", text(&order["id"]));
    let body = json!({"method": "sandbox_capture"});
    let post = |body: &Value| {
        let (core, path, body) = (&core, &path, body.clone());
        async move { core.post_as(DINER, &[Role::Diner], path, "pay", &body).await }
    };
    post(&body).await.expect(201);
    core.until_heard(1).await;
    cut_short(&core, false).await;
    post(&json!({"method": "sandbox_fail"})).await.problem(422, "idempotency-key-reused");
    let cancel = format!("/v1/orders/{}/cancel", text(&order["id"]));
    core.post(&cancel, &json!({})).await.expect(200);
    assert_eq!(post(&body).await.expect(201)["state"], "CANCELED");
    assert_eq!(core.count("SELECT COUNT(*) FROM refunds").await, 0);
}

#[tokio::test]
async fn a_hold_is_let_go_when_its_order_closes() {
    let core = Core::start().await;
    let order = core.tea_order().await;
    core.pay(&order, "sandbox_authorize").await.expect(201);
    let cancel = format!("/v1/orders/{}/cancel", text(&order["id"]));
    core.post(&cancel, &json!({})).await.expect(200);
    core.run_jobs().await;
    assert_eq!(core.order(&order["id"]).await["payments"][0]["state"], "CANCELED");
    let held = "SELECT COUNT(*) FROM sandbox_payments WHERE outcome = 'authorized'";
    assert_eq!(core.count(held).await, 0);
}

#[tokio::test]
async fn one_order_that_cannot_close_does_not_hold_up_the_others() {
    let core = Core::start().await;
    let bun = core.basket("Last bun", 1, &[]).await;
    let stuck = core.post("/v1/orders", &bun).await.expect(201);
    let other = core.tea_order().await;
    core.tamper(&["UPDATE stock SET reserved = 0, on_hand = available WHERE available = 0"]).await;
    core.clock.advance(limits::PAY_WITHIN_MS);
    core.run_jobs().await;
    assert_eq!(core.order(&other["id"]).await["state"], "CLOSED");
    assert_eq!(core.order(&stuck["id"]).await["state"], "PENDING_PAYMENT");
}

#[tokio::test]
async fn an_old_word_after_a_capture_does_not_stop_its_refund() {
    let core = Core::start().await;
    let order = core.tea_order().await;
    let payment = core.pay(&order, "sandbox_capture").await.expect(201);
    core.sandbox(&payment, &json!({"outcome": "authorized"})).await.expect(202);
    core.until_heard(2).await;
    let cancel = format!("/v1/orders/{}/cancel", text(&order["id"]));
    assert_eq!(core.post(&cancel, &json!({})).await.expect(200)["state"], "CANCELLED");
    core.run_jobs().await;
    let order = core.order(&order["id"]).await;
    assert_eq!(order["payments"][0]["refunds"][0]["state"], "SUCCEEDED");
}

#[tokio::test]
async fn a_payment_cut_short_goes_on_under_the_same_id() {
    let core = Core::start().await;
    let order = core.tea_order().await;
    let path = format!("/v1/orders/{}/payments", text(&order["id"]));
    let body = json!({"method": "sandbox_capture"});
    let post = || core.post_as(DINER, &[Role::Diner], &path, "pay", &body);
    let first = post().await.expect(201);
    core.until_heard(1).await;
    cut_short(&core, true).await;

    let again = post().await.expect(201);
    assert_eq!(again["id"], first["id"]);
    assert_eq!(again["state"], "CAPTURED");
    assert_eq!(core.order(&order["id"]).await["state"], "PAID");
    assert_eq!(core.count("SELECT COUNT(*) FROM payments").await, 1);
}

#[tokio::test]
async fn the_sandbox_refuses_what_it_cannot_do() {
    let core = Core::start().await;
    let order = core.tea_order().await;
    let payment = core.pay(&order, "sandbox_silent").await.expect(201);
    let too_often = core.sandbox(&payment, &json!({"outcome": "captured", "times": 21})).await;
    too_often.problem(422, "validation-failed");
    let unknown = core.sandbox(&json!({"id": "42"}), &json!({"outcome": "captured"})).await;
    unknown.problem(404, "payment-not-found");
    let nonsense = core.sandbox(&payment, &json!({"outcome": "stolen"})).await;
    nonsense.problem(400, "malformed-json");
}
