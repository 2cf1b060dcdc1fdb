//! A stored answer, and the answers made from it.
//!
//! What a hit needs is there, and little else: headers are one piece of memory, bodies are shared, never copied. A coding
//! is made when it is first asked for, once, and kept with the body for as long as that stays the same.

use std::ops::Range;
use std::sync::atomic::{AtomicBool, AtomicI64, AtomicUsize, Ordering};
use std::sync::{Arc, OnceLock};

use bytes::Bytes;
use http::header::{
    AGE, CONNECTION, CONTENT_ENCODING, CONTENT_LANGUAGE, CONTENT_LENGTH, CONTENT_RANGE,
    CONTENT_TYPE, DATE, ETAG, LAST_MODIFIED, TRANSFER_ENCODING, VARY,
};
use http::{HeaderMap, HeaderName, HeaderValue, Response, StatusCode};
use tokio::sync::{OnceCell, Semaphore};
use wasmtime_wasi_http::WasiBody;

use super::conditional::{held_coding, is_conditional, tag_in};
use super::encode::{Coding, is_compressible};
use super::key::{Read, Secondary};
use super::lines::Lines;
use super::policy::{Keep, Lifetime};
use super::range::{Wanted, wanted};
use super::status::{CACHE_STATUS, Status};
use super::tags::Marks;
use super::weight::{ARC_BYTES, allocated, shared};
use crate::body::full;
use crate::edition::Edition;

/// The tags of an answer, between spaces; for caches, not for clients.
pub(crate) const SURROGATE_KEY: HeaderName = HeaderName::from_static("surrogate-key");
/// What is added to `Vary` where the coding is chosen here.
pub(super) const BY_CODING: &str = "Accept-Encoding";
/// Headers that an answer has beside those stored: length, coding, `Vary`, age, what the cache did, and the trace's id.
const OWN_HEADERS: usize = 6;
/// While a refresh is in progress, in place of the moment of the next one.
const REFRESHING: i64 = i64::MAX;

/// A body and its codings.
pub(super) struct Body {
    identity: Bytes,
    /// None before the first is asked for: most bodies are short, or asked for in no coding.
    codings: OnceLock<Box<Codings>>,
    /// It takes more than when it was last weighed.
    has_grown: AtomicBool,
}

/// The codings of a body.
struct Codings {
    /// By [`Coding::index`]; inside, none if the coding is not worth it. That of identity is not used.
    made: [OnceCell<Option<Bytes>>; 4],
    /// What they may still take: all of them together no more than the body itself.
    room_bytes: AtomicUsize,
}

impl Codings {
    fn bytes(&self) -> usize {
        let made = self.made.iter().filter_map(|cell| cell.get()?.as_ref());
        allocated(size_of::<Self>()) + made.map(|it| shared(it.len())).sum::<usize>()
    }
}

impl Body {
    pub(super) fn new(identity: Bytes) -> Arc<Self> {
        let (codings, has_grown) = (OnceLock::new(), AtomicBool::new(false));
        Arc::new(Self { identity, codings, has_grown })
    }

    /// The bytes as the function sent them.
    pub(super) fn identity(&self) -> &Bytes {
        &self.identity
    }

    /// The body in a coding, if that is made; inside, none if it is not worth it.
    pub(super) fn made(&self, coding: Coding) -> Option<Option<Bytes>> {
        self.codings.get()?.made[coding.index()].get().cloned()
    }

