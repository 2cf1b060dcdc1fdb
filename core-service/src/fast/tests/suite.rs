//! The rules that every store keeps. Each is one function, run on each store.

use super::{PATIENT, fresh, fresh_gate, shared_redis, wish};
use crate::clock::SystemClock;
use crate::fast::memory::Memory;
use crate::fast::{Admission, Admit, Allowance, FastStore, GateTag, Heard, Rate, Window};
use bytes::Bytes;
use std::sync::Arc;
use std::time::Duration;

macro_rules! on_every_store {
    ($($rule:ident),* $(,)?) => {$(
        mod $rule {
            #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
            async fn in_process() {
                super::$rule(super::memory()).await;
            }

            #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
            async fn on_redis() {
                if let Some(store) = super::shared_redis() {
                    super::$rule(store).await;
                }
            }
        }
    )*};
}

on_every_store!(
    a_request_is_admitted_once,
    everything_is_checked_before_anything_is_taken,
    an_item_named_twice_counts_twice,
    nobody_holds_more_than_the_cap,
    giving_back_undoes_an_admission_once,
    a_closed_order_returns_its_units_and_a_paid_one_does_not,
    loading_fills_gaps_or_overwrites,
    gates_know_nothing_of_each_other,
    of_a_thousand_racing_for_a_hundred_units_a_hundred_win,
    a_bucket_gives_its_burst_and_then_its_rate,
    a_slow_bucket_says_when_to_come_back,
    a_window_slides,
    an_event_counts_once,
    a_lease_has_one_owner,
    a_lease_ends_by_itself,
    cached_values_live_for_their_ttl,
    news_reach_who_listens,
);

fn memory() -> Arc<dyn FastStore> {
    Arc::new(Memory::new(Arc::new(SystemClock)))
}

type Store = Arc<dyn FastStore>;

async fn load(store: &Store, tag: GateTag, left: &[(i64, i64)]) {
    store.load(tag, left, true).await.unwrap();
}

async fn admit(store: &Store, admission: Admission<'_>) -> Admit {
    store.admit(&admission).await.unwrap()
}

/// The counters of items 1, 2 and 3.
async fn left(store: &Store, tag: GateTag) -> [Option<i64>; 3] {
    store.counters(tag, &[1, 2, 3]).await.unwrap().try_into().unwrap()
}

async fn a_request_is_admitted_once(store: Store) {
    let tag = fresh_gate();
    load(&store, tag, &[(1, 5)]).await;
    assert_eq!(admit(&store, wish(tag, "a", &[(1, 2)])).await, Admit::Admitted);
    // Whatever it asks for the second time, and even if it would be refused now.
    assert_eq!(admit(&store, wish(tag, "a", &[(1, 9), (2, 1)])).await, Admit::Repeat);
    assert_eq!(left(&store, tag).await, [Some(3), None, None]);
    assert_eq!(store.held(tag, 1).await.unwrap(), 2);
    // The last unit sells.
    assert_eq!(admit(&store, wish(tag, "b", &[(1, 3)])).await, Admit::Admitted);
    assert_eq!(left(&store, tag).await[0], Some(0));
}

async fn everything_is_checked_before_anything_is_taken(store: Store) {
    let tag = fresh_gate();
    load(&store, tag, &[(1, 5), (2, 1)]).await;
    let refusals = [
        // A missing counter comes before one that is too low.
        (wish(tag, "a", &[(1, 9), (3, 1)]), Admit::Unknown),
        (wish(tag, "a", &[(2, 2), (1, 9)]), Admit::SoldOut { item: 1 }),
        (wish(tag, "a", &[(1, 1), (2, 2)]), Admit::SoldOut { item: 2 }),
        // Sold out comes before the cap.
        (
            Admission { held_cap_units: 1, ..wish(tag, "a", &[(1, 1), (2, 2)]) },
            Admit::SoldOut { item: 2 },
        ),
        (Admission { held_cap_units: 1, ..wish(tag, "a", &[(1, 1), (2, 1)]) }, Admit::OverCap),
    ];
    for (admission, answer) in refusals {
        assert_eq!(admit(&store, admission).await, answer, "{admission:?}");
        assert_eq!(left(&store, tag).await, [Some(5), Some(1), None], "{admission:?}");
        assert_eq!(store.held(tag, 1).await.unwrap(), 0, "{admission:?}");
    }
    // A refused request may come again.
    assert_eq!(admit(&store, wish(tag, "a", &[(1, 1), (2, 1)])).await, Admit::Admitted);
    assert_eq!(left(&store, tag).await, [Some(4), Some(0), None]);
}

