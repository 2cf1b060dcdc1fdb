//! The decision to take an order: a pure function of the store, its items, their stock and the time.

#![warn(clippy::wildcard_enum_match_arm)]

use crate::coupons::redeem::{self, KnownCoupons};
use crate::pricing::quote_id::{NotThisBasket, Quoted};
use crate::pricing::state::{self, PriceError};
use std::collections::BTreeMap;
use tiffin_api::id::ItemId;
use tiffin_api::import::{ItemRow, StoreRow};
use tiffin_api::quote::{Basket, Pricing};

/// What the decision is made from.
#[derive(Debug)]
pub struct Facts<'a> {
    /// The store.
    pub store: &'a StoreRow,
    /// Its items among the basket's.
    pub items: &'a BTreeMap<ItemId, ItemRow>,
    /// Units of each that are neither sold nor reserved.
    pub available: &'a BTreeMap<ItemId, i64>,
    /// Whether the store takes orders now.
    pub open: bool,
    /// The items among them that are not served at this time of day.
    pub not_served: &'a [ItemId],
    /// Who orders, as far as coupons ask.
    pub diner: redeem::Facts,
    /// The basket's coupons, as far as they exist.
    pub coupons: &'a KnownCoupons<'a>,
    /// Units in the diner's unpaid orders.
    pub held_units: i64,
    /// The most that they may be.
    pub held_units_cap: i64,
    /// The time of the decision.
    pub now_ms: i64,
}

/// An order that is taken.
#[derive(Debug, PartialEq, Eq)]
pub struct Placed {
    /// Its price.
    pub pricing: Pricing,
    /// Units to reserve, each item once.
    pub holds: BTreeMap<ItemId, i64>,
}

/// Why an order is not taken.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
pub enum PlaceError {
    /// The basket has no price.
    #[error(transparent)]
    Price(#[from] PriceError),
    /// The quote is not one for this basket.
    #[error(transparent)]
    Quote(#[from] NotThisBasket),
    /// The quote ran out, or the price is another one now.
    #[error("the price is now {} (minor units); order again with the quote in this answer", .0.total_minor)]
    PriceChanged(Box<Pricing>),
    /// The store takes no orders now.
    #[error("the store is closed now; its hours are at /v1/stores/{{id}}")]
    StoreClosed,
    /// An item is not served at this time of day.
    #[error("item {0} is not served at this time of day")]
    NotServed(ItemId),
    /// Not enough is left of an item.
    #[error("{available} of item {item_id} left, {wanted} wanted")]
    OutOfStock {
        /// Which item.
        item_id: ItemId,
        /// How many are left.
        available: i64,
        /// How many were wanted.
        wanted: i64,
    },
    /// The diner holds too much that is not paid.
    #[error(
        "you may hold {cap} units in unpaid orders, and hold {held}: pay or cancel an order first"
    )]
    HoldsTooMuch {
        /// Units in the diner's unpaid orders.
        held: i64,
        /// The most that they may be.
        cap: i64,
    },
}

