//! Edge function: risk scores.
//!
//! One scorer behind two doors: the interface `tiffin:risk/scorer` (`wit/risk.wit`) and `POST
//! /v1/risk/score`. [`features`] says what goes in and checks it, [`model`] is the data file that the
//! weights stand in, [`score`] puts them together, [`logic`] is the HTTP door. `component` is the
//! adapter.
//!
//! Invariant: a score depends on the features and the model file alone, and is the same on every
//! platform.

pub mod features;
pub mod limits;
pub mod logic;
pub mod model;
pub mod score;

#[cfg(target_family = "wasm")]
mod component;
