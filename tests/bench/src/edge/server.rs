//! The servers that are measured, each started on a free port, held to the servers' processor and ready to answer.

use super::config;
use super::peers::{Found, Peer, Peers};
use crate::limits;
use crate::process::{Launch, Process, command_on, free_address};
use anyhow::Context as _;
use std::fs;
use std::net::SocketAddr;
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};
use std::process::Command;
use tempfile::TempDir;
use tiffin_bench_guest::MENU;

/// What edge-node is called in the report.
pub const EDGE_NODE: &str = "edge-node";
/// The same with its access log.
pub const EDGE_NODE_LOGGED: &str = "edge-node-logged";
/// nginx.
pub const NGINX: &str = "nginx";
/// The same with its access log.
pub const NGINX_LOGGED: &str = "nginx-logged";
/// Varnish.
pub const VARNISH: &str = "varnish";
/// `wasmtime serve`.
pub const WASMTIME_SERVE: &str = "wasmtime-serve";
/// workerd.
pub const WORKERD: &str = "workerd";

/// Where everything is that a server needs.
pub struct Bench {
    /// edge-node's program.
    pub edge: PathBuf,
    /// The guest of the benchmark.
    pub guest: PathBuf,
    /// Where servers log.
    pub logs: PathBuf,
    /// Where edge-node keeps what it has compiled.
    pub compiled: PathBuf,
    /// The processor that servers are held to.
    pub processor: Option<usize>,
    /// Those to compare with.
    pub peers: Peers,
    /// In memory where the system has such a place.
    folder: TempDir,
}

/// A server that runs.
pub struct Server {
    /// What the report calls it.
    pub name: &'static str,
    /// It.
    pub process: Process,
    /// The processor that it is held to.
    pub processor: Option<usize>,
    /// Where edge-node is administered; others are not.
    pub admin: Option<SocketAddr>,
}

impl Server {
    /// Where it listens.
    pub fn address(&self) -> SocketAddr {
        self.process.address
    }
}

impl Bench {
    /// Makes the folders; programs are given by their absolute paths.
    pub fn new(
        edge: PathBuf,
        guest: PathBuf,
        out: &Path,
        processor: Option<usize>,
        peers: Peers,
    ) -> anyhow::Result<Self> {
        let own = out.join("edge");
        let (logs, compiled) = (own.join("logs"), own.join("compiled"));
        // What an earlier run left would be mistaken for this one's.
        _ = fs::remove_dir_all(&logs);
        fs::create_dir_all(&logs)?;
        let memory = Path::new("/dev/shm");
        let folder = tempfile::Builder::new();
        let folder = match memory.is_dir() {
            true => folder.tempdir_in(memory),
            false => folder.tempdir_in(&own),
        };
        let folder = folder.context("cannot make a folder for the servers")?;
        Ok(Self { edge, guest, logs, compiled, processor, peers, folder })
    }

    /// A folder of its own for something that runs.
    pub fn folder(&self, name: &str) -> anyhow::Result<PathBuf> {
        let folder = self.folder.path().join(name);
        fs::create_dir(&folder)?;
        Ok(folder)
    }

    /// Starts edge-node on a manifest, ready when it answers 200 at `ready_at`.
    pub async fn edge_node(
        &self,
        name: &'static str,
        manifest: &Path,
        arguments: &[String],
        ready_at: &str,
    ) -> anyhow::Result<Server> {
        let (address, admin) = (free_address()?, free_address()?);
        let mut command = command_on(self.processor, &self.edge);
        command.arg("up").arg("--from").arg(manifest).arg("--cache-dir").arg(&self.compiled);
        command.args(["--listen", &address.to_string(), "--admin", &admin.to_string()]);
        command.args(arguments);
        // Warnings only: no other server writes a line for each request either.
        let level = if name == EDGE_NODE_LOGGED { "info" } else { "warn" };
        command.env("RUST_LOG", level);
        let mut server = self.launch(name, command, address, ready_at).await?;
        server.admin = Some(admin);
        Ok(server)
    }

    /// Writes edge-node's manifest for the benchmark's guest.
    pub fn manifest(&self, origin: SocketAddr) -> anyhow::Result<PathBuf> {
        self.write("spin.toml", &config::manifest(&self.guest, origin))
    }

