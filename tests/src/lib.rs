//! Starts the whole house as a user does: the core with the demo city, and one edge node on `spin.toml`.
//!
//! Start with [`House::start`]. Programs and functions are those that `cargo xtask test` has built; ports
//! are free ones on loopback; every process is stopped by its own pid when the house goes away.

mod cable;
mod client;
mod process;

pub use cable::Cable;
pub use client::{Client, Reply, text};
pub use process::Process;

use serde_json::{Value, json};
use std::net::TcpListener;
use std::path::{Path, PathBuf};
use std::process::Command;
use tempfile::TempDir;

/// The diner who orders unless a test says otherwise.
pub const DINER: &str = "1001";

/// The core's metric of the last number that the feed has given.
pub const FEED_HEAD: &str = "tiffin_core_feed_head";
/// The file of the token that opens the feed, in a house's folder.
const FEED_TOKEN: &str = "feed.token";

/// An edge node whose core is whatever listens on a port: a core that misbehaves, say.
pub struct LoneEdge {
    /// The edge, as diners reach it.
    pub edge: Client,
    /// The edge, as the core team reaches it.
    pub admin: Client,
    _process: Process,
    _folder: TempDir,
}

/// Where an edge node has its feed from.
struct Feed {
    /// A core's port, or that of what stands between.
    port: u16,
    token: PathBuf,
}

impl LoneEdge {
    /// Starts an edge node on `spin.toml`, without a feed.
    pub async fn start(core_port: u16) -> Self {
        Self::start_with(core_port, None).await
    }

    async fn start_with(core_port: u16, feed: Option<Feed>) -> Self {
        let folder = tempfile::tempdir().expect("a temporary folder");
        let [port, admin_port] = free_ports();
        let process = start_edge(folder.path(), core_port, port, admin_port, feed);
        let (edge, admin) = (Client::new(port), Client::new(admin_port));
        edge.until_ready("/.well-known/spin/health").await;
        Self { edge, admin, _process: process, _folder: folder }
    }
}

/// A running core and edge.
pub struct House {
    /// The edge, as diners reach it.
    pub edge: Client,
    /// The core, as only the edge and the core team reach it.
    pub core: Client,
    /// The edge, as the core team reaches it.
    pub edge_admin: Client,
    core_process: Option<Process>,
    _edge: LoneEdge,
    core_port: u16,
    folder: TempDir,
}

impl House {
    /// Starts both programs on fresh data and loads the demo city.
    pub async fn start() -> Self {
        let folder = tempfile::tempdir().expect("a temporary folder");
        let [core_port] = free_ports();
        let core_process = start_core(folder.path(), core_port);
        let core = Client::new(core_port);
        core.until_ready("/readyz").await;
        let token = folder.path().join(FEED_TOKEN);
        write_feed_token(folder.path());
        let feed = Feed { port: core_port, token };
        let edge = LoneEdge::start_with(core_port, Some(feed)).await;
        let house = Self {
            edge: edge.edge.clone(),
            core,
            edge_admin: edge.admin.clone(),
            core_process: Some(core_process),
            _edge: edge,
            core_port,
            folder,
        };
        house.import(&workspace().join("infra/demo-city.jsonl")).await;
        house
    }

    /// Another edge node of the same core, whose feed comes by a port.
    pub async fn another_edge(&self, feed_port: u16) -> LoneEdge {
        let token = self.folder.path().join(FEED_TOKEN);
        let edge =
            LoneEdge::start_with(self.core_port, Some(Feed { port: feed_port, token })).await;
        edge.admin.metric_at_least("edge_feed_live", 1).await;
        edge
    }

    /// Takes the core's data away, as if it had been lost, and starts it anew.
    pub async fn lose_the_ledger(&mut self) {
        self.stop_core();
        std::fs::remove_dir_all(self.folder.path().join("core")).expect("the folder is ours");
        self.start_core().await;
        // Its keys went with it.
        write_feed_token(self.folder.path());
    }

    /// Stops the core; its data stays.
    pub fn stop_core(&mut self) {
        drop(self.core_process.take());
    }

    /// Starts the core again on its data and port.
    pub async fn start_core(&mut self) {
        self.core_process = Some(start_core(self.folder.path(), self.core_port));
        self.core.until_ready("/readyz").await;
    }

    /// The core's process, to freeze and thaw it.
    pub fn core_process(&self) -> &Process {
        self.core_process.as_ref().expect("the core runs")
    }

    /// Loads a file that changes something through the admin API, as a merchant would, and waits until the edge has heard
    /// of it: the news shall not come in the middle of a test.
    pub async fn import(&self, file: &Path) {
        let before = self.core.metric(FEED_HEAD).await;
        let mut command = self.core_command("import");
        command.arg(file).args(["--core", &format!("http://127.0.0.1:{}", self.core_port)]);
        let output = command.output().expect("core-service starts");
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        let head = self.core.metric_at_least(FEED_HEAD, before + 1).await;
        self.edge_admin.metric_at_least("edge_feed_sequence", head).await;
    }

