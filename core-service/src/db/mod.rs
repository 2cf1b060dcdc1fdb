//! The ledger's connections: some that write, some that read, and the migrations that shape it.
//!
//! The ledger is an SQLite file (embedded) or a MySQL database, behind one SQL text; [`dialect`] holds the few
//! real differences and [`bulk`] writes many rows at once. SQLite in WAL mode lets readers and the writer pass
//! each other; there is one writing connection, so write transactions queue here instead of failing with
//! "database is locked", and each begins as immediate. MySQL has many writers, which lock the rows that they
//! are about to change. Either way a write is durable when its commit returns.

pub mod bulk;
pub mod code;
pub mod conn;
pub mod dialect;
pub mod folder;
pub mod outbox;

pub use conn::Conn;
pub use dialect::{Dialect, Failure};

use crate::limits;
use sqlx::any::{AnyConnectOptions, AnyPoolOptions, AnyQueryResult};
use sqlx::migrate::{MigrateDatabase as _, MigrateError, Migration, Migrator};
use sqlx::sqlite::SqliteConnectOptions;
use sqlx::{
    AnyConnection, AnyPool, AssertSqlSafe, ConnectOptions as _, Connection as _, Executor as _,
};
use std::borrow::Cow;
use std::path::Path;
use tokio::time::timeout;

/// The database that the ledger lives in.
pub type Backend = sqlx::Any;
/// A transaction with a connection of its own.
pub type Tx = conn::Transaction<Box<Conn>>;
/// A row that a statement found.
pub type Row = sqlx::any::AnyRow;

static MIGRATIONS: Migrator = sqlx::migrate!("./migrations");

