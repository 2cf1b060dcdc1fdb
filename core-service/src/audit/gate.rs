//! The gate's counters against the ledger.
//!
//! A counter runs ahead of the ledger by the requests that are on their way, and behind it by what is being told to
//! it; and what missed a move is repaired every [`limits::GATE_REPAIR`]. So one look proves nothing: a counter
//! that is off at the first look is looked at again after [`limits::AUDIT_GATE_PAUSE`], longer than a repair takes
//! to come, and counts as wrong if it is off by as much while its row of stock has not moved.

use super::since;
use super::store::{self, Counted, Kind};
use crate::db::{Db, DbError};
use crate::fast::{FastError, FastStore, GateTag};
use crate::limits;
use std::collections::BTreeMap;
use tiffin_api::audit::{AuditCheck, AuditExample, AuditGate, AuditGateState};
use tokio::time::{Instant, sleep};

const KINDS: [Kind; 2] = [Kind::Stores, Kind::Templates];

/// A counter that is off: the row that it should follow, and what it says.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Off {
    row: Counted,
    counter: i64,
}

/// Compares every counter.
pub(super) async fn compare(
    db: &Db,
    fast: Option<&dyn FastStore>,
) -> Result<(AuditGate, AuditCheck), DbError> {
    let started = Instant::now();
    let mut gate = AuditGate { state: AuditGateState::NotAsked, compared: 0, off: 0 };
    let mut wrong = Vec::new();
    if let Some(fast) = fast {
        gate.state = match look_twice(db, fast, &mut gate).await? {
            Ok(found) => {
                wrong = found;
                AuditGateState::Compared
            }
            Err(error) => {
                tracing::warn!(%error, "the gate could not be audited");
                AuditGateState::Unavailable
            }
        };
    }
    let examples = wrong.iter().take(limits::AUDIT_EXAMPLES).map(|off| AuditExample {
        rule: "counter = available".to_owned(),
        subject: match off.row.tag {
            GateTag::Store(store) => format!("store {store}, item {}", off.row.item),
            GateTag::Template(template) => format!("template {template}"),
        },
        found: Some(off.counter),
        expected: Some(off.row.available),
    });
    let check = AuditCheck {
        check: "gate".to_owned(),
        compares: "the gate's counters = units and claims left, where they are off for good"
            .to_owned(),
        rows: gate.compared,
        violations: wrong.len() as u64,
        examples: examples.collect(),
        took_ms: since(started),
    };
    Ok((gate, check))
}

/// The counters that are off at both looks. A fast store that fails is not the ledger's failure.
async fn look_twice(
    db: &Db,
    fast: &dyn FastStore,
    gate: &mut AuditGate,
) -> Result<Result<Vec<Off>, FastError>, DbError> {
    let mut suspects: BTreeMap<i64, Off> = BTreeMap::new();
    for kind in KINDS {
        let mut after = 0;
        loop {
            let page = store::page(&mut *db.read().await?, kind, after).await?;
            let Some(last) = page.last() else { break };
            after = last.item;
            let (compared, off) = match look(fast, page).await {
                Ok(seen) => seen,
                Err(error) => return Ok(Err(error)),
            };
            gate.compared += compared;
            gate.off += off.len() as u64;
            let room = limits::AUDIT_GATE_SUSPECTS - suspects.len();
            suspects.extend(off.into_iter().take(room).map(|off| (off.row.item, off)));
        }
    }
    if suspects.is_empty() {
        return Ok(Ok(Vec::new()));
    }
    sleep(limits::AUDIT_GATE_PAUSE).await;
    let mut wrong = Vec::new();
    for kind in KINDS {
        // Ids are unique among items and templates together: a kind finds its own.
        let items = suspects.keys().copied();
        let rows = store::some(&mut *db.read().await?, kind, items).await?;
        match look(fast, rows).await {
            Ok((_, off)) => wrong.extend(off),
            Err(error) => return Ok(Err(error)),
        }
    }
    wrong.retain(|off| suspects.get(&off.row.item) == Some(off));
    Ok(Ok(wrong))
}

/// How many of these rows have a counter, and which of those are off.
async fn look(fast: &dyn FastStore, rows: Vec<Counted>) -> Result<(u64, Vec<Off>), FastError> {
    let mut gates: BTreeMap<GateTag, Vec<Counted>> = BTreeMap::new();
    for row in rows {
        gates.entry(row.tag).or_default().push(row);
    }
    let (mut compared, mut off) = (0, Vec::new());
    for (tag, rows) in gates {
        let items: Vec<_> = rows.iter().map(|row| row.item).collect();
        let counters = fast.counters(tag, &items).await?;
        for (row, counter) in rows.into_iter().zip(counters) {
            // A counter that is missing refuses nobody.
            let Some(counter) = counter else { continue };
            compared += 1;
            if counter != row.available {
                off.push(Off { row, counter });
            }
        }
    }
    Ok((compared, off))
}
