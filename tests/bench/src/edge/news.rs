//! From a commit at the core to the edge: a merchant's edit is acknowledged, the feed tells the node, and the first
//! diner sees it. With the real core, the real functions and their own caches.

use super::measure::get_request;
use super::plan::Plan;
use super::server::{Bench, EDGE_NODE};
use crate::limits;
use crate::load::connection::Connection;
use crate::load::response::Answer;
use crate::process::{Process, command_on};
use crate::progress::Progress;
use crate::report::round;
use anyhow::{Context as _, ensure};
use core_service::auth::keys::Keys;
use core_service::clock::{Clock as _, SystemClock};
use futures::future::{join, join_all};
use hdrhistogram::Histogram;
use serde::Serialize;
use serde_json::Value;
use std::cell::Cell;
use std::fs;
use std::net::SocketAddr;
use std::path::Path;
use std::time::{Duration, Instant};
use tiffin_api::id::UserId;
use tiffin_api::import;
use tiffin_api::token::{MAX_LIFETIME_S, Principal, Role};
use tiffin_fixtures::catalogue;
use tokio::time::{sleep, timeout};

/// What became of edits.
#[derive(Debug, Clone, Default, PartialEq, Serialize)]
pub struct News {
    /// Edits whose visibility was timed, while a few clients asked.
    pub edits: u64,
    /// From the core's acknowledgement of an edit to the edge's first answer with it: the median, ms.
    pub visible_p50_ms: f64,
    /// The 99th percentile, ms.
    pub visible_p99_ms: f64,
    /// The slowest, ms.
    pub visible_max_ms: f64,
}

const STORE: &str = "bench";
const ITEM: &str = "dish";
/// What the dish costs before the first edit, minor units.
const FIRST_PRICE_MINOR: i64 = 1_000;
/// Edits before the first that is timed: the node has its feed and its caches then.
const UNTIMED_EDITS: i64 = 3;

/// Runs it. `clients` is the processor that the core shares with the clients: a node has its own.
pub async fn run(
    bench: &Bench,
    core: &Path,
    manifest: &Path,
    clients: Option<usize>,
    plan: &Plan,
    progress: &mut Progress,
) -> anyhow::Result<News> {
    progress.step("edits at the core, seen at the edge");
    let started = Instant::now();
    let data = bench.folder("core")?;
    let keys = Keys::load_or_create(&data)?;
    let mut command = command_on(clients, core);
    command.arg("serve").arg("--data").arg(&data);
    let core = Process::serve("core", command, &bench.logs).await?;
    let mut desk = Desk::new(core.address, &keys).await?;
    let mut rows = catalogue::store(STORE);
    rows.push(catalogue::item(STORE, ITEM, FIRST_PRICE_MINOR, limits::HUGE_STOCK_UNITS));
    desk.import(&rows).await?;
    let menu = format!("/v1/stores/{}/menu?lang=en", desk.store_id().await?);

    let token = data.join("feed.token");
    fs::write(&token, sign(&keys, Role::Edge))?;
    let core_url = format!("http://{}", core.address);
    let arguments = [
        "--feed",
        &core_url,
        "--feed-token-file",
        &token.display().to_string(),
        "--variable",
        &format!("core_url={core_url}"),
    ]
    .map(str::to_owned);
    let edge = bench.edge_node(EDGE_NODE, manifest, &arguments, &menu).await?;
    let found = edits(&mut desk, edge.address(), &get_request(&menu), plan).await;
    edge.process.stop().await?;
    core.stop().await?;
    let visible_us = found?;
    let at = |quantile| round(visible_us.value_at_quantile(quantile) as f64 / 1_000.0, 3);
    let found = News {
        edits: visible_us.len(),
        visible_p50_ms: at(0.5),
        visible_p99_ms: at(0.99),
        visible_max_ms: at(1.0),
    };
    let News { edits, visible_p50_ms, visible_p99_ms, .. } = found;
    progress.found(
        started.elapsed(),
        &format!("{edits} edits, visible after {visible_p50_ms:.2} ms, p99 {visible_p99_ms:.2} ms"),
    );
    Ok(found)
}

/// Changes a price, again and again, while a few clients read the menu; how long each change took to be seen.
async fn edits(
    desk: &mut Desk,
    edge: SocketAddr,
    request: &[u8],
    plan: &Plan,
) -> anyhow::Result<Histogram<u64>> {
    let is_over = Cell::new(false);
    let reader = async |_| {
        let mut connection = Connection::open(edge).await?;
        while !is_over.get() {
            shows(&mut connection, request, FIRST_PRICE_MINOR).await?;
        }
        anyhow::Ok(())
    };
    let editor = async {
        let edited = edit(desk, edge, request, plan).await;
        is_over.set(true);
        edited
    };
    let (read, visible_us) = join(join_all((0..limits::PURGE_CLIENTS).map(reader)), editor).await;
    read.into_iter().collect::<anyhow::Result<()>>()?;
    visible_us
}

