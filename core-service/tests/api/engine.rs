//! The commit engine by itself: who pays for a refusal, a panic, a bad row, a lost commit, a full lane.

use crate::support::{Core, text};
use core_service::app::{App, Settings};
use core_service::clock::Clock as _;
use core_service::db::DbError;
use core_service::engine::{Done, Engine, Operation, Step, Stop, SubmitError, Wants, WorkingSet};
use core_service::idempotency::{Answer, Keyed};
use core_service::ids::IdGenerator;
use core_service::limits;
use core_service::orders::create::Create;
use futures::future::join_all;
use http::StatusCode;
use serde_json::Value;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use tiffin_api::id::{OrderId, StoreId, UserId};
use tiffin_api::order::PlaceOrder;

const STORE: StoreId = StoreId::from_raw(1);

/// Sets the units that a user holds, or fails on the way.
struct Hold {
    user: i64,
    units: i64,
    end: End,
}

#[derive(Clone, Copy, PartialEq)]
enum End {
    Well,
    Refusal,
    Panic,
}

impl Operation for Hold {
    type Output = i64;

    fn wants(&self, wants: &mut Wants) {
        wants.users.insert(UserId::from_raw(self.user));
    }

    fn decide(&self, ledger: &mut WorkingSet) -> Result<i64, Stop> {
        let held = ledger.held_units.entry(&UserId::from_raw(self.user), || 0);
        *held += self.units;
        let held = *held;
        match self.end {
            End::Well => Ok(held),
            End::Refusal => Err(DbError::inconsistent("refused by the test").into()),
            End::Panic => panic!("a defect, by the test"),
        }
    }
}

fn hold(user: i64, units: i64) -> Hold {
    Hold { user, units, end: End::Well }
}

async fn held(core: &Core, user: i64) -> Option<i64> {
    let mut conn = core.app.db.read().await.unwrap();
    sqlx::query_scalar("SELECT units FROM held_units WHERE user_id = ?")
        .bind(user)
        .fetch_optional(&mut *conn)
        .await
        .unwrap()
}

#[tokio::test]
async fn a_refusal_and_a_panic_are_nobody_elses_and_leave_nothing() {
    let core = Core::start().await;
    let engine = &core.app.engine;
    // All of one user: what the failing ones did must not be seen by the next.
    let commands = (0..60).map(|n| {
        let end = match n % 3 {
            0 => End::Well,
            1 => End::Refusal,
            _ => End::Panic,
        };
        engine.submit(STORE, Hold { user: 7, units: 1, end })
    });
    let outcomes = join_all(commands).await;
    for (n, outcome) in outcomes.iter().enumerate() {
        match n % 3 {
            0 => assert_eq!(*outcome.as_ref().unwrap(), n as i64 / 3 + 1),
            1 => assert!(matches!(outcome, Err(SubmitError::Stopped(Stop::Failed(_))))),
            _ => assert!(matches!(outcome, Err(SubmitError::Panicked))),
        }
    }
    assert_eq!(held(&core, 7).await, Some(20));
}

#[tokio::test]
async fn a_row_that_the_schema_refuses_fails_alone() {
    let core = Core::start().await;
    let engine = &core.app.engine;
    let commands =
        (1..=40).map(|user| engine.submit(STORE, hold(user, if user == 13 { -1 } else { 1 })));
    let outcomes = join_all(commands).await;
    for (user, outcome) in (1..).zip(&outcomes) {
        assert_eq!(outcome.is_err(), user == 13, "user {user}: {outcome:?}");
        let expected = if user == 13 { None } else { Some(1) };
        assert_eq!(held(&core, user).await, expected, "user {user}");
    }
}

/// Answers with a count of its effects.
struct Count(i64);

impl Operation for Count {
    type Output = Answer;

    fn wants(&self, wants: &mut Wants) {
        wants.users.insert(UserId::from_raw(self.0));
    }

    fn decide(&self, ledger: &mut WorkingSet) -> Result<Answer, Stop> {
        let held = ledger.held_units.entry(&UserId::from_raw(self.0), || 0);
        *held += 1;
        Ok(Answer::json(StatusCode::OK, held))
    }

    fn record(output: &Answer) -> Option<&Answer> {
        Some(output)
    }
}

fn key(key: &str) -> Keyed {
    Keyed::new(UserId::from_raw(1), "/test", key, b"{}")
}

/// An engine beside the core's own whose first `times` batches fail at `step`.
fn failing(app: &App, step: Step, times: usize) -> Engine {
    let left = AtomicUsize::new(times);
    let fail_point = move |now| {
        let fails = now == step
            && left.fetch_update(Ordering::SeqCst, Ordering::SeqCst, |n| n.checked_sub(1)).is_ok();
        if fails { Err(DbError::Sqlx(sqlx::Error::WorkerCrashed)) } else { Ok(()) }
    };
    let ids = Arc::new(IdGenerator::new(Arc::clone(&app.clock), 2));
    Engine::start_failing(app.db.clone(), Arc::clone(&app.clock), ids, |_| {}, Arc::new(fail_point))
}

#[tokio::test]
async fn wherever_the_connection_is_lost_there_is_one_effect_and_one_answer() {
    let core = Core::start().await;
    let steps = [Step::Begun, Step::Loaded, Step::Decided, Step::Saved, Step::Committed];
    for (user, step) in (100..).zip(steps) {
        let engine = failing(&core.app, step, 2);
        let done =
            engine.submit_keyed(STORE, key(&format!("{user}")), None, Count(user)).await.unwrap();
        let (Done::Fresh(answer) | Done::Replayed(answer)) = done;
        assert_eq!(answer.body, b"1", "{step:?}");
        let again =
            engine.submit_keyed(STORE, key(&format!("{user}")), None, Count(user)).await.unwrap();
        assert!(matches!(again, Done::Replayed(again) if again == answer), "{step:?}");
        assert_eq!(held(&core, user).await, Some(1), "{step:?}");
    }
}

