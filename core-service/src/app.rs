//! What every handler and job shares.

use crate::audit::Auditor;
use crate::auth::keys::Keys;
use crate::auth::tokens::Tokens;
use crate::catalog::menus::Menus;
use crate::clock::Clock;
use crate::db::Db;
use crate::engine::Engine;
use crate::fast::guarded::Guarded;
use crate::fast::memory::Memory;
use crate::feed::Feed;
use crate::gate::Gate;
use crate::http::error::ApiError;
use crate::idempotency::in_flight::InFlight;
use crate::ids::{IdGenerator, NoLease};
use crate::payments::sandbox::Sandbox;
use crate::telemetry::Metrics;
use crate::{known_ids, limits};
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
    /// What sheds load and speeds reads.
    pub fast: Arc<Guarded>,
    /// Counts for this process alone.
    pub near: Memory,
    /// What is surely sold out is refused here.
    pub gate: Arc<Gate>,
    /// Menus, the merchants' part of which is cached.
    pub menus: Menus,
    /// New ids.
    pub ids: Arc<IdGenerator>,
    /// News for other programs.
    pub feed: Arc<Feed>,
    /// The known ids as edges were told them last.
    pub known_ids: known_ids::Shared,
    /// Secrets: they sign tokens, quotes and webhooks.
    pub keys: Arc<Keys>,
    /// Tokens that were verified lately.
    pub tokens: Tokens,
    /// Idempotency keys being worked on.
    pub in_flight: InFlight,
    /// The payment provider.
    pub sandbox: Sandbox,
    /// Counters.
    pub metrics: Metrics,
    /// Audits, one at a time.
    pub auditor: Auditor,
    /// Work that goes on when its client is gone; a stop waits for it before the ledger closes.
    pub tasks: TaskTracker,
    /// What the operator may choose.
    pub settings: Settings,
}

/// What the operator may choose.
#[derive(Debug, Clone, Copy)]
pub struct Settings {
    /// How long an order may stay unpaid, ms.
    pub pay_within_ms: i64,
    /// The most units that a user may hold in unpaid orders.
    pub held_units_cap: i64,
}

impl Default for Settings {
    fn default() -> Self {
        Self { pay_within_ms: limits::PAY_WITHIN_MS, held_units_cap: limits::HELD_UNITS }
    }
}

/// What a core is made of.
pub struct Parts {
    /// The time.
    pub clock: Arc<dyn Clock>,
    /// The ledger.
    pub db: Db,
    /// New ids.
    pub ids: Arc<IdGenerator>,
    /// The fast store.
    pub fast: Arc<Guarded>,
    /// Secrets.
    pub keys: Arc<Keys>,
    /// The payment provider.
    pub sandbox: Sandbox,
    /// What the operator may choose.
    pub settings: Settings,
}

impl App {
    /// An id for what a request is about to make; none while the node's lease is not sure.
    pub fn mint(&self) -> Result<i64, ApiError> {
        let unsure = |_: NoLease| ApiError::unavailable("the ledger cannot be reached");
        self.ids.check().map_err(unsure)?;
        Ok(self.ids.next())
    }

    /// Puts a core together and starts its lanes. Must be called within a tokio runtime.
    pub fn start(parts: Parts) -> Arc<Self> {
        let Parts { clock, db, ids, fast, keys, sandbox, settings } = parts;
        let near = Memory::new(Arc::clone(&clock));
        let gate = Gate::start(Arc::clone(&fast), db.clone());
        let feed = Arc::new(Feed::default());
        let (told, rung) = (Arc::clone(&gate), Arc::clone(&feed));
        let on_commit = move |committed: &_| {
            told.committed(committed);
            rung.ring();
        };
        let engine = Engine::start(db.clone(), Arc::clone(&clock), Arc::clone(&ids), on_commit);
        let menus = Menus::new(fast.clone(), Arc::clone(&clock), Arc::clone(&keys));
        let metrics = Metrics::default().watching(engine.meter(), gate.meter(), &menus);
        Arc::new(Self {
            clock,
            db,
            engine,
            fast,
            near,
            gate,
            menus,
            ids,
            feed,
            known_ids: known_ids::Shared::default(),
            keys,
            tokens: Tokens::default(),
            in_flight: InFlight::default(),
            sandbox,
            metrics,
            auditor: Auditor::default(),
            tasks: TaskTracker::new(),
            settings,
        })
    }
}

#[cfg(test)]
pub mod testing {
    //! A whole core on a temporary folder, with a clock that stands still.

    use super::*;
    use crate::clock::ManualClock;
    use crate::fast::FastStore;
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

    impl TestApp {
        /// Another core of the same ledger and clock.
        pub fn replica(&self, ids: IdGenerator, fast: Arc<dyn FastStore>) -> Arc<App> {
            start(self.app.db.clone(), &self.clock, ids, fast)
        }
    }

    fn start(
        db: Db,
        clock: &Arc<ManualClock>,
        ids: IdGenerator,
        fast: Arc<dyn FastStore>,
    ) -> Arc<App> {
        App::start(Parts {
            clock: clock.clone(),
            ids: Arc::new(ids),
            fast: Arc::new(Guarded::new(fast, clock.clone())),
            keys: Arc::new(Keys::from_parts([1; 32], [2; 32])),
            sandbox: Sandbox::new(db.clone()),
            settings: Settings::default(),
            db,
        })
    }

    /// A fresh, empty core with a fast store of its own, in process.
    pub async fn app() -> TestApp {
        let folder = tempfile::tempdir().expect("a temporary folder");
        let clock = Arc::new(ManualClock::at(NOW_MS));
        let db = Db::open(&crate::db::testing::fresh(folder.path())).await.expect("a fresh ledger");
        let ids = IdGenerator::new(clock.clone(), 1);
        let app = start(db, &clock, ids, Arc::new(Memory::new(clock.clone())));
        TestApp { app, clock, _folder: folder }
    }
}
