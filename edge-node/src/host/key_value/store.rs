//! One store: the limits that are the same for all, and the one place that knows who keeps its data.
//!
//! Every operation of a guest comes through [`Store`]; what answers a key in the provider's stead belongs here too.
//! Invariants: no operation on a store outside the node takes longer than [`limits::STORE_TIMEOUT`]; a guest hears what
//! it did wrong, and never more than that of the machines behind a store. Those are for the log, which has one line when
//! a store begins to fail and one when it answers again, and for the counter of failures.

use std::collections::BTreeMap;
use std::future::Future;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use tokio::time::timeout;

use super::memory::Memory;
use super::redis::Redis;
use super::sqlite::Sqlite;
use crate::limits;
use crate::metrics::{Metrics, StoreLabel};
use crate::runtime_config::StoreConfig;

/// All stores of the application, by label.
pub(crate) type Stores = BTreeMap<String, Store>;

/// One store. Cloning shares it.
#[derive(Clone)]
pub(crate) struct Store(Arc<Inner>);

struct Inner {
    label: String,
    provider: Provider,
    metrics: Arc<Metrics>,
    /// The last operation failed.
    is_failing: AtomicBool,
}

/// Who keeps the data.
enum Provider {
    Memory(Memory),
    Sqlite(Sqlite),
    Redis(Redis),
}

/// Why an operation failed, as a guest is told.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
pub(crate) enum StoreError {
    #[error("a key must have from 1 to {} bytes", limits::MAX_KEY_BYTES)]
    Key,
    #[error("a value may have at most {} bytes", limits::MAX_VALUE_BYTES)]
    Value,
    #[error("the value is longer than {} bytes; another program wrote it", limits::MAX_VALUE_BYTES)]
    StrangeValue,
    #[error("the store has too many keys to list")]
    Keys,
    #[error("the store is full")]
    Full,
    #[error("the store does not answer; the log of the host says why")]
    Unavailable,
}

