//! Programs that the benchmark starts: each logs to a file, says when it is ready, and ends with us.

use crate::limits;
use anyhow::{Context as _, bail};
use std::fs::{self, File};
use std::net::{SocketAddr, TcpListener};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio::time::{sleep, timeout};

/// A running server that ends when its standard input does.
pub struct Process {
    child: Child,
    name: String,
    log: PathBuf,
    /// Where it listens.
    pub address: SocketAddr,
}

impl Process {
    /// Starts a server that takes `--listen` and `--exit-on-stdin-close`, and waits until it is ready.
    pub async fn serve(name: &str, mut command: Command, logs: &Path) -> anyhow::Result<Self> {
        let address = free_address()?;
        let log = logs.join(format!("{name}.log"));
        let output = File::options().create(true).append(true).open(&log)?;
        command.arg("--exit-on-stdin-close").arg("--listen").arg(address.to_string());
        command.stdin(Stdio::piped()).stdout(output.try_clone()?).stderr(output);
        let child = command.spawn().with_context(|| format!("cannot start {name}: {command:?}"))?;
        let mut process = Self { child, name: name.to_owned(), log, address };
        process.until_ready().await?;
        Ok(process)
    }

    async fn until_ready(&mut self) -> anyhow::Result<()> {
        let deadline = Instant::now() + limits::READY_WITHIN;
        while !is_ready(self.address).await {
            if let Some(status) = self.child.try_wait()? {
                bail!("{} ended ({status}):\n{}", self.name, end_of(&self.log));
            }
            if Instant::now() > deadline {
                bail!("{} did not get ready; its log is {}", self.name, self.log.display());
            }
            sleep(limits::POLL).await;
        }
        Ok(())
    }

    /// Its process id.
    pub fn pid(&self) -> u32 {
        self.child.id()
    }

    /// Lets it end in order; ends it by force if it takes too long.
    pub async fn stop(mut self) -> anyhow::Result<()> {
        drop(self.child.stdin.take());
        let deadline = Instant::now() + limits::STOP_WITHIN;
        while self.child.try_wait()?.is_none() {
            if Instant::now() > deadline {
                bail!("{} did not stop within {:?}", self.name, limits::STOP_WITHIN);
            }
            sleep(limits::POLL).await;
        }
        Ok(())
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        // Already gone, unless the benchmark failed.
        _ = self.child.kill();
        _ = self.child.wait();
    }
}

/// The last lines of a log.
pub fn end_of(log: &Path) -> String {
    let text = fs::read_to_string(log).unwrap_or_default();
    let tail: Vec<&str> = text.lines().rev().take(10).collect();
    tail.into_iter().rev().map(|line| format!("  {line}\n")).collect()
}

/// An address that is free now.
pub fn free_address() -> anyhow::Result<SocketAddr> {
    Ok(TcpListener::bind("127.0.0.1:0")?.local_addr()?)
}

async fn is_ready(address: SocketAddr) -> bool {
    matches!(timeout(Duration::from_secs(2), get_ready(address)).await, Ok(Ok(true)))
}

async fn get_ready(address: SocketAddr) -> std::io::Result<bool> {
    let mut stream = TcpStream::connect(address).await?;
    stream.write_all(b"GET /readyz HTTP/1.1\r\nhost: bench\r\nconnection: close\r\n\r\n").await?;
    let mut answer = String::new();
    stream.read_to_string(&mut answer).await?;
    Ok(answer.starts_with("HTTP/1.1 200"))
}
