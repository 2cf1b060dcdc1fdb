//! What is wrong with the rows of an import, collected so that a merchant sees all of it at once.
//!
//! Invariant: however bad a file is, at most [`limits::IMPORT_ERRORS_LISTED`] faults are kept, those of
//! the first lines; the others are only counted, and at [`limits::IMPORT_FAULTS`] the search ends.

use crate::limits;
use tiffin_api::FieldError;

/// Faults, each at its JSON Pointer (RFC 6901).
#[derive(Debug, Default)]
pub struct Faults {
    listed: Vec<FieldError>,
    count: usize,
}

impl Faults {
    /// Notes a fault.
    pub fn add(&mut self, pointer: impl Into<String>, detail: impl Into<String>) {
        self.count += 1;
        if self.listed.len() < limits::IMPORT_ERRORS_LISTED {
            self.listed.push(FieldError::at(pointer, detail));
        }
    }

    /// Notes a fault unless the rule holds.
    pub fn require(&mut self, holds: bool, pointer: impl Into<String>, rule: impl Into<String>) {
        if !holds {
            self.add(pointer, rule);
        }
    }

    /// Notes a list that is too long.
    pub fn at_most(&mut self, count: usize, most: usize, pointer: impl Into<String>) {
        self.require(count <= most, pointer, format!("at most {most} entries, not {count}"));
    }

    /// The same faults, found on a line of a file.
    pub fn on_line(mut self, line: u64) -> Self {
        for fault in &mut self.listed {
            fault.line = Some(line);
        }
        self
    }

    /// Takes the faults that were found further on in the same row or file.
    pub fn extend(&mut self, later: Self) {
        self.count += later.count;
        let room = limits::IMPORT_ERRORS_LISTED - self.listed.len();
        self.listed.extend(later.listed.into_iter().take(room));
    }

    /// Takes the faults that another search through the same file found.
    pub fn merge(&mut self, others: Self) {
        self.count += others.count;
        self.listed.extend(others.listed);
        self.listed.sort_by_key(|fault| fault.line);
        self.listed.truncate(limits::IMPORT_ERRORS_LISTED);
    }

    /// Whether nothing is wrong.
    pub fn is_empty(&self) -> bool {
        self.count == 0
    }

    /// Whether there are so many that nobody is served by a search for more.
    pub fn is_full(&self) -> bool {
        self.count >= limits::IMPORT_FAULTS
    }

    /// How many there are, those that are not listed included.
    pub fn count(&self) -> usize {
        self.count
    }

    /// Those that are kept, by line and then in the order in which they were found.
    pub fn into_vec(self) -> Vec<FieldError> {
        self.listed
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_lines_are_kept_and_the_rest_is_counted() {
        let most = limits::IMPORT_ERRORS_LISTED;
        let mut late = Faults::default();
        for _ in 0..most + 5 {
            late.add("/name", "late");
        }
        let mut all = late.on_line(9);
        let mut early = Faults::default();
        early.require(true, "/ref", "holds");
        early.require(false, "/ref", "early");
        all.merge(early.on_line(2));
        assert_eq!(all.count(), most + 6);
        let listed = all.into_vec();
        assert_eq!(listed.len(), most);
        assert_eq!((listed[0].line, listed[0].detail.as_str()), (Some(2), "early"));
    }
}
