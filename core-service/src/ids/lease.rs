//! A node number on lease: which node a generator mints on, and up to which instant.
//!
//! Before a core mints, it reserves: the row of its node says below which instant it mints
//! (`minted_until_ms`), and the generator stays below what has been committed there. Whoever takes the node
//! over names that very figure in the write that makes the node its own, and mints from there upwards; the
//! owner before it can reserve nothing more, because its renewals name an owner that no longer has the row. So
//! two cores never mint the same id, *whatever any clock says*: neither the argument nor the code compares
//! two clocks.
//!
//! The lease's end only says when a node may be taken over. It is judged by the database's clock, the one
//! that all cores share: a core whose own clock is fast does not take nodes from the living. If it happens
//! nevertheless (the database's clock jumped, a core was paused for long), the core that lost its node takes
//! another one at its next renewal, and uses up meanwhile what it had reserved.
//!
//! A core that cannot renew has ids for [`limits::NODE_LEASE_MS`] − [`limits::NODE_SPARE_MS`] more; then
//! [`IdGenerator::check`] says no until the database is back. A core that crashed leaves its node reserved for
//! some seconds ahead; the next one takes another node, and this one once its own clock has passed that
//! instant, so that ids stay roughly in the order of time. A core that is stopped gives back what it did not
//! use.

use super::store::{self, NodeRow, Terms};
use super::{EPOCH_MS, IdGenerator, MAX_NODE, MAX_SEQUENCE, Minted};
use crate::clock::Clock;
use crate::db::{Db, DbError, Failure};
use crate::{hex, limits};
use ed25519_compact::Seed;
use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;
use tokio::time::{sleep, timeout};
use tokio_util::sync::CancellationToken;

/// Random bytes that name an owner.
const OWNER_BYTES: usize = 16;

/// Why there is no node for this core.
#[derive(Debug, thiserror::Error)]
pub enum LeaseError {
    /// Every number is leased.
    #[error(
        "all {} node numbers are leased to running cores; stop one of them, or, if some crashed, \
         try again in {} s, when the first lease ends",
        MAX_NODE + 1,
        (.first_ends_ms + 999) / 1_000
    )]
    AllTaken {
        /// After how long the first lease ends, ms.
        first_ends_ms: i64,
    },
    /// Numbers are free, but ids were minted on each of them that this machine's clock calls future.
    #[error(
        "this machine's clock is {behind_ms} ms behind the ids in the ledger; set it right, or try again later"
    )]
    ClockBehind {
        /// By how much at least, ms.
        behind_ms: i64,
    },
    /// Others were faster, again and again.
    #[error("no node number could be leased because too many cores start at once; try again")]
    Contended,
    /// The database does not answer.
    #[error("the database does not answer")]
    Silent,
    /// The database failed.
    #[error(transparent)]
    Db(#[from] DbError),
}

/// How long leases run and when they are renewed: [`limits`], or shorter in tests.
#[derive(Debug, Clone, Copy)]
pub(super) struct Timing {
    pub(super) lease_ms: i64,
    pub(super) spare_ms: i64,
    pub(super) renew: Duration,
    pub(super) retry: Duration,
}

impl Default for Timing {
    fn default() -> Self {
        Self {
            lease_ms: limits::NODE_LEASE_MS,
            spare_ms: limits::NODE_SPARE_MS,
            renew: limits::NODE_RENEW,
            retry: limits::NODE_RETRY,
        }
    }
}

/// The lease of a node number, and the generator that mints on it.
pub struct NodeLease {
    db: Db,
    owner: String,
    ids: IdGenerator,
    timing: Timing,
}

impl NodeLease {
    /// Leases a free number for a core that starts.
    pub async fn take(db: Db, clock: Arc<dyn Clock>) -> Result<Self, LeaseError> {
        Self::take_for(db, clock, Timing::default()).await
    }

