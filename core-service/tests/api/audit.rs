//! The audit: a busy little world is clean, and each way to falsify it is found by the check that is for it.

use crate::support::{Core, DINER, reply, text};
use core_service::audit::{self, auditor};
use core_service::db::{Db, Dialect, Location};
use core_service::fast::redis::Redis;
use core_service::fast::{FastStore as _, GateTag};
use core_service::limits;
use serde_json::{Value, json};
use std::process::{Command, Output};
use tiffin_api::audit::{AuditGateState, AuditReport};
use tiffin_api::token::Role;

/// Another diner.
const GUEST: i64 = 1002;

/// Orders in every way of life, with and without coupons.
struct World {
    core: Core,
    store: i64,
    tea: i64,
    /// Closed unpaid; its money came too late and has gone back.
    closed: String,
    /// Paid, with a coupon.
    paid: String,
    /// Paid and refused; its money is on its way back.
    rejected: String,
    /// The guest's, unpaid, with a coupon.
    unpaid: String,
    template: String,
    used: String,
    locked: String,
    /// Claimed and given back once.
    free: String,
}

impl World {
    async fn new() -> Self {
        let core = Core::start().await;
        let template = make_template(&core).await;
        let [returned, used] =
            [claim(&core, DINER, &template).await, claim(&core, DINER, &template).await];
        let locked = claim(&core, GUEST, &template).await;
        let closed = tea(&core, DINER, &[&returned]).await;
        let late = core.pay(&closed, "sandbox_silent").await.expect(201);
        core.clock.advance(limits::PAY_WITHIN_MS);
        core.run_jobs().await;
        core.sandbox(&late, &json!({"outcome": "captured"})).await.expect(202);
        core.until(&closed["id"], |order| order["payments"][0]["state"] == "CAPTURED").await;

        let paid = tea(&core, DINER, &[&used]).await;
        core.pay(&paid, "sandbox_fail").await.expect(201);
        core.pay(&paid, "sandbox_capture").await.expect(201);
        let cancelled = tea(&core, DINER, &[]).await;
        core.pay(&cancelled, "sandbox_capture").await.expect(201);
        step(&core, &cancelled, "cancel").await;
        core.run_jobs().await;
        let rejected = tea(&core, DINER, &[]).await;
        core.pay(&rejected, "sandbox_capture").await.expect(201);
        step(&core, &rejected, "reject").await;
        let completed = tea(&core, DINER, &[]).await;
        core.pay(&completed, "sandbox_capture").await.expect(201);
        for wish in ["accept", "prepare", "ready", "complete"] {
            step(&core, &completed, wish).await;
        }
        core.pay(&tea(&core, DINER, &[]).await, "sandbox_authorize").await.expect(201);
        let unpaid = tea(&core, GUEST, &[&locked]).await;
        // The first order found no counter at the gate, which knows that and loads what is left.
        core.app.gate.mend_drift().await;
        let line = &paid["lines"][0];
        Self {
            store: text(&paid["store_id"]).parse().unwrap(),
            tea: text(&line["item_id"]).parse().unwrap(),
            closed: text(&closed["id"]).to_owned(),
            paid: text(&paid["id"]).to_owned(),
            rejected: text(&rejected["id"]).to_owned(),
            unpaid: text(&unpaid["id"]).to_owned(),
            template,
            used,
            locked,
            free: returned,
            core,
        }
    }

    async fn audit(&self) -> AuditReport {
        serde_json::from_slice(&ask(&self.core, "").await.bytes).unwrap()
    }

    /// Changes the ledger behind the core's back.
    async fn run(&self, statements: &[String]) {
        let mut tx = self.core.app.db.write().await.unwrap();
        for statement in statements {
            let statement = sqlx::AssertSqlSafe(statement.clone());
            sqlx::query(statement).execute(&mut *tx).await.unwrap();
        }
        tx.commit().await.unwrap();
    }
}

async fn make_template(core: &Core) -> String {
    let terms = json!({
        "ref": "welcome", "name": {"en": "Welcome"}, "currency": "EUR",
        "benefit": {"kind": "fixed", "amount_minor": 100},
        "claim_window": {"start_ms": 0, "end_ms": 4_000_000_000_000_i64},
        "validity": {"kind": "relative", "valid_for_ms": 86_400_000},
        "caps": {"total": 100, "per_user": 10, "per_user_per_day": 10, "per_day": 50,
                 "budget_minor": 10_000},
        "stacking": {"category": "welcome"},
    });
    let key = core.fresh_key();
    let made = core.post_as(1, &[Role::Admin], "/v1/admin/coupon-templates", &key, &terms).await;
    text(&made.expect(201)["id"]).to_owned()
}

