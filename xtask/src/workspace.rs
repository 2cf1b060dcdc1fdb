//! Where things lie: the repository's root and the folders that builds write to.

use std::env;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result};

/// The repository and its build folders, all absolute.
#[derive(Debug, Clone)]
pub(crate) struct Workspace {
    /// The folder of the root `Cargo.toml`.
    pub(crate) root: PathBuf,
    /// Where cargo puts the native programs.
    pub(crate) target_dir: PathBuf,
}

impl Workspace {
    /// Finds the workspace that this very program was built from.
    pub(crate) fn locate() -> Result<Self> {
        // Cargo sets the variable when it runs us; the built-in value serves a direct call.
        let manifest_dir = env::var_os("CARGO_MANIFEST_DIR")
            .map_or_else(|| PathBuf::from(env!("CARGO_MANIFEST_DIR")), PathBuf::from);
        let root = manifest_dir.parent().context("xtask has no parent folder")?.to_path_buf();
        let target_dir = match env::var_os("CARGO_TARGET_DIR") {
            Some(dir) if !dir.is_empty() => env::current_dir()?.join(dir),
            _ => root.join("target"),
        };
        Ok(Self { root, target_dir })
    }

    /// Where `spin.toml` expects the built functions. Fixed, because the manifest cannot ask cargo.
    pub(crate) fn functions_dir(&self) -> PathBuf {
        self.root.join("target/functions")
    }

    /// Where cargo builds the functions: a folder of its own, so that the standard library, when
    /// it has to be built, is built once and native builds do not wait for it.
    pub(crate) fn functions_build_dir(&self) -> PathBuf {
        self.root.join("target/functions-build")
    }

    /// `path` as a person in the workspace would write it.
    pub(crate) fn display(&self, path: &Path) -> String {
        path.strip_prefix(&self.root).unwrap_or(path).display().to_string()
    }
}
