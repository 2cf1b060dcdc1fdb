//! What the read cache promises, on the in-process store with a clock that tests move.

use super::*;
use crate::clock::ManualClock;
use crate::fast::memory::Memory;
use std::sync::atomic::AtomicUsize;
use tokio::sync::Notify;

const TTL: Duration = Duration::from_secs(10);

struct World {
    clock: Arc<ManualClock>,
    store: Arc<Memory>,
    loads: AtomicUsize,
}

impl World {
    fn new() -> Self {
        let clock = Arc::new(ManualClock::at(1_000_000));
        let store = Arc::new(Memory::new(clock.clone()));
        Self { clock, store, loads: AtomicUsize::new(0) }
    }

    fn cache(&self, seed: u64) -> ReadCache<&'static str> {
        ReadCache::seeded(self.store.clone(), self.clock.clone(), seed)
    }

    /// A load that takes `load_ms` of the clock; its value is its number.
    async fn load(&self, load_ms: i64) -> Result<Bytes, &'static str> {
        let number = self.loads.fetch_add(1, Ordering::SeqCst) + 1;
        tokio::task::yield_now().await;
        self.clock.advance(load_ms);
        Ok(number.to_string().into())
    }

    fn loads(&self) -> usize {
        self.loads.load(Ordering::SeqCst)
    }
}

#[tokio::test]
async fn a_value_is_loaded_once_and_again_after_its_end() {
    let world = World::new();
    let cache = world.cache(1);
    for _ in 0..5 {
        assert_eq!(cache.get_or_load("k", TTL, || world.load(1)).await.unwrap(), "1");
    }
    world.clock.advance(10_000);
    assert_eq!(cache.get_or_load("k", TTL, || world.load(1)).await.unwrap(), "2");
    cache.forget("k").await;
    assert_eq!(cache.get_or_load("k", TTL, || world.load(1)).await.unwrap(), "3");
    assert_eq!(cache.get_or_load("other", TTL, || world.load(1)).await.unwrap(), "4");
}

#[tokio::test]
async fn a_hundred_who_miss_together_load_once() {
    let world = World::new();
    let cache = world.cache(1);
    let asked = (0..100).map(|_| cache.get_or_load("k", TTL, || world.load(1)));
    for value in futures::future::join_all(asked).await {
        assert_eq!(value.unwrap(), "1");
    }
}

#[tokio::test]
async fn two_processes_that_miss_together_load_once() {
    let world = World::new();
    let caches = [world.cache(1), world.cache(2)];
    let asked = (0..20).map(|asker| caches[asker % 2].get_or_load("k", TTL, || world.load(1)));
    for value in futures::future::join_all(asked).await {
        assert_eq!(value.unwrap(), "1");
    }
}

#[tokio::test(start_paused = true)]
async fn a_process_that_never_ends_its_load_does_not_hold_up_the_others() {
    let world = World::new();
    assert!(world.store.lease("cache:k", "another", limits::CACHE_LEASE).await.unwrap());
    let start = Instant::now();
    assert_eq!(world.cache(1).get_or_load("k", TTL, || world.load(1)).await.unwrap(), "1");
    assert!(start.elapsed() >= limits::CACHE_WAIT);
    assert!(start.elapsed() < limits::CACHE_WAIT * 2);
}

#[tokio::test]
async fn an_error_is_shared_and_not_cached() {
    let world = World::new();
    let cache = world.cache(1);
    let fail = || async {
        world.load(1).await.unwrap();
        Err("no luck")
    };
    let asked = (0..10).map(|_| cache.get_or_load("k", TTL, fail));
    for value in futures::future::join_all(asked).await {
        assert_eq!(*value.unwrap_err(), "no luck");
    }
    assert_eq!(world.loads(), 1);
    assert_eq!(cache.get_or_load("k", TTL, || world.load(1)).await.unwrap(), "2");
}

#[tokio::test]
async fn a_cancelled_load_passes_on_its_duty() {
    let world = Arc::new(World::new());
    let cache = Arc::new(world.cache(1));
    let began = Arc::new(Notify::new());
    let leader = tokio::spawn({
        let (cache, began) = (cache.clone(), began.clone());
        async move {
            let never = async || {
                began.notify_one();
                std::future::pending().await
            };
            cache.get_or_load("k", TTL, never).await
        }
    });
    began.notified().await;
    let waiter = tokio::spawn({
        let (cache, world) = (cache.clone(), world.clone());
        async move { cache.get_or_load("k", TTL, || world.load(1)).await }
    });
    tokio::task::yield_now().await;
    assert_eq!(world.loads(), 0, "it waits for the one who loads");
    leader.abort();
    assert_eq!(waiter.await.unwrap().unwrap(), "1");
}

#[tokio::test]
async fn a_popular_value_is_renewed_by_one_reader_before_it_ends() {
    let world = World::new();
    let cache = world.cache(1);
    let load_ms = 100;
    cache.get_or_load("k", TTL, || world.load(load_ms)).await.unwrap();
    // Read every millisecond, it is never loaded under everybody: each load is an early one.
    for _ in 0..50_000 {
        world.clock.advance(1);
        let before = world.loads();
        let present = world.store.cache_get("k").await.unwrap().and_then(Entry::decode);
        let value = cache.get_or_load("k", TTL, || world.load(load_ms)).await.unwrap();
        if world.loads() > before {
            let left_ms = present.expect("a value that lives").end_ms - world.clock.now_ms();
            assert!(left_ms + load_ms > 0, "it had ended");
            assert_eq!(value, world.loads().to_string());
        }
    }
    // 50 s of lives of 9 to 10 s, each shortened by a few load times.
    assert!((5..=8).contains(&world.loads()), "{} loads", world.loads());
}

#[tokio::test]
async fn a_renewal_that_fails_leaves_the_value_that_lives() {
    let world = World::new();
    let cache = world.cache(1);
    cache.get_or_load("k", TTL, || world.load(60_000)).await.unwrap();
    let entry = Entry { end_ms: world.clock.now_ms() + 10, load_ms: 60_000, value: "old".into() };
    world.store.cache_put("k", entry.encode(), TTL).await.unwrap();
    // So near its end, every reader wants to renew it.
    let tried = AtomicUsize::new(0);
    let fail = || async {
        tried.fetch_add(1, Ordering::SeqCst);
        Err("no luck")
    };
    assert_eq!(cache.get_or_load("k", TTL, fail).await.unwrap(), "old");
    assert_eq!(tried.load(Ordering::SeqCst), 1);
    // Another process renews it: the value at once, and no load.
    assert!(world.store.lease("cache:k", "another", limits::CACHE_LEASE).await.unwrap());
    assert_eq!(cache.get_or_load("k", TTL, fail).await.unwrap(), "old");
    assert_eq!(tried.load(Ordering::SeqCst), 1);
}

#[tokio::test]
async fn what_is_too_large_is_loaded_each_time() {
    let world = World::new();
    let cache = world.cache(1);
    for _ in 0..2 {
        let large = || async {
            world.load(1).await.unwrap();
            Ok(Bytes::from(vec![0; limits::CACHE_VALUE_BYTES + 1]))
        };
        cache.get_or_load("k", TTL, large).await.unwrap();
    }
    assert_eq!(world.loads(), 2);
}
