//! The servers that edge-node is measured beside: which are here, and how the others are installed.
//!
//! Each is looked for in the folder of our own installations and then in PATH. What is missing is no error: the
//! report says so, and the ratio to it is null.

use crate::limits;
use anyhow::{Context as _, bail, ensure};
use serde::Serialize;
use std::ffi::OsStr;
use std::path::{Path, PathBuf};
use std::process::Command;
use tiffin_services::command::{find_program, output_within, run};
use tiffin_services::debian;

/// The release of wasmtime's command line that has the engine that edge-node is built on.
const WASMTIME_VERSION: &str = "48.0.8";
/// Its major version: any of it will do.
const WASMTIME_PREFIX: &str = "wasmtime 48.";
/// What `wasmtime serve` needs and no more, as edge-node has it. What is left out would only make it slower to build.
const WASMTIME_FEATURES: &str =
    "run,serve,compile,component-model-async,pooling-allocator,parallel-compilation,cache";
/// The release of workerd on npm.
const WORKERD_VERSION: &str = "1.20261117.1";
/// Where system daemons lie that are in no ordinary user's PATH.
const SBIN: &str = "/usr/sbin";

/// A server that is here.
#[derive(Debug, Clone, Serialize)]
pub struct Peer {
    /// Its program.
    #[serde(skip)]
    pub program: PathBuf,
    /// What it says of itself.
    pub version: String,
}

/// A server, or why it is not here and what to do about it.
pub type Found = Result<Peer, String>;

/// All of them.
#[derive(Debug, Clone)]
pub struct Peers {
    /// nginx, for its `proxy_cache`.
    pub nginx: Found,
    /// Varnish.
    pub varnish: Found,
    /// workerd.
    pub workerd: Found,
    /// `wasmtime serve`.
    pub wasmtime: Found,
}

impl Peers {
    /// Looks for them, having installed those that are missing if asked to. `folder` is for those that are no
    /// system's packages.
    pub fn find(folder: &Path, install: bool) -> anyhow::Result<Self> {
        let folder = std::path::absolute(folder)?;
        if install {
            install_missing(&folder);
        }
        Ok(Self::look(&folder))
    }

    fn look(folder: &Path) -> Self {
        Self {
            nginx: look_for("nginx", &[Path::new(SBIN)], "-v", "nginx"),
            varnish: look_for("varnishd", &[Path::new(SBIN)], "-V", "varnishd"),
            workerd: look_for("workerd", &[&workerd_folder(folder)], "--version", "workerd"),
            wasmtime: look_for(
                "wasmtime",
                &[&wasmtime_folder(folder).join("bin")],
                "--version",
                WASMTIME_PREFIX,
            ),
        }
    }
}

fn workerd_folder(folder: &Path) -> PathBuf {
    let package = match std::env::consts::ARCH {
        "aarch64" => "workerd-linux-arm64",
        _ => "workerd-linux-64",
    };
    folder.join("workerd/node_modules/@cloudflare").join(package).join("bin")
}

fn wasmtime_folder(folder: &Path) -> PathBuf {
    folder.join("wasmtime")
}

/// The first program of this name whose version line begins with `prefix`.
fn look_for(name: &str, folders: &[&Path], version_flag: &str, prefix: &str) -> Found {
    let ours = folders.iter().map(|folder| folder.join(name)).filter(|program| program.is_file());
    let mut seen = None;
    for program in find_program(name).into_iter().chain(ours) {
        let Ok(line) = version_line(&program, version_flag) else { continue };
        if line.starts_with(prefix) {
            return Ok(Peer { program, version: line });
        }
        seen = Some(line);
    }
    let install = "`cargo xtask bench edge --install-peers` installs it";
    Err(match seen {
        Some(line) => format!("{name} is here as `{line}`, not as `{prefix}…`: {install}"),
        None => format!("{name} is not installed: {install}"),
    })
}

/// The first line that the program prints; some print it on stderr.
fn version_line(program: &Path, flag: &str) -> anyhow::Result<String> {
    let output = output_within(Command::new(program).arg(flag), limits::PEER_VERSION_WITHIN)?;
    let text = [output.stdout, output.stderr].concat();
    let text = String::from_utf8_lossy(&text);
    let line = text.lines().find(|line| !line.trim().is_empty()).context("it says nothing")?;
    Ok(line.trim().trim_start_matches("nginx version: ").to_owned())
}

