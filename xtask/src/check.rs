//! `cargo xtask check`: what has to hold before a change is merged. The build server runs this.
//!
//! Cheap steps first; the first failure ends the run, because what follows would take minutes.

use std::process::ExitCode;
use std::time::{Duration, Instant};

use anyhow::{Context, Result};

use crate::workspace::Workspace;
use crate::{progress, shell, test, tidy};

/// The command.
pub(crate) fn run() -> Result<ExitCode> {
    let workspace = Workspace::locate()?;
    let mut times = Times::default();
    times.measure("format", || {
        progress::step("Checking the format", || {
            shell::run(shell::native_cargo(&workspace).args(["fmt", "--all", "--check"]))
                .context("`cargo fmt --all` mends it")
        })
    })?;
    times.measure("tidy", || tidy::check(&workspace))?;
    times.measure("clippy", || {
        progress::step("Checking with clippy", || {
            let mut cargo = shell::native_cargo(&workspace);
            cargo.args(["clippy", "--workspace", "--all-targets", "--target-dir"]);
            cargo.arg(&workspace.target_dir).args(["--", "-D", "warnings"]);
            shell::run(&mut cargo)
        })
    })?;
    let verdict = times.measure("tests", || test::run_all(&workspace, None))?;
    eprintln!("==> {}", times.summary());
    verdict.report();
    Ok(verdict.exit_code())
}

/// The steps' wall times, in order.
#[derive(Debug, Default)]
struct Times(Vec<(&'static str, Duration)>);

impl Times {
    fn measure<T>(&mut self, name: &'static str, work: impl FnOnce() -> Result<T>) -> Result<T> {
        let started = Instant::now();
        let value = work().with_context(|| format!("check stopped at {name}"))?;
        self.0.push((name, started.elapsed()));
        Ok(value)
    }

    fn summary(&self) -> String {
        let each = self.0.iter().map(|(name, time)| format!("{name} {}", progress::seconds(*time)));
        each.collect::<Vec<_>>().join(", ")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_failure_names_its_step() {
        let mut times = Times::default();
        times.measure("format", || Ok(())).unwrap();
        let error = times.measure("tidy", || -> Result<()> { anyhow::bail!("no") }).unwrap_err();
        assert_eq!(format!("{error:#}"), "check stopped at tidy: no");
        assert_eq!(times.summary(), "format 0.0 s", "a failed step has no time");
    }
}