/// Why the ledger cannot be opened.
#[derive(Debug, thiserror::Error)]
pub enum OpenError {
    /// The URL is none of a database that we know.
    #[error("{0:?} is no database URL; write mysql://user:password@host:port/database")]
    NoUrl(String),
    /// It was shaped by another version of the program.
    #[error("the data in {ledger} was written by another version of Tiffin ({reason})")]
    OtherVersion {
        /// Where the ledger is.
        ledger: String,
        /// What differs.
        reason: String,
    },
    /// It is something else, or cannot be used.
    #[error("cannot use {ledger} as the ledger: {reason}")]
    Unusable {
        /// Where the ledger is.
        ledger: String,
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
    /// No ids may be minted now, so nothing can be written.
    #[error(transparent)]
    NoIds(#[from] crate::ids::NoLease),
    /// Many statements took too long together; none of them happened.
    #[error("the database did not answer in time")]
    TooSlow,
    /// An edit took so long that its ids are no longer new.
    #[error("the edit took too long and was undone")]
    Late,
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

/// Holds a guarded write to exactly one row; `otherwise` describes what it means that it was not.
pub fn expect_one(
    done: &AnyQueryResult,
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

/// Where a ledger is.
#[derive(Debug, Clone)]
pub struct Location {
    url: String,
    dialect: Dialect,
}

impl Location {
    /// An SQLite file, made if it is missing.
    pub fn file(path: &Path) -> Self {
        let options = SqliteConnectOptions::new().filename(path).create_if_missing(true);
        Self { url: options.to_url_lossy().into(), dialect: Dialect::Sqlite }
    }

    /// A database by its URL; it is made if it is missing.
    pub fn url(url: &str) -> Result<Self, OpenError> {
        match Dialect::of_url(url) {
            Some(dialect) => Ok(Self { url: url.to_owned(), dialect }),
            None => Err(OpenError::NoUrl(url.to_owned())),
        }
    }

    /// The URL without its credentials and options, for people.
    fn shown(&self) -> String {
        let (scheme, rest) = self.url.split_once("://").unwrap_or(("", &self.url));
        let place = rest.rsplit_once('@').map_or(rest, |(_, place)| place);
        let place = place.split('?').next().unwrap_or_default();
        match self.dialect {
            Dialect::Sqlite => place.to_owned(),
            Dialect::MySql => format!("{scheme}://{place}"),
        }
    }
}

/// The ledger.
#[derive(Debug, Clone)]
pub struct Db {
    dialect: Dialect,
    writer: AnyPool,
    reader: AnyPool,
}

impl Db {
    /// Opens the ledger, creates it if it is new, and brings it to this version's shape.
    pub async fn open(location: &Location) -> Result<Self, OpenError> {
        sqlx::any::install_default_drivers();
        let (ledger, dialect) = (location.shown(), location.dialect);
        let unusable = |reason| OpenError::Unusable { ledger: ledger.clone(), reason };
        let (mut reads, writers, readers) =
            (location.url.clone(), limits::DB_WRITERS, limits::DB_READERS);
        let writer = match dialect {
            Dialect::Sqlite => {
                reads = reads.replace("mode=rwc", "mode=ro");
                connect(dialect, &location.url, true, 1).await
            }
            Dialect::MySql => {
                create_database(&location.url).await.map_err(unusable)?;
                reads = with_statement_cache(&reads);
                connect(dialect, &reads, true, writers).await
            }
        }
        .map_err(unusable)?;
        migrate(dialect, &writer, MIGRATIONS.iter()).await.map_err(|error| match error {
            MigrateError::VersionMissing(_)
            | MigrateError::VersionMismatch(_)
            | MigrateError::VersionNotPresent(_)
            | MigrateError::VersionTooOld(..)
            | MigrateError::VersionTooNew(..)
            | MigrateError::Dirty(_) => {
                OpenError::OtherVersion { ledger: ledger.clone(), reason: error.to_string() }
            }
            MigrateError::Execute(reason) | MigrateError::ExecuteMigration(reason, _) => {
                unusable(reason)
            }
            other => unusable(other.into()),
        })?;
        let reader = connect(dialect, &reads, false, readers).await.map_err(unusable)?;
        Ok(Self { dialect, writer, reader })
    }

    /// Opens a ledger that is there and has this version's shape, to read it beside whoever writes it.
    pub async fn open_to_read(location: &Location) -> Result<Self, OpenError> {
        sqlx::any::install_default_drivers();
        let (ledger, dialect) = (location.shown(), location.dialect);
        let url = match dialect {
            Dialect::Sqlite => location.url.replace("mode=rwc", "mode=ro"),
            Dialect::MySql => location.url.clone(),
        };
        let unusable = |reason| OpenError::Unusable { ledger: ledger.clone(), reason };
        let reader = connect(dialect, &url, false, limits::DB_READERS).await.map_err(unusable)?;
        let shape = sqlx::query_scalar("SELECT COALESCE(MAX(version), 0) FROM _sqlx_migrations");
        let shape: i64 = shape.fetch_one(&reader).await.map_err(unusable)?;
        let ours = MIGRATIONS.iter().map(|migration| migration.version).max().unwrap_or(0);
        if shape != ours {
            let reason = format!("its shape is {shape}, this program's {ours}");
            return Err(OpenError::OtherVersion { ledger, reason });
        }
        Ok(Self { dialect, writer: reader.clone(), reader })
    }

    /// The same ledger with up to `connections` writing connections of its own, opened as they are needed: a
    /// connection is driven by the runtime that opened it, and waits for whatever else that runtime is at.
    pub fn writing_apart(&self, connections: u32) -> Self {
        let options = self.writer.connect_options().as_ref().clone();
        let writer = pool(self.dialect, true, connections).connect_lazy_with(options);
        Self { writer, ..self.clone() }
    }

    /// Closes the connections that write, and does not wait for long for one that is in use.
    pub async fn close_writer(&self) {
        _ = timeout(limits::DB_CLOSE_TIMEOUT, self.writer.close()).await;
    }

    /// Which kind of database it is.
    pub const fn dialect(&self) -> Dialect {
        self.dialect
    }

    /// Begins a write transaction. On SQLite the next one waits until this one has ended.
    pub async fn write(&self) -> Result<Tx, DbError> {
        let conn = Conn::new(self.writer.acquire().await?, self.dialect);
        conn::Transaction::begin(Box::new(conn), self.dialect.begin_writing()).await
    }

    /// A connection that reads the last committed state.
    pub async fn read(&self) -> Result<Box<Conn>, DbError> {
        Ok(Box::new(Conn::new(self.reader.acquire().await?, self.dialect)))
    }

    /// Reads something, to see that reading works.
    pub async fn ping(&self) -> Result<(), DbError> {
        sqlx::query("SELECT COUNT(*) FROM _sqlx_migrations")
            .execute(&mut *self.read().await?)
            .await?;
        Ok(())
    }

    /// Closes every connection; SQLite then folds its write-ahead log into the file.
    pub async fn close(&self) {
        self.reader.close().await;
        self.writer.close().await;
    }
}

async fn connect(
    dialect: Dialect,
    url: &str,
    writes: bool,
    connections: u32,
) -> Result<AnyPool, sqlx::Error> {
    let options: AnyConnectOptions = url.parse()?;
    // A pool tries until its time is over and does not say what was wrong; one connection does.
    let mut first = options.connect().await?;
    begin_session(&mut first, dialect, writes).await?;
    first.close().await?;
    pool(dialect, writes, connections).connect_with(options).await
}

fn pool(dialect: Dialect, writes: bool, connections: u32) -> AnyPoolOptions {
    AnyPoolOptions::new()
        .max_connections(connections)
        .acquire_timeout(limits::DB_ACQUIRE_TIMEOUT)
        // A writer that meets a dead connection tries again; asking each time costs a round trip.
        .test_before_acquire(!writes)
        .after_connect(move |conn, _| Box::pin(begin_session(conn, dialect, writes)))
}

async fn begin_session(
    conn: &mut AnyConnection,
    dialect: Dialect,
    writes: bool,
) -> Result<(), sqlx::Error> {
    for statement in dialect.session(writes) {
        conn.execute(*statement).await?;
    }
    Ok(())
}

/// Makes the database unless it is there; its texts compare byte by byte, as SQLite's do.
async fn create_database(url: &str) -> Result<(), sqlx::Error> {
    if !Backend::database_exists(url).await? {
        // Another core may be faster: then it is there.
        if let Err(error) = Backend::create_database(url).await
            && !Backend::database_exists(url).await?
        {
            return Err(error);
        }
        let mut conn = url.parse::<AnyConnectOptions>()?.connect().await?;
        conn.execute("ALTER DATABASE CHARACTER SET utf8mb4 COLLATE utf8mb4_bin").await?;
    }
    Ok(())
}

/// Each statement is kept prepared in each of the sizes that [`bulk`] gives it.
fn with_statement_cache(url: &str) -> String {
    let joint = if url.contains('?') { '&' } else { '?' };
    format!("{url}{joint}statement-cache-capacity={}", limits::DB_STATEMENTS)
}

async fn migrate(
    dialect: Dialect,
    pool: &AnyPool,
    migrations: impl Iterator<Item = &Migration>,
) -> Result<(), MigrateError> {
    let translate = |migration: &Migration| Migration {
        sql: sqlx::SqlSafeStr::into_sql_str(AssertSqlSafe(dialect.ddl(migration.sql.as_str()))),
        ..migration.clone()
    };
    let migrations: Vec<_> = migrations.map(translate).collect();
    Migrator { migrations: Cow::Owned(migrations), ..Migrator::DEFAULT }.run(pool).await
}

#[cfg(test)]
pub mod testing {
    //! A ledger of its own for every test.

    use super::Location;
    use std::path::Path;

    /// A new database on the server that `TIFFIN_TEST_DATABASE_URL` names, or a file in `folder`.
    pub fn fresh(folder: &Path) -> Location {
        match std::env::var("TIFFIN_TEST_DATABASE_URL") {
            Ok(server) => {
                let name =
                    folder.file_name().expect("a temporary folder has a name").to_string_lossy();
                let name = name.replace(|c: char| !c.is_ascii_alphanumeric(), "");
                Location::url(&format!("{}/unit_{name}", server.trim_end_matches('/')))
                    .expect("TIFFIN_TEST_DATABASE_URL is a URL")
            }
            Err(_) => Location::file(&folder.join("ledger.sqlite")),
        }
    }
}
#[cfg(test)]
mod tests;
