//! Baseline (a): a transaction for each order, with `SELECT … FOR UPDATE` on its stock, answered after the
//! commit. As safe as the core; every order of a hot item waits for the one before it.
//!
//! As good as the design allows: the catalogue is in memory, statements stay prepared, isolation is READ
//! COMMITTED, and the key's record is written first, where its primary key finds a repeat without asking.
//! With [`LockOrder::Late`] everything that does not depend on the stock is written before the lock.

use super::shop::{Purchase, Sale, Shop, out_of_stock, refusal};
use super::{Design, LockOrder, store};
use crate::limits;
use core_service::http::error::ApiError;
use core_service::idempotency::Answer;
use sqlx::mysql::{MySqlConnection, MySqlPool};
use std::collections::BTreeMap;
use tiffin_api::id::ItemId;
use tiffin_api::{ErrorCode, Problem};

/// The design.
pub struct RowLock {
    pool: MySqlPool,
    lock: LockOrder,
}

/// How a transaction ended.
enum Ended {
    /// Committed.
    Sold,
    /// Rolled back: too little is left.
    Short(Problem),
    /// Rolled back: the key was answered before.
    Repeat,
}

impl RowLock {
    /// On this pool.
    pub fn new(pool: MySqlPool, lock: LockOrder) -> Self {
        Self { pool, lock }
    }

    async fn sell(&self, sale: &Sale) -> Result<Ended, sqlx::Error> {
        let mut tx = self.pool.begin().await?;
        let outcome = match self.lock {
            LockOrder::Early => match take_stock(&mut tx, &sale.holds).await? {
                Some(short) => Ended::Short(short),
                None => write(&mut tx, sale).await?,
            },
            LockOrder::Late => match write(&mut tx, sale).await? {
                Ended::Sold => {
                    take_stock(&mut tx, &sale.holds).await?.map_or(Ended::Sold, Ended::Short)
                }
                other => other,
            },
        };
        match outcome {
            Ended::Sold => tx.commit().await?,
            Ended::Short(_) | Ended::Repeat => tx.rollback().await?,
        }
        Ok(outcome)
    }
}

impl Design for RowLock {
    async fn buy(&self, shop: &Shop, purchase: Purchase) -> Result<Answer, ApiError> {
        // Whatever is left, the rest of the decision is the same: the lock decides about the stock.
        let enough = Shop::wanted(&purchase);
        let sale = shop.decide(&purchase, &enough).map_err(ApiError)?;
        let mut tries = 0;
        let ended = loop {
            tries += 1;
            match self.sell(&sale).await {
                Err(error) if tries < limits::TRIES && store::is_conflict(&error) => {}
                outcome => break outcome?,
            }
        };
        match ended {
            Ended::Sold => Ok(sale.answer),
            Ended::Short(problem) => {
                let answer = refusal(&problem);
                let mut conn = self.pool.acquire().await?;
                store::record(&mut conn, sale.order.id, &sale.keyed, &answer).await?;
                Ok(answer)
            }
            Ended::Repeat => replay(&self.pool, &sale).await,
        }
    }
}

/// Locks the stock in the order of the items' ids and takes what is wanted, or says what is short.
async fn take_stock(
    conn: &mut MySqlConnection,
    holds: &BTreeMap<ItemId, i64>,
) -> Result<Option<Problem>, sqlx::Error> {
    for (item_id, wanted) in holds {
        let available = store::available_locked(conn, *item_id).await?;
        if available < *wanted {
            return Ok(Some(out_of_stock(*item_id, available, *wanted)));
        }
    }
    for (item_id, wanted) in holds {
        store::reserve(conn, *item_id, *wanted).await?;
    }
    Ok(None)
}

async fn write(conn: &mut MySqlConnection, sale: &Sale) -> Result<Ended, sqlx::Error> {
    if !store::record(conn, sale.order.id, &sale.keyed, &sale.answer).await? {
        return Ok(Ended::Repeat);
    }
    store::insert_sales(conn, std::slice::from_ref(sale)).await?;
    Ok(Ended::Sold)
}

async fn replay(pool: &MySqlPool, sale: &Sale) -> Result<Answer, ApiError> {
    let recorded = store::recorded(pool, &sale.keyed.scope).await?;
    let Some((body_hash, answer)) = recorded else {
        return Err(Problem::new(ErrorCode::IdempotencyInFlight, "retry in a moment").into());
    };
    sale.keyed.require_same_body(&body_hash)?;
    Ok(answer)
}
