//! From component files to machine code, through a cache on disk.
//!
//! A cache entry is named by the SHA-256 of the component, composed with its dependencies, and the engine's
//! compatibility hash, and
//! begins with the SHA-256 of the machine code that follows. An entry that cannot be read, does not
//! match or does not load is compiled anew and replaced. Entries are written to a temporary file and
//! renamed, mode 0600 in a directory of mode 0700: whoever can write there can run code as the node.

use std::collections::BTreeMap;
use std::fs::{self, OpenOptions};
use std::hash::{DefaultHasher, Hash as _, Hasher as _};
use std::io::{self, Write as _};
use std::os::unix::fs::{DirBuilderExt as _, OpenOptionsExt as _};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Instant;

use sha2::{Digest as _, Sha256};
use wasmtime::Engine;
use wasmtime::component::Component;

use crate::compose::{ComposeError, compose, is_of_host};
use crate::manifest::VariableSource;
use crate::node::StartError;
use crate::{limits, manifest};

const CHECKSUM_BYTES: usize = 32;

/// Why a component cannot be loaded.
#[derive(Debug, thiserror::Error)]
pub enum LoadError {
    /// The source file is not there.
    #[error(
        "component {id:?}: {path} does not exist; build the functions first with `cargo xtask \
         functions`"
    )]
    Missing {
        /// The component.
        id: String,
        /// Its source.
        path: PathBuf,
    },
    /// The source file cannot be read.
    #[error("component {id:?}: {path} cannot be read: {error}")]
    Unreadable {
        /// The component.
        id: String,
        /// Its source.
        path: PathBuf,
        /// What the system said.
        error: io::Error,
    },
    /// The component and its dependencies do not go together.
    #[error("component {id:?}: {error}")]
    Compose {
        /// The component.
        id: String,
        /// Which dependency, and why.
        error: ComposeError,
    },
    /// An import that neither a dependency nor this host satisfies.
    #[error(
        "component {id:?} imports {interface:?}, which this host does not offer; name a component that exports it in \
         [component.{id}.dependencies]"
    )]
    Unsatisfied {
        /// The component.
        id: String,
        /// The import.
        interface: String,
    },
    /// The source file is no component, or one that this engine cannot run.
    #[error("component {id:?}: {path} is no usable WebAssembly component: {reason}")]
    Invalid {
        /// The component.
        id: String,
        /// Its source.
        path: PathBuf,
        /// What the compiler said.
        reason: String,
    },
}

/// A component ready to run.
#[derive(Clone)]
pub(crate) struct Compiled {
    /// The machine code.
    pub(crate) component: Component,
    /// The SHA-256 of what it was made from, in hexadecimal.
    pub(crate) digest: Arc<str>,
}

/// Loads every component, each distinct composition once, all at the same time.
///
/// # Errors
/// The first that failed, in the order of ids.
pub(crate) fn load_all<'a>(
    engine: &Engine,
    cache_dir: &Path,
    components: impl IntoIterator<Item = &'a manifest::Component>,
) -> Result<BTreeMap<String, Compiled>, LoadError> {
    let mut groups: Vec<Vec<&manifest::Component>> = Vec::new();
    for component in components {
        match groups.iter_mut().find(|group| is_same_file(group[0], component)) {
            Some(group) => group.push(component),
            None => groups.push(vec![component]),
        }
    }
    let loaded: Vec<_> = std::thread::scope(|scope| {
        let threads: Vec<_> = (groups.iter())
            .map(|group| scope.spawn(move || load(engine, cache_dir, group[0])))
            .collect();
        threads.into_iter().map(|thread| thread.join().expect("loading does not panic")).collect()
    });
    let mut by_id = BTreeMap::new();
    for (group, compiled) in groups.into_iter().zip(loaded) {
        let compiled = compiled?;
        by_id.extend(group.iter().map(|component| (component.id.clone(), compiled.clone())));
    }
    Ok(by_id)
}

/// Whether two components come to the same machine code. What is composed depends on what is granted.
fn is_same_file(one: &manifest::Component, other: &manifest::Component) -> bool {
    one.source == other.source && one.dependencies.is_empty() && other.dependencies.is_empty()
}

fn load(
    engine: &Engine,
    cache_dir: &Path,
    component: &manifest::Component,
) -> Result<Compiled, LoadError> {
    let compiled = load_unlinked(engine, cache_dir, component)?;
    let foreign = (compiled.component.component_type().imports(engine))
        .map(|(import, _)| import.to_owned())
        .find(|import| !is_of_host(import));
    match foreign {
        Some(interface) => Err(LoadError::Unsatisfied { id: component.id.clone(), interface }),
        None => Ok(compiled),
    }
}

