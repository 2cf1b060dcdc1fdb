//! `tiffin-bench edge`: edge-node beside other servers, one processor for the servers and one for the clients.
//!
//! Two comparisons ([`track`]): as a *cache* of an origin's 8 KiB menu beside nginx and Varnish, and as a host that
//! *computes*, one WebAssembly component beside `wasmtime serve`, and beside workerd with its twin in JavaScript.
//! Then what a cache has to get right ([`correctness`]), how soon it shows what the core commits ([`news`]), and the
//! node's own [`start`]. [`peers`] finds and installs
//! those others, [`server`] starts them as [`config`] has it, [`measure`] is one measurement; [`origin`] is behind
//! the caches.

pub mod config;
pub mod correctness;
pub mod measure;
pub mod news;
pub mod origin;
pub mod peers;
pub mod plan;
pub mod report;
pub mod server;
pub mod start;
pub mod track;

use crate::process::hold_ourselves_to;
use crate::progress::Progress;
use crate::report::machine::Machine;
use crate::{limits, process};
use anyhow::{Context as _, ensure};
use clap::Args;
use correctness::{Correctness, Purges};
use measure::{Gets, Measurement};
use news::News;
use origin::Origin;
use peers::Peers;
use plan::Plan;
use report::{Facts, Report};
use server::{Bench, EDGE_NODE, EDGE_NODE_LOGGED, NGINX, NGINX_LOGGED, Server};
use start::Starts;
use std::path::PathBuf;
use std::process::ExitCode;

/// What `tiffin-bench edge` takes.
#[derive(Debug, Args)]
pub struct EdgeArgs {
    /// edge-node's program, built for release.
    #[arg(long)]
    edge: PathBuf,
    /// The core's program, built for release; without it nobody knows how soon its edits are seen.
    #[arg(long)]
    core: Option<PathBuf>,
    /// The benchmark's guest.
    #[arg(long, default_value = "target/functions/bench-guest.wasm")]
    guest: PathBuf,
    /// The application whose start is timed, and that is asked for news.
    #[arg(long, default_value = "spin.toml")]
    manifest: PathBuf,
    /// Fewer rounds, shorter measurements: ends within three minutes.
    #[arg(long)]
    quick: bool,
    /// Where the report goes.
    #[arg(long, default_value = "target/bench")]
    out: PathBuf,
    /// Where peers are installed that are no packages of the system.
    #[arg(long, default_value = "target/peers")]
    peers: PathBuf,
    /// Install the peers that are missing: nginx and Varnish by apt, workerd by npm, wasmtime by cargo.
    #[arg(long)]
    install_peers: bool,
    /// Only these scenarios (cache, correctness, compute, news, start); their figures alone are reported.
    #[arg(long, value_delimiter = ',')]
    only: Vec<String>,
}

/// What is found on the way.
#[derive(Debug, Default)]
pub struct Findings {
    /// Every measurement.
    pub measurements: Vec<Measurement>,
    /// What each cache got right.
    pub correctness: Vec<Correctness>,
    /// What became of purges.
    pub purges: Option<Purges>,
    /// How soon the edge shows what the core commits.
    pub news: Option<News>,
    /// What starts took.
    pub starts: Option<Starts>,
    /// What should not have happened.
    pub faults: Vec<String>,
}

impl Findings {
    /// Only edge-node has promised anything: what a peer does not do is in the report, and no fault.
    fn judge(&mut self, system: &str, found: anyhow::Result<Correctness>) {
        match found {
            Ok(found) => {
                if system == EDGE_NODE {
                    self.faults.extend(correctness::faults(&found));
                }
                self.correctness.push(found);
            }
            Err(error) if system == EDGE_NODE => self.faults.push(format!("{system}: {error:#}")),
            Err(error) => eprintln!("    {system}: {error:#}"),
        }
    }
}

