//! The API of the catalog: public reads, and the import that only staff may send.

use super::store::{self, import};
use super::{upload, view};
use crate::app::App;
use crate::auth::Caller;
use crate::http::error::{ApiError, PublicError};
use crate::http::etag;
use crate::http::extract::{PageQuery, Path, Query, Raw, require_media_type};
use crate::http::lang::AskedLang;
use crate::limits;
use axum::extract::{DefaultBodyLimit, State};
use axum::response::{IntoResponse, Response};
use http::HeaderMap;
use http::header::CACHE_CONTROL;
use serde::Deserialize;
use std::sync::Arc;
use tiffin_api::catalog::{Menu, Store, StoreList};
use tiffin_api::id::StoreId;
use tiffin_api::import::{CONTENT_TYPE, ImportReport, Row};
use tiffin_api::text::Lang;
use tiffin_api::token::Role;
use tiffin_api::{ErrorCode, Problem};
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

/// How long caches keep what the public reads: fresh for seconds, shown stale for a minute while it is
/// fetched again, and for a day while the core is away.
pub const CACHE_PUBLIC: &str = "public, max-age=5, stale-while-revalidate=60, stale-if-error=86400";

/// The routes of this module.
pub fn routes() -> OpenApiRouter<Arc<App>> {
    let import = OpenApiRouter::new()
        .routes(routes!(import_rows))
        .layer(DefaultBodyLimit::max(limits::IMPORT_BODY_BYTES));
    OpenApiRouter::new()
        .routes(routes!(list_stores))
        .routes(routes!(read_store))
        .routes(routes!(read_menu))
        .merge(import)
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
    let mut response = etag::answer(&headers, version, CACHE_PUBLIC, &list);
    asked.label(&mut response, Some(lang));
    Ok(response)
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
    let mut response = etag::answer(&headers, stored.version, CACHE_PUBLIC, &document);
    asked.label(&mut response, Some(lang));
    Ok(response)
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
    let mut conn = app.db.read().await?;
    let stored = store::find_menu(&mut conn, id).await?.ok_or_else(store_not_found)?;
    let lang = asked.unwrap_or(stored.store.row.lang);
    let document = view::menu(&stored, lang, at_ms);
    let mut response = etag::answer(&headers, stored.store.version, CACHE_PUBLIC, &document);
    asked.label(&mut response, Some(lang));
    Ok(response)
}

/// Loads a file of stores, sections, items and deals: all of it, or nothing if a row is bad.
#[utoipa::path(
    post, path = "/v1/admin/import", tag = "catalog", security(("bearer" = [])),
    request_body(
        content = Row, content_type = "application/x-ndjson",
        description = "newline-delimited JSON: one row a line, any number of lines"
    ),
    responses(
        (status = 200, body = ImportReport),
        (status = 422, body = Problem, description = "import-rejected: `errors` names each bad line"),
    )
)]
async fn import_rows(
    State(app): State<Arc<App>>,
    caller: Caller,
    headers: HeaderMap,
    Raw(body): Raw,
) -> Result<impl IntoResponse, ApiError> {
    if !caller.0.has(Role::Admin) {
        caller.require(Role::Merchant)?;
    }
    require_media_type(&headers, CONTENT_TYPE)?;
    let report = load(&app, &body).await?;
    Ok(([(CACHE_CONTROL, "no-store")], axum::Json(report)))
}

/// Checks and loads a file in one transaction.
async fn load(app: &App, body: &[u8]) -> Result<ImportReport, ApiError> {
    let (upload, mut faults) = upload::read(body);
    let mut tx = app.db.write().await?;
    let known = import::load_known(&mut tx, &upload.store_refs()).await?;
    faults.extend(upload.unresolved(&known));
    if !faults.is_empty() {
        let count = faults.count();
        let errors = faults.into_vec();
        let detail = match count - errors.len() {
            0 => format!("{count} faults; correct them and send the file again"),
            more => format!(
                "{count} faults; the first {} are listed, {more} more are not",
                errors.len()
            ),
        };
        return Err(Problem::with_errors(ErrorCode::ImportRejected, detail, errors).into());
    }
    let now_ms = app.clock.now_ms();
    let report = import::apply(&mut tx, &app.ids, upload.into_batches(), known, now_ms).await?;
    tx.commit().await?;
    Ok(report)
}

#[cfg(test)]
mod tests;
