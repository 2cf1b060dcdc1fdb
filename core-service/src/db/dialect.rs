//! What SQLite and MySQL do not say in the same words. Everything else is one SQL text for both.
//!
//! MariaDB counts as MySQL: its dialect is the same wherever the ledger goes.

use super::DbError;
use sqlx::mysql::MySqlDatabaseError;
use sqlx::sqlite::SqliteError;

/// Another process holds the file's lock (SQLite's result codes, <https://sqlite.org/rescode.html>).
const SQLITE_BUSY: i32 = 5;
/// Another statement of this process holds a table's lock.
const SQLITE_LOCKED: i32 = 6;
/// The bits of an extended result code that are its primary one.
const SQLITE_PRIMARY_CODE: i32 = 0xff;

/// `ER_LOCK_WAIT_TIMEOUT` (MySQL's server error reference).
const MYSQL_LOCK_WAIT_TIMEOUT: u16 = 1205;
/// `ER_LOCK_DEADLOCK`.
const MYSQL_DEADLOCK: u16 = 1213;
/// `ER_CHECKREAD`, MariaDB: the row changed since the snapshot was taken.
const MYSQL_RECORD_CHANGED: u16 = 1020;
/// `ER_CON_COUNT_ERROR`, `ER_SERVER_SHUTDOWN`, `ER_CONNECTION_KILLED` (MariaDB), `ER_QUERY_INTERRUPTED`,
/// `ER_DISCONNECTING_REMOTE`-like ends of a connection on a server that stops or starts.
const MYSQL_GOING_AWAY: [u16; 6] = [1040, 1053, 1152, 1158, 1317, 1927];

/// A kind of database.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Dialect {
    /// The embedded ledger: one file, one writer.
    Sqlite,
    /// MySQL 8.0+ or MariaDB 10.6+.
    MySql,
}

/// Why a statement failed, as far as it decides what to do next.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Failure {
    /// Another transaction was in the way; the same one may go through now.
    Conflict,
    /// The database is busy, stopping or out of reach; the same request may succeed later.
    Unavailable,
    /// A defect, or data that the schema refuses: it will fail again.
    Defect,
}

impl Dialect {
    /// The dialect of a database URL.
    pub fn of_url(url: &str) -> Option<Self> {
        let scheme = url.split_once(':')?.0;
        match scheme {
            "sqlite" => Some(Self::Sqlite),
            "mysql" | "mariadb" => Some(Self::MySql),
            _ => None,
        }
    }

    /// What a `SELECT` ends in to lock its rows until the transaction ends. SQLite's one writer has the whole file.
    pub const fn for_update(self) -> &'static str {
        match self {
            Self::Sqlite => "",
            Self::MySql => " FOR UPDATE",
        }
    }

    /// What begins a transaction that writes. SQLite's waits for its turn here, instead of failing when it writes.
    pub const fn begin_writing(self) -> &'static str {
        match self {
            Self::Sqlite => "BEGIN IMMEDIATE",
            Self::MySql => "BEGIN",
        }
    }

    /// The database's clock, ms since the Unix epoch: one for all who share the database.
    pub const fn now_ms(self) -> &'static str {
        match self {
            Self::Sqlite => "CAST(unixepoch('now', 'subsec') * 1000 AS INTEGER)",
            Self::MySql => "CAST(UNIX_TIMESTAMP(NOW(3)) * 1000 AS SIGNED)",
        }
    }

    /// What an `INSERT` ends in to overwrite `columns` of a row whose primary key `key` exists.
    pub fn on_conflict_update(self, key: &str, columns: &[&str]) -> String {
        let assign = |column: &&str| match self {
            Self::Sqlite => format!("{column} = excluded.{column}"),
            Self::MySql => format!("{column} = VALUES({column})"),
        };
        let assignments = columns.iter().map(assign).collect::<Vec<_>>().join(", ");
        match self {
            Self::Sqlite => format!(" ON CONFLICT ({key}) DO UPDATE SET {assignments}"),
            Self::MySql => format!(" ON DUPLICATE KEY UPDATE {assignments}"),
        }
    }

    /// A migration in this dialect. MySQL's TEXT and BLOB end at 64 KiB, which a large menu or answer passes.
    pub fn ddl(self, portable: &str) -> String {
        match self {
            Self::Sqlite => portable.to_owned(),
            Self::MySql => portable.replace(" TEXT", " MEDIUMTEXT").replace(" BLOB", " MEDIUMBLOB"),
        }
    }

    /// What every connection is told first.
    pub const fn session(self, writes: bool) -> &'static [&'static str] {
        match (self, writes) {
            (Self::Sqlite, _) => &["PRAGMA journal_mode = WAL", "PRAGMA synchronous = FULL"],
            // Locked reads decide; a snapshot from the transaction's start would show what was before the
            // wait for the lock. Reads beside them keep one snapshot each.
            (Self::MySql, true) => &[
                "SET SESSION TRANSACTION ISOLATION LEVEL READ COMMITTED",
                "SET SESSION innodb_lock_wait_timeout = 5",
            ],
            (Self::MySql, false) => &["SET SESSION TRANSACTION ISOLATION LEVEL REPEATABLE READ"],
        }
    }
}

