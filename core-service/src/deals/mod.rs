//! Deals (flash sales): their definitions, and the time by which everyone counts.
//!
//! Read in this order: [`state`] (what a deal's row must obey, and when an import schedules it anew),
//! [`store`] (SQL), [`http`] (routes). The phase of a deal is a pure function of its definition and the
//! time, shared with the edge: `tiffin_api::deal::Deal::phase_at`.
//!
//! Invariant: a deal's version grows with every change of its definition, window or status, and with no
//! other.

pub mod http;
pub mod state;
pub mod store;

pub use http::routes;
