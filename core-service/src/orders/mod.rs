//! Orders: from a basket to a dish handed over, or to an end without one.
//!
//! [`state`] is the machine of an order and [`place`] the decision to take one, both pure. [`store`] keeps
//! orders and the stock they hold. [`settle`] is what a payment or the timer does to an order, and
//! [`http`] is the API.

pub mod http;
pub mod place;
pub mod settle;
pub mod state;
pub mod store;

pub use http::routes;
