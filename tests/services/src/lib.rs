//! A private MariaDB and a private Redis for development and tests.
//!
//! Start with [`Services::start`]. Each run has its own folder, its own ports on the loopback
//! interface and its own processes, so that nothing that runs on the machine already is touched.
//! `daemon` is one process, `mariadb` and `redis` know the two kinds, `folder` says whose data is
//! whose, `programs` finds or installs what is started. [`claim`], [`command`] and [`debian`] also
//! serve `xtask`.
//!
//! Invariants: what was started is stopped when the value drops, and dies with this process even
//! if that is killed; a run that crashed is no obstacle to the next one on the same data; a server
//! that the person named by `DATABASE_URL` or `REDIS_URL` is used and never stopped.

pub mod claim;
pub mod command;
mod daemon;
pub mod debian;
mod folder;
pub mod limits;
mod mariadb;
mod programs;
mod redis;
mod url;

use std::collections::hash_map::RandomState;
use std::env;
use std::fs;
use std::hash::BuildHasher;
use std::net::{Ipv4Addr, TcpListener};
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, anyhow, bail};

pub use daemon::{Daemon, last_words};

use daemon::Plan;
use folder::Folder;
use programs::{Needs, Programs};
use url::ServerUrl;

/// What a commit promises.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Durability {
    /// A commit that was answered is on the disk: survives even a loss of power.
    Durable,
    /// Nothing waits for the disk, and a kill may lose the last second: for tests.
    Relaxed,
}

/// What to do when another process uses the folder.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum WhenInUse {
    /// Fail and say so.
    Refuse,
    /// Take the folder `NAME-2` beside it, or the next that is free.
    NextFolder,
}

/// What to start, and where.
#[derive(Debug, Clone)]
pub struct Options {
    /// Where data, logs and sockets are kept; made if it is missing.
    pub folder: PathBuf,
    /// What a commit promises.
    pub durability: Durability,
    /// What to do when another process uses the folder.
    pub when_in_use: WhenInUse,
    /// Whether to delete what earlier runs left in the folder.
    pub fresh: bool,
    /// A MySQL server to use instead of an own one.
    pub database_url: Option<String>,
    /// A Redis to use instead of an own one.
    pub redis_url: Option<String>,
}

impl Options {
    /// Durable services that keep their data in `target/services/NAME`, or the servers that
    /// `DATABASE_URL` and `REDIS_URL` name.
    pub fn named(name: &str) -> Self {
        let given = |variable| env::var(variable).ok().filter(|url| !url.is_empty());
        Self {
            folder: workspace().join("target/services").join(name),
            durability: Durability::Durable,
            when_in_use: WhenInUse::Refuse,
            fresh: false,
            database_url: given("DATABASE_URL"),
            redis_url: given("REDIS_URL"),
        }
    }

    /// Own services, whatever the environment says: for drills, which kill them.
    pub fn own(folder: impl Into<PathBuf>, durability: Durability) -> Self {
        Self {
            folder: folder.into(),
            durability,
            when_in_use: WhenInUse::Refuse,
            fresh: false,
            database_url: None,
            redis_url: None,
        }
    }
}

/// The workspace's root.
fn workspace() -> &'static Path {
    let own = Path::new(env!("CARGO_MANIFEST_DIR"));
    own.ancestors().nth(2).expect("this crate lies two folders below the root")
}

/// Running services. Dropping the value stops what it started: Redis, then MariaDB.
#[derive(Debug)]
pub struct Services {
    // The order of the fields is the order of dropping.
    redis: Option<Daemon>,
    mariadb: Option<Daemon>,
    database_url: ServerUrl,
    redis_url: String,
    folder: Option<Folder>,
}

