//! The fast store in process: for one core without services, and in place of a Redis that is gone.
//!
//! Invariant: everything is bounded by a named limit; what does not fit is forgotten, which a fast store may.
//! A call does all of its work under one lock at once and never waits.

mod expiring;
mod gate;
mod rates;

use super::pubsub::{self, Heard, Speaker, Subscription};
use super::{Admission, Admit, Allowance, FastError, FastStore, GateTag, Rate, Reply, Window};
use crate::clock::Clock;
use crate::limits;
use bytes::Bytes;
use expiring::Expiring;
use gate::Shard;
use rates::Rates;
use std::collections::HashMap;
use std::hash::{DefaultHasher, Hash as _, Hasher as _};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

/// The store.
pub struct Memory {
    clock: Arc<dyn Clock>,
    gates: Vec<Mutex<Shard>>,
    rates: Mutex<Rates>,
    leases: Mutex<Expiring<String, String>>,
    cached: Mutex<Expiring<String, Bytes>>,
    channels: Mutex<HashMap<String, Vec<Speaker>>>,
}

impl std::fmt::Debug for Memory {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.debug_struct("Memory").finish_non_exhaustive()
    }
}

impl Memory {
    /// An empty store, whose entries live by `clock`.
    pub fn new(clock: Arc<dyn Clock>) -> Self {
        Self {
            clock,
            gates: (0..limits::GATE_SHARDS).map(|_| Mutex::new(Shard::new())).collect(),
            rates: Mutex::new(Rates::new()),
            leases: Mutex::new(Expiring::new(limits::LEASES_KEPT)),
            cached: Mutex::new(Expiring::new(limits::CACHE_VALUES)),
            channels: Mutex::default(),
        }
    }

    /// Forgets everything but its subscribers, as Redis does at FLUSHALL; for tests and drills.
    pub fn clear(&self) {
        for gate in &self.gates {
            *lock(gate) = Shard::new();
        }
        *lock(&self.rates) = Rates::new();
        *lock(&self.leases) = Expiring::new(limits::LEASES_KEPT);
        *lock(&self.cached) = Expiring::new(limits::CACHE_VALUES);
    }

    fn gate(&self, tag: GateTag) -> MutexGuard<'_, Shard> {
        let mut hasher = DefaultHasher::new();
        tag.hash(&mut hasher);
        let shards = self.gates.len() as u64;
        let shard = usize::try_from(hasher.finish() % shards).expect("a remainder of a usize");
        lock(&self.gates[shard])
    }

    fn end_ms(&self, ttl: Duration) -> (i64, i64) {
        let now_ms = self.clock.now_ms();
        let ttl_ms = i64::try_from(ttl.as_millis()).unwrap_or(i64::MAX);
        (now_ms, now_ms.saturating_add(ttl_ms))
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Work that is done when it is first polled and cannot fail.
fn at_once<'a, T>(work: impl FnOnce() -> T + Send + 'a) -> Reply<'a, T> {
    Box::pin(async move { Ok::<T, FastError>(work()) })
}

