//! A TOML file that is read with all its errors at once, and knows where each setting stands.
//!
//! serde stops at the first thing it does not like. [`Document::read`] notes it, takes it out and reads on, so
//! that a person mends a file in one go.

use std::fs;
use std::ops::Range;
use std::path::Path;

use serde::de::DeserializeOwned;
use toml::Spanned;
use toml::de::{DeArray, DeTable, DeValue, Deserializer};

use crate::diagnostic::{Diagnostic, Position, Severity};
use crate::limits;

/// A file that is TOML.
#[derive(Debug)]
pub(crate) struct Document {
    file: String,
    text: String,
}

impl Document {
    /// Reads a file; `flag` is what named it on the command line.
    ///
    /// # Errors
    /// When it cannot be read, or each place where it is not TOML.
    pub(crate) fn load(path: &Path, flag: &str) -> Result<Self, Vec<Diagnostic>> {
        let file = path.display().to_string();
        match fs::read_to_string(path) {
            Ok(text) => Self::parse(file, text),
            Err(error) => {
                let document = Self { file, text: String::new() };
                let message = format!("the file cannot be read ({error}); name it with {flag}");
                Err(vec![document.error("", message)])
            }
        }
    }

    /// The same for a text that is already in memory.
    ///
    /// # Errors
    /// Each place where it is not TOML.
    pub(crate) fn parse(file: String, text: String) -> Result<Self, Vec<Diagnostic>> {
        let document = Self { file, text };
        let (_, errors) = DeTable::parse_recoverable(&document.text);
        if errors.is_empty() {
            return Ok(document);
        }
        let errors = errors.iter().take(limits::MAX_DIAGNOSTICS);
        Err(errors.map(|error| document.complaint(error)).collect())
    }

    /// Reads it as a `T`. Every unknown, missing or ill-typed field is added to `found`. There is no `T` when one
    /// is missing or ill-typed; unknown ones alone do not keep the others from being looked at.
    pub(crate) fn read<T: DeserializeOwned>(&self, found: &mut Vec<Diagnostic>) -> Option<T> {
        let mut root = self.root();
        let mut taken: Vec<Vec<Step>> = Vec::new();
        for _ in 0..limits::MAX_DIAGNOSTICS {
            let error = match T::deserialize(Deserializer::from(root.clone())) {
                Ok(shape) => return taken.is_empty().then_some(shape),
                Err(error) => error,
            };
            let entry = error.span().and_then(|span| Entry::at(root.get_ref(), &span));
            let path = entry.as_ref().map_or(&[][..], |entry| &entry.path);
            // That something is missing is no news when it was taken out.
            let is_ours = taken.iter().any(|taken| {
                let Some((Step::Key(key), table)) = taken.split_last() else { return false };
                table == path && error.message() == format!("missing field `{key}`")
            });
            if !is_ours {
                found.push(self.complaint(&error));
            }
            let Entry { path, is_key, .. } = entry?;
            remove(root.get_mut(), &path);
            if !is_key {
                taken.push(path);
            }
        }
        None
    }

    /// An error about the setting at `place`, a path like `component.menu.source` or `trigger.http[0]`; what follows
    /// a space is for people. The innermost part that is there gives the position.
    pub(crate) fn error(&self, place: &str, message: impl Into<String>) -> Diagnostic {
        Diagnostic {
            severity: Severity::Error,
            file: self.file.clone(),
            position: self.find(place).map(|offset| self.position(offset)),
            place: place.to_owned(),
            message: message.into(),
        }
    }

    /// The same as a warning.
    pub(crate) fn warning(&self, place: &str, message: impl Into<String>) -> Diagnostic {
        Diagnostic { severity: Severity::Warning, ..self.error(place, message) }
    }

    fn complaint(&self, error: &toml::de::Error) -> Diagnostic {
        let position = error.span().map(|span| self.position(span.start));
        let message = error.message().replace('\n', " ");
        Diagnostic { position, ..self.error("", message) }
    }

    /// Parsed anew each time: a document is in trouble when this is asked, and may be slow.
    fn root(&self) -> Spanned<DeTable<'_>> {
        DeTable::parse_recoverable(&self.text).0
    }

    fn find(&self, place: &str) -> Option<usize> {
        let root = Spanned::new(0..0, DeValue::Table(self.root().into_inner()));
        let mut value = &root;
        let mut offset = None;
        for step in place.split(' ').next()?.split(['.', '[']) {
            let (found, start) = if let Some(index) = step.strip_suffix(']') {
                let Some(item) = value.get_ref().get(index.parse::<usize>().ok()?) else { break };
                (item, item.span().start)
            } else {
                let table = value.get_ref().as_table();
                let Some((key, item)) = table.and_then(|it| it.get_key_value(step)) else { break };
                (item, key.span().start)
            };
            (value, offset) = (found, Some(start));
        }
        offset
    }

    fn position(&self, offset: usize) -> Position {
        let before = self.text.get(..offset).unwrap_or(&self.text);
        let line = before.matches('\n').count() + 1;
        let column = before.rsplit('\n').next().unwrap_or_default().chars().count() + 1;
        Position { line, column }
    }
}

/// One step into a value.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Step {
    Key(String),
    Index(usize),
}

/// The entry that an error speaks of.
struct Entry {
    path: Vec<Step>,
    /// The error points at its key: nobody knows it.
    is_key: bool,
    width_bytes: usize,
}

impl Entry {
    /// The narrowest one around `span`.
    fn at(root: &DeTable<'_>, span: &Range<usize>) -> Option<Self> {
        let mut best = None;
        Self::search(root, span, &mut Vec::new(), &mut best);
        best
    }

