//! The crowd that buys one item until nothing is left; some take their order back at once.

use crate::http::{Call, Diner};
use crate::limits;
use crate::store::Item;
use crate::violations::Violations;
use crate::world::World;
use bytes::Bytes;
use serde_json::{Value, json};
use std::sync::atomic::{AtomicBool, AtomicI64, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};
use tiffin_api::problem::ErrorCode;
use tiffin_fixtures::random::Random;

/// Of 100 buyers, so many take their order back.
const RETURN_PERCENT: u64 = 10;
/// The rule of the answers.
const PLAUSIBLE: &str = "a buyer gets the unit, or hears why not";

/// One item's sale.
pub struct Sale {
    world: Arc<World>,
    item: Item,
    /// Orders that were accepted.
    pub accepted: AtomicI64,
    /// Those of them that were taken back.
    pub returned: AtomicI64,
    /// Orders that were refused.
    pub refused: AtomicU64,
    /// Whether it is over.
    pub over: AtomicBool,
    violations: Mutex<Violations>,
}

impl Sale {
    /// A sale that has not begun.
    pub fn new(world: Arc<World>, item: Item) -> Self {
        Self {
            world,
            item,
            accepted: AtomicI64::new(0),
            returned: AtomicI64::new(0),
            refused: AtomicU64::new(0),
            over: AtomicBool::new(false),
            violations: Mutex::default(),
        }
    }

    /// Units that were sold and kept.
    pub fn net(&self) -> i64 {
        self.accepted.load(Ordering::Relaxed) - self.returned.load(Ordering::Relaxed)
    }

    /// Waits until so many units are sold and kept; whether they are.
    pub async fn until_sold(&self, units: i64, within: Duration) -> bool {
        let deadline = Instant::now() + within;
        while self.net() < units {
            if Instant::now() > deadline {
                return false;
            }
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
        true
    }

    /// What went wrong for buyers.
    pub fn take_violations(&self) -> Violations {
        std::mem::take(&mut self.violations.lock().unwrap_or_else(PoisonError::into_inner))
    }

    fn note(&self, what: String) {
        let mut violations = self.violations.lock().unwrap_or_else(PoisonError::into_inner);
        violations.note(PLAUSIBLE, what);
    }
}

/// Buys until the sale is over.
pub async fn buy(sale: Arc<Sale>, mut random: Random) {
    let body = json!({
        "store_id": sale.item.store.to_string(), "fulfilment": {"kind": "pickup"},
        "lines": [{"item_id": sale.item.id.to_string(), "quantity": 1, "options": []}],
    });
    let body: Bytes = body.to_string().into();
    while !sale.over.load(Ordering::Relaxed) {
        let diner = &sale.world.diners[random.index(sale.world.diners.len())];
        let call = call(diner, "/v1/orders".to_owned(), body.clone(), &mut random);
        let Some(settled) = sale.world.http.settle(&call, &mut random).await else {
            sale.note(format!("key {} was never answered", call.key));
            continue;
        };
        let answer = settled.answer;
        match (answer.status, answer.code()) {
            (201, _) => {
                sale.accepted.fetch_add(1, Ordering::Relaxed);
                if random.percent(RETURN_PERCENT) {
                    let order: Value = serde_json::from_slice(&answer.body).unwrap_or_default();
                    give_back(&sale, diner, order["id"].as_str().unwrap_or_default(), &mut random)
                        .await;
                }
            }
            (409, Some(ErrorCode::OutOfStock | ErrorCode::HoldLimitReached)) => {
                sale.refused.fetch_add(1, Ordering::Relaxed);
                tokio::time::sleep(limits::SOLD_OUT_PAUSE).await;
            }
            _ => sale.note(answer.shown()),
        }
    }
}

async fn give_back(sale: &Sale, diner: &Diner, order: &str, random: &mut Random) {
    let call = call(diner, format!("/v1/orders/{order}/cancel"), "{}".into(), random);
    match sale.world.http.settle(&call, random).await {
        Some(settled) if settled.answer.status == 200 => {
            sale.returned.fetch_add(1, Ordering::Relaxed);
        }
        other => sale.note(format!("order {order} could not be taken back: {other:?}")),
    }
}

fn call(diner: &Diner, path: String, body: Bytes, random: &mut Random) -> Call {
    Call { diner: diner.clone(), path, key: format!("sale-{:016x}", random.number()), body }
}
