//! From the manifest as written to an application that can run.
//!
//! Start at [`check`]. Each fault names its place as a path into the file (`component.menu.source`).

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

use http::header::CONTENT_LENGTH;
use http::{HeaderMap, HeaderName, HeaderValue, StatusCode};

use super::hints::CanaryHint;
use super::variables::{VariableSource, Variables};
use super::{
    AllowedHosts, Canary, Component, Hints, StaticResponse, Target, Trigger, dependencies, raw,
};

/// The table of hints under `tool`.
pub(crate) const TOOL: &str = "tiffin";

/// What is wrong, and where.
#[derive(Debug)]
pub(super) struct Fault {
    pub(super) place: String,
    pub(super) message: String,
}

impl Fault {
    pub(super) fn new(place: &str, message: impl Into<String>) -> Self {
        Self { place: place.to_owned(), message: message.into() }
    }
}

/// What was checked: an [`App`] without its file. Half of one if there are faults.
pub(super) struct Checked {
    pub(super) name: String,
    pub(super) version: String,
    pub(super) components: BTreeMap<String, Component>,
    pub(super) canaries: BTreeMap<String, Canary>,
    pub(super) triggers: Vec<Trigger>,
    pub(super) warnings: Vec<Fault>,
}

/// The faults that are found on the way. What has one is left out, and the rest is looked at nevertheless.
#[derive(Debug, Default)]
pub(super) struct Faults(Vec<Fault>);

impl Faults {
    pub(super) fn add(&mut self, place: &str, message: impl Into<String>) {
        self.0.push(Fault::new(place, message));
    }

    /// The good part of a result.
    pub(super) fn note<T>(&mut self, result: Result<T, Fault>) -> Option<T> {
        result.map_err(|fault| self.0.push(fault)).ok()
    }
}

pub(super) fn check(
    raw: raw::Manifest,
    dir: &Path,
    source: &VariableSource,
) -> (Checked, Vec<Fault>) {
    let mut faults = Faults::default();
    if raw.application.trigger.http.base.is_some_and(|base| base != "/") {
        faults.add("application.trigger.http.base", "only \"/\" is supported");
    }
    let variables = Variables::resolve(raw.variables, source, &mut faults);
    let mut components = raw.component;
    if raw.trigger.http.is_empty() {
        faults.add("trigger.http", "no [[trigger.http]]: there is nothing to serve");
    }
    let ids = trigger_ids(&raw.trigger.http);
    let triggers: Vec<Trigger> = (raw.trigger.http.into_iter().zip(&ids).enumerate())
        .filter_map(|(index, (trigger, id))| {
            faults.note(check_trigger(index, id, trigger, &mut components))
        })
        .collect();
    let used: BTreeSet<&str> = (triggers.iter())
        .filter_map(|trigger| match &trigger.target {
            Target::Component(id) => Some(id.as_str()),
            Target::Static(_) => None,
        })
        .collect();
    let mut dependencies = dependencies::check(&components, dir, &mut faults);
    let mut checked = Checked {
        name: raw.application.name,
        version: raw.application.version,
        components: BTreeMap::new(),
        canaries: BTreeMap::new(),
        triggers: Vec::new(),
        warnings: dependencies.warnings,
    };
    let ids: Vec<String> = components.keys().cloned().collect();
    for (id, component) in components {
        let component = check_component(&id, component, dir, &variables, &ids, &mut faults);
        if used.contains(id.as_str()) {
            if let Some(mut component) = component {
                component.dependencies = dependencies.by_component.remove(&id).unwrap_or_default();
                checked.canaries.extend(take_canary(&mut component, dir));
                checked.components.insert(id, component);
            }
        } else if !dependencies.used.contains(&id) {
            let message = "no trigger names it; it is not loaded";
            checked.warnings.push(Fault::new(&format!("component.{id}"), message));
        }
    }
    checked.triggers = triggers;
    (checked, faults.0)
}

