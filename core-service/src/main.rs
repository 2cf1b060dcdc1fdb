//! The command line of the core: `serve`, `import`, `token`, `audit`.

use clap::{Parser, Subcommand};
use core_service::{audit, import, serve, token};
use std::io::Write as _;
use std::process::ExitCode;

/// A request makes some hundred small allocations on one thread and frees many of them on another, which costs
/// glibc's allocator a tenth of the processor.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

#[derive(Parser)]
#[command(name = "core-service", version, about = "The central core of Tiffin", long_about = None)]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// Answer requests until SIGTERM or Ctrl-C.
    Serve(serve::ServeArgs),
    /// Load a file of stores, menus and deals into a running core.
    Import(import::ImportArgs),
    /// Print a signed, short-lived token for development.
    Token(token::TokenArgs),
    /// Check that the ledger's tables agree with each other, also beside a running core.
    Audit(audit::command::AuditArgs),
}

#[tokio::main]
async fn main() -> ExitCode {
    let outcome = match Cli::parse().command {
        Command::Serve(args) => serve::run(args).await,
        Command::Import(args) => import::run(args).await,
        Command::Token(args) => token::run(&args),
        Command::Audit(args) => audit::command::run(args).await,
    };
    outcome.unwrap_or_else(|error| {
        // Nobody may be reading stderr; the exit code tells it too.
        _ = writeln!(std::io::stderr(), "core-service: {error:#}");
        ExitCode::FAILURE
    })
}
