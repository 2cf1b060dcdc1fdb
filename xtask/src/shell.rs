//! Starting other programs: cargo with a clean environment, probes with a bound, PATH look-ups.
//!
//! Invariant: no cargo that we start sees what the cargo that runs us set for us. Otherwise
//! build scripts would rerun whenever `cargo build` and `cargo xtask` take turns, and the
//! functions' compiler would meet the native compiler's settings.

use std::env;
use std::ffi::OsStr;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};

use crate::limits;
use crate::workspace::Workspace;

/// The cargo that runs us, in the workspace's root, for native builds: the person's own compiler
/// settings stay.
pub(crate) fn native_cargo(workspace: &Workspace) -> Command {
    let program = env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
    let mut command = Command::new(program);
    command.current_dir(&workspace.root);
    remove_env(&mut command, is_set_by_cargo_run);
    command
}

/// A cargo for another target than the machine's: neither cargo's variables for us nor anything
/// that picks or tunes the native compiler reaches it.
pub(crate) fn foreign_cargo(program: impl AsRef<OsStr>, workspace: &Workspace) -> Command {
    let mut command = Command::new(program);
    command.current_dir(&workspace.root);
    remove_env(&mut command, |name| is_set_by_cargo_run(name) || steers_the_compiler(name));
    command
}

fn remove_env(command: &mut Command, unwanted: impl Fn(&str) -> bool) {
    for (name, _) in env::vars_os() {
        if name.to_str().is_some_and(&unwanted) {
            command.env_remove(name);
        }
    }
}

/// Variables that `cargo run` sets for the program it runs.
fn is_set_by_cargo_run(name: &str) -> bool {
    ["CARGO_PKG_", "CARGO_MANIFEST_", "CARGO_BIN_"].iter().any(|prefix| name.starts_with(prefix))
        || ["CARGO", "CARGO_CRATE_NAME", "CARGO_PRIMARY_PACKAGE", "OUT_DIR"].contains(&name)
}

/// Variables that choose a compiler, its flags, its target or its profile. Where cargo keeps its
/// registry, how it reaches the network and how it prints are none of those and stay.
fn steers_the_compiler(name: &str) -> bool {
    let prefixes = ["RUSTC", "RUSTDOC", "CARGO_BUILD_", "CARGO_TARGET_", "CARGO_PROFILE_"];
    prefixes.iter().any(|prefix| name.starts_with(prefix) && name != "CARGO_BUILD_JOBS")
        || ["RUSTFLAGS", "CARGO_ENCODED_RUSTFLAGS", "CARGO_ENCODED_RUSTDOCFLAGS"].contains(&name)
}

/// Runs to the end with our own terminal; a failure names the command line.
pub(crate) fn run(command: &mut Command) -> Result<()> {
    let shown = shown(command);
    let status = command.status().with_context(|| format!("`{shown}` could not be started"))?;
    if !status.success() {
        bail!("`{shown}` failed ({status})");
    }
    Ok(())
}

/// What a program prints, trimmed, when it ends well within [`limits::PROBE`].
pub(crate) fn ask(command: &mut Command) -> Result<String> {
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
pub(crate) fn output_within(command: &mut Command, bound: Duration) -> Result<Output> {
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

fn drain(mut pipe: impl std::io::Read + Send + 'static) -> thread::JoinHandle<Vec<u8>> {
    thread::spawn(move || {
        let mut bytes = Vec::new();
        // What was read before an error is still worth showing.
        let _ = pipe.read_to_end(&mut bytes);
        bytes
    })
}

/// The command line as a person would type it.
pub(crate) fn shown(command: &Command) -> String {
    let program = Path::new(command.get_program());
    let name = program.file_name().unwrap_or(program.as_os_str());
    let words = std::iter::once(name).chain(command.get_args());
    words.map(|word| word.to_string_lossy()).collect::<Vec<_>>().join(" ")
}

/// The first executable file of that name on PATH.
pub(crate) fn find_program(name: &str) -> Option<PathBuf> {
    find_program_in(&env::var_os("PATH")?, name)
}

fn find_program_in(path: &OsStr, name: &str) -> Option<PathBuf> {
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
    fn the_functions_compiler_is_not_steered_from_outside() {
        for name in [
            "RUSTC",
            "RUSTC_WRAPPER",
            "RUSTC_BOOTSTRAP",
            "RUSTFLAGS",
            "CARGO_ENCODED_RUSTFLAGS",
            "CARGO_BUILD_TARGET",
            "CARGO_BUILD_RUSTFLAGS",
            "CARGO_TARGET_DIR",
            "CARGO_TARGET_WASM32_WASIP2_LINKER",
            "CARGO_PROFILE_RELEASE_LTO",
        ] {
            assert!(steers_the_compiler(name), "{name} must not get through");
        }
        for name in ["CARGO", "CARGO_PKG_NAME", "CARGO_MANIFEST_DIR", "OUT_DIR"] {
            assert!(is_set_by_cargo_run(name), "{name} must not get through");
        }
    }

    #[test]
    fn where_cargo_lives_and_how_it_reaches_the_network_stay() {
        for name in [
            "CARGO_HOME",
            "CARGO_NET_OFFLINE",
            "CARGO_HTTP_PROXY",
            "CARGO_REGISTRIES_MINE_INDEX",
            "CARGO_TERM_COLOR",
            "CARGO_BUILD_JOBS",
            "PATH",
            "RUSTUP_HOME",
        ] {
            assert!(!steers_the_compiler(name) && !is_set_by_cargo_run(name), "{name} must stay");
        }
    }

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
