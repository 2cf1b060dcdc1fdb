//! Which idempotency keys may have an answer in the ledger.
//!
//! A Bloom filter: "no" is certain, so a refusal at the gate takes nobody's answer away; "maybe" costs a trip.
//! It starts from the ledger's own records and hears of every request that is let in, before the engine does. Records of other cores come by [`follow`], up to [`limits::KNOWN_FOLLOW`] late; in that time
//! the fast store still remembers the request as admitted ([`limits::GATE_SEEN_MS`]) and lets its retry through.
//! So a retry of a success can be told "sold out" only if the fast store was lost and another core is asked, both
//! within that second; and as such a refusal is not recorded, the next retry finds its answer.

use super::{Gate, store};
use crate::clock::Clock;
use crate::db::{Db, DbError};
use crate::limits;
use fastbloom::AtomicBloomFilter;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, PoisonError, RwLock};
use tokio::time::sleep;
use tokio_util::sync::CancellationToken;

/// The keys that may have an answer. Until they are filled in, every key may.
#[derive(Default)]
pub struct KnownKeys(RwLock<Arc<Filter>>);

struct Filter {
    bits: AtomicBloomFilter,
    capacity: u64,
    inserted: AtomicU64,
    filled: AtomicBool,
}

impl Filter {
    fn for_keys(capacity: u64) -> Self {
        let keys = usize::try_from(capacity).unwrap_or(usize::MAX);
        let bits = AtomicBloomFilter::with_false_pos(limits::KNOWN_FALSE_POSITIVES);
        Self {
            bits: bits.expected_items(keys),
            capacity,
            inserted: AtomicU64::new(0),
            filled: AtomicBool::new(false),
        }
    }

    fn insert(&self, scope: &str) {
        self.bits.insert(scope);
        self.inserted.fetch_add(1, Ordering::Relaxed);
    }
}

impl Default for Filter {
    fn default() -> Self {
        Self::for_keys(1)
    }
}

impl KnownKeys {
    /// Notes a key.
    pub fn insert(&self, scope: &str) {
        self.current().insert(scope);
    }

    /// Whether a key may have an answer.
    pub fn may_contain(&self, scope: &str) -> bool {
        let filter = self.current();
        !filter.filled.load(Ordering::Acquire) || filter.bits.contains(scope)
    }

    /// Whether more keys were noted than the filter is good for: it then lets more and more through.
    pub fn is_full(&self) -> bool {
        let filter = self.current();
        filter.inserted.load(Ordering::Relaxed) > filter.capacity
    }

    /// Fills a new filter from the ledger. It is in place before the first record is read, and believed
    /// after the last, so that a key recorded meanwhile is in it whichever way.
    pub async fn fill(&self, db: &Db) -> Result<(), DbError> {
        let recorded = u64::try_from(store::count_scopes(db).await?).unwrap_or(0);
        let capacity = (recorded * 2).clamp(limits::KNOWN_KEYS, limits::KNOWN_KEYS_MOST);
        let filter = Arc::new(Filter::for_keys(capacity));
        *self.0.write().unwrap_or_else(PoisonError::into_inner) = Arc::clone(&filter);
        let mut after = String::new();
        loop {
            let page = store::scopes(db, &after).await?;
            page.iter().for_each(|scope| filter.insert(scope));
            match page.into_iter().last() {
                Some(last) => after = last,
                None => break,
            }
        }
        filter.filled.store(true, Ordering::Release);
        Ok(())
    }

    fn current(&self) -> Arc<Filter> {
        Arc::clone(&self.0.read().unwrap_or_else(PoisonError::into_inner))
    }
}

/// Fills the filter, keeps up with what other cores record as long as there are any, and fills it anew when it
/// is full.
pub async fn follow(gate: Arc<Gate>, clock: Arc<dyn Clock>, stop: CancellationToken) {
    // Other cores' clocks may be behind ours, and their commits behind their clocks.
    let overlap_ms = i64::try_from(limits::KNOWN_OVERLAP.as_millis()).unwrap_or(i64::MAX);
    let mut since_ms = clock.now_ms() - overlap_ms;
    let mut filled = false;
    while !stop.is_cancelled() {
        if !filled || gate.known.is_full() {
            since_ms = clock.now_ms() - overlap_ms;
            filled = gate.known.fill(&gate.db).await.map_err(warn).is_ok();
        } else {
            match catch_up(&gate, since_ms, clock.now_ms()).await {
                Ok(Some(latest_ms)) => since_ms = since_ms.max(latest_ms - overlap_ms),
                Ok(None) => {}
                Err(error) => warn(error),
            }
        }
        tokio::select! {
            () = stop.cancelled() => return,
            () = sleep(limits::KNOWN_FOLLOW) => {}
        }
    }
}

/// Notes what was recorded since an instant, unless this core is alone and knows it already.
async fn catch_up(gate: &Gate, since_ms: i64, now_ms: i64) -> Result<Option<i64>, DbError> {
    if !store::has_company(&gate.db, now_ms).await? {
        return Ok(Some(now_ms));
    }
    let (scopes, latest_ms) = store::scopes_since(&gate.db, since_ms).await?;
    for scope in &scopes {
        if !gate.known.current().bits.contains(scope.as_str()) {
            gate.known.insert(scope);
        }
    }
    Ok(latest_ms)
}

fn warn(error: DbError) {
    tracing::warn!(%error, "recorded keys could not be read; the gate lets more through");
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::app::testing;

    #[tokio::test]
    async fn what_is_recorded_is_known_and_nothing_is_denied_before_that() {
        let core = testing::app().await;
        let keys = KnownKeys::default();
        assert!(keys.may_contain("a"), "an empty filter denies nothing");
        let mut tx = core.db.write().await.unwrap();
        let row =
            |n: i64| [n.into(), format!("scope {n}").into(), "".into(), 201.into(), vec![].into()];
        let into = "idempotency (id, scope, body_hash, status, body)";
        let many = i64::from(limits::KNOWN_PAGE) + 5;
        crate::db::bulk::insert(&mut tx, into, (0..many).map(row).collect()).await.unwrap();
        tx.commit().await.unwrap();
        keys.fill(&core.db).await.unwrap();
        assert!((0..many).all(|n| keys.may_contain(&format!("scope {n}"))));
        let denied = (0..1_000).filter(|n| !keys.may_contain(&format!("other {n}"))).count();
        assert!(denied > 950, "{denied} of 1000 were denied");
        assert!(!keys.may_contain("new"));
        keys.insert("new");
        assert!(keys.may_contain("new"));
    }
}