/// Why a provider failed.
#[derive(Debug, thiserror::Error)]
pub(super) enum Failure {
    /// For the guest.
    #[error(transparent)]
    Told(#[from] StoreError),
    #[error("{0}")]
    Sqlite(#[from] sqlx::Error),
    #[error("{0}")]
    Redis(#[from] ::redis::RedisError),
}

/// Why a store cannot be used at all.
#[derive(Debug, thiserror::Error)]
#[error("key_value_store.{label}: {reason}")]
pub struct StoreStartError {
    label: String,
    reason: String,
}

impl Store {
    /// Opens the store of `label`. A Redis server need not be there yet; a file must be usable.
    ///
    /// # Errors
    /// What is wrong with the file or the URL.
    pub(crate) async fn open(
        label: &str,
        config: &StoreConfig,
        metrics: &Arc<Metrics>,
    ) -> Result<Self, StoreStartError> {
        let provider = match config {
            StoreConfig::Memory => Ok(Provider::Memory(Memory::new())),
            StoreConfig::Sqlite(path) => Sqlite::open(path, label).await.map(Provider::Sqlite),
            StoreConfig::Redis(url) => Redis::open(url).map(Provider::Redis),
        }
        .map_err(|reason| StoreStartError { label: label.to_owned(), reason })?;
        Ok(Self(Arc::new(Inner {
            label: label.to_owned(),
            provider,
            metrics: Arc::clone(metrics),
            is_failing: AtomicBool::new(false),
        })))
    }

    /// The value of `key`; a key that cannot be stored has none.
    pub(crate) async fn get(&self, key: &str) -> Result<Option<Vec<u8>>, StoreError> {
        if check_key(key).is_err() {
            return Ok(None);
        }
        match &self.0.provider {
            Provider::Memory(memory) => Ok(memory.get(key).await),
            Provider::Sqlite(sqlite) => self.outside(sqlite.get(key)).await,
            Provider::Redis(redis) => self.outside(redis.get(key)).await,
        }
    }

    /// Gives `key` a value.
    pub(crate) async fn set(&self, key: String, value: Vec<u8>) -> Result<(), StoreError> {
        check_key(&key)?;
        if value.len() > limits::MAX_VALUE_BYTES {
            return Err(StoreError::Value);
        }
        match &self.0.provider {
            Provider::Memory(memory) => {
                memory.set(key, value).await;
                Ok(())
            }
            Provider::Sqlite(sqlite) => self.outside(sqlite.set(&key, value)).await,
            Provider::Redis(redis) => self.outside(redis.set(&key, value)).await,
        }
    }

    /// Takes `key` away, if it is there.
    pub(super) async fn delete(&self, key: &str) -> Result<(), StoreError> {
        if check_key(key).is_err() {
            return Ok(());
        }
        match &self.0.provider {
            Provider::Memory(memory) => {
                memory.delete(key).await;
                Ok(())
            }
            Provider::Sqlite(sqlite) => self.outside(sqlite.delete(key)).await,
            Provider::Redis(redis) => self.outside(redis.delete(key)).await,
        }
    }

    /// Whether `key` has a value.
    pub(super) async fn exists(&self, key: &str) -> Result<bool, StoreError> {
        if check_key(key).is_err() {
            return Ok(false);
        }
        match &self.0.provider {
            Provider::Memory(memory) => Ok(memory.exists(key)),
            Provider::Sqlite(sqlite) => self.outside(sqlite.exists(key)).await,
            Provider::Redis(redis) => self.outside(redis.exists(key)).await,
        }
    }

    /// The keys, in no order.
    pub(crate) async fn keys(&self) -> Result<Vec<String>, StoreError> {
        match &self.0.provider {
            Provider::Memory(memory) => memory.keys(),
            Provider::Sqlite(sqlite) => self.outside(sqlite.keys()).await,
            Provider::Redis(redis) => self.outside(redis.keys()).await,
        }
    }

    /// Waits for an operation outside the node, within its time, and notes how it went.
    async fn outside<T>(
        &self,
        operation: impl Future<Output = Result<T, Failure>>,
    ) -> Result<T, StoreError> {
        let reason = match timeout(limits::STORE_TIMEOUT, operation).await {
            Ok(Ok(answer)) => {
                self.recovered();
                return Ok(answer);
            }
            Ok(Err(Failure::Told(error))) => return Err(error),
            Ok(Err(error @ (Failure::Sqlite(_) | Failure::Redis(_)))) => error.to_string(),
            Err(_) => format!("no answer within {} s", limits::STORE_TIMEOUT.as_secs()),
        };
        self.failed(&reason);
        Err(StoreError::Unavailable)
    }

    fn failed(&self, reason: &str) {
        let label = StoreLabel { store: self.0.label.clone() };
        self.0.metrics.store_failures.get_or_create(&label).inc();
        if !self.0.is_failing.swap(true, Ordering::Relaxed) {
            tracing::warn!(store = self.0.label, reason, "the key-value store fails");
        }
    }

    fn recovered(&self) {
        // Reading first keeps the line of a healthy store's flag in every processor's cache.
        if self.0.is_failing.load(Ordering::Relaxed)
            && self.0.is_failing.swap(false, Ordering::Relaxed)
        {
            tracing::info!(store = self.0.label, "the key-value store answers again");
        }
    }
}

fn check_key(key: &str) -> Result<(), StoreError> {
    if key.is_empty() || key.len() > limits::MAX_KEY_BYTES {
        return Err(StoreError::Key);
    }
    Ok(())
}

/// Adds up the keys of a listing, and ends it when they are too many.
#[derive(Debug, Default)]
pub(super) struct Listing {
    keys: Vec<String>,
    listed_bytes: usize,
}

impl Listing {
    /// Adds a key.
    pub(super) fn push(&mut self, key: String) -> Result<(), StoreError> {
        self.listed_bytes += key.len();
        if self.listed_bytes > limits::MAX_LISTED_BYTES {
            return Err(StoreError::Keys);
        }
        self.keys.push(key);
        Ok(())
    }

    /// What was added.
    pub(super) fn into_keys(self) -> Vec<String> {
        self.keys
    }
}

/// A value as it was read, at most one byte beyond the limit: that byte tells that there is more.
pub(super) fn check_read(value: Vec<u8>) -> Result<Vec<u8>, StoreError> {
    if value.len() > limits::MAX_VALUE_BYTES {
        return Err(StoreError::StrangeValue);
    }
    Ok(value)
}
