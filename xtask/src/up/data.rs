//! The folder that keeps a run's data for the next one.
//!
//! Invariants: only a folder that carries our marker is written to or emptied; of such a folder
//! `--fresh` deletes what we made and nothing else; one run at a time holds it.

use std::fs;
use std::io::ErrorKind;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail};
use tiffin_services::claim::{Claim, Claimed};

/// Says that the folder is ours, and is locked while a run holds it.
const MARKER: &str = ".tiffin-data";

const CORE: &str = "core";
const EDGE: &str = "edge";
const SERVICES: &str = "services";
const LOGS: &str = "logs";
const FEED_TOKEN: &str = "feed.token";

/// A data folder, held until this value drops.
#[derive(Debug)]
pub(crate) struct DataDir(Claim);

impl DataDir {
    /// Opens or makes the folder; `fresh` deletes what earlier runs left in it.
    ///
    /// # Errors
    /// It belongs to somebody else, or another run holds it.
    pub(crate) fn open(path: &Path, fresh: bool) -> Result<Self> {
        let data = match Claim::take(path, MARKER)? {
            Claimed::Ours(claim) => Self(claim),
            Claimed::Strangers => bail!(
                "{} is not empty and was not made by `cargo xtask up`: choose another folder \
                 with `--data DIR`",
                path.display()
            ),
            Claimed::InUse => bail!(
                "another `cargo xtask up` is running on {}: stop it, or give this one its own \
                 folder and ports with `--data DIR --port N`",
                path.display()
            ),
        };
        if fresh {
            for part in [CORE, EDGE, SERVICES, LOGS] {
                data.delete(part)?;
            }
        }
        fs::create_dir_all(data.path().join(LOGS)).context("making the folder for logs")?;
        Ok(data)
    }

    fn delete(&self, part: &str) -> Result<()> {
        let part = self.path().join(part);
        match fs::remove_dir_all(&part) {
            Err(error) if error.kind() == ErrorKind::NotFound => Ok(()),
            result => result.with_context(|| format!("deleting {}", part.display())),
        }
    }

    /// The folder itself.
    pub(crate) fn path(&self) -> &Path {
        self.0.path()
    }

    /// What the core keeps.
    pub(crate) fn core(&self) -> PathBuf {
        self.path().join(CORE)
    }

    /// What the edge keeps.
    pub(crate) fn edge(&self) -> PathBuf {
        self.path().join(EDGE)
    }

    /// What opens the core's feed to the edge.
    pub(crate) fn feed_token(&self) -> PathBuf {
        self.path().join(FEED_TOKEN)
    }

    /// What MariaDB and Redis keep.
    pub(crate) fn services(&self) -> PathBuf {
        self.path().join(SERVICES)
    }

    /// The log of the program of that name.
    pub(crate) fn log(&self, program: &str) -> PathBuf {
        self.path().join(LOGS).join(format!("{program}.log"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn fresh_deletes_what_runs_made_and_nothing_else() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("up");
        let data = DataDir::open(&path, false).unwrap();
        for kept in ["core/ledger.db", "edge/cache", "services/x", "logs/core.log", "notes.txt"] {
            let file = path.join(kept);
            fs::create_dir_all(file.parent().unwrap()).unwrap();
            fs::write(file, "x").unwrap();
        }
        drop(data);

        drop(DataDir::open(&path, false).unwrap());
        assert!(path.join("core/ledger.db").exists(), "a plain start keeps everything");

        drop(DataDir::open(&path, true).unwrap());
        assert!(!path.join("core").exists() && !path.join("edge").exists());
        assert!(!path.join("logs/core.log").exists() && !path.join("services").exists());
        assert!(path.join("notes.txt").exists(), "a person's own file stays");
    }

    #[test]
    fn a_strangers_folder_is_left_alone() {
        let dir = tempfile::tempdir().unwrap();
        fs::create_dir(dir.path().join("core")).unwrap();
        for fresh in [false, true] {
            let error = DataDir::open(dir.path(), fresh).unwrap_err().to_string();
            assert!(error.contains("was not made by") && error.contains("--data"), "{error}");
        }
        assert!(dir.path().join("core").exists());
    }

    #[test]
    fn two_runs_cannot_share_a_folder() {
        let dir = tempfile::tempdir().unwrap();
        let first = DataDir::open(dir.path(), false).unwrap();
        let error = DataDir::open(dir.path(), true).unwrap_err().to_string();
        assert!(error.contains("another `cargo xtask up` is running"), "{error}");
        drop(first);
        DataDir::open(dir.path(), false).unwrap();
    }
}
