//! Audits unasked: one core of a ledger, every [`limits::AUDIT_PERIOD`], as long as nobody is kept waiting by it.
//!
//! An audit reads whole tables, for tens of seconds where they are large, and whoever orders meanwhile is slowed
//! down. So one that is due waits for a quiet moment, within [`limits::AUDIT_PATIENCE`]; the load of other cores is
//! not known here.

use super::auditor;
use crate::app::App;
use crate::fast::FastStore as _;
use crate::limits;
use std::sync::Arc;
use tokio::time::{Instant, MissedTickBehavior, interval, sleep};
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
        let commands = || app.engine.meter().commands();
        if stop.run_until_cancelled(quiet(commands)).await.is_none() {
            return app.auditor.stop();
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

/// Waits until the engine has little to do, or has had much to do for too long. `commands` counts what it has done.
async fn quiet(commands: impl Fn() -> u64) {
    let deadline = Instant::now() + limits::AUDIT_PATIENCE;
    let mut before = commands();
    while Instant::now() < deadline {
        sleep(limits::AUDIT_LOOK).await;
        let now = commands();
        if now - before <= limits::AUDIT_QUIET_COMMANDS {
            return;
        }
        before = now;
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::Duration;

    /// How long an audit waits while `rate` commands are done each second until `until`.
    async fn waited(rate: u64, until: Duration) -> Duration {
        let started = Instant::now();
        quiet(|| started.elapsed().min(until).as_secs() * rate).await;
        started.elapsed()
    }

    #[tokio::test(start_paused = true)]
    async fn an_audit_waits_for_a_quiet_moment_but_not_for_ever() {
        let (rush, rush_end) = (10_000, Duration::from_secs(600));
        let look = limits::AUDIT_LOOK;
        assert!(waited(0, rush_end).await < look * 2, "nothing to do");
        assert!(waited(10, rush_end).await < look * 2, "little to do");
        let waited_for_the_end = waited(rush, rush_end).await;
        assert!(waited_for_the_end >= rush_end && waited_for_the_end <= rush_end + look * 2);
        let most = waited(rush, Duration::MAX).await;
        assert!(most >= limits::AUDIT_PATIENCE && most <= limits::AUDIT_PATIENCE + look * 2);
    }
}
