//! The rules of the audit: each a query for the rows that break it, in the SQL that both databases speak.
//!
//! A rule's query selects the ids that name a row, as integers, and then, where it compares figures, `found` and
//! `expected`. [`broken`] counts what it finds and takes the first few. `:newest` stands for the newest
//! [`limits::AUDIT_SNAPSHOTS`] orders' lowest id, so that `id >= :newest` bounds what has to be parsed.

mod coupons;
mod gate;
pub mod money;
pub mod news;
mod orders;
mod stock;

pub use gate::{Counted, Kind, page, some};

use crate::db::{Conn, DbError};
use crate::limits;
use sqlx::{AssertSqlSafe, Row as _};
use tiffin_api::audit::AuditExample;

/// What belongs together and is counted together.
#[derive(Debug)]
pub struct Check {
    /// Its name, in reports and metrics.
    pub name: &'static str,
    /// What it compares, for people.
    pub compares: &'static str,
    /// Counts the rows that it looks at.
    pub rows: &'static str,
    /// What must hold.
    pub rules: &'static [Rule],
}

/// Something that must hold for every row.
#[derive(Debug)]
pub struct Rule {
    /// What must hold, in a few words.
    pub name: &'static str,
    /// What the ids are that name a row: the first columns of `breaking`.
    pub subject: &'static [&'static str],
    /// Whether `found` and `expected` follow.
    pub figures: bool,
    /// Selects the rows that break it.
    pub breaking: &'static str,
}

/// Rows that break a rule.
#[derive(Debug)]
pub struct Broken {
    /// How many.
    pub violations: u64,
    /// The first of them.
    pub examples: Vec<AuditExample>,
}

/// Every check of the tables, in the order of the report.
pub fn checks() -> impl Iterator<Item = &'static Check> {
    [stock::CHECKS, coupons::CHECKS, money::CHECKS, orders::CHECKS].into_iter().flatten()
}

/// How many rows a check looks at.
pub async fn count(conn: &mut Conn, check: &Check) -> Result<u64, DbError> {
    let rows: i64 = sqlx::query_scalar(AssertSqlSafe(bounded(check.rows))).fetch_one(conn).await?;
    Ok(u64::try_from(rows).unwrap_or(0))
}

/// The rows that break a rule: how many, and `most` of them at most.
pub async fn broken(conn: &mut Conn, rule: &Rule, most: usize) -> Result<Broken, DbError> {
    // One row is needed for the count, whoever has room for no example.
    let query = format!(
        "SELECT broken.*, COUNT(*) OVER () AS violations FROM ({}) broken ORDER BY 1 LIMIT {}",
        bounded(rule.breaking),
        most.max(1)
    );
    let rows = sqlx::query(AssertSqlSafe(query)).fetch_all(conn).await?;
    let violations: i64 = match rows.first() {
        Some(row) => row.try_get("violations")?,
        None => 0,
    };
    let example = |row: &crate::db::Row| {
        let mut subject = Vec::new();
        for (column, name) in rule.subject.iter().enumerate() {
            subject.push(match row.try_get::<Option<i64>, _>(column)? {
                Some(id) => format!("{name} {id}"),
                None => format!("no {name}"),
            });
        }
        let figure = |name: &str| if rule.figures { row.try_get(name) } else { Ok(None) };
        Ok(AuditExample {
            rule: rule.name.to_owned(),
            subject: subject.join(", "),
            found: figure("found")?,
            expected: figure("expected")?,
        })
    };
    let examples = rows.iter().take(most).map(example).collect::<Result<_, sqlx::Error>>()?;
    Ok(Broken { violations: u64::try_from(violations).unwrap_or(0), examples })
}

/// A statement with its bound put in.
fn bounded(statement: &str) -> String {
    let newest = format!(
        "(SELECT COALESCE(MIN(id), 0) FROM (SELECT id FROM orders ORDER BY id DESC LIMIT {}) newest)",
        limits::AUDIT_SNAPSHOTS
    );
    statement.replace(":newest", &newest)
}
