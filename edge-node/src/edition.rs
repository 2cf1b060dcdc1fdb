//! One state of a component's code, configuration and routes. What was answered in it is kept for as long as it is
//! the current one.
//!
//! Invariant: an edition is retired before its successor serves, and stays so. Whoever is answered by the successor
//! therefore never meets an entry of its predecessor in the cache, whatever is still in progress there.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

/// The state, shared by the running component and the entries that it made.
#[derive(Debug)]
pub(crate) struct Edition {
    component: Arc<str>,
    is_retired: AtomicBool,
}

impl Edition {
    /// The current edition of a component.
    pub(crate) fn new(component: Arc<str>) -> Arc<Self> {
        Arc::new(Self { component, is_retired: AtomicBool::new(false) })
    }

    /// The component's id.
    pub(crate) fn component(&self) -> &Arc<str> {
        &self.component
    }

    /// Ends it: what it answered is not shown again.
    pub(crate) fn retire(&self) {
        self.is_retired.store(true, Ordering::SeqCst);
    }

    /// Whether it has ended.
    pub(crate) fn is_retired(&self) -> bool {
        self.is_retired.load(Ordering::SeqCst)
    }
}
