//! Payments and refunds against what orders are worth.
//!
//! Money stands with an order from its payment until it is taken back. A refund counts from the moment it is
//! queued: it is owed until the provider has sent it.

use super::{Check, Rule};
use crate::db::code::from_text;
use crate::db::{Conn, DbError};
use sqlx::Row as _;
use tiffin_api::audit::AuditMoney;

/// The states of orders whose money stands, as SQL.
macro_rules! standing {
    () => {
        "'GROUP_WAIT', 'PAID', 'ACCEPTED', 'PREPARING', 'READY', 'DELIVERING', 'COMPLETED'"
    };
}

/// What an order keeps: its captured payments without their refunds, and how many are kept.
macro_rules! kept {
    () => {
        "SELECT p.order_id, \
           CAST(SUM(p.amount_minor) - SUM(COALESCE(r.amount_minor, 0)) AS SIGNED) AS kept, \
           CAST(SUM(CASE WHEN r.id IS NULL THEN 1 ELSE 0 END) AS SIGNED) AS payments \
         FROM payments p LEFT JOIN refunds r ON r.payment_id = p.id \
         WHERE p.state = 'CAPTURED' GROUP BY p.order_id"
    };
}

/// All money by currency, as SQL.
macro_rules! totals {
    () => {
        concat!(
            "SELECT currency, CAST(SUM(captured) AS SIGNED) AS captured, \
               CAST(SUM(refunded) AS SIGNED) AS refunded, CAST(SUM(owed) AS SIGNED) AS owed, \
               CAST(SUM(standing) AS SIGNED) AS standing FROM ( \
               SELECT currency, SUM(amount_minor) AS captured, 0 AS refunded, 0 AS owed, \
                 0 AS standing FROM payments WHERE state = 'CAPTURED' GROUP BY currency \
               UNION ALL SELECT p.currency, 0, \
                 SUM(CASE WHEN r.state = 'SUCCEEDED' THEN r.amount_minor ELSE 0 END), \
                 SUM(CASE WHEN r.state = 'SUCCEEDED' THEN 0 ELSE r.amount_minor END), 0 \
                 FROM refunds r JOIN payments p ON p.id = r.payment_id GROUP BY p.currency \
               UNION ALL SELECT currency, 0, 0, 0, SUM(total_minor) FROM orders \
                 WHERE state IN (",
            standing!(),
            ") GROUP BY currency) parts GROUP BY currency"
        )
    };
}

pub(super) const CHECKS: &[Check] = &[Check {
    name: "money",
    compares: "captured - refunded = totals of the orders whose money stands, one payment for each that costs anything",
    rows: "SELECT COUNT(*) FROM payments",
    rules: &[
        Rule {
            name: "an order whose money stands keeps its total",
            subject: &["order"],
            figures: true,
            breaking: concat!(
                "SELECT o.id, COALESCE(m.kept, 0) AS found, o.total_minor AS expected \
                 FROM orders o LEFT JOIN (",
                kept!(),
                ") m ON m.order_id = o.id WHERE o.state IN (",
                standing!(),
                ") AND COALESCE(m.kept, 0) <> o.total_minor"
            ),
        },
        // One that costs nothing is paid without a payment; older ones have one of nothing.
        Rule {
            name: "an order whose money stands keeps one payment",
            subject: &["order"],
            figures: true,
            breaking: concat!(
                "SELECT o.id, COALESCE(m.payments, 0) AS found, 1 AS expected \
                 FROM orders o LEFT JOIN (",
                kept!(),
                ") m ON m.order_id = o.id WHERE o.state IN (",
                standing!(),
                ") AND COALESCE(m.payments, 0) <> 1 \
                 AND (o.total_minor <> 0 OR m.payments > 1)"
            ),
        },
        Rule {
            name: "any other order keeps nothing",
            subject: &["order"],
            figures: true,
            breaking: concat!(
                "SELECT o.id, m.kept AS found, 0 AS expected FROM (",
                kept!(),
                ") m JOIN orders o ON o.id = m.order_id WHERE o.state NOT IN (",
                standing!(),
                ") AND m.kept <> 0"
            ),
        },
        // One that failed may be of what the order cost before a coupon.
        Rule {
            name: "a payment has an order, whose total it asks for",
            subject: &["payment", "order"],
            figures: true,
            breaking: "SELECT p.id, p.order_id, p.amount_minor AS found, \
                         o.total_minor AS expected FROM payments p \
                       LEFT JOIN orders o ON o.id = p.order_id AND o.currency = p.currency \
                       WHERE o.id IS NULL OR (p.amount_minor <> o.total_minor \
                         AND p.state IN ('CREATED', 'PROCESSING', 'AUTHORIZED'))",
        },
        Rule {
            name: "a refund is of a captured payment's amount",
            subject: &["refund", "payment"],
            figures: true,
            breaking: "SELECT r.id, r.payment_id, r.amount_minor AS found, \
                         p.amount_minor AS expected FROM refunds r \
                       LEFT JOIN payments p ON p.id = r.payment_id AND p.state = 'CAPTURED' \
                       WHERE p.id IS NULL OR r.amount_minor <> p.amount_minor",
        },
        Rule {
            name: "captured - refunded - owed = standing, in all",
            subject: &[],
            figures: true,
            breaking: concat!(
                "SELECT t.captured - t.refunded - t.owed AS found, t.standing AS expected FROM (",
                totals!(),
                ") t WHERE t.captured - t.refunded - t.owed <> t.standing"
            ),
        },
    ],
}];

/// All money by currency.
pub async fn totals(conn: &mut Conn) -> Result<Vec<AuditMoney>, DbError> {
    let rows = sqlx::query(concat!(totals!(), " ORDER BY currency")).fetch_all(conn).await?;
    let read = |row: &crate::db::Row| {
        Ok(AuditMoney {
            currency: from_text(row.try_get("currency")?)?,
            captured_minor: row.try_get("captured")?,
            refunded_minor: row.try_get("refunded")?,
            owed_minor: row.try_get("owed")?,
            standing_minor: row.try_get("standing")?,
        })
    };
    rows.iter().map(read).collect()
}

#[cfg(test)]
mod tests {
    use crate::db::code::to_text;
    use tiffin_api::order::OrderState::{self, *};

    #[test]
    fn every_state_says_whether_its_money_stands() {
        let stands = |state: OrderState| match state {
            GroupWait | Paid | Accepted | Preparing | Ready | Delivering | Completed => true,
            PendingPayment | Rejected | Closed | Cancelled => false,
        };
        for state in [
            PendingPayment,
            GroupWait,
            Paid,
            Accepted,
            Rejected,
            Preparing,
            Ready,
            Delivering,
            Completed,
            Closed,
            Cancelled,
        ] {
            let listed = standing!().contains(&format!("'{}'", to_text(state)));
            assert_eq!(listed, stands(state), "{state:?}");
        }
    }
}
