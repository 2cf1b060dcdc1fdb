//! `[component.X.dependencies]`: which imports of a component other components satisfy.
//!
//! The forms and the rules are Spin's (Writing Applications, "Using Component Dependencies"; SIP 020 and 023). What
//! Spin would fetch from a registry or a URL is refused here, with the way around it. Whether names
//! meet imports and exports is found when the files are read, in `compose`.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

use super::check::{Fault, Faults, is_words};
use super::raw;

/// A dependency as it is composed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Dependency {
    /// The imports that it satisfies.
    pub(crate) name: DependencyName,
    /// The component's file, absolute or relative to the working directory.
    pub(crate) source: PathBuf,
    /// The export that satisfies them; the import's own name if there is none.
    pub(crate) export: Option<String>,
    /// What it may use of its parent's configuration.
    pub(crate) inherits: BTreeSet<Capability>,
}

/// What a manifest can grant to a component, and so to what is composed into it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Capability {
    /// Requests to other hosts.
    AllowedOutboundHosts,
    /// Environment variables.
    Environment,
    /// Key-value stores.
    KeyValueStores,
    /// Variables.
    Variables,
    /// Files, models and databases: nothing here grants them.
    Unsupported,
}

impl Capability {
    const GRANTABLE: [Self; 4] =
        [Self::AllowedOutboundHosts, Self::Environment, Self::KeyValueStores, Self::Variables];

    /// The field that grants it.
    pub(crate) fn field(self) -> &'static str {
        match self {
            Self::AllowedOutboundHosts => "allowed_outbound_hosts",
            Self::Environment => "environment",
            Self::KeyValueStores => "key_value_stores",
            Self::Variables => "variables",
            Self::Unsupported => "files, ai_models, sqlite_databases",
        }
    }

    /// The capability behind an interface, its version left out. Source: Spin's `spin-capabilities`. What it also
    /// lists and this host never grants (files, sockets, databases) needs no guard.
    pub(crate) fn of_interface(interface: &str) -> Option<Self> {
        match interface {
            "wasi:http/client" | "wasi:http/outgoing-handler" => Some(Self::AllowedOutboundHosts),
            "wasi:cli/environment" => Some(Self::Environment),
            "spin:key-value/key-value" => Some(Self::KeyValueStores),
            "spin:variables/variables" => Some(Self::Variables),
            _ => None,
        }
    }

    fn named(field: &str) -> Option<Self> {
        match field {
            "ai_models" | "files" | "sqlite_databases" => Some(Self::Unsupported),
            _ => Self::GRANTABLE.into_iter().find(|capability| capability.field() == field),
        }
    }
}

/// The left side of a dependency: a plain name, or a package with or without interface and version.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum DependencyName {
    /// `my-import`.
    Plain(String),
    /// `ns:package`, `ns:package/interface`, each with or without `@1.2.3`.
    Package {
        /// `ns:package`.
        package: String,
        /// One interface of it; all if there is none.
        interface: Option<String>,
        /// Exactly this version; any if there is none.
        version: Option<String>,
    },
}

impl DependencyName {
    fn parse(text: &str) -> Result<Self, String> {
        let bad = |what: &str| Err(format!("{text:?} is no name of a dependency: {what}"));
        if !text.contains([':', '/']) {
            return match is_words(text, '-') {
                true => Ok(Self::Plain(text.to_owned())),
                false => bad("it is neither in kebab-case nor of the form ns:package/interface"),
            };
        }
        let (name, version) = match text.split_once('@') {
            Some((name, version)) => (name, Some(version)),
            None => (text, None),
        };
        if version.is_some_and(|version| track(version).is_none()) {
            return bad("what follows the @ is no version of three numbers");
        }
        let (package, interface) = match name.split_once('/') {
            Some((package, interface)) => (package, Some(interface)),
            None => (name, None),
        };
        let is_package = package
            .split_once(':')
            .is_some_and(|(namespace, name)| is_words(namespace, '-') && is_words(name, '-'));
        if !is_package || interface.is_some_and(|interface| !is_words(interface, '-')) {
            return bad("packages are written ns:package, and interfaces ns:package/interface");
        }
        Ok(Self::Package {
            package: package.to_owned(),
            interface: interface.map(str::to_owned),
            version: version.map(str::to_owned),
        })
    }