    pub(super) async fn take_for(
        db: Db,
        clock: Arc<dyn Clock>,
        timing: Timing,
    ) -> Result<Self, LeaseError> {
        let owner = hex::encode(&Seed::generate()[..OWNER_BYTES]);
        let ids = IdGenerator::new(clock, 0);
        // Nothing is reserved yet.
        *ids.minted() = Minted {
            node: 0,
            elapsed_ms: 0,
            sequence: MAX_SEQUENCE,
            until_ms: 0,
            spare_ms: timing.spare_ms,
        };
        let lease = Self { db, owner, ids, timing };
        let node = lease.move_to_another().await?;
        tracing::info!(node, "leased a node number");
        Ok(lease)
    }

    /// What mints on the leased node, whichever it is; it goes on across renewals and moves.
    pub fn ids(&self) -> IdGenerator {
        self.ids.clone()
    }

    /// Renews the lease in good time, until `stop`. What is reserved by then outlasts the stop's grace.
    pub async fn keep(&self, stop: CancellationToken) {
        stop.run_until_cancelled(self.keep_renewing()).await;
    }

    async fn keep_renewing(&self) {
        let mut failing = false;
        loop {
            self.pause(failing).await;
            let renewed = timeout(self.timing.renew, self.renew()).await;
            let problem = renewed.unwrap_or(Err(LeaseError::Silent)).err();
            match &problem {
                None if failing => tracing::info!("the lease of the node is renewed again"),
                Some(error) if !failing => {
                    tracing::warn!(%error, "the lease of the node is not renewed; trying on");
                }
                None | Some(_) => {}
            }
            failing = problem.is_some();
        }
    }

    /// Until the next renewal: soon after one that failed, at once if somebody waits for ids, never in a spin.
    async fn pause(&self, failing: bool) {
        sleep(self.timing.retry).await;
        if !failing {
            let rest = self.timing.renew.saturating_sub(self.timing.retry);
            _ = timeout(rest, self.ids.shared.wanted.notified()).await;
        }
    }

    /// Reserves ahead on the node; on another one if somebody has taken it over. [`Self::keep`] does it in time.
    pub async fn renew(&self) -> Result<(), LeaseError> {
        let node = self.ids.minted().node;
        let until_ms = self.ids.reserve_until_ms(self.timing.lease_ms);
        if self.rewrite(node, self.timing.lease_ms, until_ms).await? {
            self.ids.minted().extend(until_ms, self.timing.lease_ms);
            return Ok(());
        }
        let to = self.move_to_another().await?;
        tracing::warn!(
            node,
            to,
            "another core has taken over this core's node; moved to another one"
        );
        Ok(())
    }

    /// Ends the lease and gives back what was reserved and not used, for a core that stops: nothing is minted
    /// after it but by what outlived the stop's grace, for which [`limits::NODE_LEFT_MS`] is left.
    pub async fn release(&self) -> Result<(), DbError> {
        let (node, until_ms) = {
            let mut minted = self.ids.minted();
            minted.close();
            (minted.node, minted.until_ms + EPOCH_MS)
        };
        self.rewrite(node, 0, until_ms).await?;
        Ok(())
    }

    async fn rewrite(&self, node: i64, lease_ms: i64, until_ms: i64) -> Result<bool, DbError> {
        let terms = self.terms(lease_ms, until_ms);
        let mut tx = self.db.write().await?;
        let still_ours = store::rewrite(&mut tx, self.db.dialect(), node, terms).await?;
        tx.commit().await?;
        Ok(still_ours)
    }

    /// Takes a free number and mints on it from now on; returns it.
    async fn move_to_another(&self) -> Result<i64, LeaseError> {
        for attempt in 0..limits::NODE_TRIES {
            match self.try_to_move(attempt).await {
                Ok(Some(node)) => return Ok(node),
                Ok(None) => {}
                Err(LeaseError::Db(error)) if error.failure() == Failure::Conflict => {}
                Err(error) => return Err(error),
            }
        }
        Err(LeaseError::Contended)
    }

