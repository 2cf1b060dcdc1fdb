//! One suite over all providers. Redis takes part where redis-server is installed: a private one on a free port, which
//! keeps nothing on disk and ends with its test.

use std::net::{TcpListener, TcpStream};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::time::{Duration, Instant};

use super::store::{Store, StoreError};
use crate::limits;
use crate::metrics::{Metrics, StoreLabel};
use crate::runtime_config::StoreConfig;

/// A redis-server of a test's own; killed when dropped.
struct RedisServer {
    port: u16,
    child: Child,
    _dir: tempfile::TempDir,
}

impl RedisServer {
    fn start() -> Option<Self> {
        let dir = tempfile::tempdir().unwrap();
        let port = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
        let spawned = Self::spawn(port, dir.path());
        let Ok(child) = spawned else {
            eprintln!("skipped: redis-server is not installed");
            return None;
        };
        let server = Self { port, child, _dir: dir };
        server.wait();
        Some(server)
    }

    fn spawn(port: u16, dir: &Path) -> std::io::Result<Child> {
        Command::new("redis-server")
            .args(["--bind", "127.0.0.1", "--port", &port.to_string()])
            .args(["--save", "", "--appendonly", "no"])
            .current_dir(dir)
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
    }

    fn wait(&self) {
        let patience = Instant::now() + Duration::from_secs(20);
        while TcpStream::connect(("127.0.0.1", self.port)).is_err() {
            assert!(Instant::now() < patience, "redis-server did not come up");
            std::thread::sleep(Duration::from_millis(10));
        }
    }

    fn restart(&mut self) {
        self.kill();
        self.child = Self::spawn(self.port, self._dir.path()).unwrap();
        self.wait();
    }

