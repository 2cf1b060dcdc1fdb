//! Orders: from a basket to a dish handed over, or to an end without one.
//!
//! [`state`] is the machine of an order and [`place`] the decision to take one, both pure. [`settle`] is what
//! follows from a move. [`create`] and [`moves`] are the commands, [`store`] the SQL, [`http`] the API.

pub mod create;
pub mod http;
pub mod moves;
pub mod place;
pub mod settle;
pub mod state;
pub mod store;

pub use http::routes;
