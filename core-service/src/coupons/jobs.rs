//! What happens to coupons without anybody asking: their time runs out.

use super::commands::ExpireCoupons;
use super::store;
use crate::app::App;
use crate::engine::SubmitError;
use crate::limits;
use tiffin_api::id::{CouponId, StoreId};

/// Ends the coupons whose time is over, page by page; returns how many. A page is one command, so that a
/// million of them, which end at one midnight, cost some thousand commits.
pub async fn expire(app: &App) -> Result<usize, SubmitError> {
    let now_ms = app.clock.now_ms();
    let (mut done, mut after) = (0, 0);
    loop {
        let mut conn = app.db.read().await?;
        let page = store::overdue(&mut conn, now_ms, after, limits::JOB_BATCH).await?;
        drop(conn);
        let Some(last) = page.last() else { return Ok(done) };
        after = *last;
        // Any lane will do: nobody claims or uses what is over.
        let lane = StoreId::from_raw(after);
        let ids = page.into_iter().map(CouponId::from_raw).collect();
        done += app.engine.submit(lane, ExpireCoupons { ids }).await?;
    }
}
