//! The outbox: what happened, written in the transaction that made it happen.
//!
//! A row is a *pack* of one transaction's news: a JSON array, in the order in which it happened. The relay numbers
//! packs without looking into them, so writing and moving news costs a few rows for each transaction, however much
//! happened in it.
//!
//! Invariants: a pack holds 1 to [`limits::OUTBOX_PACK_EVENTS`] events, as many as its row counts, and no line ends,
//! as events of the feed must not. Payloads are made into JSON once, by [`News::new`]; what packs and unpacks them
//! passes that text on.

use super::{Conn, DbError, bulk};
use crate::ids::IdGenerator;
use crate::limits;
use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;
use std::fmt::Write as _;

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
    /// Its name, which needs no escapes in JSON.
    pub const fn as_str(self) -> &'static str {
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

/// Something that a transaction did.
#[derive(Debug, Clone)]
pub struct News {
    topic: Topic,
    subject_id: i64,
    payload: String,
}

impl News {
    /// News of the entity `subject_id`.
    pub fn new<T: Serialize>(topic: Topic, subject_id: i64, payload: &T) -> Result<Self, DbError> {
        Ok(Self { topic, subject_id, payload: serde_json::to_string(payload)? })
    }
}

/// News as it stands in a pack.
#[derive(Debug, Clone, Copy, Deserialize)]
pub struct Packed<'a> {
    /// What kind.
    pub topic: &'a str,
    /// Of which entity.
    pub subject_id: &'a str,
    /// What.
    #[serde(borrow)]
    pub payload: &'a RawValue,
}

/// The pack of some news.
pub fn pack(news: &[News]) -> String {
    let mut text = String::from("[");
    for (position, News { topic, subject_id, payload }) in news.iter().enumerate() {
        let comma = if position == 0 { "" } else { "," };
        let topic = topic.as_str();
        // Writing to a String cannot fail.
        _ = write!(
            text,
            r#"{comma}{{"topic":"{topic}","subject_id":"{subject_id}","payload":{payload}}}"#
        );
    }
    text.push(']');
    text
}

/// What a pack holds.
pub fn unpack(pack: &str) -> Result<Vec<Packed<'_>>, DbError> {
    Ok(serde_json::from_str(pack)?)
}

/// Leaves news for the relay, all of it made at `now_ms`.
pub async fn publish(
    conn: &mut Conn,
    ids: &IdGenerator,
    news: &[News],
    now_ms: i64,
) -> Result<(), DbError> {
    let row = |news: &[News]| {
        let events = i64::try_from(news.len()).expect("a pack is small");
        [ids.next().into(), events.into(), pack(news).into(), now_ms.into()]
    };
    let rows = news.chunks(limits::OUTBOX_PACK_EVENTS).map(row).collect();
    bulk::insert(conn, "outbox (id, events, payload, created_at_ms)", rows).await
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_pack_is_one_line_and_gives_back_what_went_in() {
        let payload = serde_json::json!({ "name": "a \"quoted\"\nline, \u{2028} [and] {more}" });
        let news = [
            News::new(Topic::OrderChanged, 7, &payload).unwrap(),
            News::new(Topic::CouponTemplateChanged, i64::MAX, &()).unwrap(),
        ];
        let text = pack(&news);
        assert_eq!(text.lines().count(), 1);
        let unpacked = unpack(&text).unwrap();
        let found: Vec<_> =
            unpacked.iter().map(|n| (n.topic, n.subject_id, n.payload.get())).collect();
        let payload = payload.to_string();
        assert_eq!(
            found,
            [
                ("order.changed", "7", payload.as_str()),
                ("coupon-template.changed", "9223372036854775807", "null"),
            ]
        );
    }
}
