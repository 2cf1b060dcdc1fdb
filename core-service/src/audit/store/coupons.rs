//! Coupons against their counters and their orders.

use super::{Check, Rule};

/// Wraps the rule of one shape of counter: what `$counted` counts, by the columns of `$by`.
macro_rules! claimed {
    ($name:literal, $shape:literal, $counted:literal, $by:literal) => {
        Rule {
            name: $name,
            subject: &["template", "user", "day"],
            figures: true,
            breaking: concat!(
                "SELECT n.template_id, n.user_id, n.day, n.claimed AS found, ",
                "COALESCE(c.claimed, 0) AS expected FROM coupon_counters n LEFT JOIN (",
                $counted,
                ") c ON c.template_id = n.template_id",
                $by,
                " WHERE ",
                $shape,
                " AND n.claimed <> COALESCE(c.claimed, 0)"
            ),
        }
    };
}

pub(super) const CHECKS: &[Check] = &[
    Check {
        name: "coupon-counters",
        compares: "counters of claims and spending = coupons, by template, user and day",
        rows: "SELECT COUNT(*) FROM coupon_counters",
        rules: &[
            claimed!(
                "claimed = coupons of the template",
                "n.user_id = 0 AND n.day = -1",
                "SELECT template_id, COUNT(*) AS claimed FROM coupons GROUP BY template_id",
                ""
            ),
            claimed!(
                "claimed = coupons of the user",
                "n.user_id <> 0 AND n.day = -1",
                "SELECT template_id, user_id, COUNT(*) AS claimed FROM coupons \
                 GROUP BY template_id, user_id",
                " AND c.user_id = n.user_id"
            ),
            // Whole days: `/` keeps the fraction on MySQL and drops it on SQLite, so there must be none.
            claimed!(
                "claimed = coupons of the day",
                "n.user_id = 0 AND n.day <> -1",
                "SELECT template_id, \
                 CAST((claimed_at_ms - claimed_at_ms % 86400000) / 86400000 AS SIGNED) AS on_day, \
                 COUNT(*) AS claimed FROM coupons GROUP BY template_id, on_day",
                " AND c.on_day = n.day"
            ),
            claimed!(
                "claimed = coupons of the user's day",
                "n.user_id <> 0 AND n.day <> -1",
                "SELECT template_id, user_id, \
                 CAST((claimed_at_ms - claimed_at_ms % 86400000) / 86400000 AS SIGNED) AS on_day, \
                 COUNT(*) AS claimed FROM coupons GROUP BY template_id, user_id, on_day",
                " AND c.user_id = n.user_id AND c.on_day = n.day"
            ),
            Rule {
                name: "spent = discounts of locked and used coupons",
                subject: &["template", "user", "day"],
                figures: true,
                breaking: "SELECT n.template_id, n.user_id, n.day, n.spent_minor AS found, \
                             COALESCE(c.spent, 0) AS expected \
                           FROM coupon_counters n LEFT JOIN ( \
                             SELECT template_id, CAST(SUM(discount_minor) AS SIGNED) AS spent \
                             FROM coupons WHERE state IN ('LOCKED', 'USED') GROUP BY template_id \
                           ) c ON c.template_id = n.template_id \
                             AND n.user_id = 0 AND n.day = -1 \
                           WHERE n.spent_minor <> COALESCE(c.spent, 0)",
            },
            Rule {
                name: "a template with coupons has its counter",
                subject: &["template"],
                figures: false,
                breaking: "SELECT c.template_id \
                           FROM (SELECT template_id FROM coupons GROUP BY template_id) c \
                           LEFT JOIN coupon_counters n ON n.template_id = c.template_id \
                             AND n.user_id = 0 AND n.day = -1 \
                           WHERE n.template_id IS NULL",
            },
        ],
    },
    Check {
        name: "coupon-orders",
        compares: "coupons that are locked or used = what their orders name and took off",
        rows: "SELECT COUNT(*) FROM coupons",
        rules: &[
            Rule {
                name: "a locked coupon's order awaits its payment and is its diner's",
                subject: &["coupon", "order"],
                figures: false,
                breaking: "SELECT c.id, c.order_id FROM coupons c \
                           LEFT JOIN orders o ON o.id = c.order_id AND o.user_id = c.user_id \
                             AND o.state = 'PENDING_PAYMENT' \
                           WHERE c.state = 'LOCKED' AND o.id IS NULL",
            },
            Rule {
                name: "a used coupon's order was paid and is its diner's",
                subject: &["coupon", "order"],
                figures: false,
                breaking: "SELECT c.id, c.order_id FROM coupons c \
                           LEFT JOIN orders o ON o.id = c.order_id AND o.user_id = c.user_id \
                             AND o.state NOT IN ('PENDING_PAYMENT', 'CLOSED') \
                             AND o.coupons_back = 0 \
                           WHERE c.state = 'USED' AND o.id IS NULL",
            },
            Rule {
                name: "a coupon that no order has takes nothing off",
                subject: &["coupon", "order"],
                figures: false,
                breaking: "SELECT id, order_id FROM coupons WHERE state NOT IN ('LOCKED', 'USED') \
                           AND (order_id IS NOT NULL OR discount_minor <> 0)",
            },
            // An id in quotes: no other number of the document contains it.
            Rule {
                name: "the order names the coupon",
                subject: &["coupon", "order"],
                figures: false,
                breaking: "SELECT c.id, c.order_id FROM coupons c \
                           JOIN orders o ON o.id = c.order_id \
                           WHERE c.state IN ('LOCKED', 'USED') AND c.order_id >= :newest \
                           AND INSTR(o.snapshot, REPLACE('\"#\"', '#', CAST(c.id AS CHAR))) = 0",
            },
            // A coupon that two orders name is held by one of them at most: the other one's sum is short.
            Rule {
                name: "what the order took off = what its coupons take off",
                subject: &["order"],
                figures: true,
                breaking: "SELECT o.id, o.taken AS found, COALESCE(c.discount, 0) AS expected \
                           FROM ( \
                             SELECT id, CASE WHEN JSON_VALID(snapshot) = 1 THEN COALESCE( \
                               CAST(JSON_EXTRACT(snapshot, '$.pricing.discount_minor') AS SIGNED), \
                               0) ELSE 0 END AS taken \
                             FROM orders WHERE id >= :newest AND state <> 'CLOSED' \
                               AND coupons_back = 0 \
                           ) o LEFT JOIN ( \
                             SELECT order_id, CAST(SUM(discount_minor) AS SIGNED) AS discount \
                             FROM coupons WHERE order_id >= :newest GROUP BY order_id \
                           ) c ON c.order_id = o.id WHERE o.taken <> COALESCE(c.discount, 0)",
            },
        ],
    },
];
