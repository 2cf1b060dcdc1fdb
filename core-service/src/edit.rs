//! Cold edits: ordinary transactions beside the engine, for what no order decides upon: stores, menus and deals.
//!
//! Invariants: an edit begins only while ids may be minted, as many as it takes. One that took longer than
//! [`limits::EDIT_MOST_MS`] is not committed, long before its ids could be denied where they are not known. Its news is
//! committed with it, and the relay is told at once.

use crate::app::App;
use crate::clock::Clock;
use crate::db::{Conn, DbError, Tx};
use crate::feed::Feed;
use crate::limits;
use std::ops::{Deref, DerefMut};

/// An edit in progress; it never happened unless it is committed.
pub struct Edit<'a> {
    tx: Tx,
    feed: &'a Feed,
    clock: &'a dyn Clock,
    begun_ms: i64,
}

impl App {
    /// Begins a cold edit. Whoever makes one begins it here.
    pub async fn edit(&self) -> Result<Edit<'_>, DbError> {
        let begun_ms = self.clock.now_ms();
        self.ids.check()?;
        let tx = self.db.write().await?;
        Ok(Edit { tx, feed: &self.feed, clock: &*self.clock, begun_ms })
    }
}

impl Edit<'_> {
    /// Makes it last, and rings for its news.
    pub async fn commit(self) -> Result<(), DbError> {
        if self.clock.now_ms() - self.begun_ms > limits::EDIT_MOST_MS {
            return Err(DbError::Late);
        }
        let committed = self.tx.commit().await;
        // An error may come after the fact; a bell that is rung for nothing costs a look.
        self.feed.ring();
        committed
    }
}

impl Deref for Edit<'_> {
    type Target = Conn;

    fn deref(&self) -> &Conn {
        &self.tx
    }
}

impl DerefMut for Edit<'_> {
    fn deref_mut(&mut self) -> &mut Conn {
        &mut self.tx
    }
}

#[cfg(test)]
mod tests {
    use crate::app::testing;
    use crate::clock::Clock as _;
    use crate::db::outbox::{self, News, Topic};
    use crate::limits;
    use futures::FutureExt as _;

    #[tokio::test]
    async fn the_relay_is_told_of_what_was_committed_and_of_nothing_else() {
        let core = testing::app().await;
        let news = [News::new(Topic::StoreChanged, 1, &()).unwrap()];
        for commits in [false, true] {
            let mut edit = core.edit().await.unwrap();
            outbox::publish(&mut edit, &core.ids, &news, core.clock.now_ms()).await.unwrap();
            if commits {
                edit.commit().await.unwrap();
            } else {
                drop(edit);
            }
            assert_eq!(core.feed.rung().now_or_never().is_some(), commits);
        }
    }

    #[tokio::test]
    async fn an_edit_that_took_too_long_never_happened() {
        let core = testing::app().await;
        let news = [News::new(Topic::StoreChanged, 1, &()).unwrap()];
        for (took_ms, expected) in [(limits::EDIT_MOST_MS + 1, false), (limits::EDIT_MOST_MS, true)]
        {
            let mut edit = core.edit().await.unwrap();
            outbox::publish(&mut edit, &core.ids, &news, core.clock.now_ms()).await.unwrap();
            core.clock.advance(took_ms);
            assert_eq!(edit.commit().await.is_ok(), expected, "{took_ms}");
            let mut conn = core.db.read().await.unwrap();
            assert_eq!(crate::feed::store::look(&mut conn).await.unwrap().1, expected);
        }
    }
}
