//! What a drill runs on: durable services and a core of its own, with a catalogue in it.

use crate::core::{self, Core};
use crate::http::{Answer, Diner, Http};
use crate::ledger::Ledger;
use crate::limits;
use crate::store::{self, Item};
use crate::violations::Violations;
use anyhow::{Context as _, Result, bail, ensure};
use core_service::auth::keys::Keys;
use core_service::clock::{Clock as _, SystemClock};
use serde_json::Value;
use sqlx::mysql::MySqlPool;
use std::collections::BTreeMap;
use std::ffi::OsString;
use std::fs;
use std::io::{Read as _, Write as _};
use std::net::{SocketAddr, TcpStream};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::Arc;
use std::time::Instant;
use tiffin_api::id::UserId;
use tiffin_api::token::{Principal, Role};
use tiffin_services::{Durability, Options, Services, WhenInUse, free_port};

/// The database's name.
const DATABASE: &str = "tiffin_drill";
/// The route that proves the ledger's rules.
const AUDIT: &str = "/v1/admin/audit";
/// The rule of the audit.
const AUDIT_CLEAN: &str = "the core's own audit is clean";
/// The first user's number.
const FIRST_DINER: i64 = 10_001;

/// What a drill asks of its world.
#[derive(Debug, Clone)]
pub struct Setup<'a> {
    /// The core's program.
    pub core: &'a Path,
    /// Where data and logs go; what was there is deleted.
    pub folder: &'a Path,
    /// The catalogue, as rows of an import.
    pub rows: Vec<Value>,
    /// How many diners there are.
    pub diners: usize,
    /// How long an order may stay unpaid, s.
    pub pay_within_s: u32,
    /// The most units that a diner may hold in unpaid orders.
    pub held_units: i64,
}

/// A running world.
pub struct World {
    // The order of the fields is the order of dropping: the core goes before its services.
    /// The core.
    pub core: Arc<Core>,
    /// MariaDB and Redis.
    pub services: Arc<Services>,
    /// Speaks to the core.
    pub http: Http,
    /// Connections to the core's database.
    pub pool: MySqlPool,
    /// What is sold.
    pub items: Vec<Item>,
    /// Who orders.
    pub diners: Vec<Diner>,
    keys: Keys,
}

impl World {
    /// Starts everything and imports the catalogue.
    pub async fn start(setup: &Setup<'_>) -> Result<Self> {
        let folder = std::path::absolute(setup.folder)?;
        let services = Services::start(&Options {
            fresh: true,
            when_in_use: WhenInUse::NextFolder,
            ..Options::own(folder.join("services"), Durability::Durable)
        })?;
        // Beside the services' data, which no other drill uses at the same time.
        let own = services.folder().context("services of our own have a folder")?.join("core");
        _ = fs::remove_dir_all(&own);
        fs::create_dir_all(&own)?;
        let address = SocketAddr::from(([127, 0, 0, 1], free_port()?));
        let url = services.database_url_for(DATABASE);
        let arguments = arguments(setup, &own, &url, services.redis_url());
        let core = Core::start(setup.core, address, arguments, &own.join("core.log"))?;
        wait_until_ready(&core)?;
        import(setup, &own, address)?;
        let keys = Keys::load(&own)?;
        let pool = store::pool(&url)?;
        let items = store::items(&pool).await?;
        let diners = sign(&keys, setup.diners)?;
        let http = Http::new(address)?;
        Ok(Self { core, services: Arc::new(services), http, pool, items, diners, keys })
    }

    /// Units of each item at the start.
    pub fn initial(&self) -> BTreeMap<i64, i64> {
        self.items.iter().map(|item| (item.id, item.units)).collect()
    }

    /// Asks the core's own audit.
    pub async fn audit(&self, without_audit: bool) -> Result<(Violations, String)> {
        let mut found = Violations::default();
        let began = Instant::now();
        let mut answer = self.ask_audit().await?;
        // A core that was killed holds the lease of the gate's repair for a while: the gate may heal until then.
        while only_the_gate_is_off(&answer) && began.elapsed() < limits::HEAL_WITHIN {
            tokio::time::sleep(limits::AUDIT_PAUSE).await;
            answer = self.ask_audit().await?;
        }
        let told = match answer.status {
            404 if without_audit => format!("THE CORE HAS NO {AUDIT}: NOT CHECKED, as asked"),
            404 => {
                let none = format!("there is no {AUDIT}; --without-audit goes without");
                found.note(AUDIT_CLEAN, none);
                "the core has none".to_owned()
            }
            _ => {
                let report: Value = serde_json::from_slice(&answer.body).unwrap_or_default();
                let clean = answer.status == 200 && report["clean"] == true;
                found.unless(clean, AUDIT_CLEAN, || String::from_utf8_lossy(&answer.body).into());
                if clean { "clean".to_owned() } else { "NOT CLEAN".to_owned() }
            }
        };
        Ok((found, told))
    }