    /// Loads rows in the same way.
    pub async fn import_rows(&self, rows: &[Value]) {
        let lines: Vec<String> = rows.iter().map(Value::to_string).collect();
        let file = self.folder.path().join("rows.jsonl");
        std::fs::write(&file, lines.join("\n")).expect("the folder is ours");
        self.import(&file).await;
    }

    /// A token for a diner.
    pub fn token(&self, user: &str) -> String {
        token(self.folder.path(), user, "diner")
    }

    /// A token of the core team.
    pub fn admin_token(&self) -> String {
        token(self.folder.path(), "1", "admin")
    }

    fn core_command(&self, name: &str) -> Command {
        core_command(self.folder.path(), name)
    }

    /// A basket that can be ordered now: the first available item without a required choice, of a store
    /// that is open for pickup.
    pub async fn basket(&self) -> Value {
        let stores = self.edge.get("/v1/stores?lang=en").await.expect(200);
        for store in
            stores["stores"].as_array().expect("a list").iter().filter(|s| s["open"] == true)
        {
            let id = text(&store["id"]);
            let pickup = store["fulfilment"].as_array().expect("a list").contains(&json!("pickup"));
            let detail = self.edge.get(&format!("/v1/stores/{id}?lang=en")).await.expect(200);
            let menu = self.edge.get(&format!("/v1/stores/{id}/menu?lang=en")).await.expect(200);
            let found = pickup.then(|| simple_item(&menu)).flatten();
            if let Some((item_id, price_minor)) = found {
                let minimum_minor = detail["minimum_minor"].as_i64().expect("an amount");
                let quantity = (minimum_minor / price_minor + 1).max(1);
                return json!({
                    "store_id": id, "fulfilment": {"kind": "pickup"},
                    "lines": [{"item_id": item_id, "quantity": quantity}],
                });
            }
        }
        panic!("nothing can be ordered in the demo city")
    }
}

fn simple_item(menu: &Value) -> Option<(String, i64)> {
    let categories = menu["categories"].as_array()?;
    let mut items = categories.iter().filter_map(|category| category["items"].as_array()).flatten();
    let item = items.find(|item| {
        let groups = item["modifier_groups"].as_array();
        let free = groups.is_some_and(|groups| groups.iter().all(|g| g["required"] == false));
        item["available"] == true && free
    })?;
    Some((text(&item["id"]).to_owned(), item["price_minor"].as_i64()?))
}

fn start_core(folder: &Path, port: u16) -> Process {
    let mut command = Command::new(program("core-service"));
    command.args(["serve", "--sandbox", "--listen", &format!("127.0.0.1:{port}"), "--data"]);
    command.arg(folder.join("core"));
    Process::start(command, &folder.join("core.log"))
}

fn core_command(folder: &Path, name: &str) -> Command {
    let mut command = Command::new(program("core-service"));
    command.arg(name).arg("--data").arg(folder.join("core"));
    command
}

fn token(folder: &Path, user: &str, role: &str) -> String {
    let mut command = core_command(folder, "token");
    let output = command.args(["--user", user, "--role", role]).output().expect("it starts");
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout).expect("a token is ASCII").trim().to_owned()
}

/// Writes the token with which edges open the feed. They read it whenever they connect.
fn write_feed_token(folder: &Path) {
    std::fs::write(folder.join(FEED_TOKEN), token(folder, "1", "edge"))
        .expect("the folder is ours");
}

fn start_edge(
    folder: &Path,
    core_port: u16,
    port: u16,
    admin_port: u16,
    feed: Option<Feed>,
) -> Process {
    let mut command = Command::new(program("edge-node"));
    command.arg("up").arg("--from").arg(workspace().join("spin.toml"));
    command.args(["--listen", &format!("127.0.0.1:{port}")]);
    command.args(["--admin", &format!("127.0.0.1:{admin_port}"), "--cache-dir"]);
    // Compiled components are shared between tests: compiling is not what they test.
    command.arg(workspace().join("target/e2e-compiled"));
    command.env("SPIN_VARIABLE_CORE_URL", format!("http://127.0.0.1:{core_port}"));
    if let Some(Feed { port, token }) = feed {
        command.args(["--feed", &format!("http://127.0.0.1:{port}"), "--feed-token-file"]);
        command.arg(token);
    }
    Process::start(command, &folder.join("edge.log"))
}

/// The workspace's root.
pub fn workspace() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().expect("tests/ lies in the workspace").to_owned()
}

fn program(name: &str) -> PathBuf {
    let folder = std::env::var_os("TIFFIN_BIN_DIR")
        .map_or_else(|| workspace().join("target/debug"), PathBuf::from);
    let file = folder.join(name);
    assert!(file.exists(), "{} is missing; run these tests by `cargo xtask test`", file.display());
    file
}

/// Ports that are free now; they are all held until the last is found, so that they differ.
fn free_ports<const N: usize>() -> [u16; N] {
    let held = [(); N].map(|()| TcpListener::bind("127.0.0.1:0").expect("a free port"));
    held.map(|listener| listener.local_addr().expect("a bound port").port())
}
