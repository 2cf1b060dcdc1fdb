//! The catalog: stores and menus as diners read them, and the import by which merchants keep them.
//!
//! Read in this order: [`state`] (what a row must obey) with [`hours`] (when something is open), [`view`]
//! (what a diner is shown at a moment), [`upload`] (a file of rows, checked as a whole), [`store`] (SQL),
//! [`menus`] (a menu from ledger and cache),
//! [`http`] (routes). Everything but `store`, `menus` and `http` is pure: the time comes in as a parameter.
//!
//! Invariants: an import loads the whole file or nothing of it; an item that exists keeps its stock, which
//! moves by orders alone for now; a store's version grows with every import that changes the store or its
//! menu, and with no other.

#[cfg(test)]
mod demo_city;
pub mod faults;
pub mod hours;
pub mod http;
pub mod menus;
pub mod state;
pub mod store;
#[cfg(test)]
pub mod testing;
pub mod upload;
pub mod view;

pub use http::routes;
pub use view::{item_served_at, store_open_at};