    /// The body in a coding. None if that is not worth it, or if too many bodies are being compressed.
    async fn in_coding(self: &Arc<Self>, coding: Coding, compressors: &Semaphore) -> Option<Bytes> {
        let codings = self.codings.get_or_init(|| {
            let room_bytes = AtomicUsize::new(self.identity.len());
            Box::new(Codings { made: Default::default(), room_bytes })
        });
        let cell = &codings.made[coding.index()];
        if let Some(made) = cell.get() {
            return made.clone();
        }
        let made = cell.get_or_try_init(|| async {
            let _place = compressors.try_acquire().map_err(|_| ())?;
            let body = self.identity.clone();
            let made = tokio::task::spawn_blocking(move || coding.compress(&body)).await;
            let made = made.map_err(|_| ())?.map_err(|_| ())?;
            let take = |room: usize| room.checked_sub(made.len());
            let order = Ordering::Relaxed;
            let is_shorter = made.len() < self.identity.len();
            let is_kept = is_shorter && codings.room_bytes.fetch_update(order, order, take).is_ok();
            self.has_grown.store(true, Ordering::Release);
            // Without the room that it grew into.
            Ok::<_, ()>(is_kept.then(|| Bytes::from(made.into_boxed_slice())))
        });
        made.await.ok().cloned().flatten()
    }

    /// What it takes in memory now.
    fn bytes(&self) -> usize {
        let body = allocated(ARC_BYTES + size_of::<Self>()) + shared(self.identity.len());
        body + self.codings.get().map_or(0, |codings| codings.bytes())
    }
}

/// A stored answer.
pub(super) struct Entry {
    pub(super) status: StatusCode,
    /// As the function sent them, without what is told anew each time and what is not for clients.
    pub(super) headers: Lines,
    /// What caches behind this one said.
    earlier: Option<Box<HeaderValue>>,
    pub(super) body: Arc<Body>,
    pub(super) variant: Secondary,
    pub(super) keep: Keep,
    pub(super) marks: Marks,
    /// When its fetch started, by the cache's clock.
    pub(super) started_ms: i64,
    /// Who answered, and in which state of its code: it holds for as long as that.
    pub(super) component: Option<Arc<Edition>>,
    pub(super) route: Option<Arc<str>>,
    is_compressible: bool,
    /// It is an ordinary whole answer, whose lines can be sent as they are.
    pub(super) is_plain: bool,
    /// Its `Vary` lacks that the coding is chosen here.
    pub(super) is_varied_by_coding: bool,
    /// When it may next be refreshed, by the cache's clock.
    refresh_from_ms: AtomicI64,
}

/// What an entry is made from.
pub(super) struct Made {
    pub(super) status: StatusCode,
    pub(super) headers: HeaderMap,
    pub(super) body: Arc<Body>,
    pub(super) variant: Secondary,
    pub(super) keep: Keep,
    pub(super) marks: Marks,
    pub(super) started_ms: i64,
    pub(super) component: Option<Arc<Edition>>,
    pub(super) route: Option<Arc<str>>,
}

impl Entry {
    pub(super) fn new(made: Made) -> Arc<Self> {
        let Made { status, mut headers, body, variant, keep, marks, started_ms, component, route } =
            made;
        let earlier = headers.remove(CACHE_STATUS);
        for name in [AGE, SURROGATE_KEY, CONTENT_LENGTH] {
            headers.remove(name);
        }
        let is_compressible = is_compressible(&headers, body.identity.len());
        let is_varied_by_coding = is_compressible && !varies_by_coding(&headers);
        let is_plain = status == StatusCode::OK
            && headers.contains_key(DATE)
            && !headers.contains_key(CONNECTION)
            && !headers.contains_key(TRANSFER_ENCODING);
        Arc::new(Self {
            status,
            headers: Lines::of(&headers),
            earlier: earlier.map(Box::new),
            body,
            variant,
            keep,
            marks,
            started_ms,
            component,
            route,
            is_compressible,
            is_plain,
            is_varied_by_coding,
            refresh_from_ms: AtomicI64::new(i64::MIN),
        })
    }

    pub(super) fn lifetime(&self) -> &Lifetime {
        &self.keep.lifetime
    }

    /// Whether the component was replaced since.
    pub(super) fn is_retired(&self) -> bool {
        self.component.as_ref().is_some_and(|edition| edition.is_retired())
    }

