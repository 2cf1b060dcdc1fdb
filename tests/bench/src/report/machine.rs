//! On what it was measured: without it the figures mean nothing.

use crate::orders::world::World;
use serde::Serialize;
use std::fs;
use std::time::Duration;

/// The machine, the services and their settings.
#[derive(Debug, Clone, Default, Serialize)]
pub struct Facts {
    /// Whether it was a quick run.
    pub quick: bool,
    /// How long the run took, s.
    pub took_s: u64,
    /// Processors; the generator, the servers and the services share them.
    pub processors: usize,
    /// Whether the servers had seen the diners' tokens before.
    pub tokens: String,
    /// What the processor calls itself.
    pub processor: String,
    /// Memory, MiB.
    pub memory_mib: u64,
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
            processors: std::thread::available_parallelism().map_or(0, usize::from),
            tokens: format!("{:?}", world.buyers.token_use).to_lowercase(),
            processor: proc_field("/proc/cpuinfo", "model name")
                .unwrap_or_else(|| "unknown".to_owned()),
            memory_mib: proc_field("/proc/meminfo", "MemTotal")
                .and_then(|text| text.split(' ').next()?.parse::<u64>().ok())
                .map_or(0, |kib| kib / 1_024),
            database,
            innodb_flush_log_at_trx_commit: flush,
            innodb_buffer_pool_size: memory,
            log_bin,
            redis: redis_version(world.redis_url()).await?,
        })
    }
}

/// The first value of a `name: value` file of `/proc`.
fn proc_field(file: &str, name: &str) -> Option<String> {
    field(&fs::read_to_string(file).ok()?, name)
}

fn field(text: &str, name: &str) -> Option<String> {
    text.lines().find_map(|line| {
        let (found, value) = line.split_once(':')?;
        (found.trim() == name).then(|| value.trim().to_owned())
    })
}

async fn redis_version(url: &str) -> anyhow::Result<String> {
    let client = redis::Client::open(url)?;
    let mut redis = client.get_multiplexed_async_connection().await?;
    let info: String = redis::cmd("INFO").arg("server").query_async(&mut redis).await?;
    Ok(field(&info, "redis_version").unwrap_or_else(|| "unknown".to_owned()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn fields_are_found_by_their_whole_name() {
        let text =
            "processor\t: 0\nmodel name\t: A Model: 5\nmodel name\t: Other\nMemTotal:  64 kB\n";
        assert_eq!(field(text, "model name").as_deref(), Some("A Model: 5"));
        assert_eq!(field(text, "MemTotal").as_deref(), Some("64 kB"));
        assert_eq!(field(text, "model"), None);
    }
}
