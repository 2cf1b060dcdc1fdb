//! `GET /v1/admin/audit`.
//!
//! A request may take less time than an audit of a large ledger: the audit is a task of its own, the request
//! waits for it for [`limits::AUDIT_ANSWER`] at most, and a later request can have the report that it left.

use super::auditor;
use crate::app::App;
use crate::auth::Caller;
use crate::http::error::ApiError;
use crate::http::extract::Query;
use crate::limits;
use axum::Json;
use axum::extract::State;
use axum::response::IntoResponse;
use http::header::CACHE_CONTROL;
use serde::Deserialize;
use std::sync::Arc;
use tiffin_api::audit::AuditReport;
use tiffin_api::token::Role;
use tiffin_api::{ErrorCode, Problem};
use tokio::time::timeout;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

/// The routes of this module.
pub fn routes() -> OpenApiRouter<Arc<App>> {
    OpenApiRouter::new().routes(routes!(audit))
}

#[derive(Debug, Deserialize)]
struct AuditQuery {
    /// The oldest report that will do, seconds.
    #[serde(default)]
    max_age_s: u32,
}

/// Proves from the tables that stock, orders, coupons and money agree, and the gate's counters with them.
///
/// One audit runs at a time in a core. It takes seconds for a million orders; one that is not done when the
/// request has to be answered goes on, and its report can be asked for with `max_age_s`. The core also audits by
/// itself every few minutes.
#[utoipa::path(
    get, path = "/v1/admin/audit", tag = "operations", security(("bearer" = [])),
    params(("max_age_s" = Option<u32>, Query,
            description = "a report that is no older than this will do; 0 unless given")),
    responses(
        (status = 200, body = AuditReport, description = "`clean` says whether nothing was found"),
        (status = 403, body = Problem, description = "forbidden"),
        (status = 503, body = Problem, description = "unavailable: another audit is in progress, or this \
            one takes longer than a request may"),
    )
)]
async fn audit(
    State(app): State<Arc<App>>,
    caller: Caller,
    Query(AuditQuery { max_age_s }): Query<AuditQuery>,
) -> Result<impl IntoResponse, ApiError> {
    caller.require(Role::Admin)?;
    let since_ms = app.clock.now_ms() - i64::from(max_age_s) * 1_000;
    let kept = app.auditor.last().filter(|report| max_age_s > 0 && report.as_of_ms >= since_ms);
    let report = match kept {
        Some(report) => report,
        None => fresh(&app).await?,
    };
    Ok(([(CACHE_CONTROL, "no-store")], Json(report.as_ref().clone())))
}

/// The report of an audit that begins now.
async fn fresh(app: &Arc<App>) -> Result<Arc<AuditReport>, ApiError> {
    let in_progress = |what: &str| {
        let detail = format!("{what}; ask again with ?max_age_s=60 for its report");
        ApiError::from(Problem::new(ErrorCode::Unavailable, detail))
    };
    let audit = auditor::begin(app).ok_or_else(|| in_progress("an audit is in progress"))?;
    let audited = timeout(limits::AUDIT_ANSWER, audit)
        .await
        .map_err(|_| in_progress("the audit goes on"))?
        .unwrap_or_else(|error| std::panic::resume_unwind(error.into_panic()));
    audited.map_err(|error| match error {
        auditor::AuditError::Db(error) => error.into(),
        auditor::AuditError::TooLong => {
            tracing::error!(%error, "an audit has no report");
            ApiError::internal()
        }
        auditor::AuditError::Stopped => ApiError::unavailable("the core stops"),
    })
}
