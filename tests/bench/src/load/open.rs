//! The open loop: requests at a fixed rate, whether or not the answers keep up. It finds the latency.
//!
//! Each latency counts from the moment at which the request was *meant* to be sent, so a server that
//! stalls is charged for those that had to wait, too (no coordinated omission).

use super::Window;
use super::connection::{Connection, describe};
use super::request::Requests;
use super::tally::{Figures, Tally};
use super::until_answered;
use anyhow::Context as _;
use std::cell::{Cell, RefCell};
use std::net::SocketAddr;
use std::time::{Duration, Instant};
use tokio::time::sleep_until;

/// Sends `rate_per_s` requests a second over at most `connections` connections until the window ends.
pub async fn run(
    servers: &[SocketAddr],
    connections: usize,
    rate_per_s: f64,
    requests: &Requests<'_>,
    window: Window,
) -> anyhow::Result<Figures> {
    let mut opened = Vec::with_capacity(connections);
    for address in servers.iter().cycle().take(connections) {
        let connection = Connection::open(*address).await;
        opened.push(connection.with_context(|| format!("cannot connect to {address}"))?);
    }
    let start = Instant::now();
    let end = start + window.total();
    let tally = RefCell::new(Tally::new(start, window));
    let next = Cell::new(0_u32);
    let clients = opened.into_iter().map(async |mut connection| {
        loop {
            let ticket = next.replace(next.get() + 1);
            let meant = start + due(ticket, rate_per_s);
            if meant >= end {
                return;
            }
            sleep_until(meant.into()).await;
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
    until_answered(clients, end).await;
    Ok(tally.into_inner().figures())
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
}
