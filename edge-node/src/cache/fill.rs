//! One fetch, from the request to what becomes of its answer.

use std::sync::Arc;
use std::time::{Duration, SystemTime};

use bytes::{Bytes, BytesMut};
use futures::{StreamExt as _, stream};
use http::header::{
    AUTHORIZATION, CONTENT_ENCODING, CONTENT_LENGTH, CONTENT_RANGE, CONTENT_TYPE, COOKIE, DATE,
    ETAG, IF_MODIFIED_SINCE, IF_NONE_MATCH, LAST_MODIFIED, TRANSFER_ENCODING,
};
use http::request::Parts;
use http::{HeaderMap, HeaderName, HeaderValue, Method, Request, Response, StatusCode};
use http_body::{Body as _, Frame};
use http_body_util::{BodyExt as _, BodyStream, StreamBody};
use tokio::time::{Instant, timeout_at};
use wasmtime_wasi_http::{Error, WasiBody};

use super::Cache;
use super::entry::{Body, Entry, Made, SURROGATE_KEY};
use super::key::{Secondary, make_unconditional, shared};
use super::policy::{Refusal, Standing, judge};
use super::tags::Marks;
use crate::body::full;
use crate::hop;
use crate::limits;
use crate::problem::Problem;
use crate::site::Answered;
use crate::trace::Trace;

/// They describe a body, which a 304 does not replace. Source: RFC 9111, section 3.2.
const OF_THE_BODY: [HeaderName; 5] =
    [CONTENT_LENGTH, CONTENT_ENCODING, CONTENT_TYPE, CONTENT_RANGE, TRANSFER_ENCODING];

/// What becomes of an answer.
pub(super) enum Outcome {
    /// It is stored, unless it was purged meanwhile. With the status that the function gave.
    Kept(Arc<Entry>, StatusCode),
    /// It is for who asked, and why it is for nobody else.
    Passed(Answered, &'static str),
    /// The function failed.
    Failed(Answered),
}

/// A fetch that is to be made.
pub(super) struct Job<F> {
    pub(super) cache: Arc<Cache>,
    pub(super) key: String,
    pub(super) key_hash: u64,
    /// The request as it is sent.
    pub(super) head: Parts,
    /// What the function is asked to confirm.
    pub(super) held: Option<Arc<Entry>>,
    pub(super) trace: Trace,
    pub(super) fetch: F,
}

/// The head of a fetch whose answer is to be stored: a whole answer is asked for, or the
/// confirmation of what is here.
pub(super) fn whole(head: &Parts, held: Option<&Entry>) -> Parts {
    let mut head = head.clone();
    make_unconditional(&mut head.headers);
    let headers = held.map(|entry| &entry.headers);
    for (validator, condition) in [(ETAG, IF_NONE_MATCH), (LAST_MODIFIED, IF_MODIFIED_SINCE)] {
        if let Some(value) = headers.and_then(|headers| headers.get(&validator)) {
            head.headers.insert(condition, value);
        }
    }
    head
}

/// The same for a refresh that nobody waits for: nothing in it tells who happened to set it off.
pub(super) fn anonymous(head: &Parts, held: &Entry) -> Parts {
    let mut head = whole(head, Some(held));
    head.method = Method::GET;
    head.headers.remove(AUTHORIZATION);
    head.headers.remove(COOKIE);
    head
}

impl<F, Fut> Job<F>
where
    F: FnOnce(Request<WasiBody>) -> Fut + Send,
    Fut: Future<Output = Answered> + Send,
{
    /// Makes the fetch, and stores and remembers what is to be.
    pub(super) async fn run(self) -> Outcome {
        let Self { cache, key, key_hash, head, held, trace, fetch } = self;
        // Before anything else: what is purged from here on is not in this answer.
        let since = cache.tags.now();
        let started_ms = cache.now_ms();
        cache.metrics.cache_fetches.inc();
        let request = Request::from_parts(head.clone(), full(Bytes::new()));
        let answered = fetch(request).await;
        let filling = Filling { cache: &cache, key: &key, head: &head, since, started_ms };
        let outcome = filling.settle(answered, held.as_ref(), &trace).await;
        let now_ms = cache.now_ms();
        if let Some(memory_ms) = memory_ms(&outcome, &head, now_ms) {
            match memory_ms {
                0 => cache.unshared.forget(key_hash),
                memory_ms => cache.unshared.remember(key_hash, now_ms + memory_ms),
            }
        }
        if let (Outcome::Failed(_), Some(held)) = (&outcome, &held) {
            held.put_off_refresh(now_ms + limits::FAILURE_MEMORY_MS);
        }
        outcome
    }
}

/// For how long it is remembered that the key's answers are not to be shared; none if the outcome says
/// nothing about that. What somebody with credentials is told says nothing about the others, and a
/// condition that was met nothing about the whole answer.
fn memory_ms(outcome: &Outcome, head: &Parts, now_ms: i64) -> Option<i64> {
    let has = |name| head.headers.contains_key(name);
    match outcome {
        Outcome::Kept(entry, _) => {
            let is_shared = entry.lifetime().standing(now_ms) <= Standing::WhileRevalidate;
            Some(if is_shared { 0 } else { limits::FAILURE_MEMORY_MS })
        }
        _ if head.method == Method::HEAD || has(AUTHORIZATION) || has(COOKIE) => None,
        Outcome::Passed(answered, _) => {
            let is_whole = answered.response.status() != StatusCode::NOT_MODIFIED;
            is_whole.then_some(limits::UNSHARED_MEMORY_MS)
        }
        Outcome::Failed(_) => Some(limits::FAILURE_MEMORY_MS),
    }
}

/// An answer on its way into the cache.
struct Filling<'a> {
    cache: &'a Cache,
    key: &'a str,
    head: &'a Parts,
    since: u64,
    started_ms: i64,
}

