//! The ledger's connections: one that writes, a few that read, and the migrations that shape the file.
//!
//! SQLite in WAL mode lets readers and the writer pass each other. There is one writing connection, so
//! write transactions queue here instead of failing with "database is locked"; each begins as immediate
//! and is durable when its commit returns (`synchronous = FULL`).

pub mod code;
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
    #[error("cannot use {file} as the ledger: {source}")]
    Unusable {
        /// The ledger's file.
        file: String,
        /// What the database says.
        source: sqlx::Error,
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
        let unusable = |source| OpenError::Unusable { file: name.clone(), source };
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
            MigrateError::Execute(source) => OpenError::Unusable { file: name.clone(), source },
            other => OpenError::OtherVersion { file: name.clone(), reason: other.to_string() },
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

    /// Closes every connection; SQLite then folds its write-ahead log into the file.
    pub async fn close(&self) {
        self.reader.close().await;
        self.writer.close().await;
    }
}
