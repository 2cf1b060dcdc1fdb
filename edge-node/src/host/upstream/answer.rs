//! The body of an upstream's answer on its way to a guest: bounded in bytes, in the time between two pieces
//! and in the time of the whole. It holds what the answer occupies until it is over.

use std::pin::Pin;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use bytes::Bytes;
use http_body::{Body, Frame, SizeHint};
use http_body_util::BodyExt as _;
use hyper::body::Incoming;
use tokio::time::{Instant, Sleep, sleep_until};
use wasmtime_wasi_http::{Error, WasiBody};

use super::failure::Failure;
use crate::body::{BoundError, Bounded};
use crate::limits;

/// Passes `body` on. `held` is dropped at its end.
pub(super) fn bounded(
    body: Incoming,
    between_bytes: Duration,
    until: Instant,
    held: impl Send + Unpin + 'static,
) -> WasiBody {
    let held = (!body.is_end_stream()).then_some(held);
    let body = Bounded::new(body, limits::MAX_UPSTREAM_BODY_BYTES, between_bytes);
    Answer { body, until, late: None, held }.boxed_unsync()
}

struct Answer<H> {
    body: Bounded<Incoming>,
    until: Instant,
    /// Armed at the first wait.
    late: Option<Pin<Box<Sleep>>>,
    held: Option<H>,
}

impl<H: Unpin> Body for Answer<H> {
    type Data = Bytes;
    type Error = Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Error>>> {
        let this = &mut *self;
        let Poll::Ready(frame) = Pin::new(&mut this.body).poll_frame(cx) else {
            let until = this.until;
            let late = this.late.get_or_insert_with(|| Box::pin(sleep_until(until)));
            ready!(late.as_mut().poll(cx));
            return Poll::Ready(Some(Err(Failure::TotalTimeout.into())));
        };
        if frame.is_none() || this.body.is_end_stream() {
            this.held = None;
        }
        let failure = |error: BoundError<hyper::Error>| match error {
            BoundError::TooLong => Failure::BodyTooLong,
            BoundError::Idle => Failure::BodyTimeout,
            BoundError::Inner(_) => Failure::Terminated,
        };
        Poll::Ready(frame.map(|frame| frame.map_err(|error| failure(error).into())))
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}
