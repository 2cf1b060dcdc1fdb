//! From options to a running node, and back down.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use tokio::net::TcpListener;
use tokio::task::{JoinHandle, JoinSet};
use tokio_util::sync::CancellationToken;

use crate::admin::AdminAccess;
use crate::cache::Cache;
use crate::compile::LoadError;
use crate::deployment::{Deployment, Origin, Plan, Told};
use crate::diagnostic::{ConfigError, Diagnostic};
use crate::feed::{self, FeedOptions};
use crate::host::key_value::{Store, StoreStartError};
use crate::host::outbound::Network;
use crate::host::output::Listener;
use crate::host::upstream::UpstreamOptions;
use crate::known::{self, Known};
use crate::manifest::{App, VariableSource};
use crate::metrics::Metrics;
use crate::reload::{ReloadError, Reloaded, Reloader};
use crate::runtime_config::RuntimeConfig;
use crate::server::{ClientLimits, CorsOptions, Front, Tls, TlsError, TlsFiles};
use crate::{admin, server};

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
    /// Whether the manifest and the components are watched, and taken up when they change.
    pub watch: bool,
    /// How long the node goes on serving after it said that it will stop, so that balancers notice.
    pub drain_delay: Duration,
    /// The certificate that clients are shown; none for a plain port.
    pub tls: Option<TlsFiles>,
    /// How much one client may ask.
    pub clients: ClientLimits,
    /// Which pages may read answers.
    pub cors: CorsOptions,
    /// Who may purge and reload.
    pub admin_access: AdminAccess,
}

impl Options {
    /// For tests: on free ports of loopback, with nothing that `edge-node up` has flags for, and without a value for any
    /// variable.
    pub fn on_loopback(manifest: impl Into<PathBuf>, cache_dir: impl Into<PathBuf>) -> Self {
        let any_port = SocketAddr::from(([127, 0, 0, 1], 0));
        Self {
            manifest: manifest.into(),
            runtime_config: None,
            listen: any_port,
            admin: any_port,
            cache_dir: cache_dir.into(),
            variables: VariableSource::default(),
            feed: FeedOptions::default(),
            upstreams: Vec::new(),
            upstream_ca: None,
            watch: false,
            drain_delay: Duration::ZERO,
            tls: None,
            clients: ClientLimits::default(),
            cors: CorsOptions::default(),
            admin_access: AdminAccess::default(),
        }
    }
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
    /// The certificate cannot be used.
    #[error(transparent)]
    Tls(#[from] TlsError),
    /// The file with the admin listener's token cannot be used.
    #[error("{} has no token for the admin address ({reason}); name another file with --admin-token-file", file.display())]
    AdminToken {
        /// The file.
        file: PathBuf,
        /// What is wrong with it.
        reason: String,
    },
    /// The engine cannot run on this machine.
    #[error("the WebAssembly engine cannot start: {0}")]
    Engine(String),
}

/// How far a node's end has come.
#[derive(Default)]
pub(crate) struct Lifecycle {
    is_draining: AtomicBool,
    /// No new connections.
    pub(crate) stop: CancellationToken,
}

impl Lifecycle {
    /// Whether it is to stop: it says so to whoever asks, and keeps no connection for longer than an answer.
    pub(crate) fn is_draining(&self) -> bool {
        self.is_draining.load(Ordering::Relaxed)
    }
}

/// A running node. Dropping it without [`Node::shutdown`] stops it at once.
pub struct Node {
    /// Where clients are served.
    pub address: SocketAddr,
    /// Where metrics and health are served.
    pub admin_address: SocketAddr,
    drain_delay: Duration,
    life: Arc<Lifecycle>,
    reloader: Arc<Reloader>,
    /// Not even requests that were in progress.
    stopped: CancellationToken,
    server: Option<JoinHandle<bool>>,
    /// What ends with the node.
    _helpers: JoinSet<()>,
}

impl Node {
    /// Loads the application and serves it.
    ///
    /// # Errors
    /// Whatever keeps it from serving; then nothing is left running.
    pub async fn start(options: Options) -> Result<Self, StartError> {
        Self::start_heard(options, None).await
    }

