//! What becomes of the feed's events: purges, and a place in the sequence.
//!
//! Invariants: an event is applied before its number counts as read, so that whoever sees the number may rely on it;
//! whatever cannot be read, or is missing in the sequence, counts as missed, and then everything is purged softly: it
//! is validated before it is used again, and stands in only if the core cannot say.

use std::borrow::Cow;
use std::sync::Arc;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use serde::Deserialize;

use super::sse::{Event, Parsed};
use super::status::Status;
use crate::cache::{Cache, Purge};
use crate::known::Known;
use crate::limits;

/// The event that comes first on a connection.
const HELLO: &str = "hello";
/// The event that says that news was lost for good.
const RESET: &str = "reset";

/// Kinds whose entities are never in a shared cache; each diner's action moves one of them. Others, also those that the
/// core may learn to tell of, are purged by their kind and id.
const PRIVATE_KINDS: [&str; 3] = ["order", "payment", "coupon"];

/// What the node does about events.
pub(super) struct Follower {
    cache: Arc<Cache>,
    known: Arc<Known>,
    status: Arc<Status>,
    /// Everything up to this number is applied; none before the first word of any core.
    position: Option<i64>,
    /// The number that the core is known to have given.
    head: i64,
    /// What could not be read since something last could.
    unread: u32,
}

/// What comes first is no greeting that can be read.
#[derive(Debug, thiserror::Error)]
#[error("what answers is not the feed of a Tiffin core: it did not begin with a greeting")]
pub(crate) struct NoGreeting;

/// Where the feed stands, as greetings and resets say.
#[derive(Deserialize)]
struct Position {
    head: i64,
}

/// News, as far as a node reads it.
#[derive(Deserialize)]
struct News<'a> {
    #[serde(borrow)]
    subject_id: Cow<'a, str>,
    created_at_ms: i64,
}

impl Follower {
    pub(super) fn new(cache: Arc<Cache>, known: Arc<Known>, status: Arc<Status>) -> Self {
        Self { cache, known, status, position: None, head: 0, unread: 0 }
    }

    /// Where to go on.
    pub(super) fn position(&self) -> Option<i64> {
        self.position
    }

    /// Whether so much in a row cannot be read that this connection is of no use.
    pub(super) fn is_lost(&self) -> bool {
        self.unread >= limits::MAX_FEED_UNREAD
    }

    /// Takes the first event of a connection.
    ///
    /// # Errors
    /// It is no greeting.
    pub(super) fn greet(&mut self, parsed: &Parsed) -> Result<(), NoGreeting> {
        let Parsed::Event(Event { name, data, id }) = parsed else { return Err(NoGreeting) };
        if name != HELLO {
            return Err(NoGreeting);
        }
        let Position { head } = serde_json::from_str(data).map_err(|_| NoGreeting)?;
        (self.head, self.unread) = (head, 0);
        // A connection that was lost may have come back to another ledger.
        self.known.doubt();
        // With a number it says where to begin. What was fetched before that may have changed since.
        if let Some(begin) = number(id.as_deref()) {
            self.flush("the feed begins");
            self.position = Some(begin);
        }
        self.tell();
        Ok(())
    }

    /// Counts a connection that has greeted.
    pub(super) fn connected(&self) {
        self.status.metrics.feed.connections.inc();
    }

