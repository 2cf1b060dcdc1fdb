//! The next step of a history: random, with an eye on what the world has to offer, so that most steps mean
//! something. What it draws is concrete: a drawn history is played again without random numbers.

use crate::history::{
    Act, Batch, Fault, Label, Line, Mishap, Place, Seal, Shelf, Step, Upset, What, Who, Wish,
};
use crate::setup::{DINERS, MINUTE_MS};
use crate::world::{Sent, World};
use core_service::engine::Step as Moment;
use tiffin_api::order::OrderState;
use tiffin_api::payment::{PaymentMethod, ProviderOutcome, RefundState};
use tiffin_fixtures::random::Random;

/// Every moment at which a batch may fail.
pub(crate) const MOMENTS: [Moment; 5] =
    [Moment::Begun, Moment::Loaded, Moment::Decided, Moment::Saved, Moment::Committed];

/// Draws steps.
pub(crate) struct Generator {
    rng: Random,
    labels: Label,
}

#[derive(Clone, Copy)]
enum Kind {
    Batch,
    Clock,
    Ask,
    Decide,
    Price,
    Jobs,
    Kill,
    Fast,
    Repair,
    Node,
}

#[derive(Clone, Copy)]
enum Draw {
    Place,
    Claim,
    Redeem,
    Void,
    Expire,
    Pay,
    Move,
    Again,
    Conclude,
    Reconcile,
    Close,
    Refund,
    Hear,
    Panic,
    Poison,
}

impl Generator {
    /// Draws from these random numbers.
    pub(crate) const fn new(rng: Random) -> Self {
        Self { rng, labels: 0 }
    }

    /// The next step.
    pub(crate) fn next(&mut self, world: &World) -> Step {
        let asks = world.handlers.values().filter(|handler| handler.said.is_none()).count();
        let ask = if asks == 0 { 0 } else { 45 };
        let kinds = [
            (70, Kind::Batch),
            (9, Kind::Clock),
            (ask, Kind::Ask),
            (8, Kind::Decide),
            (2, Kind::Price),
            (6, Kind::Jobs),
            (2, Kind::Kill),
            (if world.fast.is_gone() { 20 } else { 9 }, Kind::Fast),
            (7, Kind::Repair),
            (2, Kind::Node),
        ];
        match self.rng.weighted(&kinds) {
            Kind::Batch => Step::Batch(self.batch(world)),
            Kind::Clock => Step::Clock(self.clock()),
            Kind::Ask => {
                let open = world.handlers.iter().filter(|(_, handler)| handler.said.is_none());
                let open: Vec<Label> = open.map(|(label, _)| *label).collect();
                Step::Ask(self.rng.pick(&open), self.line())
            }
            Kind::Decide => match self.some(world.model.payments.keys()) {
                Some(pay) => Step::Decide(pay, self.outcome()),
                None => Step::Clock(self.clock()),
            },
            Kind::Price => {
                let dish = self.rng.index(world.model.dishes.len());
                Step::Price(dish, self.rng.between(1, 30) * 50)
            }
            Kind::Jobs => Step::Jobs(self.line()),
            Kind::Kill => Step::Kill,
            Kind::Fast => Step::Fast(self.upset(world)),
            Kind::Repair => Step::Repair,
            Kind::Node => Step::Node,
        }
    }

    fn upset(&mut self, world: &World) -> Upset {
        if world.fast.is_gone() {
            return Upset::Back;
        }
        let how = self.rng.pick(&[Mishap::Lost, Mishap::AnswerLost, Mishap::Late]);
        let after = u8::try_from(self.rng.between(0, 6)).unwrap_or(0);
        let calls = self.rng.weighted(&[(70, 1), (20, 2), (10, 6)]);
        let dish = self.rng.index(world.model.dishes.len());
        let kind = self.rng.index(world.model.terms.len());
        let shelf = if self.rng.percent(75) { Shelf::Dish(dish) } else { Shelf::Kind(kind) };
        let (from, to) = self.rng.weighted(&[(40, (0, 1)), (40, (2, 20)), (20, (-5, -1))]);
        let units = self.rng.between(from, to);
        let user = self.rng.between(1, DINERS);
        let store = self.rng.index(2);
        self.rng.weighted(&[
            (12, Upset::Emptied),
            (40, Upset::Calls { after, calls, how }),
            (8, Upset::Gone),
            (16, Upset::Counter(shelf, units)),
            (8, Upset::Held(user, store, units.abs())),
            (5, Upset::Marker(true)),
            (5, Upset::Marker(false)),
        ])
    }

    fn clock(&mut self) -> i64 {
        let (from, to) = self.rng.weighted(&[
            (46, (1, 2_000)),
            (32, (20_000, 60_000)),
            (10, (2 * MINUTE_MS, 16 * MINUTE_MS)),
            (4, (60 * MINUTE_MS, 6 * 60 * MINUTE_MS)),
            (8, (-5_000, -1)),
            (4, (-10 * MINUTE_MS, -MINUTE_MS)),
        ]);
        self.rng.between(from, to)
    }

