//! The gate before the engine, the fast store that it counts in, and what must hold of the two: the gate never keeps
//! anybody from an answer, and it heals.

use super::{Broken, World};
use crate::command::Command;
use crate::history::{Act, Label, Place, Shelf, Step, Upset, What, Who, Wish};
use crate::outcome::Outcome;
use crate::rules::{Violation, agree, hold};
use crate::setup::DINERS;
use crate::submit::Sabotage;
use core_service::fast::{FastStore as _, GateTag};
use core_service::gate::{Entry, Pass, Request};
use core_service::limits;
use std::collections::BTreeSet;

/// Rounds of repair after which the gate has healed: one finds a store that was left alone back, two see a counter
/// off, and one more is for a round that did not know yet what to mend.
const ROUNDS: usize = 4;
/// The labels of the requests that try a healed gate begin here.
const TRIALS: Label = 1_000_000;
/// Who has never held anything: the first to try.
const NEWCOMER: i64 = 30;

/// A gate's counter: its gate and item, and what the ledger has left.
type Counter = (GateTag, i64, i64);

impl World {
    /// Lets commands ask the gate, one after another. Returns those that go on to the engine, with their passes.
    pub(super) async fn enter<'a>(
        &mut self,
        commands: Vec<(&'a Act, Command)>,
    ) -> Result<(Vec<(&'a Act, Command)>, Vec<Option<Pass>>), Broken> {
        let (mut within, mut passes, mut under_way) = (Vec::new(), Vec::new(), BTreeSet::new());
        for (act, command) in commands {
            let pass = match self.desk.at_gate(&command) {
                None => None,
                Some(request) => match self.ask_gate(request).await? {
                    Entry::Pass(pass) => Some(pass),
                    Entry::SoldOut(_) => {
                        self.turn_away(act, &command, true, &under_way)?;
                        continue;
                    }
                    Entry::OverCap => {
                        self.turn_away(act, &command, false, &under_way)?;
                        continue;
                    }
                },
            };
            if pass.is_some() {
                self.let_in(&command)?;
            }
            if let Act::Request { label, .. } = act {
                under_way.insert(*label);
            }
            within.push((act, command));
            passes.push(pass);
        }
        Ok((within, passes))
    }

    async fn ask_gate(&self, request: Request) -> anyhow::Result<Entry> {
        if let Some(blank) = &self.blank {
            self.life.gate.known.fill(blank).await?;
        }
        let entry = self.life.gate.enter(request).await;
        // What it fetches from the ledger must not race with the batch.
        self.life.gate.settled().await;
        Ok(entry)
    }

    /// Tells the gate what came of those whom it let in.
    pub(super) async fn leave(
        &self,
        commands: &[(&Act, Command)],
        passes: Vec<Option<Pass>>,
        outcomes: &[Outcome],
    ) {
        for (((act, _), pass), outcome) in commands.iter().zip(passes).zip(outcomes) {
            // A client that went away took its handler with it, and that its pass.
            let gone = matches!(act, Act::Request { lost: true, .. });
            if let (Some(pass), Some(fate), false) = (pass, outcome.fate, gone) {
                self.life.gate.leave(pass, fate).await;
            }
        }
    }

    fn let_in(&mut self, command: &Command) -> Result<(), Violation> {
        self.model.saw("let in by the gate");
        let in_vain = self.healed.is_some() && self.model.sold_out(command);
        hold("a healed gate refuses what is sold out", !in_vain, || format!("{command:?}"))
    }

    /// The gate refuses a request: nobody but its client gets to know.
    fn turn_away(
        &mut self,
        act: &Act,
        command: &Command,
        sold_out: bool,
        under_way: &BTreeSet<Label>,
    ) -> Result<(), Violation> {
        let Act::Request { label, lost, .. } = act else { return Ok(()) };
        let why = if sold_out { "sold out" } else { "over the cap" };
        self.model.saw(format!("turned away: {why}"));
        self.note(format_args!("  > #{label} is turned away: {why}"));
        let may_have_answer = under_way.contains(label) || self.model.answers.contains_key(label);
        hold("nobody is kept from an answer", !may_have_answer, || act.to_string())?;
        if let Some(excused) = &mut self.healed {
            let right = match command {
                _ if sold_out => self.model.sold_out(command),
                // Held units are not swept: a wrong refusal corrects them for the next try.
                Command::Place { place, .. } => {
                    self.model.over_cap(command) || excused.insert((place.store, place.user))
                }
                _ => false,
            };
            hold("a healed gate refuses only what the ledger would", right, || act.to_string())?;
        }
        if let Some(sent) = self.requests.get_mut(label) {
            sent.answered |= !lost;
        }
        Ok(())
    }

    /// Does something to the fast store.
    pub(super) async fn upset(&mut self, upset: Upset) {
        let memory = self.fast.memory();
        let what = match upset {
            Upset::Emptied => {
                memory.clear();
                "lost everything"
            }
            Upset::Calls { after, calls, how } => {
                self.fast.plan(after, calls, how);
                "is about to fail calls"
            }
            Upset::Gone => {
                self.fast.set_gone(true);
                "is gone"
            }
            Upset::Back => {
                self.fast.set_gone(false);
                "is back"
            }
            Upset::Counter(shelf, units) => {
                let (tag, item) = self.place_of(shelf);
                let was = memory.counters(tag, &[item]).await.ok().and_then(|found| found[0]);
                _ = memory.load(tag, &[(item, units)], true).await;
                match units {
                    ..0 => "counts below nothing",
                    _ if was.is_some_and(|was| units < was) => "counts too low",
                    _ => "counts otherwise",
                }
            }
            Upset::Held(user, store, units) => {
                let tag = GateTag::Store(self.desk.stores[store]);
                _ = memory.set_held(tag, user, units).await;
                "miscounts what a user holds"
            }
            Upset::Marker(marked) => {
                self.fast.lie(marked);
                if marked { "takes a request for a repeated one" } else { "forgets a request" }
            }
        };
        self.model.saw(format!("fast store: {what}"));
    }

    /// One round of the gate's repair.
    pub(super) async fn repair(&mut self) {
        tokio::time::advance(limits::GATE_REPAIR).await;
        if self.desk.sabotage != Some(Sabotage::LeaveGate)
            && let Some(swept) = self.life.repairer.round(&self.life.gate).await
        {
            self.note(format_args!("  > {swept:?}"));
            if swept.repaired > 0 {
                self.model.saw("a sweep repaired a counter");
            }
        }
        self.life.gate.settled().await;
    }

    fn place_of(&self, shelf: Shelf) -> (GateTag, i64) {
        match shelf {
            Shelf::Dish(dish) => {
                let store = self.model.dishes[dish].store;
                (GateTag::Store(self.desk.stores[store]), self.desk.items[dish])
            }
            Shelf::Kind(kind) => {
                let template = self.desk.templates[kind];
                (GateTag::Template(template), template)
            }
        }
    }

    fn counters(&self) -> Vec<Counter> {
        let dishes = (0..self.model.dishes.len()).map(|dish| {
            let (tag, item) = self.place_of(Shelf::Dish(dish));
            (tag, item, self.ledger.stock.get(&item).map_or(0, |stock| stock.available))
        });
        let kinds = self.model.terms.iter().enumerate().map(|(kind, terms)| {
            let (tag, item) = self.place_of(Shelf::Kind(kind));
            let claimed = self.ledger.counters.get(&item).map_or(0, |(claimed, _)| *claimed);
            (tag, item, terms.total - claimed)
        });
        dishes.chain(kinds).collect()
    }

    /// Notes what the gate counts, and holds a healed one to the ledger.
    pub(super) async fn check_gate(&mut self) -> Result<(), Violation> {
        for (what, times) in self.fast.take_met() {
            *self.model.seen.entry(what).or_default() += times;
        }
        let mut counted = Vec::new();
        for (tag, item, left) in self.counters() {
            let counters = self.fast.memory().counters(tag, &[item]).await;
            let counter = counters.ok().and_then(|found| found[0]);
            if let (Some(_), Some(counter)) = (&self.healed, counter) {
                agree("the gate heals", &format!("{tag:?}, item {item}"), counter, left)?;
            }
            counted.push(counter);
        }
        self.note(format_args!("  = gate {counted:?}"));
        Ok(())
    }

    /// Has the gate heal, and then tries it: what it counts is what the ledger has, after every request.
    pub(super) async fn heal(&mut self) -> Result<(), Broken> {
        self.repair_fully().await?;
        // What has no counter gets one from whoever asks first.
        let mut label = TRIALS;
        let mut trial = |what: What| {
            label += 1;
            Act::Request { label, what, other_body: false, lost: false }
        };
        let mut first = Vec::new();
        for store in [0, 1] {
            let dishes = self.model.dishes.iter().enumerate();
            let lines = dishes.filter(|(_, dish)| dish.store == store).map(|(dish, _)| (dish, 1));
            first.push(trial(What::Place(plain(NEWCOMER, store, lines.collect()))));
        }
        first.extend((0..self.model.terms.len()).map(|kind| trial(What::Claim(kind, NEWCOMER))));
        let claims = (0..self.model.terms.len()).map(|kind| trial(What::Claim(kind, DINERS)));
        let claims: Vec<Act> = claims.collect();
        let dishes = self.model.dishes.iter().enumerate().zip((1..=DINERS).cycle());
        let orders = dishes.map(|((dish, of), user)| {
            let place = plain(user, of.store, vec![(dish, 1)]);
            [trial(What::Place(place.clone())), trial(What::Place(place))]
        });
        let orders: Vec<[Act; 2]> = orders.collect();
        self.healed = None;
        self.calm(first).await?;
        self.repair_fully().await?;
        for [once, again] in orders {
            let excused = self.excused();
            self.calm(vec![once]).await?;
            if self.excused() > excused {
                self.calm(vec![again]).await?;
            }
        }
        for claim in claims {
            self.calm(vec![claim]).await?;
        }
        let placed = self.model.orders.keys().filter(|order| **order > TRIALS).copied();
        let placed: Vec<Label> = placed.collect();
        let cancel = |order| What::Move(order, Who::Diner, Wish::Cancel);
        let cancels = placed.into_iter().zip(2 * TRIALS..).map(|(order, label)| Act::Request {
            label,
            what: cancel(order),
            other_body: false,
            lost: false,
        });
        self.calm(cancels.collect()).await
    }

    /// How many users a healed gate refused over units that they do not hold.
    fn excused(&self) -> usize {
        self.healed.as_ref().map_or(0, BTreeSet::len)
    }

    async fn repair_fully(&mut self) -> Result<(), Broken> {
        for _ in 1..ROUNDS {
            self.repair().await;
            self.fast.arrive().await;
        }
        self.healed = Some(BTreeSet::new());
        self.step(&Step::Repair).await
    }
}

fn plain(user: i64, store: usize, lines: Vec<(usize, u32)>) -> Place {
    Place { user, store, lines, delivery: false, coupons: Vec::new(), quote: None }
}
