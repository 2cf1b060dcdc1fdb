//! The application that is served, and how another takes its place while requests go on.
//!
//! A new application is loaded, compiled and linked beside the old one. Whatever is wrong with it is found before
//! anything changes, and the old one serves on. Then one pointer is written. Invariants:
//! - a request is answered by one application from its start to its end, its calls to other components included;
//! - who asks after a reload was acknowledged is answered by the new one, also from the cache: the editions that go
//!   are retired before the pointer is written (see [`Edition`]);
//! - what did not change keeps its instances and its cached answers, and a store its content under the same label.
//!
//! Start at [`Deployment::reload`], then [`Deployment::succeed`], which says what changed.

mod comparison;

use std::collections::{BTreeMap, BTreeSet};
use std::path::PathBuf;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Instant;

use arc_swap::ArcSwap;
use tokio_util::sync::CancellationToken;
use wasmtime::Engine;
use wasmtime::component::Linker;

use self::comparison::Comparison;
use crate::cache::Cache;
use crate::canary::Canaries;
use crate::compile::{self, Compiled};
use crate::diagnostic::ConfigError;
use crate::edition::Edition;
use crate::host::key_value::{Store, Stores};
use crate::host::outbound::Network;
use crate::host::output::Listener;
use crate::instances::{Background, Guest, Pool, Shared};
use crate::known::Known;
use crate::manifest::{App, Component, VariableSource};
use crate::metrics::Metrics;
use crate::node::{StartError, undefined_stores};
use crate::router::Router;
use crate::runtime_config::{RuntimeConfig, StoreConfig};
use crate::share::Pools;
use crate::site::{Identity, Running, Site, SiteLink};
use crate::{engine, host, limits};

/// The application that is served. Reading it costs one atomic load.
pub(crate) type Current = Arc<ArcSwap<Site>>;

/// Where an application comes from.
#[derive(Debug, Clone)]
pub(crate) struct Origin {
    pub(crate) manifest: PathBuf,
    pub(crate) runtime_config: Option<PathBuf>,
    pub(crate) cache_dir: PathBuf,
    pub(crate) variables: VariableSource,
}

/// What a reload did.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Deployed {
    /// What is served now.
    pub(crate) identity: Identity,
    /// The components that are new or run anew; none if nothing changed at all.
    pub(crate) renewed: Vec<String>,
    /// Whether anything changed.
    pub(crate) is_changed: bool,
}

/// An application and what all its successors share.
pub(crate) struct Deployment {
    workshop: Arc<Workshop>,
    current: Current,
    /// One reload at a time.
    turn: tokio::sync::Mutex<()>,
}

/// Stores by label, each with where its data are.
type Opened = BTreeMap<String, (StoreConfig, Store)>;

/// What applications are made of and made with.
struct Workshop {
    origin: Origin,
    engine: Engine,
    linker: Linker<Guest>,
    network: Arc<Network>,
    pools: Pools,
    background: Background,
    metrics: Arc<Metrics>,
    cache: Arc<Cache>,
    known: Arc<Known>,
    listener: Option<Listener>,
    stopped: CancellationToken,
    /// The stores that applications have had: one whose data stay where they are is not opened again.
    stores: Mutex<Opened>,
    /// The files that the last one was made from, also if it could not be.
    files: Mutex<Vec<PathBuf>>,
}

/// An application that was read: its manifest, its routes, and what the machine brings.
pub(crate) struct Plan {
    app: App,
    router: Router,
    runtime: RuntimeConfig,
}

impl Plan {
    /// Reads and checks the files.
    ///
    /// # Errors
    /// What is wrong with them.
    pub(crate) fn read(origin: &Origin) -> Result<Self, StartError> {
        let app = App::load(&origin.manifest, &origin.variables)?;
        let runtime = RuntimeConfig::load(origin.runtime_config.as_deref())?;
        ConfigError::among(&undefined_stores(&app, &runtime))?;
        let (router, route_warnings) = Router::new(&app.triggers).map_err(StartError::Route)?;
        for warning in app.warnings.iter().chain(&runtime.warnings) {
            tracing::warn!("{warning}");
        }
        for warning in route_warnings {
            tracing::warn!("{warning}");
        }
        Ok(Self { app, router, runtime })
    }
}

/// What the core has told the node.
pub(crate) struct Told {
    /// Its answers.
    pub(crate) cache: Arc<Cache>,
    /// Which ids exist.
    pub(crate) known: Arc<Known>,
}

