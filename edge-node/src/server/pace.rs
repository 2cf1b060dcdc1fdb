//! Who is slow on an HTTP/2 connection.
//!
//! A connection that moves says nothing about its streams: a client may answer every ping and yet take nothing of one
//! answer, which holds a place among its component's requests. hyper does not ask a body for more while the client
//! takes nothing, so that is how it is seen. Invariants: an answer that nobody takes is dropped after
//! [`limits::WRITE_STALL`]; one that waits for its function is not; a connection is idle while no request is under way.

use std::collections::HashMap;
use std::pin::Pin;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};
use std::task::{Context, Poll};
use std::time::Duration;

use bytes::Bytes;
use http_body::{Body, Frame, SizeHint};
use http_body_util::BodyExt as _;
use tokio::time::Instant;
use wasmtime_wasi_http::{Error, WasiBody};

use crate::limits;

/// The requests of one connection.
pub(super) struct Pace(Mutex<Requests>);

struct Requests {
    under_way: usize,
    idle_since: Instant,
    answers: HashMap<u64, Weak<Mutex<Option<Answer>>>>,
    next: u64,
}

/// A request that is under way until this is dropped.
pub(super) struct UnderWay(Arc<Pace>);

/// An answer on its way.
struct Answer {
    body: WasiBody,
    /// When it was last asked for more.
    asked: Instant,
    /// It has not answered that yet: its function is slow, not the client.
    is_awaited: bool,
    _under_way: UnderWay,
}

impl Pace {
    pub(super) fn new() -> Self {
        let (answers, idle_since) = (HashMap::new(), Instant::now());
        Self(Mutex::new(Requests { under_way: 0, idle_since, answers, next: 0 }))
    }

    /// A request begins.
    pub(super) fn begin(self: &Arc<Self>) -> UnderWay {
        lock(&self.0).under_way += 1;
        UnderWay(Arc::clone(self))
    }

    /// Drops the answers that nobody takes. Returns for how long no request has been under way.
    pub(super) fn check(&self) -> Duration {
        let answers: Vec<_> = lock(&self.0).answers.values().filter_map(Weak::upgrade).collect();
        for answer in answers {
            // Out of the lock first: the end of a request locks the list.
            let stalled = lock(&answer).take_if(|answer| answer.is_stalled());
            drop(stalled);
        }
        let requests = lock(&self.0);
        if requests.under_way > 0 { Duration::ZERO } else { requests.idle_since.elapsed() }
    }
}

impl UnderWay {
    /// The answer's body; the request ends with it.
    pub(super) fn watch(self, body: WasiBody) -> WasiBody {
        if body.is_end_stream() {
            return body;
        }
        let pace = Arc::clone(&self.0);
        let answer = Answer { body, asked: Instant::now(), is_awaited: false, _under_way: self };
        let answer = Arc::new(Mutex::new(Some(answer)));
        let number = {
            let mut requests = lock(&pace.0);
            requests.next += 1;
            let number = requests.next;
            requests.answers.insert(number, Arc::downgrade(&answer));
            number
        };
        Paced { answer, number, pace }.boxed_unsync()
    }
}

impl Drop for UnderWay {
    fn drop(&mut self) {
        let mut requests = lock(&self.0.0);
        requests.under_way -= 1;
        requests.idle_since = Instant::now();
    }
}

impl Answer {
    fn is_stalled(&self) -> bool {
        !self.is_awaited && self.asked.elapsed() >= limits::WRITE_STALL
    }
}

/// The body as the connection sees it.
struct Paced {
    answer: Arc<Mutex<Option<Answer>>>,
    number: u64,
    pace: Arc<Pace>,
}

impl Body for Paced {
    type Data = Bytes;
    type Error = Error;

    fn poll_frame(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Error>>> {
        let mut answer = lock(&self.answer);
        let Some(answer) = answer.as_mut() else {
            return Poll::Ready(Some(Err(Error::ConnectionWriteTimeout)));
        };
        let frame = Pin::new(&mut answer.body).poll_frame(cx);
        (answer.asked, answer.is_awaited) = (Instant::now(), frame.is_pending());
        frame
    }

    fn is_end_stream(&self) -> bool {
        lock(&self.answer).as_ref().is_some_and(|answer| answer.body.is_end_stream())
    }

    fn size_hint(&self) -> SizeHint {
        lock(&self.answer).as_ref().map_or_else(SizeHint::new, |answer| answer.body.size_hint())
    }
}

impl Drop for Paced {
    fn drop(&mut self) {
        lock(&self.pace.0).answers.remove(&self.number);
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;
    use std::time::Duration;

    use bytes::Bytes;
    use futures::{FutureExt as _, StreamExt as _, stream};
    use http_body::Frame;
    use http_body_util::{BodyExt as _, StreamBody};
    use tokio::time::advance;

    use super::Pace;
    use crate::limits;

    fn frames() -> impl futures::Stream<Item = Result<Frame<Bytes>, wasmtime_wasi_http::Error>> {
        stream::iter(["a", "b"].map(|piece| Ok(Frame::data(Bytes::from(piece)))))
    }

    #[tokio::test(start_paused = true)]
    async fn an_answer_that_nobody_takes_is_dropped_and_its_request_ends() {
        let pace = Arc::new(Pace::new());
        let mut body = pace.begin().watch(StreamBody::new(frames()).boxed_unsync());
        assert!(body.frame().await.unwrap().is_ok());
        advance(limits::WRITE_STALL - Duration::from_millis(1)).await;
        assert_eq!(pace.check(), Duration::ZERO, "under way");
        advance(Duration::from_millis(1)).await;
        pace.check();
        assert!(body.frame().await.unwrap().is_err());
        advance(Duration::from_secs(1)).await;
        assert_eq!(pace.check(), Duration::from_secs(1), "idle");
    }

    #[tokio::test(start_paused = true)]
    async fn an_answer_that_waits_for_its_function_is_kept() {
        let pace = Arc::new(Pace::new());
        let slow = frames().chain(stream::pending());
        let mut body = pace.begin().watch(StreamBody::new(slow).boxed_unsync());
        for _ in 0..2 {
            assert!(body.frame().await.unwrap().is_ok());
        }
        assert!(body.frame().now_or_never().is_none());
        advance(limits::WRITE_STALL * 5).await;
        assert_eq!(pace.check(), Duration::ZERO);
        assert!(body.frame().now_or_never().is_none(), "still waiting");
        drop(body);
        assert_eq!(pace.check(), Duration::ZERO, "idle since now");
        advance(Duration::from_secs(1)).await;
        assert_eq!(pace.check(), Duration::from_secs(1));
    }
}
