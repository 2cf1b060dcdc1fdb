//! The command to place an order: gathers the facts, asks [`place`](super::place), and takes the order.

use super::place::{self, Facts, PlaceError};
use super::settle;
use crate::auth::keys::Keys;
use crate::coupons::settle as coupons;
use crate::engine::{Operation, Stop, Wants, WorkingSet};
use crate::fast::GateTag;
use crate::gate::Request;
use crate::idempotency::{Answer, Keyed};
use crate::inventory::StockMove;
use crate::limits;
use crate::pricing::quote_id::{self, NotThisBasket, Quoted};
use http::StatusCode;
use std::collections::BTreeMap;
use std::sync::Arc;
use tiffin_api::id::{OrderId, UserId};
use tiffin_api::order::{Order, OrderState, PlaceOrder};
use tiffin_api::{ErrorCode, FieldError, Problem};

/// Places an order: reserves its stock, all or nothing, and awaits its payment. One that costs nothing is paid
/// at once.
pub struct Create {
    /// The new order's id.
    pub id: OrderId,
    /// Who orders.
    pub user: UserId,
    /// What, as it was asked for; its shape has been checked.
    pub body: PlaceOrder,
    /// What the quote said, if one was named.
    pub quoted: Option<Result<Quoted, NotThisBasket>>,
    /// How long the order may stay unpaid, ms.
    pub pay_within_ms: i64,
    /// The most units that a user may hold in unpaid orders.
    pub held_units_cap: i64,
    /// Names the new price in a refusal.
    pub keys: Arc<Keys>,
}

impl Create {
    /// What it asks of its store's gate: units by item, each item once.
    pub fn at_gate(&self, keyed: &Keyed) -> Request {
        let basket = &self.body.basket;
        let mut wants = BTreeMap::new();
        for line in &basket.lines {
            *wants.entry(line.item_id.raw()).or_insert(0_i64) += i64::from(line.quantity);
        }
        Request {
            tag: GateTag::Store(basket.store_id.raw()),
            user: self.user,
            scope: keyed.scope.clone(),
            wants: wants.into_iter().collect(),
            held_cap_units: self.held_units_cap,
        }
    }
}

impl Operation for Create {
    type Output = Answer;

    fn wants(&self, wants: &mut Wants) {
        let basket = &self.body.basket;
        wants.stores.insert(basket.store_id);
        wants.items.extend(basket.lines.iter().map(|line| line.item_id));
        wants.users.insert(self.user);
        if !basket.coupon_ids.is_empty() {
            wants.coupons.extend(&basket.coupon_ids);
            wants.newcomers.insert(self.user);
        }
    }

    fn decide(&self, ledger: &mut WorkingSet) -> Result<Answer, Stop> {
        let placed = self.place(ledger)?;
        let held = ledger.held_units.entry(&self.user, || 0);
        *held += placed.holds.values().sum::<i64>();
        let now_ms = ledger.now_ms;
        let order = Order {
            id: self.id,
            version: 1,
            state: OrderState::PendingPayment,
            store_id: self.body.basket.store_id,
            user_id: self.user,
            fulfilment: self.body.basket.fulfilment,
            pricing: placed.pricing,
            note: self.body.note.clone(),
            created_at_ms: now_ms,
            updated_at_ms: now_ms,
            pay_by_ms: now_ms + self.pay_within_ms,
            units_back: false,
            payments: Vec::new(),
        };
        ledger.holds.insert(order.id, placed.holds);
        settle::move_stock(ledger, order.id, StockMove::Reserve)?;
        coupons::lock(ledger, &order)?;
        settle::publish(ledger, &order)?;
        ledger.orders.insert(order.id, order);
        settle::pay_if_free(ledger, self.id)?;
        Ok(Answer::json(StatusCode::CREATED, ledger.order(self.id)?))
    }

    fn record(output: &Answer) -> Option<&Answer> {
        Some(output)
    }
}

impl Create {
    fn place(&self, ledger: &WorkingSet) -> Result<place::Placed, Stop> {
        let basket = &self.body.basket;
        let catalog = ledger.catalog.get(&basket.store_id).ok_or_else(|| {
            Problem::new(ErrorCode::StoreNotFound, "the stores are listed at /v1/stores")
        })?;
        let items = || basket.lines.iter().map(|line| line.item_id);
        let stock = |item| Some((item, ledger.stock.get(&item)?.available));
        let available: BTreeMap<_, _> = items().filter_map(stock).collect();
        let (open, not_served) = catalog.closed_now(items(), ledger.now_ms);
        let facts = Facts {
            store: &catalog.store,
            items: &catalog.items,
            available: &available,
            open,
            not_served: &not_served,
            diner: coupons::facts(ledger, self.user, None),
            coupons: &coupons::known(ledger, &basket.coupon_ids)?,
            held_units: ledger.held_units.get(&self.user).copied().unwrap_or(0),
            held_units_cap: self.held_units_cap,
            now_ms: ledger.now_ms,
        };
        place::decide(&facts, basket, self.quoted)
            .map_err(|error| self.problem_of(error, ledger.now_ms).into())
    }

    fn problem_of(&self, error: PlaceError, now_ms: i64) -> Problem {
        let detail = error.to_string();
        match error {
            PlaceError::Price(error) => error.into(),
            PlaceError::Quote(_) => {
                let errors = vec![FieldError::at("/quote_id", detail)];
                Problem::with_errors(
                    ErrorCode::ValidationFailed,
                    "some fields are not valid",
                    errors,
                )
            }
            PlaceError::PriceChanged(pricing) => {
                let mut problem = Problem::new(ErrorCode::PriceChanged, detail);
                let total_minor = pricing.total_minor;
                let expires_at_ms = now_ms + limits::QUOTE_KEEP_MS;
                let quoted = Quoted { total_minor, expires_at_ms };
                problem.total_minor = Some(total_minor);
                problem.quote_id = Some(quote_id::mint(&self.keys, &self.body.basket, quoted));
                problem
            }
            PlaceError::StoreClosed => Problem::new(ErrorCode::StoreClosed, detail),
            PlaceError::NotServed(_) => Problem::new(ErrorCode::ItemUnavailable, detail),
            PlaceError::OutOfStock { .. } => Problem::new(ErrorCode::OutOfStock, detail),
            PlaceError::HoldsTooMuch { .. } => Problem::new(ErrorCode::HoldLimitReached, detail),
        }
    }
}
