//! What the comparison of the gate's counters reads from the ledger.

use crate::db::{Conn, DbError, Row, bulk};
use crate::fast::GateTag;
use crate::limits;
use sqlx::{AssertSqlSafe, Row as _};

/// What a counter should say: units left of an item of a store, or claims left of a template.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Counted {
    /// The gate.
    pub tag: GateTag,
    /// The item, or the template itself.
    pub item: i64,
    /// What anybody may still have.
    pub available: i64,
    /// Changes with every move.
    pub version: i64,
}

/// A kind of gate.
#[derive(Debug, Clone, Copy)]
pub enum Kind {
    /// Stores, with the stock of their items.
    Stores,
    /// Templates whose claims are capped; the others never run out.
    Templates,
}

impl Kind {
    /// Selects what the counters of this kind should say, as `gate`, `item`, `available` and `version`.
    const fn select(self) -> &'static str {
        match self {
            Self::Stores => {
                "SELECT c.gate, c.item, c.available, c.version FROM ( \
                   SELECT i.store_id AS gate, s.item_id AS item, s.available, s.version \
                   FROM stock s JOIN items i ON i.id = s.item_id) c"
            }
            Self::Templates => {
                "SELECT c.gate, c.item, c.available, c.version FROM ( \
                   SELECT t.gate, t.gate AS item, n.claimed AS version, \
                     CASE WHEN t.total > n.claimed THEN t.total - n.claimed ELSE 0 END AS available \
                   FROM (SELECT id AS gate, \
                       CAST(JSON_EXTRACT(definition, '$.caps.total') AS SIGNED) AS total \
                     FROM coupon_templates) t \
                   JOIN coupon_counters n ON n.template_id = t.gate AND n.user_id = 0 AND n.day = -1 \
                   WHERE t.total IS NOT NULL) c"
            }
        }
    }

    fn read(self, row: &Row) -> Result<Counted, DbError> {
        let gate = row.try_get("gate")?;
        Ok(Counted {
            tag: match self {
                Self::Stores => GateTag::Store(gate),
                Self::Templates => GateTag::Template(gate),
            },
            item: row.try_get("item")?,
            available: row.try_get("available")?,
            version: row.try_get("version")?,
        })
    }
}

/// A page of what should be counted, by item after one.
pub async fn page(conn: &mut Conn, kind: Kind, after: i64) -> Result<Vec<Counted>, DbError> {
    let query = format!("{} WHERE c.item > ? ORDER BY c.item LIMIT ?", kind.select());
    let rows = sqlx::query(AssertSqlSafe(query))
        .bind(after)
        .bind(i64::from(limits::GATE_SWEEP_ROWS))
        .fetch_all(conn)
        .await?;
    rows.iter().map(|row| kind.read(row)).collect()
}

/// The same for some items.
pub async fn some(
    conn: &mut Conn,
    kind: Kind,
    items: impl IntoIterator<Item = i64>,
) -> Result<Vec<Counted>, DbError> {
    let rows = bulk::select_in(conn, kind.select(), "c.item", items, "").await?;
    rows.iter().map(|row| kind.read(row)).collect()
}
