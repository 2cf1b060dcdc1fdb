//! A store in a SQLite file, which stays when the node goes.
//!
//! The table is Spin's own (its `key-value-spin` crate creates the same), so either may open a file of the other's. The
//! file is in WAL mode: readers and the one writer pass each other. Durable is what is committed and checkpointed or in
//! the log; a power cut may take the last moments (`synchronous = NORMAL`), never the file.

use std::path::Path;

use futures::TryStreamExt as _;
use sqlx::sqlite::{SqliteConnectOptions, SqliteJournalMode, SqlitePoolOptions, SqliteSynchronous};
use sqlx::{Row as _, SqlitePool};

use super::store::{Failure, Listing, StoreError, check_read};
use crate::limits;

const PAGE_BYTES: u32 = 4_096;
/// `SQLITE_FULL`: the file may not grow. Source: <https://sqlite.org/rescode.html>.
const FULL: &str = "13";

const CREATE: &str = "CREATE TABLE IF NOT EXISTS spin_key_value (store TEXT NOT NULL, key TEXT NOT NULL, \
                      value BLOB NOT NULL, PRIMARY KEY (store, key))";
/// Never reads more of a value than the limit and one byte.
const GET: &str =
    "SELECT substr(CAST(value AS BLOB), 1, ?) FROM spin_key_value WHERE store = ? AND key = ?";
const SET: &str = "INSERT INTO spin_key_value (store, key, value) VALUES (?, ?, ?) \
                   ON CONFLICT (store, key) DO UPDATE SET value = excluded.value";
const DELETE: &str = "DELETE FROM spin_key_value WHERE store = ? AND key = ?";
const EXISTS: &str = "SELECT 1 FROM spin_key_value WHERE store = ? AND key = ?";
const KEYS: &str = "SELECT key FROM spin_key_value WHERE store = ?";

/// The entries of one label in a file.
pub(super) struct Sqlite {
    label: String,
    readers: SqlitePool,
    /// One connection: writers queue here and not for the file's lock, where they would poll.
    writer: SqlitePool,
}

impl Sqlite {
    /// Opens the file, or makes it with the folders it lies in.
    ///
    /// # Errors
    /// Why it cannot be used, in one sentence.
    pub(super) async fn open(path: &Path, label: &str) -> Result<Self, String> {
        let explain = |error: String| format!("{} cannot be used ({error})", path.display());
        if let Some(dir) = path.parent() {
            std::fs::create_dir_all(dir).map_err(|error| explain(error.to_string()))?;
        }
        let pages = limits::MAX_STORE_FILE_BYTES / u64::from(PAGE_BYTES);
        let options = SqliteConnectOptions::new()
            .filename(path)
            .create_if_missing(true)
            .page_size(PAGE_BYTES)
            .pragma("max_page_count", pages.to_string())
            .journal_mode(SqliteJournalMode::Wal)
            .synchronous(SqliteSynchronous::Normal)
            .busy_timeout(limits::STORE_BUSY_TIMEOUT);
        let pool = |connections| {
            SqlitePoolOptions::new()
                .max_connections(connections)
                .acquire_timeout(limits::STORE_TIMEOUT)
                .idle_timeout(None)
                .max_lifetime(None)
                // It is a file: there is no server that could have hung up.
                .test_before_acquire(false)
        };
        let writer = pool(1).connect_with(options.clone()).await;
        let writer = writer.map_err(|error| explain(error.to_string()))?;
        sqlx::query(CREATE).execute(&writer).await.map_err(|error| explain(error.to_string()))?;
        let readers = pool(limits::MAX_STORE_READERS).connect_lazy_with(options);
        Ok(Self { label: label.to_owned(), readers, writer })
    }

    pub(super) async fn get(&self, key: &str) -> Result<Option<Vec<u8>>, Failure> {
        let limit = i64::try_from(limits::MAX_VALUE_BYTES + 1).unwrap_or(i64::MAX);
        let query = sqlx::query(GET).bind(limit).bind(&self.label).bind(key);
        let Some(row) = query.fetch_optional(&self.readers).await? else { return Ok(None) };
        Ok(Some(check_read(row.try_get(0)?)?))
    }

    pub(super) async fn set(&self, key: &str, value: Vec<u8>) -> Result<(), Failure> {
        let query = sqlx::query(SET).bind(&self.label).bind(key).bind(value);
        match query.execute(&self.writer).await {
            Ok(_) => Ok(()),
            Err(sqlx::Error::Database(error)) if error.code().as_deref() == Some(FULL) => {
                Err(StoreError::Full.into())
            }
            Err(error) => Err(error.into()),
        }
    }

    pub(super) async fn delete(&self, key: &str) -> Result<(), Failure> {
        sqlx::query(DELETE).bind(&self.label).bind(key).execute(&self.writer).await?;
        Ok(())
    }

    pub(super) async fn exists(&self, key: &str) -> Result<bool, Failure> {
        let query = sqlx::query(EXISTS).bind(&self.label).bind(key);
        Ok(query.fetch_optional(&self.readers).await?.is_some())
    }

    pub(super) async fn keys(&self) -> Result<Vec<String>, Failure> {
        let mut rows = sqlx::query(KEYS).bind(&self.label).fetch(&self.readers);
        let mut listing = Listing::default();
        while let Some(row) = rows.try_next().await? {
            listing.push(row.try_get(0)?)?;
        }
        Ok(listing.into_keys())
    }
}
