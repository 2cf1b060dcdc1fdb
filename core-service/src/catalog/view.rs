//! What a diner is shown: stores and menus in one language as they stand at one moment. Pure.
//!
//! Every answer that depends on opening hours says until when it holds (`valid_until_ms`): the earliest
//! moment at which the store, or an item of it, opens or closes.

use super::hours::{Schedule, Standing};
use serde::Deserialize;
use std::collections::BTreeMap;
use tiffin_api::catalog::{
    Menu, MenuCategory, MenuItem, ModifierGroup, ModifierOption, Store, StoreList, StoreSummary,
    Unavailable,
};
use tiffin_api::id::{ItemId, StoreId};
use tiffin_api::import::{CategoryRow, ItemRow, ModifierGroupRow, StoreRow};
use tiffin_api::text::Lang;

/// What stands at a moment whose hours nobody can read: nothing is sold, and nothing will change that.
const CLOSED: Standing = Standing { open: false, changes_at_ms: None };
/// What is served whenever the store is open.
const ALWAYS: Standing = Standing { open: true, changes_at_ms: None };

/// A store as the ledger knows it.
#[derive(Debug, Clone, PartialEq)]
pub struct StoredStore {
    /// Its id.
    pub id: StoreId,
    /// Grows with every edit of the store or its menu.
    pub version: i64,
    /// What the merchant says about it.
    pub row: StoreRow,
}

/// An item as the ledger knows it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StoredItem {
    /// Its id.
    pub id: ItemId,
    /// What the merchant says about it.
    pub row: ItemRow,
    /// Units that can be ordered.
    pub available: i64,
}

/// A store with its menu, in the merchant's order.
#[derive(Debug, Clone, PartialEq)]
pub struct StoredMenu {
    /// The store.
    pub store: StoredStore,
    /// Its sections.
    pub categories: Vec<CategoryRow>,
    /// Its items, those of all sections together.
    pub items: Vec<StoredItem>,
}

/// What the merchant says of a store and its menu: another version of the store, and nothing else, says otherwise.
#[derive(Debug, Clone, PartialEq, Deserialize)]
pub struct MenuRows {
    /// The store.
    pub store: StoreRow,
    /// Its sections.
    pub categories: Vec<CategoryRow>,
    /// Its items, those of all sections together.
    pub items: Vec<(ItemId, ItemRow)>,
}

/// What every order changes: how much there is of what a version of a store sells.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Shelf {
    /// The store's version.
    pub version: i64,
    /// Units that can be ordered.
    pub available: BTreeMap<ItemId, i64>,
}

impl StoredMenu {
    /// The menu of a store from what is said of it in one version, and what there is of it.
    pub fn of(id: StoreId, shelf: &Shelf, rows: MenuRows) -> Self {
        let items = rows.items.into_iter().filter_map(|(id, row)| {
            shelf.available.get(&id).map(|available| StoredItem { id, row, available: *available })
        });
        Self {
            items: items.collect(),
            store: StoredStore { id, version: shelf.version, row: rows.store },
            categories: rows.categories,
        }
    }
}

/// Whether a store takes orders. Hours that cannot be read count as closed.
pub fn store_open_at(store: &StoreRow, now_ms: i64) -> bool {
    store_standing(store, now_ms).open
}

/// Whether an item is served at this time of the day; the store's own hours are another question.
pub fn item_served_at(store: &StoreRow, item: &ItemRow, now_ms: i64) -> bool {
    let hours = Schedule::of_store(store).ok();
    item_standing(hours.as_ref(), item, now_ms).open
}

fn store_standing(store: &StoreRow, at_ms: i64) -> Standing {
    Schedule::of_store(store).map_or(CLOSED, |hours| hours.standing_at(at_ms))
}

