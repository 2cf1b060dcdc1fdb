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
            // Rounded up; and who counts may be wrong, so it does not keep anybody out for longer than a window.
            let wait_s = u64::try_from(retry_after_ms).unwrap_or(0).div_ceil(1_000);
            let wait_s = wait_s.clamp(limits::RETRY_AFTER_S, limits::RETRY_AFTER_MOST_S);
            let detail =
                format!("nothing was done; try again in {wait_s} s with the same Idempotency-Key");
            Err(Problem::for_a_while(ErrorCode::RateLimited, detail, wait_s).into())
        }
        Some(Allowance::Allowed) | None => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_wait_is_told_in_whole_seconds_rounded_up_and_bounded() {
        for (wait_ms, told_s) in
            [(-5, 1), (0, 1), (1, 1), (1_000, 1), (1_001, 2), (59_999, 60), (i64::MAX, 60)]
        {
            let refused = judge(Some(Allowance::Denied { retry_after_ms: wait_ms })).unwrap_err();
            assert_eq!(refused.0.retry_after_s, Some(told_s), "{wait_ms} ms");
        }
    }
}