/// Takes the order or says why not. `quoted` is what the diner's quote said, if one was named. Nothing the
/// client says about prices is looked at.
pub fn decide(
    facts: &Facts<'_>,
    basket: &Basket,
    quoted: Option<Result<Quoted, NotThisBasket>>,
) -> Result<Placed, PlaceError> {
    state::check_shape(basket)?;
    let Facts { diner, coupons, store, items, .. } = facts;
    let pricing = redeem::price(diner, coupons, store, items, basket)?;
    let quoted = quoted.transpose()?;
    if !facts.open {
        return Err(PlaceError::StoreClosed);
    }
    if let Some(item_id) = facts.not_served.first() {
        return Err(PlaceError::NotServed(*item_id));
    }
    let mut holds = BTreeMap::new();
    for line in &basket.lines {
        *holds.entry(line.item_id).or_insert(0_i64) += i64::from(line.quantity);
    }
    for (&item_id, &wanted) in &holds {
        let available = facts.available.get(&item_id).copied().unwrap_or(0);
        if available < wanted {
            return Err(PlaceError::OutOfStock { item_id, available, wanted });
        }
    }
    let (held, cap) = (facts.held_units, facts.held_units_cap);
    if held + holds.values().sum::<i64>() > cap {
        return Err(PlaceError::HoldsTooMuch { held, cap });
    }
    if let Some(quoted) = quoted {
        let stale = facts.now_ms >= quoted.expires_at_ms;
        if stale || quoted.total_minor != pricing.total_minor {
            return Err(PlaceError::PriceChanged(Box::new(pricing)));
        }
    }
    Ok(Placed { pricing, holds })
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;
    use tiffin_api::id::{StoreId, UserId};
    use tiffin_api::quote::{BasketLine, Fulfilment};

    const ITEM: ItemId = ItemId::from_raw(1);
    const NOW_MS: i64 = 1_000_000;

    struct World {
        store: StoreRow,
        items: BTreeMap<ItemId, ItemRow>,
        available: BTreeMap<ItemId, i64>,
        open: bool,
        not_served: Vec<ItemId>,
        held_units: i64,
    }

    impl World {
        fn new() -> Self {
            let store = serde_json::from_value(json!({
                "ref": "s", "name": {"en": "Store"}, "lang": "en", "currency": "EUR",
                "time_zone": "UTC", "address": "a", "location": {"lat": 0.0, "lng": 0.0},
                "fulfilment": ["pickup"], "hours": [],
                "tax": {"inclusive": true, "classes": {"food": 0}, "fee_class": "food"},
            }));
            let item = serde_json::from_value(json!({
                "store": "s", "ref": "i", "category": "c", "name": {"en": "Item"},
                "price_minor": 300, "tax_class": "food", "stock": 5,
            }));
            Self {
                store: store.unwrap(),
                items: BTreeMap::from([(ITEM, item.unwrap())]),
                available: BTreeMap::from([(ITEM, 5)]),
                open: true,
                not_served: vec![],
                held_units: 0,
            }
        }

        fn decide(&self, quantities: &[u32], quoted: Option<Quoted>) -> Result<Placed, PlaceError> {
            let line =
                |quantity: &u32| BasketLine { item_id: ITEM, quantity: *quantity, options: vec![] };
            let basket = Basket {
                store_id: StoreId::from_raw(1),
                fulfilment: Fulfilment::Pickup,
                lines: quantities.iter().map(line).collect(),
                coupon_ids: vec![],
            };
            let facts = Facts {
                store: &self.store,
                items: &self.items,
                available: &self.available,
                open: self.open,
                not_served: &self.not_served,
                diner: redeem::Facts {
                    user_id: UserId::from_raw(7),
                    order_id: None,
                    first_order: true,
                    now_ms: NOW_MS,
                },
                coupons: &KnownCoupons::new(),
                held_units: self.held_units,
                held_units_cap: 6,
                now_ms: NOW_MS,
            };
            decide(&facts, &basket, quoted.map(Ok))
        }
    }

    #[test]
    fn the_last_unit_sells_and_one_more_does_not() {
        let world = World::new();
        assert_eq!(world.decide(&[2, 3], None).unwrap().holds, BTreeMap::from([(ITEM, 5)]));
        assert_eq!(
            world.decide(&[3, 3], None),
            Err(PlaceError::OutOfStock { item_id: ITEM, available: 5, wanted: 6 })
        );
    }

    #[test]
    fn unpaid_units_have_a_cap() {
        let world = World { held_units: 4, ..World::new() };
        assert!(world.decide(&[2], None).is_ok());
        assert_eq!(world.decide(&[1, 2], None), Err(PlaceError::HoldsTooMuch { held: 4, cap: 6 }));
    }

    #[test]
    fn closed_stores_and_unserved_items_refuse() {
        let closed = World { open: false, ..World::new() };
        assert_eq!(closed.decide(&[1], None), Err(PlaceError::StoreClosed));
        let later = World { not_served: vec![ITEM], ..World::new() };
        assert_eq!(later.decide(&[1], None), Err(PlaceError::NotServed(ITEM)));
    }

    #[test]
    fn a_quote_holds_until_it_expires_and_while_the_price_stands() {
        let world = World::new();
        let quoted = |total_minor, expires_at_ms| Some(Quoted { total_minor, expires_at_ms });
        assert!(world.decide(&[1], quoted(300, NOW_MS + 1)).is_ok());
        for stale in [quoted(300, NOW_MS), quoted(299, NOW_MS + 1)] {
            match world.decide(&[1], stale) {
                Err(PlaceError::PriceChanged(pricing)) => assert_eq!(pricing.total_minor, 300),
                other => panic!("{other:?}"),
            }
        }
    }
}
