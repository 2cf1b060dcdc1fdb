//! A store on a Redis server (or Valkey), which many nodes share.
//!
//! As in Spin a key is the server's key, without a prefix: labels with one URL share their entries, and a database of
//! the server's own (`redis://host/1`) keeps them apart. One multiplexed connection carries all operations and comes
//! back by itself. Every operation may be done twice, so one that meets a lost connection is asked once more.

use std::collections::BTreeSet;

use ::redis::aio::{ConnectionManager, ConnectionManagerConfig};
use ::redis::io::tcp::TcpSettings;
use ::redis::{Client, FromRedisValue, IntoConnectionInfo as _, Pipeline, RedisError};

use super::store::{Failure, Listing, check_read};
use crate::limits;

/// The connection.
pub(super) struct Redis(ConnectionManager);

impl Redis {
    /// Connects in the background. Must be called within a tokio runtime.
    ///
    /// # Errors
    /// Why the URL is none, in one sentence.
    pub(super) fn open(url: &str) -> Result<Self, String> {
        // The reason and not the URL: it may have a password.
        let explain = |error: RedisError| format!("the url is not good ({error})");
        let tcp = TcpSettings::default().set_nodelay(true);
        let info = url.into_connection_info().map_err(explain)?.set_tcp_settings(tcp);
        let client = Client::open(info).map_err(explain)?;
        let config = ConnectionManagerConfig::new()
            // Whoever comes next tries again; until then a dead server is left alone.
            .set_number_of_retries(0)
            .set_connection_timeout(Some(limits::STORE_CONNECT_TIMEOUT))
            .set_response_timeout(Some(limits::STORE_TIMEOUT))
            .set_pipeline_buffer_size(limits::MAX_STORE_COMMANDS);
        let connection =
            ConnectionManager::new_lazy_with_config(client, config).map_err(explain)?;
        Ok(Self(connection))
    }

    async fn run<T: FromRedisValue>(&self, commands: &Pipeline) -> Result<T, Failure> {
        match commands.query_async(&mut self.0.clone()).await {
            Err(error) if error.is_io_error() && !error.is_timeout() => {
                Ok(commands.query_async(&mut self.0.clone()).await?)
            }
            answer => Ok(answer?),
        }
    }

    pub(super) async fn get(&self, key: &str) -> Result<Option<Vec<u8>>, Failure> {
        // Both at one moment, and never more of a value than the limit and one byte.
        let last = isize::try_from(limits::MAX_VALUE_BYTES).unwrap_or(isize::MAX);
        let mut commands = ::redis::pipe();
        commands.atomic().exists(key).getrange(key, 0, last);
        let (is_there, value): (bool, Vec<u8>) = self.run(&commands).await?;
        if is_there { Ok(Some(check_read(value)?)) } else { Ok(None) }
    }

    pub(super) async fn set(&self, key: &str, value: Vec<u8>) -> Result<(), Failure> {
        self.run(::redis::pipe().set(key, value).ignore()).await
    }

    pub(super) async fn delete(&self, key: &str) -> Result<(), Failure> {
        self.run(::redis::pipe().del(key).ignore()).await
    }

    pub(super) async fn exists(&self, key: &str) -> Result<bool, Failure> {
        let (is_there,) = self.run(::redis::pipe().exists(key)).await?;
        Ok(is_there)
    }

    /// By SCAN, which other clients of the server do not notice; it may name a key twice. What is no text was not
    /// stored by a guest.
    pub(super) async fn keys(&self) -> Result<Vec<String>, Failure> {
        let mut seen = BTreeSet::new();
        let mut listing = Listing::default();
        let mut cursor = 0_u64;
        loop {
            let mut commands = ::redis::pipe();
            commands.cmd("SCAN").arg(cursor).arg("COUNT").arg(limits::STORE_SCAN_KEYS);
            let ((next, keys),): ((u64, Vec<Vec<u8>>),) = self.run(&commands).await?;
            for key in keys {
                if let Ok(key) = String::from_utf8(key)
                    && seen.insert(key.clone())
                {
                    listing.push(key)?;
                }
            }
            if next == 0 {
                return Ok(listing.into_keys());
            }
            cursor = next;
        }
    }
}
