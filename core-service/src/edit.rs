//! Cold edits: ordinary transactions beside the engine, for what no order decides upon: stores, menus and deals.
//!
//! Invariants: an edit begins only while ids may be minted, as many as it takes. Its news is committed with it, and
//! the relay is told at once.

use crate::app::App;
use crate::db::{Conn, DbError, Tx};
use crate::feed::Feed;
use std::ops::{Deref, DerefMut};

/// An edit in progress; it never happened unless it is committed.
pub struct Edit<'a> {
    tx: Tx,
    feed: &'a Feed,
}

impl App {
    /// Begins a cold edit. Whoever makes one begins it here.
    pub async fn edit(&self) -> Result<Edit<'_>, DbError> {
        self.ids.check()?;
        Ok(Edit { tx: self.db.write().await?, feed: &self.feed })
    }
}

impl Edit<'_> {
    /// Makes it last, and rings for its news.
    pub async fn commit(self) -> Result<(), DbError> {
        let committed = self.tx.commit().await;
        // An error may come after the fact; a bell that is rung for nothing costs a look.
        self.feed.ring();
        Ok(committed?)
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
}
