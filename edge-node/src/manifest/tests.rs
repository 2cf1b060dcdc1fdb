//! What edge-node adds to a manifest: its hints, and a warning. Spin's rules are in `spin_rules`.

use std::path::Path;

use super::{App, VariableSource};
use crate::diagnostic::ConfigError;
use crate::document::Document;

const HEAD: &str = "spin_manifest_version = 2\n[application]\nname = \"t\"\n";
const TRIGGER: &str = "[[trigger.http]]\nroute = \"/\"\ncomponent = \"a\"\n";
const COMPONENT: &str = "[component.a]\nsource = \"a.wasm\"\n";

fn parse(text: &str) -> Result<App, String> {
    let document = Document::parse("spin.toml".to_owned(), text.to_owned()).unwrap();
    let (app, found) = App::read(document, Path::new("app"), &VariableSource::default());
    ConfigError::among(&found).map_err(|error| error.to_string())?;
    Ok(app.unwrap())
}

/// A good manifest with `extra` lines in its component's table.
fn component_with(extra: &str) -> String {
    format!("{HEAD}{TRIGGER}{COMPONENT}{extra}\n")
}

#[test]
fn files_are_taken_from_the_manifests_folder() {
    let text = component_with("[component.a.dependencies]\n\"x:y\" = { component = \"c\" }")
        + "[component.c]\nsource = \"c.wasm\"";
    let app = parse(&text).unwrap();
    let files: Vec<_> = app.components["a"].files().collect();
    assert_eq!(files, [Path::new("app/a.wasm"), Path::new("app/c.wasm")]);
    assert_eq!(app.components.len(), 1, "a dependency is loaded with its parent only");
}

#[test]
fn a_component_without_a_trigger_is_checked_and_left_alone() {
    let app = parse(&component_with("[component.b]\nsource = \"b.wasm\"")).unwrap();
    assert_eq!(app.components.keys().collect::<Vec<_>>(), ["a"]);
    let warnings: Vec<_> = app.warnings.iter().map(ToString::to_string).collect();
    assert_eq!(warnings, ["spin.toml:9:12: component.b: no trigger names it; it is not loaded"]);
}

#[test]
fn hints_are_read_and_other_tools_ignored() {
    let app = parse(&component_with(
        "[component.a.tool.tiffin]\ninstance_concurrency = 4\nupstream_timeout_ms = 1500\n\
         [component.a.tool.other]\nx = 1",
    ))
    .unwrap();
    let hints = &app.components["a"].hints;
    assert_eq!((hints.instance_concurrency, hints.upstream_timeout_ms), (4, 1500));
    assert_eq!(hints.memory_mb, crate::limits::DEFAULT_MEMORY_MB);
}

#[test]
fn bad_hints_say_what_and_where() {
    for (hint, expected) in [
        ("surprise = 1", "surprise: unknown field `surprise`"),
        ("memory_mb = 0", "memory_mb: must be from 1"),
        ("max_queue = 9000", "max_queue: must be from 0 to 8192, not 9000"),
        ("max_instances = 513", "max_instances: must be from 1 to 512"),
        ("deadline_ms = 999999", "deadline_ms: must be from 1 to 60000, not 999999"),
    ] {
        let text = component_with(&format!("[component.a.tool.tiffin]\n{hint}"));
        let error = parse(&text).map(|_| ()).unwrap_err();
        let expected = format!("spin.toml:10:1: component.a.tool.tiffin.{expected}");
        assert!(error.starts_with(&expected), "{error} is not {expected}");
    }
}
