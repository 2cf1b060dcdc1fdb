//! Edge function: the clock, and the deals that run by it.
//!
//! A deal's definition is cached; "now" is computed for every answer, on this host's clock corrected by
//! its measured offset to the core's. Start with [`clock`] for the correction and [`logic`] for the
//! routes. `component` is the Spin adapter.

pub mod clock;
pub mod logic;

#[cfg(target_family = "wasm")]
mod component;