impl Filling<'_> {
    async fn settle(
        &self,
        answered: Answered,
        held: Option<&Arc<Entry>>,
        trace: &Trace,
    ) -> Outcome {
        let status = answered.response.status();
        if answered.problem.is_some() || is_failure(status) {
            return Outcome::Failed(answered);
        }
        if self.head.method == Method::HEAD {
            return Outcome::Passed(answered, "head");
        }
        if let (StatusCode::NOT_MODIFIED, Some(held)) = (status, held) {
            return self.confirm(answered, held, trace);
        }
        let (made, refusal) = match self.made(status, answered.response.headers(), None) {
            Ok(made) => (Some(made), ""),
            Err(Refusal(refusal)) => (None, refusal),
        };
        let Some(made) = made else { return Outcome::Passed(answered, refusal) };
        let Answered { response, component, route, .. } = answered;
        let (head, body) = response.into_parts();
        match gather(body).await {
            Gathered::Whole(body) => {
                let made = Made { body: Body::new(body), component, route, ..made };
                Outcome::Kept(self.store(made), status)
            }
            Gathered::Long(body) => {
                let response = Response::from_parts(head, body);
                Outcome::Passed(Answered::of(response, component, route), "length")
            }
            Gathered::Broken(error) => {
                let trace_id = trace.id;
                tracing::warn!(%trace_id, %error, "the function's answer broke off");
                let failed = Answered::problem(Problem::FunctionFailed, trace);
                Outcome::Failed(Answered { component, route, ..failed })
            }
        }
    }

    /// The function says that what is here is current: it lives again, with what the 304 tells anew.
    fn confirm(&self, answered: Answered, held: &Arc<Entry>, trace: &Trace) -> Outcome {
        let news = answered.response.headers();
        let opaque = |headers: &HeaderMap| {
            let tag = headers.get(ETAG).and_then(|tag| tag.to_str().ok());
            tag.map(|tag| tag.strip_prefix("W/").unwrap_or(tag).to_owned())
        };
        let held_headers = held.headers.to_map(news.len());
        if opaque(news).is_some_and(|tag| Some(tag) != opaque(&held_headers)) {
            // It confirms something that it was not asked about: nothing here can be answered with.
            let Answered { component, route, .. } = answered;
            let failed = Answered::problem(Problem::FunctionFailed, trace);
            return Outcome::Failed(Answered { component, route, ..failed });
        }
        let mut headers = held_headers;
        headers.remove(DATE);
        for name in news.keys().filter(|name| !OF_THE_BODY.contains(name)) {
            headers.remove(name);
            for value in news.get_all(name) {
                headers.append(name, value.clone());
            }
        }
        let Answered { component, route, .. } = answered;
        match self.made(held.status, &headers, Some(held)) {
            Ok(made) => {
                let made = Made { body: Arc::clone(&held.body), component, route, ..made };
                Outcome::Kept(self.store(made), StatusCode::NOT_MODIFIED)
            }
            Err(Refusal(refusal)) => {
                let mut response = Response::new(full(held.body.identity().clone()));
                *response.status_mut() = held.status;
                *response.headers_mut() = headers;
                Outcome::Passed(Answered::of(response, component, route), refusal)
            }
        }
    }

    /// An entry without its body, if the answer is to be kept.
    fn made(
        &self,
        status: StatusCode,
        headers: &HeaderMap,
        confirmed: Option<&Entry>,
    ) -> Result<Made, Refusal> {
        let received = SystemTime::now();
        let mut headers = headers.clone();
        // What the function's `Connection` names is not kept either. Source: RFC 9111, section 3.1.
        hop::strip(&mut headers);
        let keep = judge(self.head, status, &headers, self.started_ms, received)?;
        let variant = Secondary::of(&headers, &self.head.headers).ok_or(Refusal("vary"))?;
        let length = headers.get(CONTENT_LENGTH).and_then(|length| length.to_str().ok());
        let length = length.and_then(|length| length.parse::<usize>().ok());
        if confirmed.is_none() && length.is_some_and(|it| it > limits::MAX_CACHED_BODY_BYTES) {
            return Err(Refusal("length"));
        }
        let tags = match confirmed {
            Some(entry) if !headers.contains_key(SURROGATE_KEY) => entry.marks.tags.clone(),
            Some(_) | None => self.cache.tag_slots(&headers)?,
        };
        let marks = Marks { tags, uri: self.cache.tags.slot(shared(self.key)), since: self.since };
        // Who stores an answer without a date gives it one. Source: RFC 9110, section 6.6.1.
        headers.entry(DATE).or_insert_with(|| {
            let date = httpdate::fmt_http_date(received);
            HeaderValue::try_from(date).expect("a date is a header value")
        });
        let body = Body::new(Bytes::new());
        let started_ms = self.started_ms;
        let (component, route) = (None, None);
        Ok(Made { status, headers, body, variant, keep, marks, started_ms, component, route })
    }

    fn store(&self, mut made: Made) -> Arc<Entry> {
        // The same bytes again keep what was made of them.
        let earlier = self.cache.store.get(self.key);
        let same = earlier.iter().flat_map(|entries| entries.iter()).find(|entry| {
            entry.variant == made.variant && entry.body.identity() == made.body.identity()
        });
        if let Some(same) = same {
            made.body = Arc::clone(&same.body);
        }
        let entry = Entry::new(made);
        self.cache.put(self.key, &entry);
        entry
    }
}

