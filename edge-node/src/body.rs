//! Bodies that do something on the way: hold a guard, count, give up in time.

use std::pin::Pin;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use bytes::Bytes;
use http_body::{Body, Frame, SizeHint};
use http_body_util::{BodyExt as _, Full};
use tokio::time::{Instant, Sleep, sleep};
use wasmtime_wasi_http::{Error, WasiBody};

/// A body that is there already.
pub(crate) fn full(bytes: impl Into<Bytes>) -> WasiBody {
    Full::new(bytes.into()).map_err(|never| match never {}).boxed_unsync()
}

/// Keeps `guard` until the body is read to its end or dropped.
pub(crate) fn guarded(body: WasiBody, guard: impl Send + Unpin + 'static) -> WasiBody {
    Guarded { body, guard: Some(guard) }.boxed_unsync()
}

struct Guarded<G> {
    body: WasiBody,
    guard: Option<G>,
}

impl<G: Unpin> Body for Guarded<G> {
    type Data = Bytes;
    type Error = Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Error>>> {
        let frame = ready!(Pin::new(&mut self.body).poll_frame(cx));
        if frame.is_none() {
            self.guard = None;
        }
        Poll::Ready(frame)
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}

/// Fails a body that is too long, or whose next piece is too long in coming.
pub(crate) struct Bounded<B> {
    body: B,
    left_bytes: u64,
    idle: Duration,
    /// Armed while a piece is awaited.
    timer: Option<Pin<Box<Sleep>>>,
}

/// Why a bounded body failed.
#[derive(Debug)]
pub(crate) enum BoundError<E> {
    /// It has more bytes than it may.
    TooLong,
    /// Nothing came for too long.
    Idle,
    /// The body failed by itself.
    Inner(E),
}

impl<B> Bounded<B> {
    /// Lets `max_bytes` pass, each piece within `idle` of the one before.
    pub(crate) fn new(body: B, max_bytes: u64, idle: Duration) -> Self {
        Self { body, left_bytes: max_bytes, idle, timer: None }
    }
}

impl<B: Body<Data = Bytes> + Unpin> Body for Bounded<B> {
    type Data = Bytes;
    type Error = BoundError<B::Error>;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Self::Error>>> {
        let Poll::Ready(frame) = Pin::new(&mut self.body).poll_frame(cx) else {
            let idle = self.idle;
            let timer = self.timer.get_or_insert_with(|| Box::pin(sleep(idle)));
            ready!(timer.as_mut().poll(cx));
            return Poll::Ready(Some(Err(BoundError::Idle)));
        };
        self.timer = None;
        Poll::Ready(match frame {
            Some(Ok(frame)) => {
                let bytes = frame.data_ref().map_or(0, |data| data.len() as u64);
                match self.left_bytes.checked_sub(bytes) {
                    Some(left) => {
                        self.left_bytes = left;
                        Some(Ok(frame))
                    }
                    None => Some(Err(BoundError::TooLong)),
                }
            }
            Some(Err(error)) => Some(Err(BoundError::Inner(error))),
            None => None,
        })
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}

/// Reads and throws away what is left of `body`, within bounds; an error ends it early.
pub(crate) async fn drain<B: Body + Unpin>(mut body: B, max_bytes: u64, within: Duration) {
    let end = Instant::now() + within;
    let mut left_bytes = max_bytes;
    while let Ok(Some(Ok(frame))) = tokio::time::timeout_at(end, body.frame()).await {
        let bytes = frame.data_ref().map_or(0, |data| bytes::Buf::remaining(data) as u64);
        let Some(left) = left_bytes.checked_sub(bytes) else { return };
        left_bytes = left;
    }
}