fn item_standing(hours: Option<&Schedule>, item: &ItemRow, at_ms: i64) -> Standing {
    if item.served.is_empty() {
        return ALWAYS;
    }
    let served = hours.and_then(|hours| hours.daily(&item.served, "/served").ok());
    served.map_or(CLOSED, |served| served.standing_at(at_ms))
}

fn summary(stored: &StoredStore, lang: Lang, at_ms: i64) -> StoreSummary {
    let StoredStore { id, version, row } = stored;
    let standing = store_standing(row, at_ms);
    StoreSummary {
        id: *id,
        name: row.name.get(lang).to_owned(),
        currency: row.currency,
        time_zone: row.time_zone.clone(),
        open: standing.open,
        changes_at_ms: standing.changes_at_ms,
        fulfilment: row.fulfilment.clone(),
        version: *version,
    }
}

/// A store in full.
pub fn store(stored: &StoredStore, lang: Lang, at_ms: i64) -> Store {
    let row = &stored.row;
    Store {
        summary: summary(stored, lang, at_ms),
        lang,
        address: row.address.clone(),
        location: row.location,
        minimum_minor: row.minimum_minor,
        tax_inclusive: row.tax.inclusive,
        hours: row.hours.clone(),
        exceptions: row.exceptions.clone(),
        zones: row.zones.clone(),
    }
}

/// A page of stores; `next` is the last store of the page if another page follows.
pub fn store_list(
    stores: &[StoredStore],
    next: Option<StoreId>,
    lang: Lang,
    at_ms: i64,
) -> StoreList {
    let stores: Vec<_> = stores.iter().map(|stored| summary(stored, lang, at_ms)).collect();
    let valid_until_ms = stores.iter().filter_map(|store| store.changes_at_ms).min();
    StoreList { stores, lang, next_cursor: next.map(|id| id.to_string()), valid_until_ms }
}