impl FastStore for Memory {
    fn ping(&self) -> Reply<'_, ()> {
        at_once(|| ())
    }

    fn admit<'a>(&'a self, admission: &'a Admission<'a>) -> Reply<'a, Admit> {
        at_once(|| self.gate(admission.tag).admit(admission, self.clock.now_ms()))
    }

    fn give_back<'a>(&'a self, admission: &'a Admission<'a>) -> Reply<'a, bool> {
        at_once(|| self.gate(admission.tag).give_back(admission, self.clock.now_ms()))
    }

    fn release<'a>(&'a self, tag: GateTag, user: i64, items: &'a [(i64, i64)]) -> Reply<'a, ()> {
        at_once(move || self.gate(tag).release(tag, user, items, self.clock.now_ms()))
    }

    fn settle(&self, tag: GateTag, user: i64, units: i64) -> Reply<'_, ()> {
        at_once(move || self.gate(tag).settle(tag, user, units, self.clock.now_ms()))
    }

    fn load<'a>(&'a self, tag: GateTag, left: &'a [(i64, i64)], overwrite: bool) -> Reply<'a, ()> {
        at_once(move || self.gate(tag).load(tag, left, overwrite))
    }

    fn forget<'a>(&'a self, tag: GateTag, items: &'a [i64]) -> Reply<'a, ()> {
        at_once(move || self.gate(tag).forget(tag, items))
    }

    fn counters<'a>(&'a self, tag: GateTag, items: &'a [i64]) -> Reply<'a, Vec<Option<i64>>> {
        at_once(move || self.gate(tag).counters(tag, items))
    }

    fn held(&self, tag: GateTag, user: i64) -> Reply<'_, i64> {
        at_once(move || self.gate(tag).held(tag, user, self.clock.now_ms()))
    }

    fn set_held(&self, tag: GateTag, user: i64, units: i64) -> Reply<'_, ()> {
        at_once(move || self.gate(tag).set_held(tag, user, units, self.clock.now_ms()))
    }

    fn take_token<'a>(&'a self, key: &'a str, rate: Rate, now_ms: i64) -> Reply<'a, Allowance> {
        at_once(move || lock(&self.rates).take_token(key, rate, now_ms, self.clock.now_ms()))
    }

    fn slide<'a>(
        &'a self,
        key: &'a str,
        window: Window,
        now_ms: i64,
        unique_id: &'a str,
    ) -> Reply<'a, Allowance> {
        at_once(move || {
            lock(&self.rates).slide(key, window, now_ms, unique_id, self.clock.now_ms())
        })
    }

    fn lease<'a>(&'a self, name: &'a str, owner: &'a str, ttl: Duration) -> Reply<'a, bool> {
        at_once(move || {
            let (now_ms, end_ms) = self.end_ms(ttl);
            let (mut leases, name) = (lock(&self.leases), name.to_owned());
            let free = leases.get(&name, now_ms).is_none_or(|holder| holder == owner);
            if free {
                leases.set(name, owner.to_owned(), end_ms, now_ms);
            }
            free
        })
    }

    fn release_lease<'a>(&'a self, name: &'a str, owner: &'a str) -> Reply<'a, bool> {
        at_once(move || {
            let now_ms = self.clock.now_ms();
            let (mut leases, name) = (lock(&self.leases), name.to_owned());
            let owned = leases.get(&name, now_ms).is_some_and(|holder| holder == owner);
            owned && leases.remove(&name, now_ms).is_some()
        })
    }

    fn cache_get<'a>(&'a self, key: &'a str) -> Reply<'a, Option<Bytes>> {
        at_once(move || lock(&self.cached).get(&key.to_owned(), self.clock.now_ms()).cloned())
    }

    fn cache_put<'a>(&'a self, key: &'a str, value: Bytes, ttl: Duration) -> Reply<'a, ()> {
        at_once(move || {
            let (now_ms, end_ms) = self.end_ms(ttl);
            lock(&self.cached).set(key.to_owned(), value, end_ms, now_ms);
        })
    }

    fn cache_drop<'a>(&'a self, key: &'a str) -> Reply<'a, ()> {
        at_once(move || {
            lock(&self.cached).remove(&key.to_owned(), self.clock.now_ms());
        })
    }

    fn publish<'a>(&'a self, channel: &'a str, message: Bytes) -> Reply<'a, ()> {
        at_once(move || {
            let mut channels = lock(&self.channels);
            if let Some(speakers) = channels.get_mut(channel) {
                speakers.retain(|speaker| speaker.say(Heard::Message(message.clone())));
                if speakers.is_empty() {
                    channels.remove(channel);
                }
            }
        })
    }

    fn subscribe(&self, channel: &str) -> Subscription {
        let (speaker, subscription) = pubsub::pair();
        speaker.say(Heard::Gap);
        let mut channels = lock(&self.channels);
        if channels.len() >= limits::NEWS_CHANNELS {
            channels.retain(|_, speakers| speakers.iter().any(Speaker::is_heard));
        }
        let speakers = channels.entry(channel.to_owned()).or_default();
        speakers.retain(Speaker::is_heard);
        speakers.push(speaker);
        subscription
    }
}
