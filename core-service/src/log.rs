//! The log: JSON lines on stderr.
//!
//! A line for every request would be a system call for every request. So lines of little urgency gather for
//! [`limits::LOG_DELAY`] and are written together; a warning or an error is written at once, with whatever waited
//! before it. Lines keep their order. A crash of the whole process (kill -9) loses what was younger than the
//! delay; a panic does not, as it is logged as an error.

use crate::limits;
use std::io::{self, Write};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread;
use tracing::{Level, Metadata};
use tracing_subscriber::EnvFilter;
use tracing_subscriber::fmt::MakeWriter;

/// Sends log lines to stderr as JSON, as `RUST_LOG` says (default `info`), panics among them. What it returns is
/// to be kept until the program ends: its drop writes the last lines.
#[must_use]
pub fn start() -> LastLines {
    let filter = EnvFilter::try_from_default_env().unwrap_or_else(|_| EnvFilter::new("info"));
    let lines = Lines::start(io::stderr());
    let last = LastLines(lines.clone());
    tracing_subscriber::fmt()
        .json()
        .flatten_event(true)
        .with_current_span(true)
        .with_span_list(false)
        .with_env_filter(filter)
        .with_writer(lines)
        // Nobody may be reading stderr any more. A complaint about that, on stderr, would panic, and so
        // would the hook below: the program would abort over its log.
        .log_internal_errors(false)
        .init();
    std::panic::set_hook(Box::new(|panic| tracing::error!(%panic, "panicked")));
    last
}

/// Writes the last lines when it is dropped.
pub struct LastLines(Lines);

impl Drop for LastLines {
    fn drop(&mut self) {
        // As everywhere here: nobody may be reading any more.
        _ = self.0.gathered().write_out();
    }
}

/// The lines that wait and where they go.
#[derive(Clone)]
struct Lines(Arc<Shared>);

struct Shared {
    gathered: Mutex<Gathered>,
    /// Told when the first line begins to wait.
    some_wait: Condvar,
}

struct Gathered {
    bytes: Vec<u8>,
    sink: Box<dyn Write + Send>,
}

impl Gathered {
    /// Writes what waits. What cannot be written is dropped: a log that nobody reads must not fill the memory.
    fn write_out(&mut self) -> io::Result<()> {
        let written = self.sink.write_all(&self.bytes).and_then(|()| self.sink.flush());
        self.bytes.clear();
        written
    }
}

impl Lines {
    /// Lines for a sink, and the thread that writes those that nobody else does.
    fn start(sink: impl Write + Send + 'static) -> Self {
        let bytes = Vec::with_capacity(limits::LOG_BUFFER_BYTES);
        let gathered = Mutex::new(Gathered { bytes, sink: Box::new(sink) });
        let lines = Self(Arc::new(Shared { gathered, some_wait: Condvar::new() }));
        let writer = lines.clone();
        let spawned = thread::Builder::new().name("log".into()).spawn(move || {
            loop {
                let gathered = writer.gathered();
                let waiting =
                    writer.0.some_wait.wait_while(gathered, |gathered| gathered.bytes.is_empty());
                drop(waiting.unwrap_or_else(PoisonError::into_inner));
                thread::sleep(limits::LOG_DELAY);
                _ = writer.gathered().write_out();
            }
        });
        spawned.expect("a thread can be started while the program starts");
        lines
    }

    fn gathered(&self) -> MutexGuard<'_, Gathered> {
        self.0.gathered.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl<'a> MakeWriter<'a> for Lines {
    type Writer = Line<'a>;

    fn make_writer(&'a self) -> Line<'a> {
        Line { lines: self, urgent: true }
    }

    fn make_writer_for(&'a self, meta: &Metadata<'_>) -> Line<'a> {
        Line { lines: self, urgent: *meta.level() <= Level::WARN }
    }
}

/// One line on its way; the formatter writes it in one piece.
struct Line<'a> {
    lines: &'a Lines,
    urgent: bool,
}

impl Write for Line<'_> {
    fn write(&mut self, line: &[u8]) -> io::Result<usize> {
        let mut gathered = self.lines.gathered();
        let is_first = gathered.bytes.is_empty();
        gathered.bytes.extend_from_slice(line);
        if self.urgent || gathered.bytes.len() >= limits::LOG_BUFFER_BYTES {
            gathered.write_out()?;
        } else if is_first {
            self.lines.0.some_wait.notify_one();
        }
        Ok(line.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::mpsc;

    /// Sends on what is written.
    struct Pipe(mpsc::Sender<String>);

    impl Write for Pipe {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            let text = String::from_utf8(bytes.to_vec()).unwrap();
            self.0.send(text).map_err(|_| io::ErrorKind::BrokenPipe)?;
            Ok(bytes.len())
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    fn say(lines: &Lines, urgent: bool, text: &str) -> io::Result<()> {
        Line { lines, urgent }.write_all(text.as_bytes())
    }

    #[test]
    fn lines_gather_until_one_is_urgent_or_time_is_over() {
        let (sender, written) = mpsc::channel();
        let lines = Lines::start(Pipe(sender));
        say(&lines, false, "a\n").unwrap();
        say(&lines, false, "b\n").unwrap();
        assert_eq!(written.recv().unwrap(), "a\nb\n", "together, and by themselves");
        say(&lines, false, "c\n").unwrap();
        say(&lines, true, "d\n").unwrap();
        assert_eq!(written.try_recv().unwrap(), "c\nd\n", "at once and in order");
        say(&lines, false, "e\n").unwrap();
        drop(LastLines(lines));
        assert_eq!(written.recv().unwrap(), "e\n", "the last ones are not lost");
    }

    #[test]
    fn what_waits_is_bounded_also_when_nobody_reads() {
        let (sender, written) = mpsc::channel();
        let lines = Lines::start(Pipe(sender));
        drop(written);
        let line = "x".repeat(limits::LOG_BUFFER_BYTES / 4);
        let outcomes: Vec<_> = (0..16).map(|_| say(&lines, false, &line)).collect();
        assert!(outcomes.iter().any(Result::is_err), "it was written, in vain");
        assert!(lines.gathered().bytes.len() < limits::LOG_BUFFER_BYTES);
    }
}
