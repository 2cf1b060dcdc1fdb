//! `cargo xtask`: everything a person does with this repository, in one place.
//!
//! Each command is one module with one `run` function; this file only reads the command line.
//! Start reading at the module of the command that interests you. Shared ground:
//! [`workspace`] knows where things lie, [`shell`] starts other programs, [`progress`] tells the
//! person what takes so long, [`limits`] names every bound.
//!
//! Runs on Unix (Linux, macOS, WSL): signals and process groups are used as they are there.

mod check;
mod functions;
mod interrupt;
mod limits;
mod native;
mod progress;
mod services;
mod shell;
mod test;
mod tidy;
mod tools;
mod up;
mod workspace;

use std::process::ExitCode;

use clap::{Parser, Subcommand};
use tiffin_services::debian;

/// Developer commands of Tiffin.
#[derive(Parser)]
#[command(name = "cargo xtask", bin_name = "cargo xtask", disable_help_subcommand = true)]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// Build and start everything with the demo city in it, until Ctrl-C
    Up(up::Args),
    /// Start a private MariaDB and Redis, until Ctrl-C
    Services(services::Args),
    /// Run every test of the project, with its set-up
    Test(test::Args),
    /// Format, tidy, clippy and every test: what the build server runs
    Check,
    /// Check what every file promises and no compiler checks
    Tidy,
    /// Build the WebAssembly edge functions into target/functions
    Functions(functions::Args),
    /// Run simulated histories against the real engine: --seeds N, --seed S; --help lists all
    #[command(disable_help_flag = true)]
    Sim(tools::Args),
    /// Kill parts in the middle of a load and check what is left: `drill crash`; --help lists all
    #[command(disable_help_flag = true)]
    Drill(tools::Args),
    /// Measure: `bench orders [--quick]` or `bench edge [--quick]` writes target/bench; --help lists all
    #[command(disable_help_flag = true)]
    Bench(tools::Args),
}

fn main() -> ExitCode {
    let outcome = match Cli::parse().command {
        Command::Up(args) => up::run(&args),
        Command::Services(args) => services::run(&args),
        Command::Test(args) => test::run(&args),
        Command::Check => check::run(),
        Command::Tidy => tidy::run(),
        Command::Functions(args) => functions::run(&args),
        Command::Sim(args) => tools::sim(&args),
        Command::Drill(args) => tools::drill(&args),
        Command::Bench(args) => tools::bench(&args),
    };
    match outcome {
        Ok(code) => code,
        Err(error) => {
            eprintln!("error: {error:#}");
            ExitCode::FAILURE
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn everything_behind_a_tools_name_is_the_tools() {
        for name in ["sim", "drill", "bench"] {
            let words = ["cargo xtask", name, "crash", "--seeds", "3", "-h", "--help"];
            let parsed = Cli::try_parse_from(words).map(|cli| cli.command);
            let args = match parsed {
                Ok(Command::Sim(args) | Command::Drill(args) | Command::Bench(args)) => args,
                Ok(_) => panic!("{name} is another command"),
                Err(error) => panic!("{error}"),
            };
            assert_eq!(args.rest(), &words[2..]);
        }
    }
}
