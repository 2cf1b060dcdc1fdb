//! Orders.

use crate::id::{OrderId, StoreId, UserId};
use crate::payment::Payment;
use crate::quote::{Basket, Fulfilment, Pricing};
use serde::{Deserialize, Serialize};

/// Where an order stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(rename_all = "SCREAMING_SNAKE_CASE")]
pub enum OrderState {
    /// Its stock is reserved, its money awaited.
    PendingPayment,
    /// Paid, and waiting for its group to fill.
    GroupWait,
    /// Paid, or free of charge, and waiting for the merchant.
    Paid,
    /// The merchant took it on.
    Accepted,
    /// The merchant refused it; its money goes back.
    Rejected,
    /// It is being made.
    Preparing,
    /// It is ready to be fetched.
    Ready,
    /// A courier has it.
    Delivering,
    /// The diner has it.
    Completed,
    /// It ended unpaid.
    Closed,
    /// It ended after payment, by the diner's wish; its money goes back.
    Cancelled,
}

/// The body of `POST /v1/orders`. Prices a client may send along are ignored.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct PlaceOrder {
    /// What is wanted.
    #[serde(flatten)]
    pub basket: Basket,
    /// The quote the diner saw: if its price no longer holds, the order is refused as `price-changed`.
    /// Without it the order is taken at the price of the moment.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub quote_id: Option<String>,
    /// A wish for the kitchen: one line, held to the rule of [`crate::written`]. An empty one is none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub note: Option<String>,
}

/// An order.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct Order {
    /// Its id.
    pub id: OrderId,
    /// Grows by one with every move.
    pub version: i64,
    /// Where it stands.
    pub state: OrderState,
    /// The store.
    pub store_id: StoreId,
    /// Who ordered.
    pub user_id: UserId,
    /// How it reaches the diner.
    pub fulfilment: Fulfilment,
    /// Its price as it was decided; never recomputed.
    #[serde(flatten)]
    pub pricing: Pricing,
    /// A wish for the kitchen.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub note: Option<String>,
    /// When it was placed.
    pub created_at_ms: i64,
    /// When it last moved.
    pub updated_at_ms: i64,
    /// Unpaid by then, it closes.
    pub pay_by_ms: i64,
    /// Whether its units can be sold again, though it had been paid: it came to nothing.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub units_back: bool,
    /// Its payments, the oldest first; only where a single order is read.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub payments: Vec<Payment>,
}

/// The body of `POST /v1/orders/{id}/cancel`. It may be left out.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct CancelOrder {
    /// Whether the units can be sold again, if the store had accepted the order; only the store knows. Before that
    /// they always can.
    #[serde(default)]
    pub restock: bool,
}

/// A page of one's own orders, the newest first.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct OrderList {
    /// The orders.
    pub orders: Vec<Order>,
    /// Pass it as `cursor` for the next page; absent on the last one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub next_cursor: Option<String>,
}
