//! Writes what a batch has changed.

use super::WorkingSet;
use crate::db::{Conn, DbError, Dialect, outbox};
use crate::ids::IdGenerator;
use crate::{coupons, idempotency, inventory, orders, payments};

/// Writes the changes, kind by kind, in bulk.
pub(super) async fn save(
    dialect: Dialect,
    ids: &IdGenerator,
    conn: &mut Conn,
    mut ledger: WorkingSet,
) -> Result<(), DbError> {
    let now_ms = ledger.now_ms;
    idempotency::store::save(conn, &ledger.answers, || ids.next()).await?;
    payments::store::save_inbox(conn, &ledger.inbox, now_ms).await?;
    orders::store::save(conn, &ledger.orders, &ledger.holds).await?;
    payments::store::save(conn, &ledger.payments).await?;
    payments::refund::save(conn, &ledger.refunds).await?;
    coupons::store::save_templates(conn, &ledger.coupon_templates).await?;
    coupons::store::save(conn, &ledger.coupons).await?;
    coupons::store::save_counters(conn, dialect, &ledger.coupon_counters).await?;
    inventory::store::save_held(conn, dialect, &ledger.held_units).await?;
    inventory::store::save(conn, &ledger.stock).await?;
    outbox::publish(conn, ids, &ledger.take_news(), now_ms).await
}
