//! Baseline (b): one Lua script in Redis takes the stock and remembers the key, the answer leaves, and the
//! rows follow from a queue, in bulk. Fast; an order that was answered is lost if this process ends before
//! its rows are written, and so is every one that Redis loses.
//!
//! As good as the design allows: one round trip on a shared, pipelining connection for each order, writers
//! that commit up to [`limits::WRITER_BATCH`] orders at once, and a queue of at most [`limits::OWED_ORDERS`];
//! when that is full, clients wait: a queue without a bound would only owe ever more.

use super::shop::{Purchase, Sale, Shop, out_of_stock, refusal};
use super::{Design, store};
use crate::limits;
use anyhow::Context as _;
use core_service::http::error::ApiError;
use core_service::idempotency::Answer;
use redis::aio::MultiplexedConnection;
use redis::{AsyncConnectionConfig, Script};
use sqlx::mysql::MySqlPool;
use std::sync::Arc;
use tiffin_api::{ErrorCode, Problem};
use tokio::sync::{Mutex, mpsc};
use tokio::task::JoinHandle;

/// Takes all of it or nothing. KEYS: the Idempotency-Key, then the stock of each item; ARGV: how long to
/// remember the key in ms, then the units of each. Answers 0 if taken, -1 for a repeat, otherwise the
/// number of the item that is short and what is left of it.
const TAKE: &str = "
if redis.call('EXISTS', KEYS[1]) == 1 then return {-1, 0} end
for i = 2, #KEYS do
  local left = tonumber(redis.call('GET', KEYS[i]) or '0')
  if left < tonumber(ARGV[i]) then return {i - 1, left} end
end
for i = 2, #KEYS do redis.call('DECRBY', KEYS[i], ARGV[i]) end
redis.call('SET', KEYS[1], '1', 'PX', ARGV[1])
return {0, 0}
";

/// What the script says.
const TAKEN: i64 = 0;
const REPEAT: i64 = -1;

/// The design.
pub struct AsyncAck {
    redis: MultiplexedConnection,
    script: Script,
    owed: mpsc::Sender<Sale>,
    pool: MySqlPool,
}

/// Those who write what is owed.
pub struct Writers(Vec<JoinHandle<()>>);

impl Writers {
    /// Waits until all that is owed is written; the queue's entrance must be closed.
    pub async fn finish(self) -> anyhow::Result<()> {
        for writer in self.0 {
            writer.await.context("a writer failed")?;
        }
        Ok(())
    }
}

impl AsyncAck {
    /// Puts the ledger's stock into Redis and starts the writers.
    pub async fn start(redis_url: &str, pool: MySqlPool) -> anyhow::Result<(Self, Writers)> {
        let client = redis::Client::open(redis_url).context("--redis")?;
        let config = AsyncConnectionConfig::new().set_response_timeout(Some(limits::REDIS_WITHIN));
        let mut redis = client
            .get_multiplexed_async_connection_with_config(&config)
            .await
            .context("cannot connect to Redis")?;
        let mut load = redis::pipe();
        for (item_id, available) in store::all_stock(&pool).await? {
            load.set(stock_key(item_id), available).ignore();
        }
        load.exec_async(&mut redis).await.context("cannot fill Redis")?;

        let (owed, queue) = mpsc::channel(limits::OWED_ORDERS);
        let queue = Arc::new(Mutex::new(queue));
        let writers = (0..limits::WRITERS)
            .map(|_| tokio::spawn(write_forever(Arc::clone(&queue), pool.clone())))
            .collect();
        Ok((Self { redis, script: Script::new(TAKE), owed, pool }, Writers(writers)))
    }

    async fn take(&self, sale: &Sale) -> Result<(i64, i64), redis::RedisError> {
        let mut call = self.script.prepare_invoke();
        call.key(format!("ack:key:{}", sale.keyed.scope)).arg(limits::REMEMBER_MS);
        for (item_id, quantity) in &sale.holds {
            call.key(stock_key(item_id.raw())).arg(*quantity);
        }
        call.invoke_async(&mut self.redis.clone()).await
    }

    /// The answer to a repeat, once its first is written.
    async fn replay(&self, sale: &Sale) -> Result<Answer, ApiError> {
        let Some((body_hash, answer)) = store::recorded(&self.pool, &sale.keyed.scope).await?
        else {
            return Err(Problem::new(ErrorCode::IdempotencyInFlight, "retry in a moment").into());
        };
        sale.keyed.require_same_body(&body_hash)?;
        Ok(answer)
    }
}

impl Design for AsyncAck {
    async fn buy(&self, shop: &Shop, purchase: Purchase) -> Result<Answer, ApiError> {
        // Whatever is left, the rest of the decision is the same: Redis decides about the stock.
        let sale = shop.decide(&purchase, &Shop::wanted(&purchase)).map_err(ApiError)?;
        let taken = self.take(&sale).await.map_err(|error| {
            tracing::error!(%error, "Redis failed");
            ApiError::unavailable("Redis does not answer")
        })?;
        match taken {
            (TAKEN, _) => {
                let answer = sale.answer.clone();
                let queued = self.owed.send(sale).await;
                queued.map_err(|_| ApiError::unavailable("the server stops"))?;
                Ok(answer)
            }
            (REPEAT, _) => self.replay(&sale).await,
            (item, left) => {
                let short =
                    usize::try_from(item - 1).ok().and_then(|item| sale.holds.iter().nth(item));
                let (item_id, wanted) = short.ok_or_else(ApiError::internal)?;
                Ok(refusal(&out_of_stock(*item_id, left, *wanted)))
            }
        }
    }
}

fn stock_key(item_id: i64) -> String {
    format!("ack:stock:{item_id}")
}

/// Writes batch after batch until the queue is closed and empty. A batch is what gathered while the one
/// before was written.
async fn write_forever(queue: Arc<Mutex<mpsc::Receiver<Sale>>>, pool: MySqlPool) {
    let mut batch = Vec::with_capacity(limits::WRITER_BATCH);
    loop {
        queue.lock().await.recv_many(&mut batch, limits::WRITER_BATCH).await;
        if batch.is_empty() {
            return;
        }
        for attempt in 1.. {
            match store::write_batch(&pool, &batch).await {
                Ok(()) => break,
                Err(error) if attempt < limits::TRIES => {
                    tracing::warn!(%error, attempt, "a batch is tried again");
                }
                Err(error) => {
                    // This is how the design loses orders.
                    tracing::error!(%error, orders = batch.len(), "a batch is lost");
                    break;
                }
            }
        }
        batch.clear();
    }
}