/// Whether a stale answer may stand in for one with this status. Source: RFC 5861, section 4.
fn is_failure(status: StatusCode) -> bool {
    matches!(
        status,
        StatusCode::INTERNAL_SERVER_ERROR
            | StatusCode::BAD_GATEWAY
            | StatusCode::SERVICE_UNAVAILABLE
            | StatusCode::GATEWAY_TIMEOUT
    )
}

/// A body that was to be read whole.
enum Gathered {
    Whole(Bytes),
    /// It is too long or too slow for that: its start and the rest of it.
    Long(WasiBody),
    Broken(Error),
}

async fn gather(body: WasiBody) -> Gathered {
    gather_within(body, limits::MAX_CACHED_BODY_BYTES, limits::FILL_BODY_TIMEOUT).await
}

async fn gather_within(mut body: WasiBody, max_bytes: usize, within: Duration) -> Gathered {
    if body.size_hint().lower() > max_bytes as u64 {
        return Gathered::Long(body);
    }
    let deadline = Instant::now() + within;
    let (mut frames, mut bytes) = (Vec::new(), 0);
    loop {
        match timeout_at(deadline, body.frame()).await {
            Ok(Some(Ok(frame))) => {
                // Trailers are not kept; they say nothing that the head could not.
                let Ok(data) = frame.into_data() else { continue };
                bytes += data.len();
                frames.push(data);
                if bytes > max_bytes {
                    return Gathered::Long(joined(frames, body));
                }
            }
            Ok(Some(Err(error))) => return Gathered::Broken(error),
            Ok(None) => break,
            Err(_slow) => return Gathered::Long(joined(frames, body)),
        }
    }
    // Copied, also a single piece: it may be a small part of a large buffer, which would then stay.
    let mut whole = BytesMut::with_capacity(bytes);
    frames.iter().for_each(|frame| whole.extend_from_slice(frame));
    Gathered::Whole(whole.freeze())
}