impl Services {
    /// Starts what the options do not name, and waits until it answers. The first start on a folder
    /// takes some seconds, later ones less than one.
    ///
    /// # Errors
    /// A program is missing and cannot be installed, the folder is in use or not ours, a daemon
    /// does not start (the message ends with its log), or a URL is none.
    pub fn start(options: &Options) -> Result<Self> {
        let given = options.database_url.as_deref().map(ServerUrl::parse).transpose()?;
        options.redis_url.as_deref().map(url::check_redis).transpose()?;
        let needs = Needs { mariadb: given.is_none(), redis: options.redis_url.is_none() };
        let mut folder = None;
        let mut mariadb = None;
        let mut redis = None;
        if needs.mariadb || needs.redis {
            let programs = Programs::find_or_install(needs)?;
            let wanted = std::path::absolute(&options.folder)?;
            let taken = Folder::take(&wanted, options.fresh, options.when_in_use)?;
            let path = taken.path();
            if needs.mariadb {
                mariadb::install(path, &programs)?;
                let plan = |port| mariadb::plan(path, &programs, port, options.durability);
                mariadb = Some(start_on_a_free_port(plan)?);
            }
            if needs.redis {
                let data = path.join(redis::DATA);
                fs::create_dir_all(&data).with_context(|| format!("making {}", data.display()))?;
                redis = Some(start_on_a_free_port(|port| redis::plan(path, &programs, port))?);
            }
            folder = Some(taken);
        }
        let database_url = match (given, &mariadb) {
            (Some(given), _) => given,
            (None, own) => ServerUrl::own(own.as_ref().map_or(0, Daemon::port)),
        };
        let redis_url = match (&options.redis_url, &redis) {
            (Some(given), _) => given.clone(),
            (None, own) => redis_url(own.as_ref().map_or(0, Daemon::port)),
        };
        Ok(Self { redis, mariadb, database_url, redis_url, folder })
    }

    /// The MySQL server, without a database's name: `mysql://root@127.0.0.1:PORT/`.
    pub fn database_url(&self) -> String {
        self.database_url.with_database("")
    }

    /// One database on that server. It need not exist.
    pub fn database_url_for(&self, name: &str) -> String {
        self.database_url.with_database(name)
    }

    /// The Redis: `redis://127.0.0.1:PORT/`.
    pub fn redis_url(&self) -> &str {
        &self.redis_url
    }

    /// Our MariaDB.
    ///
    /// # Errors
    /// `DATABASE_URL` named another, which is not ours to stop.
    pub fn mariadb(&self) -> Result<&Daemon> {
        self.mariadb.as_ref().ok_or_else(|| not_ours("MariaDB", "DATABASE_URL"))
    }

    /// Our Redis.
    ///
    /// # Errors
    /// `REDIS_URL` named another, which is not ours to stop.
    pub fn redis(&self) -> Result<&Daemon> {
        self.redis.as_ref().ok_or_else(|| not_ours("Redis", "REDIS_URL"))
    }

    /// What was started, in the order of stopping.
    pub fn daemons(&self) -> impl Iterator<Item = &Daemon> {
        [&self.redis, &self.mariadb].into_iter().flatten()
    }

    /// Where data and logs are; nothing when both servers are others'.
    pub fn folder(&self) -> Option<&Path> {
        self.folder.as_ref().map(Folder::path)
    }

    /// Stops what was started, in order; dropping does the same and can only print an error.
    pub fn stop(self) -> Result<()> {
        self.daemons().try_for_each(Daemon::stop)
    }
}

fn redis_url(port: u16) -> String {
    format!("redis://127.0.0.1:{port}/")
}

fn not_ours(name: &str, variable: &str) -> anyhow::Error {
    anyhow!(
        "{variable} names a {name} that is not ours to stop or restart: unset it to have a private \
         one started"
    )
}

/// Starts a daemon on a port that is free now, and on another if somebody took it meanwhile.
fn start_on_a_free_port(plan: impl Fn(u16) -> Plan) -> Result<Daemon> {
    let mut attempts_left = limits::PORT_ATTEMPTS;
    loop {
        attempts_left -= 1;
        match Daemon::start(plan(free_port()?)) {
            Err(error) if attempts_left > 0 && port_was_taken(&error) => {}
            outcome => return outcome,
        }
    }
}

/// Both daemons print the system's own words for EADDRINUSE.
fn port_was_taken(error: &anyhow::Error) -> bool {
    error.to_string().contains("Address already in use")
}

/// A port that is free now, for a daemon that will be down at times and come back to it.
///
/// Not the system's choice (port 0): from its range come the ports of outgoing connections too, and
/// while a daemon is down, one of those could take the daemon's port; a client that keeps
/// connecting there could even meet itself.
///
/// # Errors
/// All of them are taken.
pub fn free_port() -> Result<u16> {
    let (first, last) = (*limits::PORTS.start(), *limits::PORTS.end());
    // Somewhere else each time, so that two processes that look at once do not choose alike.
    let offset = RandomState::new().hash_one(std::process::id()) % u64::from(last - first);
    let start = first + u16::try_from(offset).context("an offset within the range")?;
    let is_free = |port: &u16| TcpListener::bind((Ipv4Addr::LOCALHOST, *port)).is_ok();
    match (start..=last).chain(first..start).find(is_free) {
        Some(port) => Ok(port),
        None => bail!("no port of 127.0.0.1 between {first} and {last} is free"),
    }
}