impl Deployment {
    /// The first application.
    ///
    /// # Errors
    /// Whatever keeps it from running.
    pub(crate) async fn start(
        origin: Origin,
        plan: Plan,
        network: Arc<Network>,
        metrics: Arc<Metrics>,
        told: Told,
        listener: Option<Listener>,
        stopped: CancellationToken,
    ) -> Result<Self, StartError> {
        let engine = engine::shared().map_err(|error| StartError::Engine(format!("{error:#}")))?;
        let linker = host::linker(&engine).map_err(|e| StartError::Engine(format!("{e:#}")))?;
        let (stores, files) = (Mutex::default(), Mutex::default());
        let threads = tokio::runtime::Handle::current().metrics().num_workers();
        let (pools, background) = (Pools::new(), Background::beside(threads));
        let workshop = Workshop {
            origin,
            engine,
            linker,
            network,
            pools,
            background,
            metrics,
            cache: told.cache,
            known: told.known,
            listener,
            stopped,
            stores,
            files,
        };
        let workshop = Arc::new(workshop);
        let site = Arc::clone(&workshop).make(plan, None).await?.site;
        workshop.metrics.application.serve(&site.identity);
        let current = Arc::new(ArcSwap::new(site));
        Ok(Self { workshop, current, turn: tokio::sync::Mutex::default() })
    }

    /// Where the application that is served is found.
    pub(crate) fn current(&self) -> Current {
        Arc::clone(&self.current)
    }

    /// What it is.
    pub(crate) fn identity(&self) -> Identity {
        self.current.load().identity.clone()
    }

    /// The store of this label, if a component lists it.
    pub(crate) fn store(&self, label: &str) -> Option<Store> {
        lock(&self.workshop.stores).get(label).map(|(_, store)| store.clone())
    }

    /// The files that the application is made from.
    pub(crate) fn files(&self) -> Vec<PathBuf> {
        lock(&self.workshop.files).clone()
    }

    /// Puts the application as it is on disk in the place of the one that is served.
    ///
    /// # Errors
    /// What is wrong with it; then nothing has changed.
    pub(crate) async fn reload(&self) -> Result<Deployed, StartError> {
        let _turn = self.turn.lock().await;
        let start = Instant::now();
        let (workshop, old) = (Arc::clone(&self.workshop), self.current.load_full());
        let made = match Plan::read(&workshop.origin) {
            Ok(plan) => workshop.make(plan, Some(Arc::clone(&old))).await,
            Err(error) => Err(error),
        };
        let deployed = made.map(|made| self.succeed(old, made));
        let outcome = match &deployed {
            Ok(Deployed { is_changed: true, .. }) => "reloaded",
            Ok(Deployed { is_changed: false, .. }) => "unchanged",
            Err(_) => "failed",
        };
        self.workshop.metrics.application.count_reload("application", outcome);
        let elapsed_ms = u64::try_from(start.elapsed().as_millis()).unwrap_or(u64::MAX);
        match &deployed {
            Ok(Deployed { identity, renewed, .. }) => {
                let Identity { application, version, generation } = identity;
                tracing::info!(
                    application,
                    version,
                    generation,
                    outcome,
                    ?renewed,
                    elapsed_ms,
                    "reload"
                );
            }
            Err(error) => {
                tracing::error!(%error, elapsed_ms, "reload failed; the old application serves on");
            }
        }
        deployed
    }

    /// Has the new application serve.
    fn succeed(&self, old: Arc<Site>, made: Made) -> Deployed {
        let Made { site, retired, renewed, is_changed } = made;
        if is_changed {
            retired.iter().for_each(|edition| edition.retire());
            self.current.store(Arc::clone(&site));
            self.workshop.metrics.application.serve(&site.identity);
            // What is still in progress there may ask its other components, also after its answer has begun.
            tokio::spawn(async move {
                tokio::time::sleep(limits::RETIRED_SITE).await;
                drop(old);
            });
        }
        Deployed { identity: site.identity.clone(), renewed, is_changed }
    }
}

/// An application that is ready to serve.
struct Made {
    site: Arc<Site>,
    /// What ends when it does.
    retired: Vec<Arc<Edition>>,
    renewed: Vec<String>,
    /// Or it is the old one, which is still good.
    is_changed: bool,
}

impl Workshop {
    async fn make(self: Arc<Self>, plan: Plan, old: Option<Arc<Site>>) -> Result<Made, StartError> {
        let seconds = plan.app.canaries.values().map(|canary| &canary.component);
        let components = plan.app.components.values().chain(seconds);
        let sources = components.flat_map(Component::files).cloned();
        let own = [Some(self.origin.manifest.clone()), self.origin.runtime_config.clone()];
        *lock(&self.files) = own.into_iter().flatten().chain(sources).collect();
        let (opened, moved) = self.open_stores(&plan).await?;
        let stores = opened.iter().map(|(label, (_, store))| (label.clone(), store.clone()));
        let stores = Arc::new(stores.collect());
        let workshop = Arc::clone(&self);
        let assembled = tokio::task::spawn_blocking(move || {
            workshop.assemble(plan, &stores, &moved, old.as_ref())
        });
        let made = assembled.await.expect("putting the application together does not panic")?;
        // Only now: those of an application that failed have no say in what has moved.
        lock(&self.stores).extend(opened);
        Ok(made)
    }

