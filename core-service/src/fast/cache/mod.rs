//! The read cache: values that are costly to load, renewed before they end, by one caller at a time.
//!
//! - *Early renewal* keeps a popular value from ending under everybody at once: each reader renews it with a
//!   probability that grows as its end comes near, the sooner the longer it takes to load (XFetch: Vattani,
//!   Chierichetti, Lowenstein, "Optimal Probabilistic Cache Stampede Prevention", VLDB 2015,
//!   <https://doi.org/10.14778/2757807.2757813>). The one reader who renews waits for it, others do not.
//! - *Jitter*: lives are shortened at random, so that what was loaded together does not end together.
//! - *Single flight*: in one process ([`flight`]) all who wait share one load and its outcome, be it an
//!   error; among processes a short lease makes the others wait a moment for the value.
//!
//! Invariants: a failing store costs the benefit and nothing else, the loader is then asked. Nothing is served
//! after its end. A value that was loaded before a change and stored after it lives on until its end: put a
//! version into the key, or keep the life as short as you can bear.

mod entry;
mod flight;

use super::FastStore;
use crate::clock::Clock;
use crate::limits;
use bytes::Bytes;
use entry::Entry;
use flight::{Flights, Obligation, Role};
use std::hash::{BuildHasher as _, RandomState};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;
use tokio::time::Instant;

/// The cache; `E` is the loaders' error, which all who waited for a load share.
pub struct ReadCache<E> {
    store: Arc<dyn FastStore>,
    clock: Arc<dyn Clock>,
    flights: Flights<E>,
    /// Names this cache in leases.
    owner: String,
    random: Random,
}

impl<E> std::fmt::Debug for ReadCache<E> {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.debug_struct("ReadCache").finish_non_exhaustive()
    }
}

impl<E: Send + Sync> ReadCache<E> {
    /// A cache in `store`.
    pub fn new(store: Arc<dyn FastStore>, clock: Arc<dyn Clock>) -> Self {
        Self::seeded(store, clock, RandomState::new().hash_one("read cache"))
    }

    /// A cache whose chances follow from `seed`, which no other one at the same store may have.
    pub fn seeded(store: Arc<dyn FastStore>, clock: Arc<dyn Clock>, seed: u64) -> Self {
        let owner = format!("{seed:016x}");
        Self { store, clock, flights: Flights::default(), owner, random: Random(seed.into()) }
    }

    /// The value of `key`, loaded if need be and then kept for at most `ttl`. A load that fails while the
    /// value still lives gives the value.
    ///
    /// # Errors
    /// The loader's, shared with everybody who waited for it.
    pub async fn get_or_load<F, L>(
        &self,
        key: &str,
        ttl: Duration,
        load: F,
    ) -> Result<Bytes, Arc<E>>
    where
        F: FnOnce() -> L + Send,
        L: Future<Output = Result<Bytes, E>> + Send,
    {
        loop {
            let present = self.present(key).await;
            if let Some(entry) = &present
                && !entry.is_due(self.clock.now_ms(), self.random.unit())
            {
                return Ok(entry.value.clone());
            }
            match (self.flights.join(key), present) {
                (Role::Leader(obligation), present) => {
                    return self.lead(key, ttl, load, obligation, present).await;
                }
                // Somebody renews it while it lives.
                (Role::Waiter(_), Some(entry)) => return Ok(entry.value),
                (Role::Waiter(flight), None) => {
                    if let Some(outcome) = flight.outcome().await {
                        return outcome;
                    }
                    // Its leader was cancelled; perhaps it is our turn.
                }
            }
        }
    }

    /// Drops a value. See the module's note on loads that are under way.
    pub async fn forget(&self, key: &str) {
        if let Err(error) = self.store.cache_drop(key).await {
            tracing::debug!(%error, key, "a cached value could not be dropped and lives to its end");
        }
    }

