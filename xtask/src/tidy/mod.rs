//! `cargo xtask tidy`: what every file of the repository promises, and no compiler checks.
//!
//! A check is a pure function from the repository's texts to what it found wrong; [`CHECKS`] lists
//! them. Each finding says where it is and how to mend it.

mod manifests;
mod rust_files;
mod texts;

use std::collections::BTreeMap;
use std::fmt;
use std::fs;
use std::process::{Command, ExitCode};

use anyhow::{Result, bail};

use crate::workspace::Workspace;
use crate::{progress, shell};

const CHECKS: [fn(&Tree) -> Vec<Finding>; 9] = [
    rust_files::headers,
    rust_files::lengths,
    rust_files::sql_outside_stores,
    manifests::versions_outside_the_root,
    manifests::unexplained_dependencies,
    manifests::components_without_our_build,
    texts::missing_documents,
    texts::broken_links,
    texts::machine_traces,
];

/// The command.
pub(crate) fn run() -> Result<ExitCode> {
    check(&Workspace::locate()?)?;
    Ok(ExitCode::SUCCESS)
}

/// Runs every check.
///
/// # Errors
/// Something was found; the findings are on stderr by then.
pub(crate) fn check(workspace: &Workspace) -> Result<()> {
    progress::step("Checking that everything is tidy", || {
        let tree = Tree::read(workspace)?;
        let findings: Vec<_> = CHECKS.iter().flat_map(|check| check(&tree)).collect();
        for finding in &findings {
            eprintln!("{finding}");
        }
        match findings.len() {
            0 => Ok(()),
            1 => bail!("one thing is untidy"),
            count => bail!("{count} things are untidy"),
        }
    })
}

/// One thing that is not as it should be.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Finding {
    path: String,
    /// Counted from one.
    line: usize,
    wrong: String,
    mend: &'static str,
}

impl Finding {
    fn new(path: &str, line: usize, wrong: impl Into<String>, mend: &'static str) -> Self {
        Self { path: path.to_owned(), line, wrong: wrong.into(), mend }
    }
}

impl fmt::Display for Finding {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { path, line, wrong, mend } = self;
        write!(formatter, "{path}:{line}: {wrong}\n    to mend it: {mend}")
    }
}

/// The repository's files by path, with the text of those that are text.
#[derive(Debug, Default)]
pub(crate) struct Tree {
    files: BTreeMap<String, Option<String>>,
}

impl Tree {
    /// Reads what git knows or would be asked to add; build results are neither.
    fn read(workspace: &Workspace) -> Result<Self> {
        let mut git = Command::new("git");
        git.args(["ls-files", "--cached", "--others", "--exclude-standard", "-z"]);
        let listed = shell::ask(git.current_dir(&workspace.root))?;
        let mut files = BTreeMap::new();
        for path in listed.split('\0').filter(|path| !path.is_empty()) {
            // Git still lists a file that was deleted and not committed yet.
            if let Ok(bytes) = fs::read(workspace.root.join(path)) {
                files.insert(path.to_owned(), String::from_utf8(bytes).ok());
            }
        }
        Ok(Self { files })
    }

    #[cfg(test)]
    fn of(files: &[(&str, &str)]) -> Self {
        let owned = files.iter().map(|(path, text)| (path.to_string(), Some(text.to_string())));
        Self { files: owned.collect() }
    }

    fn text(&self, path: &str) -> Option<&str> {
        self.files.get(path)?.as_deref()
    }

    /// Whether there is a file or a folder of that path.
    fn has(&self, path: &str) -> bool {
        let folder = format!("{path}/");
        path.is_empty() || self.files.keys().any(|file| file == path || file.starts_with(&folder))
    }

    /// Texts whose path ends so.
    fn texts<'a>(&'a self, suffix: &'a str) -> impl Iterator<Item = (&'a str, &'a str)> {
        let fitting = self.files.iter().filter(move |(path, _)| path.ends_with(suffix));
        fitting.filter_map(|(path, text)| Some((path.as_str(), text.as_deref()?)))
    }
}

/// The number of the first line that satisfies `wanted`, or one.
fn line_of(text: &str, wanted: impl Fn(&str) -> bool) -> usize {
    text.lines().position(wanted).map_or(1, |index| index + 1)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_finding_reads_as_a_place_and_a_way_out() {
        let finding = Finding::new("a/b.rs", 7, "it is wrong", "write it right");
        assert_eq!(finding.to_string(), "a/b.rs:7: it is wrong\n    to mend it: write it right");
    }

    #[test]
    fn folders_are_known_by_their_files() {
        let tree = Tree::of(&[("docs/a/b.md", "")]);
        assert!(tree.has("docs/a/b.md") && tree.has("docs/a") && tree.has("docs"));
        assert!(!tree.has("doc") && !tree.has("docs/a/b"));
    }
}
