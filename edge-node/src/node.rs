//! From options to a running node, and back down.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Instant;

use tokio::net::TcpListener;
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;
use tokio_util::task::AbortOnDropHandle;

use crate::cache::Cache;
use crate::compile::{self, LoadError};
use crate::diagnostic::{ConfigError, Diagnostic};
use crate::feed::{self, FeedOptions};
use crate::host::key_value::{Store, StoreStartError, Stores};
use crate::host::outbound::Network;
use crate::host::upstream::UpstreamOptions;
use crate::instances::{Pool, Shared};
use crate::manifest::{App, VariableSource};
use crate::metrics::Metrics;
use crate::router::Router;
use crate::runtime_config::RuntimeConfig;
use crate::server::Front;
use crate::site::Site;
use crate::{admin, engine, host, server};

/// What a node needs to know.
#[derive(Debug, Clone)]
pub struct Options {
    /// The manifest.
    pub manifest: PathBuf,
    /// The runtime configuration, if there is one.
    pub runtime_config: Option<PathBuf>,
    /// Where clients are served; port 0 for any free one.
    pub listen: SocketAddr,
    /// Where metrics and health are served; port 0 for any free one.
    pub admin: SocketAddr,
    /// Where compiled components are kept.
    pub cache_dir: PathBuf,
    /// Values of variables, beside the manifest.
    pub variables: VariableSource,
    /// Where the node hears what has changed.
    pub feed: FeedOptions,
    /// Upstreams that have more than a URL says.
    pub upstreams: Vec<UpstreamOptions>,
    /// The certificate authorities of https upstreams, as a PEM bundle; without it the system's.
    pub upstream_ca: Option<PathBuf>,
}