/// The machine code of one component, whatever it imports.
///
/// # Errors
/// The file that cannot be read, the dependency that does not fit, or what is no component.
pub(crate) fn load_unlinked(
    engine: &Engine,
    cache_dir: &Path,
    component: &manifest::Component,
) -> Result<Compiled, LoadError> {
    let start = Instant::now();
    let bytes = read_composed(component)?;
    let digest = hex(&bytes);
    let entry = cache_dir.join(entry_name(engine, &digest));
    let (compiled, from_cache) = match read_entry(engine, &entry) {
        Some(compiled) => (compiled, true),
        None => (compile(engine, &bytes, &component.id, &component.source)?, false),
    };
    if !from_cache && let Err(error) = write_entry(&entry, &compiled) {
        // The node runs without a cache; it only starts more slowly next time.
        tracing::warn!(entry = %entry.display(), %error, "the compiled component cannot be cached");
    }
    let elapsed_ms = u64::try_from(start.elapsed().as_millis()).unwrap_or(u64::MAX);
    let (component, bytes) = (&component.id, bytes.len());
    tracing::info!(component, from_cache, elapsed_ms, bytes, "component loaded");
    Ok(Compiled { component: compiled, digest: digest.into() })
}

/// The components that an application runs, by id: each file composed with its dependencies, not compiled.
///
/// # Errors
/// The manifest is not good, a file cannot be read, or a dependency does not fit.
pub fn compose_application(
    manifest: &Path,
    variables: &VariableSource,
) -> Result<BTreeMap<String, Vec<u8>>, StartError> {
    let app = manifest::App::load(manifest, variables)?;
    let composed = app.components.into_iter().map(|(id, component)| {
        let bytes = read_composed(&component)?;
        Ok((id, bytes))
    });
    composed.collect()
}

/// The component's file, composed with those of its dependencies if it has some.
///
/// # Errors
/// The file that cannot be read, or the dependency that does not fit.
fn read_composed(component: &manifest::Component) -> Result<Vec<u8>, LoadError> {
    let id = &component.id;
    let bytes = read_source(id, &component.source)?;
    if component.dependencies.is_empty() {
        return Ok(bytes);
    }
    let files = (component.dependencies.iter())
        .map(|dependency| read_source(id, &dependency.source))
        .collect::<Result<_, _>>()?;
    compose(component, bytes, files).map_err(|error| LoadError::Compose { id: id.clone(), error })
}

fn read_source(id: &str, path: &Path) -> Result<Vec<u8>, LoadError> {
    read_bounded(path).map_err(|error| {
        let (id, path) = (id.to_owned(), path.to_owned());
        match error.kind() {
            io::ErrorKind::NotFound => LoadError::Missing { id, path },
            _ => LoadError::Unreadable { id, path, error },
        }
    })
}

fn read_bounded(path: &Path) -> io::Result<Vec<u8>> {
    if fs::metadata(path)?.len() > limits::MAX_COMPONENT_FILE_BYTES {
        let limit = limits::MAX_COMPONENT_FILE_BYTES;
        return Err(io::Error::other(format!("it has more than {limit} bytes")));
    }
    fs::read(path)
}

fn compile(engine: &Engine, bytes: &[u8], id: &str, path: &Path) -> Result<Component, LoadError> {
    Component::new(engine, bytes).map_err(|error| LoadError::Invalid {
        id: id.to_owned(),
        path: path.to_owned(),
        // The parser's reasons have several lines; a person is told one sentence.
        reason: format!("{error:#}").split_whitespace().collect::<Vec<_>>().join(" "),
    })
}

/// The SHA-256 in hexadecimal.
fn hex(bytes: &[u8]) -> String {
    Sha256::digest(bytes).iter().map(|byte| format!("{byte:02x}")).collect()
}

fn entry_name(engine: &Engine, digest: &str) -> String {
    let mut compatibility = DefaultHasher::new();
    engine.precompile_compatibility_hash().hash(&mut compatibility);
    format!("{digest}-{:016x}.cwasm", compatibility.finish())
}

/// None for whatever is not a whole entry of this engine.
fn read_entry(engine: &Engine, entry: &Path) -> Option<Component> {
    let bytes = fs::read(entry).ok()?;
    let (checksum, code) = bytes.split_at_checked(CHECKSUM_BYTES)?;
    if Sha256::digest(code).as_slice() != checksum {
        tracing::warn!(entry = %entry.display(), "the cached component is damaged; compiling anew");
        return None;
    }
    deserialize(engine, code)
}

#[expect(
    unsafe_code,
    reason = "machine code is trusted: this node wrote it, only its owner can write there, and its \
              checksum was just verified; wasmtime itself refuses another version's"
)]
fn deserialize(engine: &Engine, code: &[u8]) -> Option<Component> {
    // SAFETY: see the reason above; `code` is what `Component::serialize` returned.
    unsafe { Component::deserialize(engine, code) }.ok()
}

fn write_entry(entry: &Path, component: &Component) -> wasmtime::Result<()> {
    let code = component.serialize()?;
    let dir = entry.parent().unwrap_or(Path::new("."));
    fs::DirBuilder::new().recursive(true).mode(0o700).create(dir)?;
    // The process id keeps two nodes that share a cache from writing one temporary file.
    let temporary = entry.with_extension(format!("{}.tmp", std::process::id()));
    let mut options = OpenOptions::new();
    let mut file = options.write(true).create(true).truncate(true).mode(0o600).open(&temporary)?;
    let written = file
        .write_all(Sha256::digest(&code).as_slice())
        .and_then(|()| file.write_all(&code))
        .and_then(|()| fs::rename(&temporary, entry));
    if written.is_err() {
        // Best effort: the name is reused by the next try anyway.
        let _ = fs::remove_file(&temporary);
    }
    Ok(written?)
}
