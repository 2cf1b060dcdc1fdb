//! Tables over whole manifests. Each case names what Spin's documentation or source says.

use std::collections::BTreeMap;
use std::path::Path;

use super::{App, Target, VariableSource};
use crate::diagnostic::ConfigError;
use crate::document::Document;

const HEAD: &str = "spin_manifest_version = 2\n[application]\nname = \"t\"\n";
const TRIGGER: &str = "[[trigger.http]]\nroute = \"/\"\ncomponent = \"a\"\n";
const COMPONENT: &str = "[component.a]\nsource = \"a.wasm\"\n";

fn parse_with(text: &str, source: &VariableSource) -> Result<App, String> {
    let document = Document::parse("spin.toml".to_owned(), text.to_owned());
    let (app, found) = match document {
        Ok(document) => App::read(document, Path::new("app"), source),
        Err(found) => (None, found),
    };
    ConfigError::among(&found).map_err(|error| error.to_string())?;
    Ok(app.unwrap())
}

fn parse(text: &str) -> Result<App, String> {
    parse_with(text, &VariableSource::default())
}

/// A good manifest with `extra` lines in its component's table.
fn component_with(extra: &str) -> String {
    format!("{HEAD}{TRIGGER}{COMPONENT}{extra}\n")
}

#[test]
fn what_spin_accepts_is_accepted() {
    for (source, text) in [
        ("manifest reference: the least", component_with("")),
        (
            "manifest reference: application",
            format!(
                "{}{TRIGGER}{COMPONENT}",
                HEAD.replace(
                    "name = \"t\"",
                    "name = \"t\"\nversion = \"1\"\ndescription = \"d\"\nauthors = [\"a\"]\n\
                     [application.trigger.http]\nbase = \"/\"\n[application.tool.other]\nx = 1"
                )
            ),
        ),
        (
            "manifest reference: component",
            component_with(
                "description = \"d\"\nexclude_files = [\"x\"]\nallowed_outbound_hosts = []\n\
                 key_value_stores = [\"default\", \"my_store\", \"my-store\"]\n\
                 environment = { A = \"b\" }\n\
                 [component.a.build]\ncommand = [\"one\", \"two\"]\nworkdir = \"w\"\nwatch = [\"x\"]\n\
                 [component.a.tool.other]\nanything = { goes = true }",
            ),
        ),
        (
            "manifest reference: trigger id, executor",
            format!(
                "{HEAD}{COMPONENT}[[trigger.http]]\nid = \"one\"\nroute = \"/...\"\n\
                 component = \"a\"\nexecutor = {{ type = \"http\" }}"
            ),
        ),
        (
            "http trigger: private route",
            format!(
                "{HEAD}{COMPONENT}[[trigger.http]]\nroute = {{ private = true }}\ncomponent = \"a\""
            ),
        ),
        (
            "writing apps: profiles",
            component_with("[component.a.profile.debug]\nsource = \"debug.wasm\""),
        ),
    ] {
        if let Err(error) = parse(&text) {
            panic!("{source}: {error}\n{text}");
        }
    }
}

#[test]
fn unknown_fields_are_errors_at_every_level() {
    for text in [
        format!("surprise = 1\n{HEAD}{TRIGGER}{COMPONENT}"),
        HEAD.replace("name", "surprise = 1\nname") + TRIGGER + COMPONENT,
        format!("{HEAD}[application.trigger.http]\nsurprise = 1\n{TRIGGER}{COMPONENT}"),
        format!("{HEAD}[variables]\nv = {{ default = \"\", surprise = 1 }}\n{TRIGGER}{COMPONENT}"),
        format!("{HEAD}[trigger]\nsurprise = 1\n{COMPONENT}"),
        format!("{HEAD}{TRIGGER}surprise = 1\n{COMPONENT}"),
        format!("{HEAD}{COMPONENT}[[trigger.http]]\nroute = {{ surprise = 1 }}\ncomponent = \"a\""),
        format!("{HEAD}[[trigger.http]]\nroute = \"/\"\nstatic_response = {{ surprise = 1 }}"),
        format!("{HEAD}[[trigger.http]]\nroute = \"/\"\ncomponent = {{ surprise = 1 }}"),
        component_with("surprise = 1"),
        component_with("[component.a.build]\ncommand = \"\"\nsurprise = 1"),
        component_with("[component.a.tool.tiffin]\nsurprise = 1"),
    ] {
        let error = parse(&text).map(|_| ()).unwrap_err();
        assert!(error.contains("unknown field `surprise`"), "{error}\n{text}");
    }
}

