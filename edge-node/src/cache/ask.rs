//! Asking a function, once for all who wait.
//!
//! [`Cache::fill`] is what a request does that found nothing to be answered with: it leads a flight, or waits for the
//! landing of another's, or goes by itself. Each turn of its loop begins with a look at the store, because whoever it
//! waited for may have brought another variant, or something that was purged meanwhile.

use std::hash::BuildHasher as _;
use std::sync::Arc;

use bytes::Bytes;
use http::header::{
    CONTENT_ENCODING, CONTENT_LANGUAGE, CONTENT_LENGTH, CONTENT_TYPE, ETAG, LAST_MODIFIED,
};
use http::request::Parts;
use http::{HeaderMap, HeaderValue, Method, Request, StatusCode};
use http_body::Body as _;
use tokio::time::{Instant, timeout_at};
use wasmtime_wasi_http::WasiBody;

use super::conditional::{held_coding, tag_in};
use super::encode::Coding;
use super::entry::Entry;
use super::fill::{Job, Outcome, anonymous, whole};
use super::flight::{Landing, Obligation, Role};
use super::key::{Asked, Read, primary, versioned};
use super::policy::Standing;
use super::status::{Forward, Status};
use super::{Cache, Found, STALE_IF_ERROR};
use crate::body::full;
use crate::limits;
use crate::problem::Problem;
use crate::site::Answered;
use crate::trace::Trace;

impl Cache {
    /// Answers with a function's help: `fetch` is asked at most once.
    pub(crate) async fn fill<F, Fut>(
        self: &Arc<Self>,
        head: Parts,
        body: WasiBody,
        trace: &Trace,
        fetch: F,
    ) -> Answered
    where
        F: FnOnce(Request<WasiBody>) -> Fut + Send + 'static,
        Fut: Future<Output = Answered> + Send + 'static,
    {
        let read = match Asked::of(&head, !body.is_end_stream()) {
            // Not here: a function that knows of ranges may be spared the rest.
            Asked::Read(read) if read.has_range => {
                let answered = fetch(Request::from_parts(head, body)).await;
                return self.passed(answered, Forward::Bypass, Some("range"));
            }
            Asked::Read(read) => read,
            Asked::Through(detail) => {
                let answered = fetch(Request::from_parts(head, body)).await;
                return self.passed(answered, Forward::Bypass, Some(detail));
            }
            Asked::Write => {
                let key = primary(&head.uri);
                let answered = fetch(Request::from_parts(head, body)).await;
                let status = answered.response.status();
                // What was changed is not shown again as it was. Source: RFC 9111, section 4.4.
                if status.is_success() || status.is_redirection() {
                    self.tags.purge_uri(&key);
                }
                return self.passed(answered, Forward::Method, None);
            }
        };
        // The body is empty, and a body cannot be lent across a wait.
        drop(body);
        let key = versioned(&head);
        let key_hash = self.hasher.hash_one(&key);
        let job = |head: Parts, held: Option<Arc<Entry>>| {
            let (cache, trace) = (Arc::clone(self), trace.clone());
            Job { cache, key: key.clone(), key_hash, head, held, trace, fetch }
        };
        let mut found = self.find(&key, &head.headers);
        let is_flown = read.is_anonymous() && !read.is_head;
        let mut joins = if is_flown { 0..limits::MAX_JOINS } else { 0..0 };
        let patience = Instant::now() + limits::COLLAPSE_PATIENCE;
        while joins.next().is_some() && !self.unshared.contains(key_hash, self.now_ms()) {
            if let Some(entry) = found.usable(read, Standing::WhileRevalidate) {
                return self.answer(entry, read, &head, Status::default()).await;
            }
            let mut flight = match self.flights.join(&found.flight) {
                Role::Alone => break,
                Role::Waits(flight) => flight,
                Role::Leads(obligation) => {
                    // Whoever led before may have landed just now.
                    found = self.find(&key, &head.headers);
                    if let Some(entry) = found.usable(read, Standing::WhileRevalidate) {
                        return self.answer(entry, read, &head, Status::default()).await;
                    }
                    let held = found.usable(read, Standing::Past).cloned();
                    let job = job(whole(&head, held.as_deref()), held);
                    let task = tokio::spawn(lead(job, obligation));
                    let outcome = task.await.unwrap_or_else(|_panicked_or_stopped| {
                        Outcome::Failed(Answered::problem(Problem::FunctionFailed, trace))
                    });
                    return self.conclude(outcome, &found, read, &head).await;
                }
            };
            let landed = timeout_at(patience, flight.wait_for(Option::is_some)).await;
            // Cloned out at once: what `wait_for` returns holds a lock.
            let landing = match landed.map(|landing| landing.map(|landing| landing.clone())) {
                // Given up: join anew, perhaps as the leader.
                Ok(Err(_)) => continue,
                Ok(Ok(landing)) => landing,
                Err(_impatient) => break,
            };
            let collapsed = Status {
                forward: Some(found.forward(read)),
                is_collapsed: true,
                ..Status::default()
            };
            match landing {
                Some(Landing::Shared(entry)) if self.is_for_this(&entry, &head.headers) => {
                    return self.answer(&entry, read, &head, collapsed).await;
                }
                // Another variant, or purged since.
                Some(Landing::Shared(_)) => found = self.find(&key, &head.headers),
                Some(Landing::Failed) => {
                    found = self.find(&key, &head.headers);
                    if let Some(entry) = found.usable(read, Standing::IfError) {
                        let status = Status { detail: Some(STALE_IF_ERROR), ..collapsed };
                        return self.answer(entry, read, &head, status).await;
                    }
                    break;
                }
                Some(Landing::Alone) | None => break,
            }
        }
        // By itself. Conditions stay: whoever's answers are not stored may be answered with 304.
        let outcome = if read.is_head || self.unshared.contains(key_hash, self.now_ms()) {
            job(head.clone(), None).run().await
        } else {
            job(whole(&head, None), None).run().await
        };
        self.conclude(outcome, &found, read, &head).await
    }