    /// Whether somebody who reads like this may have it.
    pub(super) fn is_for(&self, read: Read) -> bool {
        (!read.has_authorization || self.keep.is_for_authorized)
            && (!read.has_cookie || self.keep.is_for_cookies)
    }

    /// What it takes in memory now, its codings included.
    pub(super) fn bytes(&self) -> usize {
        let earlier = self
            .earlier
            .as_ref()
            .map_or(0, |earlier| allocated(size_of::<HeaderValue>()) + shared(earlier.len()));
        allocated(ARC_BYTES + size_of::<Self>())
            + shared(self.headers.len())
            + earlier
            + self.body.bytes()
            + self.variant.bytes()
            + allocated(size_of_val(&*self.marks.tags))
    }

    /// Whether it takes more than when it was last weighed; says so once.
    pub(super) fn has_grown(&self) -> bool {
        self.body.has_grown.load(Ordering::Relaxed)
            && self.body.has_grown.swap(false, Ordering::AcqRel)
    }

    /// Takes on its refresh, if nobody has and none failed a moment ago.
    pub(super) fn begin_refresh(&self, now_ms: i64) -> bool {
        let from_ms = self.refresh_from_ms.load(Ordering::Acquire);
        let exchange = |from_ms| {
            let order = Ordering::AcqRel;
            self.refresh_from_ms.compare_exchange(from_ms, REFRESHING, order, Ordering::Relaxed)
        };
        from_ms <= now_ms && exchange(from_ms).is_ok()
    }

    /// Its refresh failed, or was given up: the next one may begin at `from_ms`.
    pub(super) fn put_off_refresh(&self, from_ms: i64) {
        self.refresh_from_ms.store(from_ms, Ordering::Release);
    }

    /// Whether a refresh failed so short a time ago that nobody should wait for another.
    pub(super) fn is_resting(&self, now_ms: i64) -> bool {
        let from_ms = self.refresh_from_ms.load(Ordering::Acquire);
        from_ms != REFRESHING && from_ms > now_ms
    }

    /// The answer to a request with these headers.
    pub(super) async fn answer(
        &self,
        read: Read,
        request: &HeaderMap,
        now_ms: i64,
        status: &Status,
        compressors: &Semaphore,
    ) -> Response<WasiBody> {
        let mut coding = self.preferred(request);
        if self.status == StatusCode::OK && is_conditional(request) {
            let [tag, modified] = [ETAG, LAST_MODIFIED].map(|name| self.headers.get(&name));
            let tag = tag.as_ref().and_then(|tag| tag.to_str().ok());
            if let Some(held) = held_coding(request, tag, modified.as_ref(), coding) {
                return self.not_modified(held, now_ms, status);
            }
        }
        if self.status == StatusCode::OK && read.has_range {
            let whole = &self.body.identity;
            let [tag, modified, date] =
                [ETAG, LAST_MODIFIED, DATE].map(|name| self.headers.get(&name));
            let (tag, modified, date) = (tag.as_ref(), modified.as_ref(), date.as_ref());
            match wanted(request, whole.len(), tag, modified, date) {
                Wanted::Whole => {}
                Wanted::Part(range) => return self.part(range, now_ms, status),
                Wanted::Nothing => return self.no_part(now_ms, status),
            }
        }
        let mut body = self.body.identity.clone();
        if coding != Coding::Identity {
            match self.body.in_coding(coding, compressors).await {
                Some(coded) => body = coded,
                None => coding = Coding::Identity,
            }
        }
        let headers = self.prepare(coding, body.len());
        let body = if read.is_head { Bytes::new() } else { body };
        let mut response = Response::new(full(body));
        *response.status_mut() = self.status;
        *response.headers_mut() = headers;
        self.annotate(response.headers_mut(), now_ms, status);
        response
    }

    /// The coding that a request prefers, of those that this body may have.
    pub(super) fn preferred(&self, request: &HeaderMap) -> Coding {
        if self.is_compressible { Coding::preferred(request) } else { Coding::Identity }
    }

