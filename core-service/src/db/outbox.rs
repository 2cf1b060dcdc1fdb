//! The outbox: what happened, written in the transaction that made it happen.

use super::{Conn, DbError, bulk};
use crate::ids::IdGenerator;
use serde::Serialize;

/// A kind of news.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Topic {
    /// A store or its menu was edited.
    StoreChanged,
    /// A deal was made or edited.
    DealChanged,
    /// An order was placed or moved.
    OrderChanged,
    /// A payment or its refund moved.
    PaymentChanged,
    /// A coupon was claimed or moved.
    CouponChanged,
    /// A coupon template was made.
    CouponTemplateChanged,
}

impl Topic {
    const fn as_str(self) -> &'static str {
        match self {
            Self::StoreChanged => "store.changed",
            Self::DealChanged => "deal.changed",
            Self::OrderChanged => "order.changed",
            Self::PaymentChanged => "payment.changed",
            Self::CouponChanged => "coupon.changed",
            Self::CouponTemplateChanged => "coupon-template.changed",
        }
    }
}

/// A row of news that a batch leaves.
#[derive(Debug, Clone)]
pub struct News {
    /// Its id: unique, in no order that matters.
    pub id: i64,
    /// What kind.
    pub topic: Topic,
    /// Of which entity.
    pub subject_id: i64,
    /// What, as JSON.
    pub payload: String,
    /// When.
    pub created_at_ms: i64,
}

/// Leaves rows for the relay.
pub async fn publish_all(conn: &mut Conn, news: Vec<News>) -> Result<(), DbError> {
    let row = |news: News| {
        [
            news.id.into(),
            news.topic.as_str().into(),
            news.subject_id.into(),
            news.payload.into(),
            news.created_at_ms.into(),
        ]
    };
    let into = "outbox (id, topic, subject_id, payload, created_at_ms)";
    bulk::insert(conn, into, news.into_iter().map(row).collect()).await
}

/// Leaves a row for the relay.
pub async fn publish<T: Serialize>(
    conn: &mut Conn,
    ids: &IdGenerator,
    topic: Topic,
    subject_id: i64,
    payload: &T,
    now_ms: i64,
) -> Result<(), DbError> {
    sqlx::query(
        "INSERT INTO outbox (id, topic, subject_id, payload, created_at_ms) VALUES (?, ?, ?, ?, ?)",
    )
    .bind(ids.next())
    .bind(topic.as_str())
    .bind(subject_id)
    .bind(serde_json::to_string(payload)?)
    .bind(now_ms)
    .execute(conn)
    .await?;
    Ok(())
}