fn joined(start: Vec<Bytes>, rest: WasiBody) -> WasiBody {
    let start = stream::iter(start.into_iter().map(|data| Ok(Frame::data(data))));
    StreamBody::new(start.chain(BodyStream::new(rest))).boxed_unsync()
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use bytes::Bytes;
    use futures::{StreamExt as _, stream};
    use http_body::Frame;
    use http_body_util::{BodyExt as _, StreamBody};
    use wasmtime_wasi_http::{Error, WasiBody};

    use super::{Gathered, gather_within};

    const WITHIN: Duration = Duration::from_secs(5);

    fn pieces(pieces: &[&'static str]) -> WasiBody {
        let frames: Vec<_> = pieces.iter().map(|it| Ok(Frame::data(Bytes::from(*it)))).collect();
        StreamBody::new(stream::iter(frames)).boxed_unsync()
    }

    #[tokio::test]
    async fn a_body_is_read_whole_or_passed_on_whole() {
        for (max_bytes, is_whole) in [(6, true), (5, false), (1, false)] {
            let body = match gather_within(pieces(&["ab", "cd", "ef"]), max_bytes, WITHIN).await {
                Gathered::Whole(body) => (true, body),
                Gathered::Long(body) => (false, body.collect().await.unwrap().to_bytes()),
                Gathered::Broken(error) => panic!("{error}"),
            };
            assert_eq!(body, (is_whole, Bytes::from("abcdef")), "{max_bytes}");
        }
    }

    #[tokio::test(start_paused = true)]
    async fn a_slow_body_is_passed_on_as_it_comes() {
        let late = stream::once(async {
            tokio::time::sleep(WITHIN * 2).await;
            Ok(Frame::data(Bytes::from("late")))
        });
        let frames = stream::iter([Ok(Frame::data(Bytes::from("early,")))]).chain(late);
        let body = StreamBody::new(frames).boxed_unsync();
        let Gathered::Long(body) = gather_within(body, 100, WITHIN).await else {
            panic!("it was waited for")
        };
        assert_eq!(body.collect().await.unwrap().to_bytes(), "early,late");
    }

    #[tokio::test]
    async fn a_body_that_breaks_off_is_no_answer() {
        let frames = [Ok(Frame::data(Bytes::from("a"))), Err(Error::ConnectionReadTimeout)];
        let body = StreamBody::new(stream::iter(frames)).boxed_unsync();
        assert!(matches!(gather_within(body, 100, WITHIN).await, Gathered::Broken(_)));
    }
}
