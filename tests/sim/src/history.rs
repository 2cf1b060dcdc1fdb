//! What a history consists of. Steps name each other's outcome by labels and never by position, so that a
//! history from which some steps were taken out still means something: a step whose subject is missing does
//! nothing.

use core_service::engine;
use std::fmt;
use tiffin_api::payment::{PaymentMethod, ProviderOutcome};

/// Names a client's request; its Idempotency-Key, the same for every time it is sent.
pub(crate) type Label = u32;

/// One step.
#[derive(Debug, Clone)]
pub(crate) enum Step {
    /// Commands that reach the engine at the same moment, in this order.
    Batch(Batch),
    /// The clock moves, forwards or back.
    Clock(i64),
    /// The core asks the provider for the money of a payment that was written down.
    Ask(Label, Line),
    /// The provider decides about a payment by itself; a webhook is on its way.
    Decide(Label, ProviderOutcome),
    /// The merchant edits a dish's price.
    Price(usize, i64),
    /// One round of the jobs, over what the tables say is due and a line to the provider.
    Jobs(Line),
    /// The core dies while it is idle.
    Kill,
    /// Something happens to the fast store.
    Fast(Upset),
    /// One round of the gate's repair.
    Repair,
    /// The lease of the core's node ends, and another core takes the node over.
    Node,
}

/// What happens to the fast store.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Upset {
    /// Everything in it is lost.
    Emptied,
    /// After so many calls, so many go wrong.
    Calls {
        /// Calls that still go well.
        after: u8,
        /// Calls that do not.
        calls: u8,
        /// What becomes of them.
        how: Mishap,
    },
    /// It is out of reach.
    Gone,
    /// It is back, with what it had.
    Back,
    /// A counter says something else.
    Counter(Shelf, i64),
    /// It believes that a user holds so many units at a store.
    Held(i64, usize, i64),
    /// The next request at a gate is marked as admitted before, or not, whatever is true.
    Marker(bool),
}

/// What becomes of a call to the fast store that is not answered.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Mishap {
    /// It has no effect.
    Lost,
    /// It has its effect.
    AnswerLost,
    /// It has its effect when nobody waits for it any more.
    Late,
}

/// What a counter counts.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Shelf {
    /// Units of a dish.
    Dish(usize),
    /// Coupons of a kind.
    Kind(usize),
}

/// Commands of one batch, and what goes wrong with it.
#[derive(Debug, Clone)]
pub(crate) struct Batch {
    /// The commands.
    pub(crate) acts: Vec<Act>,
    /// What goes wrong.
    pub(crate) fault: Fault,
}

/// What goes wrong with a batch.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Fault {
    /// Nothing.
    None,
    /// The database fails so often at a step and is then well again. At [`engine::Step::Committed`] the commit
    /// took effect and its answer was lost.
    Stumble(engine::Step, u8),
    /// The database fails at a step for longer than the engine's patience.
    Outage(engine::Step),
    /// The core dies at a step.
    Crash(engine::Step),
    /// The core dies while the commit is being written: half of it reaches the disk.
    Torn,
}

/// A line to the provider.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Line {
    /// It works.
    Good,
    /// The question is lost.
    CutBefore,
    /// The provider does it, and its answer is lost.
    CutAfter,
}

/// One command.
#[derive(Debug, Clone)]
pub(crate) enum Act {
    /// A client sends a request, for the first time or again.
    Request {
        /// Which.
        label: Label,
        /// For what.
        what: What,
        /// Its body is another one than it was.
        other_body: bool,
        /// The answer gets lost.
        lost: bool,
    },
    /// The core goes on with a payment after it has asked.
    Conclude(Label),
    /// A job asks the provider about a payment.
    Reconcile(Label, Line),
    /// A job closes an order if its time is over.
    Close(Label),
    /// A job sends a payment's refund.
    Refund(Label, Line),
    /// A webhook arrives: the payment's event of this number.
    Hear(Label, usize, Seal),
    /// A job ends a coupon if its time is over.
    Expire(Label),
    /// A command with a defect: it panics when it has changed half of an order.
    Panic(Label),
    /// A command with a defect: what it wants to write, the database refuses.
    Poison(usize),
}

/// What a client asks for.
#[derive(Debug, Clone)]
pub(crate) enum What {
    /// An order.
    Place(Place),
    /// To move the order that another request placed.
    Move(Label, Who, Wish),
    /// A coupon of a kind, for a user.
    Claim(usize, i64),
    /// To let an order use a coupon that another request claimed: the order, then the coupon.
    Redeem(Label, Label),
    /// To withdraw a coupon.
    Void(Label),
    /// To pay the order that another request placed.
    Pay(Label, PaymentMethod),
}

