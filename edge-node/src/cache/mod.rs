//! A shared HTTP cache in front of the functions (RFC 9111), with purging by tag.
//!
//! A request first asks [`Cache::hit`], which wakes nobody; if that has no answer and the route leads to a component,
//! [`Cache::fill`] has it fetched once for all who wait. Invariants, each held by tests:
//!
//! 1. what an answer forbids is not done: `judge` in `policy` is the only door into the store;
//! 2. once a purge has returned, nobody is given what it names from before: entries are compared with the `tags` each time,
//!    also those that somebody waited for; a purge during a fill wins; the same holds of a component that was replaced;
//! 3. one fetch for one key, however many ask; but answers that are not to be shared are fetched side by side;
//! 4. nothing of a request with `Authorization` or `Cookie` is shared, and it is given only what says that it may be;
//! 5. a fetch outlives the client that set it off;
//! 6. a hit copies no body, takes no lock that is held across a wait, and asks no guest.
//!
//! `key` says which requests are alike, `entry` makes answers of `lines`, `weight` is what it takes, `ask` leads or waits, `flight` brings requests together, `fill` is
//! one fetch, `wire` makes hits ready to be sent, `encode`, `conditional` and `range` spare bytes, `status` tells what happened.

mod ask;
mod conditional;
mod date;
mod directives;
mod encode;
mod entry;
mod fill;
mod flight;
mod key;
mod lines;
#[cfg(test)]
#[cfg(target_os = "linux")]
mod memory_tests;
mod policy;
mod range;
mod status;
mod structured;
mod tags;
#[cfg(test)]
mod tests;
mod weight;
mod wire;

use std::hash::RandomState;
use std::sync::Arc;

use bytes::Bytes;
use http::header::HeaderMap;
use http::request::Parts;
use http::{HeaderValue, Request};
use moka::ops::compute::Op;
use moka::sync::Cache as Store;
use tokio::sync::Semaphore;
use tokio::time::Instant;
use wasmtime_wasi_http::WasiBody;

use self::entry::{Entry, SURROGATE_KEY};
use self::flight::{Flights, Unshared};
use self::key::{Asked, Read, versioned};
use self::policy::{Refusal, Standing};
use self::status::{CACHE_STATUS, Forward, Status};
pub(crate) use self::tags::{Generation, Purge};
use self::tags::{Tags, View};
pub(crate) use self::wire::WireHit;
use crate::limits;
use crate::metrics::{Metrics, PurgeLabel};
use crate::site::Answered;
use crate::trace::Trace;

/// Why a stale answer was given.
const STALE_IF_ERROR: &str = "stale-if-error";

/// What the variants of one URI are kept under.
type Key = Box<str>;

/// The variants of one URI, the newest first.
type Variants = Arc<[Arc<Entry>]>;

/// The cache of one node.
pub(crate) struct Cache {
    store: Store<Key, Variants>,
    tags: Tags,
    flights: Arc<Flights>,
    unshared: Unshared,
    hasher: RandomState,
    compressors: Semaphore,
    refreshes: Arc<Semaphore>,
    /// Where its clock began.
    epoch: Instant,
    metrics: Arc<Metrics>,
}

/// What is there for a request.
#[derive(Default)]
struct Found {
    /// The variant that fits, and what it is good for.
    entry: Option<(Arc<Entry>, Standing)>,
    /// There are only others.
    has_others: bool,
    /// The key under which the request flies: with what the variants are known to differ by.
    flight: String,
}

impl Found {
    /// The variant, if it is good for `least` or better, and for who asks.
    fn usable(&self, read: Read, least: Standing) -> Option<&Arc<Entry>> {
        let (entry, standing) = self.entry.as_ref()?;
        (*standing <= least && entry.is_for(read)).then_some(entry)
    }

    /// Why the function is asked.
    fn forward(&self, read: Read) -> Forward {
        match &self.entry {
            Some((entry, _)) if !entry.is_for(read) => Forward::Request,
            Some(_) => Forward::Stale,
            None if self.has_others => Forward::VaryMiss,
            None => Forward::Miss,
        }
    }
}

impl Cache {
    /// An empty cache.
    pub(crate) fn new(metrics: Arc<Metrics>) -> Arc<Self> {
        Self::of_bytes(limits::MAX_CACHE_BYTES, metrics)
    }

