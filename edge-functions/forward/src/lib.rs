//! Edge function: the door to the central core for writes and private reads.
//!
//! A request passes four checks, each cheaper than what it protects: [`route`] (is there such a door),
//! [`headers`] (is it of a sane size), [`auth`] (does its token verify), and the body's limit. Then it
//! goes to the core once, and the core's answer goes back, all within the request's [`budget`].
//! `component` is the Spin adapter.
//!
//! Invariants:
//! - The edge may refuse early; it never grants. The core checks every token again, so that what cannot
//!   be checked here is passed on.
//! - Steps at the core, slow as they may be, take no longer together than the budget.
//! - A request is sent to the core at most once: whether to retry is for the client to say, with the
//!   same Idempotency-Key.
//! - Nothing of a request outlives it. The only static is the core's public key set.

pub mod auth;
pub mod budget;
pub mod headers;
pub mod limits;
pub mod logic;
pub mod route;

#[cfg(target_family = "wasm")]
mod component;
