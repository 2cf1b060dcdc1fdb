//! Inventory: how many units of an item there are, free, promised and sold, and how many a user holds unpaid.
//!
//! [`state`] is how units move, pure; [`store`] is the SQL. Stock moves held → committed, released or
//! expired, and nothing else moves it.

pub mod state;
pub mod store;

pub use state::{Stock, StockMove};
