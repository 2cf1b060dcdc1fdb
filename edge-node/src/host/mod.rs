//! What the node offers to a guest, one file per interface; `outbound` is wasi:http's client.
//!
//! The contract is `wit/world.wit`. WASI itself comes from wasmtime-wasi and stays closed: no
//! directory is opened, no socket allowed, no environment inherited.

pub(crate) mod collapse;
pub(crate) mod imports;
pub(crate) mod key_value;
mod node_keys;
pub(crate) mod outbound;
pub(crate) mod output;
pub(crate) mod upstream;
pub(crate) mod variables;

use wasmtime::Engine;
use wasmtime::component::{HasSelf, Linker};

use crate::instances::Guest;

mod bindings {
    wasmtime::component::bindgen!({
        path: ["../wit/deps/spin-key-value-3.0.wit", "../wit/deps/spin-variables-3.0.wit"],
        inline: "
            package tiffin:host;
            world spin {
                import spin:key-value/key-value@3.0.0;
                import spin:variables/variables@3.0.0;
            }
        ",
        world: "tiffin:host/spin",
        imports: { default: trappable },
        with: { "spin:key-value/key-value.store": crate::host::key_value::OpenStore },
    });
}

/// Everything a component may import.
///
/// # Errors
/// When two interfaces claim one name, which is a bug here.
pub(crate) fn linker(engine: &Engine) -> wasmtime::Result<Linker<Guest>> {
    let mut linker = Linker::new(engine);
    wasmtime_wasi::p2::add_to_linker_async(&mut linker)?;
    wasmtime_wasi::p3::add_to_linker(&mut linker)?;
    wasmtime_wasi_http::p3::add_to_linker(&mut linker)?;
    bindings::spin::key_value::key_value::add_to_linker::<_, HasSelf<Guest>>(&mut linker, |g| g)?;
    bindings::spin::variables::variables::add_to_linker::<_, HasSelf<Guest>>(&mut linker, |g| g)?;
    Ok(linker)
}
