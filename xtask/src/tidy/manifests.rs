//! Promises of manifests: one table of versions, each dependency explained, `spin build` works.

use toml::{Table, Value};

use super::{Finding, Tree, line_of};

const ARCHITECTURE: &str = "ARCHITECTURE.md";

/// Members take every dependency from the root's table, so that a crate has one version.
pub(super) fn versions_outside_the_root(tree: &Tree) -> Vec<Finding> {
    let mut findings = Vec::new();
    for (path, text) in tree.texts("/Cargo.toml") {
        let manifest = match parse(path, text) {
            Ok(manifest) => manifest,
            Err(finding) => {
                findings.push(finding);
                continue;
            }
        };
        for (name, requirement) in dependencies(&manifest) {
            if requirement.get("workspace").and_then(Value::as_bool) != Some(true) {
                findings.push(Finding::new(
                    path,
                    line_of(text, |line| starts_with_key(line, name)),
                    format!("{name} does not come from the workspace"),
                    "put the version into the root's [workspace.dependencies] and write \
                     `workspace = true` here",
                ));
            }
        }
    }
    findings
}

/// Every third-party crate has its line of why.
pub(super) fn unexplained_dependencies(tree: &Tree) -> Vec<Finding> {
    let (Some(text), Some(explained)) = (tree.text("Cargo.toml"), tree.text(ARCHITECTURE)) else {
        return Vec::new(); // A missing document is a finding of its own.
    };
    let manifest = match parse("Cargo.toml", text) {
        Ok(manifest) => manifest,
        Err(finding) => return vec![finding],
    };
    let shared = manifest.get("workspace").and_then(|workspace| workspace.get("dependencies"));
    let third_party = shared.and_then(Value::as_table).into_iter().flatten();
    third_party
        .filter(|(_, requirement)| requirement.get("path").is_none())
        // In backticks, because prose may well speak of bytes and http.
        .filter(|(name, _)| !explained.contains(&format!("`{name}`")))
        .map(|(name, _)| {
            Finding::new(
                "Cargo.toml",
                line_of(text, |line| starts_with_key(line, name)),
                format!("{ARCHITECTURE} does not say why {name} is used"),
                "give it one line of why in ARCHITECTURE.md, its name in backticks",
            )
        })
        .collect()
}

/// `spin build` builds each component as we do.
pub(super) fn components_without_our_build(tree: &Tree) -> Vec<Finding> {
    let mut findings = Vec::new();
    let Some(text) = tree.text("spin.toml") else { return findings };
    let manifest = match parse("spin.toml", text) {
        Ok(manifest) => manifest,
        Err(finding) => return vec![finding],
    };
    let components = manifest.get("component").and_then(Value::as_table);
    for (name, component) in components.into_iter().flatten() {
        let command = component.get("build").and_then(|build| build.get("command"));
        let expected = format!("cargo xtask functions {name}");
        // Static files and components built elsewhere name no file of ours.
        let ours = component.get("source").is_some_and(Value::is_str);
        if ours && command.and_then(Value::as_str) != Some(&expected) {
            findings.push(Finding::new(
                "spin.toml",
                line_of(text, |line| line.trim() == format!("[component.{name}]")),
                format!("`spin build` would not build {name} by `{expected}`"),
                "set `command` in its [component.NAME.build] to that",
            ));
        }
    }
    findings
}

fn parse(path: &str, text: &str) -> Result<Table, Finding> {
    text.parse().map_err(|error: toml::de::Error| {
        let at = error.span().map_or(0, |span| span.start);
        let line = text[..at].lines().count().max(1);
        Finding::new(path, line, error.message().to_owned(), "write valid TOML")
    })
}

/// All dependencies of a manifest: normal, build, dev, and those of single targets.
fn dependencies(manifest: &Table) -> Vec<(&str, &Value)> {
    let targets = manifest.get("target").and_then(Value::as_table).into_iter().flatten();
    let tables = targets.filter_map(|(_, target)| target.as_table()).chain([manifest]);
    let kinds = ["dependencies", "build-dependencies", "dev-dependencies"];
    tables
        .flat_map(|table| kinds.iter().filter_map(|kind| table.get(*kind)?.as_table()))
        .flatten()
        .map(|(name, requirement)| (name.as_str(), requirement))
        .collect()
}

fn starts_with_key(line: &str, key: &str) -> bool {
    line.strip_prefix(key).is_some_and(|rest| rest.starts_with([' ', '.', '=']))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn places(findings: &[Finding]) -> Vec<(&str, usize)> {
        findings.iter().map(|finding| (finding.path.as_str(), finding.line)).collect()
    }

    #[test]
    fn a_version_in_a_member_is_found_in_every_kind_of_table() {
        let member = "\
[dependencies]
good.workspace = true
also-good = { workspace = true, features = [\"x\"] }
plain = \"1\"
[dev-dependencies]
tabled = { version = \"1\" }
[build-dependencies]
local = { path = \"../x\" }
[target.'cfg(unix)'.dependencies]
unixy = \"1\"
";
        let tree =
            Tree::of(&[("a/Cargo.toml", member), ("Cargo.toml", "[dependencies]\nx = \"1\"")]);
        let mut found = versions_outside_the_root(&tree);
        found.sort_by_key(|finding| finding.line);
        let expected = [4, 6, 8, 10].map(|line| ("a/Cargo.toml", line));
        assert_eq!(places(&found), expected);
    }

    #[test]
    fn a_manifest_that_is_no_toml_is_found() {
        let tree = Tree::of(&[("a/Cargo.toml", "[dependencies]\nx = = 1\n")]);
        assert_eq!(places(&versions_outside_the_root(&tree)), [("a/Cargo.toml", 2)]);
    }

    #[test]
    fn a_dependency_without_its_why_is_found() {
        let root =
            "[workspace.dependencies]\nours = { path = \"x\" }\nhttp = \"1\"\nhttp-body = \"1\"\n";
        let tree =
            Tree::of(&[("Cargo.toml", root), ("ARCHITECTURE.md", "http: | `http-body` | why |")]);
        assert_eq!(places(&unexplained_dependencies(&tree)), [("Cargo.toml", 3)]);
    }

    #[test]
    fn a_component_that_spin_would_build_otherwise_is_found() {
        let spin = "\
[component.menu]
source = \"a.wasm\"
build = { command = \"cargo xtask functions menu\" }
[component.risk]
source = \"b.wasm\"
[component.risk.build]
command = \"cargo build\"
[component.forward]
source = \"c.wasm\"
[component.fetched]
source = { url = \"x\", digest = \"y\" }
";
        let found = components_without_our_build(&Tree::of(&[("spin.toml", spin)]));
        let mut places = places(&found);
        places.sort_unstable();
        assert_eq!(places, [("spin.toml", 4), ("spin.toml", 8)]);
    }
}
