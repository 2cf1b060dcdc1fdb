//! Promises of Rust files: a header, a readable length, SQL only where SQL belongs.

use super::{Finding, Tree};

/// Lines that a file may have without its tests.
const MOST_LINES: usize = 400;

/// Files that may be longer, each with the reason why splitting them would hide something.
const LONG_FILES: &[(&str, &str)] = &[
    ("core-service/src/limits.rs", "every limit stands in one file, by subject, with its reason"),
    ("edge-node/src/limits.rs", "every limit stands in one file, by subject, with its reason"),
];

/// Every file says first what it is for.
pub(super) fn headers(tree: &Tree) -> Vec<Finding> {
    let silent = tree.texts(".rs").filter(|(_, text)| !text.starts_with("//!"));
    let mend = "open the file with a `//!` comment: purpose, invariants, where to start";
    silent.map(|(path, _)| Finding::new(path, 1, "the file has no header", mend)).collect()
}

/// No file is longer than a person can hold in mind, and no exception outlives its reason.
pub(super) fn lengths(tree: &Tree) -> Vec<Finding> {
    let mut findings = Vec::new();
    for (path, text) in tree.texts(".rs").filter(|(path, _)| !is_test_file(path)) {
        let lines = without_tests(text).lines().count();
        let allowed = LONG_FILES.iter().any(|(long, _)| *long == path);
        if lines > MOST_LINES && !allowed {
            findings.push(Finding::new(
                path,
                MOST_LINES + 1,
                format!("the file has {lines} lines without its tests, {MOST_LINES} are allowed"),
                "split it by subject, or list it in LONG_FILES with the reason",
            ));
        } else if lines <= MOST_LINES && allowed {
            findings.push(Finding::new(
                path,
                1,
                "the file is listed as long and no longer is",
                "take it off LONG_FILES",
            ));
        }
    }
    findings
}

/// The core's SQL stands in its stores, so that who looks for a table's users finds them all.
pub(super) fn sql_outside_stores(tree: &Tree) -> Vec<Finding> {
    let mut findings = Vec::new();
    for (path, text) in tree.texts(".rs") {
        if !path.starts_with("core-service/src/") || may_hold_sql(path) {
            continue;
        }
        for line in sql_lines(without_tests(text)) {
            findings.push(Finding::new(
                path,
                line,
                "SQL outside a store",
                "move the query into the domain's store.rs or under db/",
            ));
        }
    }
    findings
}

fn may_hold_sql(path: &str) -> bool {
    path.ends_with("/store.rs")
        || path.contains("/store/")
        || path.contains("/db/")
        || path.contains("/migrations/")
        || is_test_file(path)
}

fn is_test_file(path: &str) -> bool {
    path.starts_with("tests/") || path.contains("/tests/") || path.ends_with("/tests.rs")
}

/// Numbers of lines on which a string literal begins with a statement.
fn sql_lines(text: &str) -> Vec<usize> {
    let statements = ["SELECT", "INSERT", "UPDATE", "DELETE"];
    let mut lines: Vec<usize> = text
        .match_indices('"')
        .filter(|(quote, _)| {
            let inside =
                text[quote + 1..].trim_start_matches(|c: char| c.is_whitespace() || c == '\\');
            let keyword = inside.split_whitespace().next().unwrap_or_default();
            statements.contains(&keyword)
        })
        .map(|(quote, _)| text[..quote].lines().count().max(1))
        .collect();
    lines.dedup();
    lines
}

/// The text up to the test module that ends it, if one does.
fn without_tests(text: &str) -> &str {
    let mut start = 0;
    for line in text.split_inclusive('\n') {
        if line.trim_end() == "#[cfg(test)]" {
            let mut after = text[start..].lines().filter(|line| !line.starts_with("#["));
            if after.next().is_some_and(|line| line.starts_with("mod ") && line.ends_with('{')) {
                return &text[..start];
            }
        }
        start += line.len();
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    const CODE: &str = "//! x\nfn a() {}\n";

    #[test]
    fn a_file_without_a_header_is_found() {
        let tree = Tree::of(&[("a.rs", CODE), ("b.rs", "use x;\n"), ("c.txt", "x")]);
        let findings = headers(&tree);
        assert_eq!(findings.len(), 1);
        assert_eq!((findings[0].path.as_str(), findings[0].line), ("b.rs", 1));
    }

    #[test]
    fn a_long_file_is_found_and_its_tests_do_not_count() {
        let tests = format!("#[cfg(test)]\nmod tests {{\n{}}}\n", "// x\n".repeat(500));
        let just = format!("{}{tests}", "// x\n".repeat(MOST_LINES));
        let long = format!("{}{tests}", "// x\n".repeat(MOST_LINES + 1));
        let tree = Tree::of(&[("a.rs", &just), ("b.rs", &long), ("c/tests/d.rs", &long)]);
        let findings = lengths(&tree);
        assert_eq!(findings.len(), 1, "{findings:?}");
        assert_eq!(findings[0].path, "b.rs");
        assert!(findings[0].wrong.contains("401 lines"), "{findings:?}");
    }

    #[test]
    fn only_a_test_module_at_the_end_is_cut_off() {
        let helper = "fn a() {}\n#[cfg(test)]\nfn b() {}\nfn c() {}\n";
        assert_eq!(without_tests(helper), helper);
        let module = "fn a() {}\n#[cfg(test)]\n#[expect(x)]\nmod tests {\n}\n";
        assert_eq!(without_tests(module), "fn a() {}\n");
        let elsewhere = "fn a() {}\n#[cfg(test)]\nmod tests;\nfn b() {}\n";
        assert_eq!(without_tests(elsewhere), elsewhere);
    }

    #[test]
    fn sql_is_found_where_it_does_not_belong() {
        let code = "//! x\nfn a() {\n  run(\"SELECT 1\");\n  run(\n    \"\\\n     UPDATE t SET a = 1\");\n}\n";
        let tree = Tree::of(&[
            ("core-service/src/orders/http.rs", code),
            ("core-service/src/orders/store.rs", code),
            ("core-service/src/db/dialect.rs", code),
            ("edge-node/src/main.rs", code),
        ]);
        let places: Vec<_> =
            sql_outside_stores(&tree).into_iter().map(|found| (found.path, found.line)).collect();
        let http = "core-service/src/orders/http.rs".to_owned();
        assert_eq!(places, [(http.clone(), 3), (http, 5)]);
    }

    #[test]
    fn words_that_only_look_like_sql_and_tests_are_no_finding() {
        let code = "//! x\nconst A: &str = \"UPDATED\";\n// SELECT x\n#[cfg(test)]\nmod tests {\n const B: &str = \"DELETE FROM t\";\n}\n";
        assert_eq!(sql_outside_stores(&Tree::of(&[("core-service/src/a.rs", code)])), []);
    }
}