#[test]
fn errors_say_what_and_where() {
    let with = |trigger: &str| format!("{HEAD}{COMPONENT}[[trigger.http]]\n{trigger}");
    for (text, expected) in [
        (HEAD.replace('2', "1") + TRIGGER + COMPONENT, "only version 2 is supported"),
        (format!("{HEAD}[trigger]\n{COMPONENT}"), "nothing to serve"),
        (format!("{HEAD}{TRIGGER}"), r#"names the component "a", which the manifest lacks"#),
        (with("route = \"/\""), "needs a `component` or a `static_response`"),
        (with("route = \"/\"\ncomponent = \"a\"\nstatic_response = {}"), "may have only one"),
        (with("route = { private = false }\ncomponent = \"a\""), "{ private = true }"),
        (with("component = \"a\""), "missing field `route`"),
        (
            with("route = \"/\"\ncomponent = \"a\"\nexecutor = { type = \"wagi\" }"),
            "executor \"wagi\" is not supported",
        ),
        (with("route = \"/\"\nstatic_response = { status_code = 99 }"), "no HTTP status"),
        (
            with("route = \"/\"\nstatic_response = { headers = { \"a b\" = \"\" } }"),
            "static_response.headers.a b is no HTTP header",
        ),
        (
            component_with("").replace("\"a.wasm\"", "{ url = \"u\", digest = \"d\" }"),
            "component.a.source: a url or registry source is not supported; use a file",
        ),
        (component_with("files = [\"x\"]"), "component.a.files: is not supported"),
        (component_with("sqlite_databases = [\"x\"]"), "component.a.sqlite_databases: is not"),
        (component_with("ai_models = [\"x\"]"), "component.a.ai_models: is not supported"),
        (
            component_with("dependencies = { \"a:b\" = \"1\" }"),
            r#"component.a.dependencies "a:b": a version from a registry is not supported"#,
        ),
        (component_with("allowed_http_hosts = [\"x\"]"), "use allowed_outbound_hosts"),
        (component_with("allowed_outbound_hosts = [\"core\"]"), "must be <scheme>://<host>"),
        (component_with("allowed_outbound_hosts = [\"{{ no }}\"]"), "which [variables] does not"),
        (component_with("key_value_stores = [\"no label\"]"), "is no store label"),
        (component_with("variables = { No = \"\" }"), "is no variable name"),
        (component_with("variables = { v = \"{{ no }}\" }"), "component.a.variables.v: "),
        (component_with("variables = { v = \"{{ no\" }"), "does not close it"),
        (
            component_with("[component.a.tool.tiffin]\nmemory_mb = 0"),
            "tool.tiffin.memory_mb: must be from 1",
        ),
        (
            component_with("[component.a.tool.tiffin]\nmax_queue = 9000"),
            "component.a.tool.tiffin.max_queue: must be from 0 to 8192, not 9000",
        ),
        (
            component_with("[component.a.tool.tiffin]\nmax_instances = 513"),
            "max_instances: must be from 1 to 512",
        ),
        (
            component_with("[component.a.tool.tiffin]\ndeadline_ms = 999999"),
            "component.a.tool.tiffin.deadline_ms: must be from 1 to 60000, not 999999",
        ),
        (component_with("[component.no_kebab]\nsource = \"x\""), "is no component id"),
        (format!("{HEAD}[variables]\nv = {{}}\n{TRIGGER}{COMPONENT}"), "`required = true` or have"),
        (
            format!(
                "{HEAD}[variables]\nv = {{ required = true, default = \"\" }}\n{TRIGGER}{COMPONENT}"
            ),
            "not both",
        ),
        (
            format!("{HEAD}[variables]\nv = {{ required = true }}\n{TRIGGER}{COMPONENT}"),
            "set SPIN_VARIABLE_V or pass --variable v=VALUE",
        ),
    ] {
        let error = parse(&text).map(|_| ()).unwrap_err();
        assert!(error.contains(expected), "{error}\n{text}");
        assert!(error.starts_with("spin.toml:"), "{error}");
    }
}

#[test]
fn values_come_from_the_command_line_then_the_environment_then_the_default() {
    let variables = "[variables]\na_b = { default = \"default\" }\n";
    let text = format!(
        "{HEAD}{variables}{TRIGGER}{COMPONENT}variables = {{ v = \"<{{{{ a_b }}}}>\" }}\n\
         allowed_outbound_hosts = [\"http://{{{{a_b}}}}:1\"]"
    );
    let map = |name: &str, value: &str| BTreeMap::from([(name.to_owned(), value.to_owned())]);
    let environment = map("SPIN_VARIABLE_A_B", "environment");
    for (given, environment, expected) in [
        (BTreeMap::new(), BTreeMap::new(), "default"),
        (BTreeMap::new(), environment.clone(), "environment"),
        (map("a_b", "given"), environment, "given"),
    ] {
        let app = parse_with(&text, &VariableSource { given, environment }).unwrap();
        let component = &app.components["a"];
        assert_eq!(component.variables["v"], format!("<{expected}>"));
        let uri = format!("http://{expected}:1/").parse().unwrap();
        assert!(component.allowed_hosts.allows(&uri), "{expected}");
    }
    let unknown = VariableSource { given: map("c", "1"), ..VariableSource::default() };
    let error = parse_with(&text, &unknown).map(|_| ()).unwrap_err();
    assert!(
        error.contains(r#"--variable sets "c", which the manifest does not declare"#),
        "{error}"
    );
}

/// Source: `normalize_trigger_ids` and `normalize_inline_components` of Spin's manifest crate. Other components call an
/// inline one by its id.
#[test]
fn inline_components_get_the_ids_that_spin_gives() {
    let inline = |route: &str, id: &str| {
        format!(
            "[[trigger.http]]\n{id}route = \"{route}\"\ncomponent = {{ source = \"i.wasm\" }}\n"
        )
    };
    let taken = "[component.http-trigger2-component]\nsource = \"x.wasm\"\n";
    for (text, expected) in [
        (inline("/1", "id = \"first\"\n"), &["first-component"][..]),
        (inline("/1", ""), &["http-trigger1-component"]),
        (
            inline("/1", "id = \"http-trigger1\"\n") + inline("/2", "").as_str(),
            &["http-trigger1-component", "http-trigger2-component"],
        ),
        (
            inline("/1", "") + inline("/2", "").as_str() + taken,
            &["http-trigger1-component", "inline-component1"],
        ),
        (inline("/1", "id = \"no id of words\"\n"), &["inline-component1"]),
    ] {
        let app = parse(&format!("{HEAD}{text}")).unwrap();
        let targets: Vec<_> = app.triggers.iter().map(|trigger| trigger.target.clone()).collect();
        let expected: Vec<_> = expected.iter().map(|id| Target::Component((*id).into())).collect();
        assert_eq!(targets, expected, "{text}");
        assert!(
            app.components.values().all(|component| component.source == Path::new("app/i.wasm"))
        );
    }
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

/// Spin's rules on `[component.X.dependencies]`: SIP 020 and 023; `validate_dependencies`,
/// `normalize_dependency_inherit_configuration` and `ensure_is_acceptable_dependency` of its manifest crate.
#[test]
fn dependencies_are_checked_as_in_spin() {
    let with = |dependencies: &str| {
        component_with(&format!("[component.a.dependencies]\n{dependencies}\n"))
    };
    let path = "{ path = \"b.wasm\" }";
    for (text, expected) in [
        (with("\"x:y\" = \">=1\""), "a version from a registry is not supported"),
        (with("\"x:y\" = { version = \"1\" }"), "a package from a registry is not supported"),
        (
            with("\"x:y\" = { url = \"https://x\", digest = \"sha256:0\" }"),
            "a url is not supported",
        ),
        (with("\"x:y\" = {}"), "needs either a `path` or a `component`"),
        (with("\"x:y\" = { path = \"b\", component = \"c\" }"), "needs either a `path`"),
        (with("\"x:y\" = { path = \"b\", surprise = 1 }"), "unknown field `surprise`"),
        (with("\"x y\" = { path = \"b\" }"), "is no name of a dependency"),
        (with("\"x:y\" = { path = \"b\", export = \"e\" }"), "`export` needs an interface"),
        (with(&format!("\"x:y\" = {path}\n\"x:y/z\" = {path}")), "the same imports as \"x:y\""),
        (with("\"x:y\" = { component = \"c\" }"), "which the manifest lacks"),
        (with("\"x:y\" = { component = \"a\" }"), "configuration of its own"),
        (
            with("\"x:y\" = { component = \"c\" }")
                + "[component.c]\nsource = \"c\"\nkey_value_stores = [\"default\"]",
            "configuration of its own, which would be ignored: key_value_stores",
        ),
        (
            with("\"x:y\" = { path = \"b\", inherit_configuration = true }").replace(
                "[component.a.dep",
                "dependencies_inherit_configuration = false\n[component.a.dep",
            ),
            "use one or the other",
        ),
        (with("\"x:y\" = { path = \"b\", inherit_configuration = 1 }"), "must be true, false or"),
    ] {
        let error = parse(&text).map(|_| ()).unwrap_err();
        assert!(error.contains(expected), "{expected:?} is not in {error:?}\n{text}");
    }
    let text =
        with("\"x:y\" = { component = \"c\", inherit_configuration = [\"files\", \"typo\"] }")
            + "[component.c]\nsource = \"c.wasm\"";
    let app = parse(&text).unwrap();
    let dependency = &app.components["a"].dependencies[0];
    assert_eq!(dependency.source, Path::new("app/c.wasm"));
    assert_eq!(app.components.len(), 1, "a dependency is loaded with its parent only");
    assert_eq!(app.warnings.len(), 1, "{:?}", app.warnings);
    assert!(app.warnings[0].message.contains("\"typo\""), "{:?}", app.warnings);
}