#[tokio::test]
async fn one_key_twice_in_a_batch_has_one_effect() {
    let core = Core::start().await;
    let twins = (0..50).map(|_| core.app.engine.submit_keyed(STORE, key("twin"), None, Count(5)));
    let outcomes = join_all(twins).await;
    let fresh = outcomes.iter().filter(|done| matches!(done, Ok(Done::Fresh(_)))).count();
    assert_eq!(fresh, 1);
    for done in outcomes {
        let (Done::Fresh(answer) | Done::Replayed(answer)) = done.unwrap();
        assert_eq!(answer.body, b"1");
    }
    assert_eq!(held(&core, 5).await, Some(1));
}

#[tokio::test]
async fn a_full_lane_refuses_and_loses_nothing() {
    let core = Core::start().await;
    core.app.engine.submit(STORE, hold(1, 0)).await.unwrap();
    // Somebody sits on the row: the lane's batch waits, and behind it the queue fills.
    let mut tx = core.app.db.write().await.unwrap();
    sqlx::query("UPDATE held_units SET units = 0 WHERE user_id = 1")
        .execute(&mut *tx)
        .await
        .unwrap();
    let most = limits::LANE_QUEUE + 2 * limits::BATCH_COMMANDS;
    let commands = (0..most).map(|_| core.app.engine.submit(STORE, hold(1, 1)));
    let free = async {
        tokio::time::sleep(std::time::Duration::from_millis(300)).await;
        tx.commit().await.unwrap();
    };
    let (outcomes, ()) = tokio::join!(join_all(commands), free);
    let busy = outcomes.iter().filter(|o| matches!(o, Err(SubmitError::Busy))).count();
    let done = outcomes.iter().filter(|o| o.is_ok()).count();
    assert_eq!(busy + done, most);
    assert!((1..=2 * limits::BATCH_COMMANDS).contains(&busy), "{busy} were refused");
    assert_eq!(held(&core, 1).await, Some(i64::try_from(done).unwrap()));
}

#[tokio::test]
async fn of_five_hundred_buyers_of_the_last_unit_one_wins_a_hundred_times() {
    let core = Core::start().await;
    let basket = core.basket("Last bun", 1, &[]).await;
    let body: PlaceOrder = serde_json::from_value(basket.clone()).unwrap();
    let item = text(&basket["lines"][0]["item_id"]).to_owned();
    for round in 0..100 {
        core.tamper(&[
            "UPDATE stock SET on_hand = 1, available = 1, reserved = 0, sold = 0 WHERE on_hand = 1",
        ])
        .await;
        let buyers = (0..500).map(|buyer| {
            let user = UserId::from_raw(10_000 + buyer);
            let keyed = Keyed::new(user, "/v1/orders", &format!("round {round}"), b"{}");
            let create = create(&core, user, body.clone());
            core.app.engine.submit_keyed(body.basket.store_id, keyed, None, create)
        });
        let outcomes = join_all(buyers).await;
        let won = outcomes.iter().filter(|outcome| outcome.is_ok()).count();
        assert_eq!(won, 1, "round {round}");
        assert_eq!(core.stock(&item).await, (1, 0, 1), "round {round}");
    }
    assert_eq!(core.count("SELECT COUNT(*) FROM orders").await, 100);
}

#[tokio::test]
async fn a_key_is_free_when_its_answer_is_told() {
    let core = Core::start().await;
    let basket = core.basket("Tea", 1, &[]).await;
    let body: PlaceOrder = serde_json::from_value(basket).unwrap();
    for round in 0..200 {
        let user = UserId::from_raw(20_000 + round);
        let keyed = Keyed::new(user, "/v1/orders", "key", b"{}");
        let scope = keyed.scope.clone();
        let claim = core.app.in_flight.claim(&scope).unwrap();
        let (store, order) = (body.basket.store_id, create(&core, user, body.clone()));
        core.app.engine.submit_keyed(store, keyed, Some(claim), order).await.unwrap();
        assert!(core.app.in_flight.claim(&scope).is_ok(), "round {round}");
    }
}

fn create(core: &Core, user: UserId, body: PlaceOrder) -> Create {
    let Settings { pay_within_ms, held_units_cap } = core.app.settings;
    Create {
        id: OrderId::from_raw(core.app.ids.next()),
        user,
        body,
        quoted: None,
        pay_within_ms,
        held_units_cap,
        keys: Arc::clone(&core.app.keys),
    }
}

#[tokio::test]
async fn units_in_unpaid_orders_have_a_cap_and_closing_frees_them() {
    let core = Core::start().await;
    assert!(core.clock.now_ms() > 0);
    let many = core.basket("Tea", 99, &[]).await;
    let mut orders: Vec<Value> = Vec::new();
    for _ in 0..limits::HELD_UNITS / 99 {
        orders.push(core.post("/v1/orders", &many).await.expect(201));
    }
    core.post("/v1/orders", &many).await.problem(409, "hold-limit-reached");
    let cancel = format!("/v1/orders/{}/cancel", text(&orders[0]["id"]));
    core.post(&cancel, &serde_json::json!({})).await.expect(200);
    core.post("/v1/orders", &many).await.expect(201);
    core.pay(&orders[1], "sandbox_capture").await.expect(201);
    core.post("/v1/orders", &many).await.expect(201);
}
