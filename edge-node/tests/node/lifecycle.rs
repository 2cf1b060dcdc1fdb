//! Starting, stopping, and what a person sees when it does not start.

use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use http::StatusCode;

use crate::common::{cache_dir, guest, guests, start, start_as, try_start, try_start_with};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn requests_in_progress_finish_and_new_ones_find_the_door_closed() {
    let node = start(&guests(&[("a", "")])).await;
    let address = node.node.address;
    let url = node.url("/a/slow?ms=600");
    let asked = tokio::spawn(async move {
        let client =
            hyper_util::client::legacy::Client::builder(hyper_util::rt::TokioExecutor::new())
                .build_http::<http_body_util::Empty<bytes::Bytes>>();
        client.get(url.parse().unwrap()).await.unwrap().status()
    });
    node.until_metrics("edge_requests_in_flight 1").await;
    assert!(node.node.shutdown().await, "all requests finish");
    assert_eq!(asked.await.unwrap(), StatusCode::OK);
    assert!(tokio::net::TcpStream::connect(address).await.is_err());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_node_that_will_stop_says_so_and_serves_until_balancers_have_noticed() {
    let delay = Duration::from_secs(2);
    let node = start_as(&guests(&[("a", "")]), |options| options.drain_delay = delay).await;
    let (address, admin) = (node.node.address, node.node.admin_address);
    assert!(!ask(address, "/a/ok").contains("connection: close"));
    let mut kept = std::net::TcpStream::connect(address).unwrap();
    assert!(exchange(&mut kept, "/a/ok").starts_with("HTTP/1.1 200"));

    let begin = Instant::now();
    let stopping = tokio::spawn(node.node.shutdown());
    let draining = loop {
        let answer = ask(admin, "/readyz");
        if answer.starts_with("HTTP/1.1 503") {
            break answer;
        }
        assert!(begin.elapsed() < delay, "{answer}");
    };
    assert!(draining.contains("\r\n\r\ndraining\n"), "{draining}");
    // The door is still open; whoever comes again is to find another node.
    for answer in [ask(address, "/a/ok"), exchange(&mut kept, "/a/ok")] {
        assert!(answer.starts_with("HTTP/1.1 200"), "{answer}");
        assert!(answer.contains("connection: close"), "{answer}");
    }
    assert!(stopping.await.unwrap(), "nothing was cut off");
    assert!(begin.elapsed() >= delay);
    assert!(std::net::TcpStream::connect(address).is_err());
}

/// Asks on a connection of its own.
fn ask(address: std::net::SocketAddr, target: &str) -> String {
    exchange(&mut std::net::TcpStream::connect(address).unwrap(), target)
}

/// Asks on a connection that may be kept; the answer is short enough to come in one piece.
fn exchange(stream: &mut std::net::TcpStream, target: &str) -> String {
    use std::io::{Read as _, Write as _};

    stream.write_all(format!("GET {target} HTTP/1.1\r\nhost: x\r\n\r\n").as_bytes()).unwrap();
    let mut answer = [0; 4096];
    let read = stream.read(&mut answer).unwrap();
    String::from_utf8_lossy(&answer[..read]).into_owned()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_request_that_does_not_end_is_cut_off_at_the_deadline() {
    let hints = "[component.a.tool.tiffin]\ndeadline_ms = 60000";
    let node = start(&guests(&[("a", hints)])).await;
    let mut stream = std::net::TcpStream::connect(node.node.address).unwrap();
    let asked = std::thread::spawn(move || exchange(&mut stream, "/a/slow?ms=50000"));
    node.until_metrics("edge_requests_in_flight 1").await;
    let begin = Instant::now();
    assert!(!node.node.shutdown().await, "it did not end");
    assert!(begin.elapsed() >= edge_node::limits::SHUTDOWN_DEADLINE);
    assert_eq!(asked.join().unwrap(), "", "the connection is closed");
}

/// Starts a node on a cache directory of the test's own. Its runtime ends with it, and so do its instances: each
/// engine has thousands of mappings, and the system allows a process only so many.
fn start_in(cache: &Path) {
    let runtime = tokio::runtime::Runtime::new().unwrap();
    runtime.block_on(async {
        let node = try_start(&guests(&[("a", ""), ("b", "")]), cache, &[]).await.unwrap();
        assert_eq!(node.get("/b/ok").await.body, "ok");
    });
}

fn entries(cache: &Path) -> Vec<std::path::PathBuf> {
    std::fs::read_dir(cache).unwrap().map(|entry| entry.unwrap().path()).collect()
}

#[test]
fn compiled_components_are_kept_and_damaged_ones_replaced() {
    use std::os::unix::fs::PermissionsExt as _;

    let cache = tempfile::tempdir().unwrap();
    let cache = cache.path().join("made/by/the/node");
    start_in(&cache);
    let [entry] = &entries(&cache)[..] else {
        panic!("one file, one entry: {:?}", entries(&cache))
    };
    let written = std::fs::metadata(entry).unwrap();
    assert_eq!(written.permissions().mode() & 0o777, 0o600);
    let whole = std::fs::read(entry).unwrap();

    // A compiled component is always written: an entry that stays as it is was used.
    start_in(&cache);
    assert_eq!(std::fs::metadata(entry).unwrap().modified().unwrap(), written.modified().unwrap());

    let mut flipped = whole.clone();
    flipped[whole.len() / 2] ^= 1;
    for damaged in [flipped, whole[..whole.len() / 2].to_vec(), Vec::new(), b"nonsense".to_vec()] {
        std::fs::write(entry, damaged).unwrap();
        start_in(&cache);
        assert_eq!(std::fs::read(entry).unwrap().len(), whole.len(), "the entry is whole again");
        assert_eq!(entries(&cache).len(), 1, "no temporary file is left");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_keeps_a_node_from_starting_is_said_in_one_sentence() {
    let good = guests(&[("a", "")]);
    let missing = good.replace("guest.wasm", "gone.wasm");
    let text = tempfile::NamedTempFile::new().unwrap();
    std::fs::write(text.path(), "this is no component").unwrap();
    let not_wasm = good.replace(&guest().display().to_string(), &text.path().display().to_string());
    let required = format!("{good}\n[variables]\ncore_url = {{ required = true }}");
    for (manifest, expected) in [
        (missing.as_str(), "cargo xtask functions"),
        (&not_wasm, "is no usable WebAssembly component"),
        (&required, "set SPIN_VARIABLE_CORE_URL or pass --variable core_url=VALUE"),
        ("spin_manifest_version = 2\n[application]\nname = 1", "spin.toml:3:8: invalid type"),
        ("spin_manifest_version = 2\nnonsense", "spin.toml:2:9: "),
    ] {
        let error = try_start(manifest, &cache_dir(), &[]).await.err().unwrap().to_string();
        assert!(error.contains(expected), "{error}");
        assert!(!error.contains('\n'), "{error}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_keeps_stores_from_opening_is_said_with_its_place() {
    let manifest = guests(&[("a", r#"key_value_stores = ["default", "extra"]"#)]);
    let store = |settings: &str| format!("[key_value_store.extra]\n{settings}\n");
    for (config, expected) in [
        (
            String::new(),
            r#"spin.toml:9:1: component.a.key_value_stores: nothing says where "extra" is kept"#,
        ),
        (store("type = \"spin\"\npath = \"runtime-config.toml/x\""), "key_value_store.extra: "),
        (
            store("type = \"redis\"\nurl = \"nonsense\""),
            "key_value_store.extra: the url is not good",
        ),
        (store("type = \"azure_cosmos\""), "runtime-config.toml:2:1: key_value_store.extra.type: "),
        ("[key_value_stores.extra]".to_owned(), "unknown field `key_value_stores`"),
    ] {
        let started = try_start_with(&manifest, Some(&config), &cache_dir(), &[]).await;
        let error = started.err().unwrap().to_string();
        assert!(error.contains(expected), "{error}");
        assert!(!error.contains('\n'), "{error}");
    }
}

/// A started program that a failing test does not leave behind.
struct Started(Child);

impl Drop for Started {
    fn drop(&mut self) {
        // Both fail when it has ended by itself, as it should.
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// The program itself, as a person starts it.
fn edge_node(arguments: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_edge-node"));
    command.arg("up").args(arguments).stdout(Stdio::piped()).stderr(Stdio::piped());
    command.env_remove("RUST_LOG");
    command
}

#[test]
fn the_program_says_what_is_wrong_and_exits_with_an_error() {
    let dir = tempfile::tempdir().unwrap();
    let manifest = dir.path().join("spin.toml");
    let manifest = manifest.to_str().unwrap();
    std::fs::write(manifest, guests(&[("a", "")])).unwrap();
    let taken = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let taken = taken.local_addr().unwrap().to_string();
    for (arguments, expected) in [
        (vec!["--from", "no/such/spin.toml"], "name it with --from"),
        (vec!["--from", manifest, "--listen", &taken], "choose another with --listen"),
        (
            vec!["--from", manifest, "--listen", "127.0.0.1:0", "--admin", &taken],
            "choose another with --admin",
        ),
        (vec!["--from", manifest, "--variable", "x=1"], "the manifest does not declare"),
        (vec!["--from", manifest, "--variable", "x"], "must be NAME=VALUE"),
    ] {
        let output = edge_node(&arguments).output().unwrap();
        let said = String::from_utf8(output.stderr).unwrap();
        assert!(!output.status.success(), "{arguments:?}");
        assert!(said.contains(expected), "{arguments:?}: {said}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn top_shows_a_node_and_says_when_there_is_none() {
    let node = start(&guests(&[("a", "")])).await;
    for _ in 0..3 {
        node.get("/a/ok").await;
    }
    let admin = node.node.admin_address;
    // The node counts an answer when it has been sent, which may be a moment after it was read.
    node.until_metrics(r#"edge_requests_total{component="a",route="/a/...",status="2xx"} 3"#).await;
    let shown = edge_node::top::once(admin).await.unwrap();
    let line = |start: &str| {
        let line = shown.lines().find(|line| line.trim_start().starts_with(start));
        line.unwrap_or_else(|| panic!("no {start} in {shown}"))
            .split_whitespace()
            .collect::<Vec<_>>()
    };
    assert_eq!(line("ready | requests 3")[..4], ["ready", "|", "requests", "3"]);
    assert_eq!(line("/a/..."), ["/a/...", "a", "3", "0"]);
    assert_eq!(line("cache_uris")[..2], ["cache_uris", "0"]);
    assert!(node.node.shutdown().await);
    let error = edge_node::top::once(admin).await.unwrap_err().to_string();
    assert!(error.contains("no answer from") && error.contains("--admin"), "{error}");
}

#[test]
fn the_program_logs_json_and_stops_on_sigterm() {
    use std::io::{BufRead as _, BufReader};

    let dir = tempfile::tempdir().unwrap();
    let manifest = dir.path().join("spin.toml");
    std::fs::write(&manifest, guests(&[("a", "")])).unwrap();
    let cache = cache_dir();
    let child = edge_node(&[
        "--from",
        manifest.to_str().unwrap(),
        "--listen",
        "127.0.0.1:0",
        "--admin",
        "127.0.0.1:0",
        "--cache-dir",
        cache.to_str().unwrap(),
    ])
    .spawn()
    .unwrap();
    let mut child = Started(child);
    let mut lines = BufReader::new(child.0.stderr.take().unwrap()).lines();
    let mut next = |wanted: &str| loop {
        let line = lines.next().expect("the log goes on").unwrap();
        let line: serde_json::Value = serde_json::from_str(&line).expect("each line is JSON");
        if line["message"] == wanted {
            return line;
        }
    };
    let ready = next("ready");
    let address = ready["address"].as_str().unwrap().to_owned();
    let mut stream = std::net::TcpStream::connect(address).unwrap();
    let request = b"GET /a/talk?word=hello HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n";
    std::io::Write::write_all(&mut stream, request).unwrap();
    let answer = std::io::read_to_string(stream).unwrap();
    assert!(answer.contains("\r\n\r\n6\r\ntalked\r\n"), "{answer}");

    let spoken = next("hello from stdout");
    assert_eq!((&spoken["component"], &spoken["stream"]), (&"a".into(), &"stdout".into()));
    let logged = next("request");
    for (field, expected) in [
        ("level", serde_json::json!("INFO")),
        ("method", "GET".into()),
        ("path", "/a/talk".into()),
        ("status", 200.into()),
        ("component", "a".into()),
        ("route", "/a/...".into()),
        ("bytes", 6.into()),
        ("complete", true.into()),
        ("cache", "miss".into()),
    ] {
        assert_eq!(logged[field], expected, "{field} of {logged}");
    }
    assert!(answer.contains(logged["trace_id"].as_str().unwrap()), "{answer}");
    assert!(logged["duration_us"].is_u64() && logged["timestamp"].is_string(), "{logged}");

    let stopped = Command::new("kill").args(["-TERM", &child.0.id().to_string()]).status().unwrap();
    assert!(stopped.success());
    assert!(child.0.wait().unwrap().success(), "a signal to stop is no failure");
    let said = std::io::read_to_string(child.0.stdout.take().unwrap()).unwrap();
    assert_eq!(said, "", "stdout stays empty");
}
