//! Ids never repeat: under a clock that stops, steps back or jumps; after a restart; with many cores.

use super::lease::{LeaseError, NodeLease, Timing};
use super::*;
use crate::clock::{ManualClock, SystemClock};
use crate::db::{Db, testing};
use crate::limits;
use std::collections::HashSet;
use std::time::Duration;
use tempfile::TempDir;
use tokio_util::sync::CancellationToken;

const NOW_MS: i64 = EPOCH_MS + 1_000_000;

fn node_of(id: i64) -> i64 {
    (id >> SEQUENCE_BITS) & MAX_NODE
}

#[test]
fn ids_grow_while_the_clock_stands_still_or_steps_back() {
    let clock = Arc::new(ManualClock::at(EPOCH_MS + 1_000));
    let ids = IdGenerator::new(clock.clone(), 7);
    let mut previous = 0;
    for round in 0..20_000 {
        if round == 10_000 {
            clock.advance(-500);
        }
        let id = ids.next();
        assert!(id > previous, "round {round}");
        assert_eq!(node_of(id), 7);
        previous = id;
    }
}

struct Ledger {
    db: Db,
    clock: Arc<ManualClock>,
    _folder: TempDir,
}

impl Ledger {
    async fn fresh() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let db = Db::open(&testing::fresh(folder.path())).await.unwrap();
        Self { db, clock: Arc::new(ManualClock::at(NOW_MS)), _folder: folder }
    }

    async fn take(&self) -> Result<NodeLease, LeaseError> {
        NodeLease::take(self.db.clone(), self.clock.clone()).await
    }

    async fn run(&self, statement: &'static str) {
        let mut tx = self.db.write().await.unwrap();
        sqlx::query(statement).execute(&mut *tx).await.unwrap();
        tx.commit().await.unwrap();
    }

    /// As time passes for the leases of cores that are gone.
    async fn end_leases(&self) {
        self.run("UPDATE nodes SET lease_until_ms = 0").await;
    }
}

#[tokio::test]
async fn cores_that_start_together_have_a_node_each() {
    let ledger = Ledger::fresh().await;
    let starts = (0..48).map(|_| {
        let db = ledger.db.clone();
        tokio::spawn(async move { NodeLease::take(db, Arc::new(SystemClock)).await.unwrap() })
    });
    let leases = futures::future::try_join_all(starts).await.unwrap();
    let mut seen = HashSet::new();
    for lease in &leases {
        let ids = lease.ids();
        ids.check().unwrap();
        assert!((0..1_000).all(|_| seen.insert(ids.next())));
    }
    let nodes: HashSet<_> = seen.iter().copied().map(node_of).collect();
    assert_eq!(nodes.len(), leases.len());
}

#[tokio::test]
async fn a_stop_gives_the_node_back_at_once() {
    let ledger = Ledger::fresh().await;
    let first = ledger.take().await.unwrap();
    let before: Vec<_> = (0..10_000).map(|_| first.ids().next()).collect();
    first.release().await.unwrap();
    assert_eq!(first.ids().check(), Err(NoLease));
    let straggler = first.ids().next();

    ledger.clock.advance(limits::NODE_LEFT_MS + 10);
    let second = ledger.take().await.unwrap();
    let after = second.ids().next();
    assert_eq!(node_of(after), node_of(before[0]), "the same number again");
    assert!(after > straggler && straggler > *before.last().unwrap());
}

#[tokio::test]
async fn after_a_crash_another_node_is_taken_until_the_clock_has_passed_what_was_reserved() {
    let ledger = Ledger::fresh().await;
    let crashed = ledger.take().await.unwrap();
    let last = crashed.ids().next();
    assert_ne!(node_of(ledger.take().await.unwrap().ids().next()), node_of(last), "leased");
    ledger.end_leases().await;
    let second = ledger.take().await.unwrap();
    assert_ne!(node_of(second.ids().next()), node_of(last), "reserved ahead of the clock");

    ledger.end_leases().await;
    ledger.clock.advance(limits::NODE_LEASE_MS);
    let third = ledger.take().await.unwrap();
    let id = third.ids().next();
    assert_eq!(node_of(id), node_of(last));
    assert!(id > last);
}

#[tokio::test]
async fn a_core_that_lost_its_node_moves_and_meets_nobody() {
    let ledger = Ledger::fresh().await;
    let paused = ledger.take().await.unwrap();
    let ids = paused.ids();
    let mut seen: HashSet<_> = (0..100).map(|_| ids.next()).collect();
    let (node, mut last) = (node_of(ids.next()), ids.next());
    ledger.end_leases().await;

    // The one that takes over has a clock that is far ahead; the paused one goes on with what it had reserved.
    let ahead = Arc::new(ManualClock::at(NOW_MS + limits::NODE_LEASE_MS));
    let other = NodeLease::take(ledger.db.clone(), ahead).await.unwrap();
    assert_eq!(node_of(other.ids().next()), node);
    for round in 0..200_000 {
        if round == 100_000 {
            paused.renew().await.unwrap();
        }
        let id = ids.next();
        assert!(id > last && seen.insert(id) && seen.insert(other.ids().next()), "round {round}");
        last = id;
    }
    assert_ne!(node_of(last), node, "it has moved");
    assert_eq!(ids.check(), Ok(()));
}

#[tokio::test]
async fn a_clock_that_stepped_back_across_a_restart_repeats_nothing() {
    let ledger = Ledger::fresh().await;
    let mut seen = HashSet::new();
    for step_ms in [0, -3_600_000, 1_000, -500, 7_200_000, -7_200_000, 0] {
        ledger.clock.advance(step_ms);
        let lease = ledger.take().await.unwrap();
        let ids = lease.ids();
        assert!((0..5_000).all(|_| seen.insert(ids.next())), "after {step_ms} ms");
        ledger.clock.advance(-200);
        lease.renew().await.unwrap();
        assert!((0..5_000).all(|_| seen.insert(ids.next())), "and stepping back under way");
        lease.release().await.unwrap();
    }
}

