//! Promises of all texts: the documents exist, links lead somewhere, nothing speaks of one machine.

use super::{Finding, Tree};

/// Documents that a reader may count on.
const DOCUMENTS: [&str; 5] =
    ["README.md", "ARCHITECTURE.md", "CHANGELOG.md", "LICENSE-MIT", "LICENSE-APACHE"];

/// Folders that exist on one machine only. Written in two parts, so that this file passes.
const MACHINE_FOLDERS: [&str; 5] = [
    concat!("/ho", "me/"),
    concat!("/ro", "ot/"),
    concat!("/wo", "rk/"),
    concat!("/Us", "ers/"),
    concat!("/tm", "p/"),
];

/// Parts of registries' host names. Which registry serves a machine is that machine's setting.
const REGISTRY_HOSTS: [&str; 6] = [
    concat!("arti", "factory"),
    concat!("jf", "rog."),
    concat!("index.", "crates.io"),
    concat!("static.", "crates.io"),
    concat!("static.", "rust-lang.org"),
    concat!("registry.", "npmjs.org"),
];

/// The documents are there.
pub(super) fn missing_documents(tree: &Tree) -> Vec<Finding> {
    let missing = DOCUMENTS.iter().filter(|path| !tree.has(path));
    missing.map(|path| Finding::new(path, 1, "the file is missing", "write it")).collect()
}

/// Relative links in Markdown lead to files and folders of the repository.
pub(super) fn broken_links(tree: &Tree) -> Vec<Finding> {
    let mut findings = Vec::new();
    for (path, text) in tree.texts(".md") {
        let folder = path.rsplit_once('/').map_or("", |(folder, _)| folder);
        for (line, target) in links(text) {
            let file = target.split(['#', '?']).next().unwrap_or_default();
            let elsewhere = target.contains("://") || target.starts_with("mailto:");
            if elsewhere || file.is_empty() {
                continue;
            }
            if !resolve(folder, file).is_some_and(|found| tree.has(&found)) {
                findings.push(Finding::new(
                    path,
                    line,
                    format!("the link to {target} leads nowhere"),
                    "name a file or folder of the repository, relative to this one",
                ));
            }
        }
    }
    findings
}

/// No text names a folder of one machine or a registry's host.
pub(super) fn machine_traces(tree: &Tree) -> Vec<Finding> {
    let mut findings = Vec::new();
    for (path, text) in tree.texts("") {
        if path.ends_with(".lock") || path.ends_with("-lock.json") {
            continue; // Written by package managers, which record where things came from.
        }
        for (index, line) in text.lines().enumerate() {
            let folder = MACHINE_FOLDERS.iter().find(|folder| has_absolute(line, folder));
            let host = REGISTRY_HOSTS.iter().find(|host| line.contains(**host));
            if let Some(trace) = folder.or(host) {
                findings.push(Finding::new(
                    path,
                    index + 1,
                    format!("`{trace}` belongs to one machine"),
                    "write a path relative to the repository, or leave the host to the reader",
                ));
            }
        }
    }
    findings
}

/// Whether an absolute path into the folder starts somewhere in the line.
fn has_absolute(line: &str, folder: &str) -> bool {
    line.match_indices(folder).any(|(at, _)| {
        let before = line[..at].chars().next_back();
        before.is_none_or(|c| c.is_whitespace() || "\"'`(=:,<[".contains(c))
    })
}

/// Targets of inline links with their lines, code blocks left out.
fn links(text: &str) -> Vec<(usize, &str)> {
    let mut found = Vec::new();
    let mut in_code = false;
    for (index, line) in text.lines().enumerate() {
        if line.trim_start().starts_with("```") {
            in_code = !in_code;
        }
        if in_code {
            continue;
        }
        for after in line.split("](").skip(1) {
            let target = after.split([')', ' ']).next().unwrap_or_default();
            found.push((index + 1, target.trim_matches(['<', '>'])));
        }
    }
    found
}

/// `folder/target` without `.` and `..`, or nothing if it leads out of the repository.
fn resolve(folder: &str, target: &str) -> Option<String> {
    let mut parts: Vec<&str> = folder.split('/').filter(|part| !part.is_empty()).collect();
    for part in target.split('/') {
        match part {
            "" | "." => {}
            ".." => {
                parts.pop()?;
            }
            name => parts.push(name),
        }
    }
    Some(parts.join("/"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_missing_document_is_found() {
        let present = ["README.md", "ARCHITECTURE.md", "LICENSE-MIT", "LICENSE-APACHE"];
        let tree = Tree::of(&present.map(|path| (path, "")));
        let missing: Vec<_> =
            missing_documents(&tree).into_iter().map(|found| found.path).collect();
        assert_eq!(missing, ["CHANGELOG.md"]);
    }

    #[test]
    fn a_link_that_leads_nowhere_is_found() {
        let text = "\
[ok](b.md) and [up](../README.md#top) and [folder](../infra/)
[web](https://example.com/x.md), [self](#here)
[gone](c.md) and [out](../../x.md)
```
[code](d.md)
```
";
        let tree =
            Tree::of(&[("docs/a.md", text), ("docs/b.md", ""), ("README.md", ""), ("infra/x", "")]);
        let found: Vec<_> =
            broken_links(&tree).into_iter().map(|found| (found.line, found.wrong)).collect();
        let expected =
            ["c.md", "../../x.md"].map(|to| (3, format!("the link to {to} leads nowhere")));
        assert_eq!(found, expected);
    }

    #[test]
    fn traces_of_one_machine_are_found() {
        for trace in MACHINE_FOLDERS {
            let text = format!("fine\npath = \"{trace}x\"\n");
            let found = machine_traces(&Tree::of(&[("a.toml", &text)]));
            assert_eq!(found.iter().map(|found| found.line).collect::<Vec<_>>(), [2], "{trace}");
        }
        for trace in REGISTRY_HOSTS {
            let text = format!("https://{trace}/x");
            assert_eq!(machine_traces(&Tree::of(&[("a.md", &text)])).len(), 1, "{trace}");
            assert_eq!(machine_traces(&Tree::of(&[("Cargo.lock", &text)])), [], "{trace}");
        }
    }

    #[test]
    fn paths_within_something_else_are_no_traces() {
        let text = "target/tmp/x $DIR/home/y https://example.com/work/z";
        assert_eq!(machine_traces(&Tree::of(&[("a.md", text)])), []);
    }
}