/// Installs what is missing; a failure is told and leaves the others alone.
fn install_missing(folder: &Path) {
    let before = Peers::look(folder);
    let debian = |package| debian::install(&[package], "a peer of the edge benchmark");
    for (found, install) in [
        (&before.nginx, &(|| debian("nginx")) as &dyn Fn() -> anyhow::Result<()>),
        (&before.varnish, &|| debian("varnish")),
        (&before.workerd, &|| install_workerd(folder)),
        (&before.wasmtime, &|| install_wasmtime(folder)),
    ] {
        if let Err(missing) = found {
            eprintln!("==> {missing}; doing so");
            if let Err(error) = install() {
                eprintln!("    that failed: {error:#}");
            }
        }
    }
}

fn install_workerd(folder: &Path) -> anyhow::Result<()> {
    let npm = find_program("npm").context("npm is not installed; workerd comes as its package")?;
    let prefix = folder.join("workerd");
    std::fs::create_dir_all(&prefix)?;
    let mut command = Command::new(npm);
    command.args(["install", "--no-audit", "--no-fund", "--no-save", "--prefix"]).arg(&prefix);
    run(command.arg(format!("workerd@{WORKERD_VERSION}")))?;
    ensure!(
        workerd_folder(folder).join("workerd").is_file(),
        "npm left no program for this machine"
    );
    Ok(())
}

/// Compiles it, with the optimisation that edge-node has.
fn install_wasmtime(folder: &Path) -> anyhow::Result<()> {
    let cargo = std::env::var_os("CARGO").or_else(|| find_program("cargo").map(Into::into));
    let Some(cargo) = cargo else { bail!("cargo is not installed") };
    eprintln!("    compiling wasmtime {WASMTIME_VERSION}: ten minutes and more");
    let mut command = Command::new(cargo);
    command
        .env("CARGO_PROFILE_RELEASE_LTO", "thin")
        .env("CARGO_PROFILE_RELEASE_CODEGEN_UNITS", "4");
    command.args(["install", "wasmtime-cli", "--locked", "--version", WASMTIME_VERSION]);
    command.args(["--no-default-features", "--features", WASMTIME_FEATURES, "--root"]);
    command.arg(wasmtime_folder(folder)).arg("--target-dir");
    run(command.arg(folder.with_file_name(build_name(folder))))
}

/// The folder beside the installations that they are compiled in.
fn build_name(folder: &Path) -> String {
    format!("{}-build", folder.file_name().and_then(OsStr::to_str).unwrap_or("peers"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_command_line_is_of_the_engine_that_we_are_built_on() {
        let lock = include_str!("../../../../Cargo.lock");
        let engine = format!("name = \"wasmtime\"\nversion = \"{WASMTIME_VERSION}\"\n");
        assert!(lock.contains(&engine), "set WASMTIME_VERSION to wasmtime's in Cargo.lock");
        assert!(format!("wasmtime {WASMTIME_VERSION}").starts_with(WASMTIME_PREFIX));
    }

    #[test]
    fn a_program_of_another_version_is_told_from_none() {
        use std::fs::Permissions;
        use std::os::unix::fs::PermissionsExt as _;
        let folder = tempfile::tempdir().unwrap();
        let program = folder.path().join("tiffin-peer");
        let missing = look_for("tiffin-peer", &[folder.path()], "-v", "peer 2.").unwrap_err();
        assert!(missing.starts_with("tiffin-peer is not installed: `cargo xtask"), "{missing}");
        std::fs::write(&program, "#!/bin/sh\necho >&2 peer 1.9\n").unwrap();
        std::fs::set_permissions(&program, Permissions::from_mode(0o755)).unwrap();
        let other = look_for("tiffin-peer", &[folder.path()], "-v", "peer 2.").unwrap_err();
        assert!(other.starts_with("tiffin-peer is here as `peer 1.9`, not"), "{other}");
        let found = look_for("tiffin-peer", &[folder.path()], "-v", "peer 1.").unwrap();
        assert_eq!((found.version.as_str(), found.program), ("peer 1.9", program));
    }
}
