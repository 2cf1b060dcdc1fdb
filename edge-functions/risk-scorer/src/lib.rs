//! Library component: scores the risk of a write, behind `tiffin:risk/scorer` (`wit/risk.wit`).
//!
//! It has no door of its own: `spin.toml` composes it into the functions that ask it, and whoever else
//! must decide alike runs the same file. [`features`] says what goes in and checks it, [`model`]
//! is the data file that the weights stand in, [`score`] puts them together. `component` is the adapter.
//!
//! Invariant: a score depends on the features and the model file alone, and is the same on every platform.
//! Scoring asks nothing of the host: the standard library imports interfaces of WASI, and none of them is
//! called.

pub mod features;
pub mod limits;
pub mod model;
pub mod score;

#[cfg(target_family = "wasm")]
mod component;
