//! Proofs over the tables: the counters say what the coupons say, and coupons and orders agree about who holds
//! what. Read on a connection that sees one commit.

use crate::db::{Conn, DbError};
use sqlx::Row as _;

/// A proof: what it means that its query finds a row, and the query, which gives ids as text.
struct Proof {
    fault: &'static str,
    query: &'static str,
}

const PROOFS: [Proof; 6] = [
    Proof {
        fault: "counts other than its template's coupons",
        query: "SELECT c.id AS id FROM coupon_counters c LEFT JOIN (SELECT template_id, \
            COUNT(*) AS claimed, SUM(discount_minor) AS spent FROM coupons GROUP BY template_id) k \
            ON k.template_id = c.template_id WHERE c.user_id = 0 AND c.day = -1 \
            AND (c.claimed <> COALESCE(k.claimed, 0) OR c.spent_minor <> COALESCE(k.spent, 0))",
    },
    Proof {
        fault: "counts other than its diner's coupons",
        query: "SELECT c.id AS id FROM coupon_counters c LEFT JOIN (SELECT template_id, user_id, \
            COUNT(*) AS claimed FROM coupons GROUP BY template_id, user_id) k \
            ON k.template_id = c.template_id AND k.user_id = c.user_id \
            WHERE c.user_id <> 0 AND c.day = -1 AND c.claimed <> COALESCE(k.claimed, 0)",
    },
    Proof {
        fault: "counts other than its day's coupons",
        query: "SELECT c.id AS id FROM coupon_counters c LEFT JOIN (SELECT template_id, \
            claimed_at_ms - claimed_at_ms % 86400000 AS day_ms, COUNT(*) AS claimed \
            FROM coupons GROUP BY template_id, claimed_at_ms - claimed_at_ms % 86400000) k \
            ON k.template_id = c.template_id AND k.day_ms = c.day * 86400000 \
            WHERE c.user_id = 0 AND c.day <> -1 AND c.claimed <> COALESCE(k.claimed, 0)",
    },
    Proof {
        fault: "counts other than its diner's coupons of the day",
        query: "SELECT c.id AS id FROM coupon_counters c LEFT JOIN (SELECT template_id, user_id, \
            claimed_at_ms - claimed_at_ms % 86400000 AS day_ms, COUNT(*) AS claimed \
            FROM coupons GROUP BY template_id, user_id, claimed_at_ms - claimed_at_ms % 86400000) k \
            ON k.template_id = c.template_id AND k.user_id = c.user_id \
            AND k.day_ms = c.day * 86400000 \
            WHERE c.user_id <> 0 AND c.day <> -1 AND c.claimed <> COALESCE(k.claimed, 0)",
    },
    Proof {
        fault: "is a template without a counter",
        query: "SELECT CAST(t.id AS CHAR(20)) AS id FROM coupon_templates t \
            LEFT JOIN coupon_counters c ON c.template_id = t.id AND c.user_id = 0 AND c.day = -1 \
            WHERE c.id IS NULL",
    },
    Proof {
        fault: "is a coupon whose order does not stand as the coupon does",
        query: "SELECT CAST(k.id AS CHAR(20)) AS id FROM coupons k \
            LEFT JOIN orders o ON o.id = k.order_id WHERE (k.state = 'LOCKED' \
            AND COALESCE(o.state, '') <> 'PENDING_PAYMENT') OR (k.state = 'USED' \
            AND (COALESCE(o.state, 'CLOSED') IN ('PENDING_PAYMENT', 'CLOSED') \
            OR o.coupons_back <> 0)) \
            OR (k.state NOT IN ('LOCKED', 'USED') AND (k.order_id IS NOT NULL \
            OR k.discount_minor <> 0))",
    },
];

/// Every fault: the row's id, and what is wrong with it. None means that the books are right.
pub async fn faults(conn: &mut Conn) -> Result<Vec<String>, DbError> {
    let mut faults = Vec::new();
    for Proof { fault, query } in PROOFS {
        for row in sqlx::query(query).fetch_all(&mut *conn).await? {
            let id: String = row.try_get("id")?;
            faults.push(format!("{id} {fault}"));
        }
    }
    Ok(faults)
}
