//! Edge function: risk scores over HTTP, `POST /v1/risk/score`.
//!
//! The scorer is another component, which `spin.toml` composes into this one; between them stands
//! `wit/risk.wit`. [`document`] reads the features, [`logic`] is the HTTP door. `component` is the
//! adapter to both sides.
//!
//! Invariant: what may be scored, and how, is said by the scorer alone. This door only checks what its own
//! encoding, JSON, can get wrong.

pub mod document;
pub mod limits;
pub mod logic;

#[cfg(target_family = "wasm")]
mod component;
