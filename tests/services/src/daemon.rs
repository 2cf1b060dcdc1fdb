//! A daemon of our own: started, killed, started again on the same data and port.
//!
//! Invariants: it runs in a process group of its own, so that Ctrl-C reaches us alone; it dies when
//! we do, however we end; dropping the value stops it and reaps it; it is signalled by its own
//! process id, only while it is our unreaped child, so never a stranger that got the same number.

use std::ffi::OsString;
use std::fs::File;
use std::io::{self, Read, Seek, SeekFrom};
use std::net::{Ipv4Addr, SocketAddr};
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::{Mutex, MutexGuard, OnceLock, PoisonError, mpsc};
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;

use crate::{command, limits};

/// How a daemon is started and recognised.
#[derive(Debug)]
pub(crate) struct Plan {
    /// What people call it.
    pub(crate) name: &'static str,
    /// Its program.
    pub(crate) program: PathBuf,
    /// Everything behind the program's name.
    pub(crate) arguments: Vec<OsString>,
    /// Where it listens on 127.0.0.1.
    pub(crate) port: u16,
    /// What it prints goes here.
    pub(crate) log: PathBuf,
    /// Asks the daemon at that address whether it answers.
    pub(crate) greet: fn(SocketAddr) -> io::Result<()>,
    /// How long it may take to answer.
    pub(crate) ready_within: Duration,
    /// How long it may take to stop.
    pub(crate) stop_within: Duration,
}

/// A running, or killed, or stopped daemon. Its methods may be called from any thread.
#[derive(Debug)]
pub struct Daemon {
    plan: Plan,
    /// `None` between a kill or stop and the restart.
    child: Mutex<Option<Child>>,
}

impl Daemon {
    /// Starts it and waits until it answers; its log starts empty.
    pub(crate) fn start(plan: Plan) -> Result<Self> {
        let log = &plan.log;
        File::create(log).with_context(|| format!("making {}", log.display()))?;
        let daemon = Self { plan, child: Mutex::new(None) };
        daemon.restart()?;
        Ok(daemon)
    }

