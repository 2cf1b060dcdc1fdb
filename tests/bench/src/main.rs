//! The benchmark's program: the command line, and a runtime for what it names.

use clap::{Parser, Subcommand};
use std::process::ExitCode;
use tiffin_bench::edge;
use tiffin_bench::orders::{self, baseline};

/// What the core has, too: the baselines are compared with it.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

#[derive(Parser)]
#[command(name = "tiffin-bench", about = "The benchmarks of core and edge", long_about = None)]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// Measure how fast orders are taken
    Orders(orders::OrdersArgs),
    /// Measure how fast the edge answers
    Edge(edge::EdgeArgs),
    /// Serve orders as earlier systems do; `orders` starts these itself
    #[command(subcommand)]
    Baseline(baseline::Baseline),
}

fn main() -> ExitCode {
    let outcome = match Cli::parse().command {
        Command::Orders(args) => generate(orders::run(args)),
        Command::Edge(args) => generate(edge::run(args)),
        // As the core's own runtime.
        Command::Baseline(baseline) => tokio::runtime::Runtime::new()
            .map_err(anyhow::Error::from)
            .and_then(|runtime| runtime.block_on(baseline::run(baseline)))
            .map(|()| ExitCode::SUCCESS),
    };
    outcome.unwrap_or_else(|error| {
        eprintln!("tiffin-bench: {error:#}");
        ExitCode::FAILURE
    })
}

/// On one thread: the generator shares the machine with what it measures.
fn generate(run: impl Future<Output = anyhow::Result<ExitCode>>) -> anyhow::Result<ExitCode> {
    tokio::runtime::Builder::new_current_thread().enable_all().build()?.block_on(run)
}
