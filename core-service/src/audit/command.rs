//! `core-service audit`: audits a ledger beside the core that runs on it, or without one.
//!
//! It reads and takes no lock. It exits with 1 if it found something.

use super::report;
use crate::clock::{Clock, SystemClock};
use crate::db::folder::ledger_file;
use crate::db::{Db, Location};
use crate::fast::FastStore;
use crate::fast::redis::Redis;
use crate::limits;
use anyhow::{Context as _, ensure};
use clap::Args;
use std::io::Write as _;
use std::path::PathBuf;
use std::process::ExitCode;
use tokio::time::timeout;

/// What `core-service audit` takes.
#[derive(Debug, Args)]
pub struct AuditArgs {
    /// The core's data folder; the ledger is in it unless --database names another one.
    #[arg(long, env = "TIFFIN_DATA", default_value = "tiffin-data")]
    data: PathBuf,
    /// The ledger as a database: mysql://user:password@host:port/name.
    #[arg(long, env = "TIFFIN_DATABASE_URL", hide_env_values = true)]
    database: Option<String>,
    /// The fast store, redis://host:port/number; without it the gate's counters are not compared.
    #[arg(long, env = "TIFFIN_REDIS_URL", hide_env_values = true)]
    redis: Option<String>,
    /// Print the report as JSON.
    #[arg(long)]
    json: bool,
}

/// Audits and prints the report.
pub async fn run(args: AuditArgs) -> anyhow::Result<ExitCode> {
    let location = match &args.database {
        Some(url) => Location::url(url)?,
        None => {
            let file = ledger_file(&args.data);
            ensure!(
                file.is_file(),
                "{} has no ledger; name its folder with --data",
                args.data.display()
            );
            Location::file(&file)
        }
    };
    let redis = args.redis.as_deref().map(Redis::open).transpose()?;
    let fast = redis.as_ref().map(|redis| redis as &dyn FastStore);
    let db = Db::open_to_read(&location).await?;
    let audit = super::run(&db, fast, SystemClock.now_ms());
    let report = timeout(limits::AUDIT_TIMEOUT, audit).await.with_context(|| {
        format!("the audit took longer than {} s", limits::AUDIT_TIMEOUT.as_secs())
    })??;
    db.close().await;
    let text = if args.json {
        format!("{}\n", serde_json::to_string_pretty(&report)?)
    } else {
        report::readable(&report)
    };
    // Whoever reads may have read enough.
    _ = std::io::stdout().write_all(text.as_bytes());
    Ok(if report.clean { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}
