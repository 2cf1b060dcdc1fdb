//! The world that a seed begins with: two stores, a few dishes, and how much there is of each.

use serde_json::{Value, json};
use tiffin_fixtures::random::Random;

/// A Wednesday, 2026-11-25T12:00:00Z.
const NOON_MS: i64 = 1_795_608_000_000;
/// Milliseconds of a minute.
pub(crate) const MINUTE_MS: i64 = 60_000;
/// What delivery costs, minor units.
pub(crate) const DELIVERY_FEE_MINOR: i64 = 250;
/// Where the second store's day begins and ends, minutes after midnight UTC.
pub(crate) const DAY: (i64, i64) = (6 * 60, 22 * 60);
/// Diners; users 1 to this.
pub(crate) const DINERS: i64 = 4;
/// The user that keeps the first store; the next one keeps the second.
pub(crate) const KEEPER: i64 = 11;
/// Who may withdraw coupons.
pub(crate) const ADMIN: i64 = 19;
/// Somebody with a token and no part in anything.
pub(crate) const STRANGER: i64 = 20;

/// A dish.
#[derive(Debug, Clone)]
pub(crate) struct Dish {
    /// Its store: 0 is always open and delivers, 1 has a day and does not.
    pub(crate) store: usize,
    /// Its price, minor units.
    pub(crate) price_minor: i64,
    /// Units at the start.
    pub(crate) units: i64,
}

/// What a kind of coupon promises.
#[derive(Debug, Clone)]
pub(crate) struct Terms {
    /// Off the dishes, minor units; none takes the delivery fee off.
    pub(crate) amount_minor: Option<i64>,
    /// Of one kind an order may use one.
    pub(crate) category: &'static str,
    /// Dishes have to come to this, minor units.
    pub(crate) minimum_minor: i64,
    /// For a first order only.
    pub(crate) first_order: bool,
    /// Coupons, in all.
    pub(crate) total: i64,
    /// Coupons of a user, in all.
    pub(crate) per_user: Option<i64>,
    /// Coupons of a user in a day.
    pub(crate) per_user_per_day: Option<i64>,
    /// What all of them may take off, minor units.
    pub(crate) budget_minor: Option<i64>,
    /// For how long one may be used, ms.
    pub(crate) valid_for_ms: i64,
}

/// What a history starts from.
#[derive(Debug, Clone)]
pub(crate) struct Setup {
    /// The time.
    pub(crate) now_ms: i64,
    /// What is sold.
    pub(crate) dishes: Vec<Dish>,
    /// The kinds of coupons.
    pub(crate) terms: Vec<Terms>,
    /// How long an order may stay unpaid, ms.
    pub(crate) pay_within_ms: i64,
    /// The most units that a user may hold in unpaid orders.
    pub(crate) held_units_cap: i64,
}

impl Setup {
    /// The start of a seed's history.
    pub(crate) fn of(rng: &mut Random) -> Self {
        let mut dishes = Vec::new();
        for store in [0, 0, 0, 1, 1] {
            // A dish for nothing: an order of such dishes alone is paid as it is placed.
            let price_minor = if rng.percent(12) { 0 } else { rng.between(1, 30) * 50 };
            dishes.push(Dish { store, price_minor, units: rng.between(1, 14) });
        }
        Self {
            now_ms: NOON_MS + rng.between(-6, 11) * 60 * MINUTE_MS,
            dishes,
            terms: terms(rng),
            pay_within_ms: rng.between(2, 15) * MINUTE_MS,
            held_units_cap: rng.between(5, 12),
        }
    }

    /// The stores and dishes as a merchant would import them.
    pub(crate) fn import(&self) -> String {
        let mut rows = vec![store_row(0), store_row(1)];
        for store in [0, 1] {
            let name = json!({"en": "Dishes"});
            rows.push(
                json!({"kind": "category", "store": store_ref(store), "ref": "all", "name": name}),
            );
        }
        rows.extend((0..self.dishes.len()).map(|dish| self.item_row(dish)));
        rows.iter().map(|row| row.to_string() + "\n").collect()
    }

