//! The drills' program: the command line, and a runtime for what it names.

use clap::{Parser, Subcommand};
use std::process::ExitCode;
use tiffin_drills::{crash, redis};

#[derive(Parser)]
#[command(
    name = "tiffin-drills",
    about = "Kill or spoil parts in the middle of a load, and check what is left"
)]
struct Cli {
    #[command(subcommand)]
    drill: Drill,
}

#[derive(Subcommand)]
enum Drill {
    /// kill -9 of the core, of Redis and of MariaDB at random moments of a load
    Crash(crash::CrashArgs),
    /// FLUSHALL and wrong counters in Redis in the middle of a sale
    Redis(redis::RedisArgs),
}

fn main() -> ExitCode {
    let drill = Cli::parse().drill;
    let outcome = tokio::runtime::Runtime::new().map_err(anyhow::Error::from).and_then(|runtime| {
        runtime.block_on(async {
            match drill {
                Drill::Crash(args) => crash::run(args).await,
                Drill::Redis(args) => redis::run(args).await,
            }
        })
    });
    outcome.unwrap_or_else(|error| {
        eprintln!("tiffin-drills: {error:#}");
        ExitCode::FAILURE
    })
}
