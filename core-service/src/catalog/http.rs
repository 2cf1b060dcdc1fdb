//! The API of the catalog: public reads. The import, which only staff may send, is in [`import`].

mod import;

use super::{store, view};
use crate::app::App;
use crate::http::error::{ApiError, PublicError};
use crate::http::etag;
use crate::http::extract::{PageQuery, Path, Query};
use crate::http::lang::AskedLang;
use crate::limits;
use axum::extract::State;
use axum::response::Response;
use http::HeaderMap;
use serde::Deserialize;
use std::sync::Arc;
use tiffin_api::catalog::{Menu, Store, StoreList};
use tiffin_api::id::StoreId;
use tiffin_api::text::Lang;
use tiffin_api::{ErrorCode, Problem};
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

/// The routes of this module.
pub fn routes() -> OpenApiRouter<Arc<App>> {
    OpenApiRouter::new()
        .routes(routes!(list_stores))
        .routes(routes!(read_store))
        .routes(routes!(read_menu))
        .merge(import::routes())
}

/// The moment asked about.
#[derive(Debug, Deserialize)]
struct AtQuery {
    at: Option<i64>,
}

impl AtQuery {
    /// That moment, else now.
    fn or_now(&self, app: &App) -> Result<i64, ApiError> {
        let at_ms = self.at.unwrap_or_else(|| app.clock.now_ms());
        if (0..=limits::LATEST_MS).contains(&at_ms) {
            return Ok(at_ms);
        }
        let detail = format!("at is 0 to {} milliseconds since 1970, UTC", limits::LATEST_MS);
        Err(Problem::new(ErrorCode::BadRequest, detail).into())
    }
}

/// A store's id; what is not an id names no store.
fn parse_store_id(text: &str) -> Result<StoreId, ApiError> {
    text.parse().map_err(|_| store_not_found())
}

fn store_not_found() -> ApiError {
    Problem::new(ErrorCode::StoreNotFound, "the stores are listed at /v1/stores").into()
}

/// Lists stores by id, as they stand at a moment.
#[utoipa::path(
    get, path = "/v1/stores", tag = "catalog",
    params(
        ("limit" = Option<u32>, Query, description = "1 to 100, else 50"),
        ("cursor" = Option<String>, Query, description = "the next_cursor of the page before"),
        ("at" = Option<i64>, Query, description = "ms since the Unix epoch, else now"),
        ("lang" = Option<Lang>, Query, description = "else Accept-Language, else English"),
    ),
    responses((status = 200, body = StoreList), (status = 304), (status = 400, body = Problem))
)]
async fn list_stores(
    State(app): State<Arc<App>>,
    Query(page): Query<PageQuery>,
    Query(at): Query<AtQuery>,
    asked: AskedLang,
    headers: HeaderMap,
) -> Result<Response, PublicError> {
    let (limit, after, at_ms) = (page.limit()?, page.cursor()?, at.or_now(&app)?);
    let mut conn = app.db.read().await?;
    let (stores, more) = store::list_stores(&mut conn, after, limit).await?;
    let next = stores.last().filter(|_| more).map(|last| last.id);
    let version = stores.iter().map(|stored| stored.version).max().unwrap_or(0);
    let lang = asked.unwrap_or(Lang::ALL[0]);
    let list = view::store_list(&stores, next, lang, at_ms);
    Ok(etag::answer_public(&headers, asked, Some(lang), version, &list))
}

/// Reads a store, as it stands at a moment.
#[utoipa::path(
    get, path = "/v1/stores/{id}", tag = "catalog",
    params(
        ("id" = StoreId, Path),
        ("at" = Option<i64>, Query, description = "ms since the Unix epoch, else now"),
        ("lang" = Option<Lang>, Query, description = "else Accept-Language, else the store's own"),
    ),
    responses(
        (status = 200, body = Store), (status = 304),
        (status = 404, body = Problem, description = "store-not-found"),
    )
)]
async fn read_store(
    State(app): State<Arc<App>>,
    Path(id): Path<String>,
    Query(at): Query<AtQuery>,
    asked: AskedLang,
    headers: HeaderMap,
) -> Result<Response, PublicError> {
    let (id, at_ms) = (parse_store_id(&id)?, at.or_now(&app)?);
    let mut conn = app.db.read().await?;
    let stored = store::find_store(&mut conn, id).await?.ok_or_else(store_not_found)?;
    let lang = asked.unwrap_or(stored.row.lang);
    let document = view::store(&stored, lang, at_ms);
    Ok(etag::answer_public(&headers, asked, Some(lang), stored.version, &document))
}

/// Reads a store's menu, with what can be ordered at a moment.
#[utoipa::path(
    get, path = "/v1/stores/{id}/menu", tag = "catalog",
    params(
        ("id" = StoreId, Path),
        ("at" = Option<i64>, Query, description = "ms since the Unix epoch, else now"),
        ("lang" = Option<Lang>, Query, description = "else Accept-Language, else the store's own"),
    ),
    responses(
        (status = 200, body = Menu), (status = 304),
        (status = 404, body = Problem, description = "store-not-found"),
    )
)]
async fn read_menu(
    State(app): State<Arc<App>>,
    Path(id): Path<String>,
    Query(at): Query<AtQuery>,
    asked: AskedLang,
    headers: HeaderMap,
) -> Result<Response, PublicError> {
    let (id, at_ms) = (parse_store_id(&id)?, at.or_now(&app)?);
    let stored = app.menus.read(&app.db, id).await?.ok_or_else(store_not_found)?;
    let lang = asked.unwrap_or(stored.store.row.lang);
    let document = view::menu(&stored, lang, at_ms);
    Ok(etag::answer_public(&headers, asked, Some(lang), stored.store.version, &document))
}

#[cfg(test)]
mod tests;
