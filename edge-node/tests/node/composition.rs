//! `[component.X.dependencies]` with the real risk function and its scorer.

use std::path::{Path, PathBuf};

use edge_node::limits;
use http::{Request, StatusCode};

use crate::common::{TestNode, cache_dir, functions_dir, try_start};

const SCORER: &str = "tiffin:risk/scorer@1.0.0";

fn function(name: &str) -> PathBuf {
    functions_dir().join(name)
}

/// The risk function with these lines in its table, and these after it. `SCORER_WASM` stands for the scorer's file.
fn risk(settings: &str, rest: &str) -> String {
    let manifest = format!(
        "spin_manifest_version = 2\n[application]\nname = \"t\"\n[[trigger.http]]\nroute = \"/...\"\n\
         component = \"risk\"\n[component.risk]\nsource = \"{}\"\n{settings}\n{rest}\n",
        function("risk.wasm").display()
    );
    manifest.replace("SCORER_WASM", &function("risk-scorer.wasm").display().to_string())
}

/// The same with one dependency.
fn depending(name: &str, form: &str) -> String {
    risk("", &format!("[component.risk.dependencies]\n\"{name}\" = {form}"))
}

async fn start(manifest: &str, cache_dir: &Path) -> TestNode {
    try_start(manifest, cache_dir, &[]).await.unwrap()
}

async fn score(node: &TestNode, hour: u32) -> crate::common::Answer {
    let request =
        Request::post(node.url("/v1/risk/score")).header("content-type", "application/json");
    let body = format!(
        r#"{{"action":"order","account_age_days":400,"orders_30d":8,"requests_last_minute":4,
            "basket_minor":2400,"hour_local":{hour}}}"#
    );
    node.send(request, body).await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_dependency_is_composed_by_path_export_and_component() {
    for manifest in [
        depending("tiffin:risk", "{ path = \"SCORER_WASM\", inherit_configuration = true }"),
        depending(SCORER, &format!("{{ path = \"SCORER_WASM\", export = \"{SCORER}\" }}")),
        risk(
            "dependencies_inherit_configuration = true",
            &format!(
                "[component.risk.dependencies]\n\"{SCORER}\" = {{ component = \"scores\" }}\n\
                 [component.scores]\nsource = \"SCORER_WASM\""
            ),
        ),
    ] {
        let node = start(&manifest, &cache_dir()).await;
        let answer = score(&node, 19).await;
        assert_eq!(answer.status, StatusCode::OK, "{manifest}{}", answer.body);
        assert!(answer.body.starts_with(r#"{"score":"#), "{}", answer.body);
        let refused = score(&node, 24).await;
        assert_eq!(refused.status, StatusCode::UNPROCESSABLE_ENTITY);
        assert!(refused.body.contains("must be a whole number from 0 to 23"), "{}", refused.body);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_does_not_go_together_is_named_at_the_start() {
    let dir = tempfile::tempdir().unwrap();
    let text = dir.path().join("text.wasm");
    std::fs::write(&text, "no component").unwrap();
    let absent = dir.path().join("absent.wasm");
    for (what, manifest, expected) in [
        (
            "unsatisfied",
            risk("", ""),
            vec![
                r#"component "risk" imports "tiffin:risk/scorer@1.0.0""#,
                "[component.risk.dependencies]",
            ],
        ),
        (
            "unused: another package",
            depending("tiffin:other", "{ path = \"SCORER_WASM\" }"),
            vec![r#"component "risk": the dependency "tiffin:other" satisfies no import"#, SCORER],
        ),
        (
            "unused: another version",
            depending("tiffin:risk/scorer@2.0.0", "{ path = \"SCORER_WASM\" }"),
            vec![r#"the dependency "tiffin:risk/scorer@2.0.0" satisfies no import"#, SCORER],
        ),
        (
            "wrong export",
            depending(SCORER, "{ path = \"SCORER_WASM\", export = \"tiffin:risk/judge\" }"),
            vec![r#"component "risk""#, r#"does not export "tiffin:risk/judge""#, SCORER],
        ),
        (
            "no such export",
            depending("spin:variables", "{ path = \"SCORER_WASM\" }"),
            vec![r#"component "risk": the dependency "spin:variables" satisfies no import"#],
        ),
        (
            "an export of the import's name is missing",
            depending("wasi:http/types", "{ path = \"SCORER_WASM\" }"),
            vec![
                r#"does not export "wasi:http/types@0.3.0""#,
                "it exports: tiffin:risk/scorer@1.0.0",
            ],
        ),
        (
            "incompatible",
            depending(
                "wasi:http/types",
                &format!("{{ path = \"SCORER_WASM\", export = \"{SCORER}\" }}"),
            ),
            vec![
                r#"component "risk": the dependency "wasi:http/types" exports "tiffin:risk/scorer@1.0.0""#,
                r#"does not fit the import "wasi:http/types@0.3.0""#,
            ],
        ),
        (
            "not inherited",
            risk(
                "environment = { MODE = \"test\" }",
                &format!(
                    "[component.risk.dependencies]\n\"{SCORER}\" = {{ path = \"SCORER_WASM\" }}"
                ),
            ),
            vec![r#"imports "wasi:cli/environment@"#, r#"inherit_configuration = ["environment"]"#],
        ),
        (
            "no component",
            depending(SCORER, &format!("{{ path = {text:?} }}")),
            vec![r#"the dependency "tiffin:risk/scorer@1.0.0" is no WebAssembly component"#],
        ),
        (
            "no file",
            depending(SCORER, &format!("{{ path = {absent:?} }}")),
            vec![r#"component "risk""#, "absent.wasm does not exist"],
        ),
    ] {
        let error =
            try_start(&manifest, &cache_dir(), &[]).await.err().map(|error| error.to_string());
        let error = error.unwrap_or_else(|| panic!("{what}: it started"));
        for part in expected {
            assert!(error.contains(part), "{what}: {part:?} is not in: {error}");
        }
    }
}

/// The same parts are compiled once; another dependency is another component.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_compile_cache_tells_compositions_apart() {
    let dir = tempfile::tempdir().unwrap();
    let cache = dir.path().join("cache");
    let other = dir.path().join("scorer.wasm");
    let mut bytes = std::fs::read(function("risk-scorer.wasm")).unwrap();
    assert!(u64::try_from(bytes.len()).unwrap() < limits::MAX_COMPONENT_FILE_BYTES);
    // A custom section named "x": other bytes, the same component.
    bytes.extend([0, 2, 1, b'x']);
    std::fs::write(&other, bytes).unwrap();
    let of = |path: &Path| depending(SCORER, &format!("{{ path = {path:?} }}"));
    let entries = || std::fs::read_dir(&cache).unwrap().count();
    for (path, expected) in
        [(function("risk-scorer.wasm"), 1), (function("risk-scorer.wasm"), 1), (other, 2)]
    {
        let node = start(&of(&path), &cache).await;
        assert_eq!(score(&node, 19).await.status, StatusCode::OK);
        assert_eq!(entries(), expected, "{path:?}");
    }
}
