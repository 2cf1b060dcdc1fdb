//! A client's body on its way to a guest: counted, timed, and read to its end when nobody wants it.
//!
//! A client that is still sending does not read; if the connection were closed on it, it would see
//! a reset instead of its answer. What a guest leaves unread is therefore drained, within bounds.

use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::{Context, Poll, ready};

use bytes::Bytes;
use http::Request;
use http::header::EXPECT;
use http_body::{Body, Frame, SizeHint};
use http_body_util::BodyExt as _;
use hyper::body::Incoming;
use wasmtime_wasi_http::{Error, WasiBody};

use crate::body::{BoundError, Bounded, drain};
use crate::limits;
use crate::problem::Problem;

/// What became of a body, told to whoever answers.
#[derive(Debug, Default)]
pub(super) struct Verdict {
    too_large: AtomicBool,
    incomplete: AtomicBool,
}

impl Verdict {
    pub(super) fn problem(&self) -> Option<Problem> {
        if self.too_large.load(Ordering::Acquire) {
            Some(Problem::BodyTooLarge)
        } else if self.incomplete.load(Ordering::Acquire) {
            Some(Problem::BodyIncomplete)
        } else {
            None
        }
    }
}

/// The body as the guest reads it.
pub(super) struct Inbound {
    body: Option<Bounded<Incoming>>,
    verdict: Arc<Verdict>,
    /// The client waits for leave to send: what is not wanted never comes.
    is_held_back: bool,
}

impl Inbound {
    pub(super) fn split(request: Request<Incoming>) -> (Request<WasiBody>, Arc<Verdict>) {
        let verdict = Arc::new(Verdict::default());
        let is_held_back = request.headers().contains_key(EXPECT);
        let request = request.map(|body| {
            if body.size_hint().lower() > limits::MAX_REQUEST_BODY_BYTES {
                verdict.too_large.store(true, Ordering::Release);
            }
            let (limit, idle) = (limits::MAX_REQUEST_BODY_BYTES, limits::REQUEST_BODY_IDLE);
            let body = Some(Bounded::new(body, limit, idle));
            Self { body, verdict: Arc::clone(&verdict), is_held_back }.boxed_unsync()
        });
        (request, verdict)
    }
}

impl Body for Inbound {
    type Data = Bytes;
    type Error = Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Error>>> {
        self.is_held_back = false;
        let Some(body) = self.body.as_mut() else { return Poll::Ready(None) };
        let error = match ready!(Pin::new(body).poll_frame(cx)) {
            Some(Ok(frame)) => return Poll::Ready(Some(Ok(frame))),
            None => return Poll::Ready(None),
            Some(Err(BoundError::TooLong)) => {
                self.verdict.too_large.store(true, Ordering::Release);
                Error::HttpRequestBodySize(Some(limits::MAX_REQUEST_BODY_BYTES))
            }
            Some(Err(BoundError::Idle)) => {
                self.verdict.incomplete.store(true, Ordering::Release);
                Error::ConnectionReadTimeout
            }
            Some(Err(BoundError::Inner(_))) => {
                self.verdict.incomplete.store(true, Ordering::Release);
                Error::ConnectionTerminated
            }
        };
        Poll::Ready(Some(Err(error)))
    }

    fn is_end_stream(&self) -> bool {
        self.body.as_ref().is_none_or(Body::is_end_stream)
    }

    fn size_hint(&self) -> SizeHint {
        self.body.as_ref().map_or_else(SizeHint::default, Body::size_hint)
    }
}

impl Drop for Inbound {
    fn drop(&mut self) {
        let Some(body) = self.body.take().map(Bounded::into_inner) else { return };
        if self.is_held_back || body.is_end_stream() {
            return;
        }
        // Outside a runtime the connection is gone, and there is nothing to drain.
        if let Ok(runtime) = tokio::runtime::Handle::try_current() {
            runtime.spawn(drain(body, limits::MAX_DRAIN_BYTES, limits::DRAIN_TIMEOUT));
        }
    }
}
