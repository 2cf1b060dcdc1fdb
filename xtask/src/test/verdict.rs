//! What came of a test run: counts of all its parts, which databases they covered, one exit code.

use std::fmt;
use std::process::ExitCode;

/// Tests by outcome.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
pub(super) struct Counts {
    pub(super) passed: u64,
    pub(super) failed: u64,
    pub(super) skipped: u64,
}

impl Counts {
    /// Adds what one line of a test program's output says, if it is a summary such as
    /// `test result: ok. 3 passed; 0 failed; 1 ignored; 0 measured; 0 filtered out`. Terminal
    /// colours in it do no harm.
    pub(super) fn add_line(&mut self, line: &str) {
        let plain = without_colours(line);
        let Some(summary) = plain.strip_prefix("test result: ") else { return };
        let count = |what: &str| -> u64 {
            let mut parts = summary.split([';', '.']).map(str::trim);
            parts.find_map(|part| part.strip_suffix(what)?.trim().parse().ok()).unwrap_or(0)
        };
        self.passed += count("passed");
        self.failed += count("failed");
        self.skipped += count("ignored");
    }

    fn plus(self, other: Self) -> Self {
        Self {
            passed: self.passed + other.passed,
            failed: self.failed + other.failed,
            skipped: self.skipped + other.skipped,
        }
    }
}

impl fmt::Display for Counts {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { passed, failed, skipped } = self;
        write!(formatter, "{passed} passed, {failed} failed, {skipped} skipped")
    }
}

/// What came of running some test programs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Pass {
    pub(super) counts: Counts,
    /// Whether each of them compiled and ended as a test program does.
    pub(super) succeeded: bool,
}

impl Pass {
    /// Both together.
    pub(super) fn plus(self, other: Self) -> Self {
        Self {
            counts: self.counts.plus(other.counts),
            succeeded: self.succeeded && other.succeeded,
        }
    }
}

/// What came of a whole run.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Verdict {
    /// Every test, the core's on SQLite and in process.
    pub(super) embedded: Pass,
    /// The core's tests once more, on MariaDB and Redis.
    pub(super) stack: Pass,
    /// Whether the simulation found nothing; nothing if there was none.
    pub(super) simulation: Option<bool>,
}

impl Verdict {
    /// Says what went wrong, if anything did, and prints the summary; its last line is the total.
    pub(crate) fn report(&self) {
        if let Some(complaint) = self.complaint() {
            eprintln!("error: {complaint}");
        }
        print!("{self}");
    }

    /// Success, if at least one test ran and nothing failed.
    pub(crate) fn exit_code(&self) -> ExitCode {
        if self.complaint().is_none() { ExitCode::SUCCESS } else { ExitCode::FAILURE }
    }

    fn total(&self) -> Counts {
        self.embedded.counts.plus(self.stack.counts)
    }

    fn complaint(&self) -> Option<&'static str> {
        if self.total().failed > 0 {
            Some("tests failed; their names stand above")
        } else if !(self.embedded.succeeded && self.stack.succeeded) {
            Some("a test program did not compile or did not end by itself; see above")
        } else if self.simulation == Some(false) {
            Some("the simulation failed; its seed and history stand above")
        } else if self.total().passed == 0 {
            Some("no test ran: does the filter name one?")
        } else {
            None
        }
    }
}

impl fmt::Display for Verdict {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(formatter, "on SQLite and in process: {}", self.embedded.counts)?;
        writeln!(formatter, "the core's on MariaDB and Redis: {}", self.stack.counts)?;
        match self.simulation {
            Some(true) => writeln!(formatter, "simulation: passed")?,
            Some(false) => writeln!(formatter, "simulation: failed")?,
            None => {}
        }
        writeln!(formatter, "tests: {}", self.total())
    }
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

    fn pass(passed: u64, failed: u64, succeeded: bool) -> Pass {
        Pass { counts: Counts { passed, failed, skipped: 0 }, succeeded }
    }

    fn verdict(embedded: Pass, stack: Pass) -> Verdict {
        Verdict { embedded, stack, simulation: None }
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
        output.lines().for_each(|line| counts.add_line(line));
        assert_eq!(counts.to_string(), "15 passed, 2 failed, 1 skipped");
    }

    #[test]
    fn success_needs_a_test_that_ran_and_none_that_failed() {
        let (fine, none) = (pass(5, 0, true), pass(0, 0, true));
        let (failed, broken) = (pass(5, 1, false), pass(5, 0, false));
        assert_eq!(verdict(fine, fine).complaint(), None);
        assert_eq!(verdict(fine, none).complaint(), None, "a filter may name none of the core's");
        for (embedded, stack, start) in [
            (failed, fine, "tests failed"),
            (fine, failed, "tests failed"),
            (broken, fine, "a test program did not compile"),
            (fine, broken, "a test program did not compile"),
            (none, none, "no test ran"),
        ] {
            assert!(verdict(embedded, stack).complaint().unwrap().starts_with(start));
        }
    }

    #[test]
    fn a_simulation_that_found_something_fails_the_run() {
        let fine = verdict(pass(5, 0, true), pass(3, 0, true));
        assert_eq!(Verdict { simulation: Some(true), ..fine }.complaint(), None);
        let failed = Verdict { simulation: Some(false), ..fine };
        assert!(failed.complaint().unwrap().starts_with("the simulation failed"));
    }

    #[test]
    fn the_summary_names_the_databases_and_ends_with_the_total() {
        let fine = verdict(pass(5, 0, true), pass(3, 0, true));
        assert_eq!(
            Verdict { simulation: Some(true), ..fine }.to_string(),
            "on SQLite and in process: 5 passed, 0 failed, 0 skipped\n\
             the core's on MariaDB and Redis: 3 passed, 0 failed, 0 skipped\n\
             simulation: passed\n\
             tests: 8 passed, 0 failed, 0 skipped\n"
        );
    }
}
