//! Building the two programs for this machine.

use std::env;
use std::path::PathBuf;
use std::process::Command;

use anyhow::{Context, Result};

use crate::workspace::Workspace;
use crate::{debian, progress, shell};

/// Where the built programs are.
#[derive(Debug)]
pub(crate) struct Programs {
    /// `core-service`.
    pub(crate) core: PathBuf,
    /// `edge-node`.
    pub(crate) edge: PathBuf,
}

/// Builds both programs; the person's terminal shows cargo's own progress.
pub(crate) fn build_programs(workspace: &Workspace, release: bool) -> Result<Programs> {
    progress::step("Building the core and the edge", || {
        require_c_compiler()?;
        let mut cargo = build_command(workspace);
        // Of the whole workspace, though only these: the tests' dependencies are then built with the same features, once.
        cargo.args(["--workspace", "--bin", "core-service", "--bin", "edge-node"]);
        if release {
            cargo.arg("--release");
        }
        shell::run(&mut cargo)
    })?;
    let dir = workspace.target_dir.join(if release { "release" } else { "debug" });
    Ok(Programs { core: dir.join("core-service"), edge: dir.join("edge-node") })
}

/// `cargo build` for this machine; the caller says what.
pub(crate) fn build_command(workspace: &Workspace) -> Command {
    let mut cargo = shell::native_cargo(workspace);
    cargo.arg("build").arg("--target-dir").arg(&workspace.target_dir);
    cargo
}

/// SQLite is C and is compiled into the core.
///
/// # Errors
/// There is no C compiler and none could be installed; the message says what to run.
pub(crate) fn require_c_compiler() -> Result<()> {
    let named = env::var_os("CC").is_some_and(|name| !name.is_empty());
    if named || ["cc", "gcc", "clang"].iter().any(|name| shell::find_program(name).is_some()) {
        return Ok(());
    }
    let packages = ["build-essential"];
    debian::install(&packages, "SQLite is C and needs a compiler").with_context(|| {
        format!(
            "a C compiler is needed: install one (on Debian `{}`), then run this command again",
            debian::install_command(&packages)
        )
    })
}