    fn kill(&mut self) {
        // Both fail when it has ended already.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }

    fn config(&self) -> StoreConfig {
        StoreConfig::Redis(format!("redis://127.0.0.1:{}", self.port))
    }
}

impl Drop for RedisServer {
    fn drop(&mut self) {
        self.kill();
    }
}

async fn open(config: &StoreConfig) -> Store {
    Store::open("label", config, &Arc::new(Metrics::new())).await.unwrap()
}

fn file(dir: &tempfile::TempDir) -> StoreConfig {
    StoreConfig::Sqlite(dir.path().join("kv.db"))
}

/// What holds for every store.
async fn suite(store: &Store, name: &str) {
    assert_eq!(store.get("k").await, Ok(None), "{name}");
    assert_eq!(store.exists("k").await, Ok(false), "{name}");
    assert_eq!(store.delete("k").await, Ok(()), "{name}");
    for value in [b"one".to_vec(), vec![0, 255, 10], Vec::new()] {
        store.set("k".to_owned(), value.clone()).await.unwrap();
        assert_eq!(store.get("k").await, Ok(Some(value)), "{name}");
        assert_eq!(store.exists("k").await, Ok(true), "{name}");
    }

    let longest = "é".repeat(limits::MAX_KEY_BYTES / 2);
    let greatest = vec![7; limits::MAX_VALUE_BYTES];
    store.set(longest.clone(), greatest.clone()).await.unwrap();
    assert_eq!(store.get(&longest).await, Ok(Some(greatest)), "{name}");
    let too_long = format!("{longest}x");
    let too_great = vec![7; limits::MAX_VALUE_BYTES + 1];
    for (key, value, expected) in [
        (too_long.clone(), Vec::new(), StoreError::Key),
        (String::new(), Vec::new(), StoreError::Key),
        ("k".to_owned(), too_great, StoreError::Value),
    ] {
        assert_eq!(store.set(key, value).await, Err(expected), "{name}");
    }
    for key in [too_long.as_str(), ""] {
        assert_eq!(store.get(key).await, Ok(None), "{name}");
        assert_eq!(store.exists(key).await, Ok(false), "{name}");
        assert_eq!(store.delete(key).await, Ok(()), "{name}");
    }
    assert_eq!(
        store.get("k").await,
        Ok(Some(Vec::new())),
        "{name}: what is refused changes nothing"
    );

    let mut keys = store.keys().await.unwrap();
    keys.sort();
    assert_eq!(keys, ["k", &longest], "{name}");
    store.delete("k").await.unwrap();
    assert_eq!(store.keys().await.unwrap(), [longest], "{name}");
}

/// More bytes of keys than one listing gives.
async fn listing(store: &Store, name: &str) {
    let count = limits::MAX_LISTED_BYTES / limits::MAX_KEY_BYTES + 1;
    let keys: Vec<String> = (0..count)
        .map(|number| format!("{number:0width$}", width = limits::MAX_KEY_BYTES))
        .collect();
    for some in keys.chunks(512) {
        let all = some.iter().map(|key| store.set(key.clone(), Vec::new()));
        futures::future::try_join_all(all).await.unwrap();
    }
    assert_eq!(store.keys().await, Err(StoreError::Keys), "{name}");
    store.delete(&keys[0]).await.unwrap();
    assert!(store.keys().await.is_ok_and(|listed| listed.len() == count - 1), "{name}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn all_providers_keep_what_they_are_given() {
    let dir = tempfile::tempdir().unwrap();
    let redis = RedisServer::start();
    let configs =
        [Some(StoreConfig::Memory), Some(file(&dir)), redis.as_ref().map(RedisServer::config)];
    for config in configs.iter().flatten() {
        let name = format!("{config:?}");
        let store = open(config).await;
        suite(&store, &name).await;
        for key in store.keys().await.unwrap() {
            store.delete(&key).await.unwrap();
        }
        listing(&store, &name).await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_file_is_kept_and_shared_by_label() {
    let dir = tempfile::tempdir().unwrap();
    let (one, metrics) = (open(&file(&dir)).await, Arc::new(Metrics::new()));
    one.set("k".to_owned(), b"v".to_vec()).await.unwrap();
    let other_label = Store::open("other", &file(&dir), &metrics).await.unwrap();
    assert_eq!(other_label.get("k").await, Ok(None));
    let same_label = open(&file(&dir)).await;
    assert_eq!(same_label.get("k").await, Ok(Some(b"v".to_vec())));
}

/// What another program wrote, past our limits, and into a table as Spin makes it.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn values_of_other_programs_are_read_within_bounds() {
    use sqlx::Connection as _;

    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("kv.db");
    let url = format!("sqlite://{}?mode=rwc", path.display());
    let mut other = sqlx::SqliteConnection::connect(&url).await.unwrap();
    sqlx::raw_sql(
        "CREATE TABLE spin_key_value (store TEXT NOT NULL, key TEXT NOT NULL, value BLOB NOT NULL, \
         PRIMARY KEY (store, key)); \
         INSERT INTO spin_key_value VALUES ('label', 'fits', x'0102'), ('label', 'long', zeroblob(1048577))",
    )
    .execute(&mut other)
    .await
    .unwrap();
    let store = open(&StoreConfig::Sqlite(path)).await;
    assert_eq!(store.get("fits").await, Ok(Some(vec![1, 2])));
    assert_eq!(store.get("long").await, Err(StoreError::StrangeValue));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_server_that_goes_away_is_an_error_and_comes_back() {
    let Some(mut server) = RedisServer::start() else { return };
    let metrics = Arc::new(Metrics::new());
    let store = Store::open("label", &server.config(), &metrics).await.unwrap();
    store.set("k".to_owned(), b"v".to_vec()).await.unwrap();

    server.restart();
    assert_eq!(store.get("k").await, Ok(None), "a lost connection is not the guest's business");

    server.kill();
    let begin = Instant::now();
    assert_eq!(store.get("k").await, Err(StoreError::Unavailable));
    assert!(begin.elapsed() < limits::STORE_TIMEOUT + Duration::from_secs(5), "{begin:?}");
    let failures =
        metrics.store_failures.get_or_create(&StoreLabel { store: "label".to_owned() }).get();
    assert_eq!(failures, 1);

    server.restart();
    assert_eq!(store.set("k".to_owned(), b"w".to_vec()).await, Ok(()));
    assert_eq!(store.get("k").await, Ok(Some(b"w".to_vec())));
}