    /// `None` if somebody else was faster.
    async fn try_to_move(&self, attempt: usize) -> Result<Option<i64>, LeaseError> {
        let dialect = self.db.dialect();
        let mut tx = self.db.write().await?;
        let known = store::all(&mut tx, dialect).await?;
        let candidates = candidates(&known, self.ids.now_ms() + EPOCH_MS)?;
        // The lowest, so that few numbers are ever in use; after a lost race any, so that racers part.
        let chosen = if attempt == 0 { 0 } else { any_number() };
        let (node, found) = candidates[chosen % candidates.len()];
        let until_ms = self.ids.reserve_until_ms(self.timing.lease_ms);
        let terms = self.terms(self.timing.lease_ms, until_ms);
        match found {
            None => store::take_new(&mut tx, dialect, node, terms).await?,
            Some(found) => {
                if !store::take_over(&mut tx, dialect, found, terms).await? {
                    return Ok(None);
                }
            }
        }
        tx.commit().await?;
        let from_ms = found.map_or(EPOCH_MS, |found| found.minted_until_ms);
        self.ids.minted().move_to(node, from_ms, until_ms, self.timing.lease_ms);
        Ok(Some(node))
    }

    fn terms(&self, lease_ms: i64, minted_until_ms: i64) -> Terms<'_> {
        Terms { owner: &self.owner, lease_ms, minted_until_ms }
    }
}

/// The numbers that may be taken at `now_ms`, with their rows if they were ever leased; at least one.
fn candidates(known: &[NodeRow], now_ms: i64) -> Result<Vec<(i64, Option<&NodeRow>)>, LeaseError> {
    let rows: BTreeMap<i64, &NodeRow> = known.iter().map(|row| (row.node, row)).collect();
    let free = |row: &NodeRow| row.left_ms <= 0;
    let found: Vec<_> = (0..=MAX_NODE)
        .map(|node| (node, rows.get(&node).copied()))
        .filter(|(_, row)| row.is_none_or(|row| free(row) && row.minted_until_ms <= now_ms))
        .collect();
    if !found.is_empty() {
        return Ok(found);
    }
    let ahead = known.iter().filter(|row| free(row)).map(|row| row.minted_until_ms).min();
    Err(match ahead {
        Some(minted_until_ms) => LeaseError::ClockBehind { behind_ms: minted_until_ms - now_ms },
        None => {
            let first_ends_ms = known.iter().map(|row| row.left_ms).min().unwrap_or_default();
            LeaseError::AllTaken { first_ends_ms }
        }
    })
}

fn any_number() -> usize {
    let seed = Seed::generate();
    usize::from(u16::from_le_bytes([seed[0], seed[1]]))
}

/// Instants in these are ms since the Unix epoch.
impl IdGenerator {
    /// Up to where to reserve, `ahead_ms` from now or from the last id, whichever is later.
    fn reserve_until_ms(&self, ahead_ms: i64) -> i64 {
        let now_ms = self.now_ms();
        let minted = self.minted();
        (now_ms.max(minted.elapsed_ms) + ahead_ms).max(minted.until_ms) + EPOCH_MS
    }
}

impl Minted {
    /// Goes on up to `until_ms`, and nowhere below `lease_ms` before that: what the row says is past stays so, also if
    /// the clock is set back.
    fn extend(&mut self, until_ms: i64, lease_ms: i64) {
        self.until_ms = self.until_ms.max(until_ms - EPOCH_MS);
        let before_ms = until_ms - EPOCH_MS - lease_ms - 1;
        if before_ms > self.elapsed_ms {
            (self.elapsed_ms, self.sequence) = (before_ms, MAX_SEQUENCE);
        }
    }

    /// Goes on at `node`, above every id there (`from_ms`) and above its own last one.
    fn move_to(&mut self, node: i64, from_ms: i64, until_ms: i64, lease_ms: i64) {
        let before = self.elapsed_ms.max(from_ms - EPOCH_MS - 1);
        *self = Self { node, elapsed_ms: before, sequence: MAX_SEQUENCE, until_ms: 0, ..*self };
        self.extend(until_ms, lease_ms);
    }

    /// Keeps only what stragglers may need; `check` says no from now on.
    fn close(&mut self) {
        let until_ms = self.until_ms.min(self.elapsed_ms + 1 + limits::NODE_LEFT_MS);
        *self = Self { until_ms, spare_ms: until_ms, ..*self };
    }
}
