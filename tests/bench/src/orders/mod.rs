//! `tiffin-bench orders`: the measurements, in the order in which they are made.
//!
//! [`world`] holds what runs, [`measure`] makes one measurement and checks the ledger after it, and each of
//! the others is one scenario: [`sweep`] (clients against throughput, baselines beside the core),
//! [`latency`] (at 70 % of the peak), [`sold_out`], [`replicas`], [`growth`]. [`request`] is what is sent,
//! [`baseline`] what the core is compared with, [`report`] what is written.
//!
//! What is compared is measured in turns, round by round, so that a machine that slows down slows all of
//! it; what is reported is the median of the rounds.

pub mod baseline;
pub mod figures;
pub mod greet;
pub mod growth;
pub mod latency;
pub mod measure;
pub mod plan;
pub mod replicas;
pub mod report;
pub mod request;
pub mod sold_out;
pub mod store;
pub mod sweep;
pub mod world;

use crate::progress::Progress;
use clap::Args;
use measure::Measurement;
use plan::Plan;
use report::{Facts, Report};
use request::TokenUse;
use serde::Serialize;
use std::path::PathBuf;
use std::process::ExitCode;
use world::World;

/// What `tiffin-bench orders` takes.
#[derive(Debug, Args)]
pub struct OrdersArgs {
    /// The core's program, built for release.
    #[arg(long)]
    core: PathBuf,
    /// Fewer client counts, shorter measurements: ends within three minutes.
    #[arg(long)]
    quick: bool,
    /// Where the report goes.
    #[arg(long, default_value = "target/bench")]
    out: PathBuf,
    /// Whether the servers have seen the diners' tokens before.
    #[arg(long, value_enum, default_value_t = TokenUse::Known)]
    tokens: TokenUse,
    /// Only these scenarios (sweep, latency, sold-out, replicas, growth); their ratios alone are reported.
    #[arg(long, value_delimiter = ',')]
    only: Vec<String>,
}

/// What is found on the way.
#[derive(Default)]
pub struct Findings {
    /// Every measurement.
    pub measurements: Vec<Measurement>,
    /// What the sold-out scenario found of the database.
    pub sold_out_queries: Option<SoldOutQueries>,
    /// Which way of the row-lock baseline was the best, and what the others reached.
    pub calibration: Vec<Calibration>,
    /// Orders of the past in the small and in the large table.
    pub table_orders: Option<[u64; 2]>,
    /// What should not have happened.
    pub faults: Vec<String>,
}

/// Statements that the database was asked while a sold-out item was asked for.
#[derive(Debug, Clone, Default, Serialize)]
pub struct SoldOutQueries {
    /// Refusals in the meantime.
    pub refusals: u64,
    /// Statements in the meantime.
    pub statements: u64,
    /// Statements in as long a time without any load.
    pub statements_idle: u64,
}

/// One way of running the row-lock baseline.
#[derive(Debug, Clone, Serialize)]
pub struct Calibration {
    /// When the stock's row is locked.
    pub lock: &'static str,
    /// Connections to the database.
    pub pool: u32,
    /// Orders accepted a second on one hot item at 256 clients.
    pub accepted_per_s: f64,
}

/// Measures, writes the report, and fails if a ledger did not agree with the answers.
pub async fn run(args: OrdersArgs) -> anyhow::Result<ExitCode> {
    let plan = Plan::new(args.quick, &args.only)?;
    let mut progress = Progress::new(plan.expected_s(), plan.budget());
    std::fs::create_dir_all(&args.out)?;
    let mut world = World::start(&args.core, &args.out, args.tokens, &progress).await?;
    progress.prepared(plan::PREPARATION_S);
    let mut findings = Findings::default();
    if plan.sweep || plan.latency {
        sweep::run(&mut world, &plan, &mut progress, &mut findings).await?;
    }
    if plan.sold_out || plan.replicas {
        let core = world.start_core("core").await?;
        if plan.sold_out {
            sold_out::run(&world, &core, &plan, &mut progress, &mut findings).await?;
        }
        if plan.replicas {
            replicas::run(&mut world, core, &plan, &mut progress, &mut findings).await?;
        } else {
            core.stop().await?;
        }
    }
    if plan.growth {
        growth::run(&mut world, &plan, &mut progress, &mut findings).await?;
    }
    let facts = Facts::gather(&world, args.quick, progress.elapsed()).await?;
    world.stop().await?;
    let report = Report::new(facts, findings);
    report::write(&report, &args.out)?;
    print!("{}", report::summary(&report));
    eprintln!("==> {}/orders.json, orders.md and orders.svg are written", args.out.display());
    Ok(if report.faults.is_empty() { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}
