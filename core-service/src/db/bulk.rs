//! Many rows in few statements.
//!
//! A statement is prepared once for each number of rows it takes. So rows go in portions of a few sizes, at
//! most [`limits::STATEMENT_ROWS`]: a batch of any size meets statements that the connection has prepared
//! before. The sizes lie close enough that three statements take any number of rows, where powers of two alone
//! would take eight, each a round trip; a statement for every number would cost the database memory for each.
//! Lists to select by are filled up with their last value instead, to a power of two.

use super::{Backend, Conn, DbError, Row};
use crate::limits;
use sqlx::QueryBuilder;

/// Significant binary digits of a portion's size: 28 sizes up to 256.
const PORTION_BITS: u32 = 3;

/// A value of a column.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Value {
    /// BIGINT.
    Int(i64),
    /// VARCHAR or TEXT.
    Text(String),
    /// BLOB.
    Blob(Vec<u8>),
    /// A BIGINT that is missing.
    NoInt,
    /// A text that is missing.
    NoText,
}

impl From<i64> for Value {
    fn from(value: i64) -> Self {
        Self::Int(value)
    }
}

impl From<Option<i64>> for Value {
    fn from(value: Option<i64>) -> Self {
        value.map_or(Self::NoInt, Self::Int)
    }
}

impl From<String> for Value {
    fn from(value: String) -> Self {
        Self::Text(value)
    }
}

impl From<Option<String>> for Value {
    fn from(value: Option<String>) -> Self {
        value.map_or(Self::NoText, Self::Text)
    }
}

impl From<&str> for Value {
    fn from(value: &str) -> Self {
        Self::Text(value.to_owned())
    }
}

impl From<Vec<u8>> for Value {
    fn from(value: Vec<u8>) -> Self {
        Self::Blob(value)
    }
}

impl Value {
    fn bind(self, query: &mut QueryBuilder<Backend>) {
        match self {
            Self::Int(value) => query.push_bind(value),
            Self::Text(value) => query.push_bind(value),
            Self::Blob(value) => query.push_bind(value),
            Self::NoInt => query.push_bind(None::<i64>),
            Self::NoText => query.push_bind(None::<String>),
        };
    }
}

/// Inserts rows. `into` is the table with its columns, `t (a, b)`; each row has a value for each of them.
pub async fn insert<const N: usize>(
    conn: &mut Conn,
    into: &str,
    rows: Vec<[Value; N]>,
) -> Result<(), DbError> {
    insert_ending(conn, into, rows, "").await
}

/// Inserts rows with an ending such as [`super::Dialect::on_conflict_update`] gives.
pub async fn insert_ending<const N: usize>(
    conn: &mut Conn,
    into: &str,
    rows: Vec<[Value; N]>,
    ending: &str,
) -> Result<(), DbError> {
    let mut rows = rows.into_iter();
    while rows.len() > 0 {
        let portion = portion(rows.len(), limits::STATEMENT_ROWS);
        let mut query = QueryBuilder::new("INSERT INTO ");
        query.push(into).push(" VALUES ");
        for (position, row) in rows.by_ref().take(portion).enumerate() {
            query.push(if position == 0 { "(" } else { ", (" });
            for (column, value) in row.into_iter().enumerate() {
                if column > 0 {
                    query.push(", ");
                }
                value.bind(&mut query);
            }
            query.push(")");
        }
        query.push(ending);
        query.build().execute(&mut *conn).await?;
    }
    Ok(())
}

/// Sets `columns` of the rows that `key` names, each row to its own values; every row must exist, else the
/// tables contradict what was read under the same lock.
pub async fn update<const N: usize>(
    conn: &mut Conn,
    table: &str,
    key: &str,
    columns: [&str; N],
    rows: Vec<(i64, [Value; N])>,
) -> Result<(), DbError> {
    let mut rest = rows.as_slice();
    while !rest.is_empty() {
        let (rows, others) = rest.split_at(portion(rest.len(), limits::UPDATE_ROWS));
        rest = others;
        let mut query = QueryBuilder::new("UPDATE ");
        query.push(table).push(" SET ");
        for (column, name) in columns.iter().enumerate() {
            query.push(if column == 0 { "" } else { ", " });
            query.push(name).push(" = CASE ").push(key);
            for (id, values) in rows {
                query.push(" WHEN ").push_bind(*id).push(" THEN ");
                values[column].clone().bind(&mut query);
            }
            query.push(" END");
        }
        push_list(&mut query, &format!(" WHERE {key}"), rows.iter().map(|(id, _)| Value::Int(*id)));
        let done = query.build().execute(&mut *conn).await?;
        expect_rows(table, done.rows_affected(), rows.len())?;
    }
    Ok(())
}

/// Deletes the rows that `keys` name, each once; every one must exist, as for [`update`].
pub async fn delete(conn: &mut Conn, table: &str, key: &str, keys: &[i64]) -> Result<(), DbError> {
    let mut rest = keys;
    while !rest.is_empty() {
        let (keys, others) = rest.split_at(portion(rest.len(), limits::STATEMENT_ROWS));
        rest = others;
        let mut query = QueryBuilder::new("DELETE FROM ");
        query.push(table);
        push_list(&mut query, &format!(" WHERE {key}"), keys.iter().map(|id| Value::Int(*id)));
        let done = query.build().execute(&mut *conn).await?;
        expect_rows(table, done.rows_affected(), keys.len())?;
    }
    Ok(())
}