    fn batch(&mut self, world: &World) -> Batch {
        let count = self.rng.weighted(&[(35, 1), (25, 2), (15, 3), (15, 5), (10, 8)]);
        let mut acts = Vec::new();
        while acts.len() < count {
            let Some(act) = self.act(world) else { continue };
            if matches!(act, Act::Request { .. }) && self.rng.percent(12) {
                acts.push(act.clone());
            }
            acts.push(act);
        }
        self.rng.shuffle(&mut acts);
        let poisoned = acts.iter().any(|act| matches!(act, Act::Poison(_)));
        let fault = if poisoned { Fault::None } else { self.fault() };
        Batch { acts, fault }
    }

    fn fault(&mut self) -> Fault {
        let at = self.rng.pick(&MOMENTS);
        let times = if self.rng.percent(30) { 2 } else { 1 };
        self.rng.weighted(&[
            (66, Fault::None),
            (8, Fault::Stumble(at, times)),
            (7, Fault::Stumble(Moment::Committed, times)),
            (11, Fault::Crash(at)),
            (4, Fault::Torn),
            (4, Fault::Outage(at)),
        ])
    }

    fn act(&mut self, world: &World) -> Option<Act> {
        let asked = world.handlers.values().filter(|handler| handler.said.is_some()).count();
        let kinds = [
            (20, Draw::Place),
            (12, Draw::Claim),
            (9, Draw::Redeem),
            (1, Draw::Void),
            (2, Draw::Expire),
            (20, Draw::Pay),
            (24, Draw::Move),
            (12, Draw::Again),
            (if asked == 0 { 0 } else { 40 }, Draw::Conclude),
            (6, Draw::Reconcile),
            (5, Draw::Close),
            (8, Draw::Refund),
            (12, Draw::Hear),
            (2, Draw::Panic),
            (1, Draw::Poison),
        ];
        let (model, line) = (&world.model, self.line());
        Some(match self.rng.weighted(&kinds) {
            Draw::Place => {
                let place = self.place(world);
                self.request(What::Place(place))
            }
            Draw::Claim => {
                let kind = self.rng.index(model.terms.len());
                let user = self.rng.between(1, DINERS);
                self.request(What::Claim(kind, user))
            }
            Draw::Redeem => {
                let order = self.order(world, &[OrderState::PendingPayment])?;
                let coupon = self.coupon(world, model.orders[&order].user)?;
                self.request(What::Redeem(order, coupon))
            }
            Draw::Void => {
                let coupon = self.some(model.coupons.keys())?;
                self.request(What::Void(coupon))
            }
            Draw::Expire => Act::Expire(self.some(model.coupons.keys())?),
            Draw::Pay => {
                let order = self.order(world, &[OrderState::PendingPayment])?;
                let method = self.method();
                self.request(What::Pay(order, method))
            }
            Draw::Move => self.move_order(world)?,
            Draw::Again => {
                let label = self.some(world.requests.keys())?;
                let Sent { what, other_body, .. } = world.requests[&label].clone();
                let other_body = other_body ^ self.rng.percent(12);
                Act::Request { label, what, other_body, lost: self.rng.percent(10) }
            }
            Draw::Conclude => {
                let asked = world.handlers.iter().filter(|(_, handler)| handler.said.is_some());
                Act::Conclude(self.some(asked.map(|(label, _)| label))?)
            }
            Draw::Reconcile => Act::Reconcile(self.some(model.payments.keys())?, line),
            Draw::Close => Act::Close(self.some(model.orders.keys())?),
            Draw::Refund => {
                let due = model.payments.iter().filter(|(_, pay)| {
                    pay.refund.as_ref().is_some_and(|it| it.state != RefundState::Succeeded)
                });
                Act::Refund(self.some(due.map(|(label, _)| label))?, line)
            }
            Draw::Hear => self.webhook(world)?,
            Draw::Panic => Act::Panic(self.order(world, &[OrderState::PendingPayment])?),
            Draw::Poison => Act::Poison(self.rng.index(model.dishes.len())),
        })
    }

    fn request(&mut self, what: What) -> Act {
        self.labels += 1;
        Act::Request { label: self.labels, what, other_body: false, lost: self.rng.percent(12) }
    }

