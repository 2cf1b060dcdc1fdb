//! Server-sent events from a stream of bytes, however it is cut into pieces.
//!
//! Source: WHATWG HTML, 9.2.5 and 9.2.6. Invariants: what is kept of an event is bounded, whatever comes; an event
//! is told once its empty line is there, or never; one that is over the bounds is told as such, with its id if that
//! could be read, so that whoever reads knows that something was missed.

use crate::limits;

/// What an empty line has ended.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Parsed {
    /// An event.
    Event(Event),
    /// An event that is over the bounds.
    TooLong {
        /// Its id, if it has one.
        id: Option<String>,
    },
}

/// An event as it was sent.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Event {
    /// Its kind; empty if it says none.
    pub(super) name: String,
    /// Its data, lines joined.
    pub(super) data: String,
    /// Its own id. That of an event before it is not repeated here.
    pub(super) id: Option<String>,
}

/// A line without an end.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("a line of the feed has no end after {} bytes", limits::MAX_FEED_SKIPPED_BYTES)]
pub(crate) struct Endless;

/// The state between two pieces.
#[derive(Debug, Default)]
pub(super) struct Parser {
    /// The line so far, until it is too long.
    line: Vec<u8>,
    /// How long it is, with what was not kept.
    line_bytes: usize,
    /// The last byte was a carriage return: a line feed after it ends no other line.
    after_return: bool,
    /// The first line has been read.
    has_begun: bool,
    event: Event,
    has_data: bool,
    is_too_long: bool,
}

impl Parser {
    /// Reads the next piece, and gives what it has ended.
    ///
    /// # Errors
    /// A line has no end. The connection is not worth keeping.
    pub(super) fn read(&mut self, mut piece: &[u8]) -> Result<Vec<Parsed>, Endless> {
        let mut ended = Vec::new();
        while !piece.is_empty() {
            if std::mem::take(&mut self.after_return) && piece[0] == b'\n' {
                piece = &piece[1..];
                continue;
            }
            let end = piece.iter().position(|byte| matches!(byte, b'\n' | b'\r'));
            self.extend_line(&piece[..end.unwrap_or(piece.len())])?;
            let Some(end) = end else { break };
            self.after_return = piece[end] == b'\r';
            piece = &piece[end + 1..];
            ended.extend(self.end_line());
        }
        Ok(ended)
    }

    fn extend_line(&mut self, bytes: &[u8]) -> Result<(), Endless> {
        self.line_bytes += bytes.len();
        if self.line_bytes > limits::MAX_FEED_SKIPPED_BYTES {
            return Err(Endless);
        }
        if self.line_bytes <= limits::MAX_FEED_LINE_BYTES {
            self.line.extend_from_slice(bytes);
        }
        Ok(())
    }

    fn end_line(&mut self) -> Option<Parsed> {
        let line = std::mem::take(&mut self.line);
        let is_cut = std::mem::take(&mut self.line_bytes) > line.len();
        let is_first = !std::mem::replace(&mut self.has_begun, true);
        if is_cut {
            self.is_too_long = true;
            return None;
        }
        // Whole lines are decoded, so that it does not matter where a character was cut.
        let text = String::from_utf8_lossy(&line);
        let text = if is_first { text.strip_prefix('\u{feff}').unwrap_or(&text) } else { &text };
        if text.is_empty() {
            return self.end_event();
        }
        let (field, value) = text.split_once(':').unwrap_or((text, ""));
        self.take(field, value.strip_prefix(' ').unwrap_or(value));
        None
    }

    fn take(&mut self, field: &str, value: &str) {
        match field {
            "event" => value.clone_into(&mut self.event.name),
            "data" => {
                let data = &mut self.event.data;
                if data.len() + value.len() >= limits::MAX_FEED_EVENT_BYTES {
                    self.is_too_long = true;
                    return;
                }
                if std::mem::replace(&mut self.has_data, true) {
                    data.push('\n');
                }
                data.push_str(value);
            }
            // With a NUL it is none.
            "id" if !value.contains('\0') => self.event.id = Some(value.to_owned()),
            // Comments (whose field is empty), `retry`, and what is not known. When to come back is the node's own
            // decision: quicker than the core asks for after a good connection, slower after many bad ones.
            _ => {}
        }
    }

