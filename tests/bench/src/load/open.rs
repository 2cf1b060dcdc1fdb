//! The open loop: requests at a fixed rate, whether or not the answers keep up. It finds the latency.
//!
//! Each latency counts from the moment at which the request was *meant* to be sent, so a server that
//! stalls is charged for those that had to wait, too (no coordinated omission).

use super::connection::{Connection, describe};
use super::tally::{Figures, Tally};
use super::{Requests, Window, until_answered};
use anyhow::Context as _;
use std::cell::{Cell, RefCell};
use std::collections::VecDeque;
use std::net::SocketAddr;
use std::time::{Duration, Instant};
use tokio::sync::Notify;
use tokio::time::sleep_until;

/// How the next request's moment is waited for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Pace {
    /// By a timer, which may be a millisecond late and costs next to nothing.
    Timer,
    /// By looking at the clock all the time: exact, and for a generator that has a processor to itself.
    Spin,
}

/// What is asked how often.
#[derive(Debug, Clone, Copy)]
pub struct Rate {
    /// Requests a second.
    pub per_s: f64,
    /// At most so many at a time.
    pub connections: usize,
    /// How exactly.
    pub pace: Pace,
}

/// Sends requests at `rate` until the window ends.
pub async fn run(
    servers: &[SocketAddr],
    rate: Rate,
    requests: &impl Requests,
    window: Window,
) -> anyhow::Result<Figures> {
    let mut opened = Vec::with_capacity(rate.connections);
    for address in servers.iter().cycle().take(rate.connections) {
        let connection = Connection::open(*address).await;
        opened.push(connection.with_context(|| format!("cannot connect to {address}"))?);
    }
    let start = Instant::now();
    let end = start + window.total();
    let tally = RefCell::new(Tally::new(start, window));
    let queue = Queue::default();
    let dispatcher = async {
        for ticket in 0.. {
            let meant = start + due(ticket, rate.per_s);
            if meant >= end {
                return queue.close();
            }
            match rate.pace {
                Pace::Timer => sleep_until(meant.into()).await,
                Pace::Spin => {
                    while Instant::now() < meant {
                        tokio::task::yield_now().await;
                    }
                }
            }
            queue.put(meant);
        }
    };
    let clients = opened.into_iter().map(async |mut connection| {
        while let Some(meant) = queue.take().await {
            tally.borrow_mut().begin();
            let answered = connection.ask(requests).await;
            let (now, mut tally) = (Instant::now(), tally.borrow_mut());
            match answered {
                // In the window is what was meant to be sent in it: a late answer counts all the more.
                Ok(outcome) => tally.answer(outcome, meant, now, meant),
                Err(error) => tally.fail(describe(&error)),
            }
        }
    });
    let clients = futures::future::join_all(clients);
    until_answered(futures::future::join(dispatcher, clients), end).await;
    Ok(tally.into_inner().figures())
}

/// Requests that are due, for whichever client is free.
#[derive(Default)]
struct Queue {
    due: RefCell<VecDeque<Instant>>,
    is_closed: Cell<bool>,
    news: Notify,
}

impl Queue {
    fn put(&self, meant: Instant) {
        self.due.borrow_mut().push_back(meant);
        self.news.notify_one();
    }

    fn close(&self) {
        self.is_closed.set(true);
        self.news.notify_waiters();
    }

    /// The next one; none once it is closed and empty.
    async fn take(&self) -> Option<Instant> {
        loop {
            // Before the look at the queue, so that no news between the two is missed.
            let news = self.news.notified();
            if let Some(meant) = self.due.borrow_mut().pop_front() {
                return Some(meant);
            }
            if self.is_closed.get() {
                return None;
            }
            news.await;
        }
    }
}

/// When the n-th request is due, from the start.
fn due(ticket: u32, rate_per_s: f64) -> Duration {
    Duration::from_secs_f64(f64::from(ticket) / rate_per_s)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn requests_are_due_evenly() {
        assert_eq!(due(0, 250.0), Duration::ZERO);
        assert_eq!(due(1, 250.0), Duration::from_millis(4));
        assert_eq!(due(2_500, 250.0), Duration::from_secs(10));
    }

    #[tokio::test]
    async fn a_busy_client_finds_what_came_meanwhile_and_all_hear_of_the_end() {
        let queue = Queue::default();
        let now = Instant::now();
        for _ in 0..3 {
            queue.put(now);
        }
        let client = async || {
            let mut taken = 0;
            while queue.take().await.is_some() {
                taken += 1;
                tokio::task::yield_now().await;
            }
            taken
        };
        let end = async {
            tokio::task::yield_now().await;
            queue.put(now);
            queue.close();
        };
        let (first, second, ()) = futures::future::join3(client(), client(), end).await;
        assert_eq!(first + second, 4);
    }
}
