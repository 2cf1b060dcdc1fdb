//! On what it was measured: the machine, the services and their settings.

use crate::orders::world::World;
use crate::report::machine::{Machine, field};
use serde::Serialize;
use std::time::Duration;

/// The machine, the services and their settings.
#[derive(Debug, Clone, Default, Serialize)]
pub struct Facts {
    /// Whether it was a quick run.
    pub quick: bool,
    /// How long the run took, s.
    pub took_s: u64,
    /// What the generator, the servers and the services share.
    #[serde(flatten)]
    pub machine: Machine,
    /// Whether the servers had seen the diners' tokens before.
    pub tokens: String,
    /// The database server's version.
    pub database: String,
    /// When a commit reaches the disk: 1 is before it is answered.
    pub innodb_flush_log_at_trx_commit: String,
    /// The database's memory, bytes.
    pub innodb_buffer_pool_size: String,
    /// Whether the server writes a binary log, too.
    pub log_bin: String,
    /// Redis's version.
    pub redis: String,
}

impl Facts {
    /// Asks the machine and the services.
    pub async fn gather(world: &World, quick: bool, took: Duration) -> anyhow::Result<Self> {
        let [database, flush, memory, log_bin] = world
            .database_settings([
                "version",
                "innodb_flush_log_at_trx_commit",
                "innodb_buffer_pool_size",
                "log_bin",
            ])
            .await?;
        Ok(Self {
            quick,
            took_s: took.as_secs(),
            machine: Machine::gather(),
            tokens: format!("{:?}", world.buyers.token_use).to_lowercase(),
            database,
            innodb_flush_log_at_trx_commit: flush,
            innodb_buffer_pool_size: memory,
            log_bin,
            redis: redis_version(world.redis_url()).await?,
        })
    }
}

async fn redis_version(url: &str) -> anyhow::Result<String> {
    let client = redis::Client::open(url)?;
    let mut redis = client.get_multiplexed_async_connection().await?;
    let info: String = redis::cmd("INFO").arg("server").query_async(&mut redis).await?;
    Ok(field(&info, "redis_version").unwrap_or_else(|| "unknown".to_owned()))
}