    /// A dish as a merchant would import it.
    pub(crate) fn item_row(&self, dish: usize) -> Value {
        let Dish { store, price_minor, units } = self.dishes[dish];
        json!({
            "kind": "item", "store": store_ref(store), "ref": dish_ref(dish), "category": "all",
            "name": {"en": dish_ref(dish)}, "price_minor": price_minor, "tax_class": "food",
            "stock": units,
        })
    }
}

impl Terms {
    /// The terms as the core team would write them.
    pub(crate) fn document(&self, kind: usize) -> Value {
        let benefit = match self.amount_minor {
            Some(amount_minor) => json!({"kind": "fixed", "amount_minor": amount_minor}),
            None => json!({"kind": "free_delivery"}),
        };
        json!({
            "ref": format!("kind-{kind}"), "name": {"en": "A coupon"}, "currency": "EUR",
            "benefit": benefit,
            "claim_window": {"start_ms": 0, "end_ms": NOON_MS * 2},
            "validity": {"kind": "relative", "valid_for_ms": self.valid_for_ms},
            "minimum_spend_minor": self.minimum_minor,
            "first_order": self.first_order,
            "caps": {
                "total": self.total, "per_user": self.per_user,
                "per_user_per_day": self.per_user_per_day, "budget_minor": self.budget_minor,
            },
            "stacking": {"category": self.category},
        })
    }
}

/// Money off, the delivery, and money off a first order; the first and the last exclude each other.
fn terms(rng: &mut Random) -> Vec<Terms> {
    let amount_minor = rng.between(2, 12) * 50;
    let off = Terms {
        amount_minor: Some(amount_minor),
        category: "off",
        minimum_minor: 0,
        first_order: false,
        total: rng.between(3, 6),
        per_user: Some(2),
        per_user_per_day: None,
        budget_minor: Some(amount_minor * 2),
        valid_for_ms: rng.between(5, 40) * MINUTE_MS,
    };
    let delivery = Terms {
        amount_minor: None,
        category: "delivery",
        per_user: None,
        per_user_per_day: Some(1),
        budget_minor: None,
        valid_for_ms: 120 * MINUTE_MS,
        ..off.clone()
    };
    let first = Terms {
        amount_minor: Some(100),
        minimum_minor: 400,
        first_order: true,
        budget_minor: None,
        ..off.clone()
    };
    vec![off, delivery, first]
}

/// A store's name in the import.
pub(crate) fn store_ref(store: usize) -> String {
    format!("store-{store}")
}

/// A dish's name in the import.
pub(crate) fn dish_ref(dish: usize) -> String {
    format!("dish-{dish}")
}

fn store_row(store: usize) -> Value {
    let clock = |minute: i64| format!("{:02}:{:02}", minute / 60, minute % 60);
    let (from, to) = if store == 0 { (0, 24 * 60) } else { DAY };
    let place = json!({"lat": 52.52, "lng": 13.40});
    let zone = json!({
        "key": "near", "center": place, "radius_m": 3_000, "fee_minor": DELIVERY_FEE_MINOR,
        "minimum_minor": 0,
    });
    json!({
        "kind": "store", "ref": store_ref(store), "name": {"en": store_ref(store)}, "lang": "en",
        "currency": "EUR", "time_zone": "UTC", "address": "Main Street 1", "location": place,
        "fulfilment": if store == 0 { json!(["pickup", "delivery"]) } else { json!(["pickup"]) },
        "hours": [{
            "days": ["mon", "tue", "wed", "thu", "fri", "sat", "sun"],
            "from": clock(from), "to": clock(to),
        }],
        "zones": if store == 0 { json!([zone]) } else { json!([]) },
        "tax": {"inclusive": true, "classes": {"food": 70_000}, "fee_class": "food"},
    })
}
