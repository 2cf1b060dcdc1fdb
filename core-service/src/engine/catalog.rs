//! Stores and what they sell, parsed once for each version of the store.
//!
//! A store's version grows with every edit of the store or its menu, and is read in each batch's own
//! transaction: what is kept here under another version is not used.

use crate::catalog::store::{load_catalog, versions};
use crate::catalog::{item_served_at, store_open_at};
use crate::db::{Conn, DbError};
use crate::limits;
use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex, OnceLock, PoisonError};
use tiffin_api::id::{ItemId, StoreId};
use tiffin_api::import::{ItemRow, StoreRow};

/// A store with everything that it sells.
#[derive(Debug)]
pub struct StoreCatalog {
    /// The store's version.
    pub version: i64,
    /// The store.
    pub store: StoreRow,
    /// Its items.
    pub items: BTreeMap<ItemId, ItemRow>,
    hours: Mutex<Hours>,
}

/// What is open and served in one minute: the hours of a menu change at full minutes only, and every order
/// of a rush asks for the same ones.
#[derive(Debug, Default)]
struct Hours {
    minute: i64,
    open: OnceLock<bool>,
    served: BTreeMap<ItemId, bool>,
}

/// Milliseconds of a minute.
const MINUTE_MS: i64 = 60_000;

impl StoreCatalog {
    /// A store at a version.
    pub fn new(version: i64, store: StoreRow, items: BTreeMap<ItemId, ItemRow>) -> Self {
        Self { version, store, items, hours: Mutex::default() }
    }

    /// Whether the store takes orders now, and those of the items that are not served at this time of day.
    pub fn closed_now(
        &self,
        items: impl Iterator<Item = ItemId>,
        now_ms: i64,
    ) -> (bool, Vec<ItemId>) {
        let mut hours = self.hours.lock().unwrap_or_else(PoisonError::into_inner);
        let minute = now_ms.div_euclid(MINUTE_MS);
        if hours.minute != minute {
            *hours = Hours { minute, ..Hours::default() };
        }
        let open = *hours.open.get_or_init(|| store_open_at(&self.store, now_ms));
        let mut not_served = Vec::new();
        for id in items {
            let Some(item) = self.items.get(&id) else { continue };
            let served = hours.served.entry(id);
            if !*served.or_insert_with(|| item_served_at(&self.store, item, now_ms)) {
                not_served.push(id);
            }
        }
        (open, not_served)
    }
}

/// The stores that were needed lately.
#[derive(Debug, Default)]
pub struct CatalogCache(Mutex<BTreeMap<StoreId, Arc<StoreCatalog>>>);

impl CatalogCache {
    /// The stores among `ids` that exist, as they are in this transaction.
    pub async fn load(
        &self,
        conn: &mut Conn,
        ids: &BTreeSet<StoreId>,
    ) -> Result<BTreeMap<StoreId, Arc<StoreCatalog>>, DbError> {
        let mut found = BTreeMap::new();
        for (id, version) in versions(conn, ids).await? {
            let kept = self.lock().get(&id).filter(|kept| kept.version == version).cloned();
            let catalog = match kept {
                Some(catalog) => catalog,
                None => {
                    // Edited since the statement above, perhaps: it is kept as what it says it is.
                    let Some((version, store, items)) = load_catalog(conn, id).await? else {
                        continue;
                    };
                    let catalog = Arc::new(StoreCatalog::new(version, store, items));
                    self.keep(id, Arc::clone(&catalog));
                    catalog
                }
            };
            found.insert(id, catalog);
        }
        Ok(found)
    }

    fn keep(&self, id: StoreId, catalog: Arc<StoreCatalog>) {
        let mut stores = self.lock();
        if stores.len() >= limits::CATALOG_STORES && !stores.contains_key(&id) {
            // Any will do: it is read again when it is needed.
            stores.pop_first();
        }
        stores.insert(id, catalog);
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, BTreeMap<StoreId, Arc<StoreCatalog>>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