/// The ids that Spin gives to triggers without one: after their component, else the next free number.
fn trigger_ids(triggers: &[raw::HttpTrigger]) -> Vec<String> {
    let mut taken: BTreeSet<String> = triggers.iter().map(|trigger| trigger.id.clone()).collect();
    let mut id_of = |trigger: &raw::HttpTrigger| {
        if !trigger.id.is_empty() {
            return trigger.id.clone();
        }
        let natural = match &trigger.component {
            Some(raw::TextOr::Text(component)) => Some(format!("{component}-http-trigger")),
            Some(raw::TextOr::Table(_)) | None => None,
        };
        let numbered = (1..).map(|number: u32| format!("http-trigger{number}"));
        let mut candidates = natural.into_iter().chain(numbered);
        let id = candidates.find(|id| !taken.contains(id)).expect("the numbers do not end");
        taken.insert(id.clone());
        id
    };
    triggers.iter().map(&mut id_of).collect()
}

/// The second version that a component's hints ask for, by the component's id.
fn take_canary(component: &mut Component, dir: &Path) -> Option<(String, Canary)> {
    let CanaryHint { source, version, weight_percent } = component.hints.canary.take()?;
    let id = format!("{}@{version}", component.id);
    let second = Component { id, source: dir.join(source), ..component.clone() };
    Some((component.id.clone(), Canary { version, weight_percent, component: second }))
}

fn check_trigger(
    index: usize,
    id: &str,
    trigger: raw::HttpTrigger,
    components: &mut BTreeMap<String, raw::Component>,
) -> Result<Trigger, Fault> {
    let route = match trigger.route {
        raw::TextOr::Text(route) => Some(route),
        raw::TextOr::Table(raw::PrivateRoute { private: true }) => None,
        raw::TextOr::Table(raw::PrivateRoute { private: false }) => {
            let message = "must be a path or { private = true }";
            return Err(Fault::new(&format!("trigger.http[{index}].route"), message));
        }
    };
    let shown = route.as_deref().unwrap_or("private");
    let place = format!("trigger.http[{index}] ({shown})");
    if let Some(executor) = trigger.executor.filter(|e| !matches!(&*e.kind, "http" | "spin")) {
        let message = format!("executor {:?} is not supported, only \"http\"", executor.kind);
        return Err(Fault::new(&place, message));
    }
    if !trigger.components.is_empty() || !trigger.dependencies.is_empty() {
        let message = "`components` and `dependencies` of a trigger are not supported";
        return Err(Fault::new(&place, message));
    }
    let target = match (trigger.component, trigger.static_response) {
        (Some(raw::TextOr::Text(id)), None) => {
            if !components.contains_key(&id) {
                let message = format!("names the component {id:?}, which the manifest lacks");
                return Err(Fault::new(&place, message));
            }
            Target::Component(id)
        }
        (Some(raw::TextOr::Table(inline)), None) => {
            let id = inline_id(id, components);
            components.insert(id.clone(), *inline);
            Target::Component(id)
        }
        (None, Some(response)) => Target::Static(check_static(&place, response)?),
        (None, None) => {
            return Err(Fault::new(&place, "needs a `component` or a `static_response`"));
        }
        (Some(_), Some(_)) => {
            let message = "has both a `component` and a `static_response`, and may have only one";
            return Err(Fault::new(&place, message));
        }
    };
    Ok(Trigger { place, route, target })
}

/// The id that Spin would give: after the trigger, else the next free number.
fn inline_id(trigger: &str, taken: &BTreeMap<String, raw::Component>) -> String {
    let natural = format!("{trigger}-component");
    let numbered = (1..).map(|number: u32| format!("inline-component{number}"));
    std::iter::once(natural)
        .filter(|id| check_kebab(id).is_ok())
        .chain(numbered)
        .find(|id| !taken.contains_key(id))
        .expect("the numbers do not end")
}

fn check_static(place: &str, raw: raw::StaticResponse) -> Result<StaticResponse, Fault> {
    let status = StatusCode::from_u16(raw.status_code.unwrap_or(200))
        .map_err(|_| Fault::new(place, "static_response.status_code is no HTTP status"))?;
    if status.is_informational() {
        return Err(Fault::new(place, "static_response.status_code is none of a whole answer"));
    }
    let body = raw.body.unwrap_or_default();
    let mut headers = HeaderMap::new();
    for (name, value) in raw.headers {
        let bad =
            |_| Fault::new(place, format!("static_response.headers.{name} is no HTTP header"));
        let header = HeaderName::try_from(&name).map_err(|_| bad(()))?;
        // A client would wait for what does not come, or take the rest for the next answer.
        if header == CONTENT_LENGTH && value != body.len().to_string() {
            let message = format!(
                "static_response.headers.{name} is not the body's length, which is {}; leave it out",
                body.len()
            );
            return Err(Fault::new(place, message));
        }
        headers.append(header, HeaderValue::try_from(value).map_err(|_| bad(()))?);
    }
    Ok(StaticResponse { status, headers, body })
}