async fn edit(
    desk: &mut Desk,
    edge: SocketAddr,
    request: &[u8],
    plan: &Plan,
) -> anyhow::Result<Histogram<u64>> {
    let mut visible_us = Histogram::new_with_bounds(1, limits::LATENCY_US, 3)?;
    let mut diner = Connection::open(edge).await?;
    let count = if plan.quick { limits::EDITS_QUICK } else { limits::EDITS };
    for n in 1..=UNTIMED_EDITS + count {
        let price_minor = FIRST_PRICE_MINOR + n;
        desk.import(&[catalogue::item(STORE, ITEM, price_minor, limits::HUGE_STOCK_UNITS)]).await?;
        let acknowledged = Instant::now();
        while !shows(&mut diner, request, price_minor).await? {
            let waited = acknowledged.elapsed();
            ensure!(waited < limits::ANSWER_WITHIN, "an edit is not seen at the edge");
        }
        if n > UNTIMED_EDITS {
            let waited_us = u64::try_from(acknowledged.elapsed().as_micros())?;
            visible_us.saturating_record(waited_us.max(1));
        }
        // At no fixed distance from the core's own beats.
        sleep(limits::PURGE_PAUSE + Duration::from_millis(n.unsigned_abs() % 7)).await;
    }
    Ok(visible_us)
}

/// Reads the menu; whether the dish has this price in it.
async fn shows(
    connection: &mut Connection,
    request: &[u8],
    price_minor: i64,
) -> anyhow::Result<bool> {
    let price = format!("\"price_minor\":{price_minor},");
    let write = |buffer: &mut Vec<u8>| request.clone_into(buffer);
    let read = |answer: Answer<'_>| {
        let is_there = answer.body.windows(price.len()).any(|part| part == price.as_bytes());
        (answer.status, is_there)
    };
    let (status, is_there) =
        timeout(limits::ANSWER_WITHIN, connection.exchange(write, read)).await??;
    ensure!(status == 200, "a menu was answered with {status}");
    Ok(is_there)
}

/// Where the core team edits.
struct Desk {
    core: Connection,
    token: String,
}

impl Desk {
    async fn new(core: SocketAddr, keys: &Keys) -> anyhow::Result<Self> {
        Ok(Self { core: Connection::open(core).await?, token: sign(keys, Role::Admin) })
    }

    /// Imports rows; they are committed when it returns.
    async fn import(&mut self, rows: &[Value]) -> anyhow::Result<()> {
        let body: String = rows.iter().map(|row| format!("{row}\n")).collect();
        let head = format!(
            "POST /v1/admin/import HTTP/1.1\r\nhost: bench\r\nauthorization: Bearer {}\r\ncontent-type: {}\r\n\
             content-length: {}\r\n\r\n",
            self.token,
            import::CONTENT_TYPE,
            body.len()
        );
        let write = |buffer: &mut Vec<u8>| {
            buffer.clear();
            buffer.extend_from_slice(head.as_bytes());
            buffer.extend_from_slice(body.as_bytes());
        };
        let read =
            |answer: Answer<'_>| (answer.status, String::from_utf8_lossy(answer.body).into_owned());
        let (status, text) =
            timeout(limits::ANSWER_WITHIN, self.core.exchange(write, read)).await??;
        ensure!(status == 200, "an import was answered with {status}: {text}");
        Ok(())
    }

    /// The only store's id.
    async fn store_id(&mut self) -> anyhow::Result<String> {
        let request = get_request("/v1/stores?lang=en");
        let write = |buffer: &mut Vec<u8>| request.clone_into(buffer);
        let read = |answer: Answer<'_>| serde_json::from_slice::<Value>(answer.body);
        let stores = timeout(limits::ANSWER_WITHIN, self.core.exchange(write, read)).await???;
        let id = stores.pointer("/stores/0/id").and_then(Value::as_str);
        Ok(id.context("the core lists no store")?.to_owned())
    }
}

/// A token for as long as one may hold.
fn sign(keys: &Keys, role: Role) -> String {
    let principal = Principal::new(UserId::from_raw(1), &[role]);
    keys.sign_token(&principal, SystemClock.now_ms(), MAX_LIFETIME_S)
}
