//! The two ways in which earlier systems take orders, built as well as their design allows.
//!
//! Each is a server of its own with the core's HTTP stack, tokens, rules and tables: it answers
//! `POST /v1/orders` with the same document and leaves the same rows (order, line, stock, held units,
//! outbox, Idempotency-Key). What differs is the way to the commit alone:
//! - [`row_lock`]: a transaction for each order, with `SELECT … FOR UPDATE` on its stock;
//! - [`async_ack`]: one Lua script in Redis takes the stock, the answer leaves, and the rows follow in bulk.
//!
//! Each packs the news of a transaction into one row, as the core does.
//!
//! [`shop`] is what they share, [`http`] the server around it, [`store`] the SQL.

pub mod async_ack;
pub mod http;
pub mod row_lock;
pub mod shop;
pub mod store;

use crate::limits;
use anyhow::Context as _;
use clap::{Args, Subcommand, ValueEnum};
use core_service::http::error::ApiError;
use core_service::idempotency::Answer;
use shop::{Purchase, Shop};
use sqlx::mysql::{MySqlConnectOptions, MySqlPool, MySqlPoolOptions};
use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;
use tiffin_process::log;

/// `tiffin-bench baseline`: which one.
#[derive(Debug, Subcommand)]
pub enum Baseline {
    /// A transaction for each order, with SELECT … FOR UPDATE
    RowLock {
        /// What every baseline takes.
        #[command(flatten)]
        server: ServerArgs,
        /// When the stock's row is locked.
        #[arg(long, value_enum, default_value_t = LockOrder::Late)]
        lock: LockOrder,
        /// Connections to the database.
        #[arg(long, default_value_t = limits::POOL_QUICK)]
        pool: u32,
    },
    /// Stock in Redis, the answer at once, the rows later
    AsyncAck {
        /// What every baseline takes.
        #[command(flatten)]
        server: ServerArgs,
        /// The Redis that the stock is kept in.
        #[arg(long)]
        redis: String,
    },
}

/// When a transaction locks the stock's row.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum LockOrder {
    /// First, as code is usually written: look, decide, write.
    Early,
    /// Last, so that it is held for as few round trips as possible.
    Late,
}

/// What every baseline takes.
#[derive(Debug, Args)]
pub struct ServerArgs {
    /// Where to listen.
    #[arg(long)]
    listen: SocketAddr,
    /// The core's data folder, which holds the keys.
    #[arg(long)]
    data: PathBuf,
    /// A database that a core has made and filled.
    #[arg(long)]
    database: String,
    /// Stop when standard input ends.
    #[arg(long)]
    exit_on_stdin_close: bool,
}

/// The way from a decided purchase to its answer.
pub trait Design: Send + Sync + 'static {
    /// Takes the purchase or says why not.
    fn buy(
        &self,
        shop: &Shop,
        purchase: Purchase,
    ) -> impl Future<Output = Result<Answer, ApiError>> + Send;
}

/// Runs a baseline until it is told to stop.
pub async fn run(baseline: Baseline) -> anyhow::Result<()> {
    let _log = log::start();
    match baseline {
        Baseline::RowLock { server, lock, pool } => {
            let pool = connect(&server.database, pool).await?;
            let shop = Arc::new(Shop::load(&server.data, &pool).await?);
            http::serve(&server, shop, row_lock::RowLock::new(pool, lock)).await
        }
        Baseline::AsyncAck { server, redis } => {
            let writers = u32::try_from(limits::WRITERS).context("so many writers")?;
            let pool = connect(&server.database, writers + 1).await?;
            let shop = Arc::new(Shop::load(&server.data, &pool).await?);
            let (design, writers) = async_ack::AsyncAck::start(&redis, pool).await?;
            http::serve(&server, shop, design).await?;
            // The design is gone and with it the queue's entrance: the writers write what is owed, and end.
            writers.finish().await
        }
    }
}

async fn connect(url: &str, connections: u32) -> anyhow::Result<MySqlPool> {
    let options: MySqlConnectOptions = url.parse().context("--database")?;
    MySqlPoolOptions::new()
        .min_connections(connections)
        .max_connections(connections)
        .acquire_timeout(limits::ACQUIRE_WITHIN)
        // As in the core: asking each time whether a connection lives would cost a round trip.
        .test_before_acquire(false)
        .after_connect(|conn, _| Box::pin(store::prepare_session(conn)))
        .connect_with(options)
        .await
        .context("cannot connect to the database")
}