/// An order.
#[derive(Debug, Clone)]
pub(crate) struct Place {
    /// Who orders.
    pub(crate) user: i64,
    /// Where.
    pub(crate) store: usize,
    /// Dishes and units of each.
    pub(crate) lines: Vec<(usize, u32)>,
    /// To be delivered.
    pub(crate) delivery: bool,
    /// Coupons, by the requests that claimed them.
    pub(crate) coupons: Vec<Label>,
    /// The total of the quote that is named, minor units, and when it expires.
    pub(crate) quote: Option<(i64, i64)>,
}

/// Who asks for a move.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Who {
    /// Who ordered.
    Diner,
    /// Who keeps the store.
    Keeper,
    /// Somebody else.
    Stranger,
}

/// A move, as the API calls it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Wish {
    /// Take it back.
    Cancel,
    /// Take it back and say that its units can be sold again.
    Recall,
    /// Take it on.
    Accept,
    /// Refuse it.
    Reject,
    /// Begin.
    Prepare,
    /// Be done.
    Ready,
    /// Hand it to a courier.
    Dispatch,
    /// Hand it over.
    Complete,
}

/// How a webhook is signed, and what it says.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Seal {
    /// As it should be.
    Good,
    /// With another secret.
    Forged,
    /// Long ago.
    Old,
    /// Rightly, about another amount.
    OtherAmount,
}

impl fmt::Display for Step {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Batch(batch) => {
                write!(f, "batch")?;
                if batch.fault != Fault::None {
                    write!(f, " [{:?}]", batch.fault)?;
                }
                for act in &batch.acts {
                    write!(f, "\n    {act}")?;
                }
                Ok(())
            }
            Self::Clock(by_ms) => write!(f, "clock {by_ms:+} ms"),
            Self::Ask(pay, line) => write!(f, "ask the provider for #{pay} {line:?}"),
            Self::Decide(pay, outcome) => write!(f, "the provider decides #{pay}: {outcome:?}"),
            Self::Price(dish, price_minor) => write!(f, "dish {dish} now costs {price_minor}"),
            Self::Jobs(line) => write!(f, "jobs {line:?}"),
            Self::Kill => f.write_str("kill"),
            Self::Fast(upset) => write!(f, "the fast store: {upset:?}"),
            Self::Repair => f.write_str("repair the gate"),
            Self::Node => f.write_str("another core takes the node over"),
        }
    }
}

impl fmt::Display for Act {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Request { label, what, other_body, lost } => {
                write!(f, "#{label} {what}")?;
                f.write_str(if *other_body { " (another body)" } else { "" })?;
                f.write_str(if *lost { " (the answer gets lost)" } else { "" })
            }
            Self::Conclude(pay) => write!(f, "conclude #{pay}"),
            Self::Reconcile(pay, line) => write!(f, "reconcile #{pay} {line:?}"),
            Self::Close(order) => write!(f, "close unpaid #{order}"),
            Self::Refund(pay, line) => write!(f, "refund #{pay} {line:?}"),
            Self::Hear(pay, number, seal) => write!(f, "webhook {number} of #{pay} {seal:?}"),
            Self::Expire(coupon) => write!(f, "expire coupon #{coupon}"),
            Self::Panic(order) => write!(f, "panic half way through #{order}"),
            Self::Poison(dish) => write!(f, "write what the database refuses of dish {dish}"),
        }
    }
}

impl fmt::Display for What {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Place(Place { user, store, lines, delivery, coupons, quote }) => {
                write!(f, "user {user} orders at store {store}:")?;
                for (dish, units) in lines {
                    write!(f, " {units} of dish {dish}")?;
                }
                f.write_str(if *delivery { ", delivered" } else { "" })?;
                for coupon in coupons {
                    write!(f, ", with coupon #{coupon}")?;
                }
                quote.map_or(Ok(()), |(total, until)| write!(f, ", quoted {total} until {until}"))
            }
            Self::Move(order, who, wish) => write!(f, "{who:?} wants #{order} {wish:?}"),
            Self::Claim(kind, user) => write!(f, "user {user} claims a coupon of kind {kind}"),
            Self::Redeem(order, coupon) => write!(f, "use coupon #{coupon} for #{order}"),
            Self::Void(coupon) => write!(f, "withdraw coupon #{coupon}"),
            Self::Pay(order, method) => write!(f, "pay #{order} by {method:?}"),
        }
    }
}
