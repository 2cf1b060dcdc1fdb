//! The core's feed: one connection, over which the node hears what has changed and purges it.
//!
//! While there is a connection, what the core committed is gone from this node some milliseconds later. While there is
//! none, entries live by their own short time, and the node goes on: it says that it is degraded, not that it is not
//! ready, because a balancer that took away each node without a feed would turn a core's bad minute into an outage of
//! the reads that need no core. When the connection is back, the node reads what it has missed, and only what it
//! cannot learn that way makes it doubt all it has.
//!
//! `connection` is one answer that does not end, `sse` makes events of it, `follower` applies them, `status` is what
//! the admin port says. Invariants: at most one connection at a time; waits are bounded, so a peer that is gone
//! without a word is noticed after [`limits::FEED_IDLE`]; no event is passed over without either being applied or
//! everything being purged softly.

mod connection;
mod follower;
mod options;
mod sse;
mod status;

use std::sync::Arc;
use std::time::Duration;

use tokio::time::{Instant, timeout};

use self::connection::Connection;
pub(crate) use self::connection::{Ask, Lost};
use self::follower::Follower;
pub use self::options::{FeedError, FeedOptions, FeedToken};
use self::sse::Parser;
pub(crate) use self::status::{FeedMetrics, Status};
use crate::backoff::{doubled, shrunk};
use crate::cache::Cache;
use crate::known::Known;
use crate::limits;

/// Follows the feed for as long as the task lives.
pub(crate) async fn follow(
    options: FeedOptions,
    cache: Arc<Cache>,
    known: Arc<Known>,
    status: Arc<Status>,
) {
    let mut follower = Follower::new(cache, known, Arc::clone(&status));
    status.down(None);
    let (mut turn, mut failures) = (0, 0_u32);
    loop {
        let core = &options.cores()[turn % options.cores().len()];
        let lost = match connect(core, options.token(), &mut follower).await {
            Ok((mut connection, parser)) => {
                let since = Instant::now();
                let lost = read(&mut connection, parser, &mut follower).await;
                // A core that greets and then hangs up, again and again, is not to be hurried.
                if since.elapsed() >= limits::FEED_MAX_RETRY && !follower.is_lost() {
                    failures = 0;
                }
                lost
            }
            Err(lost) => {
                // The next core may be better.
                turn += 1;
                lost
            }
        };
        let reason = format!("{core}: {lost}");
        if failures == 0 || status.is_up() {
            tracing::warn!(reason, sequence = follower.position(), "the feed is down");
        } else {
            tracing::debug!(reason, failures, "the feed is still down");
        }
        status.down(Some(reason));
        tokio::time::sleep(pause(failures, options.cores().len())).await;
        failures = failures.saturating_add(1);
    }
}

/// A connection that has greeted, with what its parser has begun to read.
async fn connect(
    core: &http::Uri,
    token: &FeedToken,
    follower: &mut Follower,
) -> Result<(Connection, Parser), Lost> {
    let token = token.header().await?;
    let mut connection = Connection::open(core, token.as_ref(), follower.position()).await?;
    let mut parser = Parser::default();
    let greeting = async {
        loop {
            let piece = connection.piece(limits::FEED_IDLE).await?;
            let mut parsed = parser.read(&piece)?.into_iter();
            if let Some(first) = parsed.next() {
                follower.greet(&first)?;
                follower.connected();
                parsed.for_each(|event| follower.apply(event));
                return Ok(());
            }
        }
    };
    timeout(limits::FEED_GREETING_TIMEOUT, greeting)
        .await
        .unwrap_or(Err(Lost::GreetingTimeout))
        .map(|()| (connection, parser))
}

/// Applies what comes until nothing more does.
async fn read(connection: &mut Connection, mut parser: Parser, follower: &mut Follower) -> Lost {
    loop {
        let parsed = match connection.piece(limits::FEED_IDLE).await {
            Ok(piece) => parser.read(&piece),
            Err(lost) => return lost,
        };
        match parsed {
            Ok(parsed) => {
                for event in parsed {
                    follower.apply(event);
                    if follower.is_lost() {
                        return Lost::Nonsense;
                    }
                }
            }
            Err(endless) => return endless.into(),
        }
    }
}

/// How long to wait after so many failures in a row. The first round through the cores is quick: the feed is what
/// keeps answers true. Each later one waits twice as long as the one before, and every wait is shrunk at random.
fn pause(failures: u32, cores: usize) -> Duration {
    let rounds = failures / u32::try_from(cores).unwrap_or(u32::MAX).max(1);
    shrunk(doubled(limits::FEED_FIRST_RETRY, rounds, limits::FEED_MAX_RETRY))
}

#[cfg(test)]
mod tests {
    use super::pause;
    use crate::limits;

    #[test]
    fn waits_double_with_each_round_through_the_cores_and_are_bounded() {
        let bounds = |failures, cores| {
            let waits: Vec<_> = (0..200).map(|_| pause(failures, cores)).collect();
            (*waits.iter().min().unwrap(), *waits.iter().max().unwrap())
        };
        for (failures, cores, times) in [(0, 1, 1), (1, 2, 1), (1, 1, 2), (5, 2, 4), (3, 1, 8)] {
            let (shortest, longest) = bounds(failures, cores);
            let expected = limits::FEED_FIRST_RETRY * times;
            assert!(shortest >= expected / 2 && longest <= expected, "{failures} of {cores}");
            assert!(shortest < longest, "all alike");
        }
        assert!(bounds(u32::MAX, 1).1 <= limits::FEED_MAX_RETRY);
    }
}