/// Holds a statement to exactly the rows that it named.
pub fn expect_rows(table: &str, met: u64, named: usize) -> Result<(), DbError> {
    if met == named as u64 {
        return Ok(());
    }
    Err(DbError::inconsistent(format!("{met} of {named} rows of {table} were there")))
}

/// Every row of `select` whose `column` is among `values`, in the order of `ending`, which may order and lock.
/// With more than [`limits::STATEMENT_ROWS`] values, that order holds within each portion only; give them
/// sorted, and the whole is sorted as well.
pub async fn select_in<V: Into<Value> + Clone>(
    conn: &mut Conn,
    select: &str,
    column: &str,
    values: impl IntoIterator<Item = V>,
    ending: &str,
) -> Result<Vec<Row>, DbError> {
    let values: Vec<V> = values.into_iter().collect();
    let mut found = Vec::new();
    for values in values.chunks(limits::STATEMENT_ROWS) {
        let Some(last) = values.last() else { continue };
        let filled = values.len().next_power_of_two();
        let list =
            values.iter().chain(std::iter::repeat(last)).take(filled).cloned().map(Into::into);
        let mut query = QueryBuilder::new(select);
        query.push(" WHERE ");
        push_list(&mut query, column, list);
        query.push(ending);
        found.extend(query.build().fetch_all(&mut *conn).await?);
    }
    Ok(found)
}

/// Appends `column IN (…)` for keys, at most [`limits::STATEMENT_ROWS`], filled up with the last one.
pub fn push_in(query: &mut QueryBuilder<Backend>, column: &str, keys: &[i64]) {
    let filled = keys.len().next_power_of_two();
    let list = keys.iter().chain(keys.last().into_iter().cycle()).take(filled);
    push_list(query, column, list.map(|key| Value::Int(*key)));
}

fn push_list(query: &mut QueryBuilder<Backend>, column: &str, values: impl Iterator<Item = Value>) {
    query.push(column).push(" IN (");
    for (position, value) in values.enumerate() {
        query.push(if position == 0 { "" } else { ", " });
        value.bind(query);
    }
    query.push(")");
}

/// The largest size that is neither above `rows` nor above `most`: a number whose binary form has all its ones
/// in the [`PORTION_BITS`] leading places.
fn portion(rows: usize, most: usize) -> usize {
    let bounded = rows.min(most);
    let free = (bounded.ilog2() + 1).saturating_sub(PORTION_BITS);
    bounded >> free << free
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::app::testing;
    use sqlx::Row as _;
    use std::collections::BTreeSet;

    #[test]
    fn a_few_sizes_take_any_number_of_rows_in_three_portions() {
        assert_eq!(
            [1, 2, 3, 7, 9, 117, 255, 256, 9_999].map(|rows| portion(rows, 256)),
            [1, 2, 3, 7, 8, 112, 224, 256, 256]
        );
        let mut sizes = BTreeSet::new();
        for rows in 1..=limits::STATEMENT_ROWS {
            let (mut rest, mut portions) = (rows, 0);
            while rest > 0 {
                let size = portion(rest, limits::STATEMENT_ROWS);
                sizes.insert(size);
                (rest, portions) = (rest - size, portions + 1);
            }
            assert!(portions <= 3, "{rows} rows take {portions} statements");
        }
        assert_eq!(sizes.len(), 28);
    }

    #[tokio::test]
    async fn rows_come_back_as_they_went() {
        let core = testing::app().await;
        let mut tx = core.db.write().await.unwrap();
        let count = 2 * limits::STATEMENT_ROWS as i64 + 3;
        let row = |n: i64| [n.into(), format!("ref {n}").into(), "{}".into(), 1.into()];
        let into = "stores (id, ref, definition, version)";
        insert(&mut tx, into, (1..=count).map(row).collect()).await.unwrap();
        let versions = (1..=count).map(|n| (n, [Value::Int(n * 2)])).collect();
        update(&mut tx, "stores", "id", ["version"], versions).await.unwrap();
        let select = "SELECT id, version FROM stores";
        let found = select_in(&mut tx, select, "id", 1..=count, " ORDER BY id").await.unwrap();
        let versions: Vec<i64> = found.iter().map(|row| row.try_get("version").unwrap()).collect();
        assert_eq!(versions, (1..=count).map(|n| n * 2).collect::<Vec<_>>());

        let ending = core.db.dialect().on_conflict_update("id", &["version"]);
        let rows = [1, count + 1].map(row).into();
        insert_ending(&mut tx, into, rows, &ending).await.unwrap();
        let found = select_in(&mut tx, select, "id", [1, count + 1], "").await.unwrap();
        assert!(found.iter().all(|row| row.try_get::<i64, _>("version").unwrap() == 1));

        let gone = vec![(count + 2, [Value::Int(1)])];
        let error = update(&mut tx, "stores", "id", ["version"], gone).await.unwrap_err();
        assert!(matches!(error, DbError::Inconsistent(_)), "{error}");

        delete(&mut tx, "stores", "id", &(2..=count).collect::<Vec<_>>()).await.unwrap();
        let left = select_in(&mut tx, select, "id", 1..=count + 1, "").await.unwrap();
        assert_eq!(left.len(), 2);
        let error = delete(&mut tx, "stores", "id", &[1, 2]).await.unwrap_err();
        assert!(matches!(error, DbError::Inconsistent(_)), "{error}");
    }
}
