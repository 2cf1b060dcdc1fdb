//! The core as a process: killed, started again on the same data and port, and watched over.
//!
//! A supervisor starts a core that ends by itself again, as an operator's would: a core that finds no database at
//! its start may end; one that was ready and ends without being told is a finding.

use crate::limits;
use anyhow::{Context as _, Result, bail, ensure};
use std::ffi::OsString;
use std::fs::{self, File};
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

/// What the log says once the core listens.
const READY: &str = "\"ready\"";

/// The core. Its methods may be called from any thread.
pub struct Core {
    program: PathBuf,
    arguments: Vec<OsString>,
    log: PathBuf,
    /// Where it listens, over all restarts.
    pub address: SocketAddr,
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    /// `None` while it is down on purpose.
    child: Option<Child>,
    /// Where in the log this start begins.
    log_from: usize,
    starts_failed: usize,
    ended_when_ready: Vec<String>,
    over: bool,
}

/// How the core ended when nobody told it to.
#[derive(Debug, Clone, Default)]
pub struct Ends {
    /// Starts that came to nothing, most likely because the database was down.
    pub starts_failed: usize,
    /// Ends of a core that was ready: its exit status and last words.
    pub when_ready: Vec<String>,
}

impl Core {
    /// Starts the core, and a thread that watches over it. `arguments` are those of `core-service serve` but
    /// `--listen`.
    pub fn start(
        program: &Path,
        address: SocketAddr,
        arguments: Vec<OsString>,
        log: &Path,
    ) -> Result<Arc<Self>> {
        ensure!(
            program.is_file(),
            "--core {} is no file; build it with `cargo build --release -p core-service`",
            program.display()
        );
        let core = Arc::new(Self {
            program: program.to_owned(),
            arguments,
            log: log.to_owned(),
            address,
            state: Mutex::default(),
        });
        core.restart()?;
        let watched = Arc::clone(&core);
        thread::spawn(move || watched.watch());
        Ok(core)
    }

    /// Starts it if it is down; does not wait until it is ready.
    pub fn restart(&self) -> Result<()> {
        let mut state = self.state();
        if state.child.is_none() {
            state.child = Some(self.spawn(&mut state.log_from)?);
        }
        Ok(())
    }

    /// Kills it at once (SIGKILL) and waits until it is gone.
    pub fn kill(&self) -> Result<()> {
        let Some(mut child) = self.state().child.take() else { return Ok(()) };
        child.kill().context("killing the core")?;
        child.wait().context("waiting for the core")?;
        Ok(())
    }

    /// Stops it in order, for good.
    pub fn stop(&self) -> Result<()> {
        let child = {
            let mut state = self.state();
            state.over = true;
            state.child.take()
        };
        let Some(mut child) = child else { return Ok(()) };
        // It was started with --exit-on-stdin-close.
        drop(child.stdin.take());
        let deadline = Instant::now() + limits::STOP_WITHIN;
        while child.try_wait()?.is_none() {
            if Instant::now() > deadline {
                child.kill()?;
                child.wait()?;
                bail!("the core did not stop within {:?}", limits::STOP_WITHIN);
            }
            thread::sleep(limits::POLL);
        }
        Ok(())
    }

    /// How it ended by itself so far.
    pub fn ends(&self) -> Ends {
        let state = self.state();
        Ends { starts_failed: state.starts_failed, when_ready: state.ended_when_ready.clone() }
    }

    /// The end of its log.
    pub fn last_words(&self) -> String {
        last_lines(&fs::read_to_string(&self.log).unwrap_or_default())
    }

    fn spawn(&self, log_from: &mut usize) -> Result<Child> {
        let output = File::options().create(true).append(true).open(&self.log)?;
        *log_from = usize::try_from(output.metadata()?.len())?;
        let mut command = Command::new(&self.program);
        command.arg("serve").arg("--listen").arg(self.address.to_string()).args(&self.arguments);
        command.arg("--exit-on-stdin-close").env("RUST_LOG", "info");
        command.stdin(Stdio::piped()).stdout(output.try_clone()?).stderr(output);
        command.spawn().with_context(|| format!("cannot start {}", self.program.display()))
    }