/// Why a node cannot start, in one sentence that says what to do.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    /// The manifest or the runtime configuration is not there or not good.
    #[error(transparent)]
    Config(#[from] ConfigError),
    /// A key-value store cannot be opened.
    #[error(transparent)]
    Store(#[from] StoreStartError),
    /// A component cannot be loaded.
    #[error(transparent)]
    Load(#[from] LoadError),
    /// A component does not fit this host.
    #[error("component {id:?} cannot run here: {reason}")]
    Link {
        /// The component.
        id: String,
        /// The import that is not offered, or the export that is missing.
        reason: String,
    },
    /// A route is malformed.
    #[error("{0}")]
    Route(String),
    /// An address is taken or not ours.
    #[error("{address} cannot be listened on ({error}); choose another with {flag}")]
    Listen {
        /// The address.
        address: SocketAddr,
        /// The command line's flag for it.
        flag: &'static str,
        /// What the system said.
        error: std::io::Error,
    },
    /// An upstream's options do not fit, or there is no use in the certificate authorities.
    #[error("{0}")]
    Upstream(String),
    /// The engine cannot run on this machine.
    #[error("the WebAssembly engine cannot start: {0}")]
    Engine(String),
}

/// A running node. Dropping it without [`Node::shutdown`] stops it at once.
pub struct Node {
    /// Where clients are served.
    pub address: SocketAddr,
    /// Where metrics and health are served.
    pub admin_address: SocketAddr,
    /// No new connections.
    stop: CancellationToken,
    /// Not even those that were in progress.
    stopped: CancellationToken,
    server: Option<JoinHandle<bool>>,
    admin: JoinHandle<()>,
    _feed: Option<AbortOnDropHandle<()>>,
}

impl Node {
    /// Loads the application and serves it.
    ///
    /// # Errors
    /// Whatever keeps it from serving; then nothing is left running.
    pub async fn start(options: Options) -> Result<Self, StartError> {
        let start = Instant::now();
        let app = App::load(&options.manifest, &options.variables)?;
        let runtime = RuntimeConfig::load(options.runtime_config.as_deref())?;
        ConfigError::among(&undefined_stores(&app, &runtime))?;
        let (router, route_warnings) = Router::new(&app.triggers).map_err(StartError::Route)?;
        for warning in app.warnings.iter().chain(&runtime.warnings) {
            tracing::warn!("{warning}");
        }
        for warning in route_warnings {
            tracing::warn!("{warning}");
        }
        // Ports first: a taken one is said before anything is compiled.
        let listener = bind(options.listen, "--listen").await?;
        let admin_listener = bind(options.admin, "--admin").await?;
        let (address, admin_address) = (bound(&listener)?, bound(&admin_listener)?);

        let metrics = Arc::new(Metrics::new());
        let cache = Cache::new(Arc::clone(&metrics));
        let stores = open_stores(&app, &runtime, &metrics).await?;
        let feed_options = options.feed.clone();
        let name = app.name.clone();
        let (stop, stopped) = (CancellationToken::new(), CancellationToken::new());
        let site = tokio::task::spawn_blocking({
            let (metrics, stopped) = (Arc::clone(&metrics), stopped.clone());
            let cache = Arc::clone(&cache);
            move || build_site(app, router, &options, &metrics, cache, stores, &stopped)
        })
        .await
        .expect("putting the application together does not panic")?;

        let front = Arc::new(Front::new(site, Arc::clone(&metrics)));
        let server = tokio::spawn(server::serve(listener, front, stop.clone()));
        let feed_status = Arc::new(feed::Status::new(Arc::clone(&metrics)));
        let feed = feed_options.is_on().then(|| {
            let follow = feed::follow(feed_options, Arc::clone(&cache), Arc::clone(&feed_status));
            AbortOnDropHandle::new(tokio::spawn(follow))
        });
        let admin = admin::Admin { metrics, cache, feed: feed_status, stopping: stop.clone() };
        let admin = tokio::spawn(admin::serve(admin_listener, admin));
        let elapsed_ms = u64::try_from(start.elapsed().as_millis()).unwrap_or(u64::MAX);
        tracing::info!(app = name, %address, %admin_address, elapsed_ms, "ready");
        Ok(Self { address, admin_address, stop, stopped, server: Some(server), admin, _feed: feed })
    }

    /// Stops accepting and lets requests in progress finish, within a deadline. Returns whether
    /// all of them did.
    pub async fn shutdown(mut self) -> bool {
        self.stop.cancel();
        match self.server.take() {
            Some(server) => server.await.unwrap_or(false),
            None => true,
        }
    }
}

impl Drop for Node {
    fn drop(&mut self) {
        self.stop.cancel();
        self.stopped.cancel();
        self.admin.abort();
        if let Some(server) = &self.server {
            server.abort();
        }
    }
}

async fn bind(address: SocketAddr, flag: &'static str) -> Result<TcpListener, StartError> {
    TcpListener::bind(address).await.map_err(|error| StartError::Listen { address, flag, error })
}

fn bound(listener: &TcpListener) -> Result<SocketAddr, StartError> {
    listener.local_addr().map_err(|error| StartError::Engine(error.to_string()))
}

/// Labels that a component lists and nothing defines.
pub(crate) fn undefined_stores(app: &App, runtime: &RuntimeConfig) -> Vec<Diagnostic> {
    let mut found = Vec::new();
    for (id, component) in &app.components {
        let labels = component.key_value_stores.iter();
        for label in labels.filter(|label| runtime.store(label).is_none()) {
            let message = format!(
                "nothing says where {label:?} is kept; add [key_value_store.{label}] to a file and name the file with \
                 --runtime-config-file"
            );
            let place = format!("component.{id}.key_value_stores");
            found.push(app.document.error(&place, message));
        }
    }
    found
}

/// A store for each label that a component lists.
async fn open_stores(
    app: &App,
    runtime: &RuntimeConfig,
    metrics: &Arc<Metrics>,
) -> Result<Arc<Stores>, StartError> {
    let mut stores = Stores::new();
    for label in app.components.values().flat_map(|component| &component.key_value_stores) {
        if let Some(config) = runtime.store(label)
            && !stores.contains_key(label)
        {
            stores.insert(label.clone(), Store::open(label, config, metrics).await?);
        }
    }
    Ok(Arc::new(stores))
}

fn build_site(
    app: App,
    router: Router,
    options: &Options,
    metrics: &Arc<Metrics>,
    cache: Arc<Cache>,
    stores: Arc<Stores>,
    stopped: &CancellationToken,
) -> Result<Arc<Site>, StartError> {
    let engine = engine::start().map_err(|error| StartError::Engine(format!("{error:#}")))?;
    let linker = host::linker(&engine).map_err(|e| StartError::Engine(format!("{e:#}")))?;
    let compiled = compile::load_all(&engine, &options.cache_dir, app.components.values())?;
    let (upstreams, ca) = (&options.upstreams, options.upstream_ca.clone());
    let network = Network::new(upstreams, ca, Arc::clone(&cache), metrics);
    let network = Arc::new(network.map_err(StartError::Upstream)?);
    let mut pools = BTreeMap::new();
    for (id, component) in app.components {
        let shared = Arc::new(Shared {
            engine: engine.clone(),
            component,
            stores: Arc::clone(&stores),
            cache: Arc::clone(&cache),
            network: Arc::clone(&network),
            metrics: Arc::clone(metrics),
            stopped: stopped.clone(),
        });
        let pool = Pool::new(&linker, &compiled[&id], shared)
            .map_err(|error| StartError::Link { id: id.clone(), reason: format!("{error:#}") })?;
        pools.insert(Arc::from(id), pool);
    }
    let site = Site::new(router, pools, cache);
    network.connect(&site);
    Ok(site)
}
