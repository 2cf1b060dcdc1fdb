//! Orders against the newest news of them, which is packed, so this is decided here and not in SQL.
//!
//! Every change of an order leaves news of its new version in the same transaction, made at the order's
//! `updated_at_ms`. Old news is forgotten: what was changed well after the oldest news that is kept has its news in
//! the feed or on its way. While nothing has been numbered, the outbox has everything.
//!
//! Only the newest [`limits::AUDIT_SNAPSHOTS`] orders are looked at. Packs are read from the newest on, page by page,
//! and no further back than those orders' changes.

use super::bounded;
use crate::db::outbox::{self, Topic};
use crate::db::{Conn, DbError};
use crate::limits;
use serde::Deserialize;
use sqlx::{AssertSqlSafe, Row as _};
use std::collections::BTreeMap;
use tiffin_api::audit::AuditExample;

/// The first instant of changes whose news must be there.
const KEPT_FROM: &str = "SELECT CASE WHEN MAX(h.seq) = 0 THEN 0 \
       ELSE COALESCE((SELECT MIN(created_at_ms) FROM feed) + ?, 9223372036854775807) END \
     FROM feed_head h";

const ORDERS: &str = "SELECT id, version, updated_at_ms FROM orders \
     WHERE id > ? AND updated_at_ms >= ? ORDER BY id LIMIT ?";

/// Where packs are, the newest first.
const PACKS: [&str; 2] = [
    "SELECT id AS place, events, payload, created_at_ms FROM outbox \
     WHERE id < ? ORDER BY id DESC LIMIT ?",
    "SELECT seq AS place, seq - first_seq + 1 AS events, payload, created_at_ms FROM feed \
     WHERE seq < ? ORDER BY seq DESC LIMIT ?",
];

/// What is known of an order.
#[derive(Debug, Clone, Copy)]
struct Known {
    version: i64,
    /// The highest version that news names.
    told: Option<i64>,
}

/// What was looked at and found.
#[derive(Debug, Default)]
pub struct Compared {
    orders: BTreeMap<i64, Known>,
    /// Since when these orders were changed, ms.
    since_ms: i64,
    bad_packs: Vec<AuditExample>,
    packs_broken: u64,
}

/// Compares the newest orders with their news.
pub async fn compare(conn: &mut Conn) -> Result<Compared, DbError> {
    let mut compared = Compared { since_ms: i64::MAX, ..Compared::default() };
    compared.read_orders(conn).await?;
    for packs in PACKS {
        compared.read_packs(conn, packs).await?;
    }
    Ok(compared)
}

impl Compared {
    /// How many orders were looked at.
    pub fn orders(&self) -> u64 {
        self.orders.len() as u64
    }

    /// The violations: how many, and the first of them.
    pub fn broken(&self) -> super::Broken {
        let untold = self.orders.iter().filter(|(_, known)| known.told != Some(known.version));
        let violations = self.packs_broken + untold.clone().count() as u64;
        let examples = untold.map(|(id, known)| AuditExample {
            rule: match known.told {
                None => "an order has left news",
                Some(_) => "the newest news of an order names its version",
            }
            .to_owned(),
            subject: format!("order {id}"),
            found: known.told,
            expected: Some(known.version),
        });
        let examples = self.bad_packs.iter().cloned().chain(examples);
        super::Broken { violations, examples: examples.take(limits::AUDIT_EXAMPLES).collect() }
    }

    async fn read_orders(&mut self, conn: &mut Conn) -> Result<(), DbError> {
        let kept_from_ms: i64 = sqlx::query_scalar(KEPT_FROM)
            .bind(limits::AUDIT_NEWS_SLACK_MS)
            .fetch_one(&mut *conn)
            .await?;
        let newest: i64 = sqlx::query_scalar(AssertSqlSafe(bounded("SELECT :newest")))
            .fetch_one(&mut *conn)
            .await?;
        let mut after = newest.saturating_sub(1);
        loop {
            let rows = sqlx::query(ORDERS)
                .bind(after)
                .bind(kept_from_ms)
                .bind(limits::AUDIT_NEWS_ORDERS)
                .fetch_all(&mut *conn)
                .await?;
            for row in &rows {
                after = row.try_get("id")?;
                let known = Known { version: row.try_get("version")?, told: None };
                self.orders.insert(after, known);
                self.since_ms = self.since_ms.min(row.try_get("updated_at_ms")?);
            }
            if i64::try_from(rows.len()) != Ok(limits::AUDIT_NEWS_ORDERS) {
                return Ok(());
            }
        }
    }

