//! Spin's rules on a manifest, as one table: each row is a rule, where Spin says so, and a case.
//!
//! The rows are in the files beside this one, by what they speak of. What can be decided by reading is decided by reading;
//! for the rest ([`Expect::Answers`]) a node runs the manifest and is asked. A row that edge-node does not follow says
//! why, and its case is what edge-node does. Spin's documentation is that of version 4, its source that of commit
//! 94a8fc8a.

mod chaining;
mod dependencies;
mod fields;
mod hosts;
mod routes;
mod variables;

use std::collections::BTreeSet;
use std::path::Path;

use super::{App, Target, VariableSource};
use crate::diagnostic::{ConfigError, Severity};
use crate::document::Document;
use crate::node::undefined_stores;
use crate::router::Router;
use crate::runtime_config::RuntimeConfig;
use crate::testing;

/// One rule and one case of it.
struct Row {
    rule: &'static str,
    source: Source,
    /// Why edge-node does otherwise; none where it does as Spin.
    differs: Option<&'static str>,
    manifest: String,
    variables: VariableSource,
    expect: Expect,
}

/// Where Spin says so.
#[derive(Clone, Copy)]
enum Source {
    /// A section of <https://spinframework.dev/v4/>.
    Docs(&'static str),
    /// A file of <https://github.com/spinframework/spin>.
    Code(&'static str),
}
use Source::{Code, Docs};

/// What becomes of a manifest.
enum Expect {
    /// It is taken without a word.
    Good,
    /// It is taken, with this warning only.
    Warned(&'static str),
    /// It is refused with these words.
    Refused(&'static str),
    /// The same, and the second word is not told.
    Hidden(&'static str, &'static str),
    /// The route, as written, that each path finds; empty where none does.
    Routes(&'static [(&'static str, &'static str)]),
    /// The components behind the triggers.
    Targets(&'static [&'static str]),
    /// Variables of the component `a`.
    Variables(&'static [(&'static str, &'static str)]),
    /// Where the component `a` may send requests, and where not.
    Sends(&'static [&'static str], &'static [&'static str]),
    /// Words in the answers of a running node; a number is the status.
    Answers(&'static [(&'static str, &'static str)]),
}
use Expect::{Answers, Good, Hidden, Refused, Routes, Sends, Targets, Variables, Warned};

fn row(rule: &'static str, source: Source, manifest: String, expect: Expect) -> Row {
    Row { rule, source, differs: None, manifest, variables: VariableSource::default(), expect }
}

impl Row {
    fn differs(self, why: &'static str) -> Self {
        Self { differs: Some(why), ..self }
    }

    /// With a value from the command line.
    fn given(mut self, name: &str, value: &str) -> Self {
        self.variables.given.insert(name.to_owned(), value.to_owned());
        self
    }

    /// With a variable of the environment.
    fn environment(mut self, name: &str, value: &str) -> Self {
        self.variables.environment.insert(name.to_owned(), value.to_owned());
        self
    }
}

const HEAD: &str = "spin_manifest_version = 2\n[application]\nname = \"t\"\n";
const TRIGGER: &str = "[[trigger.http]]\nroute = \"/\"\ncomponent = \"a\"\n";
const COMPONENT: &str = "[component.a]\nsource = \"GUEST\"\n";

/// A good manifest with these lines in the table of its component.
fn component(lines: &str) -> String {
    format!("{HEAD}{TRIGGER}{COMPONENT}{lines}\n")
}

/// A good manifest but for its only trigger, which has these lines.
fn trigger(lines: &str) -> String {
    format!("{HEAD}{COMPONENT}[[trigger.http]]\n{lines}\n")
}

/// A good manifest with these lines after all others.
fn more(lines: &str) -> String {
    component("") + lines + "\n"
}

fn rows() -> Vec<Row> {
    [
        fields::rows(),
        routes::rows(),
        variables::rows(),
        hosts::rows(),
        chaining::rows(),
        dependencies::rows(),
    ]
    .into_iter()
    .flatten()
    .collect()
}

#[test]
fn every_rule_has_its_source() {
    let (mut seen, mut bad) = (BTreeSet::new(), Vec::new());
    for Row { rule, source, differs, .. } in rows() {
        let is_sourced = match source {
            Docs(section) => section.split_once('#').is_some_and(|(page, anchor)| {
                let is_plain = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '-';
                [page, anchor].iter().all(|part| !part.is_empty() && part.chars().all(is_plain))
            }),
            Code(path) => [("crates/", ".rs"), ("docs/content/sips/", ".md")]
                .iter()
                .any(|(folder, end)| path.starts_with(folder) && path.ends_with(end)),
        };
        if !is_sourced
            || rule.is_empty()
            || differs.is_some_and(str::is_empty)
            || !seen.insert(rule)
        {
            bad.push(rule);
        }
    }
    assert!(bad.is_empty(), "without a source, or there twice: {bad:#?}");
}

#[test]
fn manifests_are_read_as_spin_reads_them() {
    let mut bad = Vec::new();
    for row in rows() {
        if let Err(reason) = row.check() {
            bad.push(format!("{}: {reason}\n{}", row.rule, row.manifest));
        }
    }
    assert!(bad.is_empty(), "{}", bad.join("\n"));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn applications_answer_as_under_spin() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("../target");
    let guest = root.join("functions/guest.wasm");
    assert!(guest.exists(), "{} is missing: run `cargo xtask functions`", guest.display());
    for Row { rule, manifest, variables, expect, .. } in rows() {
        let Answers(cases) = expect else { continue };
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("spin.toml");
        std::fs::write(&path, manifest.replace("GUEST", guest.to_str().unwrap())).unwrap();
        let app = testing::App::from_manifest(path).cache_dir(root.join("tmp/edge-node-cache"));
        let app = variables.given.iter().fold(app, |app, (name, value)| app.variable(name, value));
        let app = app.start().await;
        for (target, expected) in cases {
            let answer = app.get(target).await;
            let (status, headers, body) = (answer.status.as_u16(), &answer.headers, answer.text());
            let told = format!("{status}\n{headers:?}\n{body}\n(end)");
            assert!(told.contains(expected), "{rule}: {target} is answered by {told}");
        }
    }
}

impl Row {
    /// What of the row can be told without running it.
    fn check(&self) -> Result<(), String> {
        let (app, warnings) = match (self.read(), &self.expect) {
            (Err(said), Refused(words)) if said.contains(words) => return Ok(()),
            (Err(said), Hidden(words, secret)) if said.contains(words) => {
                let is_told = said.contains(secret);
                return if is_told { Err(format!("{secret:?} is in {said:?}")) } else { Ok(()) };
            }
            (Err(said), _) => return Err(format!("is refused: {said}")),
            (Ok(read), _) => read,
        };
        let mut warned = &[][..];
        let only = |given: bool, what: String| if given { Ok(()) } else { Err(what) };
        match &self.expect {
            Good | Answers(_) => {}
            Refused(words) | Hidden(words, _) => return Err(format!("is taken, not {words:?}")),
            Warned(words) => {
                let said = warnings.iter().any(|warning| warning.contains(words));
                only(said, format!("warns of {warnings:?}, not of {words:?}"))?;
                warned = &warnings;
            }
            Routes(cases) => {
                let (router, _) = Router::new(&app.triggers)?;
                for (path, expected) in *cases {
                    let found = router.find(path).map(|found| found.route.raw.to_string());
                    let found = found.unwrap_or_default();
                    only(found == *expected, format!("{path} finds {found:?}, not {expected:?}"))?;
                }
            }
            Targets(expected) => {
                let target = |target: &Target| match target {
                    Target::Component(id) => id.clone(),
                    Target::Static(_) => String::new(),
                };
                let found: Vec<_> = app.triggers.iter().map(|it| target(&it.target)).collect();
                only(found == *expected, format!("leads to {found:?}, not {expected:?}"))?;
            }
            Variables(cases) => {
                for (name, expected) in *cases {
                    let value = app.components["a"].variables.get(*name);
                    let is_right = value.is_some_and(|value| value == expected);
                    only(is_right, format!("{name} is {value:?}, not {expected:?}"))?;
                }
            }
            Sends(allowed, denied) => {
                let hosts = &app.components["a"].allowed_hosts;
                for (urls, expected) in [(allowed, true), (denied, false)] {
                    for url in *urls {
                        let is_right = hosts.allows(&url.parse().unwrap()) == expected;
                        only(is_right, format!("{url} should be allowed: {expected}"))?;
                    }
                }
            }
        }
        only(warned.len() == warnings.len(), format!("warns of {warnings:?}"))
    }

    /// The application and what was warned of, or all errors.
    fn read(&self) -> Result<(App, Vec<String>), String> {
        let document = Document::parse("spin.toml".to_owned(), self.manifest.clone());
        let (app, mut found) = match document {
            Ok(document) => App::read(document, Path::new("app"), &self.variables),
            Err(found) => (None, found),
        };
        if let Some(app) = &app {
            found.extend(undefined_stores(app, &RuntimeConfig::default()));
        }
        if ConfigError::among(&found).is_err() {
            let errors = found.iter().filter(|one| one.severity == Severity::Error);
            return Err(errors.map(ToString::to_string).collect::<Vec<_>>().join("\n"));
        }
        let app = app.expect("what has no errors was read");
        let (_, of_routes) = Router::new(&app.triggers)?;
        let warnings = found.iter().map(ToString::to_string).chain(of_routes).collect();
        Ok((app, warnings))
    }
}
