//! The import over HTTP: who may send one, how many are worked on at once, and where the work is done.
//!
//! Invariants: no byte of a body is read before its sender is known to be staff; parsing and checking run
//! beside the threads that answer requests; the write transaction holds nothing but writes.

use crate::app::App;
use crate::auth::Caller;
use crate::catalog::faults::Faults;
use crate::catalog::store::{import, known};
use crate::catalog::upload;
use crate::db::DbError;
use crate::http::error::ApiError;
use crate::http::extract::{Raw, require_media_type};
use crate::limits;
use axum::extract::{DefaultBodyLimit, Extension, FromRequestParts, State};
use axum::response::{IntoResponse, Response};
use http::header::CACHE_CONTROL;
use http::request::Parts;
use std::sync::Arc;
use tiffin_api::import::{CONTENT_TYPE, ImportReport, Row};
use tiffin_api::token::Role;
use tiffin_api::{ErrorCode, Problem};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

/// The route of this module.
pub(super) fn routes() -> OpenApiRouter<Arc<App>> {
    OpenApiRouter::new()
        .routes(routes!(import_rows))
        .layer(DefaultBodyLimit::max(limits::IMPORT_BODY_BYTES))
        .layer(Extension(Desk::default()))
}

/// The head of a request is in order: the core team sends rows. A handler takes this before the body.
struct FromTeam;

impl FromRequestParts<Arc<App>> for FromTeam {
    type Rejection = Response;

    async fn from_request_parts(parts: &mut Parts, app: &Arc<App>) -> Result<Self, Response> {
        let caller = Caller::from_request_parts(parts, app).await;
        let caller = caller.map_err(IntoResponse::into_response)?;
        let check = || {
            caller.require(Role::Admin)?;
            require_media_type(&parts.headers, CONTENT_TYPE)
        };
        check().map(|()| Self).map_err(IntoResponse::into_response)
    }
}

/// Where imports wait for their turn; [`limits::IMPORTS_AT_ONCE`] are worked on.
#[derive(Debug, Clone)]
struct Desk(Arc<Semaphore>);

impl Default for Desk {
    fn default() -> Self {
        Self(Arc::new(Semaphore::new(limits::IMPORTS_AT_ONCE)))
    }
}

impl Desk {
    /// Waits for a turn, for at most [`limits::IMPORT_WAIT`].
    async fn turn(&self) -> Result<Turn, ApiError> {
        let permit = Arc::clone(&self.0).acquire_owned();
        match tokio::time::timeout(limits::IMPORT_WAIT, permit).await {
            Ok(Ok(permit)) => Ok(Turn(Arc::new(permit))),
            Ok(Err(_)) | Err(_) => {
                let detail = "another import is being worked on; send the file again";
                Err(Problem::new(ErrorCode::Unavailable, detail).into())
            }
        }
    }
}

/// An import's turn at the [`Desk`].
struct Turn(Arc<OwnedSemaphorePermit>);

impl Turn {
    /// Does work that takes long on a thread of its own. The turn lasts until it is done, even when the
    /// client is gone by then.
    async fn work<T: Send + 'static>(&self, work: impl FnOnce() -> T + Send + 'static) -> T {
        let permit = Arc::clone(&self.0);
        let task = tokio::task::spawn_blocking(move || {
            let _until_done = permit;
            work()
        });
        task.await.unwrap_or_else(|error| std::panic::resume_unwind(error.into_panic()))
    }
}

/// Loads a file of stores, sections, items and deals: all of it, or nothing if a row is bad.
///
/// A file has at most 8 MiB, 20000 rows and 2000 stores. One import is worked on at a time; another one
/// waits for some seconds and is then told to come again. The `stock` of an item that exists is not
/// read: stock moves by orders alone.
#[utoipa::path(
    post, path = "/v1/admin/import", tag = "catalog", security(("bearer" = [])),
    request_body(
        content = Row, content_type = "application/x-ndjson",
        description = "newline-delimited JSON: one row a line"
    ),
    responses(
        (status = 200, body = ImportReport),
        (status = 422, body = Problem, description = "import-rejected: `errors` names each bad line"),
        (status = 503, body = Problem, description = "unavailable: another import is being worked on"),
    )
)]
async fn import_rows(
    State(app): State<Arc<App>>,
    _: FromTeam,
    Extension(desk): Extension<Desk>,
    Raw(body): Raw,
) -> Result<impl IntoResponse, ApiError> {
    let turn = desk.turn().await?;
    let (upload, faults) = turn.work(move || upload::read(&body)).await;
    let report = load(&app, &turn, upload, faults).await?;
    Ok(([(CACHE_CONTROL, "no-store")], axum::Json(report)))
}

