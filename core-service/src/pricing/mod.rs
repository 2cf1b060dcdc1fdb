//! What a basket costs: base and modifiers, then discounts ([`discount`]), then fees, then tax ([`state`]),
//! and the quote that names such a price for a while without a row in the database ([`quote_id`]).
//!
//! The core alone prices. Quotes, orders and coupons call the same functions of [`state`], so they cannot
//! disagree.

pub mod discount;
pub mod http;
pub mod quote_id;
pub mod state;
#[cfg(test)]
pub mod testing;

pub use http::routes;
