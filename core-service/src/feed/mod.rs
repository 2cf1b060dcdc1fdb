//! The feed: everything that happened, numbered 1, 2, 3… without gaps, for whoever keeps copies of it.
//!
//! A business transaction leaves its news in the outbox, in packs whose ids say nothing about the order of
//! commits: of two transactions the one with the lower ids may commit later, and a reader that has gone past
//! them would never see its news. So the [`relay`] numbers news once it is committed, under one lock, and
//! moves its packs from the outbox to the feed in the same transaction.
//!
//! Invariants: a pack is in the outbox or in the feed, never in both or in neither, until it has been pruned.
//! Whoever has seen a number has everything below it before them: none appears later. The relay may run in any
//! number of cores; the lock of the head's row lets one at a time give numbers. A [`reader`] is a place among the
//! numbers and a wake-up: it holds a bounded number of packs, however slow its client is, and a client that
//! cannot be served from where it was is told so by a `reset`.
//!
//! What two pieces of news about one subject say is told apart by the version in their payload, not by their
//! numbers: packs that wait in the outbox together are numbered in the order of their ids.
//!
//! A core whose relay has numbered news says so on a channel of the fast store, so that the readers of other cores
//! hear of it at once; without that they do when their own relay looks, at most [`limits::RELAY_POLL`] later.
//!
//! Start with [`relay::run`] for how news gets its numbers and [`http`] for how it is read.

mod heard;
pub mod http;
pub mod reader;
pub mod relay;
pub mod store;
#[cfg(test)]
mod tests;

use crate::limits;
use std::sync::Arc;
use tokio::sync::{Notify, OwnedSemaphorePermit, Semaphore, watch};
use tokio_util::sync::CancellationToken;

/// The fast store's channel on which a core that has numbered news says how far.
const CHANNEL: &str = "feed";

/// What the relay, its callers and the readers share.
#[derive(Debug)]
pub struct Feed {
    bell: Notify,
    head: watch::Sender<i64>,
    places: Arc<Semaphore>,
    stop: CancellationToken,
}

impl Default for Feed {
    fn default() -> Self {
        Self {
            bell: Notify::new(),
            head: watch::Sender::new(0),
            places: Arc::new(Semaphore::new(limits::FEED_READERS)),
            stop: CancellationToken::new(),
        }
    }
}

impl Feed {
    /// Tells the relay that news has been committed to the outbox. It would find it by itself, only later.
    pub fn ring(&self) {
        self.bell.notify_one();
    }

    /// Waits until somebody has rung since the last time.
    pub async fn rung(&self) {
        self.bell.notified().await;
    }

    /// The last number that this core knows to be given.
    pub fn head(&self) -> i64 {
        *self.head.borrow()
    }

    /// Lets the readers go, those to come as well.
    pub fn close(&self) {
        self.stop.cancel();
    }

    /// Wakes the readers if the head has moved.
    fn show(&self, head: i64) {
        self.head.send_if_modified(|shown| std::mem::replace(shown, head) != head);
    }

    /// A place for one more reader, while there is one.
    fn place(&self) -> Option<OwnedSemaphorePermit> {
        Arc::clone(&self.places).try_acquire_owned().ok()
    }
}
