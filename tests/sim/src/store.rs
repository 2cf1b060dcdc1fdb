//! What the ledger holds, read whole after every step.

use core_service::db::code::from_text;
use core_service::db::{Conn, Db, DbError, outbox};
use sqlx::Row as _;
use std::collections::{BTreeMap, BTreeSet};
use tiffin_api::coupon::CouponState;
use tiffin_api::order::OrderState;
use tiffin_api::payment::{PaymentState, RefundState};

/// A row of stock.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Stock {
    /// Units that are there.
    pub(crate) on_hand: i64,
    /// Units that anybody may still have.
    pub(crate) available: i64,
    /// Units in unpaid orders.
    pub(crate) reserved: i64,
    /// Units that went with paid orders.
    pub(crate) sold: i64,
}

/// An order with its lines.
#[derive(Debug, Clone)]
pub(crate) struct Order {
    /// Who ordered.
    pub(crate) user: i64,
    /// Where it stands.
    pub(crate) state: OrderState,
    /// Moves so far, its birth included.
    pub(crate) version: i64,
    /// Minor units.
    pub(crate) total_minor: i64,
    /// When its time to pay is over.
    pub(crate) pay_by_ms: i64,
    /// Its units can be sold again, though it was paid.
    pub(crate) units_back: bool,
    /// Units by item.
    pub(crate) units: BTreeMap<i64, i64>,
}

/// A payment with its refund.
#[derive(Debug, Clone)]
pub(crate) struct Payment {
    /// What it pays.
    pub(crate) order: i64,
    /// Where it stands.
    pub(crate) state: PaymentState,
    /// Moves so far, its birth included.
    pub(crate) version: i64,
    /// Minor units.
    pub(crate) amount_minor: i64,
    /// When a job asks about it.
    pub(crate) ask_at_ms: i64,
    /// Its money on the way back.
    pub(crate) refund: Option<Refund>,
}

/// A refund.
#[derive(Debug, Clone)]
pub(crate) struct Refund {
    /// Its id.
    pub(crate) id: i64,
    /// Where it stands.
    pub(crate) state: RefundState,
    /// Minor units.
    pub(crate) amount_minor: i64,
    /// When it is sent again.
    pub(crate) retry_at_ms: i64,
}

/// A coupon.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Coupon {
    /// What it was claimed from.
    pub(crate) template: i64,
    /// Whose.
    pub(crate) user: i64,
    /// Where it stands.
    pub(crate) state: CouponState,
    /// The order that holds it or used it.
    pub(crate) order: Option<i64>,
    /// What it takes off that, minor units.
    pub(crate) discount_minor: i64,
    /// First instant at which it may be used no longer.
    pub(crate) expires_at_ms: i64,
}

/// An answer that stands under a key.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Answer {
    /// The HTTP status.
    pub(crate) status: i64,
    /// The body's bytes.
    pub(crate) body: Vec<u8>,
}

/// Everything that the simulation looks at.
#[derive(Debug, Clone, Default)]
pub(crate) struct Ledger {
    /// Stock by item.
    pub(crate) stock: BTreeMap<i64, Stock>,
    /// Orders.
    pub(crate) orders: BTreeMap<i64, Order>,
    /// Payments.
    pub(crate) payments: BTreeMap<i64, Payment>,
    /// Held units by user.
    pub(crate) held: BTreeMap<i64, i64>,
    /// Coupons.
    pub(crate) coupons: BTreeMap<i64, Coupon>,
    /// What is counted of each template, by everybody and ever: claimed, and spent in minor units.
    pub(crate) counters: BTreeMap<i64, (i64, i64)>,
    /// Answers by scope.
    pub(crate) answers: BTreeMap<String, Answer>,
    /// Webhooks that were taken.
    pub(crate) inbox: BTreeSet<String>,
    /// News by topic and subject, the oldest first.
    pub(crate) news: BTreeMap<(String, i64), Vec<String>>,
}

/// The items and stores by the merchant's names.
pub(crate) async fn names(
    db: &Db,
) -> Result<(BTreeMap<String, i64>, BTreeMap<String, i64>), DbError> {
    let conn = &mut *db.read().await?;
    let mut read = async |statement: &'static str| -> Result<BTreeMap<String, i64>, DbError> {
        let rows = sqlx::query(statement).fetch_all(&mut *conn).await?;
        rows.iter().map(|row| Ok((row.try_get("ref")?, row.try_get("id")?))).collect()
    };
    Ok((read("SELECT ref, id FROM items").await?, read("SELECT ref, id FROM stores").await?))
}

/// Ends the leases of all nodes, as time does for cores that do not renew them.
pub(crate) async fn end_leases(db: &Db) -> Result<(), DbError> {
    let mut tx = db.write().await?;
    sqlx::query("UPDATE nodes SET lease_until_ms = 0").execute(&mut *tx).await?;
    tx.commit().await
}

impl Ledger {
    /// Reads it.
    pub(crate) async fn read(db: &Db) -> Result<Self, DbError> {
        let conn = &mut *db.read().await?;
        let mut ledger = Self::default();
        ledger.read_stock(conn).await?;
        ledger.read_orders(conn).await?;
        ledger.read_payments(conn).await?;
        ledger.read_coupons(conn).await?;
        ledger.read_records(conn).await?;
        Ok(ledger)
    }

