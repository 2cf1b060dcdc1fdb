//! The closed loop: so many clients, each asking again as soon as it is answered. It finds the throughput.

use super::connection::{Connection, describe};
use super::tally::{Figures, Tally};
use super::{Requests, Window, until_answered};
use anyhow::Context as _;
use std::cell::RefCell;
use std::net::SocketAddr;
use std::time::Instant;

/// Asks with `clients` clients, spread evenly over the servers, until the window ends; every request that
/// was begun is answered before this returns.
pub async fn run(
    servers: &[SocketAddr],
    clients: usize,
    requests: &impl Requests,
    window: Window,
) -> anyhow::Result<Figures> {
    let mut connections = Vec::with_capacity(clients);
    for address in servers.iter().cycle().take(clients) {
        let opened = Connection::open(*address).await;
        connections.push(opened.with_context(|| format!("cannot connect to {address}"))?);
    }
    let start = Instant::now();
    let end = start + window.total();
    let tally = RefCell::new(Tally::new(start, window));
    let clients = connections.into_iter().map(async |mut connection| {
        loop {
            let asked = Instant::now();
            if asked >= end {
                return;
            }
            tally.borrow_mut().begin();
            let answered = connection.ask(requests).await;
            let (now, mut tally) = (Instant::now(), tally.borrow_mut());
            match answered {
                Ok(outcome) => tally.answer(outcome, asked, now, now),
                Err(error) => tally.fail(describe(&error)),
            }
        }
    });
    until_answered(futures::future::join_all(clients), end).await;
    Ok(tally.into_inner().figures())
}
