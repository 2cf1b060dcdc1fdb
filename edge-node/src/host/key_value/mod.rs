//! `spin:key-value@3.0.0`: stores, one per label, shared by the components that list it.
//!
//! As in Spin, a label that the component does not list is `access-denied`, and there is no time to
//! live: a guest keeps the expiry in its value. This file is the interface; `store` is what is behind a handle, and
//! `memory`, `sqlite` and `redis` keep the data, as `runtime-config.toml` says. Some
//! keys are answered by the node itself: see [`node_keys`].

mod memory;
mod redis;
mod sqlite;
mod store;
#[cfg(test)]
mod tests;

use wasmtime::component::{Accessor, FutureReader, HasSelf, Resource, StreamReader};

use self::store::StoreError;
pub use self::store::StoreStartError;
pub(crate) use self::store::{Store, Stores};
use super::bindings::spin::key_value::key_value::{Error, Host, HostStore, HostStoreWithStore};
use super::node_keys;
use crate::instances::Guest;
use crate::limits;
use crate::metrics::{Metrics, StoreOperation};

/// A guest's handle to an open store.
#[expect(unreachable_pub, reason = "the generated bindings re-export it")]
pub struct OpenStore(Store);

impl From<StoreError> for Error {
    fn from(error: StoreError) -> Self {
        Self::Other(error.to_string())
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

/// What the node answers to a key of its own.
fn ask_node<T: 'static>(
    accessor: &Accessor<T, HasSelf<Guest>>,
    key: &str,
) -> Result<Option<Vec<u8>>, Error> {
    accessor.with(|mut access| {
        let shared = &access.get().shared;
        node_keys::answer(key, &shared.cache, &shared.known).map_err(Error::Other)
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
        if node_keys::is_reserved(&key) {
            return Ok(ask_node(accessor, &key));
        }
        Ok(store.get(&key).await.map_err(Error::from))
    }

    async fn set(
        accessor: &Accessor<T, Self>,
        handle: Resource<OpenStore>,
        key: String,
        value: Vec<u8>,
    ) -> wasmtime::Result<Result<(), Error>> {
        let store = look_up(accessor, &handle, "set")?;
        if node_keys::is_reserved(&key) {
            return Ok(Err(Error::Other(node_keys::READ_ONLY.to_owned())));
        }
        Ok(store.set(key, value).await.map_err(Error::from))
    }

    async fn delete(
        accessor: &Accessor<T, Self>,
        handle: Resource<OpenStore>,
        key: String,
    ) -> wasmtime::Result<Result<(), Error>> {
        let store = look_up(accessor, &handle, "delete")?;
        if node_keys::is_reserved(&key) {
            return Ok(Err(Error::Other(node_keys::READ_ONLY.to_owned())));
        }
        Ok(store.delete(&key).await.map_err(Error::from))
    }

    async fn exists(
        accessor: &Accessor<T, Self>,
        handle: Resource<OpenStore>,
        key: String,
    ) -> wasmtime::Result<Result<bool, Error>> {
        let store = look_up(accessor, &handle, "exists")?;
        if node_keys::is_reserved(&key) {
            return Ok(ask_node(accessor, &key).map(|value| value.is_some()));
        }
        Ok(store.exists(&key).await.map_err(Error::from))
    }

    async fn get_keys(
        accessor: &Accessor<T, Self>,
        handle: Resource<OpenStore>,
    ) -> wasmtime::Result<(StreamReader<String>, FutureReader<Result<(), Error>>)> {
        let store = look_up(accessor, &handle, "get-keys")?;
        let (keys, result) = match store.keys().await {
            Ok(keys) => (keys, Ok(())),
            Err(error) => (Vec::new(), Err(Error::from(error))),
        };
        accessor.with(|mut access| {
            let keys = StreamReader::new(&mut access, keys)?;
            let result = async move { wasmtime::error::Ok(result) };
            Ok((keys, FutureReader::new(&mut access, result)?))
        })
    }
}
