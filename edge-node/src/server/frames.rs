//! Frames of HTTP/2 that cost a client nothing to send.
//!
//! The protocol's engine answers or at least reads each PING, SETTINGS, PRIORITY, WINDOW_UPDATE and unknown frame, and
//! bounds none of them. Here the heads of what comes are read along with it, and each such frame takes one from an
//! account that requests, answered bytes and time fill. Who overdraws it is cut off. A client that reads its answers sends
//! a few for each request, and a WINDOW_UPDATE for many bytes; it never comes near.
//! Source: RFC 9113, sections 4.1, 6 and 10.5; CVE-2019-9512 to 9518.

use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::{Context, Poll, ready};

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::time::Instant;

use crate::limits;

/// What comes before the first frame: `PRI * HTTP/2.0`, two empty lines, `SM`, another.
const PREFACE_BYTES: usize = 24;
const HEAD_BYTES: usize = 9;
const DATA: u8 = 0;
const HEADERS: u8 = 1;
const RST_STREAM: u8 = 3;
const CONTINUATION: u8 = 9;
const END_STREAM: u8 = 1;

/// A connection whose client may send so many frames that carry nothing.
pub(super) struct FrameGuard<IO> {
    io: IO,
    reader: Reader,
    account: Account,
    is_overdrawn: Arc<AtomicBool>,
}

impl<IO> FrameGuard<IO> {
    pub(super) fn new(io: IO) -> Self {
        let is_overdrawn = Arc::default();
        Self { io, reader: Reader::default(), account: Account::new(Instant::now()), is_overdrawn }
    }

    /// Tells whether the client was cut off, also afterwards.
    pub(super) fn verdict(&self) -> Arc<AtomicBool> {
        Arc::clone(&self.is_overdrawn)
    }
}

/// What a frame is to the account.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Kind {
    /// It begins a request.
    Request,
    /// It carries something, or is bounded elsewhere.
    Useful,
    /// It carries nothing.
    Spare,
}

/// Finds the heads of frames in what comes, however it is cut.
struct Reader {
    /// Bytes to pass over.
    skip: usize,
    head: [u8; HEAD_BYTES],
    seen: usize,
}

impl Default for Reader {
    fn default() -> Self {
        Self { skip: PREFACE_BYTES, head: [0; HEAD_BYTES], seen: 0 }
    }
}

impl Reader {
    /// The next frame in `input`, which is taken as far as that frame's head; none if its head is not there yet.
    fn next(&mut self, input: &mut &[u8]) -> Option<Kind> {
        let skipped = self.skip.min(input.len());
        (self.skip, *input) = (self.skip - skipped, &input[skipped..]);
        let wanted = HEAD_BYTES - self.seen;
        let (piece, rest) = input.split_at(wanted.min(input.len()));
        self.head[self.seen..self.seen + piece.len()].copy_from_slice(piece);
        (self.seen, *input) = (self.seen + piece.len(), rest);
        if self.seen < HEAD_BYTES {
            return None;
        }
        let [a, b, c, kind, flags, ..] = self.head;
        let length = u32::from_be_bytes([0, a, b, c]) as usize;
        (self.seen, self.skip) = (0, length);
        Some(match kind {
            HEADERS => Kind::Request,
            // The engine counts these two.
            RST_STREAM | CONTINUATION => Kind::Useful,
            DATA if length > 0 || flags & END_STREAM != 0 => Kind::Useful,
            _ => Kind::Spare,
        })
    }
}

/// How many more frames that carry nothing may come.
struct Account {
    frames: u32,
    /// Sent bytes that have not yet made a frame.
    sent_bytes: usize,
    filled_at: Instant,
}

impl Account {
    fn new(now: Instant) -> Self {
        Self { frames: limits::MAX_HTTP2_SPARE_FRAMES, sent_bytes: 0, filled_at: now }
    }

    fn fill(&mut self, frames: u32) {
        self.frames = self.frames.saturating_add(frames).min(limits::MAX_HTTP2_SPARE_FRAMES);
    }

    fn sent(&mut self, bytes: usize) {
        self.sent_bytes += bytes;
        self.fill(
            u32::try_from(self.sent_bytes / limits::HTTP2_BYTES_PER_SPARE_FRAME)
                .unwrap_or(u32::MAX),
        );
        self.sent_bytes %= limits::HTTP2_BYTES_PER_SPARE_FRAME;
    }