    fn watch(&self) {
        loop {
            thread::sleep(limits::POLL);
            let ended = {
                let mut state = self.state();
                if state.over {
                    return;
                }
                let ended = match state.child.as_mut().map(Child::try_wait) {
                    Some(Ok(Some(status))) => status,
                    _ => continue,
                };
                state.child = None;
                self.note_end(&mut state, ended);
                Instant::now()
            };
            thread::sleep(limits::CORE_RESTART_PAUSE.saturating_sub(ended.elapsed()));
            if !self.state().over
                && let Err(error) = self.restart()
            {
                eprintln!("    the core could not be started again: {error:#}");
            }
        }
    }

    fn note_end(&self, state: &mut State, status: ExitStatus) {
        let log = fs::read(&self.log).unwrap_or_default();
        let since = String::from_utf8_lossy(log.get(state.log_from..).unwrap_or_default());
        if since.contains(READY) {
            state
                .ended_when_ready
                .push(format!("{status}; its last words:\n{}", last_lines(&since)));
        } else {
            state.starts_failed += 1;
        }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for Core {
    fn drop(&mut self) {
        // Already gone, unless the drill failed.
        _ = self.kill();
    }
}

fn last_lines(text: &str) -> String {
    let tail: Vec<&str> = text.lines().rev().take(limits::LOG_LINES).collect();
    tail.into_iter().rev().map(|line| format!("      {line}\n")).collect()
}

/// Tries something until it succeeds; the last error if it does not in time.
pub fn until<T>(within: Duration, mut attempt: impl FnMut() -> Result<T>) -> Result<T> {
    let deadline = Instant::now() + within;
    loop {
        match attempt() {
            Err(_) if Instant::now() < deadline => thread::sleep(limits::POLL),
            outcome => return outcome,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A core that is a shell script; `$0` is `serve`.
    fn script(text: &str, folder: &Path) -> Arc<Core> {
        use std::os::unix::fs::PermissionsExt as _;
        let program = folder.join("core");
        fs::write(&program, format!("#!/bin/sh\n{text}\n")).unwrap();
        fs::set_permissions(&program, fs::Permissions::from_mode(0o755)).unwrap();
        let address = SocketAddr::from(([127, 0, 0, 1], 1));
        Core::start(&program, address, Vec::new(), &folder.join("core.log")).unwrap()
    }

    #[test]
    fn a_kill_is_ours_and_no_end_of_its_own() {
        let folder = tempfile::tempdir().unwrap();
        let core = script("echo '{\"message\":\"ready\"}'; exec sleep 60", folder.path());
        thread::sleep(Duration::from_millis(100));
        core.kill().unwrap();
        thread::sleep(Duration::from_millis(200));
        assert!(core.state().child.is_none(), "only restart brings it back");
        core.restart().unwrap();
        assert!(core.state().child.is_some());
        let ends = core.ends();
        assert_eq!((ends.starts_failed, ends.when_ready.len()), (0, 0));
        core.kill().unwrap();
    }

    #[test]
    fn ends_of_its_own_are_told_apart_and_it_is_started_again() {
        let folder = tempfile::tempdir().unwrap();
        // The first start fails, the second ends when it is ready, the third stays.
        let text = "echo x >> $0.count; case $(wc -l < $0.count) in
            1) exit 1;; 2) echo '{\"message\":\"ready\"}'; echo last; exit 4;; *) exec sleep 60;; esac";
        let core = script(text, folder.path());
        let settled = || {
            let ends = core.ends();
            let there = ends.starts_failed == 1 && ends.when_ready.len() == 1;
            if there { Ok(ends) } else { bail!("not yet") }
        };
        let ends = until(Duration::from_secs(10), settled).unwrap();
        assert!(ends.when_ready[0].starts_with("exit status: 4"), "{ends:?}");
        assert!(ends.when_ready[0].ends_with("last\n"), "{ends:?}");
        core.state().over = true;
        core.kill().unwrap();
    }
}
