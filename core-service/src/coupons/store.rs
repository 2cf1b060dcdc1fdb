//! Templates, coupons and counters in the ledger.
//!
//! Reads run on any connection. What locks and saves is the commit engine's. Templates never change once they
//! exist, so nobody locks them. [`audit`] proves that the tables agree.

pub mod audit;

use super::claim::counter_keys;
use super::counter::{Counter, CounterKey};
use super::state::{Status, StoredCoupon};
use crate::db::bulk::{self, Value};
use crate::db::code::{from_text, to_text};
use crate::db::{Conn, DbError, Dialect, Row};
use crate::engine::table::Table;
use crate::engine::{Wants, WorkingSet};
use crate::limits;
use sqlx::Row as _;
use std::collections::{BTreeMap, BTreeSet};
use tiffin_api::coupon::{CouponState, CouponTemplate, CouponTerms};
use tiffin_api::id::{CouponId, CouponTemplateId, OrderId, StoreId, UserId};

const SELECT_COUNTERS: &str =
    "SELECT template_id, user_id, day, claimed, spent_minor FROM coupon_counters";

/// The select of what [`read_template`] reads, then the given ending.
macro_rules! select_templates {
    ($ending:literal) => {
        concat!("SELECT id, definition, version, created_at_ms FROM coupon_templates", $ending)
    };
}

/// The select of what [`read_coupon`] reads, then the given ending.
macro_rules! select_coupons {
    ($ending:literal) => {
        concat!(
            "SELECT id, template_id, user_id, state, version, order_id, discount_minor, ",
            "claimed_at_ms, valid_from_ms, expires_at_ms, updated_at_ms FROM coupons",
            $ending
        )
    };
}

fn read_template(row: &Row) -> Result<CouponTemplate, DbError> {
    Ok(CouponTemplate {
        id: CouponTemplateId::from_raw(row.try_get("id")?),
        terms: serde_json::from_str(row.try_get("definition")?)?,
        created_at_ms: row.try_get("created_at_ms")?,
        version: row.try_get("version")?,
    })
}

fn read_coupon(row: &Row) -> Result<StoredCoupon, DbError> {
    let id = CouponId::from_raw(row.try_get("id")?);
    let state: CouponState = from_text(row.try_get("state")?)?;
    let order_id: Option<i64> = row.try_get("order_id")?;
    let status = Status::from_parts(state, order_id.map(OrderId::from_raw));
    let contradiction =
        || DbError::inconsistent(format!("coupon {id} is {state:?} of {order_id:?}"));
    Ok(StoredCoupon {
        id,
        template_id: CouponTemplateId::from_raw(row.try_get("template_id")?),
        user_id: UserId::from_raw(row.try_get("user_id")?),
        status: status.ok_or_else(contradiction)?,
        discount_minor: row.try_get("discount_minor")?,
        claimed_at_ms: row.try_get("claimed_at_ms")?,
        valid_from_ms: row.try_get("valid_from_ms")?,
        expires_at_ms: row.try_get("expires_at_ms")?,
        updated_at_ms: row.try_get("updated_at_ms")?,
        version: row.try_get("version")?,
    })
}

fn read_counter(row: &Row) -> Result<(CounterKey, Counter), DbError> {
    let (template_id, user_id, day) =
        (row.try_get("template_id")?, row.try_get("user_id")?, row.try_get("day")?);
    let counter =
        Counter { claimed: row.try_get("claimed")?, spent_minor: row.try_get("spent_minor")? };
    Ok((CounterKey::from_columns(template_id, user_id, day), counter))
}

