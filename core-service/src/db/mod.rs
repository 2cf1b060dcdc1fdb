//! The ledger's connections: one that writes, a few that read, and the migrations that shape the file.
//!
//! SQLite in WAL mode lets readers and the writer pass each other. There is one writing connection, so
//! write transactions queue here instead of failing with "database is locked"; each begins as immediate
//! and is durable when its commit returns (`synchronous = FULL`).

pub mod code;
pub mod folder;
pub mod outbox;

use crate::limits;
use sqlx::migrate::MigrateError;
use sqlx::sqlite::{
    SqliteConnectOptions, SqliteJournalMode, SqlitePool, SqlitePoolOptions, SqliteSynchronous,
};
use std::path::Path;

/// The database that the ledger lives in.
pub type Backend = sqlx::Sqlite;
/// A transaction on it.
pub type Tx = sqlx::Transaction<'static, Backend>;
/// A connection or transaction that statements run on.
pub type Conn = sqlx::SqliteConnection;

/// Another process holds the file's lock (SQLite's result codes, <https://sqlite.org/rescode.html>).
const SQLITE_BUSY: i32 = 5;
/// Another statement of this process holds a table's lock.
const SQLITE_LOCKED: i32 = 6;
/// The bits of an extended result code that are its primary one.
const SQLITE_PRIMARY_CODE: i32 = 0xff;

static MIGRATOR: sqlx::migrate::Migrator = sqlx::migrate!("./migrations");

/// Why the ledger cannot be opened.
#[derive(Debug, thiserror::Error)]
pub enum OpenError {
    /// The file was shaped by another version of the program.
    #[error("the data in {file} was written by another version of Tiffin ({reason})")]
    OtherVersion {
        /// The ledger's file.
        file: String,
        /// What differs.
        reason: String,
    },
    /// The file is something else, or cannot be used.
    #[error("cannot use {file} as the ledger: {reason}")]
    Unusable {
        /// The ledger's file.
        file: String,
        /// What the database says; not a source, because sqlx's errors name theirs themselves.
        reason: sqlx::Error,
    },
}

/// A statement met something that the code rules out: the tables disagree with each other, or a guarded
/// write found its row gone.
#[derive(Debug, thiserror::Error)]
pub enum DbError {
    /// The database failed.
    #[error("the database failed: {0}")]
    Sqlx(#[from] sqlx::Error),
    /// The tables contradict each other: a defect or a hand-made edit.
    #[error("the database is inconsistent: {0}")]
    Inconsistent(String),
}

impl DbError {
    /// A contradiction, described for whoever has to repair it.
    pub fn inconsistent(what: impl Into<String>) -> Self {
        Self::Inconsistent(what.into())
    }

    /// Whether the database was only busy or about to close: the same request may succeed later.
    pub fn is_transient(&self) -> bool {
        match self {
            Self::Sqlx(sqlx::Error::PoolTimedOut | sqlx::Error::PoolClosed) => true,
            Self::Sqlx(sqlx::Error::Database(error)) => {
                let code = error.code().and_then(|code| code.parse::<i32>().ok());
                code.is_some_and(|code| {
                    matches!(code & SQLITE_PRIMARY_CODE, SQLITE_BUSY | SQLITE_LOCKED)
                })
            }
            Self::Sqlx(_) | Self::Inconsistent(_) => false,
        }
    }
}

/// Holds a guarded write to exactly one row; `otherwise` describes what it means that it was not.
pub fn expect_one(
    done: &sqlx::sqlite::SqliteQueryResult,
    otherwise: impl FnOnce() -> String,
) -> Result<(), DbError> {
    match done.rows_affected() {
        1 => Ok(()),
        _ => Err(DbError::Inconsistent(otherwise())),
    }
}

impl From<serde_json::Error> for DbError {
    fn from(error: serde_json::Error) -> Self {
        Self::Inconsistent(format!("a stored document does not read back: {error}"))
    }
}

/// The ledger.
#[derive(Debug, Clone)]
pub struct Db {
    writer: SqlitePool,
    reader: SqlitePool,
}

impl Db {
    /// Opens the file, creates it if it is new, and brings it to this version's shape.
    pub async fn open(file: &Path) -> Result<Self, OpenError> {
        let name = file.display().to_string();
        let unusable = |reason| OpenError::Unusable { file: name.clone(), reason };
        let options = SqliteConnectOptions::new()
            .filename(file)
            .create_if_missing(true)
            .journal_mode(SqliteJournalMode::Wal)
            .synchronous(SqliteSynchronous::Full)
            .busy_timeout(limits::DB_BUSY_TIMEOUT);
        let pool = |connections| {
            SqlitePoolOptions::new()
                .max_connections(connections)
                .acquire_timeout(limits::DB_ACQUIRE_TIMEOUT)
        };
        let writer = pool(1).connect_with(options.clone()).await.map_err(unusable)?;
        MIGRATOR.run(&writer).await.map_err(|error| match error {
            MigrateError::VersionMissing(_)
            | MigrateError::VersionMismatch(_)
            | MigrateError::VersionNotPresent(_)
            | MigrateError::VersionTooOld(..)
            | MigrateError::VersionTooNew(..)
            | MigrateError::Dirty(_) => {
                OpenError::OtherVersion { file: name.clone(), reason: error.to_string() }
            }
            MigrateError::Execute(reason) | MigrateError::ExecuteMigration(reason, _) => {
                unusable(reason)
            }
            other => unusable(other.into()),
        })?;
        let reader = pool(limits::DB_READERS)
            .connect_with(options.read_only(true))
            .await
            .map_err(unusable)?;
        Ok(Self { writer, reader })
    }

    /// Begins a write transaction; the next one waits until this one has ended.
    pub async fn write(&self) -> Result<Tx, DbError> {
        Ok(self.writer.begin_with("BEGIN IMMEDIATE").await?)
    }

    /// A connection that reads the last committed state.
    pub async fn read(&self) -> Result<sqlx::pool::PoolConnection<Backend>, DbError> {
        Ok(self.reader.acquire().await?)
    }

    /// Reads something, to see that reading works.
    pub async fn ping(&self) -> Result<(), DbError> {
        sqlx::query("SELECT COUNT(*) FROM _sqlx_migrations")
            .execute(&mut *self.read().await?)
            .await?;
        Ok(())
    }

    /// The highest id in the ledger, 0 if there is none: new ids have to be higher.
    pub async fn highest_id(&self) -> Result<i64, DbError> {
        let highest: Option<i64> = sqlx::query_scalar(
            "SELECT MAX(id) FROM (SELECT MAX(id) AS id FROM outbox \
             UNION ALL SELECT MAX(id) FROM stores UNION ALL SELECT MAX(id) FROM items \
             UNION ALL SELECT MAX(id) FROM deals UNION ALL SELECT MAX(id) FROM orders \
             UNION ALL SELECT MAX(id) FROM payments UNION ALL SELECT MAX(id) FROM refunds) AS ids",
        )
        .fetch_one(&mut *self.read().await?)
        .await?;
        Ok(highest.unwrap_or(0))
    }

    /// Closes every connection; SQLite then folds its write-ahead log into the file.
    pub async fn close(&self) {
        self.reader.close().await;
        self.writer.close().await;
    }
}

#[cfg(test)]
mod tests;
