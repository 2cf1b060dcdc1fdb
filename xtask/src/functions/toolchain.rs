//! Finding a compiler with a standard library for the functions' target.
//!
//! Two ways lead there, tried in this order until one is usable:
//! 1. the active toolchain has the target's library already;
//! 2. Debian's own compiler packages are installed already ([`super::debian_rust`]);
//! 3. `rustup target add`, with a bound on its time;
//! 4. installing Debian's packages.
//!
//! Looking comes before fetching, so that a machine on which one way has ever worked never waits
//! for the network again. Where no way works, one message names both and what each said.

use std::fmt;
use std::path::PathBuf;
use std::process::Command;

use anyhow::{Context, Result, anyhow, bail};

use super::debian_rust::{self, DebianRust};
use crate::workspace::Workspace;
use crate::{debian, limits, progress, shell};

/// What the functions are compiled for.
pub(crate) const TARGET: &str = "wasm32-wasip2";

/// Which toolchain a person asks for.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
pub(crate) enum Choice {
    /// Whatever is there, or else can be had
    #[default]
    Auto,
    /// The active toolchain, with the target added by rustup
    Rustup,
    /// Debian's packages
    Debian,
}

/// A compiler that can build the functions.
#[derive(Debug)]
pub(crate) enum Toolchain {
    /// The active toolchain knows the target.
    Active,
    /// Debian's compiler builds the standard library itself.
    Debian(DebianRust),
}

impl fmt::Display for Toolchain {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Active => write!(formatter, "the active toolchain's {TARGET} library"),
            Self::Debian(rust) => rust.fmt(formatter),
        }
    }
}

impl Toolchain {
    /// `cargo build` with this toolchain; the caller adds packages, target and profile.
    pub(crate) fn cargo(&self, workspace: &Workspace) -> Command {
        match self {
            Self::Active => {
                let program = std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
                let mut cargo = shell::foreign_cargo(program, workspace);
                // Present but empty: flags of the person's own cargo configuration, which are
                // meant for the native processor, stay out as well.
                cargo.env("CARGO_ENCODED_RUSTFLAGS", "").arg("build");
                cargo
            }
            Self::Debian(rust) => rust.cargo(workspace),
        }
    }
}

/// The compiler that `rustc` on PATH is.
#[derive(Debug, Clone)]
pub(super) struct ActiveCompiler {
    /// Its folder of libraries and tools.
    pub(super) sysroot: PathBuf,
    /// The triple of this machine.
    pub(super) host: String,
}

impl ActiveCompiler {
    fn ask() -> Result<Self> {
        let sysroot = shell::ask(Command::new("rustc").args(["--print", "sysroot"]))?;
        let version = shell::ask(Command::new("rustc").arg("-vV"))?;
        let host = version_field(&version, "host").context("`rustc -vV` names no host")?.to_owned();
        Ok(Self { sysroot: sysroot.into(), host })
    }

    fn has_target(&self) -> bool {
        self.sysroot.join("lib/rustlib").join(TARGET).join("lib").is_dir()
    }

    /// The folder of the linkers that come with the compiler.
    pub(super) fn tools_dir(&self) -> PathBuf {
        self.sysroot.join("lib/rustlib").join(&self.host).join("bin")
    }
}

/// One field of what `rustc -vV` prints.
pub(super) fn version_field<'a>(text: &'a str, field: &str) -> Option<&'a str> {
    text.lines().find_map(|line| line.strip_prefix(field)?.strip_prefix(": "))
}

/// Finds or fetches a toolchain.
///
/// # Errors
/// No way worked; the message names each with the command to run and what it said.
pub(crate) fn find(choice: Choice) -> Result<Toolchain> {
    let active = ActiveCompiler::ask()?;
    match choice {
        Choice::Rustup if active.has_target() => with_linker(&active),
        Choice::Rustup => add_with_rustup(&active),
        Choice::Debian => match DebianRust::installed(&active) {
            Ok(rust) => Ok(Toolchain::Debian(rust)),
            Err(_) => install_from_debian(&active),
        },
        Choice::Auto => find_any(&active),
    }
}

