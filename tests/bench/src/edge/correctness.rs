//! What a cache has to get right under load: one fetch for all who ask, no errors without its origin, and nothing of
//! before after a purge. The peers are put through what they offer, too; purges by tag only edge-node has.

use super::config;
use super::measure::get_request;
use super::origin::{self, Origin};
use super::plan::Plan;
use super::server::Server;
use crate::limits;
use crate::load::connection::{Connection, describe};
use crate::load::response::Answer;
use crate::progress::Progress;
use crate::report::round;
use anyhow::{Context as _, ensure};
use futures::future::{join, join_all, try_join_all};
use hdrhistogram::Histogram;
use serde::Serialize;
use std::cell::{Cell, RefCell};
use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::time::{Duration, Instant};
use tokio::sync::Barrier;
use tokio::time::{sleep, timeout};

/// What one server got right and wrong.
#[derive(Debug, Clone, Default, PartialEq, Serialize)]
pub struct Correctness {
    /// The server's name.
    pub system: &'static str,
    /// The most fetches that one crowd caused that asked for what nobody had asked for before.
    pub fetches_per_cold_key: u64,
    /// The most fetches that one crowd caused that asked for what had just expired.
    pub fetches_per_expiry: u64,
    /// Requests for cached keys while the origin was away.
    pub outage_answers: u64,
    /// Those that were not answered with the document.
    pub outage_errors: BTreeMap<String, u64>,
}

/// What became of purges.
#[derive(Debug, Clone, Default, PartialEq, Serialize)]
pub struct Purges {
    /// Purges while a crowd asked as fast as it was answered.
    pub crowd_purges: u64,
    /// Answers to that crowd.
    pub crowd_answers: u64,
    /// Answers to requests that were sent after a purge was acknowledged, with what had been before it.
    pub stale_answers: u64,
    /// Purges whose visibility was timed, while a few clients asked.
    pub timed_purges: u64,
    /// From the origin's change, over the purge and its acknowledgement, to the first answer with it: the median, ms.
    pub visible_p50_ms: f64,
    /// The 99th percentile, ms.
    pub visible_p99_ms: f64,
}

/// Puts one server to the test. The origin is away for a while and back at the end.
pub async fn run(
    server: &Server,
    origin: &mut Origin,
    plan: &Plan,
    progress: &mut Progress,
) -> anyhow::Result<Correctness> {
    let started = Instant::now();
    let (mut cold, mut expired) = (0, 0);
    for crowd in 0..if plan.quick { limits::CROWDS_QUICK } else { limits::CROWDS } {
        let target = format!(
            "/origin/crowd?ttl={}&delay={}&key={}-{crowd}",
            limits::SHORT_TTL_S,
            limits::CROWD_DELAY_MS,
            server.name
        );
        cold = cold.max(fetches_of_crowd(server, origin, &target).await?);
        sleep(Duration::from_secs(limits::SHORT_TTL_S.into()) + EXPIRED_FOR).await;
        expired = expired.max(fetches_of_crowd(server, origin, &target).await?);
    }
    let (outage_answers, outage_errors) = outage(server, origin, plan).await?;
    let system = server.name;
    let found = Correctness {
        system,
        fetches_per_cold_key: cold,
        fetches_per_expiry: expired,
        outage_answers,
        outage_errors,
    };
    let errors: u64 = found.outage_errors.values().sum();
    progress.found(
        started.elapsed(),
        &format!(
            "{system}: {cold} fetches for a new key and {expired} for an expired one, {} clients; {errors} errors \
             in {outage_answers} answers without an origin",
            limits::EDGE_CROWD
        ),
    );
    Ok(found)
}

/// How long something has been expired when it is asked for again.
const EXPIRED_FOR: Duration = Duration::from_millis(200);

/// Has a crowd ask for one target at one moment; how often the origin was asked for it then.
async fn fetches_of_crowd(server: &Server, origin: &Origin, target: &str) -> anyhow::Result<u64> {
    let before = origin.fetches(target);
    let request = get_request(target);
    let barrier = Barrier::new(limits::EDGE_CROWD);
    let clients = (0..limits::EDGE_CROWD).map(async |_| {
        let mut connection = Connection::open(server.address()).await?;
        barrier.wait().await;
        let write = |buffer: &mut Vec<u8>| request.clone_into(buffer);
        let status = connection.exchange(write, |answer| answer.status).await?;
        ensure!(status == 200, "{} answered {target} with {status}", server.name);
        Ok(())
    });
    let all = timeout(limits::ANSWER_WITHIN, try_join_all(clients)).await;
    all.with_context(|| format!("{} left a crowd waiting", server.name))??;
    Ok(origin.fetches(target) - before)
}

