//! A connection that is in step with its server, or else is thrown away.
//!
//! Whoever drops a statement's future in the middle (a client that hung up, a time limit, a panic) leaves an answer on
//! its way. On MySQL the next one who uses that connection would take it for its own, or wait for it without end; so
//! does the pool itself, which asks each connection whether it is well when it comes back, and waits for as long as
//! that takes.
//!
//! Invariants: a connection is used for one statement after another, and for no other once the end of one was not seen;
//! on MySQL such a one is closed at once, and never comes back to the pool. No statement takes longer than the
//! connection's patience, no way back to the pool longer than [`limits::DB_RETURN_TIMEOUT`]. What a transaction that
//! was not committed did is undone before anything else is said on its connection.

use super::{Backend, DbError, Dialect};
use crate::limits;
use futures::future::BoxFuture;
use futures::stream::{self, BoxStream};
use futures::{StreamExt as _, TryFutureExt as _};
use sqlx::any::{AnyQueryResult, AnyRow, AnyStatement, AnyTypeInfo};
use sqlx::pool::PoolConnection;
use sqlx::{AnyConnection, Describe, Either, Error, Execute, Executor, SqlStr};
use std::io;
use std::ops::{Deref, DerefMut};
use std::time::Duration;
use tokio::runtime::Handle;
use tokio::time::error::Elapsed;
use tokio::time::{Instant, timeout, timeout_at};

/// A connection of a pool. It goes back there if it is in step, also when its drop is all that happens.
#[derive(Debug)]
pub struct Conn {
    pooled: Option<Pooled>,
    dialect: Dialect,
    patience: Duration,
    /// A statement was begun whose end nobody has seen.
    out_of_step: bool,
    transaction: Open,
}

/// What is known of a connection's transaction.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Open {
    No,
    Yes,
    /// Nobody will commit it: it has to be undone.
    Abandoned,
}

/// A connection that is closed with its drop, unless it has been given back: the pool's own would go back there.
#[derive(Debug)]
struct Pooled(PoolConnection<Backend>);

impl Drop for Pooled {
    fn drop(&mut self) {
        // What is dropped here is the connection and its place in the pool; there is nothing left if it went back.
        drop(self.0.return_to_pool());
    }
}

impl Pooled {
    async fn give_back(mut self, undo: bool) {
        if undo && self.0.execute("ROLLBACK").await.is_err() {
            return;
        }
        self.0.return_to_pool().await;
    }
}

impl Conn {
    pub(super) fn new(pooled: PoolConnection<Backend>, dialect: Dialect) -> Self {
        Self {
            pooled: Some(Pooled(pooled)),
            dialect,
            patience: limits::DB_STATEMENT_TIMEOUT,
            out_of_step: false,
            transaction: Open::No,
        }
    }

    /// Lets each statement take up to `patience`, for who reads whole tables.
    pub fn be_patient(&mut self, patience: Duration) {
        self.patience = patience;
    }

    /// Begins a transaction: on MySQL's reading connections, a snapshot of one moment. Within another one it is part of
    /// that, and neither its end nor its drop means anything.
    pub async fn begin(&mut self) -> Result<Transaction<&mut Self>, DbError> {
        Transaction::begin(self, "BEGIN").await
    }

    /// Begins a statement, after undoing what was left behind.
    async fn enter(&mut self) -> Result<(&mut AnyConnection, &mut bool), Error> {
        self.undo().await?;
        self.mark()
    }

    async fn undo(&mut self) -> Result<(), Error> {
        if self.transaction == Open::Abandoned {
            self.transaction = Open::No;
            self.say("ROLLBACK").await?;
        }
        Ok(())
    }

    /// Marks that a statement is under way; whoever sees its end takes the mark away.
    fn mark(&mut self) -> Result<(&mut AnyConnection, &mut bool), Error> {
        if self.out_of_step {
            return Err(io::Error::from(io::ErrorKind::NotConnected).into());
        }
        self.out_of_step = true;
        let pooled = self.pooled.as_mut().expect("only its drop takes it");
        Ok((&mut pooled.0, &mut self.out_of_step))
    }

    /// One of the statements that begin and end transactions.
    async fn say(&mut self, statement: &'static str) -> Result<(), Error> {
        let patience = self.patience;
        let (conn, out_of_step) = self.mark()?;
        see_end(timeout(patience, conn.execute(statement)).await, out_of_step).map(|_| ())
    }
}

impl Drop for Conn {
    fn drop(&mut self) {
        let Some(pooled) = self.pooled.take() else { return };
        // SQLite's thread comes to the end of a statement that nobody waits for, and to whoever asks next after it.
        let is_lost = self.out_of_step && self.dialect == Dialect::MySql;
        if let Ok(runtime) = Handle::try_current()
            && !is_lost
        {
            let back = pooled.give_back(self.transaction != Open::No);
            runtime.spawn(timeout(limits::DB_RETURN_TIMEOUT, back));
        }
    }
}