    /// The same, with one who hears what guests write.
    pub(crate) async fn start_heard(
        options: Options,
        heard: Option<Listener>,
    ) -> Result<Self, StartError> {
        let start = Instant::now();
        let Options { listen, admin, watch, drain_delay, feed: follows, tls, .. } = options;
        let Options { manifest, runtime_config, cache_dir, variables, .. } = options;
        let Options { upstreams, upstream_ca, clients, cors, admin_access: access, .. } = options;
        access.check().await?;
        let origin = Origin { manifest, runtime_config, cache_dir, variables };
        let plan = Plan::read(&origin)?;
        let tls = tls.map(Tls::load).transpose()?.map(Arc::new);
        // Ports first: a taken one is said before anything is compiled.
        let listener = bind(listen, "--listen").await?;
        let admin_listener = bind(admin, "--admin").await?;
        let (address, admin_address) = (bound(&listener)?, bound(&admin_listener)?);

        let metrics = Arc::new(Metrics::new());
        let cache = Cache::new(Arc::clone(&metrics));
        let known = Arc::new(Known::new(Arc::clone(&metrics)));
        let stopped = CancellationToken::new();
        let network = Network::new(&upstreams, upstream_ca, Arc::clone(&cache), &metrics);
        let network = Arc::new(network.map_err(StartError::Upstream)?);
        let deployment = {
            let told = Told { cache: Arc::clone(&cache), known: Arc::clone(&known) };
            let (metrics, stopped) = (Arc::clone(&metrics), stopped.clone());
            Deployment::start(origin, plan, network, metrics, told, heard, stopped).await?
        };

        let life = Arc::new(Lifecycle::default());
        let (current, for_front) = (deployment.current(), Arc::clone(&metrics));
        let front = Front::new(current, for_front, Arc::clone(&life), tls.clone(), clients, cors);
        let reloader = Reloader::new(deployment, tls, Arc::clone(&metrics));
        let server = tokio::spawn(server::serve(listener, Arc::new(front)));
        let mut helpers = JoinSet::new();
        let feed_status = Arc::new(feed::Status::new(Arc::clone(&metrics)));
        if follows.is_on() {
            helpers.spawn(known::follow(follows.clone(), Arc::clone(&known)));
            let (cache, status) = (Arc::clone(&cache), Arc::clone(&feed_status));
            helpers.spawn(feed::follow(follows, cache, known, status));
        }
        let (for_admin, its_life) = (Arc::clone(&reloader), Arc::clone(&life));
        let admin = admin::Admin {
            metrics,
            cache,
            feed: feed_status,
            reloader: for_admin,
            life: its_life,
            access,
        };
        helpers.spawn(admin::serve(admin_listener, admin_address, admin));
        if watch {
            helpers.spawn(Arc::clone(&reloader).watch_application());
        }
        helpers.spawn(Arc::clone(&reloader).watch_certificate());
        let elapsed_ms = u64::try_from(start.elapsed().as_millis()).unwrap_or(u64::MAX);
        let app = reloader.identity().application;
        tracing::info!(app, %address, %admin_address, elapsed_ms, "ready");
        let server = Some(server);
        Ok(Self {
            address,
            admin_address,
            drain_delay,
            life,
            reloader,
            stopped,
            server,
            _helpers: helpers,
        })
    }

    /// Takes up what has changed on disk, while requests go on.
    ///
    /// # Errors
    /// What is wrong with it; the node then serves on as it was.
    pub async fn reload(&self) -> Result<Reloaded, ReloadError> {
        self.reloader.reload().await
    }

    /// The key-value store of this label, if a component lists it.
    pub(crate) fn store(&self, label: &str) -> Option<Store> {
        self.reloader.store(label)
    }

    /// Says that it will stop, serves on for as long as balancers need to notice, then stops accepting and
    /// lets requests in progress finish, within a deadline. Returns whether all of them did.
    pub async fn shutdown(mut self) -> bool {
        self.life.is_draining.store(true, Ordering::Relaxed);
        tokio::time::sleep(self.drain_delay).await;
        self.life.stop.cancel();
        match self.server.take() {
            Some(server) => server.await.unwrap_or(false),
            None => true,
        }
    }
}

impl Drop for Node {
    fn drop(&mut self) {
        self.life.stop.cancel();
        self.stopped.cancel();
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
