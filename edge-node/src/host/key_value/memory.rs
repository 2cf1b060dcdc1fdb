//! A store in the node's memory: a cache by nature. When it is full the least recently used entries go, and nothing
//! survives a restart.

use bytes::Bytes;
use moka::future::Cache;
use moka::policy::EvictionPolicy;

use super::store::{Listing, StoreError};
use crate::limits;

/// The entries.
pub(super) struct Memory(Cache<String, Bytes>);

impl Memory {
    /// An empty store.
    pub(super) fn new() -> Self {
        let weigh = |key: &String, value: &Bytes| {
            let bytes = key.len() + value.len() + limits::STORE_ENTRY_OVERHEAD_BYTES;
            u32::try_from(bytes).unwrap_or(u32::MAX)
        };
        Self(
            Cache::builder()
                .max_capacity(limits::MAX_STORE_BYTES)
                .weigher(weigh)
                .eviction_policy(EvictionPolicy::lru())
                .build(),
        )
    }

    pub(super) async fn get(&self, key: &str) -> Option<Vec<u8>> {
        self.0.get(key).await.map(Vec::from)
    }

    pub(super) async fn set(&self, key: String, value: Vec<u8>) {
        let makes_room = value.len() >= limits::EVICT_AT_ONCE_BYTES;
        self.0.insert(key, Bytes::from(value)).await;
        if makes_room {
            self.0.run_pending_tasks().await;
        }
    }

    pub(super) async fn delete(&self, key: &str) {
        self.0.invalidate(key).await;
    }

    pub(super) fn exists(&self, key: &str) -> bool {
        self.0.contains_key(key)
    }

    pub(super) fn keys(&self) -> Result<Vec<String>, StoreError> {
        let mut listing = Listing::default();
        for (key, _) in &self.0 {
            listing.push(String::clone(&key))?;
        }
        Ok(listing.into_keys())
    }
}
