//! Coupons as diners meet them: from the template to the paid order, and whatever is tried in between.

use crate::support::{Core, DINER, Reply, text};
use core_service::coupons::store::audit;
use core_service::fast::{FastStore as _, GateTag};
use core_service::gate::repair::Sweep;
use core_service::limits;
use futures::future::join_all;
use serde_json::{Value, json};
use tiffin_api::token::Role;

const HOUR_MS: i64 = 3_600_000;

/// Makes a template of 2.00 EUR off, some of its terms changed; returns its id.
pub async fn template(core: &Core, name: &str, changes: &Value) -> String {
    text(&made(core, name, changes).await.expect(201)["id"]).to_owned()
}

async fn made(core: &Core, name: &str, changes: &Value) -> Reply {
    let now_ms = core.app.clock.now_ms();
    let mut terms = json!({
        "ref": name, "name": {"en": "Two off"}, "currency": "EUR",
        "benefit": {"kind": "fixed", "amount_minor": 200},
        "claim_window": {"start_ms": 0, "end_ms": now_ms + HOUR_MS},
        "validity": {"kind": "relative", "valid_for_ms": HOUR_MS},
        "stacking": {"category": "shop"},
    });
    for (name, value) in changes.as_object().unwrap() {
        terms[name] = value.clone();
    }
    let key = core.fresh_key();
    core.post_as(1, &[Role::Admin], "/v1/admin/coupon-templates", &key, &terms).await
}

pub async fn claim_as(core: &Core, user: i64, template: &str) -> Reply {
    let path = format!("/v1/coupon-templates/{template}/claims");
    core.post_as(user, &[Role::Diner], &path, &core.fresh_key(), &json!({})).await
}

/// Claims a coupon for the diner and returns its id.
pub async fn claimed(core: &Core, template: &str) -> String {
    text(&claim_as(core, DINER, template).await.expect(201)["id"]).to_owned()
}

/// A basket of two teas, 6.00 EUR, with coupons.
pub async fn teas(core: &Core, coupons: &[&str]) -> Value {
    let mut basket = core.basket("Tea", 2, &[]).await;
    basket["coupon_ids"] = json!(coupons);
    basket
}

async fn order_with(core: &Core, coupons: &[&str]) -> Reply {
    core.post("/v1/orders", &teas(core, coupons).await).await
}

pub async fn redeem(core: &Core, coupon: &str, order: &Value) -> Reply {
    let path = format!("/v1/coupons/{coupon}/redemptions");
    core.post(&path, &json!({"order_id": order["id"]})).await
}

pub async fn cancel(core: &Core, order: &Value) -> Reply {
    core.post(&format!("/v1/orders/{}/cancel", text(&order["id"])), &json!({})).await
}

/// The diner's coupon as it stands.
pub async fn coupon(core: &Core, id: &str) -> Value {
    let coupons = core.get("/v1/me/coupons").await.expect(200);
    let coupons = coupons["coupons"].as_array().unwrap();
    coupons.iter().find(|coupon| coupon["id"] == id).unwrap().clone()
}

/// Counters, coupons and orders agree.
pub async fn assert_counted(core: &Core) {
    let mut conn = core.app.db.read().await.unwrap();
    assert_eq!(audit::faults(&mut conn).await.unwrap(), Vec::<String>::new());
}

pub async fn spent(core: &Core) -> i64 {
    let sum = "SELECT CAST(SUM(spent_minor) AS SIGNED) FROM coupon_counters";
    core.count(sum).await
}