    /// A store for each label that a component lists, and the labels whose data are elsewhere than before.
    async fn open_stores(&self, plan: &Plan) -> Result<(Opened, BTreeSet<String>), StartError> {
        let (mut opened, mut moved) = (Opened::new(), BTreeSet::new());
        let components = plan.app.components.values();
        let labels: BTreeSet<_> = components.flat_map(|it| &it.key_value_stores).collect();
        for label in labels {
            let Some(config) = plan.runtime.store(label) else { continue };
            let known = lock(&self.stores).get(label).cloned();
            let store = match known {
                Some((known, store)) if known == *config => store,
                known => {
                    moved.extend(known.map(|_| label.clone()));
                    Store::open(label, config, &self.metrics).await?
                }
            };
            opened.insert(label.clone(), (config.clone(), store));
        }
        Ok((opened, moved))
    }

    /// Compiles and links: not for a thread that serves.
    fn assemble(
        &self,
        plan: Plan,
        stores: &Arc<Stores>,
        moved: &BTreeSet<String>,
        old: Option<&Arc<Site>>,
    ) -> Result<Made, StartError> {
        let Plan { mut app, router, .. } = plan;
        let canaries = Canaries::of(&app.canaries);
        let seconds =
            std::mem::take(&mut app.canaries).into_values().map(|canary| canary.component);
        app.components.extend(seconds.map(|second| (second.id.clone(), second)));
        let compiled =
            compile::load_all(&self.engine, &self.origin.cache_dir, app.components.values())?;
        let comparison =
            Comparison { old, app: &app, canaries: &canaries, compiled: &compiled, moved };
        if let Some(site) = comparison.same_site() {
            return Ok(Made { site, retired: Vec::new(), renewed: Vec::new(), is_changed: false });
        }
        let kept = comparison.kept();
        let link = SiteLink::default();
        let (mut running, mut renewed) = (BTreeMap::new(), Vec::new());
        let components = app.components.len();
        for (id, component) in app.components {
            let runs = match kept.get(&id) {
                Some(kept) => kept.clone(),
                None => {
                    renewed.push(id.clone());
                    self.run(component, &compiled[&id], stores, &link, components)?
                }
            };
            running.insert(Arc::from(id), runs);
        }
        let is_kept = |edition: &Arc<Edition>| {
            running.values().any(|runs: &Running| Arc::ptr_eq(&runs.edition, edition))
        };
        let editions = old.iter().flat_map(|old| old.running.values()).map(|runs| &runs.edition);
        let retired = editions.filter(|edition| !is_kept(edition)).cloned().collect();
        let generation = old.map_or(0, |old| old.identity.generation) + 1;
        let identity = Identity { application: app.name, version: app.version, generation };
        let site =
            Site::new(identity, app.triggers, canaries, router, running, Arc::clone(&self.cache));
        link.get_or_init(|| Arc::downgrade(&site));
        Ok(Made { site, retired, renewed, is_changed: true })
    }

    /// Links one of `components`; starts no instance yet.
    fn run(
        &self,
        component: Component,
        compiled: &Compiled,
        stores: &Arc<Stores>,
        link: &SiteLink,
        components: usize,
    ) -> Result<Running, StartError> {
        let id = component.id.clone();
        let shared = Arc::new(Shared {
            engine: self.engine.clone(),
            component,
            stores: Arc::clone(stores),
            cache: Arc::clone(&self.cache),
            known: Arc::clone(&self.known),
            network: Arc::clone(&self.network),
            site: Arc::clone(link),
            shares: self.pools.shares(components),
            background: self.background.clone(),
            metrics: Arc::clone(&self.metrics),
            listener: self.listener.clone(),
            stopped: self.stopped.clone(),
        });
        let pool = Pool::new(&self.linker, &compiled.component, shared)
            .map_err(|error| StartError::Link { id: id.clone(), reason: format!("{error:#}") })?;
        // To whom it answers, both versions are the component.
        let name = id.split_once('@').map_or(id.as_str(), |(name, _)| name);
        let edition = Edition::new(Arc::from(name));
        Ok(Running { pool: Arc::new(pool), edition, digest: Arc::clone(&compiled.digest) })
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
