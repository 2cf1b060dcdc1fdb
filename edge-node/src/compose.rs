//! Composes a component with its dependencies into one, by Spin's rules.
//!
//! Each dependency is instantiated once and satisfies those imports of its parent that its name matches, by
//! the export of the same name or the one that the manifest names; what the dependency itself
//! imports is asked of the host. The parent's exports are those of the composition.
//!
//! Invariants: a dependency that satisfies nothing is an error (that no two satisfy one import is seen in the
//! manifest already: their names are disjoint); a dependency reaches nothing that the manifest grants to its parent alone. Spin puts a component that denies
//! everything between such a dependency and the host. Here a dependency may import such an interface only where
//! the parent has no configuration of its kind, because then the host denies it anyway.

use wac_graph::types::{Package, SubtypeChecker, WorldId};
use wac_graph::{CompositionGraph, EncodeOptions, NodeId};

use crate::manifest::{Capability, Component, Dependency};

/// Why a component and its dependencies do not go together. The component is named by whoever reports it.
#[derive(Debug, thiserror::Error)]
pub enum ComposeError {
    /// It names imports that the component does not have.
    #[error(
        "the dependency {dependency:?} satisfies no import; those that could be satisfied are: {}",
        listed(.imports)
    )]
    Unused {
        /// Its name in the manifest.
        dependency: String,
        /// The imports that are not the host's business.
        imports: Vec<String>,
    },
    /// The dependency lacks what it should give.
    #[error(
        "the dependency {dependency:?} does not export {export:?}, which should satisfy the import {import:?}; it \
         exports: {}",
        listed(.exports)
    )]
    MissingExport {
        /// Its name in the manifest.
        dependency: String,
        /// What was looked for.
        export: String,
        /// What it is wanted for.
        import: String,
        /// What is there.
        exports: Vec<String>,
    },
    /// Both have the interface, but not the same one.
    #[error(
        "the dependency {dependency:?} exports {export:?}, which does not fit the import {import:?}: {reason}"
    )]
    Incompatible {
        /// Its name in the manifest.
        dependency: String,
        /// What it gives.
        export: String,
        /// What is wanted.
        import: String,
        /// Where they differ.
        reason: String,
    },
    /// The dependency could use what was granted to its parent.
    #[error(
        "the dependency {dependency:?} imports {interface:?} and does not inherit {field}; give it \
         inherit_configuration = [{field:?}], or take {field} from the component"
    )]
    NotInherited {
        /// Its name in the manifest.
        dependency: String,
        /// What it imports.
        interface: String,
        /// The field that grants it.
        field: &'static str,
    },
    /// A file is no component.
    #[error("{what} is no WebAssembly component: {reason}")]
    Unreadable {
        /// Which of the files.
        what: String,
        /// What the reader said.
        reason: String,
    },
    /// The parts fit, and the whole is not valid.
    #[error("composing it with its dependencies failed: {0}")]
    Encode(String),
}

fn listed(names: &[String]) -> String {
    if names.is_empty() { "none".to_owned() } else { names.join(", ") }
}

/// Composes `bytes`, the file of `component`, with the files of its dependencies, in their order.
///
/// # Errors
/// The first dependency that does not fit.
pub(crate) fn compose(
    component: &Component,
    bytes: Vec<u8>,
    files: Vec<Vec<u8>>,
) -> Result<Vec<u8>, ComposeError> {
    let mut graph = CompositionGraph::new();
    let (world, parent) = instantiate(&mut graph, "the component itself", bytes)?;
    let imports = names(&graph, world).0;
    for (dependency, bytes) in component.dependencies.iter().zip(files) {
        let name = dependency.name.to_string();
        let wanted: Vec<&String> = imports.iter().filter(|i| dependency.name.matches(i)).collect();
        if wanted.is_empty() {
            let foreign = |import: &&String| !is_of_host(import);
            let imports = imports.iter().filter(foreign).cloned().collect();
            return Err(ComposeError::Unused { dependency: name, imports });
        }
        let what = format!("the dependency {name:?}");
        let (its_world, instance) = instantiate(&mut graph, &what, bytes)?;
        refuse_uninherited(component, dependency, &names(&graph, its_world).0)?;
        for import in wanted {
            let export = dependency.export.as_ref().unwrap_or(import);
            check_fit(&graph, (world, import), (its_world, export), &name)?;
            let argument = graph.alias_instance_export(instance, export).map_err(encode)?;
            graph.set_instantiation_argument(parent, import, argument).map_err(encode)?;
        }
    }
    for export in names(&graph, world).1 {
        let node = graph.alias_instance_export(parent, &export).map_err(encode)?;
        graph.export(node, export).map_err(encode)?;
    }
    graph.encode(EncodeOptions::default()).map_err(encode)
}

