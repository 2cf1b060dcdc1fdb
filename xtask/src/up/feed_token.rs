//! The token by which the edge opens the core's feed: a file that only its user can read, made anew before it ends.

use std::fs;
use std::io::Write as _;
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};
use std::time::Instant;

use anyhow::{Context, Result};

use crate::limits;

/// A token that is kept fresh in a file.
pub(super) struct FeedToken {
    file: PathBuf,
    made: Instant,
}

impl FeedToken {
    /// Writes the first token to `file`.
    pub(super) fn new(file: PathBuf, mint: impl FnOnce() -> Result<String>) -> Result<Self> {
        let made = Instant::now();
        write(&file, &mint()?)?;
        Ok(Self { file, made })
    }

    /// Where it is.
    pub(super) fn file(&self) -> &Path {
        &self.file
    }

    /// Writes the next one if it is time.
    pub(super) fn renew(&mut self, mint: impl FnOnce() -> Result<String>) -> Result<()> {
        if self.made.elapsed() >= limits::FEED_TOKEN_RENEWAL {
            *self = Self::new(std::mem::take(&mut self.file), mint)?;
        }
        Ok(())
    }
}

/// Writes beside the file and renames, so that whoever reads it finds a whole token.
fn write(file: &Path, token: &str) -> Result<()> {
    let draft = file.with_extension("draft");
    let mut options = fs::OpenOptions::new();
    let opened = options.write(true).create(true).truncate(true).mode(0o600).open(&draft);
    opened
        .and_then(|mut opened| opened.write_all(token.as_bytes()))
        .and_then(|()| fs::rename(&draft, file))
        .with_context(|| format!("writing {}", file.display()))
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt as _;
    use std::time::Duration;

    use super::*;

    #[test]
    fn a_token_is_its_users_alone_and_is_replaced_in_time() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("feed.token");
        let mut token = FeedToken::new(path.clone(), || Ok("one".to_owned())).unwrap();
        let kept = || fs::read_to_string(&path).unwrap();
        token.renew(|| panic!("it is fresh")).unwrap();
        assert_eq!(kept(), "one");
        assert_eq!(fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);
        let Some(made) = token.made.checked_sub(limits::FEED_TOKEN_RENEWAL) else { return };
        token.made = made;
        token.renew(|| Ok("two".to_owned())).unwrap();
        assert_eq!((kept().as_str(), token.file()), ("two", path.as_path()));
        assert!(token.made.elapsed() < Duration::from_secs(60));
    }
}