#[tokio::test]
async fn a_coupon_goes_from_its_template_into_a_paid_order() {
    let core = Core::start().await;
    let id = template(&core, "two-off", &json!({"caps": {"total": 9, "per_user": 1}})).await;
    let listed = core.request("GET", "/v1/coupon-templates").send().await.unwrap();
    assert!(listed.headers().contains_key("etag"));
    let listed: Value = listed.json().await.unwrap();
    assert_eq!(listed["templates"][0]["id"], id.as_str());
    assert_eq!(listed["templates"][0]["caps"], json!({"per_user": 1}), "the rest is the house's");

    let key = core.fresh_key();
    let path = format!("/v1/coupon-templates/{id}/claims");
    let body = json!({});
    let claim = || core.post_as(DINER, &[Role::Diner], &path, &key, &body);
    let (first, again) = (claim().await, claim().await);
    assert_eq!(first.expect(201)["state"], "CLAIMED");
    assert_eq!(
        (again.bytes, &again.headers["idempotent-replayed"]),
        (first.bytes.clone(), &"true".parse().unwrap())
    );
    claim_as(&core, DINER, &id).await.problem(409, "coupon-already-claimed");
    let mine = text(&first.json()["id"]).to_owned();

    let basket = teas(&core, &[&mine]).await;
    core.post("/v1/quotes", &basket).await.problem(422, "validation-failed");
    let tried = core.post("/v1/coupons/validate", &basket).await.expect(200);
    assert_eq!(tried["coupons"], json!([{"coupon_id": mine, "applies": true}]));
    assert_eq!((&tried["discount_minor"], &tried["total_minor"]), (&json!(200), &json!(400)));
    assert_eq!(coupon(&core, &mine).await["state"], "CLAIMED", "trying holds nothing");

    let mut basket = basket;
    basket["quote_id"] = tried["quote_id"].clone();
    let order = core.post("/v1/orders", &basket).await.expect(201);
    assert_eq!(order["total_minor"], 400);
    assert_eq!(order["lines"][0]["discount_minor"], 200);
    // 400 * 7/107 = 26.2.
    assert_eq!(order["tax_minor"], 26);
    let held = coupon(&core, &mine).await;
    assert_eq!((&held["state"], &held["order_id"]), (&json!("LOCKED"), &order["id"]));
    assert_eq!(held["discount_minor"], 200);
    order_with(&core, &[&mine]).await.problem(409, "coupon-locked");

    let payment = core.pay(&order, "sandbox_capture").await.expect(201);
    assert_eq!(payment["amount_minor"], 400);
    assert_eq!(core.order(&order["id"]).await["total_minor"], 400);
    assert_eq!(coupon(&core, &mine).await["state"], "USED");
    order_with(&core, &[&mine]).await.problem(409, "coupon-used");
    assert_eq!(spent(&core).await, 200);
    assert_counted(&core).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn five_orders_race_for_one_coupon_and_one_wins() {
    let core = Core::start().await;
    let mine = claimed(&core, &template(&core, "one", &json!({})).await).await;
    let only = [mine.as_str()];
    for _ in 0..10 {
        let replies = join_all((0..5).map(|_| order_with(&core, &only))).await;
        let (won, lost): (Vec<_>, Vec<_>) = replies.iter().partition(|reply| reply.status == 201);
        assert_eq!(won.len(), 1);
        lost.iter().for_each(|reply| _ = reply.problem(409, "coupon-locked"));
        let held = coupon(&core, &mine).await;
        assert_eq!(held["order_id"], won[0].json()["id"]);
        assert_counted(&core).await;
        cancel(&core, &won[0].json()).await.expect(200);
    }
    assert_eq!(core.count("SELECT COUNT(*) FROM orders").await, 10, "a refusal leaves no order");
    assert_eq!(spent(&core).await, 0);
}

#[tokio::test]
async fn a_coupon_comes_back_when_its_order_closes_and_not_twice() {
    let core = Core::start().await;
    let mine = claimed(&core, &template(&core, "back", &json!({})).await).await;
    let first = order_with(&core, &[&mine]).await.expect(201);
    cancel(&core, &first).await.expect(200);
    let back = coupon(&core, &mine).await;
    assert_eq!((&back["state"], back.get("order_id")), (&json!("CLAIMED"), None));
    assert_eq!(back["discount_minor"], 0);

    let second = order_with(&core, &[&mine]).await.expect(201);
    cancel(&core, &first).await.expect(200);
    let held = coupon(&core, &mine).await;
    assert_eq!((&held["state"], &held["order_id"]), (&json!("LOCKED"), &second["id"]));
    assert_eq!(spent(&core).await, 200);

    // Its order closes unpaid by the timer; the coupon's own hour is not over.
    core.clock.advance(limits::PAY_WITHIN_MS);
    core.run_jobs().await;
    assert_eq!(core.order(&second["id"]).await["state"], "CLOSED");
    assert_eq!(coupon(&core, &mine).await["state"], "CLAIMED");

    // Held in its last minute, it outlives its hour only as long as it is held.
    core.clock.advance(HOUR_MS - limits::PAY_WITHIN_MS - 60_000);
    let third = order_with(&core, &[&mine]).await.expect(201);
    core.clock.advance(120_000);
    core.run_jobs().await;
    assert_eq!(coupon(&core, &mine).await["state"], "LOCKED");
    cancel(&core, &third).await.expect(200);
    assert_eq!(coupon(&core, &mine).await["state"], "EXPIRED");
    order_with(&core, &[&mine]).await.problem(410, "coupon-expired");
    assert_eq!(spent(&core).await, 0);
    assert_counted(&core).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn caps_hold_however_many_claim_at_once() {
    let core = Core::start().await;
    let total = template(&core, "total", &json!({"caps": {"total": 7}})).await;
    let replies = join_all((0..40).map(|user| claim_as(&core, 5000 + user, &total))).await;
    assert_eq!(replies.iter().filter(|reply| reply.status == 201).count(), 7);
    for lost in replies.iter().filter(|reply| reply.status != 201) {
        lost.problem(409, "coupon-sold-out");
    }
    let each = template(&core, "each", &json!({"caps": {"per_user": 2, "per_day": 5}})).await;
    let replies = join_all((0..12).map(|n| claim_as(&core, 6000 + n % 2, &each))).await;
    assert_eq!(replies.iter().filter(|reply| reply.status == 201).count(), 4);
    for user in [6002, 6003] {
        let reply = claim_as(&core, user, &each).await;
        if user == 6002 {
            reply.expect(201)
        } else {
            reply.problem(409, "coupon-sold-out")
        };
    }
    let daily = template(
        &core,
        "daily",
        &json!({"caps": {"per_user_per_day": 1}, "claim_window":
        {"start_ms": 0, "end_ms": core.app.clock.now_ms() + 48 * HOUR_MS}}),
    )
    .await;
    claimed(&core, &daily).await;
    claim_as(&core, DINER, &daily).await.problem(409, "coupon-already-claimed");
    core.clock.advance(12 * HOUR_MS); // Midnight in UTC.
    claimed(&core, &daily).await;
    assert_counted(&core).await;
}

#[tokio::test]
async fn the_gate_refuses_claims_that_are_surely_in_vain() {
    let core = Core::start().await;
    core.app.gate.known.fill(&core.app.db).await.unwrap();
    let id = template(&core, "gate", &json!({"caps": {"total": 2}})).await;
    let raw: i64 = id.parse().unwrap();
    claimed(&core, &id).await;
    core.app.gate.mend_drift().await;
    let tag = GateTag::Template(raw);
    let left = async || core.app.fast.counters(tag, &[raw]).await.unwrap()[0];
    assert_eq!(left().await, Some(1));
    claimed(&core, &id).await;
    assert_eq!(left().await, Some(0));
    // Nobody who is refused at the door leaves a record, and a wrong counter is corrected, not believed.
    let records = core.count("SELECT COUNT(*) FROM idempotency").await;
    claim_as(&core, 5001, &id).await.problem(409, "coupon-sold-out");
    assert_eq!(core.count("SELECT COUNT(*) FROM idempotency").await, records);
    core.app.fast.load(tag, &[(raw, 50)], true).await.unwrap();
    tokio::time::sleep(limits::GATE_NOTE).await;
    claim_as(&core, 5002, &id).await.problem(409, "coupon-sold-out");
    assert_eq!(left().await, Some(0));
    assert_eq!(core.count("SELECT COUNT(*) FROM coupons").await, 2);
    // One that is too low or too high, and that nobody meets, is found by the second sweep.
    core.app.fast.load(tag, &[(raw, 7)], true).await.unwrap();
    let mut sweep = Sweep::default();
    assert_eq!(sweep.run(&core.app.gate).await.unwrap().repaired, 0);
    assert_eq!(sweep.run(&core.app.gate).await.unwrap().repaired, 1);
    assert_eq!(left().await, Some(0));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_budget_is_spent_once_and_comes_back_with_its_coupons() {
    let core = Core::start().await;
    // Two discounts and a half.
    let id = template(&core, "budget", &json!({"caps": {"budget_minor": 500}})).await;
    let claims = join_all((0..6).map(|_| claimed(&core, &id))).await;
    let replies =
        join_all(claims.iter().map(|mine| async { order_with(&core, &[mine]).await })).await;
    let (won, lost): (Vec<_>, Vec<_>) = replies.iter().partition(|reply| reply.status == 201);
    assert_eq!(won.len(), 2);
    lost.iter().for_each(|reply| _ = reply.problem(409, "coupon-budget-spent"));
    assert_eq!(spent(&core).await, 400);
    assert_counted(&core).await;
    cancel(&core, &won[0].json()).await.expect(200);
    let free = claims.iter().map(|id| coupon(&core, id));
    let free: Vec<Value> = join_all(free).await;
    let free = free.iter().find(|coupon| coupon["state"] == "CLAIMED");
    let mine = text(&free.unwrap()["id"]);
    order_with(&core, &[mine]).await.expect(201);
    assert_counted(&core).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_first_order_is_one() {
    let core = Core::start().await;
    let id = template(&core, "first", &json!({"first_order": true})).await;
    let claims = join_all((0..4).map(|_| claimed(&core, &id))).await;
    let replies =
        join_all(claims.iter().map(|mine| async { order_with(&core, &[mine]).await })).await;
    let (won, lost): (Vec<_>, Vec<_>) = replies.iter().partition(|reply| reply.status == 201);
    assert_eq!(won.len(), 1);
    lost.iter().for_each(|reply| _ = reply.problem(409, "coupon-first-order-only"));
    // An order that came to nothing was none.
    cancel(&core, &won[0].json()).await.expect(200);
    let plain = core.tea_order().await;
    let redeemed = redeem(&core, &claims[0], &plain).await.expect(200);
    assert_eq!(redeemed["total_minor"], 400);
    let tried = core.post("/v1/coupons/validate", &teas(&core, &[&claims[1]]).await).await;
    let verdict = &tried.expect(200)["coupons"][0];
    assert_eq!(
        (&verdict["applies"], &verdict["code"]),
        (&json!(false), &json!("coupon-first-order-only"))
    );
}

#[tokio::test]
async fn an_unpaid_order_takes_a_coupon_later() {
    let core = Core::start().await;
    let stacking = json!({"stacking": {"category": "shop", "per_order": 2}});
    let id = template(&core, "later", &stacking).await;
    let (one, two, three) =
        (claimed(&core, &id).await, claimed(&core, &id).await, claimed(&core, &id).await);
    let order = order_with(&core, &[&one]).await.expect(201);
    let redeemed = redeem(&core, &two, &order).await.expect(200);
    assert_eq!((&redeemed["total_minor"], &redeemed["version"]), (&json!(200), &json!(2)));
    assert_eq!(redeem(&core, &two, &order).await.expect(200), redeemed, "a repeat is quiet");
    assert_eq!(core.order(&order["id"]).await, redeemed);
    redeem(&core, &three, &order).await.problem(422, "coupon-not-stackable");
    assert_eq!(coupon(&core, &three).await["state"], "CLAIMED");
    assert_counted(&core).await;

    let other = core.tea_order().await;
    redeem(&core, &two, &other).await.problem(409, "coupon-locked");
    core.pay(&other, "sandbox_silent").await.expect(201);
    redeem(&core, &three, &other).await.problem(409, "payment-in-progress");

    let payment = core.pay(&order, "sandbox_capture").await.expect(201);
    assert_eq!(payment["amount_minor"], 200);
    for id in [&one, &two] {
        assert_eq!(coupon(&core, id).await["state"], "USED");
    }
    redeem(&core, &three, &order).await.problem(409, "invalid-transition");
    assert_counted(&core).await;
}

#[tokio::test]
async fn a_redemption_shows_the_order_with_the_payments_that_it_has() {
    let core = Core::start().await;
    let mine = claimed(&core, &template(&core, "shown", &json!({})).await).await;
    let order = core.tea_order().await;
    core.pay(&order, "sandbox_fail").await.expect(201);
    let redeemed = redeem(&core, &mine, &order).await.expect(200);
    assert_eq!(redeemed["payments"][0]["state"], "FAILED");
    assert_eq!(redeemed, core.order(&order["id"]).await);
    core.pay(&order, "sandbox_capture").await.expect(201);
    let repeated = redeem(&core, &mine, &order).await.expect(200);
    assert_eq!(repeated["payments"][1]["state"], "CAPTURED");
    assert_eq!(repeated, core.order(&order["id"]).await);
}

#[tokio::test]
async fn a_menu_that_changed_keeps_the_orders_price_and_says_so() {
    let core = Core::start().await;
    let mine = claimed(&core, &template(&core, "dearer", &json!({})).await).await;
    let order = core.tea_order().await;
    let dearer =
        include_str!("fixture.ndjson").replace("\"price_minor\":300", "\"price_minor\":350");
    core.import(&dearer).await.expect(200);
    redeem(&core, &mine, &order).await.problem(409, "price-changed");
    assert_eq!(core.order(&order["id"]).await, order);
    assert_eq!(coupon(&core, &mine).await["state"], "CLAIMED");
}

#[tokio::test]
async fn somebody_elses_coupon_is_not_found() {
    let core = Core::start().await;
    let id = template(&core, "other", &json!({})).await;
    let theirs = text(&claim_as(&core, 2002, &id).await.expect(201)["id"]).to_owned();
    order_with(&core, &[&theirs]).await.problem(404, "coupon-not-found");
    redeem(&core, &theirs, &core.tea_order().await).await.problem(404, "coupon-not-found");
    let tried = core.post("/v1/coupons/validate", &teas(&core, &[&theirs, "77"]).await).await;
    let codes: Vec<_> = tried.expect(200)["coupons"]
        .as_array()
        .unwrap()
        .iter()
        .map(|verdict| verdict["code"].clone())
        .collect();
    assert_eq!(codes, ["coupon-not-found", "coupon-not-found"]);
    let theirs = order_with(&core, &[]).await.expect(201);
    let path = format!("/v1/coupons/{}/redemptions", claimed(&core, &id).await);
    let body = json!({"order_id": theirs["id"]});
    let reply = core.post_as(2002, &[Role::Diner], &path, &core.fresh_key(), &body).await;
    reply.problem(404, "order-not-found");
    claim_as(&core, DINER, "77").await.problem(404, "coupon-template-not-found");
    claim_as(&core, DINER, "no-id").await.problem(404, "coupon-template-not-found");
}

#[tokio::test]
async fn what_is_gone_for_good_is_answered_to_a_retry_as_the_first_time() {
    let core = Core::start().await;
    let id = template(&core, "gone", &json!({})).await;
    let [voided, late] = [claimed(&core, &id).await, claimed(&core, &id).await];
    let order = order_with(&core, &[]).await.expect(201);
    let void = format!("/v1/admin/coupons/{voided}/void");
    core.post_as(1, &[Role::Admin], &void, "void", &json!({})).await.expect(200);
    let (with_voided, with_late) = (teas(&core, &[&voided]).await, teas(&core, &[&late]).await);
    let redemption = format!("/v1/coupons/{voided}/redemptions");
    let of_order = json!({"order_id": order["id"]});
    let claims = format!("/v1/coupon-templates/{id}/claims");
    let diner = async |path: &str, key: &str, body: &Value| {
        core.post_as(DINER, &[Role::Diner], path, key, body).await
    };
    for (advance_ms, path, body, code) in [
        (0, "/v1/orders", &with_voided, "coupon-voided"),
        (0, redemption.as_str(), &of_order, "coupon-voided"),
        (HOUR_MS, "/v1/orders", &with_late, "coupon-expired"),
        (0, claims.as_str(), &json!({}), "coupon-expired"),
    ] {
        core.clock.advance(advance_ms);
        let key = core.fresh_key();
        let first = diner(path, &key, body).await;
        first.problem(410, code);
        assert!(!first.headers.contains_key("idempotent-replayed"));
        let again = diner(path, &key, body).await;
        assert_eq!((again.status, &again.bytes), (410, &first.bytes), "{path}");
        assert_eq!(again.headers["idempotent-replayed"], "true", "{path}");
        assert_eq!(again.headers["content-type"], "application/problem+json");
    }
    assert_counted(&core).await;
}

#[tokio::test]
async fn coupons_run_out_and_are_withdrawn() {
    let core = Core::start().await;
    let id = template(&core, "ends", &json!({})).await;
    let (kept, gone, locked) =
        (claimed(&core, &id).await, claimed(&core, &id).await, claimed(&core, &id).await);
    order_with(&core, &[&locked]).await.expect(201);
    let void = async |id: &str, role| {
        let path = format!("/v1/admin/coupons/{id}/void");
        core.post_as(1, &[role], &path, &core.fresh_key(), &json!({})).await
    };
    void(&gone, Role::Diner).await.problem(403, "forbidden");
    for _ in 0..2 {
        assert_eq!(void(&gone, Role::Admin).await.expect(200)["state"], "VOIDED");
    }
    assert_eq!(coupon(&core, &gone).await["version"], 2, "a repeat is quiet");
    void(&locked, Role::Admin).await.problem(409, "invalid-transition");
    void("77", Role::Admin).await.problem(404, "coupon-not-found");
    order_with(&core, &[&gone]).await.problem(410, "coupon-voided");

    core.clock.advance(HOUR_MS - 1);
    core.run_jobs().await;
    assert_eq!(coupon(&core, &kept).await["state"], "CLAIMED");
    core.clock.advance(1);
    order_with(&core, &[&kept]).await.problem(410, "coupon-expired");
    core.run_jobs().await;
    assert_eq!(coupon(&core, &kept).await["state"], "EXPIRED");
    claim_as(&core, DINER, &id).await.problem(410, "coupon-expired");
    let listed = core.get("/v1/coupon-templates").await.expect(200);
    assert_eq!(listed["templates"], json!([]), "it can be claimed no more");
    assert_counted(&core).await;
}

#[tokio::test]
async fn a_template_is_checked_and_made_once() {
    let core = Core::start().await;
    let path = "/v1/admin/coupon-templates";
    let diner = core.post(path, &json!({})).await;
    assert!([403, 400].contains(&diner.status), "{}", diner.status);
    template(&core, "twice", &json!({})).await;
    made(&core, "twice", &json!({})).await.problem(409, "coupon-template-exists");
    made(&core, "typo", &json!({"first_oder": true})).await.problem(400, "malformed-json");
    let store = core.store("Noodle Bar").await;
    let tea = core.item(&store, "Tea").await;
    let of_store = |item: &str, currency: &str, category: &str| {
        json!({
            "store_id": store, "currency": currency,
            "benefit": {"kind": "buy_x_get_y", "item_id": item, "buy": 1, "get": 1},
            "scope": {"kind": "listed", "item_ids": [tea], "categories": [category]},
        })
    };
    let wrong = made(&core, "wrong", &of_store("77", "CNY", "cakes")).await;
    let wrong = wrong.problem(422, "validation-failed");
    let pointers: Vec<_> =
        wrong["errors"].as_array().unwrap().iter().map(|error| &error["pointer"]).collect();
    assert_eq!(pointers, ["/currency", "/benefit/item_id", "/scope/categories/0"]);
    let id = template(&core, "teas", &of_store(&tea, "EUR", "mains")).await;
    let order = order_with(&core, &[&claimed(&core, &id).await]).await.expect(201);
    assert_eq!(order["total_minor"], 300);
    let kiosk = core.store("Night Kiosk").await;
    let listed = core.get(&format!("/v1/coupon-templates?store_id={kiosk}")).await.expect(200);
    assert_eq!(listed["templates"].as_array().unwrap().len(), 1, "only the one of every store");
    let page = core.get("/v1/coupon-templates?limit=1").await.expect(200);
    let next = format!("/v1/coupon-templates?limit=1&cursor={}", text(&page["next_cursor"]));
    let next = core.get(&next).await.expect(200);
    assert_eq!((&next["templates"][0]["id"], next.get("next_cursor")), (&json!(id), None));
}

#[tokio::test]
async fn an_audit_finds_what_was_tampered_with() {
    let core = Core::start().await;
    let caps = json!({"caps":
        {"total": 9, "per_user": 9, "per_day": 9, "per_user_per_day": 9, "budget_minor": 900}});
    let id = template(&core, "audit", &caps).await;
    order_with(&core, &[&claimed(&core, &id).await]).await.expect(201);
    assert_counted(&core).await;
    core.tamper(&["UPDATE coupon_counters SET claimed = claimed + 1"]).await;
    let mut conn = core.app.db.read().await.unwrap();
    let found = async |conn: &mut _| audit::faults(conn).await.unwrap().len();
    assert_eq!(found(&mut conn).await, 4, "each kind of counter");
    drop(conn);
    core.tamper(&[
        "UPDATE coupon_counters SET claimed = claimed - 1",
        "UPDATE coupons SET discount_minor = discount_minor - 1",
    ])
    .await;
    let mut conn = core.app.db.read().await.unwrap();
    assert_eq!(found(&mut conn).await, 1, "the money");
    drop(conn);
    core.tamper(&[
        "UPDATE coupons SET discount_minor = discount_minor + 1",
        "UPDATE orders SET state = 'CLOSED'",
    ])
    .await;
    let mut conn = core.app.db.read().await.unwrap();
    assert_eq!(found(&mut conn).await, 1, "the order");
}

#[tokio::test]
async fn an_order_may_come_to_nothing() {
    let core = Core::start().await;
    let all = json!({"benefit": {"kind": "percent", "rate_ppm": 1_000_000}});
    let mine = claimed(&core, &template(&core, "all", &all).await).await;
    let order = order_with(&core, &[&mine]).await.expect(201);
    assert_eq!((&order["total_minor"], &order["tax_minor"]), (&json!(0), &json!(0)));
    assert_eq!(coupon(&core, &mine).await["state"], "USED");
    assert_eq!(cancel(&core, &order).await.expect(200)["state"], "CANCELLED");
    assert_eq!(core.count("SELECT COUNT(*) FROM refunds").await, 0);
    assert_counted(&core).await;
}
