//! Which imports of a component this host does not offer: all of them, where linking stops at the first.

use wasmtime::Engine;
use wasmtime::component::types::{ComponentFunc, ComponentItem};
use wasmtime::component::{Component, Linker, LinkerInstance, ResourceType};

use crate::instances::Guest;

/// An import that is not offered, by its name, and what is missing of it.
pub(crate) type MissingImport = (String, String);

/// Asks the linker itself, so that there is no second list of what the host offers: what it misses is given to a copy of
/// it as a stub, and it is asked again.
pub(crate) fn missing(linker: &Linker<Guest>, component: &Component) -> Vec<MissingImport> {
    let mut linker = linker.clone();
    linker.allow_shadowing(true);
    let engine = linker.engine().clone();
    let component_type = component.component_type();
    let mut missing: Vec<MissingImport> = Vec::new();
    for _ in 0..component_type.imports(&engine).len() {
        let Err(error) = linker.instantiate_pre(component) else { break };
        // Its outermost sentence names the import.
        let said = error.to_string();
        let mut imports = component_type.imports(&engine);
        let Some((name, import)) = imports.find(|(name, _)| said.contains(&format!("`{name}`")))
        else {
            missing.push((String::new(), format!("{error:#}")));
            break;
        };
        let is_new = missing.iter().all(|(known, _)| known != name);
        if !is_new || stub(&engine, &mut linker.root(), name, &import.ty).is_err() {
            break;
        }
        missing.push((name.to_owned(), error.root_cause().to_string()));
    }
    missing
}

fn stub(
    engine: &Engine,
    linker: &mut LinkerInstance<'_, Guest>,
    name: &str,
    item: &ComponentItem,
) -> wasmtime::Result<()> {
    match item {
        ComponentItem::ComponentFunc(function) => stub_function(linker, name, function),
        ComponentItem::ComponentInstance(instance) => {
            let mut linker = linker.instance(name)?;
            for (name, export) in instance.exports(engine) {
                stub(engine, &mut linker, name, &export.ty)?;
            }
            Ok(())
        }
        ComponentItem::Resource(_) => {
            linker.resource(name, ResourceType::host::<()>(), |_, _| Ok(()))
        }
        ComponentItem::Type(_) => Ok(()),
        ComponentItem::CoreFunc(_) | ComponentItem::Module(_) | ComponentItem::Component(_) => {
            Err(wasmtime::format_err!("{name} is nothing that a host can offer"))
        }
    }
}

fn stub_function(
    linker: &mut LinkerInstance<'_, Guest>,
    name: &str,
    function: &ComponentFunc,
) -> wasmtime::Result<()> {
    if function.async_() {
        linker.func_new_concurrent(name, |_, _, _, _| Box::pin(async { Ok(()) }))
    } else {
        linker.func_new(name, |_, _, _, _| Ok(()))
    }
}