/// A menu; sections without an item are left out.
pub fn menu(stored: &StoredMenu, lang: Lang, at_ms: i64) -> Menu {
    let store = &stored.store;
    let hours = Schedule::of_store(&store.row).ok();
    let standing = hours.as_ref().map_or(CLOSED, |hours| hours.standing_at(at_ms));
    let mut valid_until_ms = standing.changes_at_ms;
    let mut by_category: BTreeMap<&str, Vec<MenuItem>> = BTreeMap::new();
    for item in &stored.items {
        let served = item_standing(hours.as_ref(), &item.row, at_ms);
        valid_until_ms = valid_until_ms.into_iter().chain(served.changes_at_ms).min();
        let unavailable = if !standing.open {
            Some(Unavailable::StoreClosed)
        } else if !served.open {
            Some(Unavailable::NotServedNow)
        } else if item.available <= 0 {
            Some(Unavailable::SoldOut)
        } else {
            None
        };
        by_category.entry(&item.row.category).or_default().push(menu_item(item, unavailable, lang));
    }
    let categories = stored.categories.iter().filter_map(|category| {
        let items = by_category.remove(category.r#ref.as_str())?;
        let name = category.name.get(lang).to_owned();
        Some(MenuCategory { key: category.r#ref.clone(), name, items })
    });
    Menu {
        store_id: store.id,
        lang,
        currency: store.row.currency,
        open: standing.open,
        valid_until_ms,
        version: store.version,
        categories: categories.collect(),
    }
}

fn menu_item(item: &StoredItem, unavailable: Option<Unavailable>, lang: Lang) -> MenuItem {
    let row = &item.row;
    MenuItem {
        id: item.id,
        name: row.name.get(lang).to_owned(),
        description: row.description.get(lang).to_owned(),
        price_minor: row.price_minor,
        available: unavailable.is_none(),
        unavailable,
        modifier_groups: row.modifier_groups.iter().map(|group| modifiers(group, lang)).collect(),
    }
}

fn modifiers(group: &ModifierGroupRow, lang: Lang) -> ModifierGroup {
    let options = group.options.iter().map(|option| ModifierOption {
        key: option.key.clone(),
        name: option.name.get(lang).to_owned(),
        price_minor: option.price_minor,
    });
    ModifierGroup {
        key: group.key.clone(),
        name: group.name.get(lang).to_owned(),
        required: group.required,
        min: group.min,
        max: group.max,
        options: options.collect(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::catalog::testing::{category_row, item_row, store_row};
    use tiffin_api::import::{DayException, DayHours};

    /// 2026-11-25T12:00:00Z, 13:00 in Berlin.
    const NOON_MS: i64 = 1_795_608_000_000;
    const HOUR_MS: i64 = 3_600_000;

    fn stored() -> StoredMenu {
        let item = |raw, key: &str, available| StoredItem {
            id: ItemId::from_raw(raw),
            row: item_row("noodles", "soups", key),
            available,
        };
        StoredMenu {
            store: StoredStore { id: StoreId::from_raw(1), version: 4, row: store_row("noodles") },
            categories: vec![category_row("noodles", "sweets"), category_row("noodles", "soups")],
            items: vec![item(10, "laksa", 1), item(11, "pho", 0)],
        }
    }

    fn reasons(menu: &Menu) -> Vec<Option<Unavailable>> {
        let items = menu.categories.iter().flat_map(|category| &category.items);
        items
            .map(|item| {
                assert_eq!(item.available, item.unavailable.is_none());
                item.unavailable
            })
            .collect()
    }

    #[test]
    fn a_menu_says_what_can_be_ordered_and_why_not() {
        use Unavailable::{NotServedNow, SoldOut, StoreClosed};
        let mut stored = stored();
        let lunch = menu(&stored, Lang::Zh, NOON_MS);
        assert_eq!(reasons(&lunch), [None, Some(SoldOut)]);
        assert_eq!(lunch.valid_until_ms, Some(NOON_MS + 2 * HOUR_MS), "lunch ends at 15:00");
        assert_eq!(lunch.categories[0].items[0].name, "叻沙");
        assert_eq!(lunch.categories.len(), 1, "a section without items is left out");

        let dinner = menu(&stored, Lang::En, NOON_MS + 6 * HOUR_MS);
        assert_eq!(reasons(&dinner), [Some(NotServedNow), Some(NotServedNow)]);
        assert_eq!(dinner.valid_until_ms, Some(NOON_MS + 22 * HOUR_MS), "lunch begins at 11:00");

        stored.store.row.exceptions =
            vec![DayException { date: "2026-11-25".to_owned(), hours: Vec::new() }];
        let closed = menu(&stored, Lang::En, NOON_MS);
        assert_eq!(reasons(&closed), [Some(StoreClosed), Some(StoreClosed)]);
        assert_eq!((closed.open, closed.version), (false, 4));
    }

    #[test]
    fn a_list_holds_until_its_first_store_changes() {
        let mut early = stored().store;
        let hours = &mut early.row.hours;
        *hours = vec![DayHours { to: "14:00".to_owned(), ..hours[0].clone() }];
        let list = store_list(&[stored().store, early], None, Lang::En, NOON_MS);
        assert_eq!(list.valid_until_ms, Some(NOON_MS + HOUR_MS));
        assert_eq!(list.stores[0].changes_at_ms, None);
        assert!(list.stores.iter().all(|store| store.open));
    }

    #[test]
    fn pricing_asks_about_the_store_and_the_item_apart() {
        let (store, item) = (store_row("noodles"), item_row("noodles", "soups", "laksa"));
        assert!(store_open_at(&store, NOON_MS) && item_served_at(&store, &item, NOON_MS));
        assert!(!item_served_at(&store, &item, NOON_MS + 6 * HOUR_MS));
        let unreadable = StoreRow { time_zone: "Mars".to_owned(), ..store };
        assert!(!store_open_at(&unreadable, NOON_MS));
        assert!(!item_served_at(&unreadable, &item, NOON_MS));
    }
}
