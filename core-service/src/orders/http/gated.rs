//! An order passes the gate before it goes to the engine.

use crate::app::App;
use crate::fast::GateTag;
use crate::gate::{Entry, Fate, Request};
use crate::http::error::ApiError;
use crate::idempotency::{self, Executed, Keyed};
use crate::orders::create::Create;
use std::collections::BTreeMap;
use tiffin_api::order::PlaceOrder;
use tiffin_api::{ErrorCode, Problem};

/// Has an order placed, unless the gate knows that it would be in vain.
pub(super) async fn place(app: &App, keyed: Keyed, create: Create) -> Result<Executed, ApiError> {
    let store = create.body.basket.store_id;
    let request = Request {
        tag: GateTag::Store(store.raw()),
        user: create.user,
        scope: keyed.scope.clone(),
        wants: wants(&create.body),
        held_cap_units: create.held_units_cap,
    };
    let pass = match app.gate.enter(request).await {
        Entry::Pass(pass) => pass,
        Entry::SoldOut(item) => {
            let detail = format!("item {item} is sold out; what is left is in the store's menu");
            return Err(Problem::new(ErrorCode::OutOfStock, detail).into());
        }
        Entry::OverCap => {
            let cap = create.held_units_cap;
            let detail =
                format!("you may hold {cap} units in unpaid orders: pay or cancel an order first");
            return Err(Problem::new(ErrorCode::HoldLimitReached, detail).into());
        }
    };
    let outcome = idempotency::execute(app, store, keyed, create).await;
    app.gate.leave(pass, Fate::of(&outcome, ErrorCode::OutOfStock)).await;
    outcome
}

/// Units by item, each item once.
fn wants(body: &PlaceOrder) -> Vec<(i64, i64)> {
    let mut wants = BTreeMap::new();
    for line in &body.basket.lines {
        *wants.entry(line.item_id.raw()).or_insert(0_i64) += i64::from(line.quantity);
    }
    wants.into_iter().collect()
}
