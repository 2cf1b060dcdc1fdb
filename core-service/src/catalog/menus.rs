//! Menus as diners read them: what every order changes comes from the ledger on each request, what the merchant says
//! comes from the fast store.
//!
//! Of a menu, only the stock changes without a new version of its store ([`super::state`]). So a read asks the ledger
//! for the version and the stock, in one statement, and takes the rest from the [`ReadCache`], where it lies under the
//! store's id *and version*: an edit is seen at once, and nothing has to be invalidated.
//!
//! Invariants: what is kept under a version was read as of that version, in one snapshot; a reader who meets another
//! version, since its first look, keeps nothing. What is kept carries a keyed hash of its words, store and version:
//! whatever else lies in the fast store is not believed, but replaced. A fast store that is slow or gone costs
//! the ledger a few statements more. (A ledger that is put back to an earlier state counts its versions anew: empty
//! its fast store, or wait for [`limits::MENU_KEEP`], before merchants edit again.)

use super::store;
use super::view::{MenuRows, StoredMenu};
use crate::auth::keys::Keys;
use crate::clock::Clock;
use crate::db::{Db, DbError};
use crate::fast::FastStore;
use crate::fast::cache::ReadCache;
use crate::limits;
use bytes::Bytes;
use prometheus_client::encoding::EncodeLabelSet;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::registry::Registry;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use subtle::ConstantTimeEq as _;
use tiffin_api::id::StoreId;

/// What a kept menu's hash is for; the number changes with the layout: tag, then JSON.
const PURPOSE: &str = "menu/1";
const TAG_BYTES: usize = 32;

/// The menus, shared by all requests.
pub struct Menus {
    cache: ReadCache<Unread>,
    keys: Arc<Keys>,
    reads: Family<Labels, Counter>,
}

impl std::fmt::Debug for Menus {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.debug_struct("Menus").finish_non_exhaustive()
    }
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct Labels {
    outcome: &'static str,
}

/// Why there is nothing to keep.
#[derive(Debug)]
enum Unread {
    /// The store has another version by now.
    Moved,
    /// The ledger failed; all who waited hear the same.
    Failed(Arc<DbError>),
}

impl From<DbError> for Unread {
    fn from(error: DbError) -> Self {
        Self::Failed(Arc::new(error))
    }
}

impl Menus {
    /// Menus kept in `fast`, under hashes by `keys`.
    pub fn new(fast: Arc<dyn FastStore>, clock: Arc<dyn Clock>, keys: Arc<Keys>) -> Self {
        Self { cache: ReadCache::new(fast, clock), keys, reads: Family::default() }
    }

    /// Lets a registry show how often the fast store helped.
    pub fn register(&self, registry: &mut Registry) {
        let help = "Menus by where the merchant's words came from: the cache (hit), the ledger (miss), or the \
             ledger past the cache, which had nothing to be believed (bypass); and what lay in the cache and was \
             not believed (forged)";
        registry.register("menu_reads", help, self.reads.clone());
    }

    /// A store with its menu as of now; `None` if there is no such store.
    ///
    /// # Errors
    /// The ledger's, which may be shared with others who asked for the same.
    pub async fn read(&self, db: &Db, id: StoreId) -> Result<Option<StoredMenu>, Arc<DbError>> {
        // No connection is held while the fast store is asked.
        let shelf = store::find_shelf(&mut *db.read().await?, id).await?;
        let Some(shelf) = shelf else { return Ok(None) };
        if let Some(rows) = self.rows(db, id, shelf.version).await? {
            return Ok(Some(StoredMenu::of(id, &shelf, rows)));
        }
        self.count("bypass");
        Ok(store::find_menu(&mut *db.read().await?, id).await?)
    }

    /// What the merchant says in a version; `None` if the ledger has to be asked for all of it.
    async fn rows(
        &self,
        db: &Db,
        id: StoreId,
        version: i64,
    ) -> Result<Option<MenuRows>, Arc<DbError>> {
        let key = format!("menu:{id}:{version}");
        // What is not believed is dropped, and is read anew.
        for _ in 0..2 {
            let loaded = AtomicBool::new(false);
            let load = || {
                loaded.store(true, Ordering::Relaxed);
                self.load(db, id, version)
            };
            let sealed = match self.cache.get_or_load(&key, limits::MENU_KEEP, load).await {
                Ok(sealed) => sealed,
                Err(unread) => match &*unread {
                    Unread::Moved => return Ok(None),
                    Unread::Failed(error) => return Err(Arc::clone(error)),
                },
            };
            if let Some(rows) = self.open(id, version, &sealed) {
                self.count(if loaded.into_inner() { "miss" } else { "hit" });
                return Ok(Some(rows));
            }
            self.count("forged");
            self.cache.forget(&key).await;
        }
        Ok(None)
    }

    /// What is kept of a version, from the ledger.
    async fn load(&self, db: &Db, id: StoreId, version: i64) -> Result<Bytes, Unread> {
        let mut conn = db.read().await?;
        match store::find_menu_rows(&mut conn, id).await? {
            Some((found, words)) if found == version => {
                let tag = self.tag(id, version, &words);
                Ok(Bytes::from([tag.as_slice(), &words].concat()))
            }
            Some(_) | None => Err(Unread::Moved),
        }
    }

    /// Reads what was kept, if it was a core of this ledger that kept it, for this version.
    fn open(&self, id: StoreId, version: i64, sealed: &[u8]) -> Option<MenuRows> {
        let (tag, words) = sealed.split_first_chunk::<TAG_BYTES>()?;
        let genuine: bool = self.tag(id, version, words).ct_eq(tag).into();
        genuine.then(|| serde_json::from_slice(words).ok()).flatten()
    }

    fn tag(&self, id: StoreId, version: i64, words: &[u8]) -> [u8; TAG_BYTES] {
        self.keys.tag(PURPOSE, &[&id.raw().to_be_bytes(), &version.to_be_bytes(), words])
    }

    fn count(&self, outcome: &'static str) {
        self.reads.get_or_create(&Labels { outcome }).inc();
    }
}

#[cfg(test)]
mod tests;
