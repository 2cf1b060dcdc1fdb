//! The log: JSON lines on stderr.
//!
//! A line for every request would be a system call for every request. So lines of little urgency gather for
//! [`limits::LOG_DELAY`] and are written together; a warning or an error is written at once, with whatever waited
//! before it. Lines keep their order. A crash of the whole process (kill -9) loses what was younger than the
//! delay; a panic does not, as it is logged as an error.
//!
//! No place in the program writes without end: see [`crate::throttle`].
//!
//! A line that is written for every request can do without tracing's way to JSON: see [`info`].

use std::cell::RefCell;
use std::fmt::{self, Write as _};
use std::io::{self, Write};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, OnceLock, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

use tracing::{Level, Metadata};
use tracing_subscriber::EnvFilter;
use tracing_subscriber::fmt::MakeWriter;
use tracing_subscriber::fmt::format::Writer;
use tracing_subscriber::fmt::time::{FormatTime as _, SystemTime};
use tracing_subscriber::layer::SubscriberExt as _;
use tracing_subscriber::util::SubscriberInitExt as _;

use crate::limits;
use crate::throttle::{LeftOut, Throttle};

/// The target of the lines of requests, one for each: these are not bounded.
pub const ACCESS: &str = "access";

/// Where [`info`] writes; empty until the log is started.
static LINES: OnceLock<Lines> = OnceLock::new();

thread_local! {
    /// Where a thread puts its line together.
    static LINE: RefCell<String> = const { RefCell::new(String::new()) };
}

/// Sends log lines to stderr as JSON, as `RUST_LOG` says (default `info`), panics among them. What it returns is
/// to be kept until the program ends: its drop writes what waits, and from then on every line is written at once,
/// because nobody knows which is the last.
///
/// # Panics
/// When something else of the process was given tracing's lines before.
#[must_use]
pub fn start() -> LastLines {
    let filter = EnvFilter::try_from_default_env().unwrap_or_else(|_| EnvFilter::new("info"));
    let throttle = Throttle::default();
    let lines = Lines::start(io::stderr(), limits::LOG_DELAY, throttle.clone());
    let last = LastLines(lines.clone());
    // The first is the only one: a second log would fail below.
    _ = LINES.set(lines.clone());
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
        .finish()
        .with(throttle)
        .init();
    std::panic::set_hook(Box::new(|panic| tracing::error!(%panic, "panicked")));
    last
}

/// Logs a line as `tracing::info!` would, among its lines and in their order, at a fraction of the cost.
/// `fields` writes what follows the message: `,"name":value`, as JSON. Nothing is written before the log was started.
/// Whether anyone wants it is for the caller to ask, with `tracing::enabled!`.
pub fn info(target: &str, message: &str, fields: impl FnOnce(&mut String) -> fmt::Result) {
    let Some(lines) = LINES.get() else { return };
    LINE.with_borrow_mut(|line| {
        line.clear();
        if compose(line, target, message, fields).is_ok() {
            // As everywhere here: nobody may be reading any more.
            _ = Line { lines, urgent: false }.write_all(line.as_bytes());
        }
    });
}

/// The line in the shape that tracing gives its own.
fn compose(
    line: &mut String,
    target: &str,
    message: &str,
    fields: impl FnOnce(&mut String) -> fmt::Result,
) -> fmt::Result {
    line.push_str("{\"timestamp\":\"");
    SystemTime.format_time(&mut Writer::new(line))?;
    write!(line, "\",\"level\":\"INFO\",\"message\":\"{message}\"")?;
    fields(line)?;
    writeln!(line, ",\"target\":\"{target}\"}}")
}

/// Writes the last lines when it is dropped, and lets no other wait.
pub struct LastLines(Lines);

impl Drop for LastLines {
    fn drop(&mut self) {
        let mut gathered = self.0.gathered();
        gathered.is_ending = true;
        gathered.tell(&self.0.0.throttle, true);
        // As everywhere here: nobody may be reading any more.
        _ = gathered.write_out();
    }
}

/// The lines that wait and where they go.
#[derive(Clone)]
struct Lines(Arc<Shared>);

struct Shared {
    gathered: Mutex<Gathered>,
    /// Told when the first line begins to wait.
    some_wait: Condvar,
    /// Knows of lines that were left out.
    throttle: Throttle,
}

struct Gathered {
    bytes: Vec<u8>,
    sink: Box<dyn Write + Send>,
    /// The program may end at any moment.
    is_ending: bool,
}

impl Gathered {
    /// Says what was left out, in windows that are over or in all of them.
    fn tell(&mut self, throttle: &Throttle, all: bool) {
        for LeftOut { count, place } in throttle.take(Instant::now(), all) {
            let mut line = String::new();
            let message = "lines of one place were left out: it wrote too many";
            let fields =
                |line: &mut String| write!(line, ",\"count\":{count},\"place\":\"{place}\"");
            if compose(&mut line, "log", message, fields).is_ok() {
                self.bytes.extend_from_slice(line.as_bytes());
            }
        }
    }

