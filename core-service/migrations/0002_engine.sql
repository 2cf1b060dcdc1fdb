-- What the commit engine keeps beside orders: units sold and held, coupons, the numbered feed, leases of node
-- numbers. Portable like the first migration; rows that exist get what they would have had.

-- Units that were ever committed to a paid order: on_hand + sold never changes by selling.
ALTER TABLE stock ADD COLUMN sold BIGINT NOT NULL DEFAULT 0;
UPDATE stock SET sold = (
    SELECT COALESCE(SUM(l.quantity), 0) FROM order_lines l JOIN orders o ON o.id = l.order_id
    WHERE l.item_id = stock.item_id AND o.state NOT IN ('PENDING_PAYMENT', 'CLOSED')
);

-- Units in a user's unpaid orders, of every store; a row stays when it falls to nothing.
CREATE TABLE held_units (
    user_id BIGINT NOT NULL PRIMARY KEY,
    units BIGINT NOT NULL,
    CHECK (units >= 0)
);
INSERT INTO held_units (user_id, units)
SELECT o.user_id, SUM(l.quantity) FROM orders o JOIN order_lines l ON l.order_id = o.id
WHERE o.state = 'PENDING_PAYMENT' GROUP BY o.user_id;

-- Answers by Idempotency-Key, in the order of their ids, which are snowflakes and so tell their age: scopes are
-- hashes, and rows that lie in the order of hashes are written all over a table that has outgrown the memory.
ALTER TABLE idempotency RENAME TO idempotency_by_scope;
CREATE TABLE idempotency (
    id BIGINT NOT NULL PRIMARY KEY,
    scope VARCHAR(64) NOT NULL UNIQUE,
    body_hash VARCHAR(64) NOT NULL,
    status BIGINT NOT NULL,
    body BLOB NOT NULL
);
INSERT INTO idempotency (id, scope, body_hash, status, body)
SELECT (created_at_ms - 1767225600000) * 4194304 + position % 4194304, scope, body_hash, status, body
FROM (SELECT i.*, ROW_NUMBER() OVER (ORDER BY created_at_ms) AS position FROM idempotency_by_scope i) AS ordered;
DROP TABLE idempotency_by_scope;

-- Coupon templates: `definition` is the template as JSON; `store_id` is 0 for one that holds in every store.
CREATE TABLE coupon_templates (
    id BIGINT NOT NULL PRIMARY KEY,
    ref VARCHAR(64) NOT NULL UNIQUE,
    store_id BIGINT NOT NULL,
    definition TEXT NOT NULL,
    version BIGINT NOT NULL,
    created_at_ms BIGINT NOT NULL
);

-- Claimed coupons. `order_id` names the order that locks or used it, and `discount_minor` what it took off.
CREATE TABLE coupons (
    id BIGINT NOT NULL PRIMARY KEY,
    template_id BIGINT NOT NULL,
    user_id BIGINT NOT NULL,
    state VARCHAR(16) NOT NULL,
    version BIGINT NOT NULL,
    order_id BIGINT NULL,
    discount_minor BIGINT NOT NULL,
    claimed_at_ms BIGINT NOT NULL,
    valid_from_ms BIGINT NOT NULL,
    expires_at_ms BIGINT NOT NULL,
    updated_at_ms BIGINT NOT NULL,
    CHECK (discount_minor >= 0)
);
CREATE INDEX coupons_by_user ON coupons (user_id, id);
CREATE INDEX coupons_by_order ON coupons (order_id);
CREATE INDEX coupons_by_expiry ON coupons (state, expires_at_ms);
CREATE INDEX coupons_by_template ON coupons (template_id);

-- How often a template was claimed and what it has spent: by everybody (`user_id` 0) or a user, on a day
-- (counted from 1970-01-01 UTC) or ever (-1). `id` is the three with colons between them.
CREATE TABLE coupon_counters (
    id VARCHAR(96) NOT NULL PRIMARY KEY,
    template_id BIGINT NOT NULL,
    user_id BIGINT NOT NULL,
    day BIGINT NOT NULL,
    claimed BIGINT NOT NULL,
    spent_minor BIGINT NOT NULL,
    CHECK (claimed >= 0),
    CHECK (spent_minor >= 0)
);
CREATE INDEX coupon_counters_by_template ON coupon_counters (template_id);

-- What happened, for readers outside the transaction: each row a pack of one transaction's news, `events` of them,
-- as a JSON array without line ends.
ALTER TABLE outbox RENAME TO outbox_of_rows;
CREATE TABLE outbox (
    id BIGINT NOT NULL PRIMARY KEY,
    events BIGINT NOT NULL,
    payload TEXT NOT NULL,
    created_at_ms BIGINT NOT NULL,
    CHECK (events > 0)
);
INSERT INTO outbox (id, events, payload, created_at_ms)
SELECT id, 1, '[{"topic":"' || topic || '","subject_id":"' || subject_id || '","payload":' || payload || '}]',
    created_at_ms
FROM outbox_of_rows;
DROP TABLE outbox_of_rows;

-- Packs whose news is numbered without gaps in the order in which readers see it: the first of a pack has the number
-- `first_seq`, the last one `seq`. The relay moves packs here from the outbox.
CREATE TABLE feed (
    seq BIGINT NOT NULL PRIMARY KEY,
    first_seq BIGINT NOT NULL,
    payload TEXT NOT NULL,
    created_at_ms BIGINT NOT NULL,
    CHECK (first_seq > 0),
    CHECK (first_seq <= seq)
);

-- The last number given, in the only row; whoever gives numbers holds its lock.
CREATE TABLE feed_head (
    id BIGINT NOT NULL PRIMARY KEY,
    seq BIGINT NOT NULL
);
INSERT INTO feed_head (id, seq) VALUES (1, 0);

-- Leases of node numbers. `owner` mints ids with instants below `minted_until_ms` (on the cores' clocks), and
-- nobody else takes the number before `lease_until_ms` (on the database's). Numbers that minted before there
-- were leases are known by their ids: 41 bits of ms since 2026-01-01 UTC, 10 of node, 12 of sequence.
CREATE TABLE nodes (
    node BIGINT NOT NULL PRIMARY KEY,
    owner VARCHAR(64) NOT NULL,
    lease_until_ms BIGINT NOT NULL,
    minted_until_ms BIGINT NOT NULL
);
INSERT INTO nodes (node, owner, lease_until_ms, minted_until_ms)
SELECT (id >> 12) & 1023, '', 0, MAX(id >> 22) + 1767225600001
FROM (
    SELECT id FROM outbox UNION ALL SELECT id FROM stores UNION ALL SELECT id FROM items
    UNION ALL SELECT id FROM deals UNION ALL SELECT id FROM orders
    UNION ALL SELECT id FROM payments UNION ALL SELECT id FROM refunds
) AS minted
GROUP BY (id >> 12) & 1023;
