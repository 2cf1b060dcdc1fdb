//! A redis-server of a test's own: a free port on loopback, a temporary folder, nothing on disk.

use super::skip;
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use std::net::{TcpListener, TcpStream};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};
use tempfile::TempDir;

/// A server; killed when dropped.
pub(super) struct Server {
    port: u16,
    folder: TempDir,
    more: Vec<&'static str>,
    child: Option<Child>,
}

impl Server {
    /// A running server, if redis-server is installed.
    pub(super) fn start() -> Option<Self> {
        Self::start_with(&[])
    }

    /// A running server with more arguments.
    pub(super) fn start_with(more: &[&'static str]) -> Option<Self> {
        let mut server = Self::reserve(more)?;
        server.run();
        Some(server)
    }

    /// A server that does not run yet.
    pub(super) fn reserve(more: &[&'static str]) -> Option<Self> {
        let version = Command::new("redis-server").arg("--version").stdout(Stdio::null()).status();
        if !version.is_ok_and(|status| status.success()) {
            skip("redis-server is not installed");
            return None;
        }
        let port = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
        let folder = tempfile::tempdir().unwrap();
        Some(Self { port, folder, more: more.to_vec(), child: None })
    }

    pub(super) fn url(&self) -> String {
        format!("redis://127.0.0.1:{}/", self.port)
    }

    /// Runs it, empty, on the same port as before.
    pub(super) fn run(&mut self) {
        let port = self.port.to_string();
        let child = Command::new("redis-server")
            .args(["--bind", "127.0.0.1", "--port", &port, "--save", "", "--appendonly", "no"])
            .args(&self.more)
            .current_dir(self.folder.path())
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        self.child = Some(child);
        let patience = Instant::now() + Duration::from_secs(20);
        while TcpStream::connect(("127.0.0.1", self.port)).is_err() {
            assert!(Instant::now() < patience, "redis-server did not come up");
            std::thread::sleep(Duration::from_millis(10));
        }
    }

    /// kill -9.
    pub(super) fn kill(&mut self) {
        if let Some(mut child) = self.child.take() {
            child.kill().unwrap();
            child.wait().unwrap();
        }
    }

    /// Stops it in its tracks: connections stay, answers do not come.
    pub(super) fn freeze(&self) {
        self.signal(Signal::SIGSTOP);
    }

    /// Lets it go on.
    pub(super) fn thaw(&self) {
        self.signal(Signal::SIGCONT);
    }

    fn signal(&self, signal: Signal) {
        let id = self.child.as_ref().expect("it runs").id();
        kill(Pid::from_raw(i32::try_from(id).unwrap()), signal).unwrap();
    }

    /// Runs a command on a connection of its own.
    pub(super) fn command<T: ::redis::FromRedisValue>(&self, words: &[&str]) -> T {
        let client = ::redis::Client::open(self.url()).unwrap();
        let mut command = ::redis::Cmd::new();
        command.arg(words);
        command.query(&mut client.get_connection().unwrap()).unwrap()
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        self.kill();
    }
}
