//! What was answered, kept by whoever asked: the drill's memory, which no kill touches.

use super::schedule::Kill;
use crate::http::{Answer, Call, Settled};
use crate::violations::Violations;
use std::collections::BTreeMap;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};
use tiffin_api::problem::ErrorCode;

/// What a call asks for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Act {
    /// To place this order.
    Place(Basket),
    /// To pay this order.
    Pay(i64),
    /// To take this order back.
    Cancel(i64),
}

/// What is ordered.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Basket {
    /// Where.
    pub store: i64,
    /// Units by item.
    pub lines: BTreeMap<i64, i64>,
}

/// The first answer to a key.
#[derive(Debug, Clone)]
pub struct Entry {
    /// The request.
    pub call: Call,
    /// What it asked for.
    pub act: Act,
    /// The answer's status.
    pub status: u16,
    /// SHA-256 of its body.
    pub hash: [u8; 32],
    /// Why it was refused, if it was.
    pub code: Option<ErrorCode>,
    /// The order that it placed.
    pub placed: Option<i64>,
    /// The state that it told of its order or payment.
    pub told_state: Option<String>,
}

impl Entry {
    /// Remembers an answer.
    pub fn new(call: Call, act: Act, answer: &Answer) -> Self {
        let document: serde_json::Value = serde_json::from_slice(&answer.body).unwrap_or_default();
        let id = document["id"].as_str().and_then(|id| id.parse().ok());
        let placed = id.filter(|_| answer.status == 201 && matches!(act, Act::Place(_)));
        let told_state = document["state"].as_str().map(str::to_owned);
        let (status, hash, code) = (answer.status, answer.hash(), answer.code());
        Self { call, act, status, hash, code, placed, told_state }
    }

    /// Whether it is a refusal at the door: nothing was done, and nothing is recorded.
    pub fn may_be_unrecorded(&self) -> bool {
        matches!(self.act, Act::Place(_))
            && matches!(self.code, Some(ErrorCode::OutOfStock | ErrorCode::HoldLimitReached))
    }
}

/// A kill that happened.
#[derive(Debug, Clone)]
pub struct Killed {
    /// What was killed.
    pub kill: Kill,
    /// When.
    pub at: Instant,
    /// How long until a request that began after the kill had a success.
    pub recovered: Option<Duration>,
}

/// The memory, shared by all clients.
#[derive(Default)]
pub struct Journal(Mutex<Pages>);

/// What the memory holds.
#[derive(Default)]
pub struct Pages {
    /// The first answer of every key.
    pub entries: Vec<Entry>,
    /// Orders that were acknowledged.
    pub orders: Vec<i64>,
    /// Kills so far.
    pub kills: Vec<Killed>,
    /// Rules that were broken in the load itself.
    pub violations: Violations,
}

impl Journal {
    /// Notes the first answer to a key.
    pub fn note(&self, entry: Entry, settled: &Settled) {
        let now = Instant::now();
        let mut pages = self.pages();
        if entry.status < 400 {
            for killed in pages.kills.iter_mut().rev() {
                if killed.at < settled.began && killed.recovered.is_none() {
                    killed.recovered = Some(now.duration_since(killed.at));
                }
            }
        }
        pages.orders.extend(entry.placed);
        pages.entries.push(entry);
    }

    /// Notes a kill.
    pub fn note_kill(&self, kill: Kill, at: Instant) {
        self.pages().kills.push(Killed { kill, at, recovered: None });
    }

    /// Looks at it, or writes into it.
    pub fn pages(&self) -> MutexGuard<'_, Pages> {
        // Nothing that holds the lock can leave half a change behind.
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// All of it, once nobody writes any more.
    pub fn close(&self) -> Pages {
        std::mem::take(&mut *self.pages())
    }
}
