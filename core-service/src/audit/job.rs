//! Audits unasked: one core of a ledger, every [`limits::AUDIT_PERIOD`].

use super::auditor;
use crate::app::App;
use crate::fast::FastStore as _;
use crate::limits;
use std::sync::Arc;
use tokio::time::{MissedTickBehavior, interval};
use tokio_util::sync::CancellationToken;

/// Audits until `stop`, which also ends the audit in progress.
pub async fn run(app: Arc<App>, stop: CancellationToken) {
    let owner = app.ids.next().to_string();
    let mut period = interval(limits::AUDIT_PERIOD);
    period.set_missed_tick_behavior(MissedTickBehavior::Delay);
    // The first tick comes at once, when a core that just started has better things to do.
    period.tick().await;
    loop {
        tokio::select! {
            () = stop.cancelled() => return app.auditor.stop(),
            _ = period.tick() => {}
        }
        // Who cannot tell whether another one does it does it: an audit more does no harm.
        if app.fast.lease("audit", &owner, limits::AUDIT_LEASE).await == Ok(false) {
            continue;
        }
        // One that somebody asked for is as good.
        let Some(audit) = auditor::begin(&app) else { continue };
        tokio::select! {
            () = stop.cancelled() => return app.auditor.stop(),
            audited = audit => match audited {
                Ok(Ok(_)) => {}
                Ok(Err(error)) => tracing::error!(%error, "an audit has no report"),
                Err(error) => tracing::error!(%error, "an audit has no report"),
            },
        }
    }
}
