//! `edge-node check`: every problem of an application, each in one line.

use std::path::Path;
use std::process::Command;

use crate::common::{cache_dir, guest, guests};

/// A component that imports a function `f` of each interface, and exports nothing. In bytes, as no tool here writes
/// WebAssembly; the format is the component model's `Binary.md`.
fn importing(interfaces: &[&str]) -> Vec<u8> {
    let section = |id: u8, items: &[Vec<u8>]| {
        let mut body = vec![u8::try_from(items.len()).unwrap()];
        body.extend(items.concat());
        assert!(body.len() < 128, "the length is one byte");
        [vec![id, u8::try_from(body.len()).unwrap()], body].concat()
    };
    // An instance with one export: `f`, a function of nothing that returns nothing.
    let interface = vec![0x42, 2, 0x01, 0x40, 0, 0x01, 0, 0x04, 0, 1, b'f', 0x01, 0];
    let imports = interfaces.iter().map(|name| {
        [&[0, u8::try_from(name.len()).unwrap()], name.as_bytes(), &[0x05, 0]].concat()
    });
    let head = b"\0asm\x0d\0\x01\0".to_vec();
    [head, section(7, &[interface]), section(10, &imports.collect::<Vec<_>>())].concat()
}

/// What the program says of a manifest, by line, and whether it was content.
fn check(dir: &Path, manifest: &str, more: &[&str]) -> (Vec<String>, bool) {
    std::fs::write(dir.join("spin.toml"), manifest).unwrap();
    let cache = cache_dir();
    let mut command = Command::new(env!("CARGO_BIN_EXE_edge-node"));
    command.args(["check", "--cache-dir", cache.to_str().unwrap()]).args(more).current_dir(dir);
    let output = command.output().unwrap();
    assert_eq!(String::from_utf8(output.stderr).unwrap(), "", "nothing but the report");
    let said = String::from_utf8(output.stdout).unwrap();
    (said.lines().map(str::to_owned).collect(), output.status.success())
}

