//! `spin:key-value@3.0.0`: stores in memory, one per label, shared by the components that list it.
//!
//! As in Spin, a label that the component does not list is `access-denied`, and there is no time to
//! live: a guest keeps the expiry in its value. The store is a cache by nature; when it is full
//! the least recently used entries go. Nothing here survives a restart.

use std::collections::BTreeMap;
use std::sync::Arc;

use bytes::Bytes;
use moka::future::Cache;
use moka::policy::EvictionPolicy;
use wasmtime::component::{Accessor, FutureReader, HasSelf, Resource, StreamReader};

use super::bindings::spin::key_value::key_value::{Error, Host, HostStore, HostStoreWithStore};
use crate::instances::Guest;
use crate::limits;
use crate::metrics::{Metrics, StoreOperation};

/// One store. Cloning shares it.
#[derive(Clone)]
pub(crate) struct Store(Cache<String, Bytes>);

/// A guest's handle to an open store.
#[expect(unreachable_pub, reason = "the generated bindings re-export it")]
pub struct OpenStore(Store);

/// All stores of the application, by label.
pub(crate) type Stores = BTreeMap<String, Store>;

impl Store {
    /// An empty store.
    pub(crate) fn new() -> Self {
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

    async fn set(&self, key: String, value: Vec<u8>) -> Result<(), Error> {
        if key.is_empty() || key.len() > limits::MAX_KEY_BYTES {
            let limit = limits::MAX_KEY_BYTES;
            return Err(Error::Other(format!("a key must have from 1 to {limit} bytes")));
        }
        if value.len() > limits::MAX_VALUE_BYTES {
            let limit = limits::MAX_VALUE_BYTES;
            return Err(Error::Other(format!("a value may have at most {limit} bytes")));
        }
        let makes_room = value.len() >= limits::EVICT_AT_ONCE_BYTES;
        self.0.insert(key, Bytes::from(value)).await;
        if makes_room {
            self.0.run_pending_tasks().await;
        }
        Ok(())
    }

    /// The keys, in no order; an error instead when they are too many to list.
    fn keys(&self) -> Result<Vec<String>, Error> {
        let mut listed_bytes = 0;
        let mut keys = Vec::new();
        for (key, _) in &self.0 {
            listed_bytes += key.len();
            if listed_bytes > limits::MAX_LISTED_BYTES {
                return Err(Error::Other("the store has too many keys to list".to_owned()));
            }
            keys.push(String::clone(&key));
        }
        Ok(keys)
    }
}

impl Host for Guest {}

impl HostStore for Guest {
    fn drop(&mut self, store: Resource<OpenStore>) -> wasmtime::Result<()> {
        self.open_stores -= 1;
        self.table.delete(store)?;
        Ok(())
    }
}

/// Counts the operation and finds the store behind the handle.
fn look_up<T: 'static>(
    accessor: &Accessor<T, HasSelf<Guest>>,
    handle: &Resource<OpenStore>,
    operation: &'static str,
) -> wasmtime::Result<Store> {
    accessor.with(|mut access| {
        let guest = access.get();
        count(&guest.shared.metrics, operation);
        Ok(guest.table.get(handle)?.0.clone())
    })
}

fn count(metrics: &Metrics, operation: &'static str) {
    metrics.store_operations.get_or_create(&StoreOperation { operation }).inc();
}

impl<T: 'static + Send> HostStoreWithStore<T> for HasSelf<Guest> {
    async fn open(
        accessor: &Accessor<T, Self>,
        label: String,
    ) -> wasmtime::Result<Result<Resource<OpenStore>, Error>> {
        accessor.with(|mut access| {
            let guest = access.get();
            count(&guest.shared.metrics, "open");
            if !guest.shared.component.key_value_stores.contains(&label) {
                return Ok(Err(Error::AccessDenied));
            }
            let Some(store) = guest.shared.stores.get(&label) else {
                return Ok(Err(Error::NoSuchStore));
            };
            if guest.open_stores == limits::MAX_OPEN_STORES {
                return Ok(Err(Error::StoreTableFull));
            }
            let handle = guest.table.push(OpenStore(store.clone()))?;
            guest.open_stores += 1;
            Ok(Ok(handle))
        })
    }

    async fn get(
        accessor: &Accessor<T, Self>,
        handle: Resource<OpenStore>,
        key: String,
    ) -> wasmtime::Result<Result<Option<Vec<u8>>, Error>> {
        let store = look_up(accessor, &handle, "get")?;
        Ok(Ok(store.0.get(&key).await.map(Vec::from)))
    }

    async fn set(
        accessor: &Accessor<T, Self>,
        handle: Resource<OpenStore>,
        key: String,
        value: Vec<u8>,
    ) -> wasmtime::Result<Result<(), Error>> {
        let store = look_up(accessor, &handle, "set")?;
        Ok(store.set(key, value).await)
    }

    async fn delete(
        accessor: &Accessor<T, Self>,
        handle: Resource<OpenStore>,
        key: String,
    ) -> wasmtime::Result<Result<(), Error>> {
        let store = look_up(accessor, &handle, "delete")?;
        store.0.invalidate(&key).await;
        Ok(Ok(()))
    }

    async fn exists(
        accessor: &Accessor<T, Self>,
        handle: Resource<OpenStore>,
        key: String,
    ) -> wasmtime::Result<Result<bool, Error>> {
        let store = look_up(accessor, &handle, "exists")?;
        Ok(Ok(store.0.contains_key(&key)))
    }

    async fn get_keys(
        accessor: &Accessor<T, Self>,
        handle: Resource<OpenStore>,
    ) -> wasmtime::Result<(StreamReader<String>, FutureReader<Result<(), Error>>)> {
        let store = look_up(accessor, &handle, "get-keys")?;
        let (keys, result) = match store.keys() {
            Ok(keys) => (keys, Ok(())),
            Err(error) => (Vec::new(), Err(error)),
        };
        accessor.with(|mut access| {
            let keys = StreamReader::new(&mut access, keys)?;
            let result = async move { wasmtime::error::Ok(result) };
            Ok((keys, FutureReader::new(&mut access, result)?))
        })
    }
}

/// One store per label that any component lists.
pub(crate) fn stores_of<'a>(labels: impl IntoIterator<Item = &'a String>) -> Arc<Stores> {
    Arc::new(labels.into_iter().map(|label| (label.clone(), Store::new())).collect())
}
