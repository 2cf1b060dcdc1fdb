//! The simulation's program: the command line.

use clap::Parser as _;
use std::process::ExitCode;
use tiffin_sim::cli::{self, Cli};

fn main() -> ExitCode {
    cli::run(&Cli::parse()).unwrap_or_else(|error| {
        eprintln!("tiffin-sim: {error:#}");
        ExitCode::from(2)
    })
}
