//! Statements cut short at every point, and what becomes of their connections.

use super::*;
use crate::app::testing;
use crate::db::Db;
use futures::future::join_all;
use sqlx::AssertSqlSafe;
use std::pin::Pin;
use std::task::{Context, Poll};

/// How long a test waits for something that must not take long.
const PATIENCE: Duration = Duration::from_secs(3);

/// Polls a future so often at most, and drops it then.
struct CutShort<F> {
    work: Pin<Box<F>>,
    polls: usize,
}

impl<F: Future> Future for CutShort<F> {
    type Output = Option<F::Output>;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        if self.polls == 0 {
            return Poll::Ready(None);
        }
        self.polls -= 1;
        match self.work.as_mut().poll(cx) {
            Poll::Ready(output) => Poll::Ready(Some(output)),
            // The last poll sent something: it goes on its way, and nobody hears the answer.
            Poll::Pending if self.polls == 0 => Poll::Ready(None),
            Poll::Pending => Poll::Pending,
        }
    }
}

fn cut_short<F: Future>(polls: usize, work: F) -> CutShort<F> {
    CutShort { work: Box::pin(work), polls }
}

/// Asks for a number by a statement that no connection has prepared.
async fn number(conn: &mut Conn, number: i64) -> Result<i64, Error> {
    let text = format!("SELECT CAST(? AS SIGNED) + {number}");
    sqlx::query_scalar(AssertSqlSafe(text)).bind(1_000_000_i64).fetch_one(conn).await
}

/// Each reads what it asked for, and soon.
async fn all_read_well(db: &Db) {
    let readers = (0..i64::from(limits::DB_READERS) * 4).map(async |n| {
        let mut conn = db.read().await.unwrap();
        assert_eq!(number(&mut conn, n).await.unwrap(), 1_000_000 + n);
    });
    timeout(PATIENCE, join_all(readers)).await.expect("no connection is lost");
}

#[tokio::test]
async fn reads_cut_short_at_any_point_cost_nobody_else_an_answer() {
    let core = testing::app().await;
    for round in 0..12 {
        let cut = (0..40).map(|polls| {
            let db = core.db.clone();
            let asked = i64::from(round * 40) + 100;
            let work = async move {
                let mut conn = db.read().await.unwrap();
                let mut snapshot = conn.begin().await.unwrap();
                for n in 0..4 {
                    let n = asked + n;
                    assert_eq!(number(&mut snapshot, n).await.unwrap(), 1_000_000 + n);
                }
            };
            cut_short(polls, work)
        });
        join_all(cut).await;
        all_read_well(&core.db).await;
    }
}

const INSERT: &str =
    "INSERT INTO nodes (node, owner, lease_until_ms, minted_until_ms) VALUES (?, '', 0, 0)";

async fn nodes(db: &Db) -> Vec<i64> {
    let mut conn = db.read().await.unwrap();
    let found = sqlx::query_scalar("SELECT node FROM nodes ORDER BY node");
    found.fetch_all(&mut *conn).await.unwrap()
}

#[tokio::test]
async fn writes_cut_short_at_any_point_happen_whole_or_not_at_all() {
    let core = testing::app().await;
    let mut done = 0;
    for polls in 0..40 {
        let (db, first) = (core.db.clone(), i64::try_from(polls).unwrap() * 2);
        let work = async move {
            let mut tx = db.write().await.unwrap();
            for node in [first, first + 1] {
                sqlx::query(INSERT).bind(node).execute(&mut *tx).await.unwrap();
            }
            tx.commit().await.unwrap();
        };
        done += usize::from(cut_short(polls, work).await.is_some());
        timeout(PATIENCE, core.db.write()).await.expect("the writers are free").unwrap();
    }
    assert!(done > 0, "some came to their end");
    let nodes = nodes(&core.db).await;
    assert!(nodes.len() >= done * 2);
    for pair in nodes.chunks(2) {
        assert!(pair[0] % 2 == 0 && pair[1] == pair[0] + 1, "{nodes:?}");
    }
}

#[tokio::test]
async fn what_takes_too_long_is_given_up_and_so_is_its_connection() {
    let core = testing::app().await;
    let slow = match core.db.dialect() {
        Dialect::Sqlite => {
            "WITH RECURSIVE t(n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM t WHERE n < 5000000) \
             SELECT COUNT(*) FROM t"
        }
        Dialect::MySql => "SELECT SLEEP(1.5)",
    };
    let begun = Instant::now();
    let slow_ones = (0..limits::DB_READERS).map(async |_| {
        let mut conn = core.db.read().await.unwrap();
        conn.be_patient(Duration::from_millis(60));
        let error = DbError::from(sqlx::query(slow).execute(&mut *conn).await.unwrap_err());
        assert!(error.is_transient(), "{error}");
        // Whatever comes next on it is refused, not answered with what is late.
        assert!(number(&mut conn, 5).await.is_err());
        assert!(conn.begin().await.is_err());
    });
    join_all(slow_ones).await;
    if core.db.dialect() == Dialect::MySql {
        all_read_well(&core.db).await;
        assert!(begun.elapsed() < Duration::from_secs(1), "nobody waited for the slow ones");
    }
}

#[tokio::test]
async fn only_what_is_committed_happened() {
    let core = testing::app().await;
    let insert = async |id: i64, commits: bool| {
        let mut tx = core.db.write().await.unwrap();
        let inner = tx.begin().await.unwrap();
        drop(inner);
        sqlx::query(INSERT).bind(id).execute(&mut *tx).await.unwrap();
        if commits { tx.commit().await.unwrap() } else { drop(tx) }
    };
    insert(900, true).await;
    insert(901, false).await;
    insert(902, true).await;
    assert_eq!(nodes(&core.db).await, [900, 902]);
}
