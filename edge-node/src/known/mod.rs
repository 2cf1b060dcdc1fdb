//! Which ids exist, as the core says: what spares a function the trip for an id that nothing has.
//!
//! The core's filter ([`tiffin_api::known_ids`]) denies an id only if it can never come to be, so one that is old costs
//! trips and never a wrong 404. The node therefore goes on with what it has while the feed or the core is away. It drops
//! it where another ledger may be behind the core's address: when a feed greets, because a ledger does not change under
//! a connection, and when a feed is reset; and after [`limits::KNOWN_IDS_LIFE`], up to which the core's promise about
//! ids to come holds. Then it is fetched anew.
//!
//! Functions ask by a key of their stores (`host/node_keys`). Invariants: what was begun to be fetched before a drop is
//! not used after it; what cannot be read or relied on counts as a failure, and leaves what is there.

mod fetch;
mod status;

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tiffin_api::known_ids::Existence;
use tokio::sync::Notify;
use tokio::time::{Instant, timeout};

use self::fetch::{FetchError, Fetched, fetch};
pub(crate) use self::status::KnownMetrics;
use crate::backoff::{doubled, shrunk};
use crate::feed::FeedOptions;
use crate::limits;
use crate::metrics::Metrics;

/// What the core has said last.
pub(crate) struct Known {
    said: Mutex<Said>,
    /// Rung when it is to be fetched anew.
    wanted: Notify,
    metrics: Arc<Metrics>,
}

#[derive(Default)]
struct Said {
    existence: Option<(Arc<Existence>, Instant)>,
    /// How often it was dropped.
    drops: u64,
}

impl Known {
    /// Nothing is known, and so nothing denied.
    pub(crate) fn new(metrics: Arc<Metrics>) -> Self {
        Self { said: Mutex::default(), wanted: Notify::new(), metrics }
    }

    /// Whether nothing of this kind has the id, now or later.
    pub(crate) fn denies(&self, kind: &str, id: i64) -> bool {
        let existence = {
            let said = self.lock();
            let valid = |(_, since): &&(_, Instant)| since.elapsed() < limits::KNOWN_IDS_LIFE;
            said.existence.as_ref().filter(valid).map(|(existence, _)| Arc::clone(existence))
        };
        let denied = existence.is_some_and(|existence| existence.denies(kind, id));
        self.metrics.known.answered(denied);
        denied
    }

    /// Drops what is known: another ledger may be there now.
    pub(crate) fn doubt(&self) {
        {
            let mut said = self.lock();
            said.existence = None;
            said.drops += 1;
            self.metrics.known.dropped();
        }
        self.wanted.notify_one();
    }

    /// Lets go of what may no longer be used.
    fn forget_past(&self) {
        let mut said = self.lock();
        let is_past = |(_, since): &(_, Instant)| since.elapsed() >= limits::KNOWN_IDS_LIFE;
        if said.existence.take_if(|known| is_past(known)).is_some() {
            self.metrics.known.dropped();
        }
    }

    fn drops(&self) -> u64 {
        self.lock().drops
    }

    /// Takes up what was fetched since `began`, when the drops were `drops`. Whether it did.
    fn learn(&self, fetched: Fetched, began: Instant, drops: u64) -> bool {
        let mut said = self.lock();
        if said.drops != drops {
            return false;
        }
        // Told under the lock, so that the metrics never show what was dropped.
        self.metrics.known.learned(fetched.ids, fetched.as_of_ms);
        said.existence = Some((Arc::new(fetched.existence), began));
        true
    }

