//! An import's outcome as text. Pure.

use std::fmt::Write as _;
use std::path::Path;
use tiffin_api::Problem;
use tiffin_api::import::ImportReport;

/// What was loaded, as a table.
pub(super) fn loaded(file: &Path, report: &ImportReport) -> String {
    let mut text = format!("loaded {}\n", file.display());
    let mut line = |cells: [&str; 4]| {
        let [kind, created, updated, unchanged] = cells;
        // Writing to a String cannot fail.
        _ = writeln!(text, "{kind:<12}{created:>9}{updated:>9}{unchanged:>11}");
    };
    line(["", "created", "updated", "unchanged"]);
    for (kind, counts) in [
        ("stores", report.stores),
        ("categories", report.categories),
        ("items", report.items),
        ("deals", report.deals),
    ] {
        let [created, updated, unchanged] =
            [counts.created, counts.updated, counts.unchanged].map(|count| count.to_string());
        line([kind, &created, &updated, &unchanged]);
    }
    text
}

/// Why a file was refused: each bad row on a line of its own, then the whole in one sentence.
pub(super) fn refused(file: &Path, problem: &Problem) -> String {
    let name = file.display();
    let mut text = String::new();
    for error in &problem.errors {
        text.push_str(&name.to_string());
        if let Some(line) = error.line {
            _ = write!(text, ":{line}");
        }
        text.push_str(": ");
        if !error.pointer.is_empty() {
            _ = write!(text, "{}: ", error.pointer);
        }
        _ = writeln!(text, "{}", error.detail);
    }
    _ = writeln!(text, "{}: {}", problem.title, problem.detail);
    text
}
