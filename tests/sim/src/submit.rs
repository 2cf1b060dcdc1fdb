//! Commands as the gate and the engine take them.
//!
//! This stands where the core's handlers stand: it makes the same operations with the same keys, and asks the gate
//! what they ask. Twins of a request reach the engine together, as they do through two cores.

use crate::command::{Command, Key, Said};
use crate::defects::{Leaks, Panics, Poison};
use crate::history::{Label, Place, Who, Wish};
use crate::outcome::{Outcome, answer, flag, gated, told};
use crate::setup::ADMIN;
use core_service::auth::keys::Keys;
use core_service::coupons::commands::{ClaimCoupon, ExpireCoupons, RedeemCoupon, VoidCoupon};
use core_service::engine::{Done, Engine};
use core_service::gate::Request;
use core_service::idempotency::Keyed;
use core_service::orders::create::Create;
use core_service::orders::moves::{self, CloseUnpaid, MoveOrder};
use core_service::orders::state::Move;
use core_service::payments::commands::{Conclude, Hear, Reconcile, WriteDown};
use core_service::payments::{refund, sandbox};
use core_service::pricing::quote_id::Quoted;
use std::cell::Cell;
use std::collections::BTreeMap;
use std::sync::Arc;
use tiffin_api::ErrorCode;
use tiffin_api::catalog::Location;
use tiffin_api::coupon::Coupon;
use tiffin_api::id::{
    CouponId, CouponTemplateId, ItemId, OrderId, PaymentId, RefundId, StoreId, UserId,
};
use tiffin_api::order::{Order, PlaceOrder};
use tiffin_api::payment::{CreatePayment, Payment};
use tiffin_api::quote::{Basket, BasketLine, Fulfilment};
use tiffin_api::token::{Principal, Role};

/// A rule that the core breaks on purpose, to see that the simulation notices.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
pub(crate) enum Sabotage {
    /// Orders are placed without their keys.
    ForgetKeys,
    /// Orders that close keep their stock.
    LeakStock,
    /// Webhooks are taken without a look at whether they were heard.
    HearAgain,
    /// A refund that failed is forgotten.
    DropRefunds,
    /// Nobody repairs the gate.
    LeaveGate,
    /// The gate takes every key for a new one.
    RefuseKnown,
}

/// Makes operations.
pub(crate) struct Desk {
    /// The dishes' ids.
    pub(crate) items: Vec<i64>,
    /// The stores' ids.
    pub(crate) stores: [i64; 2],
    /// The kinds of coupons' ids.
    pub(crate) templates: Vec<i64>,
    /// The core's secrets.
    pub(crate) keys: Arc<Keys>,
    /// How long an order may stay unpaid, ms.
    pub(crate) pay_within_ms: i64,
    /// The most units that a user may hold in unpaid orders.
    pub(crate) held_units_cap: i64,
    /// The scopes of the keys, by label.
    pub(crate) scopes: BTreeMap<Label, String>,
    /// What is broken on purpose.
    pub(crate) sabotage: Option<Sabotage>,
    /// Webhooks that were renamed by sabotage.
    pub(crate) renamed: Cell<u64>,
}

impl Desk {
    /// Notes the scope of a request's key.
    pub(crate) fn register(&mut self, command: &Command) {
        if let Some((key, keyed)) = self.keyed(command) {
            self.scopes.insert(key.label, keyed.scope);
        }
    }

    /// The key of a command, as the handler of its route makes it.
    fn keyed(&self, command: &Command) -> Option<(Key, Keyed)> {
        let (key, user, route, body) = match command {
            Command::Place { key, place, coupon_ids, .. } => {
                let body = self.body(place, coupon_ids, key.other_body);
                let body = serde_json::to_vec(&body).expect("a body serialises");
                (key, place.user, "/v1/orders".to_owned(), body)
            }
            Command::Move { key, id, user, wish, .. } => {
                let route = format!("/v1/orders/{id}/{wish:?}").to_lowercase();
                (key, *user, route, vec![u8::from(key.other_body)])
            }
            Command::Claim { key, kind, user, .. } => {
                let route = format!("/v1/coupon-templates/{}/claims", self.templates[*kind]);
                (key, *user, route, vec![u8::from(key.other_body)])
            }
            Command::Redeem { key, order_id, id, user, .. } => {
                let body = format!("{order_id} {}", key.other_body).into_bytes();
                (key, *user, format!("/v1/coupons/{id}/redemptions"), body)
            }
            Command::Void { key, id, .. } => {
                let route = format!("/v1/admin/coupons/{id}/void");
                (key, ADMIN, route, vec![u8::from(key.other_body)])
            }
            Command::WriteDown { key, order_id, user, method, .. }
            | Command::Conclude { key, order_id, user, method, .. } => {
                let body = CreatePayment { method: *method };
                let mut body = serde_json::to_vec(&body).expect("a body serialises");
                body.push(u8::from(key.other_body));
                (key, *user, format!("/v1/orders/{order_id}/payments"), body)
            }
            Command::Expire { .. }
            | Command::Reconcile { .. }
            | Command::Close { .. }
            | Command::Sent { .. }
            | Command::Hear { .. }
            | Command::Panic { .. }
            | Command::Poison { .. } => return None,
        };
        let name = format!("key-{}", key.label);
        Some((*key, Keyed::new(UserId::from_raw(user), &route, &name, &body)))
    }

