//! The real program: how it starts, what it refuses to start on, and how it ends.

#![expect(clippy::unwrap_used, reason = "in a test the panic is the report")]

use core_service::limits;
use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::TcpStream;
use std::path::Path;
use std::process::{Child, ChildStderr, Command, Output, Stdio};
use tempfile::TempDir;

fn core(data: &Path, args: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_core-service"));
    command.args(["serve", "--listen", "127.0.0.1:0", "--exit-on-stdin-close", "--data"]);
    command.arg(data).args(args).stdin(Stdio::piped()).stderr(Stdio::piped());
    command
}

/// A running core; it stops when its standard input is dropped.
struct Running {
    child: Child,
    /// Kept, so that somebody could read it.
    log: Option<BufReader<ChildStderr>>,
    address: String,
}

impl Running {
    fn start(data: &Path) -> Self {
        let mut child = core(data, &[]).spawn().unwrap();
        let log = child.stderr.take().map(BufReader::new);
        let mut running = Self { child, log, address: String::new() };
        while running.address.is_empty() {
            let mut line = String::new();
            running.log.as_mut().unwrap().read_line(&mut line).unwrap();
            assert!(!line.is_empty(), "the core ended before it was ready");
            let line: serde_json::Value = serde_json::from_str(&line).unwrap();
            if line["message"] == "ready" {
                running.address = line["address"].as_str().unwrap().to_owned();
            }
        }
        running
    }

    /// Ends it and returns whether it ended well.
    fn stop(mut self) -> bool {
        drop(self.child.stdin.take());
        self.child.wait().unwrap().success()
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        // Already gone, unless a test failed.
        _ = self.child.kill();
        _ = self.child.wait();
    }
}

fn ends_with_one_sentence(output: &Output, words: &str) {
    let said = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(1), "{said}");
    assert!(said.starts_with("core-service: ") && said.contains(words), "{said}");
    assert_eq!(said.lines().count(), 1, "{said}");
}

fn get(address: &str, path: &str) -> String {
    let mut stream = TcpStream::connect(address).unwrap();
    write!(stream, "GET {path} HTTP/1.1\r\nHost: core\r\nConnection: close\r\n\r\n").unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).unwrap();
    answer
}

#[test]
fn a_folder_has_one_core_at_a_time() {
    let outer = TempDir::new().unwrap();
    let data = outer.path().join("data");
    let first = Running::start(&data);
    let second = core(&data, &[]).spawn().unwrap().wait_with_output().unwrap();
    ends_with_one_sentence(&second, "another core runs on");

    let mut token = Command::new(env!("CARGO_BIN_EXE_core-service"));
    let token = token.args(["token", "--data"]).arg(&data).output().unwrap();
    assert!(token.status.success(), "tokens can be made while the core runs");
    assert!(first.stop());
    assert!(Running::start(&data).stop(), "the lock went with its holder");
}

#[test]
fn a_sandbox_is_for_this_machine_only() {
    let outer = TempDir::new().unwrap();
    let args = ["--sandbox", "--listen", "0.0.0.0:0"];
    let mut command = Command::new(env!("CARGO_BIN_EXE_core-service"));
    let command = command.arg("serve").arg("--data").arg(outer.path()).args(args);
    ends_with_one_sentence(&command.output().unwrap(), "loopback");
}

#[test]
fn an_order_may_not_stay_unpaid_longer_than_the_gate_remembers_it() {
    let outer = TempDir::new().unwrap();
    let most_s = limits::PAY_WITHIN_MOST_S;
    let output =
        core(outer.path(), &["--pay-within-s", &(most_s + 1).to_string()]).output().unwrap();
    let said = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(2), "{said}");
    assert!(said.contains("--pay-within-s") && said.contains(&format!("1..={most_s}")), "{said}");
}

#[test]
fn a_log_that_nobody_reads_stops_nothing() {
    let outer = TempDir::new().unwrap();
    let mut running = Running::start(outer.path());
    drop(running.log.take());
    for _ in 0..3 {
        assert!(get(&running.address, "/nowhere").starts_with("HTTP/1.1 404"));
    }
    assert!(running.stop());
}
