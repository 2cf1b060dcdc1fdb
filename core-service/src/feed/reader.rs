//! One reader of the feed: where it is, and what it is sent.
//!
//! It reads the table page by page and holds what its client has not taken yet: at most
//! [`limits::FEED_CHUNKS`] pages beside the one being made, some 150 KB each. A place may be in the middle of a
//! pack: what was sent of it is left out. A client that takes nothing for
//! [`limits::FEED_STALL`] loses its place.

use super::store::{self, NumberedPack};
use crate::app::App;
use crate::db::DbError;
use crate::limits;
use bytes::Bytes;
use std::fmt::Write as _;
use std::sync::Arc;
use tiffin_api::feed::{HELLO, News, Position, RESET};
use tokio::sync::{OwnedSemaphorePermit, mpsc};
use tokio::time::{sleep, timeout};

/// What keeps an idle connection alive: a comment.
const HEARTBEAT: &str = ": still here\n\n";

/// A reader that has its place.
pub struct Reader {
    app: Arc<App>,
    /// Everything up to this number has been sent, or was never asked for.
    cursor: i64,
    chunks: mpsc::Sender<Bytes>,
    _place: Place,
}

/// A place among the readers; counted as long as it is held.
pub struct Place {
    app: Arc<App>,
    _permit: OwnedSemaphorePermit,
}

impl Place {
    /// Takes a place, while there is one.
    pub fn take(app: &Arc<App>) -> Option<Self> {
        let permit = app.feed.place()?;
        app.metrics.feed.readers.inc();
        Some(Self { app: Arc::clone(app), _permit: permit })
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        self.app.metrics.feed.readers.dec();
    }
}

/// Why a reader ends.
#[derive(Debug)]
pub(super) enum End {
    /// Its client is gone or takes nothing.
    Client,
    /// The tables cannot be read, and trying again will not help.
    Defect(DbError),
}

impl From<DbError> for End {
    fn from(error: DbError) -> Self {
        Self::Defect(error)
    }
}

impl Reader {
    /// Places a reader after the number `after`, or at the head, and greets its client. Returns it with the
    /// other end of what it sends.
    pub async fn open(
        app: Arc<App>,
        place: Place,
        after: Option<i64>,
    ) -> Result<(Self, mpsc::Receiver<Bytes>), DbError> {
        let span = store::span(&mut *app.db.read().await?).await?;
        let (chunks, taken) = mpsc::channel(limits::FEED_CHUNKS);
        // A greeting that names a number moves the client there. That is right only for one that has none:
        // the others must come back to where they were if the connection ends right after it.
        let mut greeting = format!("retry: {}\n", limits::FEED_RETRY.as_millis());
        push_position(&mut greeting, HELLO, span.head, after.is_none());
        let cursor = match after {
            Some(after) if span.misses(after) => {
                push_position(&mut greeting, RESET, span.head, true);
                span.head
            }
            Some(after) => after,
            None => span.head,
        };
        chunks.try_send(greeting.into()).expect("the channel is new and has room");
        Ok((Self { app, cursor, chunks, _place: place }, taken))
    }

    /// Sends what comes until the client leaves, the core stops, or the connection has lasted
    /// [`limits::FEED_CONNECTION`].
    pub async fn run(mut self) {
        let stop = self.app.feed.stop.clone();
        let ended = stop.run_until_cancelled(timeout(limits::FEED_CONNECTION, self.follow())).await;
        if let Some(Ok(End::Defect(error))) = ended {
            tracing::error!(%error, "a reader of the feed was let go");
        }
    }

    async fn follow(&mut self) -> End {
        let mut head = self.app.feed.head.subscribe();
        loop {
            // Marked before the tables are read: what is numbered meanwhile wakes this reader again.
            head.mark_unchanged();
            let caught_up = match self.catch_up().await {
                Ok(()) => true,
                Err(End::Defect(error)) if error.is_transient() => {
                    tracing::debug!(%error, "a reader of the feed waits for the database");
                    false
                }
                Err(end) => return end,
            };
            let idle = if caught_up { limits::FEED_HEARTBEAT } else { limits::FEED_RETRY };
            let alive = tokio::select! {
                changed = head.changed() => {
                    changed.expect("the feed lives as long as the app");
                    Ok(())
                }
                () = sleep(idle) => self.send(HEARTBEAT.to_owned()).await,
                () = self.chunks.closed() => Err(End::Client),
            };
            if let Err(end) = alive {
                return end;
            }
        }
    }

    /// Sends all news above the cursor, and looks whether some was missed.
    async fn catch_up(&mut self) -> Result<(), End> {
        loop {
            let page = store::page(&mut *self.app.db.read().await?, self.cursor).await?;
            let head = page.head;
            let (chunk, last) = encode(&page.packs, self.cursor)?;
            drop(page);
            if last > self.cursor {
                self.send(chunk).await?;
                self.cursor = last;
            } else if last != head {
                // Heartbeats come by here, too: after a restore from a backup the head may be below the cursor.
                self.reset(head).await?;
            }
            if self.cursor == head {
                return Ok(());
            }
        }
    }

    async fn reset(&mut self, head: i64) -> Result<(), End> {
        let mut event = String::new();
        push_position(&mut event, RESET, head, true);
        self.send(event).await?;
        self.cursor = head;
        Ok(())
    }

    /// Waits for room, as long as a client may take nothing.
    pub(super) async fn send(&self, chunk: String) -> Result<(), End> {
        match timeout(limits::FEED_STALL, self.chunks.send(chunk.into())).await {
            Ok(Ok(())) => Ok(()),
            Ok(Err(_)) | Err(_) => Err(End::Client),
        }
    }
}

/// The news after `cursor` as events, as far as no number is missing, and the number of the last one.
fn encode(packs: &[NumberedPack], mut cursor: i64) -> Result<(String, i64), DbError> {
    let mut events = String::new();
    for pack in packs {
        if pack.first_seq > cursor + 1 {
            break;
        }
        for (seq, packed) in pack.above(cursor)? {
            let news = News {
                seq,
                topic: packed.topic.to_owned(),
                subject_id: packed.subject_id.to_owned(),
                payload: packed.payload,
                created_at_ms: pack.created_at_ms,
            };
            push_event(&mut events, Some(seq), packed.topic, &serde_json::to_string(&news)?);
        }
        cursor = pack.seq;
    }
    Ok((events, cursor))
}

/// An event about the feed itself; `moves` the client to the head.
fn push_position(events: &mut String, name: &str, head: i64, moves: bool) {
    let data = serde_json::to_string(&Position { head }).expect("a number always serialises");
    push_event(events, moves.then_some(head), name, &data);
}

/// `data` is one line: our JSON is written without line ends.
fn push_event(events: &mut String, id: Option<i64>, name: &str, data: &str) {
    // Writing to a String cannot fail.
    if let Some(id) = id {
        _ = writeln!(events, "id: {id}");
    }
    _ = write!(events, "event: {name}\ndata: {data}\n\n");
}
