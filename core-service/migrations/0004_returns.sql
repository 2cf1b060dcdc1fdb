-- What came back of orders that came to nothing after they had been paid, 0 or 1 each. Orders that ended before this
-- was kept have 0: their coupons stayed used, and their units sold.
ALTER TABLE orders ADD COLUMN coupons_back BIGINT NOT NULL DEFAULT 0;
ALTER TABLE orders ADD COLUMN units_back BIGINT NOT NULL DEFAULT 0;
