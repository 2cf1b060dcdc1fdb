//! What Tiffin's programs share as processes: where their log lines go, and how they learn that a parent has died.

pub mod limits;
pub mod log;
pub mod stdin;
mod throttle;
