//! The world of a history: the core, the model, the provider and the clients, moved step by step.
//!
//! [`World::step`] does a step to all of them and holds the outcome to every rule. Start there.

mod door;
mod node;
mod outside;
mod resolve;
mod settle;

use crate::command::{Command, Key, Said};
use crate::frail::Frail;
use crate::history::{Act, Batch, Fault, Label, Step, What};
use crate::life::Life;
use crate::model::Model;
use crate::outcome::Outcome;
use crate::provider::{Heard, Provider};
use crate::rules::{self, Memory, Violation, hold};
use crate::setup::{self, Setup};
use crate::store::{self, Ledger};
use crate::submit::{Desk, Sabotage};
use core_service::auth::keys::Keys;
use core_service::clock::ManualClock;
use core_service::db::{Db, Location};
use futures::future::join_all;
use std::cell::Cell;
use std::collections::{BTreeMap, BTreeSet};
use std::path::PathBuf;
use std::sync::{Arc, mpsc};
use std::time::Duration;
use tiffin_api::order::OrderState;
use tiffin_api::payment::PaymentMethod;

/// How long nothing may happen, by the machine's clock, before a batch counts as stuck.
const STUCK: Duration = Duration::from_secs(30);
/// Longer than the engine waits before it tries a batch again.
const PAUSE: Duration = Duration::from_millis(600);
/// Timers of the core see no more than this of a leap of the clock: more than the gate and its guard wait for.
const TIMERS_MOST: Duration = Duration::from_secs(5);

/// A payment that the core has written down and not concluded: what a request's handler keeps in memory.
#[derive(Debug, Clone)]
pub(crate) struct Handler {
    key: Key,
    order_id: i64,
    user: i64,
    id: i64,
    method: PaymentMethod,
    /// Whether its order awaited it when it was written down.
    awaited: bool,
    /// What the provider said, once it was asked.
    pub(crate) said: Option<Heard>,
}

/// A request that was sent at least once.
#[derive(Debug, Clone)]
pub(crate) struct Sent {
    /// For what.
    pub(crate) what: What,
    /// Its body is the other one.
    pub(crate) other_body: bool,
    /// Its client has an answer.
    pub(crate) answered: bool,
}

/// Everything.
pub(crate) struct World {
    /// The model, with the time and the counters.
    pub(crate) model: Model,
    /// The provider.
    pub(crate) provider: Provider,
    /// Payments in progress, by request.
    pub(crate) handlers: BTreeMap<Label, Handler>,
    /// Requests, by label.
    pub(crate) requests: BTreeMap<Label, Sent>,
    /// The ledger as it was after the last step.
    pub(crate) ledger: Ledger,
    /// The fast store.
    pub(crate) fast: Arc<Frail>,
    /// What happened, for people and for comparison.
    pub(crate) log: String,
    pub(crate) life: Life,
    pub(crate) setup: Setup,
    desk: Desk,
    memory: Memory,
    lives: usize,
    root: PathBuf,
    clock: Arc<ManualClock>,
    /// The gate has healed: who was refused once over units that the gate wrongly took for theirs.
    healed: Option<BTreeSet<(usize, i64)>>,
    /// A ledger without records, by which sabotage makes the gate forget keys.
    blank: Option<Db>,
}

/// Why a history ends early.
#[derive(Debug)]
pub(crate) enum Broken {
    /// A rule was broken.
    Rule(Violation),
    /// The simulation itself failed.
    Sim(anyhow::Error),
}

impl From<Violation> for Broken {
    fn from(violation: Violation) -> Self {
        Self::Rule(violation)
    }
}

impl From<anyhow::Error> for Broken {
    fn from(error: anyhow::Error) -> Self {
        Self::Sim(error)
    }
}

impl World {
    /// The start.
    pub(crate) async fn new(
        setup: Setup,
        sabotage: Option<Sabotage>,
        root: PathBuf,
    ) -> anyhow::Result<Self> {
        let clock = Arc::new(ManualClock::at(setup.now_ms));
        let fast = Arc::new(Frail::new(clock.clone()));
        let life = Life::begin(&root, 0, &clock, &fast).await?;
        let blank = match sabotage {
            Some(Sabotage::RefuseKnown) => {
                Some(Db::open(&Location::file(&root.join("blank.sqlite"))).await?)
            }
            _ => None,
        };
        life.import(&setup.import(), setup.now_ms).await?;
        let (items, stores) = store::names(&life.db).await?;
        let desk = Desk {
            items: (0..setup.dishes.len()).map(|dish| items[&setup::dish_ref(dish)]).collect(),
            stores: [0, 1].map(|store| stores[&setup::store_ref(store)]),
            templates: life.make_templates(&setup.terms).await?,
            keys: Arc::new(Keys::from_parts([1; 32], [2; 32])),
            pay_within_ms: setup.pay_within_ms,
            held_units_cap: setup.held_units_cap,
            scopes: BTreeMap::new(),
            sabotage,
            renamed: Cell::new(0),
        };
        Ok(Self {
            model: Model::new(&setup),
            provider: Provider::default(),
            handlers: BTreeMap::new(),
            requests: BTreeMap::new(),
            ledger: Ledger::read(&life.db).await?,
            fast,
            log: String::new(),
            life,
            setup,
            desk,
            memory: Memory::default(),
            lives: 1,
            root,
            clock,
            healed: None,
            blank,
        })
    }