    fn place(&mut self, world: &World) -> Place {
        let store = self.rng.weighted(&[(70, 0), (30, 1)]);
        let dishes = world.model.dishes.iter().enumerate();
        let sold_here: Vec<usize> =
            dishes.filter(|(_, dish)| dish.store == store).map(|(index, _)| index).collect();
        let count = self.rng.between(1, 3);
        let lines = (0..count).map(|_| {
            let units = self.rng.weighted(&[(50, 1), (30, 2), (15, 3), (5, 6)]);
            (self.rng.pick(&sold_here), units)
        });
        let lines = lines.collect();
        let user = self.rng.between(1, DINERS);
        let delivery = store == 0 && self.rng.percent(30);
        let mut coupons: Vec<Label> = Vec::new();
        for _ in 0..self.rng.weighted(&[(60, 0), (28, 1), (12, 2)]) {
            coupons.extend(self.coupon(world, user));
        }
        coupons.sort_unstable();
        coupons.dedup();
        let mut place = Place { user, store, lines, delivery, coupons, quote: None };
        if self.rng.percent(25) {
            let total_minor = world.model.total_of(&place);
            let (more_minor, for_ms) =
                self.rng.weighted(&[(6, (0, 10)), (2, (50, 10)), (2, (0, 0))]);
            place.quote = Some((total_minor + more_minor, world.model.now_ms + for_ms * MINUTE_MS));
        }
        place
    }

    fn move_order(&mut self, world: &World) -> Option<Act> {
        use OrderState::{Accepted, Delivering, Paid, Preparing, Ready};
        let order = self.order(world, &[Paid, Accepted, Preparing, Ready, Delivering])?;
        let fitting = match world.model.orders[&order].state {
            Paid => self.rng.pick(&[Wish::Accept, Wish::Accept, Wish::Reject, Wish::Cancel]),
            Accepted => self.rng.pick(&[Wish::Prepare, Wish::Prepare, Wish::Recall]),
            Preparing => Wish::Ready,
            Ready => self.rng.pick(&[Wish::Dispatch, Wish::Complete]),
            Delivering => Wish::Complete,
            _ => Wish::Cancel,
        };
        let any = [
            Wish::Cancel,
            Wish::Recall,
            Wish::Accept,
            Wish::Reject,
            Wish::Prepare,
            Wish::Ready,
            Wish::Dispatch,
            Wish::Complete,
        ];
        let wish = if self.rng.percent(70) { fitting } else { self.rng.pick(&any) };
        let who = match wish {
            Wish::Cancel => {
                self.rng.weighted(&[(70, Who::Diner), (25, Who::Keeper), (5, Who::Stranger)])
            }
            _ => self.rng.weighted(&[(88, Who::Keeper), (7, Who::Diner), (5, Who::Stranger)]),
        };
        Some(self.request(What::Move(order, who, wish)))
    }

    fn webhook(&mut self, world: &World) -> Option<Act> {
        let accounts = world.model.payments.iter().filter_map(|(label, payment)| {
            let account = world.provider.accounts.get(&payment.id)?;
            (!account.events.is_empty()).then_some((*label, account.events.len()))
        });
        let accounts: Vec<_> = accounts.collect();
        if accounts.is_empty() {
            return None;
        }
        let (pay, events) = self.rng.pick(&accounts);
        let seal = self.rng.weighted(&[
            (85, Seal::Good),
            (5, Seal::Forged),
            (5, Seal::Old),
            (5, Seal::OtherAmount),
        ]);
        Some(Act::Hear(pay, self.rng.index(events), seal))
    }

    /// An order, more likely in one of some states.
    fn order(&mut self, world: &World, states: &[OrderState]) -> Option<Label> {
        let orders = &world.model.orders;
        let fitting = orders.iter().filter(|(_, order)| states.contains(&order.state));
        let fitting = self.some(fitting.map(|(label, _)| label));
        if self.rng.percent(80) { fitting } else { self.some(orders.keys()) }
    }

    /// A coupon, more likely one of the user's.
    fn coupon(&mut self, world: &World, user: i64) -> Option<Label> {
        let coupons = &world.model.coupons;
        let own = coupons.iter().filter(|(_, coupon)| coupon.user == user);
        let own = self.some(own.map(|(label, _)| label));
        if self.rng.percent(92) { own } else { self.some(coupons.keys()) }
    }

    fn method(&mut self) -> PaymentMethod {
        self.rng.weighted(&[
            (55, PaymentMethod::SandboxCapture),
            (20, PaymentMethod::SandboxAuthorize),
            (15, PaymentMethod::SandboxFail),
            (20, PaymentMethod::SandboxSilent),
        ])
    }

    fn outcome(&mut self) -> ProviderOutcome {
        self.rng.weighted(&[
            (50, ProviderOutcome::Captured),
            (15, ProviderOutcome::Authorized),
            (20, ProviderOutcome::Failed),
            (15, ProviderOutcome::Canceled),
        ])
    }

    fn line(&mut self) -> Line {
        self.rng.weighted(&[(80, Line::Good), (10, Line::CutBefore), (10, Line::CutAfter)])
    }

    fn some<'a>(&mut self, labels: impl Iterator<Item = &'a Label>) -> Option<Label> {
        let labels: Vec<Label> = labels.copied().collect();
        if labels.is_empty() { None } else { Some(self.rng.pick(&labels)) }
    }
}
