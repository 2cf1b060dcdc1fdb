//! Loads the rows that a batch names, and those that belong to them.
//!
//! What is locked is locked in one order for every batch of every core: orders, coupons, their counters, held
//! units, stock, each by its key. Whatever hangs on an order (lines, payments, refunds) is only written under that order's lock and
//! needs none of its own. Stock comes last: it is what others wait for.

use super::WorkingSet;
use super::catalog::CatalogCache;
use super::operation::Wants;
use crate::db::{Conn, DbError, Dialect};
use crate::orders::state::{counts_as_order, holds_stock, may_come_to_nothing};
use crate::{coupons, idempotency, inventory, orders, payments};

/// Fills the working set.
pub(super) async fn load(
    catalog: &CatalogCache,
    dialect: Dialect,
    conn: &mut Conn,
    mut wants: Wants,
    ledger: &mut WorkingSet,
) -> Result<(), DbError> {
    idempotency::store::load(conn, &wants.scopes, &mut ledger.answers).await?;
    payments::store::load_inbox(conn, &wants.events, &mut ledger.inbox).await?;

    wants.payments.extend(payments::refund::payments_of(conn, &wants.refunds).await?);
    wants.orders.extend(payments::store::orders_of(conn, &wants.payments).await?);
    orders::store::lock(conn, dialect, &wants.orders, &mut ledger.orders).await?;
    orders::store::load_holds(conn, ledger.orders.keys(), &mut ledger.holds).await?;
    payments::store::load(conn, ledger.orders.keys(), &mut ledger.payments).await?;
    payments::refund::load(conn, ledger.payments.keys(), &mut ledger.refunds).await?;
    for order in ledger.orders.values() {
        let ends = wants.ending.contains(&order.id) && may_come_to_nothing(order.state);
        if holds_stock(order.state) {
            wants.users.insert(order.user_id);
        } else if !ends {
            continue;
        }
        let holds = ledger.holds.get(&order.id).into_iter().flatten();
        wants.items.extend(holds.map(|(item, _)| *item));
        let discounts = order.pricing.discounts.iter();
        wants.coupons.extend(discounts.map(|discount| discount.coupon_id));
    }
    coupons::store::load(conn, dialect, &wants, ledger).await?;

    inventory::store::lock_held(conn, dialect, wants.users, &mut ledger.held_units).await?;
    // Under the lock of the user's held units, which every order takes.
    if ledger.coupon_templates.values().any(|template| template.terms.first_order) {
        ledger.standing = orders::store::standing(conn, wants.newcomers).await?;
        // The batch may move those that it has; they are looked at themselves.
        for order in ledger.orders.values().filter(|order| counts_as_order(order.state)) {
            if let Some(others) = ledger.standing.get_mut(&order.user_id) {
                *others -= 1;
            }
        }
    }
    ledger.catalog = catalog.load(conn, &wants.stores).await?;
    inventory::store::lock(conn, dialect, wants.items, &mut ledger.stock).await
}