async fn claim(core: &Core, user: i64, template: &str) -> String {
    let path = format!("/v1/coupon-templates/{template}/claims");
    let key = core.fresh_key();
    let claimed = core.post_as(user, &[Role::Diner], &path, &key, &json!({})).await;
    text(&claimed.expect(201)["id"]).to_owned()
}

/// An order of two teas.
async fn tea(core: &Core, user: i64, coupons: &[&str]) -> Value {
    let mut basket = core.basket("Tea", 2, &[]).await;
    basket["coupon_ids"] = json!(coupons);
    let key = core.fresh_key();
    core.post_as(user, &[Role::Diner], "/v1/orders", &key, &basket).await.expect(201)
}

/// Moves an order as its diner or its merchant.
async fn step(core: &Core, order: &Value, wish: &str) {
    let path = format!("/v1/orders/{}/{wish}", text(&order["id"]));
    let token = match wish {
        "cancel" => core.token(DINER, &[Role::Diner]),
        _ => core.merchant(text(&order["store_id"])),
    };
    let request = core.request("POST", &path).bearer_auth(token);
    reply(request.header("idempotency-key", core.fresh_key()).json(&json!({}))).await.expect(200);
}

async fn ask(core: &Core, query: &str) -> crate::support::Reply {
    let token = core.token(1, &[Role::Admin]);
    reply(core.request("GET", &format!("/v1/admin/audit{query}")).bearer_auth(token)).await
}

/// The checks that found something.
fn dirty(report: &AuditReport) -> Vec<&str> {
    let found = report.checks.iter().filter(|check| check.violations > 0);
    found.map(|check| check.check.as_str()).collect()
}

#[tokio::test]
async fn a_busy_little_world_is_clean() {
    let world = World::new().await;
    let report = world.audit().await;
    assert!(report.clean, "{report:#?}");
    let looked_at =
        |name: &str| report.checks.iter().find(|check| check.check == name).unwrap().rows;
    assert_eq!((looked_at("money"), looked_at("snapshots")), (7, 7));
    assert_eq!((looked_at("news"), looked_at("feed")), (7, 0));
    assert_eq!((looked_at("coupon-counters"), looked_at("coupon-orders")), (6, 3));
    assert_eq!((report.gate.state, report.gate.off), (AuditGateState::Compared, 0));
    assert!(report.gate.compared >= 2, "tea, and the template: {report:#?}");
    let [money] = report.money.as_slice() else { panic!("{report:#?}") };
    // Late, paid, cancelled, rejected, completed; of these the late and the cancelled have gone back.
    assert_eq!((money.captured_minor, money.refunded_minor), (500 + 500 + 3 * 600, 500 + 600));
    assert_eq!((money.owed_minor, money.standing_minor), (600, 500 + 600));

    let metrics = reply(world.core.request("GET", "/metrics")).await;
    let metrics = String::from_utf8(metrics.bytes).unwrap();
    for line in [
        "tiffin_core_audit_violations{check=\"money\"} 0",
        &format!("tiffin_core_audit_last_clean_ms {}", report.as_of_ms),
        "tiffin_core_engine_waiting 0",
        "tiffin_core_engine_retries_total ",
        "tiffin_core_engine_batch_commands_count ",
        "tiffin_core_engine_batch_seconds_count ",
        "tiffin_core_gate_entries_total{outcome=\"admitted\"} ",
        "tiffin_core_fast_store_open 0",
    ] {
        assert!(metrics.lines().any(|found| found.starts_with(line)), "{line}\n{metrics}");
    }
}

/// A way to falsify the ledger: the check and the rule that find it, the deed, and how it is undone.
struct Deed {
    check: &'static str,
    rule: &'static str,
    done: Vec<String>,
    undone: Vec<String>,
}

fn deed(check: &'static str, rule: &'static str, done: &[String], undone: &[String]) -> Deed {
    Deed { check, rule, done: done.to_vec(), undone: undone.to_vec() }
}

/// Raises a column by one where it falsifies something.
fn raised(
    check: &'static str,
    rule: &'static str,
    table: &str,
    columns: &[&str],
    row: &str,
) -> Deed {
    let update = |sign: &str| {
        let set: Vec<_> = columns.iter().map(|c| format!("{c} = {c} {sign} 1")).collect();
        format!("UPDATE {table} SET {} WHERE {row}", set.join(", "))
    };
    deed(check, rule, &[update("+")], &[update("-")])
}