    /// Whether it speaks of this import, such as `ns:package/interface@1.2.3`.
    pub(crate) fn matches(&self, import: &str) -> bool {
        let (name, import_version) = match import.split_once('@') {
            Some((name, version)) => (name, Some(version)),
            None => (import, None),
        };
        match (self, name.split_once('/')) {
            (Self::Plain(plain), None) => plain == import,
            (Self::Package { package, interface, version }, Some((its_package, its_interface))) => {
                package == its_package
                    && interface.as_ref().is_none_or(|interface| interface == its_interface)
                    && (version.is_none() || version.as_deref() == import_version)
            }
            (Self::Plain(_), Some(_)) | (Self::Package { .. }, None) => false,
        }
    }

    /// Whether some import could be meant by both.
    fn overlaps(&self, other: &Self) -> bool {
        let (
            Self::Package { package, interface, version },
            Self::Package { package: package_2, interface: interface_2, version: version_2 },
        ) = (self, other)
        else {
            return false;
        };
        let differ = |one: &Option<String>, two: &Option<String>| match (one, two) {
            (Some(one), Some(two)) => one != two,
            (None, _) | (_, None) => false,
        };
        let tracks = |version: &Option<String>| version.as_deref().and_then(track);
        package == package_2
            && !differ(interface, interface_2)
            && !differ(&tracks(version), &tracks(version_2))
    }
}

impl std::fmt::Display for DependencyName {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Plain(name) => f.write_str(name),
            Self::Package { package, interface, version } => {
                f.write_str(package)?;
                interface.as_ref().map_or(Ok(()), |interface| write!(f, "/{interface}"))?;
                version.as_ref().map_or(Ok(()), |version| write!(f, "@{version}"))
            }
        }
    }
}

/// What versions compatible with this one have in common (semver.org, items 8 to 11); none for what is no
/// version.
fn track(version: &str) -> Option<String> {
    let version = version.split('+').next()?;
    let numbers = version.split('-').next()?;
    let parts: Vec<u64> = numbers.split('.').map(|n| n.parse().ok()).collect::<Option<_>>()?;
    let [major, minor, patch] = parts.as_slice() else { return None };
    Some(match (major, minor) {
        _ if numbers.len() < version.len() => version.to_owned(),
        (0, 0) => format!("0.0.{patch}"),
        (0, minor) => format!("0.{minor}"),
        (major, _) => major.to_string(),
    })
}

/// The dependencies of every component that has some.
#[derive(Debug, Default)]
pub(super) struct Checked {
    pub(super) by_component: BTreeMap<String, Vec<Dependency>>,
    /// Components that others are composed with.
    pub(super) used: BTreeSet<String>,
    pub(super) warnings: Vec<Fault>,
}

/// Checks the dependencies of all components. What has a fault is left out.
pub(super) fn check(
    components: &BTreeMap<String, raw::Component>,
    dir: &Path,
    faults: &mut Faults,
) -> Checked {
    let mut checked = Checked::default();
    for (id, component) in components {
        let mut dependencies: Vec<Dependency> = Vec::new();
        for (name, form) in &component.dependencies {
            let place = format!("component.{id}.dependencies {name:?}");
            let fault = |message: String| Fault::new(&place, message);
            let mut read = || {
                let name = DependencyName::parse(name).map_err(fault)?;
                if let Some(other) = dependencies.iter().find(|other| other.name.overlaps(&name)) {
                    let other = other.name.to_string();
                    return Err(fault(format!("speaks of the same imports as {other:?}")));
                }
                let raw::TextOr::Table(form) = form else {
                    return Err(fault(instead_of("a version from a registry")));
                };
                let source = source_of(form, id, components, &mut checked.used).map_err(fault)?;
                let is_whole = matches!(name, DependencyName::Package { interface: None, .. });
                if form.export.is_some() && is_whole {
                    let message =
                        "`export` needs an interface: write ns:package/interface on the left";
                    return Err(fault(message.to_owned()));
                }
                let inherits = inherited(component, form, &place, &mut checked.warnings)?;
                let (source, export) = (dir.join(source), form.export.clone());
                Ok(Dependency { name, source, export, inherits })
            };
            let read = read();
            dependencies.extend(faults.note(read));
        }
        if !dependencies.is_empty() {
            checked.by_component.insert(id.clone(), dependencies);
        }
    }
    checked
}

