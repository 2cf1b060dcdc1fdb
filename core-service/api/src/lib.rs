//! The wire contract of Tiffin's central core: what crosses HTTP between diners, edges and the core.
//!
//! Everything here compiles to WebAssembly and does no IO, reads no clock and draws no randomness, so
//! the core, the edge functions and the tests share one definition. Start with [`catalog`] for what is
//! read, [`order`] for what is written, and [`problem`] for how a request is refused.
//!
//! Conventions: ids are decimal strings ([`id`]); money is an integer in a field that ends in `_minor`
//! beside one `currency` per document ([`money`]); instants are milliseconds since the Unix epoch, UTC,
//! in fields that end in `_ms`.

pub mod audit;
pub mod catalog;
pub mod cors;
pub mod coupon;
pub mod deal;
pub mod feed;
pub mod host;
pub mod id;
pub mod import;
#[cfg(feature = "known-ids")]
pub mod known_ids;
pub mod members;
pub mod money;
pub mod order;
pub mod path;
pub mod payment;
pub mod problem;
pub mod quote;
pub mod singleton;
pub mod text;
pub mod time;
pub mod token;
pub mod written;

pub use problem::{ErrorCode, FieldError, Problem};
