//! Building with Debian's own Rust packages, where rustup cannot fetch a target.
//!
//! Debian ships a current compiler with its library's source, but no library for the functions'
//! target: cargo builds that too (`-Zbuild-std`, which needs source and compiler of one version,
//! as these packages are). The two linkers come from the active toolchain and Debian's wasi-libc
//! is the C library beneath.

use std::fmt;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result, bail};

use super::toolchain::{ActiveCompiler, TARGET, version_field};
use crate::shell;
use crate::workspace::Workspace;

/// What has to be installed.
pub(crate) const PACKAGES: [&str; 4] = ["rustc-web", "rust-web-src", "cargo-web", "wasi-libc"];

/// Parts of those packages that a build touches, relative to the file system's root.
const RUSTC: &str = "usr/bin/rustc";
const CARGO: &str = "usr/bin/cargo";
const LIBRARY_SOURCE: &str = "usr/lib/rustlib/src/rust/library/Cargo.toml";
const LIBC_DIR: &str = "usr/lib/wasm32-wasi";
const LIBC: &str = "usr/lib/wasm32-wasi/libc.a";

/// Debian's compiler, complete for our purpose.
#[derive(Debug)]
pub(crate) struct DebianRust {
    root: PathBuf,
    release: String,
    component_linker: PathBuf,
    wasm_linker: PathBuf,
}

impl fmt::Display for DebianRust {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "Debian's Rust {}, which builds the standard library once", self.release)
    }
}

impl DebianRust {
    /// Checks that everything a build touches is there.
    ///
    /// # Errors
    /// Names what is missing or too old.
    pub(super) fn installed(active: &ActiveCompiler) -> Result<Self> {
        let ask_version = |rustc: &Path| shell::ask(Command::new(rustc).arg("-vV"));
        Self::installed_under(Path::new("/"), ask_version, active)
    }

    fn installed_under(
        root: &Path,
        ask_version: impl Fn(&Path) -> Result<String>,
        active: &ActiveCompiler,
    ) -> Result<Self> {
        for part in [RUSTC, CARGO, LIBRARY_SOURCE, LIBC] {
            let path = root.join(part);
            if !path.exists() {
                bail!("{} is missing", path.display());
            }
        }
        let version = ask_version(&root.join(RUSTC))?;
        let release = version_field(&version, "release").context("a compiler without release")?;
        let needed = env!("CARGO_PKG_RUST_VERSION");
        if !is_at_least(release, needed) {
            bail!("{} is version {release}; {needed} is needed", root.join(RUSTC).display());
        }
        Ok(Self {
            root: root.into(),
            release: release.to_owned(),
            component_linker: component_linker(active)?,
            wasm_linker: wasm_linker(active)?,
        })
    }

    /// `cargo build` with this compiler.
    pub(super) fn cargo(&self, workspace: &Workspace) -> Command {
        let mut cargo = shell::foreign_cargo(self.root.join(CARGO), workspace);
        cargo
            // Points at the active toolchain's libraries, which are not this compiler's.
            .env_remove("LD_LIBRARY_PATH")
            .env("RUSTC", self.root.join(RUSTC))
            // Building the standard library is an unstable feature of cargo.
            .env("RUSTC_BOOTSTRAP", "1")
            .env("CARGO_TARGET_WASM32_WASIP2_LINKER", &self.component_linker)
            .env("CARGO_ENCODED_RUSTFLAGS", self.flags().join("\x1f"))
            .args(["build", "-Zbuild-std=std,panic_abort"]);
        cargo
    }

    fn flags(&self) -> [String; 8] {
        let libc_dir = self.root.join(LIBC_DIR);
        [
            "-L".to_owned(),
            format!("native={}", libc_dir.display()),
            "-C".to_owned(),
            "link-self-contained=no".to_owned(),
            "-C".to_owned(),
            "link-arg=--wasm-ld-path".to_owned(),
            "-C".to_owned(),
            format!("link-arg={}", self.wasm_linker.display()),
        ]
    }
}

