//! A bound on how often one place in a program may log.
//!
//! What goes wrong in a loop, a peer that sends nonsense or a disk that is full, is worth some lines and a count, not a
//! disk full of them. So each place may write [`limits::LOG_LINES_PER_PLACE`] lines in [`limits::LOG_WINDOW`]; what goes
//! beyond is counted, and told in one line when the window is over, also when nothing follows it. Not bounded here are
//! lines that have a bound of their own ([`OWN_BOUNDS`]), and those of levels that somebody asked for.

use std::collections::HashMap;
use std::fmt::Write as _;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Instant;

use tracing::callsite::Identifier;
use tracing::{Event, Level, Metadata, Subscriber};
use tracing_subscriber::Layer;
use tracing_subscriber::layer::Context;

use crate::limits;

/// Targets of lines whose number is bounded where they come from: one for each request, and what functions write.
const OWN_BOUNDS: [&str; 2] = [crate::log::ACCESS, "guest"];

/// How much each place has written.
#[derive(Clone, Default)]
pub(crate) struct Throttle(Arc<Mutex<HashMap<Identifier, Window>>>);

/// What one place has written lately.
struct Window {
    began: Instant,
    lines: u32,
    left_out: u64,
    place: &'static Metadata<'static>,
}

/// Lines that were not written.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct LeftOut {
    pub(crate) count: u64,
    pub(crate) place: String,
}

impl Throttle {
    /// Whether a line may be written.
    fn admits(&self, place: &'static Metadata<'static>, now: Instant) -> bool {
        if OWN_BOUNDS.contains(&place.target()) || *place.level() > Level::INFO {
            return true;
        }
        let mut windows = self.windows();
        let fresh = || Window { began: now, lines: 0, left_out: 0, place };
        let window = windows.entry(place.callsite()).or_insert_with(fresh);
        // What was left out is told first: until then the window goes on.
        if window.left_out == 0 && now.duration_since(window.began) >= limits::LOG_WINDOW {
            *window = fresh();
        }
        let is_admitted = window.lines < limits::LOG_LINES_PER_PLACE;
        match is_admitted {
            true => window.lines += 1,
            false => window.left_out += 1,
        }
        is_admitted
    }

    /// Takes out what is to be told: of windows that are over, or of all of them.
    pub(crate) fn take(&self, now: Instant, all: bool) -> Vec<LeftOut> {
        let mut told = Vec::new();
        self.windows().retain(|_, window| {
            let is_over = all || now.duration_since(window.began) >= limits::LOG_WINDOW;
            if is_over && window.left_out > 0 {
                let mut place = window.place.target().to_owned();
                if let Some(line) = window.place.line() {
                    _ = write!(place, ":{line}");
                }
                told.push(LeftOut { count: window.left_out, place });
            }
            !is_over
        });
        told
    }

    fn windows(&self) -> MutexGuard<'_, HashMap<Identifier, Window>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl<S: Subscriber> Layer<S> for Throttle {
    fn event_enabled(&self, event: &Event<'_>, _: Context<'_, S>) -> bool {
        self.admits(event.metadata(), Instant::now())
    }
}

#[cfg(test)]
mod tests {
    use std::sync::{Arc, Mutex};

    use tracing_subscriber::layer::SubscriberExt as _;

    use super::*;

    /// Remembers the places that lines come from.
    struct Places(Arc<Mutex<Vec<&'static Metadata<'static>>>>);

    impl<S: Subscriber> Layer<S> for Places {
        fn on_event(&self, event: &Event<'_>, _: Context<'_, S>) {
            self.0.lock().unwrap().push(event.metadata());
        }
    }

    fn lines(throttle: &Throttle, say: impl Fn()) -> usize {
        let written = Arc::default();
        let subscriber = tracing_subscriber::registry()
            .with(throttle.clone())
            .with(Places(Arc::clone(&written)));
        tracing::subscriber::with_default(subscriber, say);
        written.lock().unwrap().len()
    }

    #[test]
    fn a_loop_writes_some_lines_and_a_count() {
        let throttle = Throttle::default();
        let bound = limits::LOG_LINES_PER_PLACE as usize;
        let written = lines(&throttle, || {
            for _ in 0..10_000 {
                tracing::warn!("again");
            }
            tracing::warn!("another place");
        });
        assert_eq!(written, bound + 1);
        assert_eq!(throttle.take(Instant::now(), false), [], "the window is not over");
        let later = Instant::now() + limits::LOG_WINDOW;
        let told = throttle.take(later, false);
        assert_eq!(told.len(), 1);
        assert_eq!(told[0].count, 10_000 - bound as u64);
        assert!(told[0].place.starts_with("tiffin_process::throttle::tests:"), "{told:?}");
        assert_eq!(throttle.take(later, true), [], "told once");
    }

    #[test]
    fn requests_and_what_somebody_asked_for_are_not_counted() {
        let throttle = Throttle::default();
        let many = 5 * limits::LOG_LINES_PER_PLACE as usize;
        let written = lines(&throttle, || {
            for _ in 0..many {
                tracing::info!(target: crate::log::ACCESS, "request");
                tracing::debug!("a detail");
            }
        });
        assert_eq!(written, 2 * many);
        assert_eq!(throttle.take(Instant::now(), true), []);
    }

    #[test]
    fn a_place_may_write_again_when_its_window_is_over() {
        let throttle = Throttle::default();
        let seen = Arc::default();
        let subscriber = tracing_subscriber::registry().with(Places(Arc::clone(&seen)));
        tracing::subscriber::with_default(subscriber, || tracing::info!("once"));
        let place = seen.lock().unwrap()[0];
        let begin = Instant::now();
        let admitted = |at| (0..1_000).filter(|_| throttle.admits(place, at)).count();
        let bound = limits::LOG_LINES_PER_PLACE as usize;
        assert_eq!(admitted(begin), bound);
        let later = begin + limits::LOG_WINDOW;
        assert_eq!(throttle.take(later, false).len(), 1);
        assert_eq!(admitted(later), bound);
    }
}