async fn an_item_named_twice_counts_twice(store: Store) {
    let tag = fresh_gate();
    load(&store, tag, &[(1, 5)]).await;
    let answer = admit(&store, wish(tag, "a", &[(1, 3), (1, 3)])).await;
    assert_eq!(answer, Admit::SoldOut { item: 1 });
    // Nobody gains units by wanting fewer than none.
    assert_eq!(admit(&store, wish(tag, "b", &[(1, 3), (1, -2), (1, 2)])).await, Admit::Admitted);
    assert_eq!(left(&store, tag).await[0], Some(0));
}

async fn nobody_holds_more_than_the_cap(store: Store) {
    let tag = fresh_gate();
    load(&store, tag, &[(1, 50)]).await;
    let capped =
        |user, request| Admission { user, held_cap_units: 5, ..wish(tag, request, &[(1, 3)]) };
    assert_eq!(admit(&store, capped(1, "a")).await, Admit::Admitted);
    assert_eq!(admit(&store, capped(1, "b")).await, Admit::OverCap);
    assert_eq!(admit(&store, capped(2, "c")).await, Admit::Admitted);
    store.settle(tag, 1, 1).await.unwrap();
    assert_eq!(admit(&store, capped(1, "b")).await, Admit::Admitted);
    assert_eq!(store.held(tag, 1).await.unwrap(), 5);
    store.set_held(tag, 1, 2).await.unwrap();
    assert_eq!(admit(&store, capped(1, "d")).await, Admit::Admitted);
    store.set_held(tag, 1, 0).await.unwrap();
    assert_eq!(store.held(tag, 1).await.unwrap(), 0);
}

async fn giving_back_undoes_an_admission_once(store: Store) {
    let tag = fresh_gate();
    load(&store, tag, &[(1, 5), (2, 5)]).await;
    let admission = wish(tag, "a", &[(1, 2), (2, 3)]);
    assert!(!store.give_back(&admission).await.unwrap(), "it was never admitted");
    assert_eq!(admit(&store, admission).await, Admit::Admitted);
    assert_eq!(admit(&store, wish(tag, "b", &[(1, 1)])).await, Admit::Admitted);
    assert!(store.give_back(&admission).await.unwrap());
    assert!(!store.give_back(&admission).await.unwrap(), "it was given back already");
    assert_eq!(left(&store, tag).await, [Some(4), Some(5), None]);
    assert_eq!(store.held(tag, 1).await.unwrap(), 1);
    assert_eq!(admit(&store, admission).await, Admit::Admitted);
    // What has been forgotten meanwhile is not made up.
    store.forget(tag, &[1]).await.unwrap();
    assert!(store.give_back(&admission).await.unwrap());
    assert_eq!(left(&store, tag).await, [None, Some(5), None]);
}

async fn a_closed_order_returns_its_units_and_a_paid_one_does_not(store: Store) {
    let tag = fresh_gate();
    load(&store, tag, &[(1, 5), (2, 5)]).await;
    assert_eq!(admit(&store, wish(tag, "a", &[(1, 2), (2, 2)])).await, Admit::Admitted);
    store.release(tag, 1, &[(1, 1), (3, 1)]).await.unwrap();
    assert_eq!(left(&store, tag).await, [Some(4), Some(3), None]);
    assert_eq!(store.held(tag, 1).await.unwrap(), 2);
    store.settle(tag, 1, 9).await.unwrap();
    assert_eq!(left(&store, tag).await, [Some(4), Some(3), None]);
    assert_eq!(store.held(tag, 1).await.unwrap(), 0, "never below none");
    store.release(tag, 1, &[(2, 1)]).await.unwrap();
    assert_eq!(left(&store, tag).await[1], Some(4));
    assert_eq!(store.held(tag, 1).await.unwrap(), 0);
}