    async fn read_stock(&mut self, conn: &mut Conn) -> Result<(), DbError> {
        let stock = "SELECT item_id, on_hand, available, reserved, sold FROM stock";
        for row in sqlx::query(stock).fetch_all(&mut *conn).await? {
            let stock = Stock {
                on_hand: row.try_get("on_hand")?,
                available: row.try_get("available")?,
                reserved: row.try_get("reserved")?,
                sold: row.try_get("sold")?,
            };
            self.stock.insert(row.try_get("item_id")?, stock);
        }
        for row in sqlx::query("SELECT user_id, units FROM held_units").fetch_all(conn).await? {
            self.held.insert(row.try_get("user_id")?, row.try_get("units")?);
        }
        Ok(())
    }

    async fn read_orders(&mut self, conn: &mut Conn) -> Result<(), DbError> {
        let orders = "SELECT id, user_id, state, version, total_minor, pay_by_ms, units_back \
                      FROM orders";
        for row in sqlx::query(orders).fetch_all(&mut *conn).await? {
            let order = Order {
                user: row.try_get("user_id")?,
                state: from_text(row.try_get("state")?)?,
                version: row.try_get("version")?,
                total_minor: row.try_get("total_minor")?,
                pay_by_ms: row.try_get("pay_by_ms")?,
                units_back: row.try_get::<i64, _>("units_back")? != 0,
                units: BTreeMap::new(),
            };
            self.orders.insert(row.try_get("id")?, order);
        }
        let lines = "SELECT order_id, item_id, quantity FROM order_lines";
        for row in sqlx::query(lines).fetch_all(conn).await? {
            let order: i64 = row.try_get("order_id")?;
            let lost = || DbError::inconsistent(format!("a line of order {order}, which is gone"));
            let order = self.orders.get_mut(&order).ok_or_else(lost)?;
            *order.units.entry(row.try_get("item_id")?).or_default() +=
                row.try_get::<i64, _>("quantity")?;
        }
        Ok(())
    }

    async fn read_payments(&mut self, conn: &mut Conn) -> Result<(), DbError> {
        let payments = "SELECT id, order_id, state, version, amount_minor, ask_at_ms FROM payments";
        for row in sqlx::query(payments).fetch_all(&mut *conn).await? {
            let payment = Payment {
                order: row.try_get("order_id")?,
                state: from_text(row.try_get("state")?)?,
                version: row.try_get("version")?,
                amount_minor: row.try_get("amount_minor")?,
                ask_at_ms: row.try_get("ask_at_ms")?,
                refund: None,
            };
            self.payments.insert(row.try_get("id")?, payment);
        }
        let refunds = "SELECT id, payment_id, state, amount_minor, retry_at_ms FROM refunds";
        for row in sqlx::query(refunds).fetch_all(conn).await? {
            let refund = Refund {
                id: row.try_get("id")?,
                state: from_text(row.try_get("state")?)?,
                amount_minor: row.try_get("amount_minor")?,
                retry_at_ms: row.try_get("retry_at_ms")?,
            };
            let payment: i64 = row.try_get("payment_id")?;
            let lost =
                || DbError::inconsistent(format!("a refund of payment {payment}, which is gone"));
            self.payments.get_mut(&payment).ok_or_else(lost)?.refund = Some(refund);
        }
        Ok(())
    }

    async fn read_coupons(&mut self, conn: &mut Conn) -> Result<(), DbError> {
        let coupons = "SELECT id, template_id, user_id, state, order_id, discount_minor, \
                       expires_at_ms FROM coupons";
        for row in sqlx::query(coupons).fetch_all(&mut *conn).await? {
            let coupon = Coupon {
                template: row.try_get("template_id")?,
                user: row.try_get("user_id")?,
                state: from_text(row.try_get("state")?)?,
                order: row.try_get("order_id")?,
                discount_minor: row.try_get("discount_minor")?,
                expires_at_ms: row.try_get("expires_at_ms")?,
            };
            self.coupons.insert(row.try_get("id")?, coupon);
        }
        let counters = "SELECT template_id, claimed, spent_minor FROM coupon_counters \
                        WHERE user_id = 0 AND day = -1";
        for row in sqlx::query(counters).fetch_all(conn).await? {
            let counted = (row.try_get("claimed")?, row.try_get("spent_minor")?);
            self.counters.insert(row.try_get("template_id")?, counted);
        }
        Ok(())
    }

    async fn read_records(&mut self, conn: &mut Conn) -> Result<(), DbError> {
        let answers = "SELECT scope, status, body FROM idempotency";
        for row in sqlx::query(answers).fetch_all(&mut *conn).await? {
            let answer = Answer { status: row.try_get("status")?, body: row.try_get("body")? };
            self.answers.insert(row.try_get("scope")?, answer);
        }
        for row in sqlx::query("SELECT event_id FROM webhook_inbox").fetch_all(&mut *conn).await? {
            self.inbox.insert(row.try_get("event_id")?);
        }
        let packs = "SELECT events, payload FROM outbox ORDER BY id";
        for row in sqlx::query(packs).fetch_all(conn).await? {
            let pack = outbox::unpack(row.try_get("payload")?)?;
            let (counted, held): (i64, _) = (row.try_get("events")?, pack.len());
            if i64::try_from(held) != Ok(counted) {
                let what = format!("a pack of {counted} pieces of news holds {held}");
                return Err(DbError::inconsistent(what));
            }
            for news in pack {
                let subject = news.subject_id.parse().map_err(|_| {
                    DbError::inconsistent(format!("news of {:?}, which is no id", news.subject_id))
                })?;
                let of = (news.topic.to_owned(), subject);
                self.news.entry(of).or_default().push(news.payload.get().to_owned());
            }
        }
        Ok(())
    }
}