fn find_any(active: &ActiveCompiler) -> Result<Toolchain> {
    if active.has_target() {
        return with_linker(active);
    }
    if let Ok(rust) = DebianRust::installed(active) {
        return Ok(Toolchain::Debian(rust));
    }
    let rustup = match add_with_rustup(active) {
        Ok(toolchain) => return Ok(toolchain),
        Err(error) => error,
    };
    progress::note(&format!("rustup could not: {rustup:#}"));
    install_from_debian(active).map_err(|debian| no_way(&rustup, &debian))
}

fn with_linker(active: &ActiveCompiler) -> Result<Toolchain> {
    debian_rust::component_linker(active)?;
    Ok(Toolchain::Active)
}

fn add_with_rustup(active: &ActiveCompiler) -> Result<Toolchain> {
    if shell::find_program("rustup").is_none() {
        bail!("this machine has no rustup");
    }
    let bound_s = limits::RUSTUP_ATTEMPT.as_secs();
    progress::note(&format!("fetching {TARGET} with rustup (at most {bound_s} s)"));
    let mut rustup = Command::new("rustup");
    let output =
        shell::output_within(rustup.args(["target", "add", TARGET]), limits::RUSTUP_ATTEMPT)?;
    if !output.status.success() {
        bail!("{}", complaint(&String::from_utf8_lossy(&output.stderr)));
    }
    if !active.has_target() {
        bail!("rustup serves another toolchain than `rustc` on PATH");
    }
    with_linker(active)
}

fn install_from_debian(active: &ActiveCompiler) -> Result<Toolchain> {
    debian::install(&debian_rust::PACKAGES, "a compiler for the functions")?;
    DebianRust::installed(active).map(Toolchain::Debian)
}

/// The line of rustup's output that says what went wrong.
fn complaint(stderr: &str) -> &str {
    let said = |line: &&str| line.starts_with("error:");
    stderr.lines().find(said).or_else(|| stderr.lines().last()).unwrap_or("it gave no reason")
}

fn no_way(rustup: &anyhow::Error, debian: &anyhow::Error) -> anyhow::Error {
    anyhow!(
        "the functions need a Rust compiler with the standard library of {TARGET}, and neither \
         way to get it worked. Do one of these, then run this command again:\n  \
         rustup: `rustup target add {TARGET}`\n          ({rustup:#})\n  \
         Debian: `{}`\n          ({debian:#})",
        debian::install_command(&debian_rust::PACKAGES)
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_target_counts_only_with_its_library() {
        let dir = tempfile::tempdir().unwrap();
        let active = ActiveCompiler { sysroot: dir.path().into(), host: "x".to_owned() };
        assert!(!active.has_target());
        std::fs::create_dir_all(dir.path().join("lib/rustlib/wasm32-wasip2")).unwrap();
        assert!(!active.has_target(), "an empty folder is what a broken download leaves");
        std::fs::create_dir_all(dir.path().join("lib/rustlib/wasm32-wasip2/lib")).unwrap();
        assert!(active.has_target());
    }

    #[test]
    fn the_host_is_read_from_the_version() {
        let text =
            "rustc 1.95.0 (x)\nbinary: rustc\nhost: x86_64-unknown-linux-gnu\nrelease: 1.95.0";
        assert_eq!(version_field(text, "host"), Some("x86_64-unknown-linux-gnu"));
        assert_eq!(version_field(text, "release"), Some("1.95.0"));
        assert_eq!(version_field(text, "LLVM version"), None);
    }

    #[test]
    fn rustups_complaint_is_its_error_line() {
        let stderr =
            "info: downloading component rust-std\nerror: could not download\n\nCaused by:";
        assert_eq!(complaint(stderr), "error: could not download");
        assert_eq!(complaint("one\ntwo"), "two");
        assert_eq!(complaint(""), "it gave no reason");
    }

    #[test]
    fn where_nothing_works_one_message_names_both_ways() {
        let message = no_way(&anyhow!("no network"), &anyhow!("no apt-get")).to_string();
        for part in [
            "rustup target add wasm32-wasip2",
            "apt-get install -y --no-install-recommends rustc-web rust-web-src cargo-web wasi-libc",
            "(no network)",
            "(no apt-get)",
        ] {
            assert!(message.contains(part), "{part} is missing in: {message}");
        }
    }
}