    /// One that takes so much memory at most.
    fn of_bytes(max_bytes: u64, metrics: Arc<Metrics>) -> Arc<Self> {
        let weigh = |key: &Key, variants: &Variants| {
            let entries: usize = variants.iter().map(|entry| entry.bytes()).sum();
            u32::try_from(weight::of_slot(key.len(), variants.len()) + entries).unwrap_or(u32::MAX)
        };
        let store = Store::builder().max_capacity(max_bytes).weigher(weigh).build();
        Arc::new(Self {
            store,
            tags: Tags::new(),
            flights: Arc::default(),
            unshared: Unshared::new(),
            hasher: RandomState::new(),
            compressors: Semaphore::new(limits::MAX_COMPRESSORS),
            refreshes: Arc::new(Semaphore::new(limits::MAX_REFRESHES)),
            epoch: Instant::now(),
            metrics,
        })
    }

    /// Answers without waiting for a function, if it can. `fetch` refreshes in the background what is
    /// stale and may still be used.
    pub(crate) async fn hit<F, Fut>(
        self: &Arc<Self>,
        head: &Parts,
        has_body: bool,
        trace: &Trace,
        fetch: F,
    ) -> Option<Answered>
    where
        F: FnOnce(Request<WasiBody>) -> Fut + Send + 'static,
        Fut: Future<Output = Answered> + Send + 'static,
    {
        let Asked::Read(read) = Asked::of(head, has_body) else { return None };
        let key = versioned(head);
        let now_ms = self.now_ms();
        let (entry, standing) = self.variant(&key, &head.headers, now_ms)?;
        if !entry.is_for(read) {
            return None;
        }
        let detail = match standing {
            Standing::Fresh => None,
            Standing::WhileRevalidate => {
                self.refresh(key, head, &entry, trace, fetch);
                None
            }
            Standing::IfError if entry.is_resting(now_ms) => Some(STALE_IF_ERROR),
            Standing::IfError | Standing::Past => return None,
        };
        let status = Status { detail, ..Status::default() };
        Some(self.answer(&entry, read, head, status).await)
    }

    /// An answer that has nothing to do with the cache, on its way to a client.
    pub(crate) fn bypassed(&self, answered: Answered) -> Answered {
        self.passed(answered, Forward::Bypass, None)
    }

