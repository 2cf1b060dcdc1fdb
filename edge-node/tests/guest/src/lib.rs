//! The guest of edge-node's tests: one component that is good or hostile by the path it is asked.
//!
//! The same file is mounted as several components, so that a test can ask the hostile one to
//! misbehave and then see that the good one still answers. Start at `handler.rs`; nothing here is
//! compiled for the host.

#[cfg(target_family = "wasm")]
mod handler;
#[cfg(target_family = "wasm")]
mod hostile;
#[cfg(target_family = "wasm")]
mod proxy;