fn instead_of(what: &str) -> String {
    format!("{what} is not supported here; fetch the component and write {{ path = \"...\" }}")
}

/// The file, relative to the manifest.
fn source_of<'a>(
    form: &'a raw::Dependency,
    dependent: &str,
    components: &'a BTreeMap<String, raw::Component>,
    used: &mut BTreeSet<String>,
) -> Result<&'a str, String> {
    let is_fetched = form.version.is_some() || form.registry.is_some() || form.package.is_some();
    match (&form.path, &form.component, &form.url) {
        (None, None, None) if is_fetched => Err(instead_of("a package from a registry")),
        (None, None, Some(_)) if !is_fetched => Err(instead_of("a url")),
        (Some(path), None, None) if !is_fetched && form.digest.is_none() => Ok(path),
        (None, Some(id), None) if !is_fetched && form.digest.is_none() => {
            let component = (components.get(id))
                .ok_or_else(|| format!("names the component {id:?}, which the manifest lacks"))?;
            let own = own_configuration(component);
            if !own.is_empty() {
                return Err(format!(
                    "the component {id:?} cannot be a dependency of {dependent:?}, because it has configuration \
                     of its own, which would be ignored: {}",
                    own.join(", ")
                ));
            }
            let raw::TextOr::Text(path) = &component.source else {
                return Err(instead_of("a component from a url or registry"));
            };
            used.insert(id.clone());
            Ok(path)
        }
        _ => Err("needs either a `path` or a `component`, and no other source".to_owned()),
    }
}

/// What of a component's table would mean nothing once it is composed into another. Spin refuses the same.
fn own_configuration(component: &raw::Component) -> Vec<&'static str> {
    let fields = [
        ("ai_models", component.ai_models.is_empty()),
        ("allowed_http_hosts", component.allowed_http_hosts.is_empty()),
        ("allowed_outbound_hosts", component.allowed_outbound_hosts.is_empty()),
        ("dependencies", component.dependencies.is_empty()),
        ("environment", component.environment.is_empty()),
        ("files", component.files.is_empty()),
        ("key_value_stores", component.key_value_stores.is_empty()),
        ("sqlite_databases", component.sqlite_databases.is_empty()),
        ("variables", component.variables.is_empty()),
    ];
    fields.into_iter().filter(|(_, is_empty)| !is_empty).map(|(field, _)| field).collect()
}

fn inherited(
    component: &raw::Component,
    form: &raw::Dependency,
    place: &str,
    warnings: &mut Vec<Fault>,
) -> Result<BTreeSet<Capability>, Fault> {
    let all = || Capability::GRANTABLE.into_iter().collect();
    let of_all = component.dependencies_inherit_configuration;
    let Some(own) = &form.inherit_configuration else {
        return Ok(if of_all == Some(true) { all() } else { BTreeSet::new() });
    };
    if of_all.is_some() {
        let message = "has `inherit_configuration` beside the component's `dependencies_inherit_configuration`; use \
                       one or the other";
        return Err(Fault::new(place, message));
    }
    match own {
        toml::Value::Boolean(true) => return Ok(all()),
        toml::Value::Boolean(false) => return Ok(BTreeSet::new()),
        toml::Value::Array(fields) if fields.iter().all(toml::Value::is_str) => {
            let mut inherits = BTreeSet::new();
            for field in fields.iter().filter_map(toml::Value::as_str) {
                match Capability::named(field) {
                    Some(capability) => drop(inherits.insert(capability)),
                    None => {
                        let message = format!("there is no field {field:?} to inherit");
                        warnings.push(Fault::new(place, message));
                    }
                }
            }
            return Ok(inherits);
        }
        _ => {}
    }
    let message = "inherit_configuration must be true, false or a list of fields";
    Err(Fault::new(place, message))
}

