//! `core-service serve`: opens the ledger, answers requests, and stops without losing any.
//!
//! Stopping: no new connections; the requests being answered, and the work that outlives them, get
//! [`limits::SHUTDOWN_GRACE`]; the jobs end after their round; the ledger is closed last.

use crate::app::{App, Parts, Settings};
use crate::auth::keys::Keys;
use crate::clock::{Clock, SystemClock};
use crate::db::folder::DataFolder;
use crate::db::{Db, Location, OpenError};
use crate::fast::FastStore;
use crate::fast::guarded::Guarded;
use crate::fast::memory::Memory;
use crate::fast::redis::Redis;
use crate::http::server;
use crate::ids::lease::NodeLease;
use crate::payments::sandbox::{Sandbox, WebhookSender};
use crate::{audit, feed, gate, jobs, limits, router};
use anyhow::{Context as _, bail, ensure};
use clap::Args;
use std::io::Write as _;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::process::ExitCode;
use std::sync::Arc;
use tiffin_process::{log, stdin};
use tokio::net::TcpListener;
use tokio::signal::unix::{SignalKind, signal};
use tokio::time::{sleep, timeout};
use tokio_util::sync::CancellationToken;

/// How the program ends when the data was written by another version: a caller can tell it apart.
const EXIT_OTHER_VERSION: u8 = 3;

/// What `core-service serve` takes.
#[derive(Debug, Args)]
pub struct ServeArgs {
    /// Where to listen.
    #[arg(long, env = "TIFFIN_LISTEN", default_value = "127.0.0.1:3001")]
    listen: SocketAddr,
    /// The folder for the ledger and the keys; made if it is missing.
    #[arg(long, env = "TIFFIN_DATA", default_value = "tiffin-data")]
    data: PathBuf,
    /// The ledger as a database: mysql://user:password@host:port/name, made if it is missing. Several cores may
    /// share it, and then share --data for the keys. Without it, the ledger is a file in the data folder.
    #[arg(long, env = "TIFFIN_DATABASE_URL", hide_env_values = true)]
    database: Option<String>,
    /// The fast store as a Redis or Valkey server, redis://host:port/number, shared by all cores of a ledger. Without it,
    /// this process keeps what it needs by itself.
    #[arg(long, env = "TIFFIN_REDIS_URL", hide_env_values = true)]
    redis: Option<String>,
    /// The most units that a user may hold in unpaid orders.
    #[arg(long, env = "TIFFIN_HELD_UNITS", default_value_t = limits::HELD_UNITS,
          value_parser = clap::value_parser!(i64).range(1..))]
    held_units: i64,
    /// How long an order may stay unpaid, seconds.
    #[arg(long, env = "TIFFIN_PAY_WITHIN_S", default_value_t = limits::PAY_WITHIN_MS / 1_000,
          value_parser = clap::value_parser!(i64).range(1..=limits::PAY_WITHIN_MOST_S))]
    pay_within_s: i64,
    /// Let testers tell the sandbox payment provider what to do, at /sandbox.
    #[arg(long)]
    sandbox: bool,
    /// Stop when standard input ends: a parent that dies takes the core with it.
    #[arg(long)]
    exit_on_stdin_close: bool,
}

/// Runs until it is told to stop.
pub async fn run(args: ServeArgs) -> anyhow::Result<ExitCode> {
    let _log = log::start();
    ensure!(
        !args.sandbox || args.listen.ip().is_loopback(),
        "--sandbox lets whoever reaches {} decide payments; listen on a loopback address with it",
        args.listen
    );
    let (folder, location) = match &args.database {
        Some(url) => (DataFolder::share(&args.data)?, Location::url(url)?),
        None => {
            let folder = DataFolder::take(&args.data)?;
            let location = Location::file(&folder.ledger_file());
            (folder, location)
        }
    };
    let db = match Db::open(&location).await {
        Ok(db) => db,
        Err(error @ OpenError::OtherVersion { .. }) => {
            // Nobody may be reading stderr; the exit code tells it too.
            _ = writeln!(
                std::io::stderr(),
                "core-service: {error}; move the folder away, or start on another one with --data"
            );
            return Ok(ExitCode::from(EXIT_OTHER_VERSION));
        }
        Err(error) => return Err(error.into()),
    };
    let listener = TcpListener::bind(args.listen).await.with_context(|| {
        format!("cannot listen on {}; choose another address with --listen", args.listen)
    })?;
    let address = listener.local_addr()?;

    let stop = CancellationToken::new();
    let clock: Arc<dyn Clock> = Arc::new(SystemClock);
    let node = Arc::new(NodeLease::take(db.clone(), Arc::clone(&clock)).await?);
    let app = build_app(&args, &folder, db.clone(), clock, &node, address)?;
    tokio::spawn(stop_when_told(stop.clone(), args.exit_on_stdin_close));
    tracing::info!(%address, data = %args.data.display(), "ready");

    let outcome = work(listener, app, Arc::clone(&node), args.sandbox, stop).await;
    match timeout(limits::DB_CLOSE_TIMEOUT, node.release()).await {
        Ok(Ok(())) => {}
        Ok(Err(error)) => tracing::warn!(%error, "the node number is free when its lease ends"),
        Err(_) => tracing::warn!("the node number is free when its lease ends"),
    }
    if timeout(limits::DB_CLOSE_TIMEOUT, db.close()).await.is_err() {
        tracing::warn!("the ledger is still in use; the next start puts it in order");
    }
    outcome?;
    tracing::info!("stopped");
    Ok(ExitCode::SUCCESS)
}

