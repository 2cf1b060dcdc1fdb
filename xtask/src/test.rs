//! `cargo xtask test`: every test of the project, with its set-up, in one command.
//!
//! Cargo prints one summary per test program; they are added up here, because a person and a
//! build server want one line. A run in which no test ran is a failure: a filter with a typing
//! mistake must not look like success.

use std::io::{BufRead, BufReader, IsTerminal, Write};
use std::process::{ExitCode, Stdio};

use std::fmt;

use anyhow::{Context, Result};

use crate::workspace::Workspace;
use crate::{functions, native, progress, shell};

/// Arguments of `cargo xtask test`.
#[derive(clap::Args)]
pub(crate) struct Args {
    /// Run only tests whose name contains this
    filter: Option<String>,
}

/// The command.
pub(crate) fn run(args: &Args) -> Result<ExitCode> {
    let workspace = Workspace::locate()?;
    let verdict = run_all(&workspace, args.filter.as_deref())?;
    verdict.report();
    Ok(verdict.exit_code())
}

/// What came of a whole run.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Verdict {
    counts: Counts,
    cargo_succeeded: bool,
}

impl Verdict {
    /// Says what went wrong, if anything did, and prints the summary as the last line.
    pub(crate) fn report(&self) {
        if let Some(complaint) = self.complaint() {
            eprintln!("error: {complaint}");
        }
        println!("{}", self.counts);
    }

    /// Success, if at least one test ran and none failed.
    pub(crate) fn exit_code(&self) -> ExitCode {
        if self.complaint().is_none() { ExitCode::SUCCESS } else { ExitCode::FAILURE }
    }

    fn complaint(&self) -> Option<&'static str> {
        if self.counts.failed > 0 {
            Some("tests failed; their names stand above")
        } else if !self.cargo_succeeded {
            Some("a test program did not compile or did not end by itself; see above")
        } else if self.counts.passed == 0 {
            Some("no test ran: does the filter name one?")
        } else {
            None
        }
    }
}

/// Tests by outcome.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
struct Counts {
    passed: u64,
    failed: u64,
    skipped: u64,
}

impl Counts {
    /// Adds what one line of a test program's output says, if it is a summary such as
    /// `test result: ok. 3 passed; 0 failed; 1 ignored; 0 measured; 0 filtered out`.
    fn add(&mut self, line: &str) {
        let Some(summary) = line.strip_prefix("test result: ") else { return };
        let count = |what: &str| -> u64 {
            let mut parts = summary.split([';', '.']).map(str::trim);
            parts.find_map(|part| part.strip_suffix(what)?.trim().parse().ok()).unwrap_or(0)
        };
        self.passed += count("passed");
        self.failed += count("failed");
        self.skipped += count("ignored");
    }
}

impl fmt::Display for Counts {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { passed, failed, skipped } = self;
        write!(formatter, "tests: {passed} passed, {failed} failed, {skipped} skipped")
    }
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
    progress::step("Running the tests", || execute(workspace, filter))
}

fn execute(workspace: &Workspace, filter: Option<&str>) -> Result<Verdict> {
    let mut cargo = shell::native_cargo(workspace);
    cargo.args(["test", "--workspace", "--no-fail-fast", "--target-dir"]);
    cargo.arg(&workspace.target_dir).args(filter);
    // The programs and components that whole-system tests run.
    cargo.env("TIFFIN_BIN_DIR", workspace.target_dir.join("debug"));
    cargo.env("TIFFIN_FUNCTIONS_DIR", workspace.functions_dir());
    // Test programs see a pipe, so we say for them whether colours are welcome; the summaries
    // that we read are recognised with colours too.
    if std::io::stdout().is_terminal() {
        cargo.args(["--", "--color=always"]);
    }
    let mut child = cargo.stdout(Stdio::piped()).spawn().context("starting cargo test")?;
    let output = child.stdout.take().context("cargo test has no output")?;
    let mut counts = Counts::default();
    for line in BufReader::new(output).split(b'\n') {
        let line = line.context("reading the tests' output")?;
        let mut stdout = std::io::stdout().lock();
        stdout.write_all(&line)?;
        stdout.write_all(b"\n")?;
        counts.add(&without_colours(&String::from_utf8_lossy(&line)));
    }
    let cargo_succeeded = child.wait()?.success();
    Ok(Verdict { counts, cargo_succeeded })
}

/// Drops terminal escapes of the form `ESC [ ... letter` and `ESC ( letter`.
fn without_colours(line: &str) -> String {
    let mut plain = String::with_capacity(line.len());
    let mut rest = line.chars();
    while let Some(character) = rest.next() {
        if character == '\x1b' {
            rest.by_ref().find(char::is_ascii_alphabetic);
        } else {
            plain.push(character);
        }
    }
    plain
}

#[cfg(test)]
mod tests {
    use super::*;

    fn verdict(passed: u64, failed: u64, cargo_succeeded: bool) -> Verdict {
        Verdict { counts: Counts { passed, failed, skipped: 0 }, cargo_succeeded }
    }

    #[test]
    fn the_summaries_of_all_programs_add_up() {
        let output = "\
running 4 tests
test result: of no program
test result: ok. 3 passed; 0 failed; 1 ignored; 0 measured; 0 filtered out; finished in 0.20s
test result: FAILED. 10 passed; 2 failed; 0 ignored; 0 measured; 7 filtered out; finished in 1.00s
test result: \x1b[32mok\x1b[m. 1 passed; 0 failed; 0 ignored; 0 measured; 0 filtered out
test result: \x1b[32mok\x1b(B\x1b[m. 1 passed; 0 failed; 0 ignored; 0 measured; 0 filtered out";
        let mut counts = Counts::default();
        output.lines().for_each(|line| counts.add(&without_colours(line)));
        assert_eq!(counts.to_string(), "tests: 15 passed, 2 failed, 1 skipped");
    }

    #[test]
    fn success_needs_a_test_that_ran_and_none_that_failed() {
        assert_eq!(verdict(5, 0, true).complaint(), None);
        assert!(verdict(5, 1, false).complaint().unwrap().starts_with("tests failed"));
        assert!(verdict(5, 0, false).complaint().unwrap().contains("did not end"));
        assert!(verdict(0, 0, true).complaint().unwrap().starts_with("no test ran"));
    }
}
