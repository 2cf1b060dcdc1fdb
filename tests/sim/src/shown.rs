//! What answers show, as the model knows it.

use crate::command::Facts;
use tiffin_api::coupon::Coupon;
use tiffin_api::order::Order;
use tiffin_api::payment::Payment;

/// Something that an answer shows.
pub(crate) trait Shown: serde::de::DeserializeOwned {
    /// What it says, under an HTTP status.
    fn facts(self, status: u16) -> Facts;
}

impl Shown for Coupon {
    fn facts(self, status: u16) -> Facts {
        Facts::Coupon { status, id: self.id.raw(), state: self.state }
    }
}

impl Shown for Order {
    fn facts(self, status: u16) -> Facts {
        let payments = self.payments.iter().map(|payment| {
            let refund = payment.refunds.first().map(|refund| refund.state);
            (payment.id.raw(), payment.state, refund)
        });
        Facts::Order {
            status,
            id: self.id.raw(),
            state: self.state,
            version: self.version,
            total_minor: self.pricing.total_minor,
            payments: payments.collect(),
        }
    }
}

impl Shown for Payment {
    fn facts(self, _status: u16) -> Facts {
        Facts::Payment {
            id: self.id.raw(),
            state: self.state,
            amount_minor: self.amount_minor,
            refund: self.refunds.first().map(|refund| refund.state),
        }
    }
}