    /// Purges what carries one of the tags. In effect when it returns.
    pub(crate) fn purge<'a>(&self, tags: impl IntoIterator<Item = &'a str>, kind: Purge) {
        for tag in tags {
            self.tags.purge(tag, kind);
            self.metrics.cache_purges.get_or_create(&PurgeLabel::new(kind)).inc();
        }
    }

    /// Purges everything. In effect when it returns.
    pub(crate) fn purge_all(&self, kind: Purge) {
        self.tags.purge_all(kind);
        self.metrics.cache_purges.get_or_create(&PurgeLabel::new(kind)).inc();
    }

    /// The versions of tags (between spaces), for caches below this one.
    pub(crate) fn generation(&self, tags: &str) -> Generation {
        self.tags.generation(tags)
    }

    /// The number of the last purge by tag or of everything: what was asked for before it is not shared after it.
    pub(crate) fn latest_purge(&self) -> u64 {
        self.tags.latest()
    }

    /// Brings what is measured only when asked for into the metrics.
    pub(crate) fn measure(&self) {
        self.store.run_pending_tasks();
        let count = |count: u64| i64::try_from(count).unwrap_or(i64::MAX);
        self.metrics.cache_bytes.set(count(self.store.weighted_size()));
        self.metrics.cache_entries.set(count(self.store.entry_count()));
    }

    fn now_ms(&self) -> i64 {
        i64::try_from(self.epoch.elapsed().as_millis()).unwrap_or(i64::MAX)
    }

    /// What purges and reloads have left of an entry.
    fn view(&self, entry: &Entry) -> View {
        if entry.is_retired() { View::Gone } else { self.tags.view(&entry.marks) }
    }

    /// What an entry is good for now, after what was purged.
    fn standing(&self, entry: &Entry, now_ms: i64) -> Option<Standing> {
        let standing = entry.lifetime().standing(now_ms);
        match self.view(entry) {
            View::Current => Some(standing),
            View::Suspect => Some(standing.max(Standing::IfError)),
            View::Gone => None,
        }
    }

    fn variant(
        &self,
        key: &str,
        request: &HeaderMap,
        now_ms: i64,
    ) -> Option<(Arc<Entry>, Standing)> {
        let variants = self.store.get(key)?;
        variants.iter().filter(|entry| entry.variant.fits(request)).find_map(|entry| {
            self.standing(entry, now_ms).map(|standing| (Arc::clone(entry), standing))
        })
    }

    fn find(&self, key: &str, request: &HeaderMap) -> Found {
        let mut flight = key.to_owned();
        let Some(variants) = self.store.get(key) else {
            return Found { flight, ..Found::default() };
        };
        if let Some(newest) = variants.first() {
            newest.variant.extend_key(&mut flight, request);
        }
        let entry = self.variant(key, request, self.now_ms());
        let has_others = !variants.iter().any(|entry| entry.variant.fits(request));
        Found { entry, has_others, flight }
    }

    /// Whether what another's fetch brought may be given to a request with these headers.
    fn is_for_this(&self, entry: &Entry, request: &HeaderMap) -> bool {
        entry.variant.fits(request) && self.view(entry) == View::Current
    }

    /// Stores an entry, in place of the one that it replaces.
    fn put(&self, key: &str, entry: &Arc<Entry>) {
        if self.view(entry) == View::Gone {
            return;
        }
        self.store.entry(key.into()).and_compute_with(|known| {
            let known = known.map(moka::Entry::into_value).unwrap_or_default();
            let is_replaced = |known: &Arc<Entry>| known.variant == entry.variant;
            // Of two fetches the one that started later knows more, whichever ends first.
            if known.iter().any(|it| is_replaced(it) && it.started_ms > entry.started_ms) {
                return Op::Nop;
            }
            let others = known.iter().filter(|known| !is_replaced(known)).cloned();
            let all = std::iter::once(Arc::clone(entry)).chain(others);
            Op::Put(all.take(limits::MAX_CACHE_VARIANTS).collect::<Variants>())
        });
        // Else what is too much goes only with the next some dozens, and those may be megabytes.
        if entry.body.identity().len() >= limits::MIN_BODY_BYTES_TO_TIDY {
            self.store.run_pending_tasks();
        }
    }

    /// Weighs an entry anew that takes more than before.
    fn weigh_anew(&self, key: &str, entry: &Arc<Entry>) {
        self.store.entry(key.into()).and_compute_with(|known| {
            let known = known.map(moka::Entry::into_value);
            let is_there = |known: &Variants| known.iter().any(|it| Arc::ptr_eq(it, entry));
            known.filter(is_there).map_or(Op::Nop, Op::Put)
        });
    }

    fn tag_slots(&self, headers: &HeaderMap) -> Result<Box<[u32]>, Refusal> {
        let mut slots = Vec::new();
        for line in headers.get_all(SURROGATE_KEY) {
            let line = line.to_str().map_err(|_| Refusal("tags"))?;
            slots.extend(line.split_ascii_whitespace().map(|tag| self.tags.slot(tag)));
        }
        if slots.len() > limits::MAX_TAGS_PER_ENTRY {
            return Err(Refusal("tags"));
        }
        Ok(slots.into_boxed_slice())
    }

    /// An answer from an entry; `status` lacks only its freshness.
    async fn answer(
        &self,
        entry: &Arc<Entry>,
        read: Read,
        head: &Parts,
        status: Status,
    ) -> Answered {
        let now_ms = self.now_ms();
        let status = Status { ttl_s: Some(entry.lifetime().ttl_s(now_ms)), ..status };
        let response = entry.answer(read, &head.headers, now_ms, &status, &self.compressors).await;
        if entry.has_grown() {
            self.weigh_anew(&versioned(head), entry);
        }
        let (component, route) = (entry.component.clone(), entry.route.clone());
        let cache = Some(self.count(&status));
        Answered { cache, ..Answered::of(response, component, route) }
    }

    /// An answer that is not from an entry.
    fn passed(
        &self,
        mut answered: Answered,
        forward: Forward,
        detail: Option<&'static str>,
    ) -> Answered {
        let is_functions = answered.problem.is_none();
        let headers = answered.response.headers_mut();
        headers.remove(SURROGATE_KEY);
        let earlier = joined(headers);
        let status = Status { forward: Some(forward), detail, ..Status::default() };
        let forward_status = is_functions.then(|| answered.response.status().as_u16());
        let status = Status { forward_status, ..status };
        answered.response.headers_mut().insert(CACHE_STATUS, status.header(earlier.as_ref()));
        Answered { cache: Some(self.count(&status)), ..answered }
    }

    fn count(&self, status: &Status) -> &'static str {
        let outcome = status.outcome();
        self.metrics.cache_requests.count(outcome);
        outcome.word()
    }
}

/// All lines of `Cache-Status` as one.
fn joined(headers: &HeaderMap) -> Option<HeaderValue> {
    let mut lines = headers.get_all(CACHE_STATUS).iter();
    let first = lines.next()?.clone();
    lines.try_fold(first, |all, line| {
        let all = [all.as_bytes(), b", ", line.as_bytes()].concat();
        HeaderValue::from_maybe_shared(Bytes::from(all)).ok()
    })
}