    async fn read_packs(&mut self, conn: &mut Conn, packs: &'static str) -> Result<(), DbError> {
        let oldest_ms = self.since_ms.saturating_sub(limits::AUDIT_NEWS_SLACK_MS);
        let mut before = i64::MAX;
        loop {
            let rows = sqlx::query(packs)
                .bind(before)
                .bind(limits::AUDIT_NEWS_PACKS)
                .fetch_all(&mut *conn)
                .await?;
            let mut newest_ms = i64::MIN;
            for row in &rows {
                before = row.try_get("place")?;
                newest_ms = newest_ms.max(row.try_get("created_at_ms")?);
                self.hear(before, row.try_get("events")?, row.try_get("payload")?);
            }
            let last = i64::try_from(rows.len()) != Ok(limits::AUDIT_NEWS_PACKS);
            if last || newest_ms < oldest_ms {
                return Ok(());
            }
        }
    }

    /// Takes in a pack: what it says of the orders, and whether it holds what it counts.
    fn hear(&mut self, place: i64, events: i64, pack: &str) {
        let news = outbox::unpack(pack);
        let found = news.as_ref().ok().and_then(|news| i64::try_from(news.len()).ok());
        if found != Some(events) {
            self.packs_broken += 1;
            if self.bad_packs.len() < limits::AUDIT_EXAMPLES {
                self.bad_packs.push(AuditExample {
                    rule: "a pack holds as much news as it counts".to_owned(),
                    subject: format!("pack {place}"),
                    found,
                    expected: Some(events),
                });
            }
        }
        for news in news.into_iter().flatten() {
            if news.topic != Topic::OrderChanged.as_str() {
                continue;
            }
            let order = news.subject_id.parse().ok().and_then(|id: i64| self.orders.get_mut(&id));
            if let Some(order) = order {
                order.told = order.told.max(version_of(news.payload.get()));
            }
        }
    }
}

/// The version that news of an order names; none if it names none.
fn version_of(payload: &str) -> Option<i64> {
    #[derive(Deserialize)]
    struct OrderChanged {
        version: i64,
    }
    serde_json::from_str::<OrderChanged>(payload).ok().map(|news| news.version)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::app::testing::{self, TestApp};
    use crate::db::outbox::News;
    use crate::feed::store::{number_waiting, prune};

    /// Orders and packs enough for more than one page of each kind.
    const ORDERS: i64 = 3 * limits::AUDIT_NEWS_PACKS;

    /// Makes an order changed at so many seconds, and its news if it is told of.
    async fn change(core: &TestApp, second: i64, tells: bool) {
        let (mut tx, at_ms) = (core.db.write().await.unwrap(), second * 1_000);
        sqlx::query(
            "INSERT INTO orders VALUES (?, 1, 7, 'PAID', 2, 'EUR', 0, '{}', 0, ?, 0, 0, 0)",
        )
        .bind(second)
        .bind(at_ms)
        .execute(&mut *tx)
        .await
        .unwrap();
        if tells {
            let payload = serde_json::json!({ "version": 2 });
            let news = [News::new(Topic::OrderChanged, second, &payload).unwrap()];
            outbox::publish(&mut tx, &core.ids, &news, at_ms).await.unwrap();
        }
        tx.commit().await.unwrap();
    }

    async fn found(core: &TestApp) -> (u64, Vec<String>) {
        let compared = compare(&mut core.db.read().await.unwrap()).await.unwrap();
        let broken = compared.broken();
        assert_eq!(broken.violations, broken.examples.len() as u64);
        (compared.orders(), broken.examples.into_iter().map(|example| example.subject).collect())
    }

    #[tokio::test]
    async fn news_is_found_wherever_it_is_and_only_old_news_is_not_missed() {
        let core = testing::app().await;
        for second in 1..=ORDERS {
            change(&core, second, second != 100).await;
        }
        let (all, untold) = (u64::try_from(ORDERS).unwrap(), vec!["order 100".to_owned()]);
        assert_eq!(found(&core).await, (all, untold.clone()), "while all is on its way");
        number_waiting(&core.db).await.unwrap();
        let kept = |from_second: i64| u64::try_from(ORDERS - from_second + 1).unwrap();
        let slack_s = limits::AUDIT_NEWS_SLACK_MS / 1_000;
        assert_eq!(
            found(&core).await,
            (kept(1 + slack_s), untold.clone()),
            "when some is numbered"
        );
        prune(&core.db, 30_000, 0).await.unwrap();
        assert_eq!(found(&core).await, (kept(30 + slack_s), untold));
        prune(&core.db, 50_000, 0).await.unwrap();
        assert_eq!(found(&core).await, (kept(50 + slack_s), vec![]), "it may have been told of");
        while prune(&core.db, i64::MAX, 0).await.unwrap() {}
        assert_eq!(found(&core).await, (0, vec![]), "nothing is kept that it could be beside");
    }
}
