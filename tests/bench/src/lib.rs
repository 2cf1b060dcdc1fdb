//! `tiffin-bench`: how fast the core takes orders, beside two honest baselines, on MariaDB and Redis.
//!
//! Start with [`orders`] for what is measured and in which order, [`load`] for how, [`baseline`] for what it
//! is compared with, and [`report`] for what is written. Run it as `cargo xtask bench orders`.

pub mod baseline;
pub mod cpu;
pub mod limits;
pub mod load;
pub mod orders;
pub mod process;
pub mod report;
