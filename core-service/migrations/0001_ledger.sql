-- The ledger. Portable SQL only: BIGINT, VARCHAR, TEXT, BLOB; instants are BIGINT ms UTC; money is
-- BIGINT minor units. Every table says what it is for; rules the database can hold, it holds.

-- Stores; `definition` is the imported row as JSON. `version` grows with every edit of the store or its menu.
CREATE TABLE stores (
    id BIGINT NOT NULL PRIMARY KEY,
    ref VARCHAR(64) NOT NULL UNIQUE,
    definition TEXT NOT NULL,
    version BIGINT NOT NULL
);

-- Sections of menus.
CREATE TABLE categories (
    store_id BIGINT NOT NULL,
    ref VARCHAR(64) NOT NULL,
    position BIGINT NOT NULL,
    definition TEXT NOT NULL,
    PRIMARY KEY (store_id, ref)
);

-- What stores sell.
CREATE TABLE items (
    id BIGINT NOT NULL PRIMARY KEY,
    store_id BIGINT NOT NULL,
    ref VARCHAR(64) NOT NULL,
    category_ref VARCHAR(64) NOT NULL,
    position BIGINT NOT NULL,
    definition TEXT NOT NULL,
    UNIQUE (store_id, ref)
);

-- How many units of an item there are. Stock moves only available -> reserved -> gone or back.
CREATE TABLE stock (
    item_id BIGINT NOT NULL PRIMARY KEY,
    on_hand BIGINT NOT NULL,
    available BIGINT NOT NULL,
    reserved BIGINT NOT NULL,
    version BIGINT NOT NULL,
    CHECK (available >= 0),
    CHECK (reserved >= 0),
    CHECK (on_hand = available + reserved)
);

-- Deals (flash sales); the clock and `status` give the phase.
CREATE TABLE deals (
    id BIGINT NOT NULL PRIMARY KEY,
    store_id BIGINT NOT NULL,
    ref VARCHAR(64) NOT NULL,
    item_id BIGINT NOT NULL,
    definition TEXT NOT NULL,
    start_ms BIGINT NOT NULL,
    end_ms BIGINT NOT NULL,
    status VARCHAR(16) NOT NULL,
    version BIGINT NOT NULL,
    UNIQUE (store_id, ref),
    CHECK (start_ms < end_ms)
);
CREATE INDEX deals_by_end ON deals (end_ms);

-- Orders; `snapshot` is the basket and its price as decided, as JSON, never recomputed.
CREATE TABLE orders (
    id BIGINT NOT NULL PRIMARY KEY,
    store_id BIGINT NOT NULL,
    user_id BIGINT NOT NULL,
    state VARCHAR(32) NOT NULL,
    version BIGINT NOT NULL,
    currency VARCHAR(3) NOT NULL,
    total_minor BIGINT NOT NULL,
    snapshot TEXT NOT NULL,
    created_at_ms BIGINT NOT NULL,
    updated_at_ms BIGINT NOT NULL,
    pay_by_ms BIGINT NOT NULL,
    CHECK (total_minor >= 0)
);
CREATE INDEX orders_by_user ON orders (user_id, id);
CREATE INDEX orders_by_deadline ON orders (state, pay_by_ms);

-- What an order holds of the stock.
CREATE TABLE order_lines (
    order_id BIGINT NOT NULL,
    line_no BIGINT NOT NULL,
    item_id BIGINT NOT NULL,
    quantity BIGINT NOT NULL,
    PRIMARY KEY (order_id, line_no),
    CHECK (quantity > 0)
);

-- Tries at collecting the money of an order. The id is also the provider's idempotency key. `scope` and
-- `body_hash` are those of the request: a retry after a crash goes on with the same payment. While the
-- payment is undecided, a job asks the provider about it at `ask_at_ms`.
CREATE TABLE payments (
    id BIGINT NOT NULL PRIMARY KEY,
    scope VARCHAR(64) NOT NULL UNIQUE,
    body_hash VARCHAR(64) NOT NULL,
    ask_at_ms BIGINT NOT NULL,
    order_id BIGINT NOT NULL,
    state VARCHAR(16) NOT NULL,
    version BIGINT NOT NULL,
    amount_minor BIGINT NOT NULL,
    currency VARCHAR(3) NOT NULL,
    method VARCHAR(32) NOT NULL,
    failure VARCHAR(255) NULL,
    created_at_ms BIGINT NOT NULL,
    updated_at_ms BIGINT NOT NULL,
    CHECK (amount_minor >= 0)
);
CREATE INDEX payments_by_order ON payments (order_id, id);
CREATE INDEX payments_by_ask ON payments (state, ask_at_ms);

-- Money on its way back. At most one refund of a payment, of its whole amount, for now.
CREATE TABLE refunds (
    id BIGINT NOT NULL PRIMARY KEY,
    payment_id BIGINT NOT NULL UNIQUE,
    state VARCHAR(16) NOT NULL,
    amount_minor BIGINT NOT NULL,
    retry_at_ms BIGINT NOT NULL,
    created_at_ms BIGINT NOT NULL,
    updated_at_ms BIGINT NOT NULL,
    CHECK (amount_minor > 0)
);
CREATE INDEX refunds_by_retry ON refunds (state, retry_at_ms);

-- Webhooks that were heard, by the provider's event id: a repeat changes nothing.
CREATE TABLE webhook_inbox (
    provider VARCHAR(32) NOT NULL,
    event_id VARCHAR(128) NOT NULL,
    payment_id BIGINT NOT NULL,
    received_at_ms BIGINT NOT NULL,
    PRIMARY KEY (provider, event_id)
);

-- Answers by Idempotency-Key, written in the business transaction. `scope` is a SHA-256 over principal,
-- method, route and key.
CREATE TABLE idempotency (
    scope VARCHAR(64) NOT NULL PRIMARY KEY,
    body_hash VARCHAR(64) NOT NULL,
    status BIGINT NOT NULL,
    body BLOB NOT NULL,
    created_at_ms BIGINT NOT NULL
);
CREATE INDEX idempotency_by_age ON idempotency (created_at_ms);

-- What happened, for readers outside the transaction; a relay numbers and publishes it.
CREATE TABLE outbox (
    id BIGINT NOT NULL PRIMARY KEY,
    topic VARCHAR(64) NOT NULL,
    subject_id BIGINT NOT NULL,
    payload TEXT NOT NULL,
    created_at_ms BIGINT NOT NULL
);

-- The memory of the sandbox payment provider: no other module reads it.
CREATE TABLE sandbox_payments (
    payment_id BIGINT NOT NULL PRIMARY KEY,
    outcome VARCHAR(16) NOT NULL,
    amount_minor BIGINT NOT NULL,
    currency VARCHAR(3) NOT NULL,
    refund_id BIGINT NULL,
    refunded_minor BIGINT NOT NULL,
    CHECK (refunded_minor >= 0),
    CHECK (refunded_minor <= amount_minor)
);