/// Templates by id, those after `after`, of one store and those of every store, or all of them.
pub async fn list_templates(
    conn: &mut Conn,
    store_id: Option<StoreId>,
    after: Option<CouponTemplateId>,
    limit: u32,
) -> Result<Vec<CouponTemplate>, DbError> {
    let after = after.map_or(0, CouponTemplateId::raw);
    let query = match store_id {
        Some(store_id) => sqlx::query(select_templates!(
            " WHERE id > ? AND store_id IN (0, ?) ORDER BY id LIMIT ?"
        ))
        .bind(after)
        .bind(store_id.raw()),
        None => sqlx::query(select_templates!(" WHERE id > ? ORDER BY id LIMIT ?")).bind(after),
    };
    let rows = query.bind(i64::from(limit)).fetch_all(conn).await?;
    rows.iter().map(read_template).collect()
}

/// Takes in templates by id and by `ref`, as far as they exist.
async fn load_templates(
    conn: &mut Conn,
    ids: &BTreeSet<CouponTemplateId>,
    refs: &BTreeSet<String>,
    templates: &mut Table<CouponTemplateId, CouponTemplate>,
) -> Result<(), DbError> {
    let ids = ids.iter().map(|id| id.raw());
    let mut rows = bulk::select_in(conn, select_templates!(""), "id", ids, "").await?;
    rows.extend(
        bulk::select_in(conn, select_templates!(""), "ref", refs.iter().cloned(), "").await?,
    );
    for row in &rows {
        let template = read_template(row)?;
        templates.load(template.id, template);
    }
    Ok(())
}

/// Templates by id, as far as they exist.
pub async fn templates_of(
    conn: &mut Conn,
    ids: &BTreeSet<CouponTemplateId>,
) -> Result<BTreeMap<CouponTemplateId, CouponTemplate>, DbError> {
    let ids = ids.iter().map(|id| id.raw());
    let rows = bulk::select_in(conn, select_templates!(""), "id", ids, "").await?;
    rows.iter().map(|row| read_template(row).map(|template| (template.id, template))).collect()
}

/// Writes new templates.
pub async fn save_templates(
    conn: &mut Conn,
    templates: &Table<CouponTemplateId, CouponTemplate>,
) -> Result<(), DbError> {
    let row = |template: &CouponTemplate| -> Result<[Value; 6], DbError> {
        let terms = &template.terms;
        Ok([
            template.id.raw().into(),
            terms.r#ref.clone().into(),
            terms.store_id.map_or(0, StoreId::raw).into(),
            serde_json::to_string(terms)?.into(),
            template.version.into(),
            template.created_at_ms.into(),
        ])
    };
    let rows = templates.inserted().map(|(_, template)| row(template)).collect::<Result<_, _>>()?;
    let into = "coupon_templates (id, ref, store_id, definition, version, created_at_ms)";
    bulk::insert(conn, into, rows).await
}

/// How many coupons of a template may still be claimed in all; more than anybody can claim if it has no such
/// cap. `None` if there is no such template.
pub async fn left(conn: &mut Conn, id: CouponTemplateId) -> Result<Option<i64>, DbError> {
    let Some(template) = templates_of(conn, &[id].into()).await?.remove(&id) else {
        return Ok(None);
    };
    let Some(total) = template.terms.caps.total else { return Ok(Some(limits::COUPON_CLAIMS)) };
    let claimed: i64 = sqlx::query_scalar("SELECT claimed FROM coupon_counters WHERE id = ?")
        .bind(CounterKey::total(id).to_string())
        .fetch_one(conn)
        .await?;
    Ok(Some((total - claimed).max(0)))
}

/// The claims left of those of a page of templates that have such a cap, and the page's last template.
pub async fn left_of_page(
    conn: &mut Conn,
    after: i64,
    limit: u32,
) -> Result<(Vec<(i64, i64)>, Option<i64>), DbError> {
    let rows = sqlx::query(
        "SELECT t.id, t.definition, c.claimed FROM coupon_templates t JOIN coupon_counters c \
         ON c.template_id = t.id AND c.user_id = 0 AND c.day = -1 WHERE t.id > ? ORDER BY t.id LIMIT ?",
    )
    .bind(after)
    .bind(i64::from(limit))
    .fetch_all(conn)
    .await?;
    let (mut left, mut last) = (Vec::new(), None);
    for row in rows {
        let (id, claimed): (i64, i64) = (row.try_get("id")?, row.try_get("claimed")?);
        let terms: CouponTerms = serde_json::from_str(row.try_get("definition")?)?;
        left.extend(terms.caps.total.map(|total| (id, (total - claimed).max(0))));
        last = Some(id);
    }
    Ok((left, last))
}

