//! The test programs of one package, as cargo has built them.

use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result, ensure};
use serde_json::Value;

use crate::limits;
use crate::shell;
use crate::workspace::Workspace;

/// A built test program.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct TestProgram {
    file: PathBuf,
    /// Its package's folder, where cargo would run it.
    folder: PathBuf,
}

impl TestProgram {
    /// Its file.
    pub(super) fn file(&self) -> &Path {
        &self.file
    }

    /// Runs it where `cargo test` would.
    pub(super) fn command(&self) -> Command {
        let mut command = Command::new(&self.file);
        command.current_dir(&self.folder).env("CARGO_MANIFEST_DIR", &self.folder);
        command
    }
}

/// Finds them. The same features as for `cargo test --workspace` are asked for, so that nothing is
/// built that was not built for that.
pub(super) fn of_package(workspace: &Workspace, package: &str) -> Result<Vec<TestProgram>> {
    let mut cargo = shell::native_cargo(workspace);
    cargo.args(["test", "--workspace", "--no-run", "--quiet", "--message-format=json"]);
    cargo.arg("--target-dir").arg(&workspace.target_dir);
    let output = shell::output_within(&mut cargo, limits::LIST_TESTS)?;
    ensure!(
        output.status.success(),
        "listing the test programs failed: {}",
        String::from_utf8_lossy(&output.stderr).trim()
    );
    let manifest = workspace.root.join(package).join("Cargo.toml");
    let messages = String::from_utf8(output.stdout).context("cargo's messages")?;
    let programs = among(&messages, &manifest)?;
    ensure!(!programs.is_empty(), "{package} has no test programs");
    Ok(programs)
}

/// Reads cargo's messages, one JSON object each line
/// (<https://doc.rust-lang.org/cargo/reference/external-tools.html#json-messages>).
fn among(messages: &str, manifest: &Path) -> Result<Vec<TestProgram>> {
    let folder = manifest.parent().context("a manifest lies in a folder")?;
    let mut programs = Vec::new();
    for line in messages.lines().filter(|line| line.starts_with('{')) {
        let message: Value = serde_json::from_str(line).context("a message of cargo's")?;
        let is_test =
            message["reason"] == "compiler-artifact" && message["profile"]["test"] == true;
        let is_ours = message["manifest_path"].as_str().map(Path::new) == Some(manifest);
        if let (true, true, Some(file)) = (is_test, is_ours, message["executable"].as_str()) {
            programs.push(TestProgram { file: file.into(), folder: folder.into() });
        }
    }
    Ok(programs)
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn only_the_packages_own_test_programs_count() {
        let artifact = |manifest: &str, test: bool, executable: Value| {
            json!({
                "reason": "compiler-artifact",
                "manifest_path": manifest,
                "profile": {"test": test},
                "executable": executable,
            })
            .to_string()
        };
        let messages = [
            artifact("/x/core/Cargo.toml", true, json!("/x/target/api-1")),
            artifact("/x/core/Cargo.toml", false, json!("/x/target/core")),
            artifact("/x/core/Cargo.toml", false, Value::Null),
            artifact("/x/core/api/Cargo.toml", true, json!("/x/target/other-1")),
            json!({"reason": "build-finished", "success": true}).to_string(),
        ];
        let found = among(&messages.join("\n"), Path::new("/x/core/Cargo.toml")).unwrap();
        assert_eq!(
            found,
            [TestProgram { file: "/x/target/api-1".into(), folder: "/x/core".into() }]
        );
        assert!(among("{broken", Path::new("/x/core/Cargo.toml")).is_err());
    }
}