/// None when it has no source to run; else what is good of it.
fn check_component(
    id: &str,
    mut raw: raw::Component,
    dir: &Path,
    variables: &Variables,
    ids: &[String],
    faults: &mut Faults,
) -> Option<Component> {
    let place = format!("component.{id}");
    let at = |field: &str| format!("{place}.{field}");
    if let Err(message) = check_kebab(id) {
        faults.add(&place, message);
    }
    refuse_unsupported(&place, &raw, faults);
    let mut values = BTreeMap::new();
    for (name, template) in raw.variables {
        let place = at(&format!("variables.{name}"));
        if let Err(message) = super::variables::check_declared_name(&name) {
            faults.add(&place, message);
        }
        if let Some(filled) = faults.note(variables.fill(template, &place)) {
            values.insert(name, filled.value);
        }
    }
    let hosts_at = at("allowed_outbound_hosts");
    let hosts = (raw.allowed_outbound_hosts.into_iter())
        .filter_map(|template| faults.note(variables.fill(template, &hosts_at)))
        .collect();
    let (allowed_hosts, bad) = AllowedHosts::parse_good(hosts, ids);
    bad.into_iter().for_each(|message| faults.add(&hosts_at, message));
    let mut key_value_stores = BTreeSet::new();
    for label in raw.key_value_stores {
        match check_label(&label) {
            Ok(()) => {
                key_value_stores.insert(label);
            }
            Err(message) => faults.add(&at("key_value_stores"), message),
        }
    }
    let (hints, bad) = raw.tool.remove(TOOL).map(Hints::read).unwrap_or_default();
    for (field, message) in bad {
        faults.add(&at(&format!("tool.{TOOL}.{field}")), message);
    }
    let source = match raw.source {
        raw::TextOr::Text(path) => dir.join(path),
        raw::TextOr::Table(_) => {
            faults.add(&at("source"), "a url or registry source is not supported; use a file");
            return None;
        }
    };
    Some(Component {
        id: id.to_owned(),
        source,
        environment: raw.environment.into_iter().collect(),
        variables: values,
        allowed_hosts,
        key_value_stores,
        dependencies: Vec::new(),
        hints,
    })
}

/// Fields that Spin knows and this host does not serve: an error beats a guest that fails later.
fn refuse_unsupported(place: &str, raw: &raw::Component, faults: &mut Faults) {
    for (field, is_used, instead) in [
        ("files", !raw.files.is_empty(), "embed them in the component"),
        ("sqlite_databases", !raw.sqlite_databases.is_empty(), "ask a service over HTTP"),
        ("ai_models", !raw.ai_models.is_empty(), "ask a service over HTTP"),
        ("allowed_http_hosts", !raw.allowed_http_hosts.is_empty(), "use allowed_outbound_hosts"),
    ] {
        if is_used {
            faults.add(&format!("{place}.{field}"), format!("is not supported; {instead}"));
        }
    }
}

/// A component's id: words of letters and digits, each of one case, joined by hyphens.
fn check_kebab(id: &str) -> Result<(), String> {
    if is_words(id, '-') {
        return Ok(());
    }
    Err(format!("{id:?} is no component id: words of letters and digits, joined by single hyphens"))
}

/// A store's label may be in kebab-case or snake_case.
fn check_label(label: &str) -> Result<(), String> {
    if is_words(label, '-') || is_words(label, '_') {
        return Ok(());
    }
    Err(format!("{label:?} is no store label: it must be in kebab-case or snake_case"))
}

pub(super) fn is_words(text: &str, delimiter: char) -> bool {
    text.split(delimiter).all(|word| {
        let upper = word.starts_with(|c: char| c.is_ascii_uppercase());
        word.starts_with(|c: char| c.is_ascii_alphabetic())
            && word.chars().all(|c| {
                c.is_ascii_digit() || (c.is_ascii_alphabetic() && c.is_ascii_uppercase() == upper)
            })
    })
}
