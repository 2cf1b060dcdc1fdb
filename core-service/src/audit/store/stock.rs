//! Stock and held units against the lines of orders.

use super::{Check, Rule};

pub(super) const CHECKS: &[Check] = &[
    Check {
        name: "stock",
        compares: "on_hand = available + reserved, and nothing below zero, for every item",
        rows: "SELECT COUNT(*) FROM stock",
        rules: &[
            Rule {
                name: "on_hand = available + reserved",
                subject: &["item"],
                figures: true,
                breaking: "SELECT item_id, on_hand AS found, available + reserved AS expected \
                           FROM stock WHERE on_hand <> available + reserved",
            },
            Rule {
                name: "no units below zero",
                subject: &["item"],
                figures: false,
                breaking: "SELECT item_id FROM stock \
                           WHERE on_hand < 0 OR available < 0 OR reserved < 0 OR sold < 0",
            },
        ],
    },
    Check {
        name: "sold",
        compares: "units sold = lines of orders that were ever paid and did not return them, for every item",
        rows: "SELECT COUNT(*) FROM stock",
        rules: &[Rule {
            name: "sold = lines of paid orders",
            subject: &["item"],
            figures: true,
            breaking: "SELECT s.item_id, s.sold AS found, COALESCE(l.units, 0) AS expected \
                       FROM stock s LEFT JOIN ( \
                         SELECT l.item_id, CAST(SUM(l.quantity) AS SIGNED) AS units \
                         FROM orders o JOIN order_lines l ON l.order_id = o.id \
                         WHERE o.state NOT IN ('PENDING_PAYMENT', 'CLOSED') AND o.units_back = 0 \
                         GROUP BY l.item_id \
                       ) l ON l.item_id = s.item_id WHERE s.sold <> COALESCE(l.units, 0)",
        }],
    },
    Check {
        name: "reserved",
        compares: "units reserved = lines of orders that await their payment, for every item",
        rows: "SELECT COUNT(*) FROM stock",
        rules: &[Rule {
            name: "reserved = lines of unpaid orders",
            subject: &["item"],
            figures: true,
            breaking: "SELECT s.item_id, s.reserved AS found, COALESCE(l.units, 0) AS expected \
                       FROM stock s LEFT JOIN ( \
                         SELECT l.item_id, CAST(SUM(l.quantity) AS SIGNED) AS units \
                         FROM orders o JOIN order_lines l ON l.order_id = o.id \
                         WHERE o.state = 'PENDING_PAYMENT' GROUP BY l.item_id \
                       ) l ON l.item_id = s.item_id WHERE s.reserved <> COALESCE(l.units, 0)",
        }],
    },
    Check {
        name: "held-units",
        compares: "units that a user holds = lines of the user's unpaid orders",
        rows: "SELECT COUNT(*) FROM held_units",
        rules: &[
            Rule {
                name: "units = lines of unpaid orders",
                subject: &["user"],
                figures: true,
                breaking: "SELECT h.user_id, h.units AS found, COALESCE(u.units, 0) AS expected \
                           FROM held_units h LEFT JOIN ( \
                             SELECT o.user_id, CAST(SUM(l.quantity) AS SIGNED) AS units \
                             FROM orders o JOIN order_lines l ON l.order_id = o.id \
                             WHERE o.state = 'PENDING_PAYMENT' GROUP BY o.user_id \
                           ) u ON u.user_id = h.user_id WHERE h.units <> COALESCE(u.units, 0)",
            },
            Rule {
                name: "who has unpaid orders has a row",
                subject: &["user"],
                figures: false,
                breaking: "SELECT o.user_id FROM orders o \
                           LEFT JOIN held_units h ON h.user_id = o.user_id \
                           WHERE o.state = 'PENDING_PAYMENT' AND h.user_id IS NULL \
                           GROUP BY o.user_id",
            },
        ],
    },
];
