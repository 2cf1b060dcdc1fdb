//! How long edge-node takes from nothing to its first answer, and what it holds then, with every function of the
//! application.

use super::plan::Plan;
use super::server::{Bench, EDGE_NODE};
use crate::limits;
use crate::progress::Progress;
use crate::report::{median, round};
use crate::usage;
use serde::Serialize;
use std::path::Path;
use std::time::Instant;

/// What is asked first: a function answers it that needs no core.
const FIRST: &str = "/v1/time";

/// What starts took.
#[derive(Debug, Clone, Default, PartialEq, Serialize)]
pub struct Starts {
    /// Starts that were timed.
    pub starts: usize,
    /// With nothing compiled: from the program's start to its first answer, ms.
    pub compiling_ms: f64,
    /// With everything compiled before: the median, ms.
    pub median_ms: f64,
    /// The slowest, ms.
    pub max_ms: f64,
    /// Resident memory after the first answer: the median, MiB.
    pub resident_mib: Option<f64>,
}

/// Runs it.
pub async fn run(
    bench: &Bench,
    manifest: &Path,
    plan: &Plan,
    progress: &mut Progress,
) -> anyhow::Result<Starts> {
    progress.step("the node's start with every function");
    let (mut times_ms, mut resident_mib) = (Vec::new(), Vec::new());
    let count = if plan.quick { limits::STARTS_QUICK } else { limits::STARTS };
    // What an earlier run has compiled would hide how long that takes.
    _ = std::fs::remove_dir_all(&bench.compiled);
    // The first one compiles.
    for _ in 0..=count {
        let started = Instant::now();
        let server = bench.edge_node(EDGE_NODE, manifest, &[], FIRST).await?;
        times_ms.push(started.elapsed().as_secs_f64() * 1_000.0);
        resident_mib.extend(usage::resident_mib(server.process.pid()));
        server.process.stop().await?;
    }
    let compiling_ms = round(times_ms.remove(0), 1);
    let found = Starts {
        starts: count,
        compiling_ms,
        median_ms: round(median(times_ms.iter().copied()).unwrap_or(0.0), 1),
        max_ms: round(times_ms.iter().copied().fold(0.0, f64::max), 1),
        resident_mib: median(resident_mib.into_iter().skip(1)).map(|mib| round(mib, 1)),
    };
    eprintln!(
        "    {:.0} ms to the first answer, {:.0} ms with compiling, {:.0} MiB",
        found.median_ms,
        found.compiling_ms,
        found.resident_mib.unwrap_or(0.0)
    );
    Ok(found)
}