async fn loading_fills_gaps_or_overwrites(store: Store) {
    let tag = fresh_gate();
    assert_eq!(left(&store, tag).await, [None; 3]);
    store.load(tag, &[(1, 5)], false).await.unwrap();
    store.load(tag, &[(1, 9), (2, 0)], false).await.unwrap();
    assert_eq!(left(&store, tag).await, [Some(5), Some(0), None]);
    store.load(tag, &[(1, 9), (3, -1)], true).await.unwrap();
    assert_eq!(left(&store, tag).await, [Some(9), Some(0), Some(-1)]);
    store.forget(tag, &[1, 3]).await.unwrap();
    assert_eq!(left(&store, tag).await, [None, Some(0), None]);
    for nothing in [store.load(tag, &[], true).await, store.forget(tag, &[]).await] {
        nothing.unwrap();
    }
    assert_eq!(store.counters(tag, &[]).await.unwrap(), []);
}

async fn gates_know_nothing_of_each_other(store: Store) {
    let id = fresh();
    let [shop, template] = [GateTag::Store(id), GateTag::Template(id)];
    load(&store, shop, &[(1, 1)]).await;
    assert_eq!(admit(&store, wish(template, "a", &[(1, 1)])).await, Admit::Unknown);
    load(&store, template, &[(1, 1)]).await;
    assert_eq!(admit(&store, wish(shop, "a", &[(1, 1)])).await, Admit::Admitted);
    assert_eq!(admit(&store, wish(template, "a", &[(1, 1)])).await, Admit::Admitted);
    assert_eq!(store.held(shop, 1).await.unwrap(), 1);
}

async fn of_a_thousand_racing_for_a_hundred_units_a_hundred_win(store: Store) {
    let tag = fresh_gate();
    load(&store, tag, &[(1, 100)]).await;
    let mut racers = tokio::task::JoinSet::new();
    for racer in 0..1_000_i64 {
        let store = store.clone();
        racers.spawn(async move {
            let request = racer.to_string();
            admit(&store, Admission { user: racer, ..wish(tag, &request, &[(1, 1)]) }).await
        });
    }
    let answers = racers.join_all().await;
    let count = |wanted| answers.iter().filter(|answer| **answer == wanted).count();
    assert_eq!(count(Admit::Admitted), 100);
    assert_eq!(count(Admit::SoldOut { item: 1 }), 900);
    assert_eq!(left(&store, tag).await[0], Some(0));
}

async fn a_bucket_gives_its_burst_and_then_its_rate(store: Store) {
    let (key, rate) = (fresh().to_string(), Rate::per_second(3, 2));
    let take = |now_ms| store.take_token(&key, rate, now_ms);
    for _ in 0..3 {
        assert_eq!(take(1_000_000).await.unwrap(), Allowance::Allowed);
    }
    assert_eq!(take(1_000_000).await.unwrap(), Allowance::Denied { retry_after_ms: 500 });
    assert_eq!(take(1_000_499).await.unwrap(), Allowance::Denied { retry_after_ms: 1 });
    assert_eq!(take(1_000_500).await.unwrap(), Allowance::Allowed);
    // A clock that steps back neither gives nor takes.
    assert_eq!(take(999_000).await.unwrap(), Allowance::Denied { retry_after_ms: 500 });
    assert_eq!(take(1_000_999).await.unwrap(), Allowance::Denied { retry_after_ms: 1 });
    // However long it waits, it never holds more than its burst.
    for _ in 0..3 {
        assert_eq!(take(9_000_000).await.unwrap(), Allowance::Allowed);
    }
    assert_eq!(take(9_000_000).await.unwrap(), Allowance::Denied { retry_after_ms: 500 });
}

async fn a_slow_bucket_says_when_to_come_back(store: Store) {
    let (key, rate) = (fresh().to_string(), Rate::per_minute(1, 7));
    assert_eq!(store.take_token(&key, rate, 0).await.unwrap(), Allowance::Allowed);
    let denied = store.take_token(&key, rate, 0).await.unwrap();
    assert_eq!(denied, Allowance::Denied { retry_after_ms: 8_572 }, "60,000 / 7, rounded up");
    assert_eq!(store.take_token(&key, rate, 8_572).await.unwrap(), Allowance::Allowed);
    let closed = Rate::per_minute(0, 1);
    let denied = store.take_token(&fresh().to_string(), closed, 0).await.unwrap();
    assert_ne!(denied, Allowance::Allowed);
}

