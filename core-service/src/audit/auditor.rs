//! Runs one audit at a time in this core, as a task that outlives whoever asked, and keeps the last report.

use crate::app::App;
use crate::db::DbError;
use crate::limits;
use std::sync::{Arc, Mutex, PoisonError};
use tiffin_api::audit::AuditReport;
use tokio::sync::Semaphore;
use tokio::task::JoinHandle;
use tokio::time::timeout;
use tokio_util::sync::CancellationToken;

/// Why an audit has no report.
#[derive(Debug, thiserror::Error)]
pub enum AuditError {
    /// The ledger could not be read.
    #[error(transparent)]
    Db(#[from] DbError),
    /// It took longer than [`limits::AUDIT_TIMEOUT`].
    #[error("it took longer than {} s and was given up", limits::AUDIT_TIMEOUT.as_secs())]
    TooLong,
    /// The core stops.
    #[error("the core stops")]
    Stopped,
}

/// What an audit comes to.
pub type Audited = Result<Arc<AuditReport>, AuditError>;

/// The place of the audit in progress, and the last report.
#[derive(Debug)]
pub struct Auditor {
    place: Arc<Semaphore>,
    last: Mutex<Option<Arc<AuditReport>>>,
    stop: CancellationToken,
}

impl Default for Auditor {
    fn default() -> Self {
        Self {
            place: Arc::new(Semaphore::new(1)),
            last: Mutex::default(),
            stop: CancellationToken::new(),
        }
    }
}

impl Auditor {
    /// The last report, of this core's audits.
    pub fn last(&self) -> Option<Arc<AuditReport>> {
        self.last.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Ends the audit in progress, and every later one, without a report.
    pub fn stop(&self) {
        self.stop.cancel();
    }
}

/// Begins an audit, unless one is in progress. It goes on if nobody waits for it any more.
pub fn begin(app: &Arc<App>) -> Option<JoinHandle<Audited>> {
    let place = Arc::clone(&app.auditor.place).try_acquire_owned().ok()?;
    let app = Arc::clone(app);
    Some(tokio::spawn(async move {
        let _place = place;
        audit(&app).await
    }))
}

/// Audits, keeps the report and tells the metrics and the log.
async fn audit(app: &App) -> Audited {
    let work = super::run(&app.db, Some(app.fast.as_ref()), app.clock.now_ms());
    let report = tokio::select! {
        report = timeout(limits::AUDIT_TIMEOUT, work) => report.map_err(|_| AuditError::TooLong)??,
        () = app.auditor.stop.cancelled() => return Err(AuditError::Stopped),
    };
    let report = Arc::new(report);
    app.metrics.audited(&report);
    for check in report.checks.iter().filter(|check| check.violations > 0) {
        let (violations, examples) = (check.violations, &check.examples);
        tracing::error!(check = check.check, violations, ?examples, "the audit found something");
    }
    let last = Some(Arc::clone(&report));
    *app.auditor.last.lock().unwrap_or_else(PoisonError::into_inner) = last;
    Ok(report)
}