    /// Starts nginx as a cache in front of the origin.
    pub async fn nginx(
        &self,
        name: &'static str,
        origin: SocketAddr,
        ready_at: &str,
    ) -> anyhow::Result<Option<Server>> {
        let Ok(peer) = &self.peers.nginx else { return Ok(None) };
        let folder = self.folder(name)?;
        let user = (fs::metadata(&folder)?.uid() == 0).then_some("root");
        let address = free_address()?;
        let logged = name == NGINX_LOGGED;
        let text = config::nginx(&folder, address, origin, user, logged);
        let file = self.write(&format!("{name}.conf"), &text)?;
        let mut command = command_on(self.processor, &peer.program);
        command.arg("-p").arg(&folder).arg("-c").arg(&file);
        self.launch(name, command, address, ready_at).await.map(Some)
    }

    /// Starts Varnish as a cache in front of the origin.
    pub async fn varnish(
        &self,
        origin: SocketAddr,
        ready_at: &str,
    ) -> anyhow::Result<Option<Server>> {
        let Ok(peer) = &self.peers.varnish else { return Ok(None) };
        let program = self.write("menu.vcl", &config::varnish(origin))?;
        let address = free_address()?;
        let mut command = command_on(self.processor, &peer.program);
        command.args(config::varnish_arguments(self.folder.path(), &program, address));
        self.launch(VARNISH, command, address, ready_at).await.map(Some)
    }

    /// Starts `wasmtime serve` with the guest.
    pub async fn wasmtime_serve(&self, ready_at: &str) -> anyhow::Result<Option<Server>> {
        let Ok(peer) = &self.peers.wasmtime else { return Ok(None) };
        let address = free_address()?;
        let mut command = command_on(self.processor, &peer.program);
        command.args(config::wasmtime_arguments(&self.guest, address));
        self.launch(WASMTIME_SERVE, command, address, ready_at).await.map(Some)
    }

    /// Starts workerd with the guest's twin.
    pub async fn workerd(&self, ready_at: &str) -> anyhow::Result<Option<Server>> {
        let Ok(peer) = &self.peers.workerd else { return Ok(None) };
        let address = free_address()?;
        self.write("menu.js", include_str!("../../guest/menu.js"))?;
        self.write("menu.json", MENU)?;
        let file = self.write("menu.capnp", &config::workerd(address))?;
        let mut command = command_on(self.processor, &peer.program);
        command.arg("serve").arg(&file);
        self.launch(WORKERD, command, address, ready_at).await.map(Some)
    }

    fn write(&self, name: &str, text: &str) -> anyhow::Result<PathBuf> {
        let file = self.folder.path().join(name);
        fs::write(&file, text).with_context(|| format!("cannot write {}", file.display()))?;
        Ok(file)
    }

    async fn launch(
        &self,
        name: &'static str,
        command: Command,
        address: SocketAddr,
        ready_at: &str,
    ) -> anyhow::Result<Server> {
        let ready_within = limits::EDGE_READY_WITHIN;
        let poll = limits::START_POLL;
        let launch = Launch { name, command, address, ready_at, ready_within, poll };
        let process = Process::start(launch, &self.logs).await?;
        Ok(Server { name, process, processor: self.processor, admin: None })
    }
}

/// Why a system was not measured, if it is missing.
pub fn missing(peers: &Peers) -> impl Iterator<Item = (&'static str, &str)> {
    [
        (NGINX, &peers.nginx),
        (VARNISH, &peers.varnish),
        (WASMTIME_SERVE, &peers.wasmtime),
        (WORKERD, &peers.workerd),
    ]
    .into_iter()
    .filter_map(|(name, found)| Some((name, found.as_ref().err()?.as_str())))
}

/// The versions of those that are here.
pub fn versions(peers: &Peers) -> impl Iterator<Item = (&'static str, &str)> {
    let all: [(&'static str, &Found); 4] = [
        (NGINX, &peers.nginx),
        (VARNISH, &peers.varnish),
        (WASMTIME_SERVE, &peers.wasmtime),
        (WORKERD, &peers.workerd),
    ];
    all.into_iter().filter_map(|(name, found)| {
        let Peer { version, .. } = found.as_ref().ok()?;
        Some((name, version.as_str()))
    })
}