    /// What people call it.
    pub fn name(&self) -> &'static str {
        self.plan.name
    }

    /// Its process id, or nothing while it does not run.
    pub fn pid(&self) -> Option<u32> {
        let mut child = self.child();
        let running = child.as_mut()?;
        matches!(running.try_wait(), Ok(None)).then(|| running.id())
    }

    /// Its port on 127.0.0.1, the same over all restarts.
    pub fn port(&self) -> u16 {
        self.plan.port
    }

    /// Where its output goes.
    pub fn log(&self) -> &Path {
        &self.plan.log
    }

    /// The end of its log, indented.
    pub fn last_words(&self) -> String {
        last_words(&self.plan.log)
    }

    /// Kills it at once (SIGKILL) and waits until it is gone, as a crash of it would look.
    /// Does nothing while it does not run.
    pub fn kill(&self) -> Result<()> {
        let Some(mut child) = self.child().take() else { return Ok(()) };
        child.kill().with_context(|| format!("killing {}", self.plan.name))?;
        child.wait().with_context(|| format!("waiting for {}", self.plan.name))?;
        Ok(())
    }

    /// Stops it in order: SIGTERM, time to end, and SIGKILL if it does not.
    /// Does nothing while it does not run.
    pub fn stop(&self) -> Result<()> {
        let Some(mut child) = self.child().take() else { return Ok(()) };
        if child.try_wait()?.is_some() {
            return Ok(());
        }
        let name = self.plan.name;
        let pid = i32::try_from(child.id()).context("a process id beyond its type")?;
        kill(Pid::from_raw(pid), Signal::SIGTERM).with_context(|| format!("stopping {name}"))?;
        let deadline = Instant::now() + self.plan.stop_within;
        while Instant::now() < deadline {
            if child.try_wait()?.is_some() {
                return Ok(());
            }
            thread::sleep(limits::POLL_INTERVAL);
        }
        let bound_s = self.plan.stop_within.as_secs();
        eprintln!("    {name} did not stop within {bound_s} s: killing it");
        child.kill()?;
        child.wait()?;
        Ok(())
    }

    /// Starts it on the same data and port and waits until it answers; one that still runs is
    /// stopped before.
    ///
    /// # Errors
    /// It ended, or did not answer in time (and was killed then); the message ends with its log.
    pub fn restart(&self) -> Result<()> {
        self.stop()?;
        let mut child = self.spawn()?;
        let outcome = self.wait_until_ready(&mut child);
        match &outcome {
            Ok(()) => *self.child() = Some(child),
            Err(_) => {
                // Both fail only when it has ended already, which is what we want.
                let _ = child.kill();
                let _ = child.wait();
            }
        }
        outcome
    }

    fn spawn(&self) -> Result<Child> {
        let Plan { name, program, arguments, log, .. } = &self.plan;
        let output = File::options().append(true).open(log);
        let output = output.with_context(|| format!("opening {}", log.display()))?;
        let mut command = dies_with_us(program);
        command.args(arguments).process_group(0).stdin(Stdio::null());
        command.stdout(output.try_clone()?).stderr(output);
        spawn_for_good(command).with_context(|| format!("starting {name}"))
    }

    fn wait_until_ready(&self, child: &mut Child) -> Result<()> {
        let Plan { name, log, greet, ready_within, .. } = &self.plan;
        let address = SocketAddr::from((Ipv4Addr::LOCALHOST, self.plan.port));
        let deadline = Instant::now() + *ready_within;
        loop {
            if let Some(status) = child.try_wait()? {
                bail!("{name} ended ({status}); the end of its log:\n{}", last_words(log));
            }
            let Err(error) = greet(address) else { return Ok(()) };
            if Instant::now() >= deadline {
                bail!(
                    "{name} did not answer at {address} within {} s ({error}); the end of its log:\n{}",
                    ready_within.as_secs(),
                    last_words(log)
                );
            }
            thread::sleep(limits::POLL_INTERVAL);
        }
    }

    fn child(&self) -> MutexGuard<'_, Option<Child>> {
        // Nothing that holds the lock can leave half a change behind.
        self.child.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for Daemon {
    fn drop(&mut self) {
        if let Err(error) = self.stop() {
            eprintln!("error: stopping {} failed: {error:#}", self.plan.name);
        }
    }
}

/// The program, to be killed by the kernel when the thread that starts it ends.
///
/// `setpriv` (util-linux, on every Debian) asks the kernel for that and becomes the program, so the
/// process id stays. Systems without it have no such service of the kernel either: there a daemon
/// outlives us if we are killed without a chance to stop it.
fn dies_with_us(program: &Path) -> Command {
    match command::find_program("setpriv") {
        Some(setpriv) if cfg!(target_os = "linux") => {
            let mut command = Command::new(setpriv);
            command.args(["--pdeathsig", "KILL", "--"]).arg(program);
            command
        }
        _ => Command::new(program),
    }
}

/// A command, and where to send the child.
type Order = (Command, mpsc::Sender<io::Result<Child>>);

/// Spawns from a thread that lives as long as this process does.
///
/// The kernel's promise is tied to the thread that spawned, not to the process (prctl(2),
/// PR_SET_PDEATHSIG): a daemon started by a test's own thread would die with that thread.
fn spawn_for_good(command: Command) -> io::Result<Child> {
    static SPAWNER: OnceLock<Mutex<mpsc::Sender<Order>>> = OnceLock::new();
    let spawner = SPAWNER.get_or_init(|| {
        let (orders, inbox) = mpsc::channel::<Order>();
        thread::spawn(move || {
            for (mut command, answer) in inbox {
                // Who ordered waits for the answer.
                let _ = answer.send(command.spawn());
            }
        });
        Mutex::new(orders)
    });
    let (answer, child) = mpsc::channel();
    let gone = |_| io::Error::other("the thread that starts daemons is gone");
    let orders = spawner.lock().unwrap_or_else(PoisonError::into_inner).clone();
    orders.send((command, answer)).map_err(|_| gone(mpsc::RecvError))?;
    child.recv().map_err(gone)?
}