/// A user's coupons before `before`, the newest first.
pub async fn list(
    conn: &mut Conn,
    user_id: UserId,
    before: Option<CouponId>,
    limit: u32,
) -> Result<Vec<StoredCoupon>, DbError> {
    let rows =
        sqlx::query(select_coupons!(" WHERE user_id = ? AND id < ? ORDER BY id DESC LIMIT ?"))
            .bind(user_id.raw())
            .bind(before.map_or(i64::MAX, CouponId::raw))
            .bind(i64::from(limit))
            .fetch_all(conn)
            .await?;
    rows.iter().map(read_coupon).collect()
}

/// Coupons by id, as far as they exist.
pub async fn of_ids(conn: &mut Conn, ids: &[CouponId]) -> Result<Vec<StoredCoupon>, DbError> {
    let ids = ids.iter().map(|id| id.raw());
    let rows = bulk::select_in(conn, select_coupons!(""), "id", ids, "").await?;
    rows.iter().map(read_coupon).collect()
}

/// Claimed coupons whose time is over, by id after `after`.
pub async fn overdue(
    conn: &mut Conn,
    now_ms: i64,
    after: i64,
    limit: u32,
) -> Result<Vec<i64>, DbError> {
    let ids = sqlx::query_scalar(
        "SELECT id FROM coupons WHERE state = ? AND expires_at_ms <= ? AND id > ? \
         ORDER BY id LIMIT ?",
    )
    .bind(to_text(CouponState::Claimed))
    .bind(now_ms)
    .bind(after)
    .bind(i64::from(limit))
    .fetch_all(conn)
    .await?;
    Ok(ids)
}

/// Loads and locks what a batch wants of coupons: the coupons, then the counters; with them the templates.
pub async fn load(
    conn: &mut Conn,
    dialect: Dialect,
    wants: &Wants,
    ledger: &mut WorkingSet,
) -> Result<(), DbError> {
    lock(conn, dialect, &wants.coupons, &mut ledger.coupons).await?;
    let mut templates: BTreeSet<_> =
        ledger.coupons.values().map(|coupon| coupon.template_id).collect();
    let mut keys: BTreeSet<_> = templates.iter().copied().map(CounterKey::total).collect();
    templates.extend(wants.coupon_claims.iter().map(|(template, _)| *template));
    load_templates(conn, &templates, &wants.coupon_refs, &mut ledger.coupon_templates).await?;
    for (template, user) in &wants.coupon_claims {
        if let Some(template) = ledger.coupon_templates.get(template) {
            keys.extend(counter_keys(template, *user, ledger.now_ms));
        }
    }
    lock_counters(conn, dialect, &keys, &mut ledger.coupon_counters).await
}

async fn lock(
    conn: &mut Conn,
    dialect: Dialect,
    ids: &BTreeSet<CouponId>,
    coupons: &mut Table<CouponId, StoredCoupon>,
) -> Result<(), DbError> {
    let ids = ids.iter().map(|id| id.raw());
    let ending = format!(" ORDER BY id{}", dialect.for_update());
    for row in bulk::select_in(conn, select_coupons!(""), "id", ids, &ending).await? {
        let coupon = read_coupon(&row)?;
        coupons.load(coupon.id, coupon);
    }
    Ok(())
}

