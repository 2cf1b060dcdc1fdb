//! `cargo xtask sim`, `drill` and `bench`: programs of their own, built and given what they need.
//!
//! Everything behind the command's name is theirs, `--help` too. Drills and benchmarks run the
//! optimised core or node that was built in the same breath; `--core PATH` or `--edge PATH` gives them
//! another one.

use std::ffi::OsString;
use std::path::Path;
use std::process::{Command, ExitCode, ExitStatus};

use anyhow::{Context, Result};

use crate::functions::{self, Selection};
use crate::workspace::Workspace;
use crate::{native, progress, shell};

/// Arguments of the three commands.
#[derive(clap::Args)]
pub(crate) struct Args {
    /// Passed on
    #[arg(trailing_var_arg = true, allow_hyphen_values = true)]
    rest: Vec<OsString>,
}

#[cfg(test)]
impl Args {
    /// What is passed on.
    pub(crate) fn rest(&self) -> &[OsString] {
        &self.rest
    }
}

/// `cargo xtask sim`: unoptimised, because its assertions are what it is for.
pub(crate) fn sim(args: &Args) -> Result<ExitCode> {
    let workspace = Workspace::locate()?;
    let mut cargo = shell::native_cargo(&workspace);
    cargo.args(["run", "--quiet", "--target-dir"]).arg(&workspace.target_dir);
    finish(cargo.args(["--package", "tiffin-sim", "--"]).args(&args.rest))
}

/// `cargo xtask drill crash ...`
pub(crate) fn drill(args: &Args) -> Result<ExitCode> {
    run_with_core("tiffin-drills", &args.rest)
}

/// `cargo xtask bench orders ...` or `cargo xtask bench edge ...`
pub(crate) fn bench(args: &Args) -> Result<ExitCode> {
    match args.rest.first() {
        Some(name) if name == "edge" => bench_edge(&args.rest),
        _ => run_with_core("tiffin-bench", &args.rest),
    }
}

/// The node is built by itself, so that what is measured has the features that it ships with, and the benchmark as
/// for orders, so that the two benchmarks share one build of it.
fn bench_edge(args: &[OsString]) -> Result<ExitCode> {
    let workspace = Workspace::locate()?;
    let programs = workspace.target_dir.join("release");
    let with_edge = with_program(args, "--edge", &programs.join("edge-node"));
    let with_both = with_program(&with_edge, "--core", &programs.join("core-service"));
    functions::build(&workspace, Selection::EdgeAndFixtures)?;
    if with_edge != args {
        build_release(&workspace, &["edge-node"])?;
    }
    build_release(&workspace, &["core-service", "tiffin-bench"])?;
    finish(Command::new(programs.join("tiffin-bench")).args(with_both))
}

/// One call of cargo builds both, so that it chooses each dependency's features once; the program is
/// named like its package.
fn run_with_core(package: &str, args: &[OsString]) -> Result<ExitCode> {
    let workspace = Workspace::locate()?;
    build_release(&workspace, &["core-service", package])?;
    let programs = workspace.target_dir.join("release");
    let core = programs.join("core-service");
    finish(Command::new(programs.join(package)).args(with_program(args, "--core", &core)))
}

fn build_release(workspace: &Workspace, packages: &[&str]) -> Result<()> {
    progress::step(&format!("Building {}, optimised", packages.join(" and ")), || {
        native::require_c_compiler()?;
        let mut cargo = native::build_command(workspace);
        cargo.arg("--release").args(packages.iter().flat_map(|package| ["--package", package]));
        shell::run(&mut cargo)
    })
}

/// The arguments with `flag PATH` behind the first, which names the drill or benchmark; nothing is
/// added where a person gives another or only asks for help.
fn with_program(args: &[OsString], flag: &str, program: &Path) -> Vec<OsString> {
    let mut args = args.to_vec();
    let settled = args.iter().any(|arg| {
        let arg = arg.to_string_lossy();
        [flag, "--help", "-h"].contains(&&*arg)
            || arg.strip_prefix(flag).is_some_and(|rest| rest.starts_with('='))
    });
    let names_one = args.first().is_some_and(|arg| !arg.to_string_lossy().starts_with('-'));
    if names_one && !settled {
        args.splice(1..1, [flag.into(), program.into()]);
    }
    args
}

/// Runs it with our terminal; its outcome is ours.
fn finish(command: &mut Command) -> Result<ExitCode> {
    let shown = shell::shown(command);
    let status = command.status().with_context(|| format!("`{shown}` could not be started"))?;
    Ok(exit_code(status))
}

fn exit_code(status: ExitStatus) -> ExitCode {
    match status.code().and_then(|code| u8::try_from(code).ok()) {
        Some(code) => code.into(),
        None => ExitCode::FAILURE,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn given(args: &[&str]) -> Vec<String> {
        let args: Vec<OsString> = args.iter().map(Into::into).collect();
        let args = with_program(&args, "--core", Path::new("target/core"));
        args.into_iter().map(|arg| arg.into_string().unwrap()).collect()
    }

    #[test]
    fn the_built_core_is_given_behind_the_name() {
        assert_eq!(
            given(&["crash", "--orders", "20000"]),
            ["crash", "--core", "target/core", "--orders", "20000"]
        );
    }

    #[test]
    fn a_persons_own_core_and_a_call_for_help_stay_as_they_are() {
        for args in [
            &["crash", "--core", "mine"][..],
            &["crash", "--core=mine"],
            &["crash", "--help"],
            &["--help"],
            &[],
        ] {
            assert_eq!(given(args), args);
        }
    }
}
