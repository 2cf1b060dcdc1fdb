//! The feed that the core's neighbours follow: `GET /internal/feed`, server-sent events (WHATWG HTML, 9.2).
//!
//! Each event of news has its number as its `id`, its topic as its `event` and [`News`] as its `data`. A client
//! comes back with the last id it has seen, in `Last-Event-ID` or as `?after=`, and misses nothing; without
//! either it hears what happens from now on. Two more events carry a [`Position`]: [`HELLO`] comes first, and
//! [`RESET`] says that news was missed for good, so that whatever the client holds must be read anew.

use serde::{Deserialize, Serialize};

/// The event that comes first.
pub const HELLO: &str = "hello";
/// The event after which nothing the client knew can be relied on; its id is where the feed goes on.
pub const RESET: &str = "reset";

/// Something that happened; `P` is the payload's form, which follows from the topic.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct News<P> {
    /// Its number: 1, 2, 3… without gaps.
    pub seq: i64,
    /// What kind, such as `order.changed`.
    pub topic: String,
    /// The id of the entity that it happened to.
    pub subject_id: String,
    /// What happened.
    pub payload: P,
    /// When, ms.
    pub created_at_ms: i64,
}

/// Where the feed stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Position {
    /// The last number given.
    pub head: i64,
}
