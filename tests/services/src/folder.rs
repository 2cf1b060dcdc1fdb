//! The folder that services keep their data in.
//!
//! Invariants: only a folder that carries our marker is written to or emptied; one process at a
//! time holds it. The lock ends with the process that holds it, however that ends, and the daemons
//! end with it too; a crashed run is therefore no obstacle to the next.

use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail};

use crate::claim::{Claim, Claimed};
use crate::{WhenInUse, limits};

/// Says that the folder is ours, and is locked while it is in use.
const MARKER: &str = ".tiffin-services";

/// A folder, held until this value drops.
#[derive(Debug)]
pub(crate) struct Folder(Claim);

impl Folder {
    /// Takes the folder, or a neighbour if it is in use and `when_in_use` says so; `fresh` deletes
    /// what earlier runs left in it.
    pub(crate) fn take(wanted: &Path, fresh: bool, when_in_use: WhenInUse) -> Result<Self> {
        let folder = match when_in_use {
            WhenInUse::Refuse => Self::try_take(wanted)?,
            WhenInUse::NextFolder => Self::take_one_of(wanted)?,
        };
        let Some(folder) = folder else {
            bail!(
                "{} is in use by another process: stop that one, or choose another folder",
                wanted.display()
            );
        };
        if fresh {
            folder.empty()?;
        }
        Ok(folder)
    }

    fn take_one_of(wanted: &Path) -> Result<Option<Self>> {
        for number in 1..=limits::FOLDERS {
            if let Some(folder) = Self::try_take(&neighbour(wanted, number))? {
                return Ok(Some(folder));
            }
        }
        Ok(None)
    }

    /// Nothing, if another process holds it.
    fn try_take(path: &Path) -> Result<Option<Self>> {
        match Claim::take(path, MARKER)? {
            Claimed::Ours(claim) => Ok(Some(Self(claim))),
            Claimed::InUse => Ok(None),
            Claimed::Strangers => bail!(
                "{} is not empty and holds no services' data: choose another folder",
                path.display()
            ),
        }
    }

    fn empty(&self) -> Result<()> {
        for entry in fs::read_dir(self.path())? {
            let entry = entry?;
            if entry.file_name() == MARKER {
                continue;
            }
            let path = entry.path();
            let outcome = match entry.file_type()?.is_dir() {
                true => fs::remove_dir_all(&path),
                false => fs::remove_file(&path),
            };
            outcome.with_context(|| format!("deleting {}", path.display()))?;
        }
        Ok(())
    }

    /// Where it is.
    pub(crate) fn path(&self) -> &Path {
        self.0.path()
    }
}

/// The folder itself, then `NAME-2`, `NAME-3` beside it.
fn neighbour(wanted: &Path, number: u32) -> PathBuf {
    if number == 1 {
        return wanted.into();
    }
    let mut name = wanted.as_os_str().to_owned();
    name.push(format!("-{number}"));
    name.into()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_folder_in_use_is_refused_or_left_for_the_next() {
        let dir = tempfile::tempdir().unwrap();
        let wanted = dir.path().join("services");
        let first = Folder::take(&wanted, false, WhenInUse::Refuse).unwrap();
        let error = Folder::take(&wanted, true, WhenInUse::Refuse).unwrap_err().to_string();
        assert!(error.contains("services is in use by another process"), "{error}");
        let second = Folder::take(&wanted, false, WhenInUse::NextFolder).unwrap();
        assert_eq!(second.path(), dir.path().join("services-2"));
        drop(first);
        let third = Folder::take(&wanted, false, WhenInUse::NextFolder).unwrap();
        assert_eq!(third.path(), wanted);
    }

    #[test]
    fn fresh_deletes_what_earlier_runs_left() {
        let dir = tempfile::tempdir().unwrap();
        let wanted = dir.path().join("services");
        let leave = || {
            fs::create_dir_all(wanted.join("mariadb/db")).unwrap();
            fs::write(wanted.join("redis.log"), "x").unwrap();
        };
        drop(Folder::take(&wanted, true, WhenInUse::Refuse).unwrap());
        leave();
        drop(Folder::take(&wanted, false, WhenInUse::Refuse).unwrap());
        assert!(wanted.join("mariadb/db").exists() && wanted.join("redis.log").exists());
        let folder = Folder::take(&wanted, true, WhenInUse::Refuse).unwrap();
        assert!(!wanted.join("mariadb").exists() && !wanted.join("redis.log").exists());
        let error = Folder::take(&wanted, true, WhenInUse::Refuse).unwrap_err().to_string();
        assert!(error.contains("in use"), "the lock outlives the emptying: {error}");
        drop(folder);
    }

    #[test]
    fn a_strangers_folder_is_left_alone() {
        let dir = tempfile::tempdir().unwrap();
        fs::write(dir.path().join("notes.txt"), "x").unwrap();
        for fresh in [false, true] {
            let error = Folder::take(dir.path(), fresh, WhenInUse::Refuse).unwrap_err();
            assert!(error.to_string().contains("holds no services' data"), "{error}");
        }
        assert!(dir.path().join("notes.txt").exists());
    }
}