/// Fills the cache, takes the origin away and asks for what is there, fresh at first and then expired.
async fn outage(
    server: &Server,
    origin: &mut Origin,
    plan: &Plan,
) -> anyhow::Result<(u64, BTreeMap<String, u64>)> {
    let (ttl, sie) = (limits::SHORT_TTL_S, limits::STALE_IF_ERROR_S);
    let requests: Vec<_> = (0..limits::OUTAGE_KEYS)
        .map(|key| get_request(&format!("/origin/outage?ttl={ttl}&sie={sie}&key={key}")))
        .collect();
    let answers = Cell::new(0);
    let mut connection = Connection::open(server.address()).await?;
    for request in &requests {
        let write = |buffer: &mut Vec<u8>| request.clone_into(buffer);
        let status = connection.exchange(write, |answer| answer.status).await?;
        ensure!(status == 200, "{} did not fill its cache: {status}", server.name);
    }
    origin.go_away();
    let end = Instant::now() + if plan.quick { limits::OUTAGE_QUICK } else { limits::OUTAGE };
    let errors = RefCell::new(BTreeMap::new());
    let clients = (0..limits::EDGE_CONNECTIONS).map(async |client| {
        let mut connection = Connection::open(server.address()).await?;
        let keys = requests.iter().cycle().skip(client);
        for request in keys.take_while(|_| Instant::now() < end) {
            let write = |buffer: &mut Vec<u8>| request.clone_into(buffer);
            let is_whole = |answer: Answer<'_>| match (answer.status, origin::version(answer.body))
            {
                (200, Some(_)) => Ok(()),
                (status, _) => Err(format!("status {status}")),
            };
            let asked = timeout(limits::ANSWER_WITHIN, connection.exchange(write, is_whole)).await;
            let failure = match asked {
                Ok(Ok(Ok(()))) => None,
                Ok(Ok(Err(wrong))) => Some(wrong),
                Ok(Err(error)) => Some(describe(&error)),
                Err(_) => Some("no answer in time".to_owned()),
            };
            answers.set(answers.get() + 1);
            if let Some(failure) = failure {
                *errors.borrow_mut().entry(failure).or_default() += 1;
            }
        }
        anyhow::Ok(())
    });
    let asked = try_join_all(clients).await;
    origin.come_back().await?;
    asked?;
    Ok((answers.get(), errors.into_inner()))
}

/// Purges edge-node while a crowd asks, then while a few clients ask.
pub async fn purges(
    server: &Server,
    origin: &Origin,
    plan: &Plan,
    progress: &mut Progress,
) -> anyhow::Result<Purges> {
    let started = Instant::now();
    let admin = server.admin.context("only edge-node is purged")?;
    let run = PurgeRun::new(server.address(), admin, origin);
    let crowd_for =
        if plan.quick { limits::PURGE_CROWD_FOR_QUICK } else { limits::PURGE_CROWD_FOR };
    let crowd = run.while_asked_by(limits::EDGE_CROWD, usize::MAX, crowd_for).await?;
    let count = if plan.quick { limits::PURGES_QUICK } else { limits::PURGES };
    let timed = run.while_asked_by(limits::PURGE_CLIENTS, count, limits::ANSWER_WITHIN).await?;
    let at = |quantile| round(timed.visible_us.value_at_quantile(quantile) as f64 / 1_000.0, 3);
    let found = Purges {
        crowd_purges: crowd.visible_us.len(),
        crowd_answers: crowd.answers,
        stale_answers: crowd.stale + timed.stale,
        timed_purges: timed.visible_us.len(),
        visible_p50_ms: at(0.5),
        visible_p99_ms: at(0.99),
    };
    progress.found(
        started.elapsed(),
        &format!(
            "{} stale answers in {} after {} purges; visible after {:.2} ms, p99 {:.2} ms",
            found.stale_answers,
            found.crowd_answers,
            found.crowd_purges,
            found.visible_p50_ms,
            found.visible_p99_ms
        ),
    );
    Ok(found)
}

/// Clients that ask for one document, and one who changes it and purges.
struct PurgeRun<'a> {
    server: SocketAddr,
    origin: &'a Origin,
    get: Vec<u8>,
    purge: Vec<u8>,
    admin: SocketAddr,
    /// The oldest version that may still be seen by whoever asks now.
    acknowledged: Cell<u64>,
}