#[test]
fn every_problem_is_said_at_once() {
    let dir = tempfile::tempdir().unwrap();
    std::fs::write(
        dir.path().join("strange.wasm"),
        importing(&["spin:sqlite/sqlite@3.0.0", "a:b/c"]),
    )
    .unwrap();
    std::fs::write(dir.path().join("silent.wasm"), importing(&[])).unwrap();
    std::fs::write(dir.path().join("text.wasm"), "no component").unwrap();
    std::fs::write(
        dir.path().join("runtime-config.toml"),
        "[key_value_store.default]\ntype = \"memory\"\nlog = 1\n",
    )
    .unwrap();
    let head = "spin_manifest_version = 2\n[application]\nname = \"t\"\n";
    let good = format!("{head}[component.a]\nsource = {:?}\n", guest());
    let route = |route: &str| format!("[[trigger.http]]\nroute = {route:?}\ncomponent = \"a\"\n");
    // A good component whose second version is in the file of this name.
    let with_canary = |id: &str| {
        let source = guest();
        format!(
            "[component.{id}]\nsource = {source:?}\n[component.{id}.tool.tiffin.canary]\nsource = \"{id}.wasm\"\n\
             version = \"next\"\n"
        )
    };
    let runtime = &["--runtime-config-file", "runtime-config.toml"][..];
    let cases: &[(String, &[&str], &[&str])] = &[
        (format!("{good}{}", route("/...")), &[], &[]),
        (
            format!("{good}{}{}{}", route("/a"), route("/a/*/b"), route("/a")),
            runtime,
            &[
                "error: spin.toml:9:1: trigger.http[1] (/a/*/b): the route \"/a/*/b\" is not well-formed",
                "warning: runtime-config.toml:3:1: key_value_store.default.log: has no meaning",
                "warning: spin.toml:12:1: trigger.http[2] (/a): the route \"/a\" is there twice",
            ],
        ),
        (
            format!(
                "{good}allowed_outbound_hosts = [\"core\", \"http://{{{{ none }}}}\"]\n\
                 key_value_stores = [\"no label\", \"extra\"]\nvariables = {{ v = \"{{{{ core_url }}}}\" }}\n\
                 surprise = 1\n[component.a.tool.tiffin]\nmemory_mb = 0\ncpu = 1\n\
                 [variables]\ncore_url = {{ required = true }}\n{}",
                route("/...")
            ),
            &[],
            &[
                "error: spin.toml:6:1: component.a.allowed_outbound_hosts: \"core\" is no allowed host: it must",
                "error: spin.toml:6:1: component.a.allowed_outbound_hosts: the template names \"none\"",
                "error: spin.toml:7:1: component.a.key_value_stores: \"no label\" is no store label",
                "error: spin.toml:7:1: component.a.key_value_stores: nothing says where \"extra\" is kept",
                "error: spin.toml:9:1: unknown field `surprise`",
                "error: spin.toml:11:1: component.a.tool.tiffin.memory_mb: must be from 1 to 256, not 0",
                "error: spin.toml:12:1: component.a.tool.tiffin.cpu: unknown field `cpu`",
                "error: spin.toml:14:1: variables.core_url: the required variable has no value; set",
            ],
        ),
        (
            format!(
                "{head}[component.a]\nsource = \"gone.wasm\"\n[component.b]\nsource = \"strange.wasm\"\n\
                 [component.c]\nsource = \"text.wasm\"\n[component.d]\nsource = \"silent.wasm\"\n\
                 [component.e]\nsource = \"gone.wasm\"\n[trigger]\nhttp = [{}]\n",
                ["a", "b", "c", "d", "z"]
                    .map(|id| format!("{{ route = \"/{id}\", component = \"{id}\" }}"))
                    .join(", ")
            ),
            &[],
            &[
                "error: spin.toml:5:1: component.a.source: component \"a\": gone.wasm does not exist; build",
                "error: spin.toml:7:1: component.b.source: imports spin:sqlite/sqlite@3.0.0, which",
                "error: spin.toml:7:1: component.b.source: imports a:b/c, which this host does not offer",
                "error: spin.toml:9:1: component.c.source: component \"c\": text.wasm is no usable",
                "error: spin.toml:11:1: component.d.source: does not answer HTTP: it must export wasi:http",
                "error: spin.toml:15:149: trigger.http[4] (/z): names the component \"z\"",
                "warning: spin.toml:12:12: component.e: no trigger names it; it is not loaded",
            ],
        ),
        (
            format!(
                "{head}{}[trigger]\nhttp = [{}]\n",
                ["gone", "text", "strange", "silent"].map(with_canary).concat(),
                ["gone", "text", "strange", "silent"]
                    .map(|id| format!("{{ route = \"/{id}\", component = \"{id}\" }}"))
                    .join(", ")
            ),
            &[],
            &[
                "error: spin.toml:7:1: component.gone.tool.tiffin.canary.source: component \"gone@next\": gone.wasm does",
                "error: spin.toml:12:1: component.text.tool.tiffin.canary.source: component \"text@next\": text.wasm is no",
                "error: spin.toml:17:1: component.strange.tool.tiffin.canary.source: imports spin:sqlite/sqlite@3.0.0",
                "error: spin.toml:17:1: component.strange.tool.tiffin.canary.source: imports a:b/c, which this host",
                "error: spin.toml:22:1: component.silent.tool.tiffin.canary.source: does not answer HTTP: it must",
            ],
        ),
        (
            "spin_manifest_version = \nname = oops".to_owned(),
            &[],
            &["error: spin.toml:1:25: ", "error: spin.toml:2:8: "],
        ),
        (
            format!("{good}{}", route("/...")),
            &["--runtime-config-file", "no.toml", "--from", "no/spin.toml"],
            &[
                "error: no.toml: the file cannot be read",
                "error: no/spin.toml: the file cannot be read",
            ],
        ),
    ];
    for (manifest, more, expected) in cases {
        let (mut said, is_content) = check(dir.path(), manifest, more);
        let summary = said.pop().unwrap();
        said.sort();
        let mut expected = expected.to_vec();
        expected.sort();
        let fits = said.len() == expected.len()
            && said.iter().zip(&expected).all(|(said, expected)| said.starts_with(expected));
        assert!(fits, "{manifest}\nis said to be\n{said:#?}\nand not\n{expected:#?}");
        let errors = said.iter().filter(|line| line.starts_with("error")).count();
        assert_eq!(is_content, errors == 0, "{said:#?}");
        assert_eq!(summary, format!("errors: {errors}, warnings: {}", said.len() - errors));
    }
}

#[test]
fn a_program_is_told_in_json() {
    let dir = tempfile::tempdir().unwrap();
    let manifest = guests(&[("a", "surprise = 1")]);
    let (said, is_content) = check(dir.path(), &manifest, &["--json"]);
    assert!(!is_content);
    let report: serde_json::Value = serde_json::from_str(&said.join("\n")).unwrap();
    assert_eq!((&report["errors"], &report["warnings"]), (&1.into(), &0.into()));
    let problem = &report["problems"][0];
    assert_eq!(problem["position"], serde_json::json!({ "line": 9, "column": 1 }));
    assert_eq!((&problem["severity"], &problem["file"]), (&"error".into(), &"spin.toml".into()));
    assert!(problem["message"].as_str().unwrap().starts_with("unknown field `surprise`"));
}