    /// Has an entry confirmed or replaced in the background, if nobody does already.
    pub(super) fn refresh<F, Fut>(
        self: &Arc<Self>,
        key: String,
        head: &Parts,
        entry: &Arc<Entry>,
        trace: &Trace,
        fetch: F,
    ) where
        F: FnOnce(Request<WasiBody>) -> Fut + Send + 'static,
        Fut: Future<Output = Answered> + Send + 'static,
    {
        if !entry.begin_refresh(self.now_ms()) {
            return;
        }
        let (cache, is_done) = (Arc::clone(self), false);
        let guard = RefreshGuard { cache, entry: Arc::clone(entry), is_done };
        let Ok(place) = Arc::clone(&self.refreshes).try_acquire_owned() else { return };
        let key_hash = self.hasher.hash_one(&key);
        let (head, held) = (anonymous(head, entry), Some(Arc::clone(entry)));
        let (cache, trace) = (Arc::clone(self), trace.clone());
        let job = Job { cache, key, key_hash, head, held, trace, fetch };
        tokio::spawn(async move {
            let mut guard = guard;
            guard.is_done = matches!(job.run().await, Outcome::Kept(..));
            drop(place);
        });
    }

    /// What a client is told after a fetch.
    async fn conclude(
        &self,
        outcome: Outcome,
        found: &Found,
        read: Read,
        head: &Parts,
    ) -> Answered {
        let forward = found.forward(read);
        match outcome {
            Outcome::Kept(entry, forward_status) => {
                let status = Status {
                    forward: Some(forward),
                    forward_status: Some(forward_status.as_u16()),
                    is_stored: true,
                    ..Status::default()
                };
                self.answer(&entry, read, head, status).await
            }
            Outcome::Passed(answered, detail) => {
                let answered = self.passed(answered, forward, Some(detail));
                not_modified(answered, &head.method, &head.headers)
            }
            Outcome::Failed(answered) => {
                let now_ms = self.now_ms();
                let stale = found.usable(read, Standing::Past).filter(|entry| {
                    self.standing(entry, now_ms).is_some_and(|it| it <= Standing::IfError)
                });
                let Some(entry) = stale else { return self.passed(answered, forward, None) };
                entry.put_off_refresh(now_ms + limits::FAILURE_MEMORY_MS);
                let status = Status {
                    forward: Some(Forward::Stale),
                    // The node's own problems are not what the function answered.
                    forward_status: answered
                        .problem
                        .is_none()
                        .then(|| answered.response.status().as_u16()),
                    detail: Some(STALE_IF_ERROR),
                    ..Status::default()
                };
                self.answer(entry, read, head, status).await
            }
        }
    }
}

/// A flight, from its departure to the news for those who wait.
async fn lead<F, Fut>(job: Job<F>, obligation: Obligation) -> Outcome
where
    F: FnOnce(Request<WasiBody>) -> Fut + Send,
    Fut: Future<Output = Answered> + Send,
{
    let cache = Arc::clone(&job.cache);
    let outcome = job.run().await;
    obligation.land(match &outcome {
        Outcome::Kept(entry, _)
            if entry.lifetime().standing(cache.now_ms()) <= Standing::WhileRevalidate =>
        {
            Landing::Shared(Arc::clone(entry))
        }
        Outcome::Kept(..) | Outcome::Passed(..) => Landing::Alone,
        Outcome::Failed(_) => Landing::Failed,
    });
    outcome
}

/// Gives a refresh up unless it is done, however its task ends.
struct RefreshGuard {
    cache: Arc<Cache>,
    entry: Arc<Entry>,
    /// The entry has a successor and is not refreshed again.
    is_done: bool,
}

impl Drop for RefreshGuard {
    fn drop(&mut self) {
        if !self.is_done {
            self.entry.put_off_refresh(self.cache.now_ms() + limits::FAILURE_MEMORY_MS);
        }
    }
}

/// The fetch was made without the client's conditions: they are met here.
fn not_modified(mut answered: Answered, method: &Method, request: &HeaderMap) -> Answered {
    let headers = answered.response.headers();
    let tag = headers.get(ETAG).and_then(|tag| tag.to_str().ok());
    if *method != Method::GET || answered.response.status() != StatusCode::OK {
        return answered;
    }
    let Some(held) = held_coding(request, tag, headers.get(LAST_MODIFIED), Coding::Identity) else {
        return answered;
    };
    let tag = tag.and_then(|tag| HeaderValue::try_from(tag_in(held, tag)).ok());
    *answered.response.status_mut() = StatusCode::NOT_MODIFIED;
    *answered.response.body_mut() = full(Bytes::new());
    let headers = answered.response.headers_mut();
    for name in [CONTENT_TYPE, CONTENT_LENGTH, CONTENT_ENCODING, CONTENT_LANGUAGE] {
        headers.remove(name);
    }
    headers.extend(tag.map(|tag| (ETAG, tag)));
    answered
}