struct PurgeTally {
    answers: u64,
    stale: u64,
    visible_us: Histogram<u64>,
}

impl<'a> PurgeRun<'a> {
    fn new(server: SocketAddr, admin: SocketAddr, origin: &'a Origin) -> Self {
        let get = get_request(&format!("/origin/purged?ttl={}", limits::HIT_TTL_S));
        let purge = config::purge_request(admin);
        Self { server, origin, get, purge, admin, acknowledged: Cell::new(0) }
    }

    /// Purges `count` times or for so long, whichever ends first, while so many clients ask.
    async fn while_asked_by(
        &self,
        clients: usize,
        count: usize,
        at_most: Duration,
    ) -> anyhow::Result<PurgeTally> {
        let (answers, stale, is_over) = (Cell::new(0), Cell::new(0), Cell::new(false));
        let end = Instant::now() + at_most;
        let ask = async |_| {
            let mut connection = Connection::open(self.server).await?;
            while !is_over.get() {
                let oldest = self.acknowledged.get();
                let seen = self.version(&mut connection).await?;
                answers.set(answers.get() + 1);
                stale.set(stale.get() + u64::from(seen < oldest));
            }
            anyhow::Ok(())
        };
        let purger = async {
            let purged = self.purge_until(count, end).await;
            is_over.set(true);
            purged
        };
        let (asked, visible_us) = join(join_all((0..clients).map(ask)), purger).await;
        asked.into_iter().collect::<anyhow::Result<()>>()?;
        Ok(PurgeTally { answers: answers.get(), stale: stale.get(), visible_us: visible_us? })
    }

    /// Changes the document and purges it, again and again; how long each change took to be seen.
    async fn purge_until(&self, count: usize, end: Instant) -> anyhow::Result<Histogram<u64>> {
        let mut visible_us = Histogram::new_with_bounds(1, limits::LATENCY_US, 3)?;
        let mut client = Connection::open(self.server).await?;
        let mut admin = Connection::open(self.admin).await?;
        for _ in 0..count {
            if Instant::now() >= end {
                break;
            }
            let changed = Instant::now();
            let version = self.origin.publish();
            let write = |buffer: &mut Vec<u8>| self.purge.clone_into(buffer);
            let status = admin.exchange(write, |answer| answer.status).await?;
            ensure!(status == 204, "a purge was answered with {status}");
            self.acknowledged.set(version);
            // Were it never seen, the whole run would wait: a later answer counts as seen, too.
            while self.version(&mut client).await? < version {
                ensure!(changed.elapsed() < limits::ANSWER_WITHIN, "version {version} is not seen");
            }
            visible_us.saturating_record(u64::try_from(changed.elapsed().as_micros())?);
            sleep(limits::PURGE_PAUSE).await;
        }
        Ok(visible_us)
    }

    async fn version(&self, connection: &mut Connection) -> anyhow::Result<u64> {
        let write = |buffer: &mut Vec<u8>| self.get.clone_into(buffer);
        let read = |answer: Answer<'_>| match (answer.status, origin::version(answer.body)) {
            (200, Some(version)) => Ok(version),
            (status, _) => Err(status),
        };
        let seen = timeout(limits::ANSWER_WITHIN, connection.exchange(write, read)).await??;
        seen.map_err(|status| anyhow::anyhow!("a read between purges was answered with {status}"))
    }
}

/// What should not have been, in words.
pub fn faults(found: &Correctness) -> Vec<String> {
    let mut faults = Vec::new();
    for (fetches, of_what) in
        [(found.fetches_per_cold_key, "a new key"), (found.fetches_per_expiry, "an expired key")]
    {
        if fetches != 1 {
            faults.push(format!("{}: {of_what} was fetched {fetches} times", found.system));
        }
    }
    for (error, count) in &found.outage_errors {
        faults.push(format!("{}: {count} errors without an origin: {error}", found.system));
    }
    faults
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_second_fetch_and_an_error_are_faults() {
        let good = Correctness {
            system: "edge-node",
            fetches_per_cold_key: 1,
            fetches_per_expiry: 1,
            ..Correctness::default()
        };
        assert_eq!(faults(&good), [""; 0]);
        let outage_errors = BTreeMap::from([("status 502".to_owned(), 3)]);
        let bad = Correctness { fetches_per_expiry: 2, outage_errors, ..good };
        assert_eq!(
            faults(&bad),
            [
                "edge-node: an expired key was fetched 2 times",
                "edge-node: 3 errors without an origin: status 502"
            ]
        );
    }
}
