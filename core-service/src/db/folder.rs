//! The data folder: it holds the keys and, unless the ledger is a database of its own, the ledger.
//!
//! Invariants: a folder that we make is readable by its owner only; whoever has taken a [`DataFolder`] is the
//! only core on it, until it is dropped or the process ends, however that happens. Cores that share a database
//! share the folder too. `token`, `import` and `audit` read beside it and take no lock.

use std::fs::{DirBuilder, File, OpenOptions, TryLockError};
use std::io;
use std::os::unix::fs::{DirBuilderExt as _, OpenOptionsExt as _};
use std::path::{Path, PathBuf};

const LEDGER_FILE: &str = "ledger.sqlite";
const LOCK_FILE: &str = "lock";

/// Why the folder cannot be had.
#[derive(Debug, thiserror::Error)]
pub enum FolderError {
    /// Another core serves from it.
    #[error("another core runs on {0}; stop it, or start this one on another folder with --data")]
    InUse(PathBuf),
    /// It cannot be made or locked.
    #[error("cannot use {folder} as the data folder")]
    Unusable {
        /// Which folder.
        folder: PathBuf,
        /// Why.
        source: io::Error,
    },
}

/// A data folder, held by us alone or together with cores on the same database.
#[derive(Debug)]
pub struct DataFolder {
    path: PathBuf,
    /// The system frees the lock with the file.
    _lock: File,
}

impl DataFolder {
    /// Makes the folder if it is missing, and takes it unless another core has it.
    pub fn take(path: &Path) -> Result<Self, FolderError> {
        Self::lock(path, File::try_lock)
    }

    /// Makes the folder if it is missing, and shares it, unless another core has it for itself.
    pub fn share(path: &Path) -> Result<Self, FolderError> {
        Self::lock(path, File::try_lock_shared)
    }

    fn lock(
        path: &Path,
        try_lock: fn(&File) -> Result<(), TryLockError>,
    ) -> Result<Self, FolderError> {
        let unusable = |source| FolderError::Unusable { folder: path.to_owned(), source };
        DirBuilder::new().recursive(true).mode(0o700).create(path).map_err(unusable)?;
        let mut options = OpenOptions::new();
        let lock = options
            .write(true)
            .create(true)
            .truncate(false)
            .mode(0o600)
            .open(path.join(LOCK_FILE))
            .map_err(unusable)?;
        match try_lock(&lock) {
            Ok(()) => Ok(Self { path: path.to_owned(), _lock: lock }),
            Err(TryLockError::WouldBlock) => Err(FolderError::InUse(path.to_owned())),
            Err(TryLockError::Error(source)) => Err(unusable(source)),
        }
    }

    /// Where it is.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// The ledger's file in it.
    pub fn ledger_file(&self) -> PathBuf {
        ledger_file(&self.path)
    }
}

/// The ledger's file in a data folder, for who reads it beside its core.
pub fn ledger_file(data: &Path) -> PathBuf {
    data.join(LEDGER_FILE)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::fs::PermissionsExt as _;

    #[test]
    fn a_folder_is_private_and_has_one_holder() {
        let outer = tempfile::tempdir().unwrap();
        let path = outer.path().join("data");
        let held = DataFolder::take(&path).unwrap();
        assert_eq!(std::fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o700);
        assert!(matches!(DataFolder::take(&path), Err(FolderError::InUse(_))));
        drop(held);
        let shared = DataFolder::share(&path).unwrap();
        DataFolder::share(&path).unwrap();
        assert!(matches!(DataFolder::take(&path), Err(FolderError::InUse(_))));
        drop(shared);
        DataFolder::take(&path).unwrap();
    }
}
