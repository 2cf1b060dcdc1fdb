//! `tiffin-bench`: how fast the core takes orders, beside two honest baselines, on MariaDB and Redis; and how fast
//! edge-node answers, beside other caches and hosts.
//!
//! Start with [`orders`] or [`edge`] for what is measured and in which order, then [`load`] for how. [`process`] and
//! [`usage`] are the programs that are measured and what they use, [`report`] what all reports share. Run it as
//! `cargo xtask bench orders` or `cargo xtask bench edge`.

pub mod edge;
pub mod limits;
pub mod load;
pub mod orders;
pub mod process;
pub mod progress;
pub mod report;
pub mod usage;
