//! The key-value store, as a cache: what fails there is a miss, never an error.

use spin_sdk::key_value::{Error, Store};

/// The value of a key, if there is one and the store works.
pub async fn get(key: &str) -> Option<Vec<u8>> {
    read(key).await.ok()?
}

/// The same, for who must tell what is not there from what cannot be read.
pub async fn read(key: &str) -> Result<Option<Vec<u8>>, Error> {
    Store::open_default().await?.get(key).await
}

/// Sets a key. A store that fails leaves the other levels as they are.
pub async fn set(key: &str, value: &[u8]) {
    if let Ok(store) = Store::open_default().await
        && let Err(error) = store.set(key, value).await
    {
        eprintln!("key-value store: {error}");
    }
}

/// Removes a key.
pub async fn delete(key: &str) {
    if let Ok(store) = Store::open_default().await {
        // What stays behind is older than what is kept elsewhere, and loses to it.
        let _ = store.delete(key).await;
    }
}
