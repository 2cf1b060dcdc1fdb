//! `cargo xtask functions`: builds the edge functions as WebAssembly components.
//!
//! Which functions exist is said here; [`toolchain`] finds a compiler for them; [`publish`] puts
//! the results where `spin.toml` looks for them. All named packages are built by one cargo call.

mod debian_rust;
mod publish;
mod toolchain;

use std::process::ExitCode;

use anyhow::{Result, bail};

use crate::workspace::Workspace;
use crate::{progress, shell};
use toolchain::TARGET;

/// The profile of the root `Cargo.toml` for components.
const PROFILE: &str = "function";

/// One package that becomes one component.
struct Function {
    /// What `spin.toml` and the command line call it.
    name: &'static str,
    /// The cargo package.
    package: &'static str,
}

/// What the edge application runs.
const EDGE: [Function; 5] = [
    Function { name: "menu", package: "tiffin-menu" },
    Function { name: "countdown", package: "tiffin-countdown" },
    Function { name: "risk", package: "tiffin-risk" },
    Function { name: "risk-scorer", package: "tiffin-risk-scorer" },
    Function { name: "forward", package: "tiffin-forward" },
];

/// What only tests and benchmarks run.
const FIXTURES: [Function; 2] = [
    Function { name: "guest", package: "guest" },
    Function { name: "bench-guest", package: "tiffin-bench-guest" },
];

/// Which functions are wanted when none is named.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Selection {
    /// Those of the edge application.
    Edge,
    /// Those and the tests' own guests.
    EdgeAndFixtures,
}

/// Arguments of `cargo xtask functions`.
#[derive(clap::Args)]
pub(crate) struct Args {
    /// Functions to build: menu, countdown, risk, risk-scorer, forward [default: all of them]
    names: Vec<String>,
    /// Build the test fixtures too
    #[arg(long)]
    with_fixtures: bool,
    /// Which toolchain to build with
    #[arg(long, value_enum, default_value_t)]
    toolchain: toolchain::Choice,
}

/// The command.
pub(crate) fn run(args: &Args) -> Result<ExitCode> {
    let workspace = Workspace::locate()?;
    let selection = if args.with_fixtures { Selection::EdgeAndFixtures } else { Selection::Edge };
    let wanted = select(&args.names, selection)?;
    build_functions(&workspace, &wanted, args.toolchain)?;
    Ok(ExitCode::SUCCESS)
}

/// Builds what other commands need before they can run.
pub(crate) fn build(workspace: &Workspace, selection: Selection) -> Result<()> {
    build_functions(workspace, &select(&[], selection)?, toolchain::Choice::default())
}

fn select(names: &[String], selection: Selection) -> Result<Vec<&'static Function>> {
    let known = || EDGE.iter().chain(&FIXTURES);
    let mut wanted = Vec::new();
    for name in names {
        let Some(function) = known().find(|function| function.name == name) else {
            let names: Vec<_> = known().map(|function| function.name).collect();
            bail!("there is no function `{name}`; there are {}", names.join(", "));
        };
        wanted.push(function);
    }
    if wanted.is_empty() {
        wanted.extend(&EDGE);
    }
    if selection == Selection::EdgeAndFixtures {
        wanted.extend(&FIXTURES);
    }
    Ok(wanted)
}

fn build_functions(
    workspace: &Workspace,
    wanted: &[&Function],
    choice: toolchain::Choice,
) -> Result<()> {
    let names: Vec<_> = wanted.iter().map(|function| function.name).collect();
    progress::step(&format!("Building the functions {}", names.join(", ")), || {
        let toolchain = toolchain::find(choice)?;
        progress::note(&format!("with {toolchain}"));
        let mut cargo = toolchain.cargo(workspace);
        cargo.args(["--profile", PROFILE, "--target", TARGET, "--target-dir"]);
        cargo.arg(workspace.functions_build_dir());
        for function in wanted {
            cargo.args(["--package", function.package]);
        }
        shell::run(&mut cargo)?;
        for function in wanted {
            let built = workspace
                .functions_build_dir()
                .join(TARGET)
                .join(PROFILE)
                .join(format!("{}.wasm", function.package.replace('-', "_")));
            let published = workspace.functions_dir().join(format!("{}.wasm", function.name));
            let outcome = publish::publish(&built, &published)?;
            progress::note(&format!("{} {outcome}", workspace.display(&published)));
        }
        Ok(())
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn names(functions: &[&Function]) -> Vec<&'static str> {
        functions.iter().map(|function| function.name).collect()
    }

    #[test]
    fn all_edge_functions_are_the_default() {
        let wanted = select(&[], Selection::Edge).unwrap();
        assert_eq!(names(&wanted), ["menu", "countdown", "risk", "risk-scorer", "forward"]);
    }

    #[test]
    fn fixtures_come_on_top() {
        let wanted = select(&["risk".to_owned()], Selection::EdgeAndFixtures).unwrap();
        assert_eq!(names(&wanted), ["risk", "guest", "bench-guest"]);
    }

    #[test]
    fn an_unknown_name_lists_the_known_ones() {
        let error = select(&["menus".to_owned()], Selection::Edge).err().unwrap().to_string();
        assert_eq!(
            error,
            "there is no function `menus`; there are menu, countdown, risk, risk-scorer, forward, guest, \
             bench-guest"
        );
    }
}
