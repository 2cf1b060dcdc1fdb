//! What every handler and job shares.

use crate::auth::keys::Keys;
use crate::clock::Clock;
use crate::db::Db;
use crate::engine::Engine;
use crate::idempotency::in_flight::InFlight;
use crate::ids::IdGenerator;
use crate::payments::sandbox::Sandbox;
use crate::telemetry::Metrics;
use std::sync::Arc;
use tokio_util::task::TaskTracker;

/// The running core.
pub struct App {
    /// The time.
    pub clock: Arc<dyn Clock>,
    /// The ledger.
    pub db: Db,
    /// Every write that touches orders, stock and money goes through it.
    pub engine: Engine,
    /// New ids.
    pub ids: Arc<IdGenerator>,
    /// Secrets: they sign tokens, quotes and webhooks.
    pub keys: Arc<Keys>,
    /// Idempotency keys being worked on.
    pub in_flight: InFlight,
    /// The payment provider.
    pub sandbox: Sandbox,
    /// Counters.
    pub metrics: Metrics,
    /// Work that goes on when its client is gone; a stop waits for it before the ledger closes.
    pub tasks: TaskTracker,
    /// How long an order may stay unpaid, ms.
    pub pay_within_ms: i64,
    /// The most units that a user may hold in unpaid orders.
    pub held_units_cap: i64,
}

#[cfg(test)]
pub mod testing {
    //! A whole core on a temporary folder, with a clock that stands still.

    use super::*;
    use crate::clock::ManualClock;
    use crate::limits;
    use std::ops::Deref;
    use tempfile::TempDir;

    /// 2026-11-25T12:00:00Z, a Wednesday.
    pub const NOW_MS: i64 = 1_795_608_000_000;

    /// The app, its clock, and the folder that goes away with it.
    pub struct TestApp {
        /// The app, as handlers get it.
        pub app: Arc<App>,
        /// Its clock.
        pub clock: Arc<ManualClock>,
        _folder: TempDir,
    }

    impl Deref for TestApp {
        type Target = Arc<App>;

        fn deref(&self) -> &Arc<App> {
            &self.app
        }
    }

    /// A fresh, empty core.
    pub async fn app() -> TestApp {
        let folder = tempfile::tempdir().expect("a temporary folder");
        let clock = Arc::new(ManualClock::at(NOW_MS));
        let db = Db::open(&crate::db::testing::fresh(folder.path())).await.expect("a fresh ledger");
        let ids = Arc::new(IdGenerator::new(clock.clone(), 1));
        let app = Arc::new(App {
            engine: Engine::start(db.clone(), clock.clone(), Arc::clone(&ids), || {}),
            clock: clock.clone(),
            ids,
            keys: Arc::new(Keys::from_parts([1; 32], [2; 32])),
            in_flight: InFlight::default(),
            sandbox: Sandbox::new(db.clone()),
            metrics: Metrics::default(),
            tasks: TaskTracker::new(),
            pay_within_ms: limits::PAY_WITHIN_MS,
            held_units_cap: limits::HELD_UNITS,
            db,
        });
        TestApp { app, clock, _folder: folder }
    }
}