    /// Writes what waits. What cannot be written is dropped: a log that nobody reads must not fill the memory.
    fn write_out(&mut self) -> io::Result<()> {
        let written = self.sink.write_all(&self.bytes).and_then(|()| self.sink.flush());
        self.bytes.clear();
        written
    }
}

impl Lines {
    /// Lines for a sink, and the thread that writes those that nobody else does, `delay` after the first of them.
    fn start(sink: impl Write + Send + 'static, delay: Duration, throttle: Throttle) -> Self {
        let bytes = Vec::with_capacity(limits::LOG_BUFFER_BYTES);
        let gathered = Mutex::new(Gathered { bytes, sink: Box::new(sink), is_ending: false });
        let lines = Self(Arc::new(Shared { gathered, some_wait: Condvar::new(), throttle }));
        let writer = lines.clone();
        let spawned = thread::Builder::new().name("log".into()).spawn(move || {
            loop {
                let gathered = writer.gathered();
                // Also without news, so that what was left out last is told.
                let waiting = writer.0.some_wait.wait_timeout_while(
                    gathered,
                    limits::LOG_WINDOW,
                    |gathered| gathered.bytes.is_empty(),
                );
                drop(waiting.unwrap_or_else(PoisonError::into_inner));
                thread::sleep(delay);
                let mut gathered = writer.gathered();
                gathered.tell(&writer.0.throttle, false);
                _ = gathered.write_out();
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
        if self.urgent || gathered.is_ending || gathered.bytes.len() >= limits::LOG_BUFFER_BYTES {
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

    /// Longer than any test.
    const NEVER: Duration = Duration::from_secs(3_600);

    #[test]
    fn a_line_does_not_wait_for_ever() {
        let (sender, written) = mpsc::channel();
        let lines = Lines::start(Pipe(sender), limits::LOG_DELAY, Throttle::default());
        say(&lines, false, "a\n").unwrap();
        assert_eq!(written.recv().unwrap(), "a\n");
    }

    #[test]
    fn lines_gather_until_one_is_urgent_or_the_program_ends() {
        let (sender, written) = mpsc::channel();
        let lines = Lines::start(Pipe(sender), NEVER, Throttle::default());
        say(&lines, false, "a\n").unwrap();
        say(&lines, false, "b\n").unwrap();
        assert!(written.try_recv().is_err(), "they wait");
        say(&lines, false, "c\n").unwrap();
        say(&lines, true, "d\n").unwrap();
        assert_eq!(written.try_recv().unwrap(), "a\nb\nc\nd\n", "at once and in order");
        say(&lines, false, "e\n").unwrap();
        drop(LastLines(lines.clone()));
        assert_eq!(written.try_recv().unwrap(), "e\n", "the last ones are not lost");
        say(&lines, false, "f\n").unwrap();
        assert_eq!(written.try_recv().unwrap(), "f\n", "nor what comes after them");
    }

    #[test]
    fn a_composed_line_has_the_shape_of_the_others() {
        let (sender, written) = mpsc::channel();
        let lines = Lines::start(Pipe(sender), NEVER, Throttle::default());
        let subscriber = tracing_subscriber::fmt().json().flatten_event(true);
        let subscriber = subscriber.with_writer(lines.clone()).finish();
        tracing::subscriber::with_default(subscriber, || {
            tracing::info!(target: "access", status = 200, "request");
        });
        let mut line = String::new();
        let fields = |line: &mut String| write!(line, ",\"status\":{}", 200);
        compose(&mut line, "access", "request", fields).unwrap();
        drop(LastLines(lines));
        let untimed = |line: &str| {
            let (start, rest) = line.split_at("{\"timestamp\":\"".len());
            let (time, rest) = rest.split_at("2026-11-22T00:00:00.000000Z".len());
            assert!(time.starts_with("20") && time.ends_with('Z'), "{time}");
            [start, rest].concat()
        };
        assert_eq!(untimed(&line), untimed(&written.recv().unwrap()));
    }

    #[test]
    fn what_waits_is_bounded_also_when_nobody_reads() {
        let (sender, written) = mpsc::channel();
        let lines = Lines::start(Pipe(sender), NEVER, Throttle::default());
        drop(written);
        let line = "x".repeat(limits::LOG_BUFFER_BYTES / 4);
        let outcomes: Vec<_> = (0..16).map(|_| say(&lines, false, &line)).collect();
        assert!(outcomes.iter().any(Result::is_err), "it was written, in vain");
        assert!(lines.gathered().bytes.len() < limits::LOG_BUFFER_BYTES);
    }
}
