//! `core-service import FILE`: sends a file of rows to a running core and says what became of it.
//!
//! It is a client of the same API that a merchant's own program would use; the core alone decides what is
//! a good row. A refused file exits with 1 and names each bad row as `FILE:LINE: pointer: detail`, the
//! form that editors turn into links.

mod report;

use crate::auth::keys::Keys;
use crate::clock::{Clock as _, SystemClock};
use crate::limits;
use anyhow::{Context as _, bail};
use clap::{ArgGroup, Args};
use http::StatusCode;
use http::header::CONTENT_TYPE;
use reqwest::Url;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use tiffin_api::Problem;
use tiffin_api::id::UserId;
use tiffin_api::import::{self, ImportReport};
use tiffin_api::token::{Principal, Role};

/// The user that a token of our own making names.
const OPERATOR: UserId = UserId::from_raw(1);
const IMPORT_PATH: &str = "/v1/admin/import";

/// What `core-service import` takes.
#[derive(Debug, Args)]
#[command(group = ArgGroup::new("credential").args(["token", "data"]).required(true))]
pub struct ImportArgs {
    /// The rows: newline-delimited JSON.
    file: PathBuf,
    /// Where the core listens.
    #[arg(long, value_name = "URL", default_value = "http://127.0.0.1:3001")]
    core: Url,
    /// A token of the core team (role admin).
    #[arg(long)]
    token: Option<String>,
    /// The core's data folder: its key then signs a short-lived admin token.
    #[arg(long, value_name = "DIR")]
    data: Option<PathBuf>,
}

/// Sends the file and prints the outcome.
pub async fn run(args: ImportArgs) -> anyhow::Result<ExitCode> {
    let body = read_file(&args.file)?;
    let token = match (&args.token, &args.data) {
        (Some(token), _) => token.clone(),
        (None, Some(data)) => {
            let operator = Principal::new(OPERATOR, &[Role::Admin]);
            let now_ms = SystemClock.now_ms();
            Keys::load(data)?.sign_token(&operator, now_ms, limits::IMPORT_TOKEN_S)
        }
        (None, None) => bail!("name a --token, or the core's --data folder"),
    };
    match send(&args.core, &token, body).await? {
        Outcome::Loaded(report) => {
            print!("{}", report::loaded(&args.file, &report));
            Ok(ExitCode::SUCCESS)
        }
        Outcome::Refused(problem) => {
            eprint!("{}", report::refused(&args.file, &problem));
            Ok(ExitCode::FAILURE)
        }
    }
}

/// What the core says to a file.
#[derive(Debug)]
enum Outcome {
    Loaded(ImportReport),
    Refused(Box<Problem>),
}

/// Reads the file, within the limit that the core holds for an import.
fn read_file(file: &Path) -> anyhow::Result<Vec<u8>> {
    let name = file.display();
    let size = fs::metadata(file).with_context(|| format!("cannot read {name}"))?.len();
    let most = limits::IMPORT_BODY_BYTES;
    if size > most as u64 {
        bail!("{name} has {size} bytes; an import takes at most {most}: split it by store");
    }
    fs::read(file).with_context(|| format!("cannot read {name}"))
}

async fn send(core: &Url, token: &str, body: Vec<u8>) -> anyhow::Result<Outcome> {
    let url = core.join(IMPORT_PATH).with_context(|| format!("--core {core}"))?;
    // The core is a neighbour: a proxy that leads to the web has no part in this.
    let client = reqwest::Client::builder().no_proxy().timeout(limits::IMPORT_TIMEOUT).build()?;
    let response = client
        .post(url)
        .bearer_auth(token)
        .header(CONTENT_TYPE, import::CONTENT_TYPE)
        .body(body)
        .send()
        .await
        .with_context(|| format!("cannot reach a core at {core}; is it running there?"))?;
    let status = response.status();
    let answer = response.bytes().await.context("the core's answer broke off")?;
    if status == StatusCode::OK {
        let report = serde_json::from_slice(&answer);
        return Ok(Outcome::Loaded(report.context("the core's answer is not a report")?));
    }
    match serde_json::from_slice(&answer) {
        Ok(problem) => Ok(Outcome::Refused(problem)),
        Err(_) => bail!("{core} answered {status}; is a Tiffin core listening there?"),
    }
}

#[cfg(test)]
mod tests;