    /// Applies an event.
    pub(super) fn apply(&mut self, parsed: Parsed) {
        let event = match parsed {
            Parsed::Event(event) => event,
            Parsed::TooLong { id } => {
                return self.miss(number(id.as_deref()), "an event is too long");
            }
        };
        let Some(id) = event.id.as_deref() else {
            // The core gives a number to whatever moves its readers.
            tracing::debug!(event = event.name, "an event without a number is passed over");
            return;
        };
        let Some(seq) = number(Some(id)) else { return self.miss(None, "an event has no number") };
        if event.name == RESET {
            self.flush("the core has reset the feed");
            self.known.doubt();
            self.status.metrics.feed.resets.inc();
            (self.position, self.head) = (Some(seq), seq);
            return self.tell();
        }
        if self.position.is_some_and(|position| seq > position.saturating_add(1)) {
            self.status.metrics.feed.missed.inc();
            self.flush("numbers are missing in the feed");
        }
        match serde_json::from_str::<News<'_>>(&event.data) {
            Ok(news) => self.purge(&event.name, &news),
            Err(_) => return self.miss(Some(seq), "an event cannot be read"),
        }
        self.status.metrics.feed.news.inc();
        self.unread = 0;
        self.advance(seq);
    }

    /// Purges what an entity of a kind is in, and the lists of its kind: `store.changed` of 7 names the tags `store:7`
    /// and `stores`.
    fn purge(&self, topic: &str, news: &News<'_>) {
        self.status.metrics.feed.delayed(age(news.created_at_ms));
        let kind = topic.split('.').next().unwrap_or(topic);
        if PRIVATE_KINDS.contains(&kind) {
            return;
        }
        let (entity, list) = (format!("{kind}:{}", news.subject_id), format!("{kind}s"));
        self.cache.purge([entity.as_str(), list.as_str()], Purge::Hard);
    }

    /// Something happened that is not known.
    fn miss(&mut self, seq: Option<i64>, why: &str) {
        self.status.metrics.feed.missed.inc();
        self.unread = self.unread.saturating_add(1);
        self.flush(why);
        if let Some(seq) = seq {
            self.advance(seq);
        }
    }

    fn flush(&self, why: &str) {
        tracing::info!(why, sequence = self.position, "everything is to be validated");
        self.cache.purge_all(Purge::Soft);
    }

    fn advance(&mut self, seq: i64) {
        self.position = self.position.max(Some(seq));
        self.head = self.head.max(seq);
        self.tell();
    }

    fn tell(&self) {
        if let Some(position) = self.position {
            self.status.applied(position, self.head);
        }
    }
}

fn number(id: Option<&str>) -> Option<i64> {
    id?.parse().ok().filter(|seq| *seq >= 0)
}