#[cfg(test)]
mod tests {
    use super::DependencyName;

    fn name(text: &str) -> DependencyName {
        DependencyName::parse(text).unwrap()
    }

    /// Source: Spin's `spin-compose`, the table of its own test, and SIP 020, "Dependency Names".
    #[test]
    fn names_match_imports_as_in_spin() {
        for (dependency, import, expected) in [
            ("foo:bar/baz@0.1.0", "foo:bar/baz@0.1.0", true),
            ("foo:bar/baz", "foo:bar/baz@0.1.0", true),
            ("foo:bar/baz", "foo:bar/baz", true),
            ("foo:bar", "foo:bar/baz@0.1.0", true),
            ("foo:bar", "foo:bar/baz", true),
            ("foo:bar@0.1.0", "foo:bar/baz@0.1.0", true),
            ("foo-bar", "foo-bar", true),
            ("foo:bar/baz@0.1.0", "foo:bar/baz", false),
            ("foo:bar/baz@0.1.0", "foo:bar/baz@0.1.1", false),
            ("foo:bar/baz", "foo:bar/bub", false),
            ("foo:bar", "foo:bub/bib", false),
            ("foo:bar@0.1.0", "foo:bar/baz", false),
            ("foo:bar/baz", "foo:bar/baz-bub", false),
            ("foo:bar/baz", "foo-bar", false),
            ("foo-bar", "foo:foo-bar/x", false),
        ] {
            assert_eq!(name(dependency).matches(import), expected, "{dependency} {import}");
        }
    }

    /// Source: SIP 020, "Dependency Names", and `ComponentDependencies::check_disjoint` of Spin's manifest schema.
    #[test]
    fn names_that_could_mean_one_import_overlap_as_in_spin() {
        for (one, other, expected) in [
            ("aws:client", "aws:client@0.1.0", true),
            ("aws:client", "aws:client/s3@0.1.0", true),
            ("aws:client/s3@0.1.0", "aws:client/s3@0.1.1", true),
            ("aws:client/s3@1.0.0", "aws:client/s3@1.4.0", true),
            ("aws:client/s3@0.1.0", "aws:client/s3@0.2.0", false),
            ("aws:client/s3@0.0.1", "aws:client/s3@0.0.2", false),
            ("aws:client/s3@1.0.0-rc.1", "aws:client/s3@1.0.0", false),
            ("aws:client/s3", "aws:client/sqs", false),
            ("aws:client", "aws:server", false),
            ("one", "two", false),
        ] {
            assert_eq!(name(one).overlaps(&name(other)), expected, "{one} {other}");
            assert_eq!(name(other).overlaps(&name(one)), expected, "{other} {one}");
        }
    }

    #[test]
    fn what_is_no_name_is_refused() {
        for text in ["", "a_b", "a:", ":b", "a:b/", "a:b/c/d", "a:b@1", "a:b@1.x.0", "a/b", "a:b:c"]
        {
            assert!(DependencyName::parse(text).is_err(), "{text}");
        }
        for text in ["a", "a-b", "a:b", "a:b/c-d", "a:b@1.2.3", "a:b/c@0.1.0-rc.1", "a:b@1.2.3+x"] {
            assert_eq!(name(text).to_string(), text);
        }
    }
}
