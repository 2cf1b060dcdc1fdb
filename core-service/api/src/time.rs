//! The answer of `GET /v1/time`.

use serde::{Deserialize, Serialize};

/// What time it is on the core's clock.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct TimeAnswer {
    /// Milliseconds since the Unix epoch, UTC, on the core's clock.
    pub now_ms: i64,
    /// How far `now_ms` may be off: 0 from the core itself, half the best round trip plus drift from an
    /// edge. Absent while the edge has not yet heard from the core: its own clock is all it has.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub uncertainty_ms: Option<i64>,
}