    /// What is told about this answer, after what caches behind this one said.
    pub(super) fn cache_status(&self, status: &Status) -> HeaderValue {
        status.header(self.earlier.as_deref())
    }

    fn not_modified(&self, held: Coding, now_ms: i64, status: &Status) -> Response<WasiBody> {
        let mut response = Response::new(full(Bytes::new()));
        *response.status_mut() = StatusCode::NOT_MODIFIED;
        let headers = response.headers_mut();
        *headers = self.prepare(held, 0);
        // What describes the body would describe one that is not there. Source: RFC 9110, section 15.4.5.
        for name in [CONTENT_TYPE, CONTENT_LENGTH, CONTENT_ENCODING, CONTENT_LANGUAGE] {
            headers.remove(name);
        }
        self.annotate(headers, now_ms, status);
        response
    }

    /// A part of the body as it is.
    fn part(&self, range: Range<usize>, now_ms: i64, status: &Status) -> Response<WasiBody> {
        let whole_bytes = self.body.identity.len();
        let mut headers = self.prepare(Coding::Identity, range.len());
        let shown = format!("bytes {}-{}/{whole_bytes}", range.start, range.end - 1);
        let shown = HeaderValue::try_from(shown);
        headers.extend(shown.map(|shown| (CONTENT_RANGE, shown)));
        self.annotate(&mut headers, now_ms, status);
        let mut response = Response::new(full(self.body.identity.slice(range)));
        *response.status_mut() = StatusCode::PARTIAL_CONTENT;
        *response.headers_mut() = headers;
        response
    }

    /// To who asks for what lies beyond the body. Source: RFC 9110, section 15.5.17.
    fn no_part(&self, now_ms: i64, status: &Status) -> Response<WasiBody> {
        let mut response = Response::new(full(Bytes::new()));
        *response.status_mut() = StatusCode::RANGE_NOT_SATISFIABLE;
        let headers = response.headers_mut();
        let shown = HeaderValue::try_from(format!("bytes */{}", self.body.identity.len()));
        headers.extend(shown.map(|shown| (CONTENT_RANGE, shown)));
        headers.insert(CONTENT_LENGTH, HeaderValue::from(0));
        self.annotate(headers, now_ms, status);
        response
    }

    /// The entity tag of a coding other than the body as it is, if that has one of its own.
    pub(super) fn tag_of(&self, coding: Coding) -> Option<HeaderValue> {
        if coding == Coding::Identity {
            return None;
        }
        let tag = self.headers.get(&ETAG)?;
        HeaderValue::try_from(tag_in(coding, tag.to_str().ok()?)).ok()
    }

    /// The headers of a coding, with room for those that each answer has of its own.
    fn prepare(&self, coding: Coding, body_bytes: usize) -> HeaderMap {
        let mut headers = self.headers.to_map(OWN_HEADERS);
        headers.insert(CONTENT_LENGTH, HeaderValue::from(body_bytes));
        if coding != Coding::Identity {
            headers.insert(CONTENT_ENCODING, HeaderValue::from_static(coding.name()));
            if let Some(tag) = self.tag_of(coding) {
                headers.insert(ETAG, tag);
            }
        }
        if self.is_varied_by_coding {
            headers.append(VARY, HeaderValue::from_static(BY_CODING));
        }
        headers
    }

    fn annotate(&self, headers: &mut HeaderMap, now_ms: i64, status: &Status) {
        headers.insert(AGE, HeaderValue::from(self.lifetime().age_s(now_ms)));
        headers.insert(CACHE_STATUS, self.cache_status(status));
    }
}

fn varies_by_coding(headers: &HeaderMap) -> bool {
    let values = headers.get_all(VARY).iter().filter_map(|value| value.to_str().ok());
    let mut names = values.flat_map(|value| value.split(','));
    names.any(|name| name.trim().eq_ignore_ascii_case("accept-encoding"))
}
