//! `spin.toml`, manifest version 2: from text to a checked application.
//!
//! Two steps, so that each error is found by the right one: `raw` is the shape of the file as serde
//! reads it (unknown fields, wrong types), `check` turns it into an [`App`] (names, references,
//! templates, limits). Nothing after this module looks at TOML again. Both steps find all errors, not the first.
//!
//! Invariants: every component named by a route exists; every template is resolved; every
//! allowed host and hint is parsed and within its limit. Start at [`App::load`].

mod check;
mod dependencies;
mod hints;
mod hosts;
mod raw;
mod template;
mod variables;

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

use http::{HeaderMap, StatusCode};

use crate::diagnostic::{ConfigError, Diagnostic};
use crate::document::Document;

pub(crate) use self::check::TOOL;
pub(crate) use self::dependencies::{Capability, Dependency};
pub(crate) use self::hints::{Hints, STABLE_VERSION};
pub(crate) use self::hosts::is_to_self;
pub(crate) use self::hosts::{AllowedHosts, chained_component};
pub use self::variables::VariableSource;
pub(crate) use self::variables::check_name as check_variable_name;

/// A manifest that was read and found good.
#[derive(Debug)]
pub(crate) struct App {
    /// The manifest itself, for what is found wrong later.
    pub(crate) document: Document,
    /// The application's name.
    pub(crate) name: String,
    /// The version that its author gave it; may be empty.
    pub(crate) version: String,
    /// The components that a trigger names, by id.
    pub(crate) components: BTreeMap<String, Component>,
    /// The second versions, by the component's id.
    pub(crate) canaries: BTreeMap<String, Canary>,
    /// The triggers, in the order of the file.
    pub(crate) triggers: Vec<Trigger>,
    /// What is allowed but surely not meant; logged once at start.
    pub(crate) warnings: Vec<Diagnostic>,
}

/// A second version of a component.
#[derive(Debug)]
pub(crate) struct Canary {
    /// Its name.
    pub(crate) version: String,
    /// Its share of the clients.
    pub(crate) weight_percent: u8,
    /// The component with the other code. Its id is the first's, an `@` and the version, as no component of a
    /// manifest can be called.
    pub(crate) component: Component,
}

/// One component, ready to be compiled.
#[derive(Debug, Clone, PartialEq)]
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
    /// What is composed into it.
    pub(crate) dependencies: Vec<Dependency>,
    /// What the component asks of this host.
    pub(crate) hints: Hints,
}

impl Component {
    /// The files that its code is made from.
    pub(crate) fn files(&self) -> impl Iterator<Item = &PathBuf> {
        let dependencies = self.dependencies.iter().map(|dependency| &dependency.source);
        std::iter::once(&self.source).chain(dependencies)
    }
}

/// One `[[trigger.http]]`.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Trigger {
    /// Its place in the file.
    pub(crate) place: String,
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

impl App {
    /// Reads and checks the manifest at `path`. Component sources are taken relative to it.
    ///
    /// # Errors
    /// When the file cannot be read, or all that is not valid in it: shapes, names, references, variables without a value.
    pub(crate) fn load(path: &Path, variables: &VariableSource) -> Result<Self, ConfigError> {
        let (app, found) = Self::inspect(path, variables);
        ConfigError::among(&found)?;
        app.ok_or(ConfigError(found))
    }

    /// The same for one who wants to know everything: what is good of the manifest, and all that is not.
    pub(crate) fn inspect(
        path: &Path,
        variables: &VariableSource,
    ) -> (Option<Self>, Vec<Diagnostic>) {
        match Document::load(path, "--from") {
            Ok(document) => Self::read(document, path.parent().unwrap_or(Path::new("")), variables),
            Err(found) => (None, found),
        }
    }

    fn read(
        document: Document,
        dir: &Path,
        variables: &VariableSource,
    ) -> (Option<Self>, Vec<Diagnostic>) {
        let mut found = Vec::new();
        // First: of another version's manifest everything else would be wrong too.
        if let Some(message) = document.read(&mut found).and_then(refused_version) {
            return (None, vec![document.error("spin_manifest_version", message)]);
        }
        let Some(raw) = document.read(&mut found) else { return (None, found) };
        let (mut app, faults) = check::check(raw, dir, variables);
        found.extend(faults.into_iter().map(|fault| document.error(&fault.place, fault.message)));
        let warn = |fault: check::Fault| document.warning(&fault.place, fault.message);
        let warnings: Vec<_> = std::mem::take(&mut app.warnings).into_iter().map(warn).collect();
        found.extend(warnings.iter().cloned());
        let check::Checked { name, version, components, canaries, triggers, warnings: _ } = app;
        (Some(Self { document, name, version, components, canaries, triggers, warnings }), found)
    }
}

/// What is to be said of a manifest that is not of version 2.
fn refused_version(raw: raw::Version) -> Option<String> {
    let version = raw.spin_manifest_version.filter(|it| it.as_integer() != Some(2))?;
    let is_first = version.as_str() == Some("1") || version.as_integer() == Some(1);
    let remedy = if is_first { "; `spin doctor` rewrites one of version 1" } else { "" };
    Some(format!("only version 2 is supported, not {version}{remedy}"))
}

#[cfg(test)]
mod spin_rules;
#[cfg(test)]
mod tests;