/// Answers requests and runs the jobs until `stop`, and then what is in progress, within the grace.
async fn work(
    listener: TcpListener,
    app: Arc<App>,
    node: Arc<NodeLease>,
    with_sandbox: bool,
    stop: CancellationToken,
) -> anyhow::Result<()> {
    let (tasks, stop_jobs) = (app.tasks.clone(), stop.clone());
    let gate = Arc::clone(&app.gate);
    let routes = router::router(Arc::clone(&app), with_sandbox);
    let heal = heal_gate(Arc::clone(&app), stop.clone());
    let relay = feed::relay::run(Arc::clone(&app), stop.clone());
    let audit = audit::job::run(Arc::clone(&app), stop.clone());
    let told = stop.clone();
    let jobs = async move {
        tokio::join!(jobs::run(app, stop_jobs), heal, relay, audit, node.keep(told));
    };
    let mut jobs = tokio::spawn(keep_running(jobs, stop.clone()));
    let everything = async {
        server::serve(listener, routes, stop.clone()).await;
        tasks.close();
        tasks.wait().await;
        let ended = (&mut jobs).await;
        gate.settled().await;
        ended
    };
    let grace = async {
        stop.cancelled().await;
        sleep(limits::SHUTDOWN_GRACE).await;
    };
    let ended = tokio::select! {
        ended = everything => Some(ended),
        () = grace => None,
    };
    match ended {
        Some(ended) => ended?,
        None => {
            tracing::warn!("some requests did not finish in time");
            // If the jobs have failed, that is why the core stops.
            if jobs.is_finished() { jobs.await? } else { Ok(()) }
        }
    }
}

/// Keeps the gate in step with the ledger.
async fn heal_gate(app: Arc<App>, stop: CancellationToken) {
    let (gate, owner) = (Arc::clone(&app.gate), app.ids.next().to_string());
    let follow = gate::known::follow(Arc::clone(&gate), Arc::clone(&app.clock), stop.clone());
    let repair = gate::repair::run(gate, owner, stop, |swept| app.metrics.gate_swept(swept));
    tokio::join!(follow, repair);
}

/// Runs what has to run for as long as the core does: if it ends before `stop`, the core stops too, with
/// an error, instead of going on without it.
async fn keep_running(
    jobs: impl Future<Output = ()> + Send + 'static,
    stop: CancellationToken,
) -> anyhow::Result<()> {
    let ended = tokio::spawn(jobs).await;
    let was_told = stop.is_cancelled();
    stop.cancel();
    ended.context("the jobs failed; the log says why")?;
    if !was_told {
        bail!("the jobs ended by themselves");
    }
    Ok(())
}

fn build_app(
    args: &ServeArgs,
    folder: &DataFolder,
    db: Db,
    clock: Arc<dyn Clock>,
    node: &NodeLease,
    address: SocketAddr,
) -> anyhow::Result<Arc<App>> {
    let keys = Arc::new(Keys::load_or_create(folder.path())?);
    let core_url = format!("http://{address}");
    let sender = WebhookSender::new(&core_url, Arc::clone(&keys), Arc::clone(&clock))
        .context("the sandbox cannot send webhooks")?;
    let ids = Arc::new(node.ids());
    let store: Arc<dyn FastStore> = match &args.redis {
        Some(url) => Arc::new(Redis::open(url)?),
        None => Arc::new(Memory::new(Arc::clone(&clock))),
    };
    Ok(App::start(Parts {
        fast: Arc::new(Guarded::new(store, Arc::clone(&clock))),
        clock,
        ids,
        sandbox: Sandbox::with_webhooks(db.clone(), sender),
        keys,
        db,
        settings: Settings {
            pay_within_ms: args.pay_within_s * 1_000,
            held_units_cap: args.held_units,
        },
    }))
}

/// Cancels `stop` on SIGTERM, Ctrl-C, or the end of standard input.
async fn stop_when_told(stop: CancellationToken, watch_stdin: bool) {
    let terminated = async {
        match signal(SignalKind::terminate()) {
            Ok(mut terminate) => _ = terminate.recv().await,
            Err(_) => std::future::pending().await,
        }
    };
    tokio::select! {
        () = terminated => {}
        _ = tokio::signal::ctrl_c() => {}
        () = stdin::closed(), if watch_stdin => {}
    }
    tracing::info!("stopping");
    stop.cancel();
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn the_core_does_not_go_on_without_its_jobs() {
        let stop = CancellationToken::new();
        let panicked = keep_running(async { panic!("a defect") }, stop.clone()).await;
        assert!(panicked.is_err() && stop.is_cancelled());

        let stop = CancellationToken::new();
        let ended = keep_running(async {}, stop.clone()).await;
        assert!(ended.is_err() && stop.is_cancelled());

        let stop = CancellationToken::new();
        stop.cancel();
        assert!(keep_running(async {}, stop).await.is_ok());
    }
}
