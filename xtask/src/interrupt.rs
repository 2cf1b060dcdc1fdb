//! Ctrl-C and its kin as a flag, for commands that have something to stop in order.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use anyhow::{Context, Result};

/// Raised on Ctrl-C, SIGTERM and SIGHUP.
#[derive(Debug, Clone, Default)]
pub(crate) struct StopFlag(Arc<AtomicBool>);

impl StopFlag {
    /// Whether it is time to stop.
    pub(crate) fn is_raised(&self) -> bool {
        self.0.load(Ordering::SeqCst)
    }
}

/// From here on those signals raise the flag instead of ending us.
pub(crate) fn stop_flag() -> Result<StopFlag> {
    let flag = StopFlag::default();
    let raised = flag.clone();
    ctrlc::set_handler(move || raised.0.store(true, Ordering::SeqCst))
        .context("listening for Ctrl-C")?;
    Ok(flag)
}