/// The linker that makes components.
///
/// # Errors
/// It is in neither place; the message says where it comes from.
pub(super) fn component_linker(active: &ActiveCompiler) -> Result<PathBuf> {
    tool(active, "wasm-component-ld", "wasm-component-ld")
}

fn wasm_linker(active: &ActiveCompiler) -> Result<PathBuf> {
    tool(active, "gcc-ld/wasm-ld", "wasm-ld")
}

fn tool(active: &ActiveCompiler, bundled: &str, name: &str) -> Result<PathBuf> {
    let bundled = active.tools_dir().join(bundled);
    if fs::metadata(&bundled).is_ok_and(|data| data.is_file()) {
        return Ok(bundled);
    }
    shell::find_program(name).with_context(|| {
        format!(
            "linking {TARGET} needs {name}, which comes with a toolchain installed by rustup \
             (https://rustup.rs); it is neither {} nor on PATH",
            bundled.display()
        )
    })
}

/// Compares versions by their numbers; a suffix such as `-nightly` does not count.
fn is_at_least(version: &str, needed: &str) -> bool {
    let numbers = |text: &str| -> Vec<u32> {
        let digits = text.split(['-', '+']).next().unwrap_or_default();
        digits.split('.').map(|part| part.parse().unwrap_or(0)).collect()
    };
    numbers(version) >= numbers(needed)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn make(path: PathBuf) {
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(&path, "").unwrap();
    }

    /// A file system with the packages installed, and an active toolchain beside it.
    fn machine() -> (tempfile::TempDir, ActiveCompiler) {
        let dir = tempfile::tempdir().unwrap();
        for part in [RUSTC, CARGO, LIBRARY_SOURCE, LIBC] {
            make(dir.path().join(part));
        }
        let active = ActiveCompiler { sysroot: dir.path().join("rustup"), host: "here".to_owned() };
        make(active.tools_dir().join("wasm-component-ld"));
        make(active.tools_dir().join("gcc-ld/wasm-ld"));
        (dir, active)
    }

    fn look(dir: &Path, release: &str, active: &ActiveCompiler) -> Result<DebianRust> {
        let ask_version = |_: &Path| Ok(format!("rustc {release}\nrelease: {release}"));
        DebianRust::installed_under(dir, ask_version, active)
    }

    #[test]
    fn a_complete_installation_is_used() {
        let (dir, active) = machine();
        let rust = look(dir.path(), "1.99.0", &active).unwrap();
        assert_eq!(rust.component_linker, active.tools_dir().join("wasm-component-ld"));
        let wasm_ld = active.tools_dir().join("gcc-ld/wasm-ld");
        assert_eq!(rust.flags()[7], format!("link-arg={}", wasm_ld.display()));
    }

    #[test]
    fn each_missing_part_is_named() {
        for part in [RUSTC, CARGO, LIBRARY_SOURCE, LIBC] {
            let (dir, active) = machine();
            fs::remove_file(dir.path().join(part)).unwrap();
            let error = look(dir.path(), "1.99.0", &active).unwrap_err().to_string();
            assert!(error.ends_with(&format!("{part} is missing")), "{error}");
        }
    }

    #[test]
    fn the_distributions_old_compiler_is_refused() {
        let (dir, active) = machine();
        let error = look(dir.path(), "1.63.0", &active).unwrap_err().to_string();
        assert!(error.contains("is version 1.63.0"), "{error}");
    }

    #[test]
    fn a_missing_component_linker_says_where_it_comes_from() {
        let (_dir, active) = machine();
        fs::remove_file(active.tools_dir().join("wasm-component-ld")).unwrap();
        let error = tool(&active, "wasm-component-ld", "no-such-linker").unwrap_err().to_string();
        assert!(error.contains("needs no-such-linker"), "{error}");
        assert!(error.contains("rustup.rs"), "{error}");
    }

    #[test]
    fn versions_compare_by_number() {
        assert!(is_at_least("1.96.0", "1.95"));
        assert!(is_at_least("1.95.0", "1.95"));
        assert!(is_at_least("2.0.0-nightly", "1.95"));
        assert!(!is_at_least("1.9.0", "1.95"));
        assert!(!is_at_least("1.63.0", "1.95"));
    }
}