    /// What a command asks of the gate; nothing if there is none on its way.
    pub(crate) fn at_gate(&self, command: &Command) -> Option<Request> {
        let (_, keyed) = self.keyed(command)?;
        match command {
            Command::Place { id, place, coupon_ids, key } => {
                Some(self.create(*id, place, coupon_ids, key.other_body).at_gate(&keyed))
            }
            Command::Claim { kind, user, id, .. } => {
                Some(self.claim(*kind, *user, *id).at_gate(&keyed))
            }
            _ => None,
        }
    }

    /// Has the engine do a command.
    pub(crate) async fn submit(&self, engine: &Engine, command: &Command) -> Outcome {
        // The embedded ledger has one lane: any store names it.
        let lane = StoreId::from_raw(self.stores[0]);
        let keyed = self.keyed(command).map(|(_, keyed)| keyed);
        match command {
            Command::Place { id, place, coupon_ids, key } => {
                let create = self.create(*id, place, coupon_ids, key.other_body);
                let keyed = keyed.filter(|_| self.sabotage != Some(Sabotage::ForgetKeys));
                gated::<Order, _>(engine, lane, keyed, create, ErrorCode::OutOfStock).await
            }
            Command::Move { id, store, user, who, wish, .. } => {
                let principal = self.principal(*user, *who, *store);
                let wish = wish_of(*wish);
                answer::<Order, _>(engine, lane, keyed, MoveOrder { id: *id, principal, wish })
                    .await
            }
            Command::WriteDown { order_id, user, id, method, .. } => {
                let keyed = keyed.expect("it has a key");
                let write_down = WriteDown {
                    id: PaymentId::from_raw(*id),
                    order: OrderId::from_raw(*order_id),
                    user: UserId::from_raw(*user),
                    method: *method,
                    keyed: keyed.clone(),
                };
                match engine.submit_keyed(lane, keyed, None, write_down).await {
                    Ok(Done::Fresh(written)) => Outcome::bare(Said::Written {
                        id: written.payment.id.raw(),
                        state: written.payment.state,
                        order: written.order,
                    }),
                    Ok(Done::Replayed(answer)) => told::<Payment>(answer, true),
                    Err(error) => Outcome::of_error(error),
                }
            }
            Command::Conclude { id, said, .. } => {
                let conclude = Conclude { id: PaymentId::from_raw(*id), said: said.clone() };
                answer::<Payment, _>(engine, lane, keyed, conclude).await
            }
            Command::Claim { kind, user, id, .. } => {
                let claim = self.claim(*kind, *user, *id);
                gated::<Coupon, _>(engine, lane, keyed, claim, ErrorCode::CouponSoldOut).await
            }
            Command::Redeem { order_id, id, user, .. } => {
                let (coupon, order) = (CouponId::from_raw(*id), OrderId::from_raw(*order_id));
                let (store, user) = (self.store_of(command), UserId::from_raw(*user));
                let redeem = RedeemCoupon { coupon, order, store, user };
                answer::<Order, _>(engine, lane, keyed, redeem).await
            }
            Command::Void { id, .. } => {
                let id = CouponId::from_raw(*id);
                answer::<Coupon, _>(engine, lane, keyed, VoidCoupon { id }).await
            }
            Command::Expire { id, .. } => {
                let expire = ExpireCoupons { ids: vec![CouponId::from_raw(*id)] };
                flag(engine.submit(lane, expire).await.map(|ended| ended > 0))
            }
            Command::Reconcile { id, said, .. } => {
                let id = PaymentId::from_raw(*id);
                flag(engine.submit(lane, Reconcile { id, said: said.clone() }).await)
            }
            Command::Close { id, .. } => {
                let id = OrderId::from_raw(*id);
                match self.sabotage {
                    Some(Sabotage::LeakStock) => flag(engine.submit(lane, Leaks { id }).await),
                    _ => flag(engine.submit(lane, CloseUnpaid { id }).await),
                }
            }
            Command::Sent { id, succeeded, .. } => {
                let dropped = self.sabotage == Some(Sabotage::DropRefunds);
                let (id, succeeded) = (RefundId::from_raw(*id), *succeeded || dropped);
                flag(engine.submit(lane, refund::Sent { id, succeeded }).await)
            }
            Command::Hear { event, .. } => {
                let mut event = event.clone();
                if self.sabotage == Some(Sabotage::HearAgain) {
                    self.renamed.set(self.renamed.get() + 1);
                    event.event_id = format!("{}-{}", event.event_id, self.renamed.get());
                }
                let provider = sandbox::NAME.to_owned();
                flag(engine.submit(lane, Hear { provider, event }).await)
            }
            Command::Panic { id } => {
                let id = OrderId::from_raw(*id);
                flag(engine.submit(lane, Panics { id }).await.map(|()| true))
            }
            Command::Poison { dish } => {
                let item = ItemId::from_raw(self.items[*dish]);
                flag(engine.submit(lane, Poison { item }).await.map(|()| true))
            }
        }
    }

