//! `edge-node top`: a running node, watched in a terminal.
//!
//! It reads what any other tool can read, `/metrics` and `/readyz` of the admin port, so it needs nothing of the node's
//! and may watch one of another version. `openmetrics` reads the text, `model` makes rates of two moments, `view` draws;
//! those are pure. Here are the clock, the network and the terminal, which is restored however this ends.

mod fetch;
mod model;
mod openmetrics;
mod view;

use std::collections::VecDeque;
use std::io::{self, IsTerminal as _};
use std::net::SocketAddr;
use std::time::{Duration, Instant};

use ratatui::DefaultTerminal;
use ratatui::crossterm::event::{self, Event, KeyCode, KeyEventKind, KeyModifiers};
use tokio::signal::unix::{SignalKind, signal};
use tokio::sync::mpsc;

use self::fetch::Fetcher;
use self::model::{Snapshot, View};
use crate::limits;

/// Why nothing can be shown.
#[derive(Debug, thiserror::Error)]
pub enum TopError {
    /// The node does not answer; only without a terminal, as one that watches waits for it.
    #[error("no answer from http://{admin} ({reason}); name the node's admin address with --admin")]
    NoAnswer {
        /// The address asked.
        admin: SocketAddr,
        /// What happened instead.
        reason: String,
    },
    /// There is no terminal.
    #[error("standard output is not a terminal; use --once for plain text")]
    NoTerminal,
    /// The terminal does not work.
    #[error("the terminal cannot be used: {0}")]
    Terminal(#[from] io::Error),
}

/// What the node says now, as text. Numbers are those since its start.
///
/// # Errors
/// When it does not answer.
pub async fn once(admin: SocketAddr) -> Result<String, TopError> {
    let snapshot = Fetcher::new(admin).fetch().await;
    let snapshot = snapshot.map_err(|reason| TopError::NoAnswer { admin, reason })?;
    Ok(view::plain(&model::view(None, &snapshot)))
}

/// Watches the node until somebody presses `q` or Ctrl-C.
///
/// # Errors
/// When there is no terminal to draw on. A node that does not answer is shown as such, and asked again.
pub async fn watch(admin: SocketAddr) -> Result<(), TopError> {
    if !io::stdout().is_terminal() {
        return Err(TopError::NoTerminal);
    }
    let mut terminate = signal(SignalKind::terminate())?;
    let mut interrupt = signal(SignalKind::interrupt())?;
    // Also restored by a panic: ratatui's hook sees to it.
    let mut terminal = ratatui::try_init()?;
    let outcome = tokio::select! {
        outcome = draw_until_quit(&mut terminal, admin) => outcome,
        _ = terminate.recv() => Ok(()),
        _ = interrupt.recv() => Ok(()),
    };
    ratatui::restore();
    outcome
}

async fn draw_until_quit(
    terminal: &mut DefaultTerminal,
    admin: SocketAddr,
) -> Result<(), TopError> {
    let (told, mut news) = mpsc::channel(1);
    let asker = tokio::spawn(async move {
        let fetcher = Fetcher::new(admin);
        // Ends when nobody listens any more.
        while told.send(fetcher.fetch().await).await.is_ok() {
            tokio::time::sleep(limits::TOP_INTERVAL).await;
        }
    });
    let mut events = terminal_events();
    let mut watched = Watched::new(admin);
    loop {
        terminal.draw(|frame| {
            view::draw(frame, &watched.view, &watched.status, watched.is_failing);
        })?;
        tokio::select! {
            Some(heard) = news.recv() => watched.hear(heard),
            event = events.recv() => match event {
                Some(event) if !is_quit(&event) => {}
                Some(_) | None => break,
            },
        }
    }
    asker.abort();
    Ok(())
}

/// What is known of the node.
struct Watched {
    admin: SocketAddr,
    /// The last moments, the oldest first: rates are over all of them.
    snapshots: VecDeque<Snapshot>,
    view: View,
    status: String,
    is_failing: bool,
}

impl Watched {
    fn new(admin: SocketAddr) -> Self {
        let view = View { readiness: "no answer yet".to_owned(), ..View::default() };
        let status = format!("q quits | asking http://{admin}");
        Self { admin, snapshots: VecDeque::new(), view, status, is_failing: false }
    }