async fn a_window_slides(store: Store) {
    let key = fresh().to_string();
    let slide = async |now_ms: i64| {
        let window = Window { limit: 2, window_ms: 1_000 };
        store.slide(&key, window, now_ms, &now_ms.to_string()).await.unwrap()
    };
    assert_eq!(slide(10_900).await, Allowance::Allowed);
    assert_eq!(slide(11_100).await, Allowance::Allowed);
    // A fixed window from 11,000 on would let this pass: three events within 300 ms.
    assert_eq!(slide(11_200).await, Allowance::Denied { retry_after_ms: 700 });
    assert_eq!(slide(11_899).await, Allowance::Denied { retry_after_ms: 1 });
    assert_eq!(slide(11_900).await, Allowance::Allowed);
    assert_eq!(slide(12_000).await, Allowance::Denied { retry_after_ms: 100 });
    assert_eq!(slide(12_100).await, Allowance::Allowed);
    // A limit that was lowered waits for all that are in its way.
    let window = Window { limit: 1, window_ms: 1_000 };
    let lowered = store.slide(&key, window, 12_200, "x").await.unwrap();
    assert_eq!(lowered, Allowance::Denied { retry_after_ms: 900 });
    let closed = Window { limit: 0, window_ms: 1_000 };
    let denied = store.slide(&fresh().to_string(), closed, 0, "x").await.unwrap();
    assert_eq!(denied, Allowance::Denied { retry_after_ms: 1_000 });
}

async fn an_event_counts_once(store: Store) {
    let (key, window) = (fresh().to_string(), Window { limit: 2, window_ms: 1_000 });
    for now_ms in [0, 1, 2] {
        let again = store.slide(&key, window, now_ms, "a").await.unwrap();
        assert_eq!(again, Allowance::Allowed);
    }
    assert_eq!(store.slide(&key, window, 3, "b").await.unwrap(), Allowance::Allowed);
    assert_eq!(store.slide(&key, window, 4, "a").await.unwrap(), Allowance::Allowed);
    let full = store.slide(&key, window, 4, "c").await.unwrap();
    assert_eq!(full, Allowance::Denied { retry_after_ms: 996 });
}

async fn a_lease_has_one_owner(store: Store) {
    let name = fresh().to_string();
    assert!(store.lease(&name, "a", PATIENT).await.unwrap());
    assert!(!store.lease(&name, "b", PATIENT).await.unwrap());
    assert!(store.lease(&name, "a", PATIENT).await.unwrap(), "its owner renews it");
    assert!(!store.release_lease(&name, "b").await.unwrap(), "nobody ends another's lease");
    assert!(!store.lease(&name, "b", PATIENT).await.unwrap());
    assert!(store.release_lease(&name, "a").await.unwrap());
    assert!(!store.release_lease(&name, "a").await.unwrap());
    assert!(store.lease(&name, "b", PATIENT).await.unwrap());
}

async fn a_lease_ends_by_itself(store: Store) {
    let name = fresh().to_string();
    assert!(store.lease(&name, "a", Duration::from_millis(40)).await.unwrap());
    tokio::time::sleep(Duration::from_millis(80)).await;
    assert!(store.lease(&name, "b", PATIENT).await.unwrap());
    assert!(!store.release_lease(&name, "a").await.unwrap(), "what it has lost it cannot end");
}

async fn cached_values_live_for_their_ttl(store: Store) {
    let (key, value) = (fresh().to_string(), Bytes::from_static(b"\x00\xff value"));
    assert_eq!(store.cache_get(&key).await.unwrap(), None);
    store.cache_put(&key, value.clone(), PATIENT).await.unwrap();
    assert_eq!(store.cache_get(&key).await.unwrap(), Some(value.clone()));
    store.cache_drop(&key).await.unwrap();
    assert_eq!(store.cache_get(&key).await.unwrap(), None);
    store.cache_put(&key, value, Duration::from_millis(40)).await.unwrap();
    tokio::time::sleep(Duration::from_millis(80)).await;
    assert_eq!(store.cache_get(&key).await.unwrap(), None);
}

async fn news_reach_who_listens(store: Store) {
    let channel = fresh().to_string();
    let message = Bytes::from_static(b"\x00\xff");
    store.publish(&channel, Bytes::from_static(b"nobody listens")).await.unwrap();
    let mut readers = [store.subscribe(&channel), store.subscribe(&channel)];
    for reader in &mut readers {
        assert_eq!(reader.recv().await, Some(Heard::Gap), "what came before was missed");
    }
    store.publish(&fresh().to_string(), Bytes::from_static(b"elsewhere")).await.unwrap();
    store.publish(&channel, message.clone()).await.unwrap();
    for reader in &mut readers {
        assert_eq!(reader.recv().await, Some(Heard::Message(message.clone())));
    }
}
