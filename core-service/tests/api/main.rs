//! The core's API as its clients meet it: a real server on a loopback port, a real ledger in a temporary
//! folder, the sandbox provider's webhooks over real HTTP. Only the clock is set by hand.

#![expect(clippy::unwrap_used, reason = "in a test the panic is the report")]
#![expect(unreachable_pub, reason = "`pub` marks what the test modules share; nothing is outside")]

mod audit;
mod coupons;
mod engine;
mod feed;
mod free;
mod gate;
mod hang_ups;
mod idempotency;
mod known_ids;
mod orders;
mod payments;
mod refusals;
mod support;
mod undone;
