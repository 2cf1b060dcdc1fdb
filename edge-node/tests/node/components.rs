//! Every built component, composed as `spin.toml` says, against `wit/world.wit`: no import or export that it does not
//! list.

use std::collections::BTreeSet;
use std::path::Path;

use edge_node::VariableSource;
use wasmtime::component::{Component, Linker, Val};
use wasmtime::{Engine, Store};
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

/// The components of `spin.toml` as they run, the tests' guest, and the libraries, which have no door of their own.
fn built() -> Vec<(String, Component, bool)> {
    let engine = engine();
    let manifest = Path::new(env!("CARGO_MANIFEST_DIR")).join("../spin.toml");
    let composed = edge_node::compose_application(&manifest, &VariableSource::default()).unwrap();
    let guest = std::fs::read(guest()).unwrap();
    let runs =
        composed.into_iter().chain([("guest".to_owned(), guest)]).map(|(id, b)| (id, b, true));
    let scorer = std::fs::read(functions_dir().join("risk-scorer.wasm")).unwrap();
    runs.chain([("risk-scorer".to_owned(), scorer, false)])
        .map(|(id, bytes, is_function)| {
            (id, Component::from_binary(&engine, &bytes).unwrap(), is_function)
        })
        .collect()
}

fn engine() -> Engine {
    let mut config = wasmtime::Config::new();
    config.wasm_component_model_async(true);
    Engine::new(&config).unwrap()
}

#[test]
fn components_import_and_export_what_the_world_lists() {
    let (imports, exports) = world();
    assert!(imports.contains(&compatible("spin:key-value/key-value@3.0.0")));
    assert!(exports.contains(&compatible("wasi:http/handler@0.3.0")));
    for (import, _) in &imports {
        let packages = ["wasi:", "spin:key-value/", "spin:variables/"];
        assert!(packages.iter().any(|package| import.starts_with(package)), "{import}");
    }
    let mut strangers = Vec::new();
    let mut seen = Vec::new();
    for (name, component, is_function) in built() {
        let engine = component.engine().clone();
        let component = component.component_type();
        for (import, _) in component.imports(&engine) {
            if !imports.contains(&compatible(import)) {
                strangers.push(format!("{name} imports {import}"));
            }
        }
        let given: Vec<_> =
            component.exports(&engine).map(|(export, _)| export.to_owned()).collect();
        let answers_http = given.iter().any(|export| exports.contains(&compatible(export)));
        for export in &given {
            if !export.starts_with("tiffin:") && !exports.contains(&compatible(export)) {
                strangers.push(format!("{name} exports {export}"));
            }
        }
        if answers_http != is_function {
            strangers.push(format!("{name} exports {given:?}"));
        }
        seen.push(name);
    }
    assert!(strangers.is_empty(), "not in wit/world.wit:\n{}", strangers.join("\n"));
    assert_eq!(seen, ["countdown", "forward", "menu", "risk", "guest", "risk-scorer"]);
}

/// The core will run the same file beside the edge: both come to the same score only if nothing of the host
/// goes into it. Every import is a trap here.
#[test]
fn the_scorer_asks_nothing_of_its_host() {
    let engine = engine();
    let scorer = Component::from_file(&engine, functions_dir().join("risk-scorer.wasm")).unwrap();
    let mut linker = Linker::new(&engine);
    linker.define_unknown_imports_as_traps(&scorer).unwrap();
    let mut store = Store::new(&engine, ());
    let instance = linker.instantiate(&mut store, &scorer).unwrap();
    let interface =
        instance.get_export_index(&mut store, None, "tiffin:risk/scorer@1.0.0").unwrap();
    let score = instance.get_export_index(&mut store, Some(&interface), "score").unwrap();
    let score = instance.get_func(&mut store, score).unwrap();
    let features = |hour_local| {
        let none = Val::Option(None);
        let fields = [
            ("action", Val::Enum("order".to_owned())),
            ("account-age-days", Val::U32(400)),
            ("orders-thirty-days", Val::U32(8)),
            ("requests-last-minute", Val::U32(4)),
            ("basket-minor", Val::U64(2400)),
            ("hour-local", Val::U32(hour_local)),
            ("failed-payments-day", none.clone()),
            ("distinct-cards-week", none.clone()),
            ("device-age-hours", none.clone()),
            ("typical-basket-minor", none.clone()),
            ("coupon-share-permille", none.clone()),
            ("address-distance-m", none),
        ];
        Val::Record(fields.map(|(name, value)| (name.to_owned(), value)).to_vec())
    };
    let mut results = [Val::Bool(false)];
    for hour_local in [19, 24, 19] {
        score.call(&mut store, &[features(hour_local)], &mut results).unwrap();
        let Val::Result(result) = &results[0] else { panic!("{results:?}") };
        assert_eq!(result.is_ok(), hour_local < 24, "{result:?}");
    }
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
