//! A core from its start to its end: the real engine on a real SQLite file, and everything that can happen to
//! the two.
//!
//! A crash keeps what a killed process leaves: the files as they are at that moment, copied from under the
//! running engine. Whatever the old life does after that is lost, and the next one opens the copy.

use crate::frail::Frail;
use crate::history::Fault;
use crate::setup::Terms;
use crate::store;
use core_service::catalog::store::{import, known};
use core_service::catalog::upload;
use core_service::clock::ManualClock;
use core_service::coupons::commands::MakeTemplate;
use core_service::db::{Db, DbError, Location};
use core_service::engine::{Committed, Engine, FailPoint, Step};
use core_service::fast::guarded::Guarded;
use core_service::gate::Gate;
use core_service::gate::repair::Repairer;
use core_service::ids::IdGenerator;
use core_service::ids::lease::NodeLease;
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use tiffin_api::id::{CouponTemplateId, StoreId};
use tokio::sync::Notify;

/// Below this length the write-ahead log has not been folded into the file yet: SQLite does that at 1,000 pages
/// of 4 KiB (<https://sqlite.org/wal.html#automatic_checkpoint>).
const WAL_UNFOLDED_BYTES: u64 = 900 * 4_096;

/// What goes wrong with the batch in progress, and what has come of it.
#[derive(Debug)]
struct Plan {
    fault: Fault,
    /// How often it still stumbles.
    stumbles: u8,
    /// Commits that took effect.
    commits: usize,
    /// It has died: nothing works any more.
    dead: bool,
    /// The length of the write-ahead log before the commit.
    wal_bytes: u64,
}

/// Where a life is kept and what is planned for it.
struct Fate {
    folder: PathBuf,
    next: PathBuf,
    plan: Mutex<Plan>,
    /// Told of every failure after which the engine waits before it tries again.
    stumbled: Notify,
}

/// A running core.
pub(crate) struct Life {
    /// The engine.
    pub(crate) engine: Engine,
    /// The ledger.
    pub(crate) db: Db,
    /// New ids.
    pub(crate) ids: Arc<IdGenerator>,
    /// The node that they are minted on.
    pub(crate) lease: NodeLease,
    /// What stands before the engine.
    pub(crate) gate: Arc<Gate>,
    /// Who keeps that in step with the ledger.
    pub(crate) repairer: Repairer,
    fate: Arc<Fate>,
}

impl Life {
    /// Opens the ledger in `root`'s folder of this number, as the program does at its start, and a gate over `fast`.
    pub(crate) async fn begin(
        root: &Path,
        number: usize,
        clock: &Arc<ManualClock>,
        fast: &Arc<Frail>,
    ) -> anyhow::Result<Self> {
        let folder = |number: usize| root.join(format!("life-{number}"));
        let (folder, next) = (folder(number), folder(number + 1));
        fs::create_dir_all(&folder)?;
        let db = Db::open(&Location::file(&ledger(&folder))).await?;
        // Whoever had the node before is dead; what it reserved is not free until the clock has passed it.
        store::end_leases(&db).await?;
        let lease = NodeLease::take(db.clone(), clock.clone()).await?;
        let ids = Arc::new(lease.ids());
        let plan = Plan { fault: Fault::None, stumbles: 0, commits: 0, dead: false, wal_bytes: 0 };
        let (plan, stumbled) = (Mutex::new(plan), Notify::new());
        let fate = Arc::new(Fate { folder, next, plan, stumbled });
        let fail_point: FailPoint = {
            let fate = Arc::clone(&fate);
            Arc::new(move |step| fate.pass(step))
        };
        let fast = Arc::new(Guarded::new(Arc::<Frail>::clone(fast), clock.clone()));
        let gate = Gate::start(fast, db.clone());
        gate.known.fill(&db).await?;
        let told = Arc::clone(&gate);
        let on_commit = move |committed: &Committed| told.committed(committed);
        let (ledger, now) = (db.clone(), clock.clone());
        let engine = Engine::start_failing(ledger, now, Arc::clone(&ids), on_commit, fail_point);
        let repairer = Repairer::new(format!("life-{number}"));
        Ok(Self { engine, db, ids, lease, gate, repairer, fate })
    }

    /// Loads a merchant's rows.
    pub(crate) async fn import(&self, rows: &str, now_ms: i64) -> anyhow::Result<()> {
        let (upload, faults) = upload::read(rows.as_bytes());
        let mut tx = self.db.write().await?;
        let known = known::load_known(&mut tx, &upload.store_refs()).await?;
        let unresolved = upload.unresolved(&known);
        anyhow::ensure!(faults.is_empty() && unresolved.is_empty(), "{faults:?} {unresolved:?}");
        import::apply(&mut tx, &self.ids, upload.into_batches(), known, now_ms).await?;
        Ok(tx.commit().await?)
    }