/// Puts a column to another value.
fn put(
    (check, rule): (&'static str, &'static str),
    (table, column): (&str, &str),
    (from, to): (&str, &str),
    row: &str,
) -> Deed {
    let update = |value: &str| format!("UPDATE {table} SET {column} = {value} WHERE {row}");
    deed(check, rule, &[update(to)], &[update(from)])
}

fn stock_deeds(world: &World) -> Vec<Deed> {
    let tea = format!("item_id = {}", world.tea);
    let guest = format!("user_id = {GUEST}");
    // The schema refuses such rows while it is asked.
    let (unasked, asked) = match world.core.app.db.dialect() {
        Dialect::Sqlite => {
            ("PRAGMA ignore_check_constraints = ON", "PRAGMA ignore_check_constraints = OFF")
        }
        Dialect::MySql => ("SET check_constraint_checks = 0", "SET check_constraint_checks = 1"),
    };
    let forced = |statement: String| [unasked.to_owned(), statement, asked.to_owned()];
    vec![
        deed(
            "stock",
            "on_hand = available + reserved",
            &forced(format!("UPDATE stock SET on_hand = on_hand + 1 WHERE {tea}")),
            &[format!("UPDATE stock SET on_hand = on_hand - 1 WHERE {tea}")],
        ),
        // The toast's: nobody has ordered any, so the gate has no counter of it.
        deed(
            "stock",
            "no units below zero",
            &forced("UPDATE stock SET on_hand = -1, available = -1 WHERE on_hand = 10".to_owned()),
            &["UPDATE stock SET on_hand = 10, available = 10 WHERE on_hand = -1".to_owned()],
        ),
        raised("sold", "sold = lines of paid orders", "stock", &["sold"], &tea),
        put(
            ("returns", "only what was rejected or cancelled gave something back"),
            ("orders", "coupons_back"),
            ("0", "1"),
            &format!("id = {}", world.closed),
        ),
        raised(
            "reserved",
            "reserved = lines of unpaid orders",
            "stock",
            &["on_hand", "reserved"],
            &tea,
        ),
        raised("held-units", "units = lines of unpaid orders", "held_units", &["units"], &guest),
        deed(
            "held-units",
            "who has unpaid orders has a row",
            &[format!("UPDATE held_units SET user_id = 5 WHERE {guest}")],
            &[format!("UPDATE held_units SET user_id = {GUEST} WHERE user_id = 5")],
        ),
    ]
}

fn coupon_deeds(world: &World) -> Vec<Deed> {
    let World { template, used, locked, free, .. } = world;
    let counter = |user: &str, day: &str| {
        format!("template_id = {template} AND user_id {user} AND day {day}")
    };
    let claimed = |rule, user: &str, day: &str| {
        raised("coupon-counters", rule, "coupon_counters", &["claimed"], &counter(user, day))
    };
    let coupon = |id: &str| format!("id = {id}");
    let orders = "coupon-orders";
    vec![
        claimed("claimed = coupons of the template", "= 0", "= -1"),
        claimed("claimed = coupons of the user", "<> 0", "= -1"),
        claimed("claimed = coupons of the day", "= 0", "<> -1"),
        claimed("claimed = coupons of the user's day", "<> 0", "<> -1"),
        raised(
            "coupon-counters",
            "spent = discounts of locked and used coupons",
            "coupon_counters",
            &["spent_minor"],
            &counter("= 0", "= -1"),
        ),
        raised(
            "coupon-counters",
            "spent = discounts of locked and used coupons",
            "coupon_counters",
            &["spent_minor"],
            &counter(&format!("= {GUEST}"), "= -1"),
        ),
        deed(
            "coupon-counters",
            "a template with coupons has its counter",
            &[format!("UPDATE coupon_counters SET day = -2 WHERE {}", counter("= 0", "= -1"))],
            &[format!("UPDATE coupon_counters SET day = -1 WHERE {}", counter("= 0", "= -2"))],
        ),
        put(
            (orders, "a locked coupon's order awaits its payment and is its diner's"),
            ("coupons", "state"),
            ("'USED'", "'LOCKED'"),
            &coupon(used),
        ),
        put(
            (orders, "a used coupon's order was paid and is its diner's"),
            ("coupons", "state"),
            ("'LOCKED'", "'USED'"),
            &coupon(locked),
        ),
        put(
            (orders, "a coupon that no order has takes nothing off"),
            ("coupons", "order_id"),
            ("NULL", &world.closed),
            &coupon(free),
        ),
        // Two orders name it: it is held by the wrong one.
        put(
            (orders, "the order names the coupon"),
            ("coupons", "order_id"),
            (&world.paid, &world.rejected),
            &coupon(used),
        ),
        put(
            (orders, "what the order took off = what its coupons take off"),
            ("coupons", "order_id"),
            (&world.paid, &world.rejected),
            &coupon(used),
        ),
    ]
}

