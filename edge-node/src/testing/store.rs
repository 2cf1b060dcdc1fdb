//! A look into a key-value store from outside.

use std::fmt;

use bytes::Bytes;

use crate::host::key_value;

/// A key-value store of a running application. What functions set is seen here, and the other way round; what a function
/// remembers in its instance is not.
pub struct Store {
    label: String,
    store: key_value::Store,
}

impl fmt::Debug for Store {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Store").field("label", &self.label).finish_non_exhaustive()
    }
}

impl Store {
    pub(super) fn new(label: &str, store: key_value::Store) -> Self {
        Self { label: label.to_owned(), store }
    }

    /// The value of a key, if it has one.
    ///
    /// # Panics
    /// When the store does not answer.
    pub async fn get(&self, key: &str) -> Option<Bytes> {
        match self.store.get(key).await {
            Ok(value) => value.map(Bytes::from),
            Err(error) => self.fail(key, &error),
        }
    }

    /// Gives a key a value.
    ///
    /// # Panics
    /// When key or value are longer than a store takes, or it does not answer.
    pub async fn set(&self, key: &str, value: impl Into<Vec<u8>>) {
        if let Err(error) = self.store.set(key.to_owned(), value.into()).await {
            self.fail(key, &error);
        }
    }

    /// All keys, sorted.
    ///
    /// # Panics
    /// When the store does not answer.
    pub async fn keys(&self) -> Vec<String> {
        match self.store.keys().await {
            Ok(mut keys) => {
                keys.sort();
                keys
            }
            Err(error) => self.fail("all keys", &error),
        }
    }

    fn fail(&self, key: &str, error: &dyn fmt::Display) -> ! {
        panic!("key-value store {:?}, {key:?}: {error}", self.label);
    }
}
