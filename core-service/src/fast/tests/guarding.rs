//! What a Redis that is gone, frozen or back again costs behind its guard.

use super::server::Server;
use super::{PATIENT, wish};
use crate::clock::SystemClock;
use crate::fast::breaker::BreakerState;
use crate::fast::guarded::{Drift, Guarded};
use crate::fast::redis::Redis;
use crate::fast::{Admit, Allowance, FastError, FastStore, GateTag, Rate, Window};
use crate::limits;
use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::{Duration, Instant};

const TAG: GateTag = GateTag::Store(7);

/// Guarded, with time enough for a busy machine.
fn guarded(server: &Server) -> Guarded {
    guarded_within(server, PATIENT)
}

fn guarded_within(server: &Server, timeout: Duration) -> Guarded {
    let redis = Redis::open_within(&server.url(), timeout).unwrap();
    Guarded::new(Arc::new(redis), Arc::new(SystemClock))
}

async fn until_closed(store: &Guarded) {
    let patience = Instant::now() + PATIENT;
    while store.ping().await.is_err() {
        assert!(Instant::now() < patience, "the breaker did not close: {store:?}");
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    assert_eq!(store.state(), BreakerState::Closed);
}

/// Asks `times` and returns how long that took.
async fn ask(store: &Guarded, times: u32) -> Duration {
    let start = Instant::now();
    for request in 0..times {
        let answer = store.admit(&wish(TAG, &request.to_string(), &[(1, 1)])).await;
        assert_eq!(answer, Ok(Admit::Unknown));
    }
    start.elapsed()
}

#[tokio::test]
async fn a_server_that_is_not_there_is_done_without_and_used_once_it_comes() {
    let Some(mut server) = Server::reserve(&[]) else { return };
    let store = guarded(&server);
    ask(&store, limits::FAST_FAILURES).await;
    assert_eq!(store.state(), BreakerState::Open);
    assert_eq!(store.failures(), u64::from(limits::FAST_FAILURES));
    let lease = store.lease("l", "me", PATIENT).await;
    assert!(matches!(lease, Err(FastError::Unavailable(_))), "{lease:?}");
    server.run();
    until_closed(&store).await;
    assert!(store.lease("l", "me", PATIENT).await.unwrap());
    assert_eq!(store.admit(&wish(TAG, "a", &[(1, 1)])).await, Ok(Admit::Unknown));
    store.load(TAG, &[(1, 1)], true).await.unwrap();
    assert_eq!(store.admit(&wish(TAG, "a", &[(1, 1)])).await, Ok(Admit::Admitted));
}

#[tokio::test]
async fn a_frozen_server_slows_a_few_calls_and_then_none() {
    let Some(server) = Server::start() else { return };
    let store = guarded_within(&server, limits::FAST_TIMEOUT);
    until_closed(&store).await;
    without_a_frozen_server(&server, &store).await;
}

#[tokio::test]
async fn a_server_that_is_frozen_from_the_start_is_used_once_it_thaws() {
    let Some(server) = Server::start() else { return };
    server.freeze();
    let store = guarded_within(&server, limits::FAST_TIMEOUT);
    without_a_frozen_server(&server, &store).await;
}

/// Freezes it, calls for two seconds, thaws it, and waits until it is used again.
async fn without_a_frozen_server(server: &Server, store: &Guarded) {
    server.freeze();
    let took = ask(store, limits::FAST_FAILURES).await;
    let most = limits::FAST_TIMEOUT * limits::FAST_FAILURES + Duration::from_secs(1);
    assert!(took < most, "{took:?}");
    assert_eq!(store.state(), BreakerState::Open);
    // Long enough for probes, which nobody waits for.
    let (start, mut calls, mut took) = (Instant::now(), 0, Duration::ZERO);
    while start.elapsed() < limits::FAST_OPEN * 2 {
        took += ask(store, 1).await;
        calls += 1;
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    assert!(took / calls < limits::FAST_TIMEOUT / 5, "{calls} calls took {took:?}");
    assert_eq!(store.failures(), u64::from(limits::FAST_FAILURES));
    server.thaw();
    until_closed(store).await;
}

#[tokio::test]
async fn limits_hold_without_the_server() {
    let Some(server) = Server::reserve(&[]) else { return };
    let store = guarded(&server);
    let (rate, window) = (Rate::per_minute(3, 1), Window { limit: 3, window_ms: 60_000 });
    let (mut tokens, mut slots) = (0, 0);
    for event in 0..20_i64 {
        let id = event.to_string();
        tokens += i32::from(store.take_token("k", rate, event).await == Ok(Allowance::Allowed));
        slots += i32::from(store.slide("k", window, event, &id).await == Ok(Allowance::Allowed));
    }
    assert_eq!((tokens, slots), (3, 3));
}

#[tokio::test]
async fn gates_that_missed_a_move_are_named_for_repair() {
    let Some(mut server) = Server::start() else { return };
    let store = guarded(&server);
    until_closed(&store).await;
    store.load(TAG, &[(1, 5)], true).await.unwrap();
    assert_eq!(store.admit(&wish(TAG, "a", &[(1, 1)])).await, Ok(Admit::Admitted));
    assert_eq!(store.take_drift(), Drift::default());
    server.kill();
    assert!(store.release(TAG, 1, &[(1, 1)]).await.is_err());
    assert!(store.settle(GateTag::Template(3), 1, 1).await.is_err());
    let gates = BTreeSet::from([TAG, GateTag::Template(3)]);
    assert_eq!(store.take_drift(), Drift { gates: gates.clone(), everything: false });
    assert_eq!(store.take_drift(), Drift::default());
    store.put_drift(Drift { gates: gates.clone(), everything: false });
    assert_eq!(store.take_drift().gates, gates);
    let most = i64::try_from(limits::FAST_DRIFTED_GATES).unwrap();
    let many = (0..=most).map(GateTag::Store).collect();
    store.put_drift(Drift { gates: many, everything: false });
    assert_eq!(store.take_drift(), Drift { gates: BTreeSet::new(), everything: true });
}

#[tokio::test]
async fn an_answer_out_of_protocol_does_not_open_the_breaker() {
    let Some(server) = Server::start() else { return };
    let store = guarded(&server);
    until_closed(&store).await;
    server.command::<()>(&["RPUSH", &crate::fast::keys::lease("l"), "x"]);
    for _ in 0..limits::FAST_FAILURES * 2 {
        let answer = store.release_lease("l", "me").await;
        assert!(matches!(answer, Err(FastError::Protocol(_))), "{answer:?}");
    }
    assert_eq!((store.state(), store.failures()), (BreakerState::Closed, 0));
}