fn money_deeds(world: &World) -> Vec<Deed> {
    let World { paid, closed, rejected, unpaid, .. } = world;
    let captured = |order: &str| format!("order_id = {order} AND state = 'CAPTURED'");
    let second = |order: &str, amount: i64| {
        let insert = format!(
            "INSERT INTO payments (id, scope, body_hash, ask_at_ms, order_id, state, version, \
             amount_minor, currency, method, created_at_ms, updated_at_ms) VALUES \
             (77, 'second', '', 0, {order}, 'CAPTURED', 1, {amount}, 'EUR', 'sandbox_capture', 0, 0)"
        );
        ([insert], ["DELETE FROM payments WHERE id = 77".to_owned()])
    };
    let (twice, never_twice) = second(paid, 500);
    let (for_nothing, never_for_nothing) = second(unpaid, 500);
    let (nothing_more, never_nothing_more) = second(paid, 0);
    vec![
        raised(
            "money",
            "an order whose money stands keeps its total",
            "payments",
            &["amount_minor"],
            &captured(paid),
        ),
        put(
            ("money", "an order whose money stands keeps one payment"),
            ("payments", "state"),
            ("'CAPTURED'", "'CANCELED'"),
            &format!("order_id = {paid} AND state IN ('CAPTURED', 'CANCELED')"),
        ),
        deed("money", "an order whose money stands keeps its total", &twice, &never_twice),
        deed(
            "money",
            "an order whose money stands keeps one payment",
            &nothing_more,
            &never_nothing_more,
        ),
        deed("money", "any other order keeps nothing", &for_nothing, &never_for_nothing),
        raised(
            "money",
            "any other order keeps nothing",
            "payments",
            &["amount_minor"],
            &captured(closed),
        ),
        raised(
            "money",
            "a refund is of a captured payment's amount",
            "payments",
            &["amount_minor"],
            &captured(rejected),
        ),
        put(
            ("money", "a payment has an order, whose total it asks for"),
            ("payments", "currency"),
            ("'EUR'", "'USD'"),
            &captured(closed),
        ),
        raised(
            "money",
            "a payment has an order, whose total it asks for",
            "payments",
            &["amount_minor"],
            "state = 'AUTHORIZED'",
        ),
        raised(
            "money",
            "captured - refunded - owed = standing, in all",
            "payments",
            &["amount_minor"],
            &captured(paid),
        ),
    ]
}