    /// Whether the frame may come.
    fn takes(&mut self, kind: Kind, now: Instant) -> bool {
        match kind {
            Kind::Useful => return true,
            Kind::Request => {
                self.fill(limits::HTTP2_SPARE_FRAMES_PER_REQUEST);
                return true;
            }
            Kind::Spare => {}
        }
        let seconds =
            u32::try_from(now.duration_since(self.filled_at).as_secs()).unwrap_or(u32::MAX);
        if seconds > 0 {
            self.filled_at = now;
            self.fill(seconds.saturating_mul(limits::HTTP2_SPARE_FRAMES_PER_SECOND));
        }
        let left = self.frames.checked_sub(1);
        self.frames = left.unwrap_or(0);
        left.is_some()
    }
}

impl<IO: AsyncRead + Unpin> AsyncRead for FrameGuard<IO> {
    fn poll_read(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        let before = buffer.filled().len();
        ready!(Pin::new(&mut this.io).poll_read(cx, buffer))?;
        let mut came = &buffer.filled()[before..];
        if came.is_empty() {
            return Poll::Ready(Ok(()));
        }
        let now = Instant::now();
        while let Some(kind) = this.reader.next(&mut came) {
            if !this.account.takes(kind, now) {
                this.is_overdrawn.store(true, Ordering::Relaxed);
                return Poll::Ready(Err(io::ErrorKind::ConnectionAborted.into()));
            }
        }
        Poll::Ready(Ok(()))
    }
}

impl<IO: AsyncWrite + Unpin> AsyncWrite for FrameGuard<IO> {
    fn poll_write(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        let sent = ready!(Pin::new(&mut self.io).poll_write(cx, bytes))?;
        self.account.sent(sent);
        Poll::Ready(Ok(sent))
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        pieces: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let sent = ready!(Pin::new(&mut self.io).poll_write_vectored(cx, pieces))?;
        self.account.sent(sent);
        Poll::Ready(Ok(sent))
    }

    fn is_write_vectored(&self) -> bool {
        self.io.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.io).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.io).poll_shutdown(cx)
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    fn frame(kind: u8, flags: u8, payload: &[u8]) -> Vec<u8> {
        let length = u32::try_from(payload.len()).unwrap().to_be_bytes();
        [&length[1..], &[kind, flags, 0, 0, 0, 1], payload].concat()
    }

    #[test]
    fn frames_are_found_however_they_are_cut() {
        let mut all = vec![b'P'; PREFACE_BYTES];
        let frames = [
            (4, 0, vec![0; 12], Kind::Spare),
            (1, 5, vec![7; 300], Kind::Request),
            (0, 0, vec![1; 3], Kind::Useful),
            (0, 0, vec![], Kind::Spare),
            (0, 1, vec![], Kind::Useful),
            (2, 0, vec![0; 5], Kind::Spare),
            (6, 0, vec![0; 8], Kind::Spare),
            (8, 0, vec![0; 4], Kind::Spare),
            (3, 0, vec![0; 4], Kind::Useful),
            (0xfa, 0, vec![0; 70_000], Kind::Spare),
        ];
        for (kind, flags, payload, _) in &frames {
            all.extend(frame(*kind, *flags, payload));
        }
        for piece in [1, 2, 8, 9, 10, 100, all.len()] {
            let mut reader = Reader::default();
            let mut found = Vec::new();
            for mut came in all.chunks(piece) {
                while let Some(kind) = reader.next(&mut came) {
                    found.push(kind);
                }
            }
            let expected: Vec<_> = frames.iter().map(|frame| frame.3).collect();
            assert_eq!(found, expected, "by {piece}");
        }
    }

    #[test]
    fn frames_that_carry_nothing_are_paid_for_by_requests_answers_and_time() {
        let begin = Instant::now();
        let overdrawn = |account: &mut Account, now| {
            (0_u32..).find(|_| !account.takes(Kind::Spare, now)).unwrap()
        };
        let mut account = Account::new(begin);
        assert_eq!(overdrawn(&mut account, begin), limits::MAX_HTTP2_SPARE_FRAMES);
        assert!(account.takes(Kind::Useful, begin));
        assert!(account.takes(Kind::Request, begin));
        assert_eq!(overdrawn(&mut account, begin), limits::HTTP2_SPARE_FRAMES_PER_REQUEST);
        for _ in 0..10 {
            account.sent(limits::HTTP2_BYTES_PER_SPARE_FRAME / 2);
        }
        assert_eq!(overdrawn(&mut account, begin), 5);
        let later = begin + Duration::from_secs(2);
        assert_eq!(overdrawn(&mut account, later), 2 * limits::HTTP2_SPARE_FRAMES_PER_SECOND);
        let much_later = begin + Duration::from_secs(1 << 33);
        assert_eq!(overdrawn(&mut account, much_later), limits::MAX_HTTP2_SPARE_FRAMES);
    }
}
