//! The express lane: cache hits answered beneath hyper.
//!
//! hyper reads its connection through an [`Express`], which looks at each request before hyper does. What the cache
//! can answer as it stands is answered here, in one write from prepared bytes, and hyper never hears of it; all else goes
//! to hyper byte for byte. A hit costs about half of what it costs as a request and a response.
//!
//! Invariants:
//! 1. answers leave in the order of their requests: the lane answers only while hyper has nothing to answer and nothing
//!    left to send, and gives it one request at a time;
//! 2. what the lane does not understand, it does not touch: from the first bytes on that are no head of HTTP/1.1, or a
//!    body whose end others may see elsewhere, the connection is hyper's;
//! 3. a client that has asked and ends its side of the connection is answered: hyper takes that end for the client's, so it
//!    is held back for [`limits::HALF_CLOSE_PATIENCE`] while an answer is awaited. A reset is not;
//! 4. who waits for a client waits no longer than [`limits::HEAD_READ_TIMEOUT`] for a head, whoever reads it.
//!
//! Whose turn it is, is known by [`Turn`]: hyper's from when it is given a request until the answer's body was dropped
//! and hyper has flushed after it, which it does only when it holds no more bytes.

mod framing;
mod head;
#[cfg(test)]
mod tests;

use std::io::{self, IoSlice};
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicU8, Ordering};
use std::task::{Context, Poll, ready};

use bytes::{Buf as _, Bytes};
use http::request::Parts;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::time::{Instant, Sleep, sleep, sleep_until};

use self::framing::Framing;
use self::head::{Sight, look_at};
use super::access::Access;
use crate::limits;

/// An answer as it goes over the wire.
pub(super) struct Ready {
    /// Status line and headers.
    pub(super) head: Bytes,
    /// The body.
    pub(super) body: Bytes,
    /// Logs the request when it is dropped.
    pub(super) access: Access,
}

/// A connection with an express lane; `answer` knows what can be answered at once.
pub(super) struct Express<IO, A> {
    io: IO,
    answer: A,
    turn: Arc<Turn>,
    lane: Lane,
    /// What came and was not yet looked at or given on: the first `filled` bytes.
    input: Box<[u8; limits::EXPRESS_INPUT_BYTES]>,
    filled: usize,
    /// What hyper is given next.
    given: Bytes,
    /// An answer on its way.
    sending: Option<Ready>,
    /// Since when a request is awaited.
    waiting_since: Instant,
    patience: Option<Pin<Box<Sleep>>>,
    /// Runs out when a client that has ended its side has waited for long enough.
    ended: Option<Pin<Box<Sleep>>>,
}

/// What happens to the bytes that come.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Lane {
    /// The next request is looked at.
    Open,
    /// hyper is given the body of a request, of which this is left.
    Body(Framing),
    /// hyper is answering; what comes meanwhile waits.
    Held,
    /// Everything is hyper's.
    Closed,
}

/// Whose turn it is on one connection.
pub(super) struct Turn(AtomicU8);

/// A request is awaited.
const NOBODYS: u8 = 0;
/// hyper has a request.
const HYPERS: u8 = 1;
/// hyper has the whole answer, and may hold bytes of it.
const ANSWERED: u8 = 2;

impl Turn {
    pub(super) fn new() -> Arc<Self> {
        Arc::new(Self(AtomicU8::new(NOBODYS)))
    }

    /// hyper asks for an answer; it has it when what is returned is dropped.
    pub(super) fn begin(self: &Arc<Self>) -> Answering {
        self.set(HYPERS);
        Answering(Arc::clone(self))
    }

    fn is(&self, whose: u8) -> bool {
        self.0.load(Ordering::Acquire) == whose
    }

    fn set(&self, whose: u8) {
        self.0.store(whose, Ordering::Release);
    }
}

/// An answer that hyper waits for or sends; dropped with the answer's body.
pub(super) struct Answering(Arc<Turn>);

impl Drop for Answering {
    fn drop(&mut self) {
        self.0.set(ANSWERED);
    }
}

