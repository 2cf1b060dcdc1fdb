//! The in-process gate and Redis's answer alike, whatever is asked of them.

use super::{fresh_gate, shared_redis};
use crate::clock::SystemClock;
use crate::fast::memory::Memory;
use crate::fast::{Admission, FastStore, GateTag, Rate, Window};
use proptest::prelude::*;
use proptest::test_runner::{Config, TestRunner};
use std::sync::Arc;

#[derive(Debug, Clone)]
enum Call {
    Admit { user: i64, request: u8, wants: Vec<(i64, i64)>, cap: i64 },
    GiveBack { user: i64, request: u8, wants: Vec<(i64, i64)> },
    Release { user: i64, items: Vec<(i64, i64)> },
    Settle { user: i64, units: i64 },
    Load { left: Vec<(i64, i64)>, overwrite: bool },
    Forget { item: i64 },
    SetHeld { user: i64, units: i64 },
    TakeToken { now_ms: i64 },
    Slide { now_ms: i64, event: u8 },
}

fn call() -> impl Strategy<Value = Call> {
    let items = || prop::collection::vec((0..4_i64, -1..6_i64), 0..4);
    let loads = prop::collection::btree_map(0..4_i64, 0..20_i64, 1..4);
    prop_oneof![
        6 => (0..3_i64, 0..12_u8, items(), 0..12_i64)
            .prop_map(|(user, request, wants, cap)| Call::Admit { user, request, wants, cap }),
        3 => (0..3_i64, 0..12_u8, items())
            .prop_map(|(user, request, wants)| Call::GiveBack { user, request, wants }),
        2 => (0..3_i64, items()).prop_map(|(user, items)| Call::Release { user, items }),
        1 => (0..3_i64, 0..6_i64).prop_map(|(user, units)| Call::Settle { user, units }),
        2 => (loads, any::<bool>())
            .prop_map(|(left, overwrite)| Call::Load { left: left.into_iter().collect(), overwrite }),
        1 => (0..4_i64).prop_map(|item| Call::Forget { item }),
        1 => (0..3_i64, -1..6_i64).prop_map(|(user, units)| Call::SetHeld { user, units }),
        2 => (0..5_000_i64).prop_map(|now_ms| Call::TakeToken { now_ms }),
        2 => (0..5_000_i64, 0..20_u8).prop_map(|(now_ms, event)| Call::Slide { now_ms, event }),
    ]
}

/// What a call answers and what the gate looks like afterwards, as text.
async fn outcome(store: &dyn FastStore, tag: GateTag, call: &Call) -> String {
    let key = format!("{tag:?}");
    let answer = match call {
        Call::Admit { user, request, wants, cap } => {
            let request = request.to_string();
            let [user, held_cap_units] = [*user, *cap];
            let admission = Admission { tag, user, request: &request, wants, held_cap_units };
            format!("{:?}", store.admit(&admission).await)
        }
        Call::GiveBack { user, request, wants } => {
            let request = request.to_string();
            let admission =
                Admission { tag, user: *user, request: &request, wants, held_cap_units: 0 };
            format!("{:?}", store.give_back(&admission).await)
        }
        Call::Release { user, items } => format!("{:?}", store.release(tag, *user, items).await),
        Call::Settle { user, units } => format!("{:?}", store.settle(tag, *user, *units).await),
        Call::Load { left, overwrite } => format!("{:?}", store.load(tag, left, *overwrite).await),
        Call::Forget { item } => format!("{:?}", store.forget(tag, &[*item]).await),
        Call::SetHeld { user, units } => format!("{:?}", store.set_held(tag, *user, *units).await),
        Call::TakeToken { now_ms } => {
            let rate = Rate::per_minute(5, 53);
            format!("{:?}", store.take_token(&key, rate, *now_ms).await)
        }
        Call::Slide { now_ms, event } => {
            let window = Window { limit: 3, window_ms: 700 };
            format!("{:?}", store.slide(&key, window, *now_ms, &event.to_string()).await)
        }
    };
    let left = store.counters(tag, &[0, 1, 2, 3]).await.unwrap();
    let mut held = Vec::new();
    for user in 0..3 {
        held.push(store.held(tag, user).await.unwrap());
    }
    format!("{answer} left {left:?} held {held:?}")
}

#[test]
fn redis_and_its_twin_agree_on_every_sequence_of_calls() {
    let runtime = tokio::runtime::Runtime::new().unwrap();
    let Some(redis) = runtime.block_on(async { shared_redis() }) else { return };
    let mut runner = TestRunner::new(Config { cases: 128, ..Config::default() });
    let calls = prop::collection::vec(call(), 1..50);
    let agreed = runner.run(&calls, |calls| {
        let (tag, twin) = (fresh_gate(), Memory::new(Arc::new(SystemClock)));
        runtime.block_on(async {
            for call in &calls {
                let expected = outcome(&twin, tag, call).await;
                prop_assert!(!expected.contains("Err"), "{expected}");
                prop_assert_eq!(outcome(&*redis, tag, call).await, expected, "{:?}", call);
            }
            Ok(())
        })
    });
    agreed.unwrap();
}
