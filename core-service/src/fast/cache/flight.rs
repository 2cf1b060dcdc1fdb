//! Single flight: of all who miss the same key in this process, one loads and the others wait for it.
//!
//! Invariant: a key stands in the map as long as its [`Obligation`] lives. Dropping the obligation, fulfilled
//! or not, takes the key out and wakes all who wait; if it was not fulfilled, one of them leads next.

use bytes::Bytes;
use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use tokio::sync::watch;

type Outcome<E> = Result<Bytes, Arc<E>>;

/// The flights under way.
pub(super) struct Flights<E>(Mutex<HashMap<String, watch::Receiver<Option<Outcome<E>>>>>);

impl<E> Default for Flights<E> {
    fn default() -> Self {
        Self(Mutex::default())
    }
}

/// What a caller is to a flight.
pub(super) enum Role<'a, E> {
    /// It loads.
    Leader(Obligation<'a, E>),
    /// It waits.
    Waiter(Flight<E>),
}

/// Somebody else's load.
pub(super) struct Flight<E>(watch::Receiver<Option<Outcome<E>>>);

/// The duty to load, on behalf of all who wait.
pub(super) struct Obligation<'a, E> {
    flights: &'a Flights<E>,
    key: String,
    outcome: watch::Sender<Option<Outcome<E>>>,
}

impl<E> Flights<E> {
    pub(super) fn join(&self, key: &str) -> Role<'_, E> {
        let mut flights = self.lock();
        if let Some(flight) = flights.get(key) {
            return Role::Waiter(Flight(flight.clone()));
        }
        let (outcome, flight) = watch::channel(None);
        flights.insert(key.to_owned(), flight);
        Role::Leader(Obligation { flights: self, key: key.to_owned(), outcome })
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<String, watch::Receiver<Option<Outcome<E>>>>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl<E> Flight<E> {
    /// The leader's outcome; `None` if it gave up.
    pub(super) async fn outcome(mut self) -> Option<Outcome<E>> {
        let outcome = self.0.wait_for(Option::is_some).await.ok()?;
        outcome.clone()
    }
}

impl<E> Obligation<'_, E> {
    /// Hands the outcome to all who wait.
    pub(super) fn fulfil(self, outcome: Outcome<E>) {
        self.outcome.send_replace(Some(outcome));
    }
}

impl<E> Drop for Obligation<'_, E> {
    fn drop(&mut self) {
        self.flights.lock().remove(&self.key);
    }
}
