//! Walks the levels of the cache and does what its pure rules say.
//!
//! Requests that miss together do not wait for each other here. On edge-node the host collapses
//! identical GETs under way at one time into one; under Spin each of them goes to the core.

use super::core::{self, CoreRequest};
use super::{now_ms, random, store};
use crate::answer::Answer;
use crate::cache::{
    Content, Decision, Entry, Failure, Fetched, Generation, Memory, Outcome, Policy, Question,
    Settled, Stamp, Status, Wanted, absent_slot, classify, decide, denied, is_denied, later,
    may_deny, memory_suffices, settle,
};
use crate::limits::{
    BACKGROUND_REFRESHES_MAX, CORE_CONNECT_TIMEOUT_MS, CORE_FAILING_MS, CORE_PROBE_EVERY_MS,
    MEMORY_MAX_BYTES, MEMORY_MAX_ENTRIES, READ_TOTAL_TIMEOUT_MS, STORED_VALUE_MAX_BYTES,
};
use bytes::Bytes;
use http::header::{CACHE_CONTROL, HeaderName, IF_NONE_MATCH};
use http::{HeaderMap, HeaderValue, Method};
use std::collections::BTreeSet;
use std::sync::atomic::{AtomicBool, AtomicI64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

static MEMORY: Mutex<Memory> = Mutex::new(Memory::new(MEMORY_MAX_ENTRIES, MEMORY_MAX_BYTES));
static REFRESHING: Mutex<BTreeSet<String>> = Mutex::new(BTreeSet::new());
/// When the core last could not be reached, ms since the epoch; zero if it has answered since.
static CORE_FAILED_AT_MS: AtomicI64 = AtomicI64::new(0);
/// The host has no numbers of purges, as Spin has none; that does not change while an instance lives.
static COUNTS_NOTHING: AtomicBool = AtomicBool::new(false);

/// The document wanted, from the nearest level that has it. The error is the answer to give instead.
pub async fn fetch(policy: &'static Policy, wanted: Wanted) -> Result<Fetched, Box<Answer>> {
    let generation = generation(&wanted.tags).await;
    let stamp = generation.as_ref().map(Generation::stamp);
    let now_ms = now_ms();
    let held = look_up(policy, &wanted, generation.as_ref(), now_ms).await;
    let decision = decide(held.as_deref(), now_ms);
    let Some(entry) = held else {
        return ask_unless_denied(policy, &wanted, None, stamp).await;
    };
    match decision {
        Decision::Fresh => Ok(Fetched { entry, status: Status::Hit { failure: None } }),
        Decision::StaleRevalidate => {
            refresh_in_background(policy, wanted, Arc::clone(&entry), stamp, now_ms);
            Ok(Fetched { entry, status: Status::Hit { failure: None } })
        }
        Decision::Revalidate { usable_if_error: true } if core_failed(CORE_FAILING_MS, now_ms) => {
            refresh_in_background(policy, wanted, Arc::clone(&entry), stamp, now_ms);
            let failure = Some(Failure::Unreachable);
            Ok(Fetched { entry, status: Status::Hit { failure } })
        }
        Decision::Revalidate { .. } | Decision::Miss => {
            ask_unless_denied(policy, &wanted, Some(entry), stamp).await
        }
    }
}

/// Asks the core, unless the host knows that there is no such thing. Only here, where that spares a trip.
async fn ask_unless_denied(
    policy: &Policy,
    wanted: &Wanted,
    held: Option<Arc<Entry>>,
    stamp: Option<Stamp>,
) -> Result<Fetched, Box<Answer>> {
    // A host that numbers no purges has no such keys either.
    if stamp.is_some()
        && may_deny(held.as_deref())
        && let Some(key) = &wanted.known_key
        && is_denied(store::get(key).await.as_deref())
    {
        return Err(Box::new(denied(policy)));
    }
    ask(policy, wanted, held, stamp, false).await
}

/// What the host has purged, if it counts that. One that does not is asked once.
async fn generation(tags: &str) -> Option<Generation> {
    if tags.is_empty() || COUNTS_NOTHING.load(Ordering::Relaxed) {
        return None;
    }
    match store::read(&Generation::key(tags)).await {
        Ok(Some(answer)) => Generation::parse(&answer),
        Ok(None) => {
            COUNTS_NOTHING.store(true, Ordering::Relaxed);
            None
        }
        Err(_) => None,
    }
}

/// The document wanted, straight from the core, past every cache on the way.
pub async fn refetch(policy: &'static Policy, wanted: &Wanted) -> Result<Fetched, Box<Answer>> {
    let stamp = generation(&wanted.tags).await.map(|generation| generation.stamp());
    ask(policy, wanted, None, stamp, true).await
}

async fn look_up(
    policy: &Policy,
    wanted: &Wanted,
    generation: Option<&Generation>,
    now_ms: i64,
) -> Option<Arc<Entry>> {
    let absent_key = wanted.absent_key.as_deref();
    let what_is_left = |entry| Entry::after_purges(entry, generation, now_ms);
    let remembered = {
        let mut memory = lock(&MEMORY);
        later(memory.get(&wanted.key), absent_key.and_then(|key| memory.get(key)))
    };
    let remembered = remembered.map(what_is_left);
    if memory_suffices(remembered.as_deref(), now_ms) {
        return remembered;
    }
    // Another instance may have asked since; its answer stands in the key-value store.
    let mut newest = remembered;
    if wanted.stored {
        newest = later(newest, read_stored(&wanted.key, &wanted.key).await);
    }
    if let Some(key) = absent_key {
        newest = later(newest, read_stored(&absent_slot(policy.cache, key), key).await);
    }
    newest.map(what_is_left)
}

/// Reads an entry from the key-value store and remembers it, unless a later one is remembered.
async fn read_stored(slot: &str, key: &str) -> Option<Arc<Entry>> {
    let entry = Arc::new(Entry::decode(key, store::get(slot).await?)?);
    lock(&MEMORY).learn(key, &entry);
    Some(entry)
}

async fn ask(
    policy: &Policy,
    wanted: &Wanted,
    held: Option<Arc<Entry>>,
    stamp: Option<Stamp>,
    past_caches: bool,
) -> Result<Fetched, Box<Answer>> {
    let etag = held.as_deref().and_then(Entry::etag);
    let outcome = get(policy, wanted, etag, past_caches).await;
    let now_ms = now_ms();
    let failed = matches!(outcome, Outcome::Failed(failure) if failure.concerns_all_keys());
    CORE_FAILED_AT_MS.store(if failed { now_ms } else { 0 }, Ordering::Relaxed);
    let question = Question { policy, wanted, held: held.as_ref(), stamp };
    match settle(question, outcome, now_ms, random()) {
        Settled::Keep(fetched) => {
            keep(policy, wanted, held.as_deref(), &fetched.entry).await;
            Ok(fetched)
        }
        Settled::Stale(fetched) => Ok(fetched),
        Settled::Refuse(answer) => Err(answer),
    }
}

/// Asks the core, with nothing of the client's request but its trace.
async fn get(policy: &Policy, wanted: &Wanted, etag: Option<&str>, past_caches: bool) -> Outcome {
    let mut headers = HeaderMap::new();
    if let Some(traceparent) = &wanted.traceparent {
        headers.insert(HeaderName::from_static("traceparent"), traceparent.clone());
    }
    if let Some(etag) = etag.and_then(|etag| HeaderValue::from_str(etag).ok()) {
        headers.insert(IF_NONE_MATCH, etag);
    }
    if past_caches {
        headers.insert(CACHE_CONTROL, HeaderValue::from_static("no-cache"));
    }
    let request = CoreRequest {
        method: Method::GET,
        target: wanted.target.clone(),
        headers,
        body: Bytes::new(),
        connect_timeout_ms: CORE_CONNECT_TIMEOUT_MS,
        first_byte_timeout_ms: policy.first_byte_timeout_ms,
        total_timeout_ms: READ_TOTAL_TIMEOUT_MS,
    };
    match core::send(request).await {
        Ok(response) => classify(policy, response.status, &response.headers, response.body),
        Err(failure) => Outcome::Failed(failure),
    }
}

/// Keeps what the core said at both levels, and drops what it thereby contradicts.
async fn keep(policy: &Policy, wanted: &Wanted, held: Option<&Entry>, entry: &Arc<Entry>) {
    let absent_key = wanted.absent_key.as_deref();
    let was_absent = held.is_some_and(|held| held.content == Content::Absent);
    match (&entry.content, absent_key) {
        (Content::Absent, Some(absent_key)) => {
            remember(absent_key, entry, &wanted.key);
            let slot = absent_slot(policy.cache, absent_key);
            store::set(&slot, &entry.encode(absent_key)).await;
            if wanted.stored && held.is_some() && !was_absent {
                store::delete(&wanted.key).await;
            }
        }
        (Content::Absent | Content::Document(_), absent_key) => {
            remember(&wanted.key, entry, absent_key.unwrap_or_default());
            if wanted.stored {
                let value = entry.encode(&wanted.key);
                if value.len() <= STORED_VALUE_MAX_BYTES {
                    store::set(&wanted.key, &value).await;
                }
            }
            if let Some(absent_key) = absent_key.filter(|_| was_absent) {
                store::delete(&absent_slot(policy.cache, absent_key)).await;
            }
        }
    }
}

fn remember(key: &str, entry: &Arc<Entry>, contradicted: &str) {
    let mut memory = lock(&MEMORY);
    memory.remove(contradicted);
    memory.put(key, Arc::clone(entry));
}

fn refresh_in_background(
    policy: &'static Policy,
    wanted: Wanted,
    held: Arc<Entry>,
    stamp: Option<Stamp>,
    now_ms: i64,
) {
    if core_failed(CORE_PROBE_EVERY_MS, now_ms) {
        return;
    }
    let Some(guard) = Refreshing::begin(&wanted.key) else { return };
    spin_sdk::wasip3::spawn(async move {
        let _guard = guard;
        // A failure was told where it happened, and the stale entry is still here.
        let _ = ask(policy, &wanted, Some(held), stamp, false).await;
    });
}

/// Whether the core could not be reached when last tried, less than so long ago.
fn core_failed(within_ms: i64, now_ms: i64) -> bool {
    let since_ms = now_ms.saturating_sub(CORE_FAILED_AT_MS.load(Ordering::Relaxed));
    (0..within_ms).contains(&since_ms)
}

/// The obligation to refresh a key: held by one task at a time, given up when that task ends, however
/// it ends.
struct Refreshing {
    key: String,
}

impl Refreshing {
    fn begin(key: &str) -> Option<Self> {
        let mut refreshing = lock(&REFRESHING);
        let free = refreshing.len() < BACKGROUND_REFRESHES_MAX && !refreshing.contains(key);
        free.then(|| {
            refreshing.insert(key.to_owned());
            Self { key: key.to_owned() }
        })
    }
}

impl Drop for Refreshing {
    fn drop(&mut self) {
        lock(&REFRESHING).remove(&self.key);
    }
}

fn lock<T>(mutex: &'static Mutex<T>) -> MutexGuard<'static, T> {
    // A panic ends the instance, and its statics with it: nobody ever meets a poisoned lock.
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
