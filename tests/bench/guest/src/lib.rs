//! The guest of the edge benchmark: plain `wasi:http`, so that the same bytes run in edge-node and in `wasmtime serve`.
//!
//! - `/render?lang=en` reads the menu beside this file and renders it: work, and no waiting. `menu.js` does the same
//!   for hosts that run JavaScript.
//! - `/origin/…` passes on what the origin answers to the same target, for the caches in front of it.

pub mod render;

#[cfg(target_family = "wasm")]
mod handler;

/// A menu of 8 KiB: what is rendered, and what the origin serves.
pub const MENU: &str = include_str!("../menu.json");