fn order_deeds(world: &World) -> Vec<Deed> {
    let World { paid, closed, .. } = world;
    // As if the pack's news were of something else, or older than it is.
    let news = |from: String, to: String| {
        format!("UPDATE outbox SET payload = REPLACE(payload, '{from}', '{to}')")
    };
    let of = |order: &str| format!("\"subject_id\":\"{order}\",\"payload\":{{\"state\"");
    let captured = |version: i64| {
        format!("{}:\"PAID\",\"store_id\":\"{}\",\"version\":{version}", of(paid), world.store)
    };
    // Numbered packs, of which nothing says that an order has changed.
    let feed = |packs: &[(i64, i64)], head: i64| {
        let pack = |(first, last): &(i64, i64)| {
            let one = "{\"topic\":\"x\",\"subject_id\":\"1\",\"payload\":0}";
            let news: Vec<_> = (*first..=*last).map(|_| one).collect();
            format!("({last}, {first}, '[{}]', 9000000000000)", news.join(","))
        };
        let packs: Vec<_> = packs.iter().map(pack).collect();
        let into = "INSERT INTO feed (seq, first_seq, payload, created_at_ms) VALUES";
        [format!("{into} {}", packs.join(", ")), format!("UPDATE feed_head SET seq = {head}")]
    };
    let empty = ["DELETE FROM feed".to_owned(), "UPDATE feed_head SET seq = 0".to_owned()];
    let lines = |from: &str, to: &str| {
        format!("UPDATE order_lines SET order_id = {to} WHERE order_id = {from}")
    };
    vec![
        deed("order-lines", "an order has lines", &[lines(closed, "7")], &[lines("7", closed)]),
        deed("order-lines", "a line has an order", &[lines(closed, "7")], &[lines("7", closed)]),
        put(
            ("order-lines", "a line's item has stock"),
            ("order_lines", "item_id"),
            (&world.tea.to_string(), "7"),
            &format!("order_id = {closed}"),
        ),
        raised(
            "snapshots",
            "total = the snapshot's total",
            "orders",
            &["total_minor"],
            &format!("id = {closed}"),
        ),
        deed("feed", "numbers without gaps", &feed(&[(1, 4), (6, 7)], 7), &empty),
        deed("feed", "numbers without gaps", &feed(&[(1, 4), (4, 7)], 7), &empty),
        deed("feed", "the head is not behind the last number", &feed(&[(3, 4), (5, 7)], 6), &empty),
        deed(
            "news",
            "an order has left news",
            &[news(of(paid), of("7"))],
            &[news(of("7"), of(paid))],
        ),
        deed(
            "news",
            "the newest news of an order names its version",
            &[news(captured(2), captured(1))],
            &[news(captured(1), captured(2))],
        ),
        raised(
            "news",
            "the newest news of an order names its version",
            "orders",
            &["version"],
            &format!("id = {paid}"),
        ),
        deed(
            "news",
            "a pack holds as much news as it counts",
            &["UPDATE outbox SET events = 103 WHERE events = 3".to_owned()],
            &["UPDATE outbox SET events = 3 WHERE events = 103".to_owned()],
        ),
    ]
}

#[tokio::test]
async fn each_falsification_is_found_by_the_check_that_is_for_it() {
    let world = World::new().await;
    // The gate's counter of the template would differ from a falsified one of the ledger.
    let template = world.template.parse().unwrap();
    world.core.app.fast.forget(GateTag::Template(template), &[template]).await.unwrap();
    let deeds =
        [stock_deeds(&world), coupon_deeds(&world), money_deeds(&world), order_deeds(&world)];
    for Deed { check, rule, done, undone } in deeds.into_iter().flatten() {
        world.run(&done).await;
        let report = world.audit().await;
        assert_eq!(dirty(&report), [check], "{rule}: {done:?} {report:#?}");
        assert!(!report.clean, "{rule}");
        let check = report.checks.iter().find(|found| found.check == check).unwrap();
        assert!(check.examples.iter().any(|example| example.rule == rule), "{rule}: {check:#?}");
        assert!(check.violations >= check.examples.len() as u64, "{check:#?}");
        world.run(&undone).await;
    }
    let report = world.audit().await;
    assert!(report.clean, "everything was undone: {report:#?}");
}

/// What no single check finds alone.
#[tokio::test]
async fn what_comes_back_from_paid_orders_is_proved() {
    let world = World::new().await;
    let keeps = format!("UPDATE orders SET units_back = 0 WHERE id = {}", world.rejected);
    world.run(&[keeps]).await;
    assert_eq!(dirty(&world.audit().await), ["sold", "returns"]);
    let as_before = format!("UPDATE orders SET units_back = 1 WHERE id = {}", world.rejected);
    let used = format!("UPDATE orders SET coupons_back = 1 WHERE id = {}", world.paid);
    world.run(&[as_before, used]).await;
    let report = world.audit().await;
    assert_eq!(dirty(&report), ["coupon-orders", "returns"]);
    let orders = report.checks.iter().find(|check| check.check == "coupon-orders").unwrap();
    let rule = "a used coupon's order was paid and is its diner's";
    assert!(orders.examples.iter().any(|example| example.rule == rule), "{orders:#?}");
}