#[tokio::test]
async fn a_core_that_cannot_renew_stops_in_time_and_goes_on_when_it_can() {
    let ledger = Ledger::fresh().await;
    let lease = ledger.take().await.unwrap();
    let ids = lease.ids();
    let safe_ms = limits::NODE_LEASE_MS - limits::NODE_SPARE_MS;
    ledger.clock.advance(safe_ms - 1);
    assert_eq!(ids.check(), Ok(()));
    let last_by_clock = ids.next();

    // Whoever was let through finds ids, however far the clock runs meanwhile.
    ledger.clock.advance(3_600_000);
    assert_eq!(ids.check(), Err(NoLease));
    let mut last = last_by_clock;
    for _ in 0..100_000 {
        let id = ids.try_next().unwrap();
        assert!(id > last);
        last = id;
    }
    lease.renew().await.unwrap();
    assert_eq!(ids.check(), Ok(()));
    assert!(ids.next() > last);
}

#[tokio::test]
async fn no_id_is_older_than_the_check_that_let_its_work_in() {
    let ledger = Ledger::fresh().await;
    let lease = ledger.take().await.unwrap();
    let ids = lease.ids();
    let first = ids.next();
    let safe_ms = limits::NODE_LEASE_MS - limits::NODE_SPARE_MS;
    ledger.clock.advance(safe_ms - 1);
    assert_eq!(ids.check(), Ok(()));
    ledger.clock.advance(safe_ms);
    assert_eq!(instant_ms(ids.next()), instant_ms(first) + safe_ms - 1);

    // Nor than the last renewal, though nothing was minted meanwhile and the clock was set back.
    ledger.clock.advance(3_600_000);
    lease.renew().await.unwrap();
    let renewed_ms = ledger.clock.now_ms();
    ledger.clock.advance(-7_200_000);
    assert!(instant_ms(ids.next()) >= renewed_ms);
}

#[tokio::test]
async fn what_is_reserved_is_the_end() {
    let ledger = Ledger::fresh().await;
    let timing = Timing { lease_ms: 3, spare_ms: 2, ..Timing::default() };
    let lease = NodeLease::take_for(ledger.db.clone(), ledger.clock.clone(), timing).await.unwrap();
    let ids = lease.ids();
    assert_eq!(ids.check(), Ok(()));
    let minted: HashSet<_> = std::iter::from_fn(|| ids.try_next().ok()).collect();
    assert_eq!(minted.len(), 3 * (1 << SEQUENCE_BITS), "every id of three milliseconds, each once");
    assert_eq!((ids.check(), ids.try_next()), (Err(NoLease), Err(NoLease)));
}

#[tokio::test]
async fn a_kept_lease_goes_on_until_the_database_is_gone() {
    let ledger = Ledger::fresh().await;
    let timing = Timing {
        lease_ms: 1_000,
        spare_ms: 200,
        renew: Duration::from_millis(100),
        retry: Duration::from_millis(20),
    };
    let lease = NodeLease::take_for(ledger.db.clone(), Arc::new(SystemClock), timing).await;
    let lease = Arc::new(lease.unwrap());
    let (ids, stop) = (lease.ids(), CancellationToken::new());
    let keeper = Arc::clone(&lease);
    let told = stop.clone();
    let kept = tokio::spawn(async move { keeper.keep(told).await });
    for _ in 0..15 {
        tokio::time::sleep(Duration::from_millis(100)).await;
        assert_eq!(ids.check(), Ok(()), "renewed all the time");
        ids.next();
    }
    ledger.db.close().await;
    let deadline = tokio::time::Instant::now() + Duration::from_secs(5);
    while ids.check().is_ok() {
        assert!(tokio::time::Instant::now() < deadline, "it must notice");
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    stop.cancel();
    kept.await.unwrap();
}

#[tokio::test]
async fn a_full_house_and_a_slow_clock_are_told_apart() {
    let ledger = Ledger::fresh().await;
    let mut tx = ledger.db.write().await.unwrap();
    let row = |node: i64| [node.into(), "x".into(), i64::MAX.into(), (NOW_MS + 60_000).into()];
    let into = "nodes (node, owner, lease_until_ms, minted_until_ms)";
    crate::db::bulk::insert(&mut tx, into, (0..=MAX_NODE).map(row).collect()).await.unwrap();
    tx.commit().await.unwrap();
    let error = ledger.take().await.err().unwrap();
    assert!(matches!(error, LeaseError::AllTaken { .. }), "{error}");
    assert!(error.to_string().starts_with("all 1024 node numbers are leased"), "{error}");

    ledger.end_leases().await;
    let error = ledger.take().await.err().unwrap();
    assert!(matches!(error, LeaseError::ClockBehind { behind_ms: 60_000 }), "{error}");
    ledger.run("UPDATE nodes SET minted_until_ms = 0 WHERE node = 1023").await;
    assert_eq!(node_of(ledger.take().await.unwrap().ids().next()), 1023);
}

#[test]
fn an_id_tells_its_instant() {
    let ids = IdGenerator::new(Arc::new(ManualClock::at(NOW_MS)), 5);
    let id = ids.next();
    assert_eq!(instant_ms(id), NOW_MS);
    assert!((lowest_at(NOW_MS)..lowest_at(NOW_MS + 1)).contains(&id));
    // Also of instants before there were ids.
    assert_eq!(instant_ms(lowest_at(1_000)), 1_000);
    assert_eq!(instant_ms(lowest_at(1_000) - 1), 999);
}
