//! What is wrong with a configuration, where, and what to do: one line for each.

use std::fmt;

use serde::Serialize;

/// How bad it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Severity {
    /// Keeps a node from starting.
    Error,
    /// Works, and is surely not meant.
    Warning,
}

/// A place in a text, counted from 1.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
pub struct Position {
    /// The line.
    pub line: usize,
    /// The character in it.
    pub column: usize,
}

/// One thing that is wrong.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Diagnostic {
    /// How bad it is.
    pub severity: Severity,
    /// The file that says it.
    pub file: String,
    /// Where in the file, if that is known.
    pub position: Option<Position>,
    /// The setting, as a path into the file (`component.menu.source`); empty for the file as a whole.
    pub place: String,
    /// What is wrong and what to do.
    pub message: String,
}

impl fmt::Display for Diagnostic {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(&self.file)?;
        if let Some(Position { line, column }) = self.position {
            write!(formatter, ":{line}:{column}")?;
        }
        if !self.place.is_empty() {
            write!(formatter, ": {}", self.place)?;
        }
        write!(formatter, ": {}", self.message)
    }
}

/// Why a configuration cannot be used. Its text is one line, about the first error.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ConfigError(pub Vec<Diagnostic>);

impl ConfigError {
    /// The errors among `found`, if there are any.
    pub(crate) fn among(found: &[Diagnostic]) -> Result<(), Self> {
        let errors = found.iter().filter(|one| one.severity == Severity::Error);
        let errors: Vec<_> = errors.cloned().collect();
        if errors.is_empty() { Ok(()) } else { Err(Self(errors)) }
    }
}

impl fmt::Display for ConfigError {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Some((first, more)) = self.0.split_first() else {
            return formatter.write_str("the configuration has an error");
        };
        write!(formatter, "{first}")?;
        if !more.is_empty() {
            write!(formatter, " (`edge-node check` also shows {} more)", more.len())?;
        }
        Ok(())
    }
}

impl std::error::Error for ConfigError {}
