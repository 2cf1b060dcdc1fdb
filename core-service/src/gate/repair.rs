//! The gate heals by itself: what missed a move is loaded anew, and a sweep compares every counter with the ledger.
//!
//! Under load a counter runs ahead of the ledger by what is on its way, so one difference says nothing. A counter
//! that lies off in two sweeps in a row is set to what the ledger has; if it was right after all, it is then too
//! high by what was on its way, which costs trips to the ledger, and each of these sets it right.

use super::{Gate, store};
use crate::db::DbError;
use crate::fast::guarded::Drift;
use crate::fast::{FastStore as _, GateTag};
use crate::limits;
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use tokio::time::sleep;
use tokio_util::sync::CancellationToken;

/// What a sweep found.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Swept {
    /// Counters that were compared.
    pub compared: u64,
    /// Those that differed from the ledger.
    pub off: u64,
    /// Those that were set.
    pub repaired: u64,
}

/// Repairs until `stop`.
pub async fn run(gate: Arc<Gate>, owner: String, stop: CancellationToken, seen: impl Fn(Swept)) {
    let mut repairer = Repairer::new(owner);
    loop {
        tokio::select! {
            () = stop.cancelled() => return,
            () = sleep(limits::GATE_REPAIR) => {}
        }
        if let Some(swept) = repairer.round(&gate).await {
            seen(swept);
        }
    }
}

/// Who repairs the gate, round by round.
#[derive(Debug)]
pub struct Repairer {
    owner: String,
    sweep: Sweep,
}

impl Repairer {
    /// `owner` tells this core from others.
    pub fn new(owner: String) -> Self {
        Self { owner, sweep: Sweep::default() }
    }

    /// One round: what missed a move is loaded anew, and everything is compared. What that found, if it was this
    /// core's turn to compare.
    pub async fn round(&mut self, gate: &Gate) -> Option<Swept> {
        gate.mend_drift().await;
        // Several cores may do it; one is enough. If nobody can tell, there is nothing to repair either.
        let ours = gate.fast.lease("gate-repair", &self.owner, limits::GATE_REPAIR_LEASE).await;
        if ours != Ok(true) {
            return None;
        }
        let swept = self.sweep.run(gate).await;
        swept
            .inspect_err(
                |error| tracing::warn!(%error, "the gate could not be compared with the ledger"),
            )
            .ok()
    }
}

impl Gate {
    /// Loads the gates anew that missed a move.
    pub async fn mend_drift(&self) {
        let Drift { gates, everything } = self.fast.take_drift();
        let mut again = Drift { gates: BTreeSet::new(), everything };
        for tag in gates {
            if !self.mend(tag).await {
                again.gates.insert(tag);
            }
        }
        // Of everything, each sweep finds what is off.
        again.everything = false;
        self.fast.put_drift(again);
    }

    async fn mend(&self, tag: GateTag) -> bool {
        let left = match tag {
            GateTag::Store(store) => store::all_left(&self.db, store).await,
            GateTag::Template(template) => store::claims_left(&self.db, template).await,
        };
        match left {
            Ok(left) if left.is_empty() => true,
            Ok(left) => self.fast.load(tag, &left, true).await.is_ok(),
            Err(_) => false,
        }
    }
}

/// Compares every counter with the ledger, again and again.
#[derive(Debug, Default)]
pub struct Sweep {
    /// What was off the last time, by gate and item.
    suspects: BTreeSet<(GateTag, i64)>,
}

impl Sweep {
    /// One comparison of everything.
    pub async fn run(&mut self, gate: &Gate) -> Result<Swept, DbError> {
        let mut round =
            Round { gate, before: &self.suspects, off: BTreeSet::new(), swept: Swept::default() };
        round.stock().await?;
        round.claims().await?;
        let Round { off, swept, .. } = round;
        self.suspects = off;
        Ok(swept)
    }
}

/// One comparison in progress.
struct Round<'a> {
    gate: &'a Gate,
    /// What was off the last time.
    before: &'a BTreeSet<(GateTag, i64)>,
    /// What is off for the first time.
    off: BTreeSet<(GateTag, i64)>,
    swept: Swept,
}

impl Round<'_> {
    async fn stock(&mut self) -> Result<(), DbError> {
        let mut after = (0, 0);
        loop {
            let page = store::page(&self.gate.db, after).await?;
            let Some(last) = page.last() else { return Ok(()) };
            after = (last.store, last.item);
            let mut stores: BTreeMap<i64, Vec<(i64, i64)>> = BTreeMap::new();
            for left in page {
                stores.entry(left.store).or_default().push((left.item, left.available));
            }
            for (store, left) in stores {
                self.compare(GateTag::Store(store), &left).await;
            }
        }
    }

    async fn claims(&mut self) -> Result<(), DbError> {
        let mut after = 0;
        loop {
            let (page, last) = store::claims_page(&self.gate.db, after).await?;
            for (template, left) in page {
                self.compare(GateTag::Template(template), &[(template, left)]).await;
            }
            match last {
                Some(last) => after = last,
                None => return Ok(()),
            }
        }
    }

    async fn compare(&mut self, tag: GateTag, left: &[(i64, i64)]) {
        let items: Vec<_> = left.iter().map(|(item, _)| *item).collect();
        let Ok(counters) = self.gate.fast.counters(tag, &items).await else { return };
        let mut repair = Vec::new();
        for ((item, available), counter) in left.iter().zip(counters) {
            let Some(counter) = counter else { continue };
            self.swept.compared += 1;
            if counter == *available {
                continue;
            }
            self.swept.off += 1;
            if self.before.contains(&(tag, *item)) {
                repair.push((*item, *available));
            } else {
                self.off.insert((tag, *item));
            }
        }
        if !repair.is_empty() && self.gate.fast.load(tag, &repair, true).await.is_ok() {
            self.swept.repaired += repair.len() as u64;
        }
    }
}
