//! edge-node: runs a Spin application close to its users.
//!
//! It reads the same `spin.toml` as Spin, compiles the WebAssembly components that it names, and
//! answers HTTP with them. What it adds is what a node at the edge needs: budgets that a hostile
//! guest cannot break, one upstream fetch for many askers, limits on everything, and a log line and
//! a metric for whatever happens.
//!
//! Where to start: [`Node::start`] puts the parts together. A request then goes `server` (limits,
//! clean headers) → `cache` (nobody is woken for what is there) → `site` (route) → `instances` (a guest) →
//! `host` (what the guest asks for).
//!
//! Invariants, each held by tests:
//! 1. a guest that loops, traps or eats memory harms only its own requests;
//! 2. a component reaches only the hosts and stores that the manifest grants it;
//! 3. nothing from a client is trusted: sizes are bounded, `spin-*` headers are the node's own;
//! 4. identical reads in progress reach the upstream once;
//! 5. every limit has a name, in [`limits`];
//! 6. a reload drops no request, and none that comes after it is answered by what was before: see `deployment`;
//! 7. what was purged is never shown again, and an answer's own word on who may have it holds: see `cache`.

pub mod limits;
pub mod testing;

mod admin;
mod backoff;
mod body;
mod cache;
mod canary;
pub mod check;
mod compile;
mod compose;
mod deployment;
mod diagnostic;
mod document;
mod edition;
mod engine;
mod feed;
mod hop;
mod host;
mod instances;
mod known;
mod manifest;
mod metrics;
mod node;
mod problem;
mod reload;
mod router;
mod runtime_config;
mod server;
mod share;
mod site;
pub mod top;
mod trace;

/// The program's allocator also in tests, which measure what it takes.
#[cfg(test)]
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

pub use self::admin::AdminAccess;
pub use self::compile::{LoadError, compose_application};
pub use self::compose::ComposeError;
pub use self::diagnostic::{ConfigError, Diagnostic, Position, Severity};
pub use self::feed::{FeedError, FeedOptions, FeedToken};
pub use self::host::key_value::StoreStartError;
pub use self::host::upstream::{UpstreamOptions, UpstreamOptionsError, UpstreamProtocol};
pub use self::manifest::VariableSource;
pub use self::node::{Node, Options, StartError};
pub use self::reload::{ReloadError, Reloaded};
pub use self::server::{ClientLimits, CorsOptions, TlsError, TlsFiles};
