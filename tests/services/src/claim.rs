//! A folder of ours: marked, and held by one process at a time.
//!
//! Invariant: only a folder that carries our marker, or is empty or absent, is ever made ours.

use std::fs::{self, File, TryLockError};
use std::io::ErrorKind;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result};

/// A folder, held until this value drops, or until this process ends, however it ends.
#[derive(Debug)]
pub struct Claim {
    path: PathBuf,
    lock: File,
}

/// What became of a try.
#[derive(Debug)]
pub enum Claimed {
    /// The folder is ours now.
    Ours(Claim),
    /// Another process holds it.
    InUse,
    /// It has other people's files in it.
    Strangers,
}

impl Claim {
    /// Makes the folder if it is absent, and holds it. The file named `marker` says whose it is, and is locked.
    ///
    /// # Errors
    /// It cannot be read or written.
    pub fn take(path: &Path, marker: &str) -> Result<Claimed> {
        let marker = path.join(marker);
        if !marker.exists() && !is_absent_or_empty(path)? {
            return Ok(Claimed::Strangers);
        }
        fs::create_dir_all(path).with_context(|| format!("making {}", path.display()))?;
        let lock = File::options()
            .create(true)
            .append(true)
            .open(&marker)
            .with_context(|| format!("opening {}", marker.display()))?;
        match lock.try_lock() {
            Ok(()) => Ok(Claimed::Ours(Self { path: path.into(), lock })),
            Err(TryLockError::WouldBlock) => Ok(Claimed::InUse),
            Err(TryLockError::Error(error)) => {
                Err(error).with_context(|| format!("locking {}", marker.display()))
            }
        }
    }

    /// The folder.
    pub fn path(&self) -> &Path {
        &self.path
    }
}

impl Drop for Claim {
    fn drop(&mut self) {
        // Said aloud, because a program that is just being started holds a copy of the handle
        // until it runs. Failing that, the lock ends with that copy.
        let _ = self.lock.unlock();
    }
}

fn is_absent_or_empty(path: &Path) -> Result<bool> {
    match fs::read_dir(path) {
        Ok(mut entries) => Ok(entries.next().is_none()),
        Err(error) if error.kind() == ErrorKind::NotFound => Ok(true),
        Err(error) => Err(error).with_context(|| format!("reading {}", path.display())),
    }
}
