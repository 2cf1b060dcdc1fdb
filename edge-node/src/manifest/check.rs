//! From the manifest as written to an application that can run.
//!
//! Start at [`check`]. Each fault names its place as a path into the file (`component.menu.source`).

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

use http::{HeaderMap, HeaderName, HeaderValue, StatusCode};

use super::variables::{VariableSource, Variables};
use super::{AllowedHosts, App, Component, Hints, StaticResponse, Target, Trigger, raw};

/// The table of hints under `tool`.
const OUR_TOOL: &str = "tiffin";

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

pub(super) fn check(raw: raw::Manifest, dir: &Path, source: &VariableSource) -> Result<App, Fault> {
    if raw.spin_manifest_version != 2 {
        let message = format!("only version 2 is supported, not {}", raw.spin_manifest_version);
        return Err(Fault::new("spin_manifest_version", message));
    }
    if raw.application.trigger.http.base.is_some_and(|base| base != "/") {
        return Err(Fault::new("application.trigger.http.base", "only \"/\" is supported"));
    }
    let variables = Variables::resolve(raw.variables, source)?;
    let mut components = raw.component;
    let triggers = (raw.trigger.http.into_iter().enumerate())
        .map(|(index, trigger)| check_trigger(index, trigger, &mut components))
        .collect::<Result<Vec<_>, _>>()?;
    if triggers.is_empty() {
        return Err(Fault::new("trigger.http", "no [[trigger.http]]: there is nothing to serve"));
    }
    let used: BTreeSet<&str> = (triggers.iter())
        .filter_map(|trigger| match &trigger.target {
            Target::Component(id) => Some(id.as_str()),
            Target::Static(_) => None,
        })
        .collect();
    let mut app = App {
        name: raw.application.name,
        components: BTreeMap::new(),
        warnings: Vec::new(),
        triggers: Vec::new(),
    };
    for (id, component) in components {
        let component = check_component(&id, component, dir, &variables)?;
        if used.contains(id.as_str()) {
            app.components.insert(id, component);
        } else {
            app.warnings.push(format!("component.{id}: no trigger names it; it is not loaded"));
        }
    }
    app.triggers = triggers;
    Ok(app)
}

fn check_trigger(
    index: usize,
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
            let id = inline_id(&trigger.id, components);
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
    Ok(Trigger { route, target })
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
    let mut headers = HeaderMap::new();
    for (name, value) in raw.headers {
        let bad =
            |_| Fault::new(place, format!("static_response.headers.{name} is no HTTP header"));
        let header = HeaderName::try_from(&name).map_err(|_| bad(()))?;
        headers.append(header, HeaderValue::try_from(value).map_err(|_| bad(()))?);
    }
    Ok(StaticResponse { status, headers, body: raw.body.unwrap_or_default() })
}

fn check_component(
    id: &str,
    mut raw: raw::Component,
    dir: &Path,
    variables: &Variables,
) -> Result<Component, Fault> {
    let place = format!("component.{id}");
    let at = |field: &str| format!("{place}.{field}");
    check_kebab(id).map_err(|message| Fault::new(&place, message))?;
    refuse_unsupported(&place, &raw)?;
    let source = match raw.source {
        raw::TextOr::Text(path) => dir.join(path),
        raw::TextOr::Table(_) => {
            let message = "a url or registry source is not supported; use a file";
            return Err(Fault::new(&at("source"), message));
        }
    };
    let mut values = BTreeMap::new();
    for (name, template) in raw.variables {
        let place = at(&format!("variables.{name}"));
        super::variables::check_name(&name).map_err(|message| Fault::new(&place, message))?;
        values.insert(name, variables.fill(&template, &place)?);
    }
    let hosts_at = at("allowed_outbound_hosts");
    let hosts = (raw.allowed_outbound_hosts.iter())
        .map(|template| variables.fill(template, &hosts_at))
        .collect::<Result<Vec<_>, _>>()?;
    for label in &raw.key_value_stores {
        check_label(label).map_err(|message| Fault::new(&at("key_value_stores"), message))?;
    }
    let hints = match raw.tool.remove(OUR_TOOL) {
        Some(table) => Hints::read(table)
            .map_err(|message| Fault::new(&at(&format!("tool.{OUR_TOOL}")), message))?,
        None => Hints::default(),
    };
    Ok(Component {
        id: id.to_owned(),
        source,
        environment: raw.environment.into_iter().collect(),
        variables: values,
        allowed_hosts: AllowedHosts::parse(hosts)
            .map_err(|message| Fault::new(&hosts_at, message))?,
        key_value_stores: raw.key_value_stores.into_iter().collect(),
        hints,
    })
}

/// Fields that Spin knows and this host does not serve: an error beats a guest that fails later.
fn refuse_unsupported(place: &str, raw: &raw::Component) -> Result<(), Fault> {
    for (field, is_used, instead) in [
        ("files", !raw.files.is_empty(), "embed them in the component"),
        ("sqlite_databases", !raw.sqlite_databases.is_empty(), "ask a service over HTTP"),
        ("ai_models", !raw.ai_models.is_empty(), "ask a service over HTTP"),
        ("dependencies", !raw.dependencies.is_empty(), "compose the component when building it"),
        ("allowed_http_hosts", !raw.allowed_http_hosts.is_empty(), "use allowed_outbound_hosts"),
    ] {
        if is_used {
            let message = format!("is not supported; {instead}");
            return Err(Fault::new(&format!("{place}.{field}"), message));
        }
    }
    Ok(())
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

fn is_words(text: &str, delimiter: char) -> bool {
    text.split(delimiter).all(|word| {
        let upper = word.starts_with(|c: char| c.is_ascii_uppercase());
        word.starts_with(|c: char| c.is_ascii_alphabetic())
            && word.chars().all(|c| {
                c.is_ascii_digit() || (c.is_ascii_alphabetic() && c.is_ascii_uppercase() == upper)
            })
    })
}
