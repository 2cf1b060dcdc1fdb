//! Starting other programs: cargo with a clean environment, probes with a bound, PATH look-ups.
//!
//! Invariant: no cargo that we start sees what the cargo that runs us set for us. Otherwise
//! build scripts would rerun whenever `cargo build` and `cargo xtask` take turns, and the
//! functions' compiler would meet the native compiler's settings.

use std::env;
use std::ffi::OsStr;
use std::process::Command;

pub(crate) use tiffin_services::command::{ask, find_program, output_within, run, shown};

use crate::workspace::Workspace;

/// The cargo that runs us, in the workspace's root, for native builds: the person's own compiler
/// settings stay.
pub(crate) fn native_cargo(workspace: &Workspace) -> Command {
    let program = env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
    let mut command = Command::new(program);
    command.current_dir(&workspace.root);
    remove_env(&mut command, is_set_by_cargo_run);
    command
}

/// A cargo for another target than the machine's: neither cargo's variables for us nor anything
/// that picks or tunes the native compiler reaches it.
pub(crate) fn foreign_cargo(program: impl AsRef<OsStr>, workspace: &Workspace) -> Command {
    let mut command = Command::new(program);
    command.current_dir(&workspace.root);
    remove_env(&mut command, |name| is_set_by_cargo_run(name) || steers_the_compiler(name));
    command
}

fn remove_env(command: &mut Command, unwanted: impl Fn(&str) -> bool) {
    for (name, _) in env::vars_os() {
        if name.to_str().is_some_and(&unwanted) {
            command.env_remove(name);
        }
    }
}

/// Variables that `cargo run` sets for the program it runs.
fn is_set_by_cargo_run(name: &str) -> bool {
    ["CARGO_PKG_", "CARGO_MANIFEST_", "CARGO_BIN_"].iter().any(|prefix| name.starts_with(prefix))
        || ["CARGO", "CARGO_CRATE_NAME", "CARGO_PRIMARY_PACKAGE", "OUT_DIR"].contains(&name)
}

/// Variables that choose a compiler, its flags, its target or its profile. Where cargo keeps its
/// registry, how it reaches the network and how it prints are none of those and stay.
fn steers_the_compiler(name: &str) -> bool {
    let prefixes = ["RUSTC", "RUSTDOC", "CARGO_BUILD_", "CARGO_TARGET_", "CARGO_PROFILE_"];
    prefixes.iter().any(|prefix| name.starts_with(prefix) && name != "CARGO_BUILD_JOBS")
        || ["RUSTFLAGS", "CARGO_ENCODED_RUSTFLAGS", "CARGO_ENCODED_RUSTDOCFLAGS"].contains(&name)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_functions_compiler_is_not_steered_from_outside() {
        for name in [
            "RUSTC",
            "RUSTC_WRAPPER",
            "RUSTC_BOOTSTRAP",
            "RUSTFLAGS",
            "CARGO_ENCODED_RUSTFLAGS",
            "CARGO_BUILD_TARGET",
            "CARGO_BUILD_RUSTFLAGS",
            "CARGO_TARGET_DIR",
            "CARGO_TARGET_WASM32_WASIP2_LINKER",
            "CARGO_PROFILE_RELEASE_LTO",
        ] {
            assert!(steers_the_compiler(name), "{name} must not get through");
        }
        for name in ["CARGO", "CARGO_PKG_NAME", "CARGO_MANIFEST_DIR", "OUT_DIR"] {
            assert!(is_set_by_cargo_run(name), "{name} must not get through");
        }
    }

    #[test]
    fn where_cargo_lives_and_how_it_reaches_the_network_stay() {
        for name in [
            "CARGO_HOME",
            "CARGO_NET_OFFLINE",
            "CARGO_HTTP_PROXY",
            "CARGO_REGISTRIES_MINE_INDEX",
            "CARGO_TERM_COLOR",
            "CARGO_BUILD_JOBS",
            "PATH",
            "RUSTUP_HOME",
        ] {
            assert!(!steers_the_compiler(name) && !is_set_by_cargo_run(name), "{name} must stay");
        }
    }
}
