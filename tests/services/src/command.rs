//! Running other programs to their end: with our terminal, or with their output and a bound.

use std::env;
use std::ffi::OsStr;
use std::io::Read;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};

use crate::limits;

/// Runs to the end with our own terminal; a failure names the command line.
pub fn run(command: &mut Command) -> Result<()> {
    let shown = shown(command);
    let status = command.status().with_context(|| format!("`{shown}` could not be started"))?;
    if !status.success() {
        bail!("`{shown}` failed ({status})");
    }
    Ok(())
}

/// What a program prints, trimmed, when it ends well within [`limits::PROBE`].
pub fn ask(command: &mut Command) -> Result<String> {
    let shown = shown(command);
    let output = output_within(command, limits::PROBE)?;
    if !output.status.success() {
        let complaint = String::from_utf8_lossy(&output.stderr);
        bail!("`{shown}` failed ({}): {}", output.status, complaint.trim());
    }
    let text = String::from_utf8(output.stdout).with_context(|| format!("output of `{shown}`"))?;
    Ok(text.trim().to_owned())
}

/// Runs with captured output and kills the program when `bound` has passed.
pub fn output_within(command: &mut Command, bound: Duration) -> Result<Output> {
    let shown = shown(command);
    let mut child = command
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .with_context(|| format!("`{shown}` could not be started"))?;
    // A program that prints more than a pipe holds would wait for a reader: drain both at once.
    let stdout = child.stdout.take().map(drain);
    let stderr = child.stderr.take().map(drain);
    let deadline = Instant::now() + bound;
    let status = loop {
        if let Some(status) = child.try_wait()? {
            break status;
        }
        if Instant::now() >= deadline {
            child.kill()?;
            child.wait()?;
            bail!("`{shown}` gave no answer within {} s", bound.as_secs());
        }
        thread::sleep(limits::POLL_INTERVAL);
    };
    let collect = |reader: Option<thread::JoinHandle<Vec<u8>>>| {
        reader.and_then(|thread| thread.join().ok()).unwrap_or_default()
    };
    Ok(Output { status, stdout: collect(stdout), stderr: collect(stderr) })
}

fn drain(mut pipe: impl Read + Send + 'static) -> thread::JoinHandle<Vec<u8>> {
    thread::spawn(move || {
        let mut bytes = Vec::new();
        // What was read before an error is still worth showing.
        let _ = pipe.read_to_end(&mut bytes);
        bytes
    })
}

/// The command line as a person would type it.
pub fn shown(command: &Command) -> String {
    let program = Path::new(command.get_program());
    let name = program.file_name().unwrap_or(program.as_os_str());
    let words = std::iter::once(name).chain(command.get_args());
    words.map(|word| word.to_string_lossy()).collect::<Vec<_>>().join(" ")
}

/// The first executable file of that name on PATH.
pub fn find_program(name: &str) -> Option<PathBuf> {
    find_program_in(&env::var_os("PATH")?, name)
}

/// The first executable file of that name in the folders of `path`, which reads like PATH.
pub(crate) fn find_program_in(path: &OsStr, name: &str) -> Option<PathBuf> {
    use std::os::unix::fs::PermissionsExt;
    env::split_paths(path).map(|dir| dir.join(name)).find(|candidate| {
        candidate
            .metadata()
            .is_ok_and(|data| data.is_file() && data.permissions().mode() & 0o111 != 0)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_program_without_an_answer_is_killed() {
        let started = Instant::now();
        let mut sleeper = Command::new("sleep");
        let error = output_within(sleeper.arg("30"), Duration::from_millis(100)).unwrap_err();
        assert!(error.to_string().contains("`sleep 30` gave no answer"), "{error}");
        assert!(started.elapsed() < Duration::from_secs(10));
    }

    #[test]
    fn more_output_than_a_pipe_holds_arrives_whole() {
        let mut printer = Command::new("head");
        let output =
            output_within(printer.args(["-c", "300000", "/dev/zero"]), limits::PROBE).unwrap();
        assert_eq!(output.stdout.len(), 300_000);
    }

    #[test]
    fn a_failed_question_carries_the_complaint() {
        let error = ask(Command::new("sh").args(["-c", "echo no >&2; exit 4"])).unwrap_err();
        assert!(error.to_string().ends_with("no"), "{error}");
    }

    #[test]
    fn only_executable_files_count_as_programs() {
        use std::os::unix::fs::PermissionsExt;
        let dir = tempfile::tempdir().unwrap();
        let file = dir.path().join("tool");
        std::fs::write(&file, "").unwrap();
        let mode = |bits| std::fs::set_permissions(&file, std::fs::Permissions::from_mode(bits));
        mode(0o644).unwrap();
        assert_eq!(find_program_in(dir.path().as_os_str(), "tool"), None);
        mode(0o755).unwrap();
        assert_eq!(find_program_in(dir.path().as_os_str(), "tool"), Some(file.clone()));
    }
}
