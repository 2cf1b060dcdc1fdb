//! The audit: proves from the tables that the ledger agrees with itself, and the gate's counters with it.
//!
//! A [`Check`] is a name and some [`Rule`]s, each a query for the rows that break it; [`store`] has them all.
//! What news says is packed, so orders are compared with it in [`store::news`] instead. All of them run one after the other in one read transaction, so they speak of one moment, take no locks and may run
//! beside any load. The gate is compared afterwards ([`gate`]), because its counters know no snapshots.
//!
//! Cost: every check reads the tables that it compares once, grouped: stock, orders, lines, payments, coupons
//! (seconds for a million orders, with one connection and one processor of the database). What would have to
//! parse every order's snapshot or news is bounded to the newest [`limits::AUDIT_SNAPSHOTS`]. So one audit runs at a time
//! in a core ([`auditor`]), and one core of a ledger does it by itself every [`limits::AUDIT_PERIOD`] ([`job`]).
//!
//! Invariants: an audit writes nothing; what it cannot compare it reports as such and never as a violation.

pub mod auditor;
pub mod command;
mod gate;
mod http;
pub mod job;
mod report;
pub mod store;

pub use auditor::Auditor;
pub use http::routes;
pub use store::{Check, Rule};

use crate::db::{Db, DbError};
use crate::fast::FastStore;
use crate::limits;
use tiffin_api::audit::{AuditCheck, AuditReport};
use tokio::time::Instant;

/// Audits a ledger, and the gate's counters in `fast` if there is one.
pub async fn run(
    db: &Db,
    fast: Option<&dyn FastStore>,
    as_of_ms: i64,
) -> Result<AuditReport, DbError> {
    let started = Instant::now();
    let mut conn = db.read().await?;
    conn.be_patient(limits::AUDIT_TIMEOUT);
    // On MySQL the reading connections repeat reads: the first query fixes what all of them see.
    let mut tx = conn.begin().await?;
    let mut checks = Vec::new();
    for check in store::checks() {
        checks.push(examine(&mut tx, check).await?);
    }
    checks.push(examine_news(&mut tx).await?);
    let money = store::money::totals(&mut tx).await?;
    tx.rollback().await?;
    drop(conn);
    let (gate, found) = gate::compare(db, fast).await?;
    checks.push(found);
    let clean = checks.iter().all(|check| check.violations == 0);
    Ok(AuditReport { clean, as_of_ms, took_ms: since(started), checks, money, gate })
}

/// Applies the rules of one check.
async fn examine(conn: &mut crate::db::Conn, check: &Check) -> Result<AuditCheck, DbError> {
    let started = Instant::now();
    let rows = store::count(conn, check).await?;
    let (mut violations, mut examples) = (0, Vec::new());
    for rule in check.rules {
        let broken = store::broken(conn, rule, limits::AUDIT_EXAMPLES - examples.len()).await?;
        violations += broken.violations;
        examples.extend(broken.examples);
    }
    Ok(AuditCheck {
        check: check.name.to_owned(),
        compares: check.compares.to_owned(),
        rows,
        violations,
        examples,
        took_ms: since(started),
    })
}

/// Compares orders with what the feed and the outbox say of them.
async fn examine_news(conn: &mut crate::db::Conn) -> Result<AuditCheck, DbError> {
    let started = Instant::now();
    let compared = store::news::compare(conn).await?;
    let broken = compared.broken();
    Ok(AuditCheck {
        check: "news".to_owned(),
        compares: "the newest orders have news in the feed or on its way, the newest of it of their version"
            .to_owned(),
        rows: compared.orders(),
        violations: broken.violations,
        examples: broken.examples,
        took_ms: since(started),
    })
}

/// The time since `started`, ms.
fn since(started: Instant) -> u64 {
    u64::try_from(started.elapsed().as_millis()).unwrap_or(u64::MAX)
}