/// Whether an import is of a package that hosts offer.
pub(crate) fn is_of_host(import: &str) -> bool {
    ["wasi:", "spin:", "fermyon:"].iter().any(|namespace| import.starts_with(namespace))
}

fn encode(error: impl std::error::Error) -> ComposeError {
    ComposeError::Encode(chain(&error))
}

/// An error with its causes, in one line.
fn chain(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(error) = cause {
        text = format!("{text}: {error}");
        cause = error.source();
    }
    text.split_whitespace().collect::<Vec<_>>().join(" ")
}

fn instantiate(
    graph: &mut CompositionGraph,
    what: &str,
    bytes: Vec<u8>,
) -> Result<(WorldId, NodeId), ComposeError> {
    let unreadable = |reason: String| ComposeError::Unreadable { what: what.to_owned(), reason };
    let package = Package::from_bytes(what, None, bytes, graph.types_mut())
        .map_err(|error| unreadable(chain(error.as_ref())))?;
    let world = package.ty();
    let package = graph.register_package(package).map_err(|error| unreadable(chain(&error)))?;
    Ok((world, graph.instantiate(package)))
}

/// What a world imports and what it exports.
fn names(graph: &CompositionGraph, world: WorldId) -> (Vec<String>, Vec<String>) {
    let world = &graph.types()[world];
    (world.imports.keys().cloned().collect(), world.exports.keys().cloned().collect())
}

/// The export must be what the import asks for, or more.
fn check_fit(
    graph: &CompositionGraph,
    (world, import): (WorldId, &String),
    (its_world, export): (WorldId, &String),
    dependency: &str,
) -> Result<(), ComposeError> {
    let (dependency, import) = (dependency.to_owned(), import.clone());
    let types = graph.types();
    let Some(given) = types[its_world].exports.get(export).copied() else {
        let (export, exports) = (export.clone(), names(graph, its_world).1);
        return Err(ComposeError::MissingExport { dependency, export, import, exports });
    };
    let wanted = types[world].imports[&import];
    let mut cache = std::collections::HashSet::new();
    SubtypeChecker::new(&mut cache).is_subtype(given, types, wanted, types).map_err(|error| {
        let reason = chain(error.as_ref());
        ComposeError::Incompatible { dependency, export: export.clone(), import, reason }
    })
}

fn refuse_uninherited(
    component: &Component,
    dependency: &Dependency,
    imports: &[String],
) -> Result<(), ComposeError> {
    for import in imports {
        let interface = import.split('@').next().unwrap_or(import);
        let Some(capability) = Capability::of_interface(interface) else { continue };
        let is_granted = match capability {
            Capability::AllowedOutboundHosts => !component.allowed_hosts.is_empty(),
            Capability::Environment => !component.environment.is_empty(),
            Capability::KeyValueStores => !component.key_value_stores.is_empty(),
            Capability::Variables => !component.variables.is_empty(),
            Capability::Unsupported => false,
        };
        if is_granted && !dependency.inherits.contains(&capability) {
            return Err(ComposeError::NotInherited {
                dependency: dependency.name.to_string(),
                interface: import.clone(),
                field: capability.field(),
            });
        }
    }
    Ok(())
}
