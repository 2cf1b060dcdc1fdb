//! An order passes the gate before it goes to the engine.

use crate::app::App;
use crate::gate::{Entry, Fate};
use crate::http::error::ApiError;
use crate::idempotency::{self, Executed, Keyed};
use crate::orders::create::Create;
use tiffin_api::{ErrorCode, Problem};

/// Has an order placed, unless the gate knows that it would be in vain.
pub(super) async fn place(app: &App, keyed: Keyed, create: Create) -> Result<Executed, ApiError> {
    let store = create.body.basket.store_id;
    let pass = match app.gate.enter(create.at_gate(&keyed)).await {
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
