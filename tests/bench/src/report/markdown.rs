//! The parts of a text that know nothing of what was measured.

use super::machine::Machine;
use std::fmt::Write as _;

/// What a report begins with: how large the run was, and on which machine; no full stop.
pub fn extent(quick: bool, took_s: u64, machine: &Machine) -> String {
    let Machine { processors, processor, memory_mib } = machine;
    let run = if quick { "A quick run" } else { "A whole run" };
    format!("{run} of {took_s} s on {processors} × {processor} with {memory_mib} MiB")
}

/// Adds what should not have happened, if anything did.
pub fn faults(faults: &[String], text: &mut String) {
    if faults.is_empty() {
        return;
    }
    *text += "\nWhat should not have happened:\n\n";
    for fault in faults {
        let _ = writeln!(text, "- {fault}");
    }
}

/// Asserts that every row of every table has as many cells as its head.
#[cfg(test)]
pub fn assert_tables_are_whole(text: &str) {
    let mut cells = None;
    for line in text.lines() {
        if !line.starts_with('|') {
            cells = None;
            continue;
        }
        let count = line.matches('|').count();
        assert_eq!(*cells.get_or_insert(count), count, "{line}");
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn faults_are_told_only_if_there_are_any() {
        let mut text = String::new();
        faults(&[], &mut text);
        assert_eq!(text, "");
        faults(&["an order was lost".to_owned()], &mut text);
        assert_eq!(text, "\nWhat should not have happened:\n\n- an order was lost\n");
    }

    #[test]
    #[should_panic(expected = "| 1 |")]
    fn a_row_that_lacks_a_cell_is_found() {
        assert_tables_are_whole("| a | b |\n|---|---|\n| 1 |\n");
    }
}