/// Measures, writes the report, and fails if an answer was not what it has to be.
pub async fn run(args: EdgeArgs) -> anyhow::Result<ExitCode> {
    let plan = Plan::new(args.quick, &args.only)?;
    for (flag, file) in
        [("--edge", &args.edge), ("--guest", &args.guest), ("--manifest", &args.manifest)]
    {
        ensure!(
            file.is_file(),
            "{flag} {} is no file; `cargo xtask bench edge` builds what it needs",
            file.display()
        );
    }
    let peers = Peers::find(&args.peers, args.install_peers)?;
    for (_, missing) in server::missing(&peers) {
        eprintln!("==> {missing}");
    }
    let processors = std::thread::available_parallelism().map_or(1, usize::from);
    let pinned = processors > 1 && hold_ourselves_to(CLIENTS_PROCESSOR).is_ok();
    if !pinned {
        eprintln!("==> servers and clients cannot be held to processors of their own here");
    }
    let mut progress = Progress::new(plan.expected_s(), None);
    let bench = Bench::new(
        std::path::absolute(&args.edge)?,
        std::path::absolute(&args.guest)?,
        &args.out,
        pinned.then_some(SERVERS_PROCESSOR),
        peers,
    )?;
    let mut findings = Findings::default();
    let manifest = std::path::absolute(&args.manifest)?;
    if plan.start {
        findings.starts = Some(start::run(&bench, &manifest, &plan, &mut progress).await?);
        progress.prepared(plan.start_s());
    }
    if plan.news
        && let Some(core) = &args.core
    {
        let core = std::path::absolute(core)?;
        let clients = pinned.then_some(CLIENTS_PROCESSOR);
        match news::run(&bench, &core, &manifest, clients, &plan, &mut progress).await {
            Ok(found) => findings.news = Some(found),
            // The rest is worth measuring all the same.
            Err(error) => findings.faults.push(format!("news: {error:#}")),
        }
    }
    if plan.cache || plan.correctness {
        caches(&bench, &plan, &mut progress, &mut findings).await?;
    }
    if plan.compute {
        compute(&bench, &plan, &mut progress, &mut findings).await?;
    }
    let facts = Facts {
        quick: args.quick,
        took_s: progress.elapsed().as_secs(),
        machine: Machine { processors, ..Machine::gather() },
        pinned,
        peers: server::versions(&bench.peers)
            .map(|(name, version)| (name, version.to_owned()))
            .collect(),
    };
    let missing = server::missing(&bench.peers).collect();
    let report = Report::new(facts, findings, &missing);
    report::write(&report, &args.out)?;
    print!("{}", report::summary(&report));
    eprintln!("==> {}/edge.json, edge.md and edge.svg are written", args.out.display());
    Ok(if report.faults.is_empty() { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

/// Where servers run.
pub const SERVERS_PROCESSOR: usize = 0;
/// Where the generator runs, and the origin in it.
pub const CLIENTS_PROCESSOR: usize = 1;

/// The caches: how fast, and how right.
async fn caches(
    bench: &Bench,
    plan: &Plan,
    progress: &mut Progress,
    findings: &mut Findings,
) -> anyhow::Result<()> {
    progress.step("starting the caches");
    let mut origin = Origin::start().await?;
    let target = format!("/origin/menu?ttl={}", limits::HIT_TTL_S);
    let manifest = bench.manifest(origin.address)?;
    let mut servers = vec![bench.edge_node(EDGE_NODE, &manifest, &[], &target).await?];
    servers.extend(bench.nginx(NGINX, origin.address, &target).await?);
    servers.extend(bench.varnish(origin.address, &target).await?);
    let quiet = servers.len();
    progress.prepared(plan::PREPARATION_S);
    if plan.cache {
        servers.push(bench.edge_node(EDGE_NODE_LOGGED, &manifest, &[], &target).await?);
        servers.extend(bench.nginx(NGINX_LOGGED, origin.address, &target).await?);
        let gets = Gets::new(&target, origin::document(0));
        track::run(report::CACHE, &servers, &gets, plan, progress, findings).await?;
        let asked = origin.fetches(&target);
        if asked != servers.len() as u64 {
            findings.faults.push(format!(
                "cache: {asked} fetches for {} caches, so not every answer was a hit",
                servers.len()
            ));
        }
    }
    stop(servers.drain(quiet..).collect()).await?;
    if plan.correctness {
        progress.step("caches: one fetch for all, purges, an origin that is gone");
        for server in &servers {
            let found = correctness::run(server, &mut origin, plan, progress).await;
            findings.judge(server.name, found);
        }
        let edge = servers.first().context("edge-node is always there")?;
        match correctness::purges(edge, &origin, plan, progress).await {
            Ok(purges) => {
                if purges.stale_answers > 0 {
                    let fault = format!("{} stale answers after a purge", purges.stale_answers);
                    findings.faults.push(fault);
                }
                findings.purges = Some(purges);
            }
            // What was measured before is worth having all the same.
            Err(error) => findings.faults.push(format!("purges: {error:#}")),
        }
    }
    stop(servers).await
}

/// The hosts of functions.
async fn compute(
    bench: &Bench,
    plan: &Plan,
    progress: &mut Progress,
    findings: &mut Findings,
) -> anyhow::Result<()> {
    progress.step("starting the hosts");
    const TARGET: &str = "/render?lang=en";
    // Nothing asks it; the manifest names one.
    let origin = process::free_address()?;
    let manifest = bench.manifest(origin)?;
    let mut servers = vec![bench.edge_node(EDGE_NODE, &manifest, &[], TARGET).await?];
    servers.extend(bench.wasmtime_serve(TARGET).await?);
    servers.extend(bench.workerd(TARGET).await?);
    let html = tiffin_bench_guest::render::render(tiffin_bench_guest::MENU, "en")?;
    let gets = Gets::new(TARGET, html.into_bytes());
    track::run(report::COMPUTE, &servers, &gets, plan, progress, findings).await?;
    stop(servers).await
}

async fn stop(servers: Vec<Server>) -> anyhow::Result<()> {
    for server in servers {
        server.process.stop().await?;
    }
    Ok(())
}
