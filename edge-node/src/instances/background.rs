//! Instances that compute for long run in the background, so that the others stay prompt.
//!
//! tokio runs whatever is ready in the order in which it became so. With guests that loop on every
//! thread, a request would wait for a tick of each of them, at every step of its way. An instance
//! that has used [`limits::FOREGROUND_CPU`] since its last request therefore runs only with a place
//! here, for a tick at a time, and there are fewer places than threads: a two-level feedback queue.
//!
//! Invariants: at least one thread is free of such instances; a place is held only by an instance
//! that runs, never by one that waits; those in the background take turns.

use std::pin::Pin;
use std::sync::{Arc, Mutex, PoisonError};

use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::task::yield_now;

/// The places of one node. Cloning shares them.
#[derive(Debug, Clone)]
pub(crate) struct Background(Arc<Semaphore>);

impl Background {
    /// Places beside `threads` that run guests.
    pub(crate) fn beside(threads: usize) -> Self {
        Self(Arc::new(Semaphore::new(threads.saturating_sub(1).max(1))))
    }
}

/// One instance's place, while it has one. Cloning shares it.
#[derive(Debug, Clone)]
pub(super) struct Place {
    background: Background,
    held: Arc<Mutex<Option<OwnedSemaphorePermit>>>,
}

impl Place {
    pub(super) fn new(background: &Background) -> Self {
        Self { background: background.clone(), held: Arc::default() }
    }

    /// Gives the place to whoever is next. To be called when the instance no longer runs.
    pub(super) fn leave(&self) {
        self.set(None);
    }

    /// Leaves at once, and resolves when it is this instance's turn again.
    ///
    /// It lets go of the thread twice before it takes a place: an instance is polled a second time in a row
    /// if it took a request, and only when it then waits again is the place taken from it.
    pub(super) fn turn(&self) -> Pin<Box<dyn Future<Output = ()> + Send>> {
        self.leave();
        let place = self.clone();
        Box::pin(async move {
            yield_now().await;
            yield_now().await;
            let permit = Arc::clone(&place.background.0).acquire_owned().await;
            place.set(Some(permit.expect("the semaphore is never closed")));
        })
    }

    fn set(&self, permit: Option<OwnedSemaphorePermit>) {
        *self.held.lock().unwrap_or_else(PoisonError::into_inner) = permit;
    }
}

#[cfg(test)]
mod tests {
    use super::{Background, Place};

    #[tokio::test]
    async fn those_in_the_background_take_turns_and_who_waits_is_in_nobodys_way() {
        let background = Background::beside(2);
        let (one, other) = (Place::new(&background), Place::new(&background));
        one.turn().await;
        let mut others = tokio::spawn(other.turn());
        for _ in 0..10 {
            tokio::task::yield_now().await;
        }
        assert!(!others.is_finished(), "one of two threads stays free");
        let ones = tokio::spawn(one.turn());
        (&mut others).await.unwrap();
        assert!(!ones.is_finished(), "first the other has a tick");
        other.leave();
        ones.await.unwrap();
    }
}
