//! Orders against their lines, their snapshots and the news of them.

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
        compares: "the feed has no gaps, and orders since its oldest row have news in it or on their way",
        rows: "SELECT COUNT(*) FROM feed",
        rules: &[
            Rule {
                name: "numbers without gaps",
                subject: &["first", "last"],
                figures: true,
                breaking: "SELECT f.low, f.high, f.found, f.expected FROM ( \
                             SELECT MIN(seq) AS low, MAX(seq) AS high, COUNT(*) AS found, \
                               COALESCE(MAX(seq) - MIN(seq) + 1, 0) AS expected FROM feed \
                           ) f WHERE f.found <> f.expected",
            },
            Rule {
                name: "the head is not behind the last number",
                subject: &["head"],
                figures: true,
                breaking: "SELECT h.id, h.seq AS found, f.high AS expected FROM feed_head h \
                           JOIN (SELECT COALESCE(MAX(seq), 0) AS high FROM feed) f \
                           ON h.seq < f.high",
            },
            // Old news is forgotten: whoever ordered well after the oldest news has all of his own. While
            // nothing has been numbered, the outbox has everything.
            Rule {
                name: "an order has left news",
                subject: &["order"],
                figures: false,
                breaking: "SELECT o.id FROM orders o LEFT JOIN ( \
                             SELECT subject_id FROM outbox \
                             WHERE topic = 'order.changed' AND subject_id >= :newest \
                             UNION SELECT subject_id FROM feed \
                             WHERE topic = 'order.changed' AND subject_id >= :newest \
                           ) news ON news.subject_id = o.id \
                           WHERE o.id >= :newest AND news.subject_id IS NULL \
                           AND o.created_at_ms >= ( \
                             SELECT CASE WHEN MAX(h.seq) = 0 THEN 0 \
                               ELSE COALESCE((SELECT MIN(created_at_ms) + 60000 FROM feed), \
                                 9223372036854775807) END \
                             FROM feed_head h)",
            },
        ],
    },
];
