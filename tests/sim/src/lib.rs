//! Simulation: random histories of commands and faults against the real engine on a real SQLite file, beside a
//! small model that does not share its decisions.
//!
//! A seed gives a [`setup`] and, step by step, a [`history`] ([`generate`]). The [`world`] does each step to the
//! core ([`life`]), to the [`model`], to the payment [`provider`] and to the fast store ([`frail`]), and then holds
//! the whole ledger to the [`rules`]. Orders and claims pass the core's own gate. At the end everything has to come
//! to rest, and the gate to heal. A history that breaks a rule is made short ([`shrink`]).
//!
//! Invariant: nothing here or below it reads a clock, a thread's pace or a hash map's order, so a seed gives the
//! same bytes every time. Start with [`world::World::step`].

pub mod cli;
mod command;
mod defects;
mod frail;
mod generate;
mod history;
mod life;
mod model;
mod outcome;
mod provider;
mod rules;
mod run;
mod setup;
mod shown;
mod shrink;
mod store;
mod submit;
mod world;

#[cfg(test)]
mod tests;