    fn store_of(&self, command: &Command) -> StoreId {
        let store = if let Command::Redeem { store, .. } = command { *store } else { 0 };
        StoreId::from_raw(self.stores[store])
    }

    fn create(&self, id: i64, place: &Place, coupon_ids: &[i64], other_body: bool) -> Create {
        let quoted = place
            .quote
            .map(|(total_minor, expires_at_ms)| Ok(Quoted { total_minor, expires_at_ms }));
        Create {
            id: OrderId::from_raw(id),
            user: UserId::from_raw(place.user),
            body: self.body(place, coupon_ids, other_body),
            quoted,
            pay_within_ms: self.pay_within_ms,
            held_units_cap: self.held_units_cap,
            keys: Arc::clone(&self.keys),
        }
    }

    fn claim(&self, kind: usize, user: i64, id: i64) -> ClaimCoupon {
        let template = CouponTemplateId::from_raw(self.templates[kind]);
        ClaimCoupon { id: CouponId::from_raw(id), template, user: UserId::from_raw(user) }
    }

    fn body(&self, place: &Place, coupon_ids: &[i64], other_body: bool) -> PlaceOrder {
        let line = |(dish, quantity): &(usize, u32)| BasketLine {
            item_id: ItemId::from_raw(self.items[*dish]),
            quantity: *quantity,
            options: Vec::new(),
        };
        let near = Location { lat: 52.52, lng: 13.41 };
        let fulfilment = if place.delivery {
            Fulfilment::Delivery { location: near }
        } else {
            Fulfilment::Pickup
        };
        let basket = Basket {
            store_id: StoreId::from_raw(self.stores[place.store]),
            fulfilment,
            lines: place.lines.iter().map(line).collect(),
            coupon_ids: coupon_ids.iter().map(|id| CouponId::from_raw(*id)).collect(),
        };
        let note = other_body.then(|| "another wish".to_owned());
        PlaceOrder { basket, quote_id: None, note }
    }

    fn principal(&self, user: i64, who: Who, store: usize) -> Principal {
        let user = UserId::from_raw(user);
        match who {
            Who::Diner | Who::Stranger => Principal::new(user, &[Role::Diner]),
            Who::Keeper => {
                let stores = vec![StoreId::from_raw(self.stores[store])];
                Principal { stores, ..Principal::new(user, &[Role::Merchant]) }
            }
        }
    }
}

const fn wish_of(wish: Wish) -> moves::Wish {
    match wish {
        Wish::Cancel => moves::Wish::TakeBack { restock: false },
        Wish::Recall => moves::Wish::TakeBack { restock: true },
        Wish::Accept => moves::Wish::Staff(Move::Accept),
        Wish::Reject => moves::Wish::Staff(Move::Reject),
        Wish::Prepare => moves::Wish::Staff(Move::Prepare),
        Wish::Ready => moves::Wish::Staff(Move::MarkReady),
        Wish::Dispatch => moves::Wish::Staff(Move::Dispatch),
        Wish::Complete => moves::Wish::Staff(Move::Complete),
    }
}
