//! Programs that the benchmark starts: each logs to a file, says when it is ready, and ends with us.

use crate::limits;
use anyhow::{Context as _, bail};
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use std::fs::File;
use std::net::{SocketAddr, TcpListener};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};
use tiffin_services::command::find_program;
use tiffin_services::last_words;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio::time::{sleep, timeout};

/// A running server.
pub struct Process {
    child: Child,
    name: String,
    log: PathBuf,
    /// Where it listens.
    pub address: SocketAddr,
}

/// How a server is started.
pub struct Launch<'a> {
    /// What people call it.
    pub name: &'a str,
    /// The whole command.
    pub command: Command,
    /// Where it listens then.
    pub address: SocketAddr,
    /// What it answers with 200 once it is ready.
    pub ready_at: &'a str,
    /// How long that may take.
    pub ready_within: Duration,
    /// How often it is asked meanwhile.
    pub poll: Duration,
}

impl Process {
    /// Starts a server that takes `--listen` and `--exit-on-stdin-close`, and waits until it is ready.
    pub async fn serve(name: &str, mut command: Command, logs: &Path) -> anyhow::Result<Self> {
        let address = free_address()?;
        command.arg("--exit-on-stdin-close").arg("--listen").arg(address.to_string());
        // Its standard input is ours to close: it ends with us, however we end.
        command.stdin(Stdio::piped());
        let ready_within = limits::READY_WITHIN;
        let poll = limits::POLL;
        let launch = Launch { name, command, address, ready_at: "/readyz", ready_within, poll };
        Self::start(launch, logs).await
    }

    /// Starts a server and waits until it is ready.
    pub async fn start(launch: Launch<'_>, logs: &Path) -> anyhow::Result<Self> {
        let Launch { name, mut command, address, ready_at, ready_within, poll } = launch;
        let log = logs.join(format!("{name}.log"));
        let output = File::options().create(true).append(true).open(&log)?;
        command.stdout(output.try_clone()?).stderr(output);
        let child = command.spawn().with_context(|| format!("cannot start {name}: {command:?}"))?;
        let mut process = Self { child, name: name.to_owned(), log, address };
        let deadline = Instant::now() + ready_within;
        while !is_ready(address, ready_at).await {
            if let Some(status) = process.child.try_wait()? {
                bail!("{name} ended ({status}):\n{}", last_words(&process.log));
            }
            if Instant::now() > deadline {
                bail!("{name} did not get ready; its log is {}", process.log.display());
            }
            sleep(poll).await;
        }
        Ok(process)
    }

    /// Its process id.
    pub fn pid(&self) -> u32 {
        self.child.id()
    }

    /// Lets it end in order; one that takes too long is ended by force, which is an error.
    pub async fn stop(mut self) -> anyhow::Result<()> {
        self.ask_to_stop();
        let deadline = Instant::now() + limits::STOP_WITHIN;
        while self.child.try_wait()?.is_none() {
            if Instant::now() > deadline {
                bail!("{} did not stop within {:?}", self.name, limits::STOP_WITHIN);
            }
            sleep(limits::POLL).await;
        }
        Ok(())
    }

    /// A closed standard input tells our own programs; SIGTERM tells all. The process id is the child's until
    /// it is waited for, so no stranger is meant.
    fn ask_to_stop(&mut self) {
        if self.child.stdin.take().is_none()
            && let Ok(pid) = i32::try_from(self.child.id())
        {
            _ = kill(Pid::from_raw(pid), Signal::SIGTERM);
        }
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        if matches!(self.child.try_wait(), Ok(Some(_))) {
            return;
        }
        // The benchmark failed. A server that is killed at once leaves its own workers behind.
        self.ask_to_stop();
        let deadline = Instant::now() + limits::STOP_AFTER_FAILURE_WITHIN;
        while matches!(self.child.try_wait(), Ok(None)) && Instant::now() < deadline {
            std::thread::sleep(limits::POLL);
        }
        _ = self.child.kill();
        _ = self.child.wait();
    }
}

/// A command for a program of others: told to stop when we end, and held to one processor if one is given.
///
/// `setpriv` and `taskset` (util-linux) become the program, so the process id stays. Where they are missing, so is
/// what they do.
pub fn command_on(processor: Option<usize>, program: &Path) -> Command {
    let mut words = Vec::new();
    if let Some(setpriv) = find_program("setpriv") {
        words.extend([setpriv, "--pdeathsig".into(), "TERM".into(), "--".into()]);
    }
    if let (Some(processor), Some(taskset)) = (processor, find_program("taskset")) {
        words.extend([taskset, "--cpu-list".into(), processor.to_string().into()]);
    }
    words.push(program.to_owned());
    let mut command = Command::new(&words[0]);
    command.args(&words[1..]).stdin(Stdio::null());
    command
}

/// Holds this process, with all its threads, to one processor.
///
/// # Errors
/// `taskset` is missing or refuses.
pub fn hold_ourselves_to(processor: usize) -> anyhow::Result<()> {
    let taskset = find_program("taskset").context("taskset (util-linux) is not installed")?;
    let mut command = Command::new(taskset);
    command.args(["--all-tasks", "--pid", "--cpu-list", &processor.to_string()]);
    tiffin_services::command::ask(command.arg(std::process::id().to_string())).map(|_| ())
}

/// An address that is free now.
pub fn free_address() -> anyhow::Result<SocketAddr> {
    Ok(TcpListener::bind("127.0.0.1:0")?.local_addr()?)
}

async fn is_ready(address: SocketAddr, target: &str) -> bool {
    let asked = timeout(Duration::from_secs(2), get_ready(address, target)).await;
    matches!(asked, Ok(Ok(true)))
}

async fn get_ready(address: SocketAddr, target: &str) -> std::io::Result<bool> {
    let mut stream = TcpStream::connect(address).await?;
    let request = format!("GET {target} HTTP/1.1\r\nhost: bench\r\nconnection: close\r\n\r\n");
    stream.write_all(request.as_bytes()).await?;
    let mut answer = Vec::new();
    stream.read_to_end(&mut answer).await?;
    Ok(answer.starts_with(b"HTTP/1.1 200"))
}
