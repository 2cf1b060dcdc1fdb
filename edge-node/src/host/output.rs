//! A guest's stdout and stderr: into the log, line by line, under the component's name.
//!
//! A line is cut at a limit and so is the number of lines per second, since a guest may print what
//! a client sends. What is cut is counted in the log, not kept.

use std::io;
use std::pin::Pin;
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Context, Poll};
use std::time::{Duration, Instant};

use tokio::io::AsyncWrite;
use wasmtime_wasi::cli::{IsTerminal, StdoutStream};

use crate::limits;

/// A line that a guest wrote.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct GuestLine {
    /// The component.
    pub component: String,
    /// `stdout` or `stderr`.
    pub stream: &'static str,
    /// The line without its end, as much of it as the log keeps; what is not UTF-8 is replaced.
    pub text: String,
}

/// Hears each line beside the log.
pub(crate) type Listener = Arc<dyn Fn(GuestLine) + Send + Sync>;

/// One of the two output streams of one instance.
#[derive(Clone)]
pub(crate) struct Output {
    lines: Arc<Mutex<Lines>>,
}

struct Lines {
    component: String,
    stream: &'static str,
    line: Vec<u8>,
    /// Bytes of the current line beyond the limit.
    cut_bytes: usize,
    window_start: Instant,
    window_lines: u32,
    listener: Option<Listener>,
}

impl Output {
    /// The stream called `stream` of an instance of `component`.
    pub(crate) fn new(component: &str, stream: &'static str, listener: Option<Listener>) -> Self {
        let lines = Lines {
            component: component.to_owned(),
            stream,
            line: Vec::new(),
            cut_bytes: 0,
            window_start: Instant::now(),
            window_lines: 0,
            listener,
        };
        Self { lines: Arc::new(Mutex::new(lines)) }
    }
}

impl Lines {
    fn write(&mut self, bytes: &[u8]) {
        for piece in bytes.split_inclusive(|byte| *byte == b'\n') {
            let (text, ends) = match piece.strip_suffix(b"\n") {
                Some(text) => (text, true),
                None => (piece, false),
            };
            let room = limits::MAX_GUEST_LINE_BYTES - self.line.len();
            let kept = &text[..text.len().min(room)];
            self.line.extend_from_slice(kept);
            self.cut_bytes += text.len() - kept.len();
            if ends {
                self.end_line();
            }
        }
    }

    fn end_line(&mut self) {
        let line = std::mem::take(&mut self.line);
        let cut_bytes = std::mem::take(&mut self.cut_bytes);
        if self.window_start.elapsed() > Duration::from_secs(1) {
            self.window_start = Instant::now();
            self.window_lines = 0;
        }
        self.window_lines = self.window_lines.saturating_add(1);
        if self.window_lines > limits::MAX_GUEST_LINES_PER_SECOND {
            return;
        }
        let (component, stream) = (self.component.as_str(), self.stream);
        let text = String::from_utf8_lossy(&line);
        tracing::info!(target: "guest", component, stream, cut_bytes, "{text}");
        if let Some(listener) = &self.listener {
            let (component, text) = (component.to_owned(), text.into_owned());
            listener(GuestLine { component, stream, text });
        }
    }
}

impl Drop for Lines {
    fn drop(&mut self) {
        if !self.line.is_empty() {
            self.end_line();
        }
    }
}

impl IsTerminal for Output {
    fn is_terminal(&self) -> bool {
        false
    }
}

impl StdoutStream for Output {
    fn async_stream(&self) -> Box<dyn AsyncWrite + Send + Sync> {
        Box::new(self.clone())
    }
}

impl AsyncWrite for Output {
    fn poll_write(
        self: Pin<&mut Self>,
        _: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        self.lines.lock().unwrap_or_else(PoisonError::into_inner).write(bytes);
        Poll::Ready(Ok(bytes.len()))
    }

    fn poll_flush(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    fn poll_shutdown(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }
}