impl DbError {
    /// What kind of failure this is.
    pub fn failure(&self) -> Failure {
        use sqlx::Error as E;
        match self {
            Self::Inconsistent(_) => Failure::Defect,
            Self::NoIds(_) | Self::TooSlow | Self::Late => Failure::Unavailable,
            Self::Sqlx(E::Database(error)) => of_database(error.as_ref()),
            Self::Sqlx(
                E::Io(_) | E::PoolTimedOut | E::PoolClosed | E::WorkerCrashed | E::Protocol(_),
            ) => Failure::Unavailable,
            Self::Sqlx(_) => Failure::Defect,
        }
    }

    /// Whether the same request may succeed later.
    pub fn is_transient(&self) -> bool {
        match self.failure() {
            Failure::Conflict | Failure::Unavailable => true,
            Failure::Defect => false,
        }
    }
}

fn of_database(error: &dyn sqlx::error::DatabaseError) -> Failure {
    // Whoever inserted the same key first has committed, or will: the next try reads what it wrote.
    if error.is_unique_violation() {
        return Failure::Conflict;
    }
    if let Some(error) = error.try_downcast_ref::<MySqlDatabaseError>() {
        return match error.number() {
            MYSQL_DEADLOCK | MYSQL_LOCK_WAIT_TIMEOUT | MYSQL_RECORD_CHANGED => Failure::Conflict,
            number if MYSQL_GOING_AWAY.contains(&number) => Failure::Unavailable,
            _ => Failure::Defect,
        };
    }
    let code = error.try_downcast_ref::<SqliteError>().and_then(|error| {
        use sqlx::error::DatabaseError as _;
        error.code()?.parse::<i32>().ok()
    });
    match code.map(|code| code & SQLITE_PRIMARY_CODE) {
        Some(SQLITE_BUSY | SQLITE_LOCKED) => Failure::Unavailable,
        _ => Failure::Defect,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn urls_name_their_dialect() {
        assert_eq!(Dialect::of_url("sqlite:///a"), Some(Dialect::Sqlite));
        assert_eq!(Dialect::of_url("mysql://u:p@h/db"), Some(Dialect::MySql));
        assert_eq!(Dialect::of_url("postgres://h/db"), None);
        assert_eq!(Dialect::of_url("h/db"), None);
    }

    #[test]
    fn only_types_are_widened() {
        let ddl =
            Dialect::MySql.ddl("CREATE TABLE t (a TEXT NOT NULL, b BLOB NOT NULL, texture BIGINT)");
        assert_eq!(
            ddl,
            "CREATE TABLE t (a MEDIUMTEXT NOT NULL, b MEDIUMBLOB NOT NULL, texture BIGINT)"
        );
    }
}