    fn end_event(&mut self) -> Option<Parsed> {
        let event = std::mem::take(&mut self.event);
        let has_data = std::mem::take(&mut self.has_data);
        if std::mem::take(&mut self.is_too_long) {
            return Some(Parsed::TooLong { id: event.id });
        }
        // An id by itself moves the reader's place, and so is told.
        (has_data || event.id.is_some()).then_some(Parsed::Event(event))
    }
}

#[cfg(test)]
mod tests {
    use super::{Endless, Event, Parsed, Parser};
    use crate::limits;

    fn event(name: &str, data: &str, id: Option<&str>) -> Parsed {
        let id = id.map(str::to_owned);
        Parsed::Event(Event { name: name.to_owned(), data: data.to_owned(), id })
    }

    fn read(bytes: &[u8], piece_bytes: usize) -> Vec<Parsed> {
        let mut parser = Parser::default();
        bytes.chunks(piece_bytes).flat_map(|piece| parser.read(piece).unwrap()).collect()
    }

    #[test]
    fn events_are_the_same_however_they_are_cut_and_whatever_ends_their_lines() {
        let text = "\u{feff}: hello\nretry: 1000\nevent: hello\ndata: {\"head\":4}\n\n\
                    id: 5\nevent: store.changed\ndata:{\"name\":\"麵 🍜\"}\n\n\
                    : still here\n\n\
                    id: 6\nevent: x\ndata: one\ndata:  two\ndata\n\n\
                    event: nothing\n\nid: 7\n\nid: 8\0\ndata: no id\n\ndata: cut off";
        let expected = [
            event("hello", "{\"head\":4}", None),
            event("store.changed", "{\"name\":\"麵 🍜\"}", Some("5")),
            event("x", "one\n two\n", Some("6")),
            event("", "", Some("7")),
            event("", "no id", None),
        ];
        for end in ["\n", "\r\n", "\r"] {
            let text = text.replace('\n', end);
            for piece_bytes in [1, 2, 3, 7, 4_096] {
                assert_eq!(read(text.as_bytes(), piece_bytes), expected, "{end:?} {piece_bytes}");
            }
        }
    }

    #[test]
    fn what_is_no_text_disturbs_nothing_after_it() {
        let bytes =
            b"data: \xff\xfe\n\n\0\0:\nevent\n:::\n data: x\nDATA: y\n\nid: 1\ndata: ok\n\n";
        let expected = [event("", "\u{fffd}\u{fffd}", None), event("", "ok", Some("1"))];
        assert_eq!(read(bytes, 2), expected);
    }

    #[test]
    fn what_is_too_long_is_told_with_its_id_and_not_kept() {
        let long = "x".repeat(limits::MAX_FEED_LINE_BYTES);
        let many = "data: y\n".repeat(limits::MAX_FEED_EVENT_BYTES);
        let text = format!("data: {long}\nid: 3\n\nid: 4\n{many}\nid: 5\ndata: ok\n\n");
        let too_long = |id: &str| Parsed::TooLong { id: Some(id.to_owned()) };
        let expected = [too_long("3"), too_long("4"), event("", "ok", Some("5"))];
        // Not `assert_eq`: what differs may be long.
        assert!(read(text.as_bytes(), 1_000) == expected);
        let mut parser = Parser::default();
        parser.read(&vec![b'x'; limits::MAX_FEED_SKIPPED_BYTES]).unwrap();
        assert!(parser.line.capacity() <= limits::MAX_FEED_LINE_BYTES);
        assert_eq!(parser.read(b"x"), Err(Endless));
    }
}