    /// Makes the kinds of coupons; returns their ids.
    pub(crate) async fn make_templates(&self, kinds: &[Terms]) -> anyhow::Result<Vec<i64>> {
        let mut made = Vec::new();
        for (kind, terms) in kinds.iter().enumerate() {
            let id = self.ids.next();
            let terms = serde_json::from_value(terms.document(kind))?;
            let make = MakeTemplate { id: CouponTemplateId::from_raw(id), terms };
            let answer = self.engine.submit(StoreId::from_raw(id), make).await;
            anyhow::ensure!(answer.is_ok(), "a coupon template was refused: {answer:?}");
            made.push(id);
        }
        Ok(made)
    }

    /// Plans what goes wrong with the next batch.
    pub(crate) fn plan(&self, fault: Fault) {
        let mut plan = self.fate.lock();
        plan.fault = fault;
        plan.commits = 0;
        plan.stumbles = if let Fault::Stumble(_, times) = fault { times } else { 0 };
    }

    /// Waits until a batch has failed and the engine is about to wait before it tries again.
    pub(crate) async fn stumbled(&self) {
        self.fate.stumbled.notified().await;
    }

    /// How many commits took effect since the last plan.
    pub(crate) fn commits(&self) -> usize {
        self.fate.lock().commits
    }

    /// Whether it died.
    pub(crate) fn is_dead(&self) -> bool {
        self.fate.lock().dead
    }

    /// Dies here and now, unless it has.
    pub(crate) fn kill(&self) -> anyhow::Result<()> {
        let mut plan = self.fate.lock();
        if !plan.dead {
            plan.dead = true;
            self.fate.leave_remains()?;
        }
        Ok(())
    }

    /// Lets go of what a dead life still holds.
    pub(crate) async fn bury(self) -> anyhow::Result<()> {
        drop(self.engine);
        self.db.close().await;
        Ok(fs::remove_dir_all(&self.fate.folder)?)
    }
}

fn ledger(folder: &Path) -> PathBuf {
    folder.join("ledger.sqlite")
}

fn wal(folder: &Path) -> PathBuf {
    folder.join("ledger.sqlite-wal")
}

impl Fate {
    fn lock(&self) -> MutexGuard<'_, Plan> {
        self.plan.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// What the engine comes by at every step.
    fn pass(&self, step: Step) -> Result<(), DbError> {
        let mut plan = self.lock();
        if plan.dead {
            return Err(death());
        }
        match step {
            Step::Saved => plan.wal_bytes = bytes_of(&wal(&self.folder)),
            Step::Committed => plan.commits += 1,
            Step::Begun | Step::Loaded | Step::Decided => {}
        }
        match plan.fault {
            Fault::Stumble(at, _) if at == step && plan.stumbles > 0 => {
                plan.stumbles -= 1;
                self.stumbled.notify_one();
                Err(out_of_reach())
            }
            Fault::Outage(at) if at == step => {
                self.stumbled.notify_one();
                Err(out_of_reach())
            }
            Fault::Crash(at) if at == step => self.die(&mut plan),
            Fault::Torn if step == Step::Committed => {
                let death = self.die(&mut plan);
                if self.tear(plan.wal_bytes) {
                    plan.commits -= 1;
                }
                death
            }
            Fault::None | Fault::Stumble(..) | Fault::Outage(_) | Fault::Crash(_) | Fault::Torn => {
                Ok(())
            }
        }
    }

    fn die(&self, plan: &mut Plan) -> Result<(), DbError> {
        plan.dead = true;
        self.leave_remains().map_err(|error| DbError::inconsistent(error.to_string()))?;
        Err(death())
    }

    /// Copies the files, as they are, for the next life. The log's index is rebuilt from the log.
    fn leave_remains(&self) -> anyhow::Result<()> {
        fs::create_dir_all(&self.next)?;
        fs::copy(ledger(&self.folder), ledger(&self.next))?;
        if wal(&self.folder).exists() {
            fs::copy(wal(&self.folder), wal(&self.next))?;
        }
        Ok(())
    }

    /// Cuts what the last commit wrote in half, if it is still in the log alone; whether it could.
    fn tear(&self, before_bytes: u64) -> bool {
        let log = wal(&self.next);
        let after_bytes = bytes_of(&log);
        if after_bytes <= before_bytes || after_bytes > WAL_UNFOLDED_BYTES {
            return false;
        }
        let half = before_bytes + (after_bytes - before_bytes) / 2;
        fs::OpenOptions::new().write(true).open(&log).and_then(|file| file.set_len(half)).is_ok()
    }
}

fn bytes_of(file: &Path) -> u64 {
    fs::metadata(file).map_or(0, |found| found.len())
}

/// A failure that goes away by itself.
fn out_of_reach() -> DbError {
    DbError::Sqlx(sqlx::Error::PoolTimedOut)
}

/// A failure that the engine does not try again.
fn death() -> DbError {
    DbError::inconsistent("the core is dead")
}
