//! What Tiffin's edge functions share: cached fetches from the core, answers, problems, request parsing.
//!
//! Everything is pure and natively tested, apart from `spin`, the adapter to the Spin host, which
//! is compiled for WebAssembly only. Pure code takes the time, randomness and fetched bytes as
//! parameters.
//!
//! Start with [`cache`], which says how long an answer of the core is believed and what a diner is told
//! about it; then [`answer`], which every response is built with.
//!
//! Invariants:
//! - Statics outlive a request and are shared by all diners of an instance. What this crate keeps in
//!   them is public: it was fetched without any diner's credentials.
//! - No lock is held across an `await`.
//! - An answer of the core that is an error is never cached.

pub mod answer;
pub mod cache;
pub mod escape;
pub mod lang;
pub mod limits;
pub mod path;
pub mod query;
#[cfg(target_family = "wasm")]
pub mod spin;
