//! A program under test: its output goes to a file, and it never outlives its owner.

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

/// How long a program may take to stop.
const STOP_WITHIN: Duration = Duration::from_secs(15);

/// A running program.
pub struct Process {
    child: Child,
    log: PathBuf,
}

impl Process {
    /// Starts the program; its output is appended to `log`.
    pub fn start(mut command: Command, log: &Path) -> Self {
        let output = File::options().create(true).append(true).open(log).expect("a log file");
        let errors = output.try_clone().expect("a second handle");
        let child = command.stdin(Stdio::null()).stdout(output).stderr(errors).spawn();
        Self { child: child.expect("the program starts"), log: log.to_owned() }
    }

    /// Freezes it: it holds its port and answers nothing.
    pub fn freeze(&self) {
        self.signal(Signal::SIGSTOP);
    }

    /// Lets it go on.
    pub fn thaw(&self) {
        self.signal(Signal::SIGCONT);
    }

    fn signal(&self, signal: Signal) {
        let pid = i32::try_from(self.child.id()).expect("a pid");
        kill(Pid::from_raw(pid), signal).expect("our own child takes signals");
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        self.thaw();
        self.signal(Signal::SIGTERM);
        let deadline = Instant::now() + STOP_WITHIN;
        loop {
            match self.child.try_wait() {
                Ok(Some(_)) => break,
                Ok(None) if Instant::now() < deadline => {
                    std::thread::sleep(Duration::from_millis(10))
                }
                _ => {
                    self.signal(Signal::SIGKILL);
                    // Reaped, so that no zombie is left behind.
                    let _ = self.child.wait();
                    break;
                }
            }
        }
        if std::thread::panicking() {
            let log = fs::read_to_string(&self.log).unwrap_or_default();
            let tail: Vec<&str> = log.lines().rev().take(20).collect();
            eprintln!("the end of {}:", self.log.display());
            tail.iter().rev().for_each(|line| eprintln!("  {line}"));
        }
    }
}
