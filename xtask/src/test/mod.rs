//! `cargo xtask test`: every test of the project, with its set-up, in one command.
//!
//! Start at [`run_all`]. The core's tests run twice: among all others on SQLite and in process, and
//! again on a private MariaDB and Redis, by the same test programs ([`programs`]).
//!
//! Each program prints one summary; they are added up ([`verdict`]), because a person and a build
//! server want one line. A run in which no test ran is a failure: a filter with a typing mistake
//! must not look like success.

mod programs;
mod verdict;

use std::io::{BufRead, BufReader, IsTerminal, Write};
use std::process::{Command, ExitCode, Stdio};

use anyhow::{Context, Result};
use tiffin_services::{Durability, Options, Services, WhenInUse};

use crate::workspace::Workspace;
use crate::{functions, limits, native, progress, services, shell};
use verdict::{Counts, Pass};

pub(crate) use verdict::Verdict;

/// Where the core's tests look for the servers to use.
const DATABASE_VARIABLE: &str = "TIFFIN_TEST_DATABASE_URL";
const REDIS_VARIABLE: &str = "TIFFIN_TEST_REDIS_URL";

/// The package whose tests run on both.
const CORE: &str = "core-service";

/// Arguments of `cargo xtask test`.
#[derive(clap::Args)]
pub(crate) struct Args {
    /// Run only tests whose name contains this, and no simulation
    filter: Option<String>,
}

/// The command.
pub(crate) fn run(args: &Args) -> Result<ExitCode> {
    let workspace = Workspace::locate()?;
    let verdict = run_all(&workspace, args.filter.as_deref())?;
    verdict.report();
    Ok(verdict.exit_code())
}

/// Builds what tests need and runs them.
pub(crate) fn run_all(workspace: &Workspace, filter: Option<&str>) -> Result<Verdict> {
    functions::build(workspace, functions::Selection::EdgeAndFixtures)?;
    progress::step("Building the programs and their tests", || {
        native::require_c_compiler()?;
        // Programs and tests in one call: cargo then chooses each dependency's features once and
        // the run below finds everything built.
        shell::run(native::build_command(workspace).args(["--workspace", "--bins", "--tests"]))
    })?;
    // Before the first test, so that a machine without them says so at once.
    let stack = services::start(&stack_options())?;
    let embedded = progress::step("Running the tests", || run_embedded(workspace, filter))?;
    let on_stack = progress::step("Running the core's tests on MariaDB and Redis", || {
        run_on(&stack, workspace, filter)
    })?;
    services::stop(stack)?;
    let simulation = match filter {
        None => simulate(workspace)?,
        Some(_) => None,
    };
    Ok(Verdict { embedded, stack: on_stack, simulation })
}

/// Quick and without a past: what a test run leaves behind would slow down the next.
fn stack_options() -> Options {
    Options {
        durability: Durability::Relaxed,
        when_in_use: WhenInUse::NextFolder,
        fresh: true,
        ..Options::named("test")
    }
}

/// Every test, by cargo.
fn run_embedded(workspace: &Workspace, filter: Option<&str>) -> Result<Pass> {
    let mut cargo = shell::native_cargo(workspace);
    cargo.args(["test", "--workspace", "--no-fail-fast", "--target-dir"]);
    cargo.arg(&workspace.target_dir).args(filter);
    give_built_parts(&mut cargo, workspace);
    cargo.env_remove(DATABASE_VARIABLE).env_remove(REDIS_VARIABLE);
    if std::io::stdout().is_terminal() {
        cargo.arg("--");
    }
    count(&mut cargo)
}

/// The core's tests, by its test programs themselves: a `cargo test` of one package would choose
/// other features for its dependencies and build them all again.
fn run_on(stack: &Services, workspace: &Workspace, filter: Option<&str>) -> Result<Pass> {
    let mut sum = Pass { counts: Counts::default(), succeeded: true };
    for program in programs::of_package(workspace, CORE)? {
        let mut command = program.command();
        command.args(filter);
        give_built_parts(&mut command, workspace);
        command.env(DATABASE_VARIABLE, stack.database_url());
        command.env(REDIS_VARIABLE, stack.redis_url());
        eprintln!("     Running {}", workspace.display(program.file()));
        let pass = count(&mut command)?;
        sum = sum.plus(pass);
    }
    Ok(sum)
}

/// A short simulation, by the program that was built above, if the project has one.
fn simulate(workspace: &Workspace) -> Result<Option<bool>> {
    if !workspace.root.join("tests/sim").exists() {
        return Ok(None);
    }
    let seeds = limits::TEST_SEEDS.to_string();
    progress::step(&format!("Simulating {seeds} histories"), || {
        let mut simulator = Command::new(workspace.target_dir.join("debug/tiffin-sim"));
        let status = simulator.args(["--seeds", &seeds]).current_dir(&workspace.root).status();
        Ok(Some(status.context("starting the simulation")?.success()))
    })
}

/// The programs and components that whole-system tests run.
fn give_built_parts(command: &mut Command, workspace: &Workspace) {
    command.env("TIFFIN_BIN_DIR", workspace.target_dir.join("debug"));
    command.env("TIFFIN_FUNCTIONS_DIR", workspace.functions_dir());
}

/// Runs test programs, passes on what they print and counts.
fn count(command: &mut Command) -> Result<Pass> {
    // Test programs see a pipe, so we say for them whether colours are welcome.
    if std::io::stdout().is_terminal() {
        command.arg("--color=always");
    }
    let shown = shell::shown(command);
    let mut child = command
        .stdout(Stdio::piped())
        .spawn()
        .with_context(|| format!("`{shown}` could not be started"))?;
    let output = child.stdout.take().context("a child without its output")?;
    let mut counts = Counts::default();
    for line in BufReader::new(output).split(b'\n') {
        let line = line.context("reading the tests' output")?;
        let mut stdout = std::io::stdout().lock();
        stdout.write_all(&line)?;
        stdout.write_all(b"\n")?;
        counts.add_line(&String::from_utf8_lossy(&line));
    }
    Ok(Pass { counts, succeeded: child.wait()?.success() })
}