    async fn present(&self, key: &str) -> Option<Entry> {
        let bytes = self.store.cache_get(key).await.ok().flatten()?;
        Entry::decode(bytes).filter(|entry| entry.end_ms > self.clock.now_ms())
    }

    /// Loads for all who wait in this process, unless another process does.
    async fn lead<F, L>(
        &self,
        key: &str,
        ttl: Duration,
        load: F,
        obligation: Obligation<'_, E>,
        present: Option<Entry>,
    ) -> Result<Bytes, Arc<E>>
    where
        F: FnOnce() -> L + Send,
        L: Future<Output = Result<Bytes, E>> + Send,
    {
        let lease = format!("cache:{key}");
        let leased = self.store.lease(&lease, &self.owner, limits::CACHE_LEASE).await.ok();
        let found = match (leased, &present) {
            (Some(false), Some(present)) => Some(present.value.clone()),
            (Some(false), None) => self.wait_for_others(key).await,
            // It may have come between our look and our lease.
            (Some(true), None) => self.present(key).await.map(|entry| entry.value),
            (Some(true), Some(_)) | (None, _) => None,
        };
        let outcome = match found {
            Some(value) => Ok(value),
            None => match (self.load(key, ttl, load).await, present) {
                (Err(_), Some(present)) => Ok(present.value),
                (outcome, _) => outcome.map_err(Arc::new),
            },
        };
        if leased == Some(true) {
            // If this fails, the lease ends by itself.
            let _ = self.store.release_lease(&lease, &self.owner).await;
        }
        obligation.fulfil(outcome.clone());
        outcome
    }

    /// Another process loads: its value, if it comes soon enough.
    async fn wait_for_others(&self, key: &str) -> Option<Bytes> {
        let end = Instant::now() + limits::CACHE_WAIT;
        while Instant::now() < end {
            tokio::time::sleep(limits::CACHE_POLL).await;
            if let Some(entry) = self.present(key).await {
                return Some(entry.value);
            }
        }
        None
    }

    async fn load<F, L>(&self, key: &str, ttl: Duration, load: F) -> Result<Bytes, E>
    where
        F: FnOnce() -> L + Send,
        L: Future<Output = Result<Bytes, E>> + Send,
    {
        let start_ms = self.clock.now_ms();
        let value = load().await?;
        if value.len() > limits::CACHE_VALUE_BYTES {
            return Ok(value);
        }
        let now_ms = self.clock.now_ms();
        // The value is as old as the start of its load.
        let life_ms = entry::jittered(ttl, self.random.next());
        let end_ms = start_ms.saturating_add(life_ms);
        let left_ms = u64::try_from(end_ms.saturating_sub(now_ms)).unwrap_or(0);
        if left_ms > 0 {
            let load_ms = u32::try_from((now_ms - start_ms).max(1)).unwrap_or(u32::MAX);
            let bytes = Entry { end_ms, load_ms, value: value.clone() }.encode();
            let left = Duration::from_millis(left_ms);
            if let Err(error) = self.store.cache_put(key, bytes, left).await {
                tracing::debug!(%error, key, "a loaded value could not be cached");
            }
        }
        Ok(value)
    }
}

/// SplitMix64 (Steele, Lea, Flood: "Fast Splittable Pseudorandom Number Generators", OOPSLA 2014): good enough
/// to spread work, and repeatable.
struct Random(AtomicU64);

impl Random {
    fn next(&self) -> u64 {
        const GAMMA: u64 = 0x9e37_79b9_7f4a_7c15;
        let mut z = self.0.fetch_add(GAMMA, Ordering::Relaxed).wrapping_add(GAMMA);
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    /// In (0, 1].
    fn unit(&self) -> f64 {
        let bits = u32::try_from(self.next() >> 32).expect("32 bits are left");
        (f64::from(bits) + 1.0) / (f64::from(u32::MAX) + 1.0)
    }
}

#[cfg(test)]
mod tests;
