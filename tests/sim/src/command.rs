//! Steps with their subjects looked up: what is submitted to the engine and, beside it, applied to the model.

use crate::history::{Label, Place, Who, Wish};
use crate::provider::Heard;
use tiffin_api::coupon::CouponState;
use tiffin_api::id::OrderId;
use tiffin_api::order::OrderState;
use tiffin_api::payment::{PaymentMethod, PaymentState, ProviderEvent, RefundState};

/// A command with every id that it needs.
#[derive(Debug, Clone)]
pub(crate) enum Command {
    /// Places an order, which gets this id unless the key has an answer.
    Place { key: Key, id: i64, place: Place, coupon_ids: Vec<i64> },
    /// Moves an order.
    Move { key: Key, order: Label, id: OrderId, store: usize, user: i64, who: Who, wish: Wish },
    /// Claims a coupon, which gets this id unless the key has an answer.
    Claim { key: Key, kind: usize, user: i64, id: i64 },
    /// Lets an order use a coupon.
    Redeem {
        key: Key,
        order: Label,
        order_id: i64,
        store: usize,
        coupon: Label,
        id: i64,
        user: i64,
    },
    /// Withdraws a coupon.
    Void { key: Key, coupon: Label, id: i64 },
    /// Ends a coupon whose time is over.
    Expire { coupon: Label, id: i64 },
    /// Writes a payment down, which gets this id unless it is there.
    WriteDown { key: Key, order: Label, order_id: i64, user: i64, id: i64, method: PaymentMethod },
    /// Goes on with a payment that was written down.
    Conclude { key: Key, order_id: i64, user: i64, id: i64, method: PaymentMethod, said: Heard },
    /// Applies what a job was told about a payment.
    Reconcile { pay: Label, id: i64, said: Heard },
    /// Closes an order whose time is over.
    Close { order: Label, id: i64 },
    /// Notes what became of a refund.
    Sent { pay: Label, id: i64, succeeded: bool },
    /// Takes a webhook whose signature was good.
    Hear { pay: Label, number: usize, event: ProviderEvent },
    /// Panics half way through closing an order.
    Panic { id: i64 },
    /// Writes what the database refuses.
    Poison { dish: usize },
}

/// A request, as its Idempotency-Key tells it from others.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Key {
    /// Whose.
    pub(crate) label: Label,
    /// Whether its body is another one than it was.
    pub(crate) other_body: bool,
}

/// What a command comes to, as far as the model can know.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Said {
    /// An answer to a client.
    Answer { replayed: bool, facts: Facts },
    /// Yes or no, to a job or a webhook.
    Flag(bool),
    /// A payment that is written down, and where its order stands.
    Written { id: i64, state: PaymentState, order: OrderState },
    /// The command panicked.
    Panicked,
    /// The database refused it.
    Failed,
    /// Nobody was told: it may have an effect or not.
    Unsettled,
}

/// What an answer says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Facts {
    /// A refusal by its code.
    Problem(&'static str),
    /// An order.
    Order {
        /// The HTTP status.
        status: u16,
        /// Its id.
        id: i64,
        /// Its state.
        state: OrderState,
        /// Grows with every move.
        version: i64,
        /// Minor units.
        total_minor: i64,
        /// Its payments, the oldest first.
        payments: Vec<(i64, PaymentState, Option<RefundState>)>,
    },
    /// A coupon.
    Coupon {
        /// The HTTP status.
        status: u16,
        /// Its id.
        id: i64,
        /// Where it stands.
        state: CouponState,
    },
    /// A payment.
    Payment {
        /// Its id.
        id: i64,
        /// Its state.
        state: PaymentState,
        /// Minor units.
        amount_minor: i64,
        /// Its refund's state.
        refund: Option<RefundState>,
    },
}

impl Facts {
    /// The HTTP status that goes with it.
    pub(crate) fn status(&self) -> u16 {
        match self {
            Self::Problem(code) => {
                let all = tiffin_api::ErrorCode::ALL.iter();
                all.copied().find(|known| known.as_str() == *code).map_or(0, |known| known.status())
            }
            Self::Order { status, .. } | Self::Coupon { status, .. } => *status,
            Self::Payment { .. } => 201,
        }
    }
}