    fn hear(&mut self, heard: Result<Snapshot, String>) {
        let admin = self.admin;
        self.is_failing = heard.is_err();
        match heard {
            Ok(snapshot) => {
                self.view = model::view(self.snapshots.front(), &snapshot);
                self.snapshots.push_back(snapshot);
                if self.snapshots.len() > limits::TOP_MOMENTS {
                    self.snapshots.pop_front();
                }
                self.status = format!("q quits | http://{admin}");
            }
            Err(reason) => {
                // What comes back may be another process.
                self.snapshots.clear();
                self.view.readiness = "away".to_owned();
                self.status =
                    format!("q quits | no answer from http://{admin}, asking again: {reason}");
            }
        }
    }
}

/// Keys and changes of size. Reading them blocks, so they have a thread, which ends soon after the receiver.
fn terminal_events() -> mpsc::Receiver<Event> {
    let (told, events) = mpsc::channel(16);
    std::thread::spawn(move || {
        while !told.is_closed() {
            match event::poll(limits::TOP_EVENT_WAIT) {
                Ok(false) => {}
                Ok(true) => {
                    let Ok(event) = event::read() else { return };
                    if told.blocking_send(event).is_err() {
                        return;
                    }
                }
                Err(_) => return,
            }
        }
    });
    events
}

fn is_quit(event: &Event) -> bool {
    let Event::Key(key) = event else { return false };
    let is_interrupt =
        key.code == KeyCode::Char('c') && key.modifiers.contains(KeyModifiers::CONTROL);
    key.kind == KeyEventKind::Press && (key.code == KeyCode::Char('q') || is_interrupt)
}

/// Time since this process first asked for it.
fn now() -> Duration {
    static START: std::sync::OnceLock<Instant> = std::sync::OnceLock::new();
    START.get_or_init(Instant::now).elapsed()
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use ratatui::crossterm::event::{Event, KeyCode, KeyEvent, KeyModifiers};

    use super::openmetrics::Metrics;
    use super::{Snapshot, Watched, is_quit};

    #[test]
    fn a_node_that_goes_away_is_shown_and_comes_back() {
        let snapshot = |seconds, total: u64| {
            let text = format!("edge_requests_total{{route=\"/\",component=\"a\"}} {total}");
            let at = Duration::from_secs(seconds);
            Snapshot { at, readiness: "ready".to_owned(), metrics: Metrics::parse(&text) }
        };
        let mut watched = Watched::new("127.0.0.1:1".parse().unwrap());
        watched.hear(Ok(snapshot(0, 100)));
        watched.hear(Ok(snapshot(2, 300)));
        assert_eq!(watched.view.total.requests_per_second, Some(100.0));
        watched.hear(Err("refused".to_owned()));
        assert_eq!((watched.is_failing, watched.view.readiness.as_str()), (true, "away"));
        assert!(watched.status.ends_with("asking again: refused"), "{}", watched.status);
        watched.hear(Ok(snapshot(9, 400)));
        assert_eq!((watched.is_failing, watched.view.readiness.as_str()), (false, "ready"));
        assert_eq!(watched.view.total.requests_per_second, None, "no rate across a gap");
    }

    #[test]
    fn q_and_ctrl_c_quit() {
        let key = |code, modifiers| Event::Key(KeyEvent::new(KeyCode::Char(code), modifiers));
        assert!(is_quit(&key('q', KeyModifiers::NONE)));
        assert!(is_quit(&key('c', KeyModifiers::CONTROL)));
        assert!(!is_quit(&key('c', KeyModifiers::NONE)));
        assert!(!is_quit(&Event::Resize(80, 25)));
    }
}