/// Checks a file against the ledger and loads it in one transaction.
///
/// The check runs before the transaction, so that orders do not wait for it; if somebody has edited the
/// stores in between, it runs again.
async fn load(
    app: &App,
    turn: &Turn,
    mut upload: upload::Upload,
    mut faults: Faults,
) -> Result<ImportReport, ApiError> {
    for _ in 0..limits::IMPORT_TRIES {
        let mut known = load_known(app, &upload).await?;
        (upload, known, faults) = turn
            .work(move || {
                faults.merge(upload.unresolved(&known));
                (upload, known, faults)
            })
            .await;
        if !faults.is_empty() {
            return Err(refusal(faults).into());
        }
        let mut edit = app.edit().await?;
        if known::still_holds(&mut edit, &upload.store_refs(), &known).await? {
            let now_ms = app.clock.now_ms();
            let batches = upload.into_batches();
            let report = import::apply(&mut edit, &app.ids, batches, known, now_ms).await?;
            edit.commit().await?;
            return Ok(report);
        }
    }
    let detail = "somebody else keeps editing these stores; send the file again";
    Err(Problem::new(ErrorCode::Unavailable, detail).into())
}

/// What the ledger holds of the file's stores, all of it as of one commit.
async fn load_known(app: &App, upload: &upload::Upload) -> Result<upload::Known, DbError> {
    let mut conn = app.db.read().await?;
    let mut tx = conn.begin().await?;
    let known = known::load_known(&mut tx, &upload.store_refs()).await?;
    tx.rollback().await?;
    Ok(known)
}

fn refusal(faults: Faults) -> Problem {
    let (count, is_full) = (faults.count(), faults.is_full());
    let errors = faults.into_vec();
    let listed = errors.len();
    let detail = match count - listed {
        _ if is_full => format!("at least {count} faults; the first {listed} are listed"),
        0 => format!("{count} faults; correct them and send the file again"),
        more => format!("{count} faults; the first {listed} are listed, {more} more are not"),
    };
    Problem::with_errors(ErrorCode::ImportRejected, detail, errors)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::app::testing;
    use crate::catalog::testing::{file, rows};
    use crate::fast::memory::Memory;
    use crate::ids::lease::NodeLease;
    use futures::FutureExt as _;

    #[tokio::test]
    async fn a_turn_lasts_until_the_work_is_done_even_if_the_client_leaves() {
        let desk = Desk::default();
        let turn = desk.turn().await.unwrap();
        let (finish, finished) = std::sync::mpsc::channel::<()>();
        let client = tokio::spawn(async move { turn.work(move || finished.recv()).await });
        tokio::task::yield_now().await;
        client.abort();
        assert!(client.await.unwrap_err().is_cancelled());
        let refused = desk.turn().await.err().unwrap().into_response();
        assert_eq!(refused.status(), 503);
        finish.send(()).unwrap();
        assert!(desk.turn().await.is_ok(), "the next one gets its turn");
    }

    #[tokio::test]
    async fn an_import_rings_for_its_news_and_is_not_begun_without_ids() {
        let house = testing::app().await;
        let lease = NodeLease::take(house.db.clone(), house.clock.clone()).await.unwrap();
        let core = house.replica(lease.ids(), Arc::new(Memory::new(house.clock.clone())));
        let turn = Desk::default().turn().await.unwrap();
        let import = async |store| {
            let (upload, faults) = upload::read(file(&rows(store)).as_bytes());
            load(&core, &turn, upload, faults).await.map_err(|refused| refused.into_response())
        };
        import("noodles").await.unwrap();
        assert!(core.feed.rung().now_or_never().is_some());

        house.clock.advance(limits::NODE_LEASE_MS);
        assert_eq!(import("dumplings").await.unwrap_err().status(), 503);
        house.clock.advance(-limits::NODE_LEASE_MS);
        import("dumplings").await.unwrap();
    }
}
