//! `core-service serve`: opens the ledger, answers requests, and stops without losing any.
//!
//! Stopping: no new connections, the requests being answered get [`limits::SHUTDOWN_GRACE`], the jobs end
//! after their round, the ledger is closed last.

use crate::app::App;
use crate::auth::keys::Keys;
use crate::clock::{Clock, SystemClock};
use crate::db::{Db, OpenError};
use crate::idempotency::in_flight::InFlight;
use crate::ids::{IdGenerator, MAX_NODE};
use crate::payments::sandbox::{Sandbox, WebhookSender};
use crate::telemetry::{self, Metrics};
use crate::{jobs, limits, router};
use anyhow::Context as _;
use axum::serve::ListenerExt as _;
use clap::Args;
use std::io::Read as _;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::sync::Arc;
use tokio::net::TcpListener;
use tokio::signal::unix::{SignalKind, signal};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

/// The ledger's file in the data folder.
const LEDGER_FILE: &str = "ledger.sqlite";
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
    /// This process's number in the ids it mints; no two running cores may share one.
    #[arg(long, env = "TIFFIN_NODE", default_value_t = 0, value_parser = clap::value_parser!(i64).range(0..=MAX_NODE))]
    node: i64,
    /// How long an order may stay unpaid, seconds.
    #[arg(long, env = "TIFFIN_PAY_WITHIN_S", default_value_t = limits::PAY_WITHIN_MS / 1_000,
          value_parser = clap::value_parser!(i64).range(1..=86_400))]
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
    telemetry::init_logs();
    let db = match open_ledger(&args.data).await {
        Ok(db) => db,
        Err(error @ OpenError::OtherVersion { .. }) => {
            eprintln!(
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
    let app = build_app(&args, db.clone(), address)?;
    let tasks = app.tasks.clone();
    let jobs = tokio::spawn(jobs::run(Arc::clone(&app), stop.clone()));
    tokio::spawn(stop_when_told(stop.clone(), args.exit_on_stdin_close));
    tracing::info!(%address, data = %args.data.display(), "ready");

    let listener = listener.tap_io(|stream| {
        // Answers are small: waiting to fill a packet only delays them.
        if let Err(error) = stream.set_nodelay(true) {
            tracing::debug!(%error, "TCP_NODELAY could not be set");
        }
    });
    let server = axum::serve(listener, router::router(app, args.sandbox))
        .with_graceful_shutdown(stop.clone().cancelled_owned());
    let grace = async {
        stop.cancelled().await;
        tokio::time::sleep(limits::SHUTDOWN_GRACE).await;
    };
    tokio::select! {
        served = server => served.context("the listener failed")?,
        () = grace => tracing::warn!("some requests did not finish in time"),
    }
    tasks.close();
    if tokio::time::timeout(limits::SHUTDOWN_GRACE, tasks.wait()).await.is_err() {
        tracing::warn!("some work did not finish in time");
    }
    jobs.await.context("the jobs ended badly")?;
    db.close().await;
    tracing::info!("stopped");
    Ok(ExitCode::SUCCESS)
}

async fn open_ledger(data: &Path) -> Result<Db, OpenError> {
    let file = data.join(LEDGER_FILE);
    std::fs::create_dir_all(data).map_err(|error| OpenError::Unusable {
        file: data.display().to_string(),
        source: sqlx::Error::Io(error),
    })?;
    Db::open(&file).await
}

fn build_app(
    args: &ServeArgs,
    db: Db,
    address: SocketAddr,
) -> anyhow::Result<Arc<App>> {
    let clock: Arc<dyn Clock> = Arc::new(SystemClock);
    let keys = Arc::new(Keys::load_or_create(&args.data)?);
    let core_url = format!("http://{address}");
    let sender = WebhookSender::new(&core_url, Arc::clone(&keys), Arc::clone(&clock), TaskTracker::new());
    Ok(Arc::new(App {
        ids: IdGenerator::new(Arc::clone(&clock), args.node),
        clock,
        in_flight: InFlight::default(),
        sandbox: Sandbox::with_webhooks(db.clone(), sender),
        metrics: Metrics::default(),
        tasks: TaskTracker::new(),
        pay_within_ms: args.pay_within_s * 1_000,
        keys,
        db,
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
    let stdin_closed = async {
        if !watch_stdin || wait_for_stdin_close().await.is_err() {
            std::future::pending::<()>().await;
        }
    };
    tokio::select! {
        () = terminated => {}
        _ = tokio::signal::ctrl_c() => {}
        () = stdin_closed => {}
    }
    tracing::info!("stopping");
    stop.cancel();
}

/// Resolves when standard input ends. A thread of its own, because a blocked read of tokio's would hold up
/// the program's end.
async fn wait_for_stdin_close() -> Result<(), tokio::sync::oneshot::error::RecvError> {
    let (closed, wait) = tokio::sync::oneshot::channel();
    std::thread::spawn(move || {
        let mut buffer = [0_u8; 64];
        while std::io::stdin().read(&mut buffer).is_ok_and(|read| read > 0) {}
        // Nobody listens once the program is stopping for another reason.
        let _ = closed.send(());
    });
    wait.await
}