    /// The end.
    pub(crate) async fn end(self) {
        drop(self.life.engine);
        self.life.db.close().await;
        if let Some(blank) = self.blank {
            blank.close().await;
        }
    }

    /// Does a step and holds what came of it to every rule.
    pub(crate) async fn step(&mut self, step: &Step) -> Result<(), Broken> {
        self.note(format_args!("{step}"));
        match step {
            Step::Batch(batch) => return self.batch(batch).await,
            Step::Clock(by_ms) => {
                self.clock.advance(*by_ms);
                self.model.now_ms += by_ms;
                // Timers never run backwards.
                let for_timers = Duration::from_millis(u64::try_from(*by_ms).unwrap_or(0));
                tokio::time::advance(for_timers.min(TIMERS_MOST)).await;
                self.renew_node().await?;
                self.model.saw(if *by_ms < 0 { "clock: back" } else { "clock: forwards" });
            }
            Step::Ask(pay, line) => self.ask(*pay, *line),
            Step::Decide(pay, outcome) => {
                let id = self.model.payments.get(pay).map(|payment| payment.id);
                if id.is_some_and(|id| self.provider.decide(id, *outcome)) {
                    self.model.saw("the provider decided by itself");
                }
            }
            Step::Price(dish, price_minor) => {
                self.setup.dishes[*dish].price_minor = *price_minor;
                self.model.dishes[*dish].price_minor = *price_minor;
                let row = self.setup.item_row(*dish).to_string();
                self.life.import(&row, self.model.now_ms).await?;
                self.model.saw("a price was edited");
            }
            Step::Jobs(line) => self.jobs(*line).await?,
            Step::Kill => {
                self.life.kill()?;
                self.model.saw("fault: killed while idle");
                self.rise().await?;
            }
            Step::Fast(upset) => self.upset(*upset).await,
            Step::Repair => self.repair().await,
            Step::Node => self.lose_node().await?,
        }
        self.check().await
    }

    /// Compares the ledger with itself and with the model, and notes what it is.
    async fn check(&mut self) -> Result<(), Broken> {
        self.fast.arrive().await;
        self.ledger = Ledger::read(&self.life.db).await.map_err(anyhow::Error::from)?;
        rules::check_ledger(&self.ledger, self.setup.held_units_cap, &mut self.memory)?;
        rules::check_model(&self.ledger, &self.model, &self.desk.items, &self.desk.scopes)?;
        rules::check_coupons(&self.ledger, &self.model, &self.desk.templates)?;
        let digest = outside::fnv(format!("{:?}", self.ledger).as_bytes());
        self.note(format_args!("  = ledger {digest:016x}"));
        Ok(self.check_gate().await?)
    }

    /// Does a batch, and holds the ledger and every outcome to the rules.
    async fn batch(&mut self, batch: &Batch) -> Result<(), Broken> {
        let mut commands = Vec::new();
        for act in &batch.acts {
            if let Some(command) = self.resolve(act)? {
                commands.push((act, command));
            }
        }
        if commands.is_empty() {
            return Ok(());
        }
        self.model.saw("batches");
        let (commands, passes) = self.enter(commands).await?;
        if commands.is_empty() {
            return self.check().await;
        }
        let outcomes = self.submit(batch.fault, &commands).await?;
        self.life.gate.settled().await;
        let poisoned =
            commands.iter().any(|(_, command)| matches!(command, Command::Poison { .. }));
        // A batch with a bad neighbour is done one by one: each command is committed once.
        let times = if poisoned { 1 } else { self.life.commits() };
        let mut expected = vec![Said::Unsettled; commands.len()];
        for _ in 0..times {
            expected = commands.iter().map(|(_, command)| self.model.apply(command)).collect();
        }
        self.count_fault(batch.fault, poisoned);
        if self.life.is_dead() {
            self.note(format_args!("  died; {times} commits"));
            self.rise().await?;
            return self.check().await;
        }
        if let Fault::Outage(_) = batch.fault {
            expected.fill(Said::Unsettled);
        }
        self.leave(&commands, passes, &outcomes).await;
        self.check().await?;
        for (((act, command), outcome), expected) in commands.iter().zip(outcomes).zip(expected) {
            self.deliver(act, command, outcome, expected)?;
        }
        Ok(())
    }