    fn lock(&self) -> MutexGuard<'_, Said> {
        self.said.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Fetches what the core says, now and then, for as long as the task lives.
pub(crate) async fn follow(options: FeedOptions, known: Arc<Known>) {
    let (mut turn, mut failures) = (0_usize, 0_u32);
    loop {
        let core = &options.cores()[turn % options.cores().len()];
        let (began, drops) = (Instant::now(), known.drops());
        let fetched = timeout(limits::KNOWN_IDS_TIMEOUT, fetch(core, options.token())).await;
        let pause = match fetched.unwrap_or(Err(FetchError::Timeout)) {
            Ok(fetched) => {
                let ids = fetched.ids;
                if known.learn(fetched, began, drops) && failures > 0 {
                    tracing::info!(ids, "the known ids are fetched again");
                }
                failures = 0;
                limits::KNOWN_IDS_REFRESH
            }
            Err(error) => {
                known.metrics.known.failed();
                known.forget_past();
                let reason = format!("{core}: {error}");
                if failures == 0 {
                    tracing::warn!(reason, "the known ids cannot be fetched; the core is asked");
                } else {
                    tracing::debug!(reason, failures, "the known ids can still not be fetched");
                }
                turn += 1;
                let pause = retry_pause(failures);
                failures = failures.saturating_add(1);
                pause
            }
        };
        // A bell that was rung while it was fetched is heard at once.
        _ = timeout(shrunk(pause), known.wanted.notified()).await;
    }
}

fn retry_pause(failures: u32) -> Duration {
    doubled(limits::KNOWN_IDS_FIRST_RETRY, failures, limits::KNOWN_IDS_REFRESH)
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;
    use std::time::Duration;

    use tiffin_api::known_ids::{Existence, FORMAT, IdFilter, KnownIds};
    use tokio::time::Instant;

    use super::{Fetched, Known, retry_pause, shrunk};
    use crate::limits;
    use crate::metrics::Metrics;

    fn known() -> Known {
        Known::new(Arc::new(Metrics::new()))
    }

    fn fetched(stores: &[i64]) -> Fetched {
        let kinds = [("store".to_owned(), IdFilter::of(stores, 1))].into();
        let open = i64::MAX;
        let document =
            KnownIds { format: FORMAT, as_of_ms: 0, open_from: open, open_to: open, kinds };
        Fetched { existence: Existence::read(&document).unwrap(), ids: stores.len(), as_of_ms: 0 }
    }

    #[tokio::test(start_paused = true)]
    async fn nothing_is_denied_before_it_is_known_nor_after_its_time_nor_in_doubt() {
        let known = known();
        assert!(!known.denies("store", 8));
        let learn = || known.learn(fetched(&[7]), Instant::now(), known.drops());
        assert!(learn());
        assert!(known.denies("store", 8));
        assert!(!known.denies("store", 7) && !known.denies("deal", 8));

        tokio::time::advance(limits::KNOWN_IDS_LIFE - Duration::from_millis(1)).await;
        assert!(known.denies("store", 8), "also while nothing newer can be had");
        tokio::time::advance(Duration::from_millis(1)).await;
        assert!(!known.denies("store", 8));

        assert!(learn());
        assert!(known.denies("store", 8));
        known.doubt();
        assert!(!known.denies("store", 8));
    }

    #[tokio::test]
    async fn what_was_asked_before_a_doubt_is_not_believed_after_it() {
        let known = known();
        let (began, drops) = (Instant::now(), known.drops());
        known.doubt();
        assert!(!known.learn(fetched(&[7]), began, drops));
        assert!(!known.denies("store", 8));
        known.wanted.notified().await;
    }

    #[test]
    fn pauses_double_and_are_bounded_and_differ() {
        assert_eq!(retry_pause(0), limits::KNOWN_IDS_FIRST_RETRY);
        assert_eq!(retry_pause(2), limits::KNOWN_IDS_FIRST_RETRY * 4);
        assert_eq!(retry_pause(u32::MAX), limits::KNOWN_IDS_REFRESH);
        let pauses: Vec<_> = (0..200).map(|_| shrunk(limits::KNOWN_IDS_REFRESH)).collect();
        let (shortest, longest) = (pauses.iter().min().unwrap(), pauses.iter().max().unwrap());
        assert!(
            *shortest >= limits::KNOWN_IDS_REFRESH / 2 && *longest <= limits::KNOWN_IDS_REFRESH
        );
        assert!(shortest < longest, "all alike");
    }
}
