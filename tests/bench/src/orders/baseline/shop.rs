//! What both baselines know and decide alike: the catalogue in memory, the core's keys, rules and ids.
//!
//! Invariant: a purchase is priced and checked by the core's own functions ([`place::decide`]), from the
//! core's own rows; only the stock comes from where the design keeps it.

use super::store;
use crate::limits;
use anyhow::Context as _;
use core_service::auth::keys::Keys;
use core_service::auth::tokens::Tokens;
use core_service::clock::{Clock, SystemClock};
use core_service::coupons::redeem::{self, KnownCoupons};
use core_service::engine::catalog::StoreCatalog;
use core_service::http::error::ApiError;
use core_service::idempotency::{Answer, Keyed};
use core_service::ids::IdGenerator;
use core_service::orders::place::{self, Facts, PlaceError, Placed};
use core_service::pricing::quote_id;
use core_service::pricing::state::check_shape;
use core_service::telemetry::Metrics;
use http::StatusCode;
use sqlx::mysql::MySqlPool;
use std::collections::{BTreeMap, HashMap};
use std::path::Path;
use std::sync::Arc;
use tiffin_api::id::{ItemId, OrderId, StoreId, UserId};
use tiffin_api::order::{Order, OrderState, PlaceOrder};
use tiffin_api::{ErrorCode, FieldError, Problem};

/// Baselines mint ids as a node that no core leases while they run.
const NODE: i64 = 1_023;

/// What every request shares.
pub struct Shop {
    /// The core's secrets.
    pub keys: Keys,
    /// Tokens that were verified a moment ago, as the core remembers them.
    pub tokens: Tokens,
    /// The time.
    pub clock: Arc<dyn Clock>,
    /// New ids.
    pub ids: IdGenerator,
    /// The core's counters.
    pub metrics: Metrics,
    stores: HashMap<StoreId, StoreCatalog>,
}

/// A request to buy, read and checked.
#[derive(Debug)]
pub struct Purchase {
    /// Who buys.
    pub user_id: UserId,
    /// What.
    pub body: PlaceOrder,
    /// Which request it is.
    pub keyed: Keyed,
    /// When it is decided.
    pub now_ms: i64,
}

/// An order to be written, with the answer that it will have.
#[derive(Debug)]
pub struct Sale {
    /// The order.
    pub order: Order,
    /// What it holds, each item once, in the order of their ids.
    pub holds: BTreeMap<ItemId, i64>,
    /// The answer.
    pub answer: Answer,
    /// Which request it answers.
    pub keyed: Keyed,
    /// The id of its outbox row, if it has one of its own.
    pub news_id: i64,
}

impl Shop {
    /// Reads the catalogue once: it does not change while a baseline runs.
    pub async fn load(data: &Path, pool: &MySqlPool) -> anyhow::Result<Self> {
        let clock: Arc<dyn Clock> = Arc::new(SystemClock);
        Ok(Self {
            keys: Keys::load(data)?,
            tokens: Tokens::default(),
            ids: IdGenerator::new(Arc::clone(&clock), NODE),
            clock,
            metrics: Metrics::default(),
            stores: store::catalogue(pool).await.context("cannot read the catalogue")?,
        })
    }

    /// Refuses what needs no stock to be refused, as the core does.
    pub fn check(&self, body: &PlaceOrder) -> Result<(), ApiError> {
        check_shape(&body.basket).map_err(Problem::from)?;
        if body
            .note
            .as_ref()
            .is_some_and(|note| note.chars().count() > core_service::limits::NOTE_CHARS)
        {
            return Err(Problem::new(ErrorCode::ValidationFailed, "the note is too long").into());
        }
        Ok(())
    }

    /// How many units of each item a purchase wants.
    pub fn wanted(purchase: &Purchase) -> BTreeMap<ItemId, i64> {
        let mut wanted = BTreeMap::new();
        for line in &purchase.body.basket.lines {
            *wanted.entry(line.item_id).or_insert(0) += i64::from(line.quantity);
        }
        wanted
    }

    /// Decides a purchase while so many units of each item are left.
    pub fn decide(
        &self,
        purchase: &Purchase,
        available: &BTreeMap<ItemId, i64>,
    ) -> Result<Sale, Box<Problem>> {
        let basket = &purchase.body.basket;
        let data = self.stores.get(&basket.store_id).ok_or_else(|| {
            Box::new(Problem::new(ErrorCode::StoreNotFound, "the stores are listed at /v1/stores"))
        })?;
        let now_ms = purchase.now_ms;
        let lines = basket.lines.iter().map(|line| line.item_id);
        let (open, not_served) = data.closed_now(lines, now_ms);
        let coupons = KnownCoupons::new();
        let diner =
            redeem::Facts { user_id: purchase.user_id, order_id: None, first_order: false, now_ms };
        let facts = Facts {
            diner,
            coupons: &coupons,
            store: &data.store,
            items: &data.items,
            available,
            open,
            not_served: &not_served,
            // The core looks at what the buyer holds; a baseline may do without.
            held_units: 0,
            held_units_cap: i64::MAX,
            now_ms,
        };
        let quoted = purchase.body.quote_id.as_ref();
        let quoted = quoted.map(|id| quote_id::read(&self.keys, basket, id));
        let placed =
            place::decide(&facts, basket, quoted).map_err(|error| Box::new(problem_of(error)))?;
        Ok(self.sale(purchase, placed))
    }

    fn sale(&self, purchase: &Purchase, placed: Placed) -> Sale {
        let Purchase { user_id, body, keyed, now_ms } = purchase;
        let order = Order {
            id: OrderId::from_raw(self.ids.next()),
            version: 1,
            state: OrderState::PendingPayment,
            store_id: body.basket.store_id,
            user_id: *user_id,
            fulfilment: body.basket.fulfilment,
            pricing: placed.pricing,
            note: body.note.clone(),
            created_at_ms: *now_ms,
            updated_at_ms: *now_ms,
            pay_by_ms: now_ms + limits::PAY_WITHIN_MS,
            units_back: false,
            payments: Vec::new(),
        };
        let answer = Answer::json(StatusCode::CREATED, &order);
        Sale { order, holds: placed.holds, answer, keyed: keyed.clone(), news_id: self.ids.next() }
    }
}

/// The refusal of a purchase that found too little.
pub fn out_of_stock(item_id: ItemId, available: i64, wanted: i64) -> Problem {
    problem_of(PlaceError::OutOfStock { item_id, available, wanted })
}

/// The answer that a refusal is recorded as.
pub fn refusal(problem: &Problem) -> Answer {
    Answer::json(StatusCode::CONFLICT, problem)
}

fn problem_of(error: PlaceError) -> Problem {
    let detail = error.to_string();
    match error {
        PlaceError::Price(error) => error.into(),
        PlaceError::Quote(_) => {
            let errors = vec![FieldError::at("/quote_id", detail)];
            Problem::with_errors(ErrorCode::ValidationFailed, "some fields are not valid", errors)
        }
        PlaceError::PriceChanged(_) => Problem::new(ErrorCode::PriceChanged, detail),
        PlaceError::StoreClosed => Problem::new(ErrorCode::StoreClosed, detail),
        PlaceError::NotServed(_) => Problem::new(ErrorCode::ItemUnavailable, detail),
        PlaceError::OutOfStock { .. } => Problem::new(ErrorCode::OutOfStock, detail),
        PlaceError::HoldsTooMuch { .. } => Problem::new(ErrorCode::HoldLimitReached, detail),
    }
}