/// How long ago something was, by this machine's clock.
fn age(created_at_ms: i64) -> Duration {
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    now.saturating_sub(Duration::from_millis(u64::try_from(created_at_ms).unwrap_or(0)))
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::super::sse::{Event, Parsed};
    use super::super::status::{State, Status};
    use super::Follower;
    use crate::cache::{Cache, Generation};
    use crate::known::Known;
    use crate::limits;
    use crate::metrics::Metrics;

    struct House {
        cache: Arc<Cache>,
        status: Arc<Status>,
        follower: Follower,
    }

    fn event(id: Option<&str>, name: &str, data: &str) -> Parsed {
        let id = id.map(str::to_owned);
        Parsed::Event(Event { name: name.to_owned(), data: data.to_owned(), id })
    }

    fn news(seq: i64, topic: &str, subject: &str) -> Parsed {
        let data =
            format!(r#"{{"seq":{seq},"subject_id":"{subject}","payload":1,"created_at_ms":0}}"#);
        event(Some(&seq.to_string()), topic, &data)
    }

    impl House {
        /// One that has read all up to 10.
        fn at_ten() -> Self {
            let metrics = Arc::new(Metrics::new());
            let cache = Cache::new(Arc::clone(&metrics));
            let known = Arc::new(Known::new(Arc::clone(&metrics)));
            let status = Arc::new(Status::new(metrics));
            let mut follower = Follower::new(Arc::clone(&cache), known, Arc::clone(&status));
            follower.greet(&event(Some("10"), "hello", r#"{"head":10}"#)).unwrap();
            Self { cache, status, follower }
        }

        /// What an event does to the tags: who is purged hard, and whether all is purged softly.
        fn purged_by(&mut self, parsed: Parsed) -> (Vec<&'static str>, bool) {
            const TAGS: [&str; 6] = ["store:7", "stores", "menu:7", "deal:7", "order:7", "group:7"];
            let before = TAGS.map(|tag| self.cache.generation(tag));
            self.follower.apply(parsed);
            let after = TAGS.map(|tag| self.cache.generation(tag));
            let pairs = || before.iter().zip(&after);
            let soft = pairs().all(|(b, a): (&Generation, &Generation)| a.soft > b.soft);
            let hard = TAGS.iter().zip(pairs()).filter(|(_, (b, a))| a.hard > b.hard);
            (hard.map(|(tag, _)| *tag).collect(), soft)
        }
    }

    #[test]
    fn a_feed_of_nonsense_is_lost_and_one_bad_event_is_not() {
        let mut house = House::at_ten();
        for round in 0..3 * limits::MAX_FEED_UNREAD {
            house.follower.apply(event(Some("x"), "store.changed", "{}"));
            house.follower.apply(news(round.into(), "store.changed", "7"));
            assert!(!house.follower.is_lost());
        }
        for _ in 0..limits::MAX_FEED_UNREAD {
            assert!(!house.follower.is_lost());
            house.follower.apply(event(Some("x"), "store.changed", "{}"));
        }
        assert!(house.follower.is_lost());
    }

    #[test]
    fn news_purges_the_entity_and_its_lists_and_moves_the_place() {
        let mut house = House::at_ten();
        for (seq, topic, purged) in [
            (11, "store.changed", vec!["store:7", "stores"]),
            (12, "deal.changed", vec!["deal:7"]),
            (13, "order.changed", vec![]),
            (14, "group.opened", vec!["group:7"]),
        ] {
            assert_eq!(house.purged_by(news(seq, topic, "7")), (purged, false), "{topic}");
            assert_eq!(house.follower.position(), Some(seq));
        }
        assert_eq!(house.status.state(), State::Live);
    }

    #[test]
    fn whatever_is_missed_flushes_everything_softly() {
        let all = |purged| (purged, true);
        for (parsed, expected, position) in [
            (news(12, "order.changed", "7"), all(vec![]), 12),
            (news(12, "store.changed", "7"), all(vec!["store:7", "stores"]), 12),
            (event(Some("11"), "store.changed", "{"), all(vec![]), 11),
            (event(Some("11"), "", ""), all(vec![]), 11),
            (event(Some("x"), "store.changed", "{}"), all(vec![]), 10),
            (Parsed::TooLong { id: Some("11".to_owned()) }, all(vec![]), 11),
            (Parsed::TooLong { id: None }, all(vec![]), 10),
            // After a restore the core may stand lower.
            (event(Some("4"), "reset", r#"{"head":4}"#), all(vec![]), 4),
            // These say nothing about anything.
            (event(None, "store.changed", "{}"), (vec![], false), 10),
            (news(9, "order.changed", "7"), (vec![], false), 10),
        ] {
            let mut house = House::at_ten();
            let shown = format!("{parsed:?}");
            assert_eq!(house.purged_by(parsed), expected, "{shown}");
            assert_eq!(house.follower.position(), Some(position), "{shown}");
        }
    }

    #[test]
    fn a_connection_begins_with_a_greeting_and_is_live_once_all_is_read() {
        let mut house = House::at_ten();
        for wrong in [news(11, "store.changed", "7"), event(None, "hello", "<html>")] {
            house.follower.greet(&wrong).unwrap_err();
        }
        house.status.down(Some("cut".to_owned()));
        let before = house.cache.generation("store:7").soft;
        house.follower.greet(&event(None, "hello", r#"{"head":12}"#)).unwrap();
        assert_eq!(house.follower.position(), Some(10), "it goes on where it was");
        assert_eq!(house.cache.generation("store:7").soft, before, "nothing was missed");
        for (seq, state) in [(11, State::CatchingUp), (12, State::Live)] {
            house.follower.apply(news(seq, "order.changed", "7"));
            assert_eq!(house.status.state(), state);
        }
    }
}
