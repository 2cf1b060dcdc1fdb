//! The central core of Tiffin: it prices, takes and settles orders, and commits every write once.
//!
//! Start with [`router`] for what it answers and [`serve`] for how it starts and stops. Domains look
//! alike: `mod.rs` (what it is) → `state.rs` (pure rules) → `store.rs` (SQL) → `http.rs` (translation).

pub mod app;
pub mod audit;
pub mod auth;
pub mod catalog;
pub mod clock;
pub mod coupons;
pub mod db;
pub mod deals;
pub mod edit;
pub mod engine;
pub mod fast;
pub mod feed;
pub mod gate;
pub mod hex;
pub mod http;
pub mod idempotency;
pub mod ids;
pub mod import;
pub mod inventory;
pub mod jobs;
pub mod known_ids;
pub mod limits;
pub mod orders;
pub mod payments;
pub mod pricing;
pub mod router;
pub mod serve;
pub mod telemetry;
pub mod token;