#[tokio::test]
async fn a_counter_of_the_gate_is_wrong_only_if_it_stays_so() {
    let world = World::new().await;
    let (fast, tag) = (&world.core.app.fast, GateTag::Store(world.store));
    let left = fast.counters(tag, &[world.tea]).await.unwrap()[0].unwrap();

    fast.load(tag, &[(world.tea, left + 3)], true).await.unwrap();
    let heal = async {
        tokio::time::sleep(limits::AUDIT_GATE_PAUSE / 2).await;
        fast.load(tag, &[(world.tea, left)], true).await.unwrap();
    };
    let (report, ()) = tokio::join!(world.audit(), heal);
    assert!(report.clean && report.gate.off == 1, "{report:#?}");

    fast.load(tag, &[(world.tea, left - 3)], true).await.unwrap();
    let in_progress = auditor::begin(&world.core.app).unwrap();
    let refused = ask(&world.core, "").await;
    refused.problem(503, "unavailable");
    assert!(refused.headers.contains_key("retry-after"));
    let report = in_progress.await.unwrap().unwrap();
    assert_eq!(dirty(&report), ["gate"]);
    let example = report.checks.last().unwrap().examples[0].clone();
    assert_eq!((example.found, example.expected), (Some(left - 3), Some(left)));

    // The report is kept, for who does not need a fresh one.
    let kept = ask(&world.core, "?max_age_s=60").await.expect(200);
    assert_eq!(kept, serde_json::to_value(report.as_ref()).unwrap());
    fast.load(tag, &[(world.tea, left)], true).await.unwrap();
    assert!(world.audit().await.clean);

    let template: i64 = world.template.parse().unwrap();
    let claims = GateTag::Template(template);
    assert_eq!(fast.counters(claims, &[template]).await.unwrap(), [Some(97)], "3 of 100 are gone");
    fast.load(claims, &[(template, 0)], true).await.unwrap();
    let report = world.audit().await;
    let example = report.checks.last().unwrap().examples[0].clone();
    assert_eq!((dirty(&report), example.expected), (vec!["gate"], Some(97)), "{example:?}");
}

#[tokio::test]
async fn a_gate_that_cannot_be_asked_is_no_finding() {
    let world = World::new().await;
    let nobody = Redis::open("redis://127.0.0.1:1").unwrap();
    let db = &world.core.app.db;
    let report = audit::run(db, Some(&nobody), 0).await.unwrap();
    assert!(report.clean && report.gate.state == AuditGateState::Unavailable, "{report:#?}");
    let report = audit::run(db, None, 0).await.unwrap();
    assert!(report.clean && report.gate.state == AuditGateState::NotAsked, "{report:#?}");
}

#[tokio::test]
async fn the_audit_is_for_the_core_team() {
    let core = Core::start().await;
    core.get("/v1/admin/audit").await.problem(403, "forbidden");
    let report = ask(&core, "").await.expect(200);
    assert_eq!((&report["clean"], &report["money"]), (&json!(true), &json!([])));
    ask(&core, "?max_age_s=-1").await.problem(400, "bad-request");
}

/// The real program on a ledger that somebody else has open.
fn command(data: &std::path::Path, database: Option<&str>) -> Output {
    let mut command = Command::new(env!("CARGO_BIN_EXE_core-service"));
    command.args(["audit", "--data"]).arg(data);
    command.env_remove("TIFFIN_DATABASE_URL").env_remove("TIFFIN_REDIS_URL");
    database.iter().for_each(|url| _ = command.args(["--database", url]));
    command.output().unwrap()
}

#[tokio::test]
async fn the_command_says_what_it_found_and_exits_so() {
    let folder = tempfile::tempdir().unwrap();
    let missing = command(folder.path(), None);
    let said = String::from_utf8_lossy(&missing.stderr).into_owned();
    assert!(missing.status.code() == Some(1) && said.contains("has no ledger"), "{said}");

    let url = std::env::var("TIFFIN_TEST_DATABASE_URL").ok().map(|server| {
        let name = folder.path().file_name().unwrap().to_string_lossy().replace('.', "");
        format!("{}/audit_{name}", server.trim_end_matches('/'))
    });
    let location = match &url {
        Some(url) => Location::url(url).unwrap(),
        None => Location::file(&folder.path().join("ledger.sqlite")),
    };
    let db = Db::open(&location).await.unwrap();
    let clean = command(folder.path(), url.as_deref());
    let said = String::from_utf8_lossy(&clean.stdout).into_owned();
    assert!(clean.status.success() && said.ends_with("\nclean\n"), "{clean:?}");

    let mut tx = db.write().await.unwrap();
    let held = sqlx::query("INSERT INTO held_units (user_id, units) VALUES (7, 3)");
    held.execute(&mut *tx).await.unwrap();
    tx.commit().await.unwrap();
    let found = command(folder.path(), url.as_deref());
    let said = String::from_utf8_lossy(&found.stdout).into_owned();
    assert_eq!(found.status.code(), Some(1), "{said}");
    assert!(said.contains("user 7: 3, should be 0") && said.ends_with("\nNOT CLEAN\n"), "{said}");
}
