//! `spin.toml`, manifest version 2: from text to a checked application.
//!
//! Two steps, so that each error is found by the right one: `raw` is the shape of the file as serde
//! reads it (unknown fields, wrong types), `check` turns it into an [`App`] (names, references,
//! templates, limits). Nothing after this module looks at TOML again.
//!
//! Invariants: every component named by a route exists; every template is resolved; every
//! allowed host and hint is parsed and within its limit. Start at [`App::load`].

mod check;
mod hints;
mod hosts;
mod raw;
mod template;
mod variables;

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

use http::{HeaderMap, StatusCode};

pub(crate) use self::hints::Hints;
pub(crate) use self::hosts::is_to_self;
pub(crate) use self::hosts::{AllowedHosts, chained_component};
pub use self::variables::VariableSource;
pub(crate) use self::variables::check_name as check_variable_name;

/// A manifest that was read and found good.
#[derive(Debug)]
pub(crate) struct App {
    /// The application's name.
    pub(crate) name: String,
    /// The components that a trigger names, by id.
    pub(crate) components: BTreeMap<String, Component>,
    /// The triggers, in the order of the file.
    pub(crate) triggers: Vec<Trigger>,
    /// What is allowed but surely not meant; logged once at start.
    pub(crate) warnings: Vec<String>,
}

/// One component, ready to be compiled.
#[derive(Debug)]
pub(crate) struct Component {
    /// The id: kebab-case.
    pub(crate) id: String,
    /// The file, absolute or relative to the working directory.
    pub(crate) source: PathBuf,
    /// The guest's environment.
    pub(crate) environment: Vec<(String, String)>,
    /// The guest's variables, resolved.
    pub(crate) variables: BTreeMap<String, String>,
    /// Where the guest may send requests.
    pub(crate) allowed_hosts: AllowedHosts,
    /// The labels of the stores that the guest may open.
    pub(crate) key_value_stores: BTreeSet<String>,
    /// What the component asks of this host.
    pub(crate) hints: Hints,
}

/// One `[[trigger.http]]`.
#[derive(Debug)]
pub(crate) struct Trigger {
    /// The route as written; none for a private one, which only other components reach.
    pub(crate) route: Option<String>,
    /// Who answers.
    pub(crate) target: Target,
}

/// Who answers a trigger.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Target {
    /// The component of this id.
    Component(String),
    /// The node itself, always the same.
    Static(StaticResponse),
}

/// An answer written in the manifest.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct StaticResponse {
    /// The status; 200 when not given.
    pub(crate) status: StatusCode,
    /// The headers.
    pub(crate) headers: HeaderMap,
    /// The body; empty when not given.
    pub(crate) body: String,
}

/// Why a manifest cannot be used, in one sentence that names the place.
#[derive(Debug, thiserror::Error)]
#[error("{file}{place}: {message}")]
pub struct ManifestError {
    file: String,
    place: String,
    message: String,
}

impl App {
    /// Reads and checks the manifest at `path`. Component sources are taken relative to it.
    ///
    /// # Errors
    /// When the file cannot be read, is not valid, or a required variable has no value.
    pub(crate) fn load(path: &Path, variables: &VariableSource) -> Result<Self, ManifestError> {
        let text = std::fs::read_to_string(path).map_err(|error| ManifestError {
            file: path.display().to_string(),
            place: String::new(),
            message: format!("the manifest cannot be read ({error}); name it with --from"),
        })?;
        let dir = path.parent().unwrap_or(Path::new(""));
        Self::parse(&text, dir, variables)
            .map_err(|error| ManifestError { file: path.display().to_string(), ..error })
    }

    /// The same for a manifest already in memory.
    ///
    /// # Errors
    /// As for [`App::load`].
    pub(crate) fn parse(
        text: &str,
        dir: &Path,
        variables: &VariableSource,
    ) -> Result<Self, ManifestError> {
        let raw: raw::Manifest = toml::from_str(text).map_err(|error| {
            let place = error.span().map(|span| line_and_column(text, span.start));
            ManifestError {
                file: "spin.toml".to_owned(),
                place: place.map_or(String::new(), |(line, column)| format!(":{line}:{column}")),
                message: error.message().replace('\n', " "),
            }
        })?;
        check::check(raw, dir, variables).map_err(|error| ManifestError {
            file: "spin.toml".to_owned(),
            place: format!(": {}", error.place),
            message: error.message,
        })
    }
}

/// Both counted from 1.
fn line_and_column(text: &str, offset: usize) -> (usize, usize) {
    let before = text.get(..offset).unwrap_or(text);
    let line = before.matches('\n').count() + 1;
    let column = before.rsplit('\n').next().unwrap_or_default().chars().count() + 1;
    (line, column)
}

#[cfg(test)]
mod tests;
