//! Single flight, and the memory of what must not be flown together.
//!
//! The first request that misses leads: its fetch is a task of its own, so that it is not lost when the client goes away.
//! Others that ask for the same wait for the landing. If the answer cannot be shared they go by themselves, at once and
//! all together, and the key is remembered: while it is, nobody waits for anybody.

use std::collections::HashMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio::sync::watch;

use super::entry::Entry;
use crate::limits;

/// How a flight ended.
#[derive(Clone)]
pub(super) enum Landing {
    /// With an answer for all.
    Shared(Arc<Entry>),
    /// The function failed.
    Failed,
    /// With an answer for the leader only.
    Alone,
}

/// What a request does about a flight.
pub(super) enum Role {
    /// It leads a new one.
    Leads(Obligation),
    /// It waits for one in progress.
    Waits(watch::Receiver<Option<Landing>>),
    /// There are too many.
    Alone,
}

/// The flights in progress.
#[derive(Default)]
pub(super) struct Flights(Mutex<HashMap<String, watch::Receiver<Option<Landing>>>>);

/// The duty to land a flight.
///
/// Invariant: while a key is among the flights exactly one obligation for it lives, and its drop takes the key out. One that
/// is dropped without landing closes the channel: who waits sees that, and one of them leads anew.
pub(super) struct Obligation {
    flights: Arc<Flights>,
    key: String,
    landing: watch::Sender<Option<Landing>>,
}

impl Flights {
    /// Joins the flight for a key, or begins one.
    pub(super) fn join(self: &Arc<Self>, key: &str) -> Role {
        let mut flights = self.lock();
        if let Some(flight) = flights.get(key) {
            return Role::Waits(flight.clone());
        }
        if flights.len() >= limits::MAX_CACHE_FLIGHTS {
            return Role::Alone;
        }
        let (landing, flight) = watch::channel(None);
        flights.insert(key.to_owned(), flight);
        Role::Leads(Obligation { flights: Arc::clone(self), key: key.to_owned(), landing })
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<String, watch::Receiver<Option<Landing>>>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Obligation {
    /// Tells those who wait. What is shared was stored before, so that nobody in between flies again.
    pub(super) fn land(self, landing: Landing) {
        self.landing.send_replace(Some(landing));
    }
}

impl Drop for Obligation {
    fn drop(&mut self) {
        self.flights.lock().remove(&self.key);
    }
}

/// Keys whose answers were not to be shared, each until some moment.
///
/// A table of fixed size: a slot holds half of the key's hash and the moment; the later key of two in
/// one slot stays. To forget one costs a wait, to take one for another (once in four billion) a fetch.
pub(super) struct Unshared(Box<[AtomicU64]>);

/// Moments are kept in tenths of seconds, which 32 bits hold for thirteen years.
const STEP_MS: i64 = 100;

impl Unshared {
    /// Nothing is remembered.
    pub(super) fn new() -> Self {
        Self((0..limits::UNSHARED_SLOTS).map(|_| AtomicU64::new(0)).collect())
    }

    /// Remembers a key by its hash.
    pub(super) fn remember(&self, hash: u64, until_ms: i64) {
        let until = u32::try_from(until_ms / STEP_MS + 1).unwrap_or(0);
        self.slot(hash).store(half(hash) | u64::from(until), Ordering::Relaxed);
    }

    /// Its answers are to be shared after all.
    pub(super) fn forget(&self, hash: u64) {
        if self.slot(hash).load(Ordering::Relaxed) & HALF == half(hash) {
            self.slot(hash).store(0, Ordering::Relaxed);
        }
    }

    /// Whether a key is remembered.
    pub(super) fn contains(&self, hash: u64, now_ms: i64) -> bool {
        let known = self.slot(hash).load(Ordering::Relaxed);
        let until_ms = i64::try_from(known & !HALF).unwrap_or(0) * STEP_MS;
        known & HALF == half(hash) && now_ms < until_ms
    }

    fn slot(&self, hash: u64) -> &AtomicU64 {
        let slot = hash % self.0.len() as u64;
        &self.0[usize::try_from(slot).unwrap_or(0)]
    }
}

const HALF: u64 = 0xffff_ffff_0000_0000;

fn half(hash: u64) -> u64 {
    hash & HALF
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::{Flights, Landing, Role, Unshared};
    use crate::limits;

    #[tokio::test]
    async fn one_leads_and_the_others_hear_how_it_ended() {
        let flights = Arc::new(Flights::default());
        let Role::Leads(leader) = flights.join("k") else { panic!("the first leads") };
        let Role::Waits(mut waiter) = flights.join("k") else { panic!("the second waits") };
        assert!(matches!(flights.join("other"), Role::Leads(_)));
        leader.land(Landing::Alone);
        let landing = waiter.wait_for(Option::is_some).await.unwrap().clone();
        assert!(matches!(landing, Some(Landing::Alone)));
        assert!(flights.lock().is_empty());
    }

    #[tokio::test]
    async fn a_flight_that_is_given_up_frees_who_waits() {
        let flights = Arc::new(Flights::default());
        let Role::Leads(leader) = flights.join("k") else { panic!("the first leads") };
        let Role::Waits(mut waiter) = flights.join("k") else { panic!("the second waits") };
        drop(leader);
        assert!(waiter.wait_for(Option::is_some).await.is_err());
        assert!(matches!(flights.join("k"), Role::Leads(_)));
    }

    #[test]
    fn flights_are_bounded() {
        let flights = Arc::new(Flights::default());
        let all: Vec<_> =
            (0..limits::MAX_CACHE_FLIGHTS).map(|n| flights.join(&n.to_string())).collect();
        assert!(matches!(flights.join("one more"), Role::Alone));
        drop(all);
        assert!(matches!(flights.join("one more"), Role::Leads(_)));
    }

    #[test]
    fn a_key_is_remembered_for_its_time_and_forgotten_at_will() {
        let unshared = Unshared::new();
        let (key, same_slot) = (7 << 32 | 5, 8 << 32 | 5);
        assert!(!unshared.contains(key, 0));
        unshared.remember(key, 10_000);
        assert!(unshared.contains(key, 0) && unshared.contains(key, 10_000));
        assert!(!unshared.contains(key, 10_100));
        assert!(!unshared.contains(same_slot, 0));
        unshared.forget(same_slot);
        assert!(unshared.contains(key, 0), "another key's news");
        unshared.remember(same_slot, 10_000);
        assert!(!unshared.contains(key, 0) && unshared.contains(same_slot, 0));
        unshared.forget(same_slot);
        assert!(!unshared.contains(same_slot, 0));
    }
}
