//! Listening to news: a bounded queue between whoever hears and whoever reads.
//!
//! Invariant: a reader that is too slow, or a connection that was lost, never goes unnoticed: the reader gets
//! a [`Heard::Gap`] and looks at the ledger instead. Nothing waits for a slow reader.

use crate::limits;
use bytes::Bytes;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use tokio::sync::mpsc;

/// What a subscriber hears.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Heard {
    /// A message.
    Message(Bytes),
    /// Messages may have been missed up to now. Comes first of all too: what was said before the
    /// subscription stood was missed.
    Gap,
}

/// A subscription; ends when it is dropped.
#[derive(Debug)]
pub struct Subscription {
    queue: mpsc::Receiver<Heard>,
    missed: Arc<AtomicBool>,
}

impl Subscription {
    /// The next thing heard; `None` when the store is gone. May be cancelled without loss.
    pub async fn recv(&mut self) -> Option<Heard> {
        if self.missed.swap(false, Ordering::AcqRel) {
            return Some(Heard::Gap);
        }
        self.queue.recv().await
    }
}

/// The other end of a [`Subscription`].
#[derive(Debug, Clone)]
pub(super) struct Speaker {
    queue: mpsc::Sender<Heard>,
    missed: Arc<AtomicBool>,
}

impl Speaker {
    /// Passes on what was heard, or notes that the reader missed it. Whether somebody still listens.
    pub(super) fn say(&self, heard: Heard) -> bool {
        match self.queue.try_send(heard) {
            Ok(()) => true,
            Err(mpsc::error::TrySendError::Full(_)) => {
                // The queue is full, so its reader will come by and see this.
                self.missed.store(true, Ordering::Release);
                true
            }
            Err(mpsc::error::TrySendError::Closed(_)) => false,
        }
    }

    /// Waits until nobody listens.
    pub(super) async fn unheard(&self) {
        self.queue.closed().await;
    }

    /// Whether somebody listens.
    pub(super) fn is_heard(&self) -> bool {
        !self.queue.is_closed()
    }
}

/// The two ends of a subscription.
pub(super) fn pair() -> (Speaker, Subscription) {
    let (sender, queue) = mpsc::channel(limits::NEWS_WAITING);
    let missed = Arc::new(AtomicBool::new(false));
    (Speaker { queue: sender, missed: missed.clone() }, Subscription { queue, missed })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_slow_reader_hears_of_the_gap() {
        let (speaker, mut subscription) = pair();
        for _ in 0..=limits::NEWS_WAITING {
            assert!(speaker.say(Heard::Message(Bytes::from_static(b"x"))));
        }
        assert_eq!(subscription.recv().await, Some(Heard::Gap));
        for _ in 0..limits::NEWS_WAITING {
            assert_ne!(subscription.recv().await, Some(Heard::Gap));
        }
        drop(subscription);
        assert!(!speaker.say(Heard::Gap));
    }
}
