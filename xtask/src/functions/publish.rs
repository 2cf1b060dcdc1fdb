//! Putting a built component where its readers look for it.
//!
//! Invariants: a reader sees the old component or the new one, never half of one; an unchanged
//! component keeps its modification time, so that nothing downstream is rebuilt or reloaded.

use std::fmt;
use std::fs;
use std::path::Path;

use anyhow::{Context, Result};

/// What publishing did.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Outcome {
    /// The component is new or differs from the one before; its size in bytes.
    Replaced(usize),
    /// The same bytes were there already; their number.
    Unchanged(usize),
}

impl fmt::Display for Outcome {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Replaced(size_bytes) => write!(formatter, "({} KB)", size_bytes / 1024),
            Self::Unchanged(size_bytes) => {
                write!(formatter, "({} KB, unchanged)", size_bytes / 1024)
            }
        }
    }
}

/// Copies `built` to `published`, atomically and only when the bytes differ.
pub(crate) fn publish(built: &Path, published: &Path) -> Result<Outcome> {
    let bytes = fs::read(built).with_context(|| format!("cargo left no {}", built.display()))?;
    if fs::read(published).is_ok_and(|present| present == bytes) {
        return Ok(Outcome::Unchanged(bytes.len()));
    }
    let dir = published.parent().context("a published component lies in a folder")?;
    fs::create_dir_all(dir).with_context(|| format!("creating {}", dir.display()))?;
    // In the same folder, because a rename is atomic only within one file system; named by our
    // process, because two builds may run at once.
    let partial = published.with_extension(format!("wasm.{}", std::process::id()));
    fs::write(&partial, &bytes).with_context(|| format!("writing {}", partial.display()))?;
    fs::rename(&partial, published)
        .with_context(|| format!("moving {} into place", published.display()))?;
    Ok(Outcome::Replaced(bytes.len()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_component_is_replaced_only_when_it_changed() {
        let dir = tempfile::tempdir().unwrap();
        let built = dir.path().join("tiffin_menu.wasm");
        let published = dir.path().join("functions/menu.wasm");

        fs::write(&built, "one").unwrap();
        assert_eq!(publish(&built, &published).unwrap(), Outcome::Replaced(3));
        let first = fs::metadata(&published).unwrap().modified().unwrap();

        assert_eq!(publish(&built, &published).unwrap(), Outcome::Unchanged(3));
        assert_eq!(fs::metadata(&published).unwrap().modified().unwrap(), first);

        fs::write(&built, "three").unwrap();
        assert_eq!(publish(&built, &published).unwrap(), Outcome::Replaced(5));
        assert_eq!(fs::read(&published).unwrap(), b"three");
        let left: Vec<_> = fs::read_dir(published.parent().unwrap()).unwrap().collect();
        assert_eq!(left.len(), 1, "no partial file stays behind");
    }

    #[test]
    fn a_missing_build_is_named() {
        let dir = tempfile::tempdir().unwrap();
        let error = publish(&dir.path().join("x.wasm"), &dir.path().join("y.wasm")).unwrap_err();
        assert!(error.to_string().contains("cargo left no"), "{error}");
    }
}
