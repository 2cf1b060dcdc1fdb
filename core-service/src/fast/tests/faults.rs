//! Redis as it may be: without its scripts, killed, frozen, emptied, spoilt, a cluster.

use super::server::Server;
use super::{PATIENT, fresh_gate, wish};
use crate::clock::SystemClock;
use crate::fast::cache::ReadCache;
use crate::fast::redis::Redis;
use crate::fast::{Admit, Allowance, FastError, FastStore, GateTag, Heard, Rate, Window, keys};
use crate::limits;
use bytes::Bytes;
use std::convert::Infallible;
use std::sync::Arc;
use std::time::{Duration, Instant};

const TAG: GateTag = GateTag::Store(7);

fn patient(server: &Server) -> Redis {
    Redis::open_within(&server.url(), PATIENT).unwrap()
}

/// Calls until it succeeds.
async fn until_it_answers(store: &Redis) {
    let patience = Instant::now() + PATIENT;
    while store.ping().await.is_err() {
        assert!(Instant::now() < patience, "Redis is up and the connection did not come back");
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
}

/// Uses every script once.
async fn use_every_script(store: &Redis, tag: GateTag) {
    store.load(tag, &[(1, 5), (2, 5)], true).await.unwrap();
    let admission = wish(tag, "a", &[(1, 1), (2, 1)]);
    assert_eq!(store.admit(&admission).await.unwrap(), Admit::Admitted);
    assert!(store.give_back(&admission).await.unwrap());
    store.release(tag, 1, &[(1, 1), (2, 1)]).await.unwrap();
    assert_eq!(store.counters(tag, &[1, 2]).await.unwrap(), [Some(6), Some(6)]);
    let key = format!("{tag:?}");
    let rate = Rate::per_second(1, 1);
    assert_eq!(store.take_token(&key, rate, 0).await.unwrap(), Allowance::Allowed);
    let window = Window { limit: 1, window_ms: 1_000 };
    assert_eq!(store.slide(&key, window, 0, "x").await.unwrap(), Allowance::Allowed);
    assert!(store.lease(&key, "me", PATIENT).await.unwrap());
    assert!(store.release_lease(&key, "me").await.unwrap());
}

#[tokio::test]
async fn scripts_survive_script_flush() {
    let Some(server) = Server::start() else { return };
    let store = patient(&server);
    for _ in 0..3 {
        server.command::<()>(&["SCRIPT", "FLUSH"]);
        use_every_script(&store, fresh_gate()).await;
    }
    // Known again, they are called by their SHA, and nothing is sent twice.
    server.command::<()>(&["CONFIG", "RESETSTAT"]);
    use_every_script(&store, fresh_gate()).await;
    let calls: String = server.command(&["INFO", "commandstats"]);
    assert!(calls.contains("cmdstat_evalsha:calls=8,"), "{calls}");
    assert!(!calls.contains("cmdstat_script"), "{calls}");
}

#[tokio::test]
async fn a_killed_and_restarted_server_is_used_again() {
    let Some(mut server) = Server::start() else { return };
    let store = patient(&server);
    use_every_script(&store, fresh_gate()).await;
    server.kill();
    let failed = store.admit(&wish(TAG, "a", &[(1, 1)])).await;
    assert!(matches!(failed, Err(FastError::Unavailable(_))), "{failed:?}");
    server.run();
    until_it_answers(&store).await;
    use_every_script(&store, fresh_gate()).await;
}

#[tokio::test]
async fn a_frozen_server_costs_one_timeout_and_confuses_no_answers() {
    let Some(server) = Server::start() else { return };
    let store = Redis::open(&server.url()).unwrap();
    until_it_answers(&store).await;
    let patient = patient(&server);
    use_every_script(&patient, fresh_gate()).await;
    patient.load(TAG, &[(1, 100)], true).await.unwrap();
    server.freeze();
    for request in ["a", "b", "c"] {
        let start = Instant::now();
        let answer = store.admit(&wish(TAG, request, &[(1, 1)])).await;
        assert_eq!(answer, Err(FastError::Timeout));
        let took = start.elapsed();
        assert!(took < limits::FAST_TIMEOUT + Duration::from_millis(500), "{took:?}");
    }
    server.thaw();
    // The calls that timed out have their effect yet; later answers belong to later questions.
    until_it_answers(&store).await;
    assert_eq!(patient.counters(TAG, &[1]).await.unwrap(), [Some(97)]);
    assert_eq!(patient.admit(&wish(TAG, "a", &[(1, 1)])).await.unwrap(), Admit::Repeat);
    assert!(patient.give_back(&wish(TAG, "a", &[(1, 1)])).await.unwrap());
    assert_eq!(patient.counters(TAG, &[1]).await.unwrap(), [Some(98)]);
}

#[tokio::test]
async fn an_emptied_server_knows_nothing_until_it_is_loaded() {
    let Some(server) = Server::start() else { return };
    let store = patient(&server);
    store.load(TAG, &[(1, 5)], true).await.unwrap();
    server.command::<()>(&["FLUSHALL"]);
    let admission = wish(TAG, "a", &[(1, 1)]);
    assert_eq!(store.admit(&admission).await.unwrap(), Admit::Unknown);
    store.load(TAG, &[(1, 5)], false).await.unwrap();
    assert_eq!(store.admit(&admission).await.unwrap(), Admit::Admitted);
}

#[tokio::test]
async fn a_spoilt_counter_counts_as_missing_and_is_mended_by_loading() {
    let Some(server) = Server::start() else { return };
    let store = patient(&server);
    let (left, held) = (keys::left(TAG, 1), keys::held(TAG, 1));
    let spoilt: [&[&str]; 5] = [
        &["SET", &left, "many"],
        &["SET", &left, "1.5"],
        &["SET", &left, "1e3"],
        &["SET", &left, "99999999999999999999"],
        &["RPUSH", &left, "5"],
    ];
    for spoil in spoilt {
        server.command::<()>(&["DEL", &left]);
        server.command::<()>(spoil);
        let admission = wish(TAG, "a", &[(2, 1), (1, 1)]);
        store.load(TAG, &[(2, 5)], true).await.unwrap();
        assert_eq!(store.admit(&admission).await.unwrap(), Admit::Unknown, "{spoil:?}");
        assert_eq!(store.counters(TAG, &[1, 2]).await.unwrap(), [None, Some(5)], "{spoil:?}");
        store.release(TAG, 1, &[(1, 1)]).await.unwrap();
        store.load(TAG, &[(1, 5)], false).await.unwrap();
        assert_eq!(store.admit(&admission).await.unwrap(), Admit::Admitted, "{spoil:?}");
        assert!(store.give_back(&admission).await.unwrap());
    }
    // What somebody holds starts anew if it cannot be read.
    server.command::<()>(&["DEL", &held]);
    server.command::<()>(&["RPUSH", &held, "5"]);
    assert_eq!(store.held(TAG, 1).await.unwrap(), 0);
    assert_eq!(store.admit(&wish(TAG, "b", &[(1, 2)])).await.unwrap(), Admit::Admitted);
    assert_eq!(store.held(TAG, 1).await.unwrap(), 2);
}

#[tokio::test]
async fn what_is_remembered_ends_and_what_is_left_does_not() {
    let Some(server) = Server::start() else { return };
    let store = patient(&server);
    let [level, log] = [keys::bucket("k"), keys::window("k")];
    store.load(TAG, &[(1, 5)], true).await.unwrap();
    store.admit(&wish(TAG, "a", &[(1, 2)])).await.unwrap();
    store.settle(TAG, 1, 1).await.unwrap();
    store.take_token("k", Rate::per_second(2, 1), 0).await.unwrap();
    store.slide("k", Window { limit: 1, window_ms: 3_000 }, 0, "x").await.unwrap();
    let ttls = [
        (keys::seen(TAG, "a"), limits::GATE_SEEN_MS),
        (keys::held(TAG, 1), limits::GATE_HELD_MS),
        (level, limits::RATE_SLACK_MS + 1_000),
        (log, limits::RATE_SLACK_MS + 3_000),
    ];
    for (key, most_ms) in ttls {
        let ttl_ms: i64 = server.command(&["PTTL", &key]);
        assert!((most_ms - 10_000..=most_ms).contains(&ttl_ms), "{key} lives for {ttl_ms} ms");
    }
    assert_eq!(server.command::<i64>(&["PTTL", &keys::left(TAG, 1)]), -1);
}

#[tokio::test]
async fn a_cluster_takes_every_script() {
    let Some(server) = Server::start_with(&["--cluster-enabled", "yes"]) else { return };
    server.command::<()>(&["CLUSTER", "ADDSLOTSRANGE", "0", "16383"]);
    let patience = Instant::now() + PATIENT;
    while !server.command::<String>(&["CLUSTER", "INFO"]).contains("cluster_state:ok") {
        assert!(Instant::now() < patience, "the cluster did not form");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    // It refuses a script whose keys are not all of one slot, even though all slots are its own.
    let store = patient(&server);
    for tag in [GateTag::Store(7), GateTag::Template(7), GateTag::Store(8)] {
        use_every_script(&store, tag).await;
        let admission = wish(tag, "b", &[(1, 1), (2, 1)]);
        assert_eq!(store.admit(&admission).await.unwrap(), Admit::Admitted);
        store.forget(tag, &[1, 2]).await.unwrap();
    }
}

#[tokio::test]
async fn a_subscription_survives_a_restart_and_tells_of_the_gap() {
    let Some(mut server) = Server::start() else { return };
    let store = patient(&server);
    let mut news = store.subscribe("n");
    for message in ["before", "after"] {
        let heard = tokio::time::timeout(PATIENT, news.recv()).await.unwrap();
        assert_eq!(heard, Some(Heard::Gap), "{message}");
        until_it_answers(&store).await;
        let message = Bytes::from_static(message.as_bytes());
        store.publish("n", message.clone()).await.unwrap();
        let heard = tokio::time::timeout(PATIENT, news.recv()).await.unwrap();
        assert_eq!(heard, Some(Heard::Message(message)));
        server.kill();
        server.run();
    }
}

#[tokio::test]
async fn a_dropped_subscription_leaves_no_connection_behind() {
    let Some(server) = Server::start() else { return };
    let store = patient(&server);
    let mut news = store.subscribe("n");
    assert_eq!(news.recv().await, Some(Heard::Gap));
    let listeners = || server.command::<String>(&["CLIENT", "LIST", "TYPE", "pubsub"]);
    assert_eq!(listeners().lines().count(), 1);
    drop(news);
    let patience = Instant::now() + PATIENT;
    while !listeners().is_empty() {
        assert!(Instant::now() < patience, "the connection stayed");
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
}

#[tokio::test]
async fn a_dead_server_leaves_the_cache_to_its_loader() {
    let Some(mut server) = Server::start() else { return };
    let store = Arc::new(patient(&server));
    let cache = ReadCache::<Infallible>::new(store.clone(), Arc::new(SystemClock));
    let get = |value| cache.get_or_load("k", PATIENT, async move || Ok(Bytes::from(value)));
    assert_eq!(get("first").await.unwrap(), "first");
    assert_eq!(get("second").await.unwrap(), "first");
    server.kill();
    assert_eq!(get("third").await.unwrap(), "third");
    server.run();
    until_it_answers(&store).await;
    assert_eq!(get("fourth").await.unwrap(), "fourth");
    assert_eq!(get("fifth").await.unwrap(), "fourth");
}

#[tokio::test]
async fn addresses_that_cannot_be_used_are_refused_with_advice() {
    for url in ["", "localhost:6379", "http://localhost", "rediss://localhost"] {
        let error = Redis::open(url).unwrap_err();
        assert!(error.to_string().contains("redis://host:6379/0"), "{error}");
    }
}