    fn search(
        table: &DeTable<'_>,
        span: &Range<usize>,
        path: &mut Vec<Step>,
        best: &mut Option<Self>,
    ) {
        for (key, value) in table {
            path.push(Step::Key(key.get_ref().to_string()));
            Self::offer(key.span(), true, span, path, best);
            Self::descend(value, span, path, best);
            path.pop();
        }
    }

    fn descend(
        value: &Spanned<DeValue<'_>>,
        span: &Range<usize>,
        path: &mut Vec<Step>,
        best: &mut Option<Self>,
    ) {
        Self::offer(value.span(), false, span, path, best);
        match value.get_ref() {
            DeValue::Table(table) => Self::search(table, span, path, best),
            DeValue::Array(items) => {
                for (index, item) in items.iter().enumerate() {
                    path.push(Step::Index(index));
                    Self::descend(item, span, path, best);
                    path.pop();
                }
            }
            DeValue::String(_)
            | DeValue::Integer(_)
            | DeValue::Float(_)
            | DeValue::Boolean(_)
            | DeValue::Datetime(_) => {}
        }
    }

    fn offer(
        here: Range<usize>,
        is_key: bool,
        span: &Range<usize>,
        path: &[Step],
        best: &mut Option<Self>,
    ) {
        let is_around = here.start <= span.start && span.end <= here.end;
        let width_bytes = here.len();
        if is_around && best.as_ref().is_none_or(|best| width_bytes < best.width_bytes) {
            *best = Some(Self { path: path.to_vec(), is_key, width_bytes });
        }
    }
}

fn remove(table: &mut DeTable<'_>, path: &[Step]) {
    match path {
        [Step::Key(key)] => {
            table.remove(key.as_str());
        }
        [Step::Key(key), rest @ ..] => {
            if let Some(value) = table.get_mut(key.as_str()) {
                remove_inside(value, rest);
            }
        }
        [Step::Index(_), ..] | [] => {}
    }
}

fn remove_inside(value: &mut Spanned<DeValue<'_>>, path: &[Step]) {
    match (value.get_mut(), path) {
        (DeValue::Table(table), path) => remove(table, path),
        (DeValue::Array(items), [Step::Index(index)]) => {
            let mut kept = DeArray::new();
            let others = items.iter().enumerate().filter(|(other, _)| other != index);
            others.for_each(|(_, item)| kept.push(item.clone()));
            *items = kept;
        }
        (DeValue::Array(items), [Step::Index(index), rest @ ..]) => {
            if let Some(item) = items.get_mut(*index) {
                remove_inside(item, rest);
            }
        }
        // An entry is found only in what can hold one.
        (_, _) => {}
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use serde::Deserialize;

    use super::Document;

    #[derive(Debug, Deserialize)]
    #[serde(deny_unknown_fields)]
    struct Shape {
        #[serde(default)]
        one: BTreeMap<String, Part>,
        #[serde(default)]
        many: Vec<Part>,
    }

    #[derive(Debug, Deserialize)]
    #[serde(deny_unknown_fields)]
    struct Part {
        number: u8,
    }

    fn read(text: &str) -> (Option<Shape>, Vec<String>) {
        let mut found = Vec::new();
        let document = match Document::parse("f".to_owned(), text.to_owned()) {
            Ok(document) => document,
            Err(errors) => return (None, errors.iter().map(ToString::to_string).collect()),
        };
        let shape = document.read(&mut found);
        (shape, found.iter().map(ToString::to_string).collect())
    }

    #[test]
    fn every_error_is_found_at_once() {
        for (text, expected) in [
            ("[one.a]\nnumber = 1\n[[many]]\nnumber = 2", &[][..]),
            (
                "x = 1\n[one.a]\nnumber = 1\ny = 2\n[[many]]\nnumber = 2\n[[many]]\nnumber = 3\nz = 3",
                &[
                    "f:1:1: unknown field `x`",
                    "f:4:1: unknown field `y`",
                    "f:9:1: unknown field `z`",
                ],
            ),
            (
                "[one.a]\nnumber = \"1\"\n[one.b]\n[one]\nc = { number = 300 }",
                &[
                    "f:2:10: invalid type: string",
                    "f:3:1: missing field `number`",
                    "f:5:16: invalid value",
                ],
            ),
            ("[one.a]\nnumber = \n[one.b]\nnumber = x", &["f:2:10: ", "f:4:10: "]),
        ] {
            let (_, mut found) = read(text);
            found.sort();
            assert_eq!(found.len(), expected.len(), "{found:#?}");
            for (found, expected) in found.iter().zip(expected) {
                assert!(found.starts_with(expected), "{found} is not {expected}");
            }
        }
    }

    #[test]
    fn unknown_fields_do_not_hide_the_others() {
        let (shape, found) = read("x = 1\n[one.a]\nnumber = 7\n[[many]]\nnumber = 8");
        let shape = shape.unwrap();
        assert_eq!((shape.one["a"].number, shape.many[0].number, found.len()), (7, 8, 1));
        let (shape, _) = read("[one.a]\nnumber = true\n[[many]]\nnumber = 1");
        assert!(shape.is_none(), "half of a file is not the file");
    }

    #[test]
    fn places_have_positions() {
        let text = "[one.a]\nnumber = 1\n\n[[many]]\nnumber = 2\n[[many]]\n  number = 3";
        let document = Document::parse("f".to_owned(), text.to_owned()).unwrap();
        for (place, expected) in [
            ("one.a.number", "f:2:1: one.a.number: m"),
            ("one.a.other", "f:1:6: one.a.other: m"),
            ("many[1].number", "f:7:3: many[1].number: m"),
            ("many[0] (first)", "f:4:1: many[0] (first): m"),
            ("nothing", "f: nothing: m"),
            ("", "f: m"),
        ] {
            assert_eq!(document.error(place, "m").to_string(), expected, "{place}");
        }
    }
}
