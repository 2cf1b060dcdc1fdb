//! Every built component against `wit/world.wit`: no import or export that it does not list.

use std::collections::BTreeSet;
use std::path::Path;

use wasmtime::Engine;
use wasmtime::component::Component;
use wit_parser::{Resolve, WorldItem};

use crate::common::{functions_dir, guest};

/// An interface with what of its version counts: the first number that is not zero.
type Interface = (String, String);

fn compatible(name: &str) -> Interface {
    let (interface, version) = name.split_once('@').unwrap_or((name, ""));
    let mut numbers = version.split('.');
    let track = match (numbers.next(), numbers.next()) {
        (Some("0"), Some(minor)) => format!("0.{minor}"),
        (Some(major), _) => major.to_owned(),
        (None, _) => String::new(),
    };
    (interface.to_owned(), track)
}

/// The imports and exports of the world.
fn world() -> (BTreeSet<Interface>, BTreeSet<Interface>) {
    let wit = Path::new(env!("CARGO_MANIFEST_DIR")).join("../wit");
    let mut resolve = Resolve::default();
    // The dependencies in any order that works: each needs those before it.
    let mut files: Vec<_> =
        std::fs::read_dir(wit.join("deps")).unwrap().map(|file| file.unwrap().path()).collect();
    files.sort();
    while !files.is_empty() {
        let before = files.len();
        files.retain(|file| {
            resolve.clone().push_file(file).map(|_| resolve.push_file(file)).is_err()
        });
        assert!(files.len() < before, "{files:?} cannot be resolved");
    }
    let package = resolve.push_file(wit.join("world.wit")).unwrap();
    let world = resolve.select_world(&[package], Some("function")).unwrap();
    let names = |items: &mut dyn Iterator<Item = &WorldItem>| {
        items
            .filter_map(|item| match item {
                WorldItem::Interface { id, .. } => resolve.id_of(*id),
                WorldItem::Function(_) | WorldItem::Type { .. } => None,
            })
            .map(|name| compatible(&name))
            .collect()
    };
    let world = &resolve.worlds[world];
    (names(&mut world.imports.values()), names(&mut world.exports.values()))
}

#[test]
fn components_import_and_export_what_the_world_lists() {
    guest();
    let (imports, exports) = world();
    assert!(imports.contains(&compatible("spin:key-value/key-value@3.0.0")));
    assert!(exports.contains(&compatible("wasi:http/handler@0.3.0")));
    let mut config = wasmtime::Config::new();
    config.wasm_component_model_async(true);
    let engine = Engine::new(&config).unwrap();
    let mut strangers = Vec::new();
    let mut files: Vec<_> = std::fs::read_dir(functions_dir())
        .unwrap()
        .map(|file| file.unwrap().path())
        .filter(|path| path.extension().is_some_and(|extension| extension == "wasm"))
        .collect();
    files.sort();
    for file in files {
        let component = Component::from_file(&engine, &file).unwrap();
        let component = component.component_type();
        let name = file.file_name().unwrap().to_string_lossy().into_owned();
        for (import, _) in component.imports(&engine) {
            if !imports.contains(&compatible(import)) {
                strangers.push(format!("{name} imports {import}"));
            }
        }
        let mut answers_http = false;
        for (export, _) in component.exports(&engine) {
            let is_ours = export.starts_with("tiffin:");
            answers_http |= exports.contains(&compatible(export));
            if !is_ours && !exports.contains(&compatible(export)) {
                strangers.push(format!("{name} exports {export}"));
            }
        }
        if !answers_http {
            strangers.push(format!("{name} does not export wasi:http/handler"));
        }
    }
    assert!(strangers.is_empty(), "not in wit/world.wit:\n{}", strangers.join("\n"));
}

#[test]
fn versions_are_compared_as_semver_does() {
    for (one, other, same) in [
        ("wasi:io/poll@0.2.6", "wasi:io/poll@0.2.12", true),
        ("wasi:clocks/monotonic-clock@0.2.6", "wasi:clocks/monotonic-clock@0.3.0", false),
        ("spin:variables/variables@3.0.0", "spin:variables/variables@3.1.0", true),
        ("spin:variables/variables@3.0.0", "spin:variables/variables@4.0.0", false),
        ("wasi:io/poll@0.2.6", "wasi:io/streams@0.2.6", false),
    ] {
        assert_eq!(compatible(one) == compatible(other), same, "{one} {other}");
    }
}
