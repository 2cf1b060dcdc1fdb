//! `edge-node check`: everything that would keep an application from running well here, found without serving it.
//!
//! There are no rules in this file. It takes the steps that [`crate::Node::start`] takes and, where that one stops at the
//! first error, goes on with what is left.

use std::path::PathBuf;

use serde::Serialize;

use crate::diagnostic::{Diagnostic, Severity};
use crate::host::imports;
use crate::manifest::{App, TOOL, Trigger, VariableSource};
use crate::node::undefined_stores;
use crate::router::Router;
use crate::runtime_config::RuntimeConfig;
use crate::{compile, compose, engine, host, instances};

/// What to check.
#[derive(Debug, Clone)]
pub struct CheckOptions {
    /// The manifest.
    pub manifest: PathBuf,
    /// The runtime configuration, if there is one.
    pub runtime_config: Option<PathBuf>,
    /// Where compiled components are kept.
    pub cache_dir: PathBuf,
    /// Values of variables, beside the manifest.
    pub variables: VariableSource,
}

/// What was found.
#[derive(Debug, Clone, Serialize)]
pub struct Report {
    /// How many errors: with one, a node does not start.
    pub errors: usize,
    /// How many warnings.
    pub warnings: usize,
    /// All of them, those of one file in its order.
    pub problems: Vec<Diagnostic>,
}

/// Checks an application. Components are compiled into the cache, as a start would.
pub fn check(options: &CheckOptions) -> Report {
    let (app, mut found) = App::inspect(&options.manifest, &options.variables);
    match RuntimeConfig::load(options.runtime_config.as_deref()) {
        Ok(runtime) => {
            if let Some(app) = &app {
                found.extend(undefined_stores(app, &runtime));
            }
            found.extend(runtime.warnings);
        }
        // What the labels of the manifest mean cannot be said then.
        Err(error) => found.extend(error.0),
    }
    if let Some(app) = &app {
        check_routes(app, &mut found);
        check_components(app, options, &mut found);
    }
    found.sort_by_key(|one| (one.file.clone(), one.position.map(|at| (at.line, at.column))));
    let count = |severity| found.iter().filter(|one| one.severity == severity).count();
    Report { errors: count(Severity::Error), warnings: count(Severity::Warning), problems: found }
}

/// Adds the routes one by one, so that each is blamed for what it brings.
fn check_routes(app: &App, found: &mut Vec<Diagnostic>) {
    let mut good: Vec<Trigger> = Vec::new();
    let mut known_warnings = 0;
    for trigger in &app.triggers {
        good.push(trigger.clone());
        match Router::new(&good) {
            Ok((_, warnings)) => {
                let fresh = warnings.get(known_warnings..).unwrap_or_default();
                found.extend(fresh.iter().map(|text| app.document.warning(&trigger.place, text)));
                known_warnings = warnings.len();
            }
            Err(message) => {
                found.push(app.document.error(&trigger.place, message));
                good.pop();
            }
        }
    }
}

fn check_components(app: &App, options: &CheckOptions, found: &mut Vec<Diagnostic>) {
    let started = engine::shared().and_then(|engine| Ok((host::linker(&engine)?, engine)));
    let (linker, engine) = match started {
        Ok(started) => started,
        Err(error) => {
            let message = format!("the WebAssembly engine cannot start: {error:#}");
            found.push(app.document.error("", message));
            return;
        }
    };
    // One after the other: each is compiled on all processors, and a file that two components share only once.
    let firsts = app.components.iter().map(|(id, it)| (id, it, format!("component.{id}.source")));
    let seconds = app.canaries.iter().map(|(id, canary)| {
        (id, &canary.component, format!("component.{id}.tool.{TOOL}.canary.source"))
    });
    for (id, component, place) in firsts.chain(seconds) {
        let mut error = |message: String| found.push(app.document.error(&place, message));
        let compiled = match compile::load_unlinked(&engine, &options.cache_dir, component) {
            Ok(compiled) => compiled.component,
            Err(reason) => {
                error(reason.to_string());
                continue;
            }
        };
        let missing = imports::missing(&linker, &compiled);
        for (import, reason) in &missing {
            let remedy = if compose::is_of_host(import) {
                "wit/world.wit lists what it does".to_owned()
            } else {
                format!("name a component that exports it in [component.{id}.dependencies]")
            };
            error(format!("imports {import}, which this host does not offer ({reason}); {remedy}"));
        }
        if missing.is_empty()
            && let Err(reason) = instances::link(&linker, &compiled)
        {
            let reason = format!("{reason:#}");
            error(format!("does not answer HTTP: it must export wasi:http/handler@0.3 ({reason})"));
        }
    }
}
