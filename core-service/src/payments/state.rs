//! The machine of a payment, and what its money does to an order. Pure.
//!
//! The provider's word that money moved is always believed: a capture is taken from every state. Other
//! words are only believed while they tell something newer than we know; webhooks come late, twice and in
//! any order.

#![warn(clippy::wildcard_enum_match_arm)]

use tiffin_api::order::OrderState;
use tiffin_api::payment::{PaymentState, ProviderOutcome};

/// What the provider decided about a payment.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Decision {
    /// What happened.
    pub outcome: ProviderOutcome,
    /// Why, if it was refused.
    pub failure: Option<String>,
}

/// What the provider's word does to a payment.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Step {
    /// It goes there.
    To(PaymentState),
    /// It is there already, or further: old news.
    Stale,
}

/// What the provider's word does to a payment in state `from`; `None` says that it has not decided.
pub const fn step(from: PaymentState, said: Option<ProviderOutcome>) -> Step {
    use PaymentState::{Authorized, Canceled, Captured, Created, Failed, Processing};
    let Some(outcome) = said else {
        return match from {
            Created => Step::To(Processing),
            Processing | Authorized | Captured | Failed | Canceled => Step::Stale,
        };
    };
    match outcome {
        ProviderOutcome::Captured => match from {
            Captured => Step::Stale,
            Created | Processing | Authorized | Failed | Canceled => Step::To(Captured),
        },
        ProviderOutcome::Authorized => match from {
            Created | Processing => Step::To(Authorized),
            Authorized | Captured | Failed | Canceled => Step::Stale,
        },
        ProviderOutcome::Failed => match from {
            Created | Processing | Authorized => Step::To(Failed),
            Captured | Failed | Canceled => Step::Stale,
        },
        ProviderOutcome::Canceled => match from {
            Created | Processing | Authorized => Step::To(Canceled),
            Captured | Failed | Canceled => Step::Stale,
        },
    }
}

/// Whether a payment in this state stands in the way of another try.
pub const fn is_active(state: PaymentState) -> bool {
    use PaymentState::{Authorized, Canceled, Captured, Created, Failed, Processing};
    match state {
        Created | Processing | Authorized | Captured => true,
        Failed | Canceled => false,
    }
}

/// What to do with money that has just been captured.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Settlement {
    /// It pays the order.
    PayOrder,
    /// The order does not want it (it ended, was paid already, or has another price by now): it goes back.
    Refund,
}

/// Where captured money goes, by the state of its order and whether it is what the order costs now: a payment
/// that had failed may be captured after a coupon has changed the price. A closed order stays closed.
pub const fn settlement(order: OrderState, is_its_price: bool) -> Settlement {
    match order {
        OrderState::PendingPayment if is_its_price => Settlement::PayOrder,
        OrderState::PendingPayment
        | OrderState::GroupWait
        | OrderState::Paid
        | OrderState::Accepted
        | OrderState::Rejected
        | OrderState::Preparing
        | OrderState::Ready
        | OrderState::Delivering
        | OrderState::Completed
        | OrderState::Closed
        | OrderState::Cancelled => Settlement::Refund,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use PaymentState::*;

    #[test]
    fn the_table_of_words_and_states() {
        use ProviderOutcome as Says;
        let states = [Created, Processing, Authorized, Captured, Failed, Canceled];
        let table = [
            (None, [Some(Processing), None, None, None, None, None]),
            (Some(Says::Authorized), [Some(Authorized), Some(Authorized), None, None, None, None]),
            (
                Some(Says::Captured),
                [
                    Some(Captured),
                    Some(Captured),
                    Some(Captured),
                    None,
                    Some(Captured),
                    Some(Captured),
                ],
            ),
            (Some(Says::Failed), [Some(Failed), Some(Failed), Some(Failed), None, None, None]),
            (
                Some(Says::Canceled),
                [Some(Canceled), Some(Canceled), Some(Canceled), None, None, None],
            ),
        ];
        for (said, row) in table {
            for (from, expected) in states.into_iter().zip(row) {
                let expected = expected.map_or(Step::Stale, Step::To);
                assert_eq!(step(from, said), expected, "{from:?} hears {said:?}");
            }
        }
    }

    #[test]
    fn only_an_order_that_awaits_money_takes_it() {
        assert_eq!(settlement(OrderState::PendingPayment, true), Settlement::PayOrder);
        for order in [OrderState::Closed, OrderState::Cancelled, OrderState::Paid] {
            assert_eq!(settlement(order, true), Settlement::Refund, "{order:?}");
        }
    }

    #[test]
    fn money_of_another_amount_than_the_price_goes_back() {
        assert_eq!(settlement(OrderState::PendingPayment, false), Settlement::Refund);
    }
}
