//! `tiffin-drills`: parts are killed or spoilt in the middle of a load, and what is left is checked.
//!
//! [`crash`] kills the core, Redis and MariaDB; [`redis`] spoils what Redis counts. Both start a [`world`] of
//! their own (services, a release build of the core, a small catalogue), speak to it through [`http`], read
//! the ledger behind the core's back with [`store`], and list what broke a rule as [`violations`]. Run them as
//! `cargo xtask drill crash` and `cargo xtask drill redis`.
//!
//! Invariants: what decides whether a rule is broken is pure ([`ledger`], [`crash::checks`],
//! [`crash::schedule`]); nothing is killed but what the drill has started, by its process id.

pub mod core;
pub mod crash;
pub mod http;
pub mod ledger;
pub mod limits;
pub mod redis;
pub mod store;
pub mod violations;
pub mod world;