/// Writes new coupons, and what became of others.
pub async fn save(conn: &mut Conn, coupons: &Table<CouponId, StoredCoupon>) -> Result<(), DbError> {
    let state = |coupon: &StoredCoupon| Value::from(to_text(coupon.status.state()));
    let order = |coupon: &StoredCoupon| Value::from(coupon.status.order_id().map(OrderId::raw));
    let row = |coupon: &StoredCoupon| -> [Value; 11] {
        [
            coupon.id.raw().into(),
            coupon.template_id.raw().into(),
            coupon.user_id.raw().into(),
            state(coupon),
            coupon.version.into(),
            order(coupon),
            coupon.discount_minor.into(),
            coupon.claimed_at_ms.into(),
            coupon.valid_from_ms.into(),
            coupon.expires_at_ms.into(),
            coupon.updated_at_ms.into(),
        ]
    };
    let into = "coupons (id, template_id, user_id, state, version, order_id, discount_minor, \
                claimed_at_ms, valid_from_ms, expires_at_ms, updated_at_ms)";
    bulk::insert(conn, into, coupons.inserted().map(|(_, coupon)| row(coupon)).collect()).await?;

    let moved = coupons.updated().map(|(id, coupon)| {
        let (version, updated_at_ms) = (coupon.version.into(), coupon.updated_at_ms.into());
        let (discount, expires_at_ms) = (coupon.discount_minor.into(), coupon.expires_at_ms.into());
        (id.raw(), [state(coupon), version, order(coupon), discount, expires_at_ms, updated_at_ms])
    });
    let columns =
        ["state", "version", "order_id", "discount_minor", "expires_at_ms", "updated_at_ms"];
    bulk::update(conn, "coupons", "id", columns, moved.collect()).await
}

async fn lock_counters(
    conn: &mut Conn,
    dialect: Dialect,
    keys: &BTreeSet<CounterKey>,
    counters: &mut Table<CounterKey, Counter>,
) -> Result<(), DbError> {
    // In the order of the column, not of the numbers in it: every batch locks in that one.
    let ids: BTreeSet<String> = keys.iter().map(ToString::to_string).collect();
    let ending = format!(" ORDER BY id{}", dialect.for_update());
    for row in bulk::select_in(conn, SELECT_COUNTERS, "id", ids, &ending).await? {
        let (key, counter) = read_counter(&row)?;
        counters.load(key, counter);
    }
    Ok(())
}

/// Writes what changed of the counters. A row that is new here may be another core's at the same moment: its
/// insert then fails or ours does, and the loser's batch is decided anew.
pub async fn save_counters(
    conn: &mut Conn,
    dialect: Dialect,
    counters: &Table<CounterKey, Counter>,
) -> Result<(), DbError> {
    let row = |(key, counter): (&CounterKey, &Counter)| -> [Value; 6] {
        [
            key.to_string().into(),
            key.template_id.raw().into(),
            key.user_column().into(),
            key.day_column().into(),
            counter.claimed.into(),
            counter.spent_minor.into(),
        ]
    };
    let into = "coupon_counters (id, template_id, user_id, day, claimed, spent_minor)";
    bulk::insert(conn, into, counters.inserted().map(row).collect()).await?;
    let overwrite = dialect.on_conflict_update("id", &["claimed", "spent_minor"]);
    bulk::insert_ending(conn, into, counters.updated().map(row).collect(), &overwrite).await
}

/// What the coupons of some templates take off altogether, minor units.
pub async fn spent(
    conn: &mut Conn,
    templates: impl Iterator<Item = CouponTemplateId>,
) -> Result<BTreeMap<CouponTemplateId, i64>, DbError> {
    let ids: BTreeSet<String> = templates.map(|id| CounterKey::total(id).to_string()).collect();
    let rows = bulk::select_in(conn, SELECT_COUNTERS, "id", ids, "").await?;
    let read = |row| read_counter(row).map(|(key, counter)| (key.template_id, counter.spent_minor));
    rows.iter().map(read).collect()
}
