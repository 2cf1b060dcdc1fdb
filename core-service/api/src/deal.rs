//! Deals (flash sales): their definition, and the phase that follows from it and the time.
//!
//! The definition is cached at the edge for as long as it likes; the phase is computed for every answer
//! by [`Deal::phase_at`], a pure function that the core and the edge share.

use crate::id::{DealId, ItemId, StoreId};
use crate::money::Currency;
use serde::{Deserialize, Serialize};

/// How long before its start a deal warms up, ms.
pub const WARMING_MS: i64 = 120_000;

/// What the core has decided about a deal, apart from the clock.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(rename_all = "SCREAMING_SNAKE_CASE")]
pub enum DealStatus {
    /// It will run, runs or has run, as the clock says.
    Scheduled,
    /// Nothing is left to sell for now.
    SoldOut,
    /// It was called off before it ran.
    Cancelled,
}

/// Where a deal stands at a moment.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(rename_all = "SCREAMING_SNAKE_CASE")]
pub enum DealPhase {
    /// More than [`WARMING_MS`] before its start.
    Scheduled,
    /// The last [`WARMING_MS`] before its start.
    Warming,
    /// From its start until its end, the end excluded.
    Running,
    /// As running, with nothing left.
    SoldOut,
    /// From its end on.
    Ended,
    /// Called off.
    Cancelled,
}

/// The definition of a deal.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct Deal {
    /// Its id.
    pub id: DealId,
    /// The store that offers it.
    pub store_id: StoreId,
    /// The item it sells.
    pub item_id: ItemId,
    /// Its title in the language asked for.
    pub title: String,
    /// The price of one unit during the deal, minor units.
    pub price_minor: i64,
    /// The currency of `price_minor`.
    pub currency: Currency,
    /// First instant at which it runs.
    pub start_ms: i64,
    /// First instant at which it no longer runs; after `start_ms`.
    pub end_ms: i64,
    /// What the core has decided.
    pub status: DealStatus,
    /// Grows with every change of the definition.
    pub version: i64,
}

impl Deal {
    /// The phase at `now_ms`; the window is `[start_ms, end_ms)`.
    pub fn phase_at(&self, now_ms: i64) -> DealPhase {
        match self.status {
            DealStatus::Cancelled => DealPhase::Cancelled,
            DealStatus::Scheduled | DealStatus::SoldOut if now_ms >= self.end_ms => {
                DealPhase::Ended
            }
            DealStatus::SoldOut if now_ms >= self.start_ms => DealPhase::SoldOut,
            DealStatus::Scheduled if now_ms >= self.start_ms => DealPhase::Running,
            DealStatus::Scheduled | DealStatus::SoldOut => {
                if now_ms >= self.start_ms.saturating_sub(WARMING_MS) {
                    DealPhase::Warming
                } else {
                    DealPhase::Scheduled
                }
            }
        }
    }

    /// The countdown at `now_ms`.
    pub fn countdown_at(&self, now_ms: i64, uncertainty_ms: Option<i64>) -> Countdown {
        Countdown {
            deal_id: self.id,
            server_now_ms: now_ms,
            start_ms: self.start_ms,
            end_ms: self.end_ms,
            phase: self.phase_at(now_ms),
            version: self.version,
            uncertainty_ms,
        }
    }
}

/// All deals that have not ended long ago.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct DealList {
    /// By start, the earliest first.
    pub deals: Vec<Deal>,
}

/// A deal's countdown: the client estimates its clock's offset from `server_now_ms` once and then counts
/// by itself; it never polls.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct Countdown {
    /// The deal.
    pub deal_id: DealId,
    /// Now, on the core's clock as well as the edge knows it.
    pub server_now_ms: i64,
    /// First instant at which the deal runs.
    pub start_ms: i64,
    /// First instant at which it no longer runs.
    pub end_ms: i64,
    /// The phase at `server_now_ms`.
    pub phase: DealPhase,
    /// Version of the definition this was computed from.
    pub version: i64,
    /// How far `server_now_ms` may be off; absent while the edge has never heard the core's clock.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub uncertainty_ms: Option<i64>,
}

#[cfg(test)]
mod tests {
    use super::*;

    const START_MS: i64 = 1_000_000;
    const END_MS: i64 = 2_000_000;

    fn deal(status: DealStatus) -> Deal {
        Deal {
            id: DealId::from_raw(1),
            store_id: StoreId::from_raw(2),
            item_id: ItemId::from_raw(3),
            title: String::new(),
            price_minor: 100,
            currency: "EUR".parse().unwrap(),
            start_ms: START_MS,
            end_ms: END_MS,
            status,
            version: 1,
        }
    }

    #[test]
    fn phases_change_to_the_millisecond() {
        use DealPhase::*;
        let table = [
            (START_MS - WARMING_MS - 1, Scheduled, Scheduled),
            (START_MS - WARMING_MS, Warming, Warming),
            (START_MS - 1, Warming, Warming),
            (START_MS, Running, SoldOut),
            (END_MS - 1, Running, SoldOut),
            (END_MS, Ended, Ended),
        ];
        for (now_ms, scheduled, sold_out) in table {
            assert_eq!(deal(DealStatus::Scheduled).phase_at(now_ms), scheduled, "at {now_ms}");
            assert_eq!(deal(DealStatus::SoldOut).phase_at(now_ms), sold_out, "at {now_ms}");
            assert_eq!(deal(DealStatus::Cancelled).phase_at(now_ms), Cancelled, "at {now_ms}");
        }
    }
}