/// What a statement came to; takes its mark away if that was its end.
fn see_end<T>(
    outcome: Result<Result<T, Error>, Elapsed>,
    out_of_step: &mut bool,
) -> Result<T, Error> {
    let outcome = outcome.unwrap_or_else(|_| Err(silent()));
    *out_of_step = outcome.as_ref().is_err_and(leaves_out_of_step);
    outcome
}

/// What is said of a statement that took too long.
fn silent() -> Error {
    io::Error::new(io::ErrorKind::TimedOut, "the database did not answer in time").into()
}

/// Whether there may be more to come after an error. Only what the server itself says ends a statement surely.
fn leaves_out_of_step(error: &Error) -> bool {
    !matches!(error, Error::Database(_) | Error::RowNotFound)
}

impl<'c> Executor<'c> for &'c mut Conn {
    type Database = Backend;

    fn fetch_many<'e, 'q: 'e, E>(
        self,
        query: E,
    ) -> BoxStream<'e, Result<Either<AnyQueryResult, AnyRow>, Error>>
    where
        'c: 'e,
        E: 'q + Execute<'q, Backend>,
    {
        let deadline = Instant::now() + self.patience;
        let begun = async move {
            let (conn, out_of_step) = self.enter().await?;
            let state = Some((conn.fetch_many(query), out_of_step));
            Ok(stream::unfold(state, move |state| async move {
                let (mut steps, out_of_step) = state?;
                match timeout_at(deadline, steps.next()).await {
                    Ok(Some(Ok(step))) => Some((Ok(step), Some((steps, out_of_step)))),
                    Ok(Some(Err(error))) => {
                        *out_of_step = leaves_out_of_step(&error);
                        Some((Err(error), None))
                    }
                    Ok(None) => {
                        *out_of_step = false;
                        None
                    }
                    Err(_) => Some((Err(silent()), None)),
                }
            }))
        };
        begun.try_flatten_stream().boxed()
    }

    fn fetch_optional<'e, 'q: 'e, E>(self, query: E) -> BoxFuture<'e, Result<Option<AnyRow>, Error>>
    where
        'c: 'e,
        E: 'q + Execute<'q, Backend>,
    {
        Box::pin(async move {
            let patience = self.patience;
            let (conn, out_of_step) = self.enter().await?;
            // The driver knows of rows that it has not read, and reads them before it says anything else.
            see_end(timeout(patience, conn.fetch_optional(query)).await, out_of_step)
        })
    }

    fn prepare_with<'e>(
        self,
        sql: SqlStr,
        parameters: &'e [AnyTypeInfo],
    ) -> BoxFuture<'e, Result<AnyStatement, Error>>
    where
        'c: 'e,
    {
        Box::pin(async move {
            let patience = self.patience;
            let (conn, out_of_step) = self.enter().await?;
            see_end(timeout(patience, conn.prepare_with(sql, parameters)).await, out_of_step)
        })
    }

    fn describe<'e>(self, sql: SqlStr) -> BoxFuture<'e, Result<Describe<Backend>, Error>>
    where
        'c: 'e,
    {
        Box::pin(async move {
            let patience = self.patience;
            let (conn, out_of_step) = self.enter().await?;
            see_end(timeout(patience, conn.describe(sql)).await, out_of_step)
        })
    }
}

/// A transaction on a connection, its own or a borrowed one. It never happened unless it is committed.
#[derive(Debug)]
pub struct Transaction<C: DerefMut<Target = Conn>> {
    conn: C,
    /// There was one before it.
    is_inner: bool,
}

impl<C: DerefMut<Target = Conn>> Transaction<C> {
    pub(super) async fn begin(mut conn: C, statement: &'static str) -> Result<Self, DbError> {
        conn.undo().await?;
        let is_inner = conn.transaction == Open::Yes;
        // If it is not known whether it was begun, it is undone.
        conn.transaction = Open::Yes;
        let mut begun = Self { conn, is_inner };
        if !is_inner {
            begun.conn.say(statement).await?;
        }
        Ok(begun)
    }

    /// Makes it last. After an error it may have happened or not.
    pub async fn commit(mut self) -> Result<(), DbError> {
        if !self.is_inner {
            self.conn.say("COMMIT").await?;
            self.conn.transaction = Open::No;
        }
        Ok(())
    }

    /// Ends it without an effect.
    pub async fn rollback(mut self) -> Result<(), DbError> {
        if !self.is_inner {
            self.conn.say("ROLLBACK").await?;
            self.conn.transaction = Open::No;
        }
        Ok(())
    }
}

impl<C: DerefMut<Target = Conn>> Drop for Transaction<C> {
    fn drop(&mut self) {
        if !self.is_inner && self.conn.transaction == Open::Yes {
            self.conn.transaction = Open::Abandoned;
        }
    }
}

impl<C: DerefMut<Target = Conn>> Deref for Transaction<C> {
    type Target = Conn;

    fn deref(&self) -> &Conn {
        &self.conn
    }
}

impl<C: DerefMut<Target = Conn>> DerefMut for Transaction<C> {
    fn deref_mut(&mut self) -> &mut Conn {
        &mut self.conn
    }
}

#[cfg(test)]
mod tests;