    /// A report that began after this call; an audit of a large ledger takes longer than a request may.
    async fn ask_audit(&self) -> Result<Answer> {
        let admin = Principal::new(UserId::from_raw(1), &[Role::Admin]);
        let token = self.keys.sign_token(&admin, SystemClock.now_ms(), limits::TOKEN_S);
        let began = Instant::now();
        let mut path = AUDIT.to_owned();
        loop {
            let answer = self.http.get(&path, &token).await?;
            if answer.status != 503 || began.elapsed() > limits::AUDIT_WITHIN {
                return Ok(answer);
            }
            tokio::time::sleep(limits::AUDIT_PAUSE).await;
            path = format!("{AUDIT}?max_age_s={}", began.elapsed().as_secs());
        }
    }

    /// The ledger as it is now.
    pub async fn ledger(&self) -> Result<Ledger> {
        store::snapshot(&self.pool).await
    }

    /// Stops everything in order.
    pub async fn stop(self) -> Result<()> {
        self.pool.close().await;
        self.core.stop()
        // Dropping the services stops them.
    }
}

/// Whether an audit finds nothing but counters of the gate that differ from the ledger.
fn only_the_gate_is_off(answer: &Answer) -> bool {
    let report: Value = serde_json::from_slice(&answer.body).unwrap_or_default();
    let checks = report["checks"].as_array().map(Vec::as_slice).unwrap_or_default();
    let mut off = checks.iter().filter(|check| check["violations"] != 0).peekable();
    off.peek().is_some() && off.all(|check| check["check"] == "gate")
}

fn arguments(setup: &Setup<'_>, data: &Path, database: &str, redis: &str) -> Vec<OsString> {
    let mut arguments: Vec<OsString> = vec!["--data".into(), data.into(), "--sandbox".into()];
    for (name, value) in [
        ("--database", database),
        ("--redis", redis),
        ("--pay-within-s", &setup.pay_within_s.to_string()),
        ("--held-units", &setup.held_units.to_string()),
    ] {
        arguments.extend([name.into(), value.into()]);
    }
    arguments
}

fn import(setup: &Setup<'_>, folder: &Path, address: SocketAddr) -> Result<()> {
    let file: PathBuf = folder.join("catalogue.jsonl");
    let rows: String = setup.rows.iter().map(|row| format!("{row}\n")).collect();
    fs::write(&file, rows)?;
    let mut command = Command::new(setup.core);
    command.arg("import").arg(&file).arg("--data").arg(folder);
    let output = command.arg("--core").arg(format!("http://{address}")).output()?;
    ensure!(output.status.success(), "the import: {}", String::from_utf8_lossy(&output.stderr));
    Ok(())
}

fn sign(keys: &Keys, diners: usize) -> Result<Vec<Diner>> {
    let now_ms = SystemClock.now_ms();
    let last = FIRST_DINER + i64::try_from(diners)?;
    let diner = |id| {
        let id = UserId::from_raw(id);
        let principal = Principal::new(id, &[Role::Diner]);
        Diner { id, token: keys.sign_token(&principal, now_ms, limits::TOKEN_S).into() }
    };
    Ok((FIRST_DINER..last).map(diner).collect())
}

/// Waits until the core says that its ledger answers.
pub fn wait_until_ready(core: &Core) -> Result<()> {
    core::until(limits::READY_WITHIN, || {
        let mut stream = TcpStream::connect(core.address)?;
        stream.set_read_timeout(Some(limits::ANSWER_WITHIN))?;
        stream.write_all(b"GET /readyz HTTP/1.1\r\nhost: drill\r\nconnection: close\r\n\r\n")?;
        let mut answer = String::new();
        stream.read_to_string(&mut answer)?;
        if !answer.starts_with("HTTP/1.1 200") {
            bail!("/readyz answers {}", answer.lines().next().unwrap_or_default());
        }
        Ok(())
    })
    .with_context(|| format!("the core did not get ready; its last words:\n{}", core.last_words()))
}
