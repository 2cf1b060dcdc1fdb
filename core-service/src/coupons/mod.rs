//! Coupons: a diner claims one from a template ([`claim`]), an order takes something off its price with it
//! ([`redeem`]), and its life is a machine ([`state`]). [`commands`] and [`settle`] do so over the rows of a
//! batch.
//!
//! Invariants: a coupon is held by one order at most; what it takes off is decided with the order's price
//! and counted against its template's budget for as long as the order holds it or has used it up; what was
//! used never comes back. The counters ([`counter`]) say nothing that the coupons do not say, too: an audit
//! can count them again.

pub mod claim;
pub mod commands;
pub mod counter;
pub mod http;
pub mod jobs;
pub mod redeem;
pub mod refusal;
pub mod settle;
pub mod state;
pub mod store;
pub mod terms;
#[cfg(test)]
pub mod testing;
mod validate;

pub use http::routes;