impl<IO, A> Express<IO, A>
where
    IO: AsyncRead + AsyncWrite + Unpin,
    A: FnMut(Parts) -> Option<Ready> + Unpin,
{
    pub(super) fn new(io: IO, turn: Arc<Turn>, answer: A) -> Self {
        Self {
            io,
            answer,
            turn,
            lane: Lane::Open,
            input: Box::new([0; limits::EXPRESS_INPUT_BYTES]),
            filled: 0,
            given: Bytes::new(),
            sending: None,
            waiting_since: Instant::now(),
            patience: None,
            ended: None,
        }
    }

    /// Sends what is on its way.
    fn poll_send(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let Some(sending) = &mut self.sending else { return Poll::Ready(Ok(())) };
        while sending.head.has_remaining() || sending.body.has_remaining() {
            let pieces = [IoSlice::new(&sending.head), IoSlice::new(&sending.body)];
            let first = usize::from(sending.head.is_empty());
            let io = Pin::new(&mut self.io);
            let sent = ready!(io.poll_write_vectored(cx, &pieces[first..]))?;
            if sent == 0 {
                return Poll::Ready(Err(io::ErrorKind::WriteZero.into()));
            }
            let of_head = sent.min(sending.head.len());
            sending.head.advance(of_head);
            sending.body.advance(sent - of_head);
            sending.access.sent(sent - of_head);
        }
        ready!(Pin::new(&mut self.io).poll_flush(cx))?;
        if let Some(mut sent) = self.sending.take() {
            sent.access.complete();
        }
        self.waiting_since = Instant::now();
        Poll::Ready(Ok(()))
    }

    /// Reads more of what comes; none came if the client has ended.
    fn poll_fill(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<usize>> {
        let mut rest = ReadBuf::new(&mut self.input[self.filled..]);
        ready!(Pin::new(&mut self.io).poll_read(cx, &mut rest))?;
        let read = rest.filled().len();
        self.filled += read;
        Poll::Ready(Ok(read))
    }

    /// Takes what was looked at out of what came.
    fn consume(&mut self, bytes: usize) {
        self.input.copy_within(bytes..self.filled, 0);
        self.filled -= bytes;
    }

    /// Nothing came: fails when a head is waited for in vain.
    fn poll_patience(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        if !self.turn.is(NOBODYS) {
            return Poll::Pending;
        }
        let until = self.waiting_since + limits::HEAD_READ_TIMEOUT;
        let patience = self.patience.get_or_insert_with(|| Box::pin(sleep_until(until)));
        while patience.as_mut().poll(cx).is_ready() {
            // Set for an earlier request, the timer may be behind: it is cheaper to look once than to set it each time.
            if Instant::now() >= until {
                return Poll::Ready(Err(io::ErrorKind::TimedOut.into()));
            }
            patience.as_mut().reset(until);
        }
        Poll::Pending
    }

    /// Looks at the next request, and answers it or has it given on. Pending when it has not come.
    fn poll_open(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        match if self.filled == 0 { Sight::Partial } else { look_at(&self.input[..self.filled]) } {
            Sight::Partial if self.filled < self.input.len() => match self.poll_fill(cx)? {
                Poll::Ready(0) => self.lane = Lane::Closed,
                Poll::Ready(_) => {}
                Poll::Pending => return self.poll_patience(cx),
            },
            Sight::Partial | Sight::Foreign => self.lane = Lane::Closed,
            Sight::Whole { bytes, plain } => {
                self.consume(bytes.len());
                self.sending = plain.and_then(&mut self.answer);
                if self.sending.is_none() {
                    (self.given, self.lane) = (bytes, Lane::Held);
                    self.turn.set(HYPERS);
                }
            }
            Sight::Leading { bytes, body } => {
                let length = bytes.len();
                self.consume(length);
                (self.given, self.lane) = (bytes, Lane::Body(body));
                self.turn.set(HYPERS);
            }
        }
        Poll::Ready(Ok(()))
    }

    /// Gives hyper what is there of a body. Pending when nothing is, ready without a byte when the body is done.
    fn poll_body(
        &mut self,
        cx: &mut Context<'_>,
        mut body: Framing,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        if self.filled == 0 {
            match self.poll_fill(cx)? {
                // It ends too early, as hyper will see.
                Poll::Ready(0) => self.lane = Lane::Closed,
                Poll::Ready(_) => {}
                Poll::Pending => return self.poll_patience(cx),
            }
        }
        let bytes = self.filled.min(buffer.remaining());
        let Ok(taken) = body.advance(&self.input[..bytes]) else {
            self.lane = Lane::Closed;
            return Poll::Ready(Ok(()));
        };
        buffer.put_slice(&self.input[..taken]);
        self.consume(taken);
        if self.lane != Lane::Closed {
            self.lane = match (body.is_done(), self.turn.is(NOBODYS)) {
                (false, _) => Lane::Body(body),
                (true, false) => Lane::Held,
                (true, true) => Lane::Open,
            };
        }
        Poll::Ready(Ok(()))
    }

    /// The client has ended its side while it waits: ready when that is for too long.
    fn poll_ended(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        let wait = || Box::pin(sleep(limits::HALF_CLOSE_PATIENCE));
        self.ended.get_or_insert_with(wait).as_mut().poll(cx)
    }
}

impl<IO, A> AsyncRead for Express<IO, A>
where
    IO: AsyncRead + AsyncWrite + Unpin,
    A: FnMut(Parts) -> Option<Ready> + Unpin,
{
    fn poll_read(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        loop {
            ready!(this.poll_send(cx))?;
            if this.given.has_remaining() {
                let bytes = this.given.len().min(buffer.remaining());
                buffer.put_slice(&this.given.split_to(bytes));
                return Poll::Ready(Ok(()));
            }
            match this.lane {
                Lane::Open => ready!(this.poll_open(cx))?,
                Lane::Held if this.filled > 0 => return Poll::Pending,
                // hyper reads during an answer to learn that its client has gone.
                Lane::Held => {
                    if this.ended.is_none() && ready!(this.poll_fill(cx))? > 0 {
                        return Poll::Pending;
                    }
                    ready!(this.poll_ended(cx));
                    return Poll::Ready(Ok(()));
                }
                Lane::Body(body) => {
                    let before = buffer.filled().len();
                    ready!(this.poll_body(cx, body, buffer))?;
                    if buffer.filled().len() > before {
                        return Poll::Ready(Ok(()));
                    }
                }
                Lane::Closed if this.filled > 0 => {
                    let bytes = this.filled.min(buffer.remaining());
                    buffer.put_slice(&this.input[..bytes]);
                    this.consume(bytes);
                    return Poll::Ready(Ok(()));
                }
                Lane::Closed => {
                    let read = Pin::new(&mut this.io).poll_read(cx, buffer);
                    return if read.is_pending() { this.poll_patience(cx) } else { read };
                }
            }
        }
    }
}

impl<IO, A> AsyncWrite for Express<IO, A>
where
    IO: AsyncRead + AsyncWrite + Unpin,
    A: FnMut(Parts) -> Option<Ready> + Unpin,
{
    fn poll_write(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        ready!(self.poll_send(cx))?;
        Pin::new(&mut self.io).poll_write(cx, bytes)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        pieces: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        ready!(self.poll_send(cx))?;
        Pin::new(&mut self.io).poll_write_vectored(cx, pieces)
    }

    fn is_write_vectored(&self) -> bool {
        self.io.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        ready!(self.poll_send(cx))?;
        ready!(Pin::new(&mut self.io).poll_flush(cx))?;
        if self.turn.is(ANSWERED) && !self.given.has_remaining() {
            self.turn.set(NOBODYS);
            self.waiting_since = Instant::now();
            if self.lane == Lane::Held {
                self.lane = Lane::Open;
                // hyper was told to wait for more; what waits here comes without any news from the client.
                if self.filled > 0 || self.ended.is_some() {
                    cx.waker().wake_by_ref();
                }
            }
        }
        Poll::Ready(Ok(()))
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        ready!(self.poll_send(cx))?;
        Pin::new(&mut self.io).poll_shutdown(cx)
    }
}
