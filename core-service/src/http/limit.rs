//! How fast one user may ask for what costs the core something.

use super::error::ApiError;
use crate::app::App;
use crate::fast::{Allowance, FastStore as _};
use crate::limits;
use tiffin_api::id::UserId;
use tiffin_api::{ErrorCode, Problem};

/// Counts a write of a user; refuses one too many. Hardly anybody writes so fast that it matters: a bucket in this
/// process lets the others pass without a trip, and only what overflows it is counted for all cores.
pub async fn write(app: &App, user: UserId) -> Result<(), ApiError> {
    let (key, now_ms) = (format!("write:{user}"), app.clock.now_ms());
    let near = app.near.take_token(&key, limits::WRITES_UNCOUNTED, now_ms).await;
    if near == Ok(Allowance::Allowed) {
        return Ok(());
    }
    judge(app.fast.take_token(&key, limits::WRITES_PER_USER, now_ms).await.ok())
}

/// Counts a try to pay; refuses one too many. A retry under the same key (`scope`) counts once.
pub async fn payment(app: &App, user: UserId, scope: &str) -> Result<(), ApiError> {
    let (key, now_ms) = (format!("pay:{user}"), app.clock.now_ms());
    judge(app.fast.slide(&key, limits::PAYMENTS_PER_USER, now_ms, scope).await.ok())
}

/// Whoever cannot be judged passes: a limit sheds load, it protects nothing else.
fn judge(allowance: Option<Allowance>) -> Result<(), ApiError> {
    match allowance {
        Some(Allowance::Denied { retry_after_ms }) => {
            let wait_s = retry_after_ms.max(1).div_euclid(1_000) + 1;
            let detail =
                format!("nothing was done; try again in {wait_s} s with the same Idempotency-Key");
            Err(Problem::new(ErrorCode::RateLimited, detail).into())
        }
        Some(Allowance::Allowed) | None => Ok(()),
    }
}
