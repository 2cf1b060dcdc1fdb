//! Orders against their lines and their snapshots, and the feed against itself.

use super::{Check, Rule};

pub(super) const CHECKS: &[Check] = &[
    Check {
        name: "order-lines",
        compares: "every order has lines, and every line an order and stock",
        rows: "SELECT COUNT(*) FROM order_lines",
        rules: &[
            Rule {
                name: "an order has lines",
                subject: &["order"],
                figures: false,
                breaking: "SELECT o.id FROM orders o LEFT JOIN order_lines l ON l.order_id = o.id \
                           WHERE l.order_id IS NULL",
            },
            Rule {
                name: "a line has an order",
                subject: &["order", "line"],
                figures: false,
                breaking: "SELECT l.order_id, l.line_no FROM order_lines l \
                           LEFT JOIN orders o ON o.id = l.order_id WHERE o.id IS NULL",
            },
            Rule {
                name: "a line's item has stock",
                subject: &["order", "line", "item"],
                figures: false,
                breaking: "SELECT l.order_id, l.line_no, l.item_id FROM order_lines l \
                           LEFT JOIN stock s ON s.item_id = l.item_id WHERE s.item_id IS NULL",
            },
        ],
    },
    Check {
        name: "returns",
        compares: "what came to nothing after payment, and nothing else, gave back its coupons and units",
        rows: "SELECT COUNT(*) FROM orders WHERE coupons_back <> 0 OR units_back <> 0",
        rules: &[
            Rule {
                name: "only what was rejected or cancelled gave something back",
                subject: &["order"],
                figures: false,
                breaking: "SELECT id FROM orders WHERE (coupons_back <> 0 OR units_back <> 0) \
                           AND state NOT IN ('REJECTED', 'CANCELLED')",
            },
            // Only a store that has accepted an order may keep its units.
            Rule {
                name: "units come back with the coupons, and always from a rejected order",
                subject: &["order"],
                figures: true,
                breaking: "SELECT id, units_back AS found, coupons_back AS expected FROM orders \
                           WHERE units_back > coupons_back \
                             OR (state = 'REJECTED' AND units_back <> coupons_back)",
            },
        ],
    },
    Check {
        name: "snapshots",
        compares: "the newest orders' totals = the prices that they were placed at",
        rows: "SELECT COUNT(*) FROM orders WHERE id >= :newest",
        rules: &[Rule {
            name: "total = the snapshot's total",
            subject: &["order"],
            figures: true,
            breaking: "SELECT o.id, o.total_minor AS found, o.priced AS expected FROM ( \
                         SELECT id, total_minor, CASE WHEN JSON_VALID(snapshot) = 1 THEN COALESCE( \
                           CAST(JSON_EXTRACT(snapshot, '$.pricing.total_minor') AS SIGNED), -1) \
                           ELSE -1 END AS priced \
                         FROM orders WHERE id >= :newest \
                       ) o WHERE o.total_minor <> o.priced",
        }],
    },
    Check {
        name: "feed",
        compares: "the feed's numbers have no gaps, and none is given that its head does not know",
        rows: "SELECT COUNT(*) FROM feed",
        rules: &[
            // A pack begins where the one before it ends.
            Rule {
                name: "numbers without gaps",
                subject: &["first", "last"],
                figures: true,
                breaking: "SELECT f.first_seq, f.seq, f.first_seq AS found, f.expected FROM ( \
                             SELECT first_seq, seq, \
                               COALESCE(LAG(seq) OVER (ORDER BY seq) + 1, first_seq) AS expected \
                             FROM feed \
                           ) f WHERE f.first_seq <> f.expected",
            },
            Rule {
                name: "the head is not behind the last number",
                subject: &["head"],
                figures: true,
                breaking: "SELECT h.id, h.seq AS found, f.high AS expected FROM feed_head h \
                           JOIN (SELECT COALESCE(MAX(seq), 0) AS high FROM feed) f \
                           ON h.seq < f.high",
            },
        ],
    },
];