/// The end of a log, indented.
pub fn last_words(log: &Path) -> String {
    let text = match end_of(log) {
        Ok(text) => text,
        Err(error) => return format!("  ({} cannot be read: {error})", log.display()),
    };
    let lines: Vec<_> = text.lines().collect();
    let last = &lines[lines.len().saturating_sub(limits::LAST_WORDS_LINES)..];
    if last.is_empty() {
        return "  (it said nothing)".to_owned();
    }
    last.iter().map(|line| format!("  {line}")).collect::<Vec<_>>().join("\n")
}

fn end_of(log: &Path) -> io::Result<String> {
    let mut file = File::open(log)?;
    let bytes = file.metadata()?.len();
    file.seek(SeekFrom::Start(bytes.saturating_sub(limits::LAST_WORDS_BYTES)))?;
    let mut end = Vec::new();
    file.read_to_end(&mut end)?;
    Ok(String::from_utf8_lossy(&end).into_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A daemon that is a shell script and counts as ready once its log says so.
    fn script(text: &str, folder: &tempfile::TempDir) -> Plan {
        Plan {
            name: "the script",
            program: "/bin/sh".into(),
            arguments: vec!["-c".into(), text.into()],
            port: 1,
            log: folder.path().join("script.log"),
            greet: |_| Ok(()),
            ready_within: Duration::from_millis(300),
            stop_within: Duration::from_millis(300),
        }
    }

    #[test]
    fn a_daemon_that_ends_is_reported_with_its_last_words() {
        let folder = tempfile::tempdir().unwrap();
        let mut plan = script("seq 1 100; echo out of luck >&2; exit 3", &folder);
        plan.greet = |_| Err(io::ErrorKind::ConnectionRefused.into());
        plan.ready_within = limits::PROBE;
        let error = Daemon::start(plan).unwrap_err().to_string();
        assert!(error.starts_with("the script ended (exit status: 3)"), "{error}");
        assert!(error.ends_with("  100\n  out of luck") && !error.contains("\n  80\n"), "{error}");
    }

    #[test]
    fn a_daemon_that_never_answers_is_killed() {
        let folder = tempfile::tempdir().unwrap();
        let mut plan = script("echo $$; exec sleep 60", &folder);
        plan.greet = |_| Err(io::ErrorKind::ConnectionRefused.into());
        let error = Daemon::start(plan).unwrap_err().to_string();
        assert!(
            error.starts_with("the script did not answer at 127.0.0.1:1 within 0 s"),
            "{error}"
        );
        let pid: i32 = error.rsplit(' ').next().unwrap().parse().unwrap();
        assert!(kill(Pid::from_raw(pid), None).is_err(), "{pid} still runs");
    }

    #[test]
    fn a_daemon_that_does_not_stop_is_killed() {
        let folder = tempfile::tempdir().unwrap();
        let plan = script("trap 'echo no' TERM; echo up; while :; do sleep 0.05; done", &folder);
        let daemon = Daemon::start(plan).unwrap();
        let deadline = Instant::now() + limits::PROBE;
        while daemon.last_words() != "  up" {
            assert!(Instant::now() < deadline);
            thread::sleep(limits::POLL_INTERVAL);
        }
        assert!(daemon.pid().is_some());
        daemon.stop().unwrap();
        assert_eq!(daemon.pid(), None);
        assert_eq!(daemon.last_words(), "  up\n  no", "it was asked first");
        daemon.stop().unwrap();
        daemon.kill().unwrap();
    }

    #[test]
    fn a_daemon_outlives_the_thread_that_started_it() {
        let folder = tempfile::tempdir().unwrap();
        let plan = script("exec sleep 60", &folder);
        let daemon = thread::spawn(move || Daemon::start(plan).unwrap()).join().unwrap();
        thread::sleep(Duration::from_millis(100));
        assert!(daemon.pid().is_some());
    }

    #[test]
    fn a_daemon_that_died_by_itself_has_no_pid_and_can_be_restarted() {
        let folder = tempfile::tempdir().unwrap();
        let daemon = Daemon::start(script("exec sleep 0.1", &folder)).unwrap();
        let deadline = Instant::now() + limits::PROBE;
        while daemon.pid().is_some() {
            assert!(Instant::now() < deadline);
            thread::sleep(limits::POLL_INTERVAL);
        }
        daemon.restart().unwrap();
        assert!(daemon.pid().is_some());
    }
}
