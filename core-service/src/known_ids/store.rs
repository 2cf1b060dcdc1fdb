//! The ids of whole tables.

use crate::db::{Db, DbError};
use crate::limits;
use sqlx::AssertSqlSafe;
use tiffin_api::known_ids::{DEAL, STORE};

/// A table whose ids have public pages.
#[derive(Debug, Clone, Copy)]
pub enum Table {
    /// Stores; their menus have the same ids.
    Stores,
    /// Deals.
    Deals,
}

impl Table {
    /// Each of them.
    pub const ALL: [Self; 2] = [Self::Stores, Self::Deals];

    /// The word for what is in it.
    pub const fn kind(self) -> &'static str {
        match self {
            Self::Stores => STORE,
            Self::Deals => DEAL,
        }
    }

    const fn name(self) -> &'static str {
        match self {
            Self::Stores => "stores",
            Self::Deals => "deals",
        }
    }
}

/// Every id of a table that was committed when this began, unless there are more than [`limits::KNOWN_IDS_MOST`].
pub async fn ids(db: &Db, table: Table) -> Result<Option<Vec<i64>>, DbError> {
    if has_too_many(db, table).await? {
        return Ok(None);
    }
    let text = format!("SELECT id FROM {} WHERE id > ? ORDER BY id LIMIT ?", table.name());
    let mut ids: Vec<i64> = Vec::new();
    loop {
        // A connection for each page: a long table keeps nobody else waiting for one.
        let page: Vec<i64> = sqlx::query_scalar(AssertSqlSafe(text.clone()))
            .bind(ids.last().copied().unwrap_or(i64::MIN))
            .bind(i64::from(limits::KNOWN_IDS_PAGE))
            .fetch_all(&mut *db.read().await?)
            .await?;
        if page.is_empty() {
            return Ok(Some(ids));
        }
        ids.extend(page);
        if ids.len() > limits::KNOWN_IDS_MOST {
            return Ok(None);
        }
    }
}

/// Looked at first, so that a long table is not read in vain each time.
async fn has_too_many(db: &Db, table: Table) -> Result<bool, DbError> {
    let text = format!("SELECT id FROM {} ORDER BY id LIMIT 1 OFFSET ?", table.name());
    let beyond: Option<i64> = sqlx::query_scalar(AssertSqlSafe(text))
        .bind(i64::try_from(limits::KNOWN_IDS_MOST).unwrap_or(i64::MAX))
        .fetch_optional(&mut *db.read().await?)
        .await?;
    Ok(beyond.is_some())
}
