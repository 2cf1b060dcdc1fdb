//! A program that we started: the core or the edge.
//!
//! Invariants: it runs in a process group of its own, so that Ctrl-C reaches us alone and we
//! choose the order in which things stop; it ends when its standard input closes, so that it
//! cannot outlive us; dropping the value stops it (SIGTERM, a deadline, SIGKILL) and reaps it.

use std::fs::{self, File};
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdin, Command, ExitStatus, Stdio};
use std::thread;
use std::time::Instant;

use anyhow::{Context, Result, bail};
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;

use crate::{limits, progress};

/// The core's exit code for a data file that it cannot read because of its version.
const OLD_DATA_EXIT_CODE: i32 = 3;

/// A running program.
pub(crate) struct Program {
    name: &'static str,
    child: Child,
    /// Never written to. The program ends when this closes, and it closes when we are gone.
    _lifeline: Option<ChildStdin>,
    log: PathBuf,
}

impl Program {
    /// Starts `command`; everything it prints goes to `log`, which starts empty.
    pub(crate) fn start(name: &'static str, mut command: Command, log: &Path) -> Result<Self> {
        let output = File::create(log).with_context(|| format!("making {}", log.display()))?;
        let mut child = command
            .arg("--exit-on-stdin-close")
            .stdin(Stdio::piped())
            .stdout(output.try_clone()?)
            .stderr(output)
            .process_group(0)
            .spawn()
            .with_context(|| format!("starting the {name}"))?;
        let lifeline = child.stdin.take();
        Ok(Self { name, child, _lifeline: lifeline, log: log.into() })
    }

    /// What people call it.
    pub(crate) fn name(&self) -> &'static str {
        self.name
    }

    /// # Errors
    /// The program has ended; the message carries its last words.
    pub(crate) fn check(&mut self) -> Result<()> {
        if let Some(status) = self.child.try_wait()? {
            bail!("the {} ended ({status}); its last words:\n{}", self.name, self.last_words());
        }
        Ok(())
    }

    /// Whether it ended because its data is of another version.
    pub(crate) fn found_old_data(&mut self) -> bool {
        let ended = self.child.try_wait().ok().flatten();
        ended.and_then(|status| status.code()) == Some(OLD_DATA_EXIT_CODE)
    }

    /// The end of its log, indented.
    pub(crate) fn last_words(&self) -> String {
        match fs::read(&self.log) {
            Ok(bytes) => tail(&String::from_utf8_lossy(&bytes), limits::LAST_WORDS_LINES),
            Err(error) => format!("  ({} cannot be read: {error})", self.log.display()),
        }
    }

    /// The last line of its log.
    pub(crate) fn last_line(&self) -> String {
        let log = fs::read_to_string(&self.log).unwrap_or_default();
        log.trim_end().lines().next_back().unwrap_or("nothing").to_owned()
    }

    fn stop(&mut self) -> Result<ExitStatus> {
        if let Some(status) = self.child.try_wait()? {
            return Ok(status);
        }
        progress::note(&format!("stopping the {}", self.name));
        let pid = i32::try_from(self.child.id()).context("a process id beyond its type")?;
        kill(Pid::from_raw(pid), Signal::SIGTERM)?;
        let deadline = Instant::now() + limits::STOP;
        while Instant::now() < deadline {
            if let Some(status) = self.child.try_wait()? {
                return Ok(status);
            }
            thread::sleep(limits::POLL_INTERVAL);
        }
        let bound_s = limits::STOP.as_secs();
        progress::note(&format!("the {} did not stop within {bound_s} s: killing it", self.name));
        self.child.kill()?;
        Ok(self.child.wait()?)
    }
}

impl Drop for Program {
    fn drop(&mut self) {
        if let Err(error) = self.stop() {
            eprintln!("error: stopping the {} failed: {error:#}", self.name);
        }
    }
}

fn tail(text: &str, count: usize) -> String {
    let lines: Vec<_> = text.lines().collect();
    let last = &lines[lines.len().saturating_sub(count)..];
    if last.is_empty() {
        return "  (it said nothing)".to_owned();
    }
    last.iter().map(|line| format!("  {line}")).collect::<Vec<_>>().join("\n")
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A program that is a shell script. The flag that ours understand lands in `$0`.
    fn script(text: &str, dir: &tempfile::TempDir) -> Program {
        let mut command = Command::new("sh");
        command.args(["-c", text]);
        Program::start("script", command, &dir.path().join("script.log")).unwrap()
    }

    fn wait_for_log(program: &Program, text: &str) {
        let deadline = Instant::now() + limits::PROBE;
        while !fs::read_to_string(&program.log).unwrap().contains(text) {
            assert!(Instant::now() < deadline, "the script never said {text}");
            thread::sleep(limits::POLL_INTERVAL);
        }
    }

    fn wait_for_end(program: &mut Program) {
        let deadline = Instant::now() + limits::PROBE;
        while program.child.try_wait().unwrap().is_none() {
            assert!(Instant::now() < deadline, "the script never ended");
            thread::sleep(limits::POLL_INTERVAL);
        }
    }

    #[test]
    fn stopping_asks_first() {
        let dir = tempfile::tempdir().unwrap();
        let text = "trap 'echo bye; exit 7' TERM; echo ready; while :; do sleep 0.05; done";
        let mut program = script(text, &dir);
        wait_for_log(&program, "ready");
        assert_eq!(program.stop().unwrap().code(), Some(7));
        assert_eq!(program.last_words(), "  ready\n  bye");
    }

    #[test]
    fn a_program_that_died_is_reported_with_its_last_words() {
        let dir = tempfile::tempdir().unwrap();
        let mut program = script("echo out of luck >&2; exit 3", &dir);
        wait_for_end(&mut program);
        let error = program.check().unwrap_err().to_string();
        assert!(error.starts_with("the script ended (exit status: 3)"), "{error}");
        assert!(error.ends_with("  out of luck"), "{error}");
        assert!(program.found_old_data());
        assert_eq!(program.last_line(), "out of luck");
    }

    #[test]
    fn standard_input_closes_with_us_and_carries_nothing() {
        let dir = tempfile::tempdir().unwrap();
        let mut program = script("echo ready $0; read line; echo closed", &dir);
        wait_for_log(&program, "ready --exit-on-stdin-close");
        assert!(program.check().is_ok(), "it lives while we hold its standard input");
        program._lifeline = None;
        wait_for_end(&mut program);
        assert!(program.last_words().ends_with("closed"));
        assert!(!program.found_old_data());
    }

    #[test]
    fn only_the_end_of_a_log_is_shown() {
        assert_eq!(tail("a\nb\nc\n", 2), "  b\n  c");
        assert_eq!(tail("", 2), "  (it said nothing)");
    }
}
