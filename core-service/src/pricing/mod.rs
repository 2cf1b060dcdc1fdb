//! What a basket costs: base and modifiers, then fees, then tax ([`state`]), and the quote that names
//! such a price for a while without a row in the database ([`quote_id`]).
//!
//! The core alone prices. Quotes and orders call the same [`state::price`], so they cannot disagree.

pub mod http;
pub mod quote_id;
pub mod state;

pub use http::routes;
