//! Orders that cost nothing: paid in the commit that makes them so, and nobody is asked for money.

use crate::coupons::{assert_counted, claimed, coupon, redeem, spent, teas, template};
use crate::support::{Core, reply, text};
use serde_json::{Value, json};
use tiffin_api::token::Role;

const ALL_OFF: u32 = 1_000_000;

pub async fn assert_clean(core: &Core) {
    // The first order found no counter at the gate, which knows that and loads what is left.
    core.app.gate.mend_drift().await;
    let token = core.token(1, &[Role::Admin]);
    let report = reply(core.request("GET", "/v1/admin/audit").bearer_auth(token)).await.expect(200);
    assert_eq!(report["clean"], true, "{report:#}");
}

async fn all_off(core: &Core, name: &str) -> String {
    let benefit = json!({"benefit": {"kind": "percent", "rate_ppm": ALL_OFF}});
    claimed(core, &template(core, name, &benefit).await).await
}

/// A move by the merchant who keeps the order's store.
pub async fn by_merchant(core: &Core, order: &Value, wish: &str) -> Value {
    let path = format!("/v1/orders/{}/{wish}", text(&order["id"]));
    let request = core.request("POST", &path).bearer_auth(core.merchant(text(&order["store_id"])));
    reply(request.header("idempotency-key", core.fresh_key())).await.expect(200)
}

#[tokio::test]
async fn an_order_for_nothing_is_paid_by_being_placed() {
    let core = Core::start().await;
    let mine = all_off(&core, "on-us").await;
    let basket = teas(&core, &[&mine]).await;
    let key = core.fresh_key();
    let placed = core.order_under(&key, &basket).await;
    let order = placed.expect(201);
    assert_eq!((&order["total_minor"], &order["state"]), (&json!(0), &json!("PAID")));
    assert_eq!(core.order_under(&key, &basket).await.bytes, placed.bytes, "a retry, and no second");
    assert_eq!(coupon(&core, &mine).await["state"], "USED");
    let tea = text(&order["lines"][0]["item_id"]);
    assert_eq!(core.stock(tea).await, (998, 998, 0), "sold, not held");
    let held = "SELECT CAST(COALESCE(SUM(units), 0) AS SIGNED) FROM held_units";
    assert_eq!(core.count(held).await, 0);

    // Nobody can decline what nobody owes.
    core.pay(&order, "sandbox_fail").await.problem(409, "invalid-transition");
    core.clock.advance(core_service::limits::PAY_WITHIN_MS);
    core.run_jobs().await;
    let read = core.order(&order["id"]).await;
    assert_eq!((&read["state"], read.get("payments")), (&json!("PAID"), None));
    assert_eq!(core.count("SELECT COUNT(*) FROM sandbox_payments").await, 0);
    assert_clean(&core).await;

    assert_eq!(by_merchant(&core, &order, "accept").await["state"], "ACCEPTED");
    assert_clean(&core).await;
}

#[tokio::test]
async fn an_order_that_a_coupon_makes_free_is_paid_by_it() {
    let core = Core::start().await;
    let order = core.tea_order().await;
    core.pay(&order, "sandbox_fail").await.expect(201);
    let six = json!({"benefit": {"kind": "fixed", "amount_minor": 600}});
    let mine = claimed(&core, &template(&core, "six-off", &six).await).await;
    let redeemed = redeem(&core, &mine, &order).await.expect(200);
    assert_eq!((&redeemed["total_minor"], &redeemed["state"]), (&json!(0), &json!("PAID")));
    assert_eq!(redeemed["payments"][0]["state"], "FAILED", "of what it cost before");
    assert_eq!(
        (coupon(&core, &mine).await["state"].clone(), spent(&core).await),
        (json!("USED"), 600)
    );
    assert_counted(&core).await;
    assert_clean(&core).await;
}

#[tokio::test]
async fn one_cent_is_awaited() {
    let core = Core::start().await;
    let most = json!({"benefit": {"kind": "fixed", "amount_minor": 599}});
    let mine = claimed(&core, &template(&core, "nearly", &most).await).await;
    let order = core.post("/v1/orders", &teas(&core, &[&mine]).await).await.expect(201);
    assert_eq!((&order["total_minor"], &order["state"]), (&json!(1), &json!("PENDING_PAYMENT")));
}

#[tokio::test]
async fn a_free_order_that_is_refused_sends_nothing_back() {
    let core = Core::start().await;
    let mine = all_off(&core, "refused").await;
    let order = core.post("/v1/orders", &teas(&core, &[&mine]).await).await.expect(201);
    assert_eq!(by_merchant(&core, &order, "reject").await["state"], "REJECTED");
    assert_eq!(core.count("SELECT COUNT(*) FROM refunds").await, 0);
    assert_clean(&core).await;
}