    /// Sends commands to the engine at one moment and waits for what it makes of them.
    async fn submit(
        &self,
        fault: Fault,
        commands: &[(&Act, Command)],
    ) -> Result<Vec<Outcome>, Violation> {
        self.life.plan(fault);
        let submitted =
            commands.iter().map(|(_, command)| self.desk.submit(&self.life.engine, command));
        let mut answers = join_all(submitted);
        // An engine that waits although nothing failed waits for ever: the clock stands still.
        let (_answered, until_answered) = mpsc::channel::<()>();
        let stuck = move || _ = until_answered.recv_timeout(STUCK);
        let mut stuck = tokio::task::spawn_blocking(stuck);
        loop {
            tokio::select! {
                biased;
                outcomes = &mut answers => break Ok(outcomes),
                _ = &mut stuck => {
                    let what = "the engine waits although nothing failed".to_owned();
                    break Err(Violation { rule: "every command is answered", what });
                }
                () = self.life.stumbled() => tokio::time::advance(PAUSE).await,
            }
        }
    }

    /// Compares an outcome with what was expected, and lets client or provider know.
    fn deliver(
        &mut self,
        act: &Act,
        command: &Command,
        outcome: Outcome,
        expected: Said,
    ) -> Result<(), Violation> {
        self.model.saw("commands");
        self.note(format_args!("  > {:?}", outcome.said));
        let name = act.to_string();
        rules::agree("a command comes to what the model says", &name, &outcome.said, &expected)?;
        let lost = matches!(act, Act::Request { lost: true, .. });
        match (command, &outcome.said) {
            (
                Command::Place { key, .. }
                | Command::Move { key, .. }
                | Command::Claim { key, .. }
                | Command::Redeem { key, .. }
                | Command::Void { key, .. }
                | Command::WriteDown { key, .. }
                | Command::Conclude { key, .. },
                Said::Answer { facts, .. },
            ) => {
                let recorded = self.desk.scopes.get(&key.label);
                let recorded = recorded.and_then(|scope| self.memory.answers.get(scope));
                let reused = ![200, 201, 409, 410].contains(&facts.status());
                let same = recorded.is_some_and(|first| first.body == outcome.body);
                hold("a key has one answer, to the byte", reused || same, || name)?;
                self.model.saw(if lost { "fault: an answer was lost" } else { "answered" });
                if let Some(sent) = self.requests.get_mut(&key.label) {
                    sent.answered |= !lost;
                }
            }
            (
                Command::WriteDown { key, order_id, user, method, .. },
                Said::Written { id, order, .. },
            ) => {
                let handler = Handler {
                    key: *key,
                    order_id: *order_id,
                    user: *user,
                    id: *id,
                    method: *method,
                    awaited: *order == OrderState::PendingPayment,
                    said: None,
                };
                self.handlers.insert(key.label, handler);
            }
            (Command::Hear { number, event, .. }, Said::Flag(_)) => {
                let account = self.provider.accounts.get_mut(&event.payment_id.raw());
                if let Some(taken) = account.and_then(|account| account.taken.get_mut(*number)) {
                    *taken = true;
                }
            }
            (_, Said::Panicked) => self.model.saw("fault: a command panicked"),
            _ => {}
        }
        Ok(())
    }

    fn count_fault(&mut self, fault: Fault, poisoned: bool) {
        if poisoned {
            self.model.saw("fault: the database refused a command");
        }
        match fault {
            Fault::None => {}
            Fault::Stumble(at, _) => self.model.saw(format!("fault: stumbled at {at:?}")),
            Fault::Outage(at) => self.model.saw(format!("fault: out at {at:?}")),
            Fault::Crash(at) => self.model.saw(format!("fault: crashed at {at:?}")),
            Fault::Torn => self.model.saw("fault: crashed in the commit"),
        }
    }

    /// Starts the core again on what the last one left. What its handlers had in memory is gone.
    async fn rise(&mut self) -> Result<(), Broken> {
        let next = Life::begin(&self.root, self.lives, &self.clock, &self.fast).await?;
        self.lives += 1;
        self.handlers.clear();
        std::mem::replace(&mut self.life, next).bury().await?;
        Ok(())
    }
}
