//! What the clients saw of a load of orders, in the words of orders.

use crate::load::tally;
use serde::Serialize;
use std::collections::BTreeMap;

/// The figures of one measurement.
#[derive(Debug, Clone, Default, PartialEq, Serialize)]
pub struct Figures {
    /// Orders that were answered with 201, those outside of the window too.
    pub accepted: u64,
    /// Orders that were refused for want of stock, likewise.
    pub sold_out: u64,
    /// Orders accepted a second, in the window.
    pub accepted_per_s: f64,
    /// Orders refused a second, in the window.
    pub sold_out_per_s: f64,
    /// The median latency, ms.
    pub p50_ms: f64,
    /// 99 of 100 answers came within, ms.
    pub p99_ms: f64,
    /// 999 of 1,000 answers came within, ms.
    pub p999_ms: f64,
    /// The slowest answer, ms.
    pub max_ms: f64,
    /// Answers that should not have been, and how many of each.
    pub errors: BTreeMap<String, u64>,
}

impl From<tally::Figures> for Figures {
    fn from(figures: tally::Figures) -> Self {
        Self {
            accepted: figures.granted,
            sold_out: figures.refused,
            accepted_per_s: figures.granted_per_s,
            sold_out_per_s: figures.refused_per_s,
            p50_ms: figures.p50_ms,
            p99_ms: figures.p99_ms,
            p999_ms: figures.p999_ms,
            max_ms: figures.max_ms,
            errors: figures.errors,
        }
    }
}
